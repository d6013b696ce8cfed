"""What a route needs of its request: the city's services, and who calls."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from api.city import City
from api.errors import ServiceError
from api.licences import Licences
from api.principals import Principal, authenticate


@dataclass
class Services:
    """The use-cases of one city, made once."""

    city: City
    licences: Licences


def services(request: Request) -> Services:
    """The services the app was made with."""
    found: Services = request.app.state.services
    return found


def principal(
    request: Request,
    authorization: Annotated[
        str | None, Header(description="`Bearer zl_…`, an API key of this city")
    ] = None,
) -> Principal:
    """The caller, or `credentials-missing` / `credentials-invalid`."""
    scheme, _, api_key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not api_key:
        raise ServiceError("credentials-missing")
    return authenticate(services(request).city.store, api_key.strip())


Use = Annotated[Services, Depends(services)]
Caller = Annotated[Principal, Depends(principal)]
IdempotencyKey = Annotated[
    str | None,
    Header(description="Same key, same request: the same answer, and one effect"),
]
