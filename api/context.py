"""What a route needs of its request: the city's services, and who calls."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.callers import Callers
from api.changes import ChangeDesk
from api.city import City
from api.claims import Claims
from api.credits import Credits
from api.errors import ServiceError
from api.imports.desk import ImportDesk
from api.licences import Licences
from api.packs import PackCache
from api.principals import Principal, authenticate
from api.receipts import Receipts
from api.register import Registrar


@dataclass
class Services:
    """The use-cases of one city, made once."""

    city: City
    licences: Licences
    packs: PackCache
    credits: Credits
    claims: Claims
    imports: ImportDesk
    changes: ChangeDesk
    callers: Callers
    registrar: Registrar
    receipts: Receipts


_BEARER = HTTPBearer(
    auto_error=False, scheme_name="apiKey", description="API 密钥 An API key of this city, `zl_…`"
)


async def services(request: Request) -> Services:
    """The services the app was made with."""
    found: Services = request.app.state.services
    return found


Use = Annotated[Services, Depends(services)]


def principal(
    request: Request,
    use: Use,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Principal:
    """The caller, or `credentials-missing` / `credentials-invalid`."""
    if bearer is None:
        raise ServiceError("credentials-missing")
    caller = authenticate(use.city.store, bearer.credentials.strip())
    request.state.client = caller.client  # for the request log
    return caller


Caller = Annotated[Principal, Depends(principal)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1–128 visible ASCII characters. Same key, same request: the same answer, "
        "and one effect",
    ),
]
