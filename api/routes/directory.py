"""What the city is made of: departments, keys, types, reasons; and who may call."""

from itertools import zip_longest
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api import clients
from api.context import Caller, Use
from api.errors import ServiceError
from api.keymaking import make_key
from api.principals import Role, revoke_client
from api.routes.authority_models import DepartmentsShown, KeyMade
from api.routes.changes import moment_json
from api.routes.models import ClientRegistered, Myself, ReasonsShown, TypesShown
from api.rules.days import iso_time
from api.signers import STATE_ZH, key_state
from keys.names import cose_key_bytes
from keys.suites import BY_NAME
from verifier.authorities import EnrolledKey
from verifier.codec import b64encode
from verifier.keylife import Moment

router = APIRouter(prefix="/v1", tags=["目录 directory"])


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class KeyRequest(_Body):
    """A key to make in this server's custody."""

    suite: str = Field("ed25519", description="Signature suite")


class ClientRequest(_Body):
    """A caller to register. `subject_code`: the code of the citizen or company it is."""

    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    name: str = Field(min_length=1, max_length=100)
    roles: list[Role] = Field(min_length=1)
    department: str | None = None
    subject_code: str | None = Field(None, min_length=1, max_length=40)


@router.get(
    "/departments", summary="部门与密钥 Departments and their keys", response_model=DepartmentsShown
)
def departments(use: Use) -> dict[str, Any]:
    """As the ledger has them, with the whole life of every key."""
    authorities, now = use.city.authorities, use.city.now()
    listed = [
        {
            "issuer": issuer,
            "zh": department.zh,
            "en": department.en,
            "uscc": department.uscc,
            "former_names": [
                {"zh": zh, "en": en, "until": iso_time(until)}
                for until, zh, en in department.former
            ],
            "ended": moment_json(department.ended),
            "successor": department.successor,
            "keys": [key_json(key, now) for key in authorities.keys_of(issuer)],
        }
        for issuer, department in authorities.departments.items()
    ]
    return {"origin": use.city.origin, "departments": listed}


@router.post(
    "/departments/{slug}/keys",
    status_code=201,
    summary="生成密钥 Make a key",
    response_model=KeyMade,
)
def make_department_key(slug: str, body: KeyRequest, use: Use, caller: Caller) -> dict[str, Any]:
    """In custody, which it never leaves. It signs nothing until two officers have enrolled it:
    the answer is what their proposal needs. A key made before and not enrolled is given again."""
    if Role.OPERATOR not in caller.roles:
        caller.require(Role.SEAL_KEEPER)
        caller.require_department(slug)
    if body.suite not in BY_NAME:
        raise ServiceError("request-invalid", f"suite: {', '.join(BY_NAME)}")
    made = make_key(use.city, slug, body.suite)
    return {
        "name": made.name,
        "suite": made.suite,
        "kid": made.kid.hex(),
        "cose_key": b64encode(made.key),
        "pop": b64encode(made.pop),
    }


def key_json(key: EnrolledKey, now: int) -> dict[str, Any]:
    """A key and what became of it, as of Unix time `now`."""
    state, compromise, certificate = key_state(key, now), key.compromise, key.certificate
    moments = [
        moment_json(Moment(*pair)) for pair in zip(key.suspended, key.suspended_at, strict=True)
    ]
    return {
        "kid": key.kid.hex(),
        "suite": key.suite.name,
        "public": b64encode(cose_key_bytes(key.suite, key.public)),
        "jwk": key.suite.jwk(key.public),
        "scope": sorted(key.scope),
        "valid_from": iso_time(key.valid_from),
        "valid_until": None if key.valid_until is None else iso_time(key.valid_until),
        "index": max(key.index, 0),
        "state": state,
        "state_zh": STATE_ZH[state],
        "suspended": [
            {"since": since, "until": until}
            for since, until in zip_longest(moments[::2], moments[1::2])
        ],
        "retired": moment_json(key.retired),
        "compromise": None
        if compromise is None
        else {
            "since": iso_time(compromise.since),
            "before": compromise.before,
            "count": compromise.count,
            "told": moment_json(compromise.told),
        },
        "replaces": None if key.replaces is None else key.replaces.hex(),
        "replaced_by": None if key.replaced_by is None else key.replaced_by.hex(),
        "certificate": None
        if certificate is None
        else {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "serial": certificate.serial,
            "not_before": iso_time(certificate.not_before),
            "not_after": iso_time(certificate.not_after),
        },
    }


@router.get("/types", summary="证照与信用类型 Licence and credit types", response_model=TypesShown)
def types(use: Use) -> dict[str, Any]:
    """Every type with its field dictionary."""
    catalogue = use.city.catalogue
    return {
        "licences": [_type_json(kind) for kind in catalogue.licence_types.values()],
        "credits": [_type_json(kind) for kind in catalogue.credit_types.values()],
    }


def _type_json(kind: Any) -> dict[str, Any]:
    return {
        "code": kind.code,
        "slug": kind.slug,
        "zh": kind.zh,
        "en": kind.en,
        "issuers": [kind.issuer] if hasattr(kind, "issuer") else list(kind.issuers),
        "fields": [
            {
                "code": each.code,
                "zh": each.zh,
                "en": each.en,
                "json": each.json,
                "required": each.required,
                "disclosure": each.disclosure,
                "sensitive": each.sensitive,
                "validation": each.validation,
                "max_length": each.max_length,
            }
            for each in kind.fields
        ],
    }


@router.get(
    "/reasons", summary="事由目录 Reasons for changing a state", response_model=ReasonsShown
)
def reasons(use: Use) -> dict[str, Any]:
    """Each reason with the state it leads to and the article it rests on."""
    listed = [
        {
            "code": reason.code,
            "zh": reason.zh,
            "en": reason.en,
            "article": reason.article,
            "applies": reason.applies,
            "state": reason.state,
        }
        for reason in use.city.catalogue.reasons.values()
    ]
    return {"reasons": listed}


@router.post(
    "/clients",
    status_code=201,
    summary="登记调用方 Register a caller",
    response_model=ClientRegistered,
)
def register_client(body: ClientRequest, use: Use, caller: Caller) -> dict[str, Any]:
    """By the operator. The API key is shown in this answer and never again."""
    caller.require(Role.OPERATOR)
    api_key = clients.register_client(
        use.city,
        client=body.id,
        name=body.name,
        roles=body.roles,
        department=body.department,
        subject_code=body.subject_code,
    )
    return {"id": body.id, "api_key": api_key}


@router.delete("/clients/{client}", status_code=204, summary="停用调用方 Revoke a caller")
def end_client(client: str, use: Use, caller: Caller) -> None:
    """Ends its API key at once."""
    caller.require(Role.OPERATOR)
    revoke_client(use.city.store, client, use.city.now())


@router.get("/me", summary="当前身份 Who am I", response_model=Myself)
def me(caller: Caller) -> dict[str, Any]:
    """What the presented API key is good for."""
    return {
        "client": caller.client,
        "name": caller.name,
        "department": caller.department,
        "roles": sorted(caller.roles),
    }
