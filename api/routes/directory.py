"""What the city is made of: departments, keys, types, reasons; and who may call."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api import clients
from api.context import Caller, Use
from api.errors import ServiceError
from api.principals import Role, revoke_client
from api.routes.models import (
    ClientRegistered,
    DepartmentEnrolled,
    DepartmentsShown,
    KeyEnrolled,
    Myself,
    ReasonsShown,
    TypesShown,
)
from api.rules.codes import uscc
from api.rules.days import iso_time
from keys.names import cose_key_bytes
from keys.suites import BY_NAME
from verifier.authorities import OPERATOR
from verifier.codec import b64encode

router = APIRouter(prefix="/v1", tags=["目录 directory"])


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DepartmentRequest(_Body):
    """A department to enrol."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,31}$", examples=["market"])
    zh: str = Field(min_length=1, max_length=100)
    en: str = Field(min_length=1, max_length=100)
    uscc: str = Field(pattern=r"^[0-9A-HJ-NPQRTUWXY]{18}$")


class KeyRequest(_Body):
    """A key to make in this server's custody and to enrol for a department."""

    suite: str = Field("ed25519", description="Signature suite")
    scope: list[str] = Field(min_length=1, description="Type codes the key may sign")


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
    """As enrolled in the ledger; `index` is where the enrolment stands."""
    authorities = use.city.authorities
    listed = []
    for issuer, department in authorities.departments.items():
        keys = [
            {
                "kid": key.kid.hex(),
                "suite": key.suite.name,
                "public": b64encode(cose_key_bytes(key.suite, key.public)),
                "jwk": key.suite.jwk(key.public),
                "scope": sorted(key.scope),
                "valid_from": iso_time(key.valid_from),
                "valid_until": None if key.valid_until is None else iso_time(key.valid_until),
                "index": key.index,
            }
            for key in authorities.keys.values()
            if key.issuer == issuer
        ]
        listed.append(
            {
                "issuer": issuer,
                "zh": department.zh,
                "en": department.en,
                "uscc": department.uscc,
                "keys": keys,
            }
        )
    return {"origin": use.city.origin, "departments": listed}


@router.post(
    "/departments",
    status_code=201,
    summary="登记部门 Enrol a department",
    response_model=DepartmentEnrolled,
)
def enrol_department(body: DepartmentRequest, use: Use, caller: Caller) -> dict[str, Any]:
    """By the operator; the enrolment is a statement in the ledger."""
    caller.require(Role.OPERATOR)
    if body.id == OPERATOR:
        raise ServiceError("request-invalid", "id")
    index = use.city.enrol_department(body.id, body.zh, body.en, uscc(body.uscc))
    return {"issuer": use.city.issuer(body.id), "index": index}


@router.post(
    "/departments/{slug}/keys",
    status_code=201,
    summary="登记密钥 Enrol a key",
    response_model=KeyEnrolled,
)
def enrol_key(slug: str, body: KeyRequest, use: Use, caller: Caller) -> dict[str, Any]:
    """The key is made in custody and never leaves it; its statement proves possession."""
    caller.require(Role.OPERATOR)
    if body.suite not in BY_NAME:
        raise ServiceError("request-invalid", f"suite: {', '.join(BY_NAME)}")
    known = use.city.type_names.keys()
    unknown = [code for code in body.scope if code not in known]
    if unknown:
        raise ServiceError("catalogue-unknown-type", ", ".join(unknown))
    index = use.city.enrol_key(slug, body.scope, suite=body.suite)
    return {"kid": use.city.signer(slug).kid.hex(), "index": index}


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
