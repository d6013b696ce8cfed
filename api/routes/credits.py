"""Credit entries over HTTP: record, publish, dispute, correct, withdraw, repair; erasure."""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row

from api.consents import subject_nym
from api.context import Caller, IdempotencyKey, Services, Use
from api.credit_rows import Acted, Remember
from api.credits import MAX_TEXT
from api.erasure import Erased, erase_credit, erase_licence
from api.idempotency import Slot
from api.principals import Principal, Role
from api.routes.credit_models import (
    ActedAnswer,
    CreditPage,
    CreditWhole,
    ErasedAnswer,
    ExpiredAnswer,
    OwnCredits,
    PublicCredits,
)
from api.routes.credit_shapes import (
    acted_json,
    department_zh,
    erased_json,
    public_json,
    summary_json,
    whole_json,
)
from api.routes.parts import Cursor, RecordId, answer_once, before
from api.rules import codes
from api.rules.days import iso_time

router = APIRouter()
_DEPARTMENT: list[str | Enum] = ["信用 credit"]
_OWN: list[str | Enum] = ["本人 my own file"]
_PUBLIC: list[str | Enum] = ["公示 public record"]
Limit = Annotated[int, Query(ge=1, le=200)]
Reason = Annotated[str, Field(description="Reason code, see `GET /v1/reasons`", max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RecordRequest(_Body):
    """An entry to record. `fields` follow the type's dictionary, see `GET /v1/types`."""

    type: str = Field(description="Type code or slug", examples=["penalty"])
    fields: dict[str, Any] = Field(description="Field code → value")
    grade: int | None = Field(None, ge=1, le=3, description="Of graded types without a fixed grade")


class PublishRequest(_Body):
    """Publication of an organisation's entry."""

    even_if_minor: bool = Field(
        False, description="Publish although the rules leave minor entries unpublished"
    )


class DisputeRequest(_Body):
    """What is wrong with the entry, in the words of who disputes it."""

    text: str = Field(min_length=1, max_length=MAX_TEXT)


class UpholdRequest(_Body):
    """The answer to a dispute that is unfounded."""

    reason: Reason
    text: str = Field(min_length=1, max_length=MAX_TEXT)


class CorrectRequest(_Body):
    """The whole entry anew; the version before stays beside it."""

    fields: dict[str, Any]
    reason: Reason
    grade: int | None = Field(None, ge=1, le=3)


class WithdrawRequest(_Body):
    """Why the entry goes. The reason is public."""

    reason: Reason


class RepairRequest(_Body):
    """信用修复. Both must be true: what was ordered is done, and the commitment is public."""

    reason: Reason
    duties_fulfilled: bool
    commitment_made: bool


class EraseRequest(_Body):
    """Why the data of a record are destroyed."""

    reason: Reason


# ---- departments and the credit centre -----------------------------------------------------------


@router.post(
    "/v1/credits",
    status_code=201,
    tags=_DEPARTMENT,
    summary="记录一条信用信息 Record an entry",
    response_model=ActedAnswer,
)
def record(
    body: RecordRequest, use: Use, caller: Caller, response: Response, key: IdempotencyKey = None
) -> dict[str, Any]:
    """By a department whose key may sign the type. It is not public until it is published."""
    type_ = use.city.catalogue.credit_type(body.type)

    def act(effects: Remember) -> Acted:
        return use.credits.record(caller, type_, body.fields, grade=body.grade, effects=effects)

    return _acted(use, caller, key, ["record"], body, response, act)


@router.get(
    "/v1/credits",
    tags=_DEPARTMENT,
    summary="信用记录列表 List entries",
    response_model=CreditPage,
)
def list_credits(
    use: Use, caller: Caller, cursor: Cursor = None, limit: Limit = 50
) -> dict[str, Any]:
    """A department sees its own, the credit centre everybody's. No content."""
    departments = None
    if Role.CREDIT_CENTRE not in caller.roles:
        caller.require(Role.CLERK, Role.SEAL_KEEPER)
        departments = use.city.acts_for(caller.department)
    rows = use.credits.of_departments(departments, before=before(cursor), limit=limit + 1)
    return {
        "credits": [summary_json(use, row) for row in rows[:limit]],
        "next": _next(rows, limit),
    }


@router.post(
    "/v1/credits/expire",
    tags=_DEPARTMENT,
    summary="终止到期公示 End what is over",
    response_model=ExpiredAnswer,
)
def expire(use: Use, caller: Caller) -> dict[str, Any]:
    """The server does the same at start and daily. Repeating is harmless."""
    caller.require(Role.OPERATOR, Role.CREDIT_CENTRE)
    return {"expired": use.credits.expire_due()}


@router.get(
    "/v1/credits/{record_id}",
    tags=_DEPARTMENT,
    summary="查看一条信用记录 One entry, with its history",
    response_model=CreditWhole,
)
def show(record_id: RecordId, use: Use, caller: Caller) -> dict[str, Any]:
    """For its department and its subject; for the credit centre without sensitive fields."""
    row = use.credits.row(record_id)
    own = caller.subject_nym is not None and caller.subject_nym == row.subject_nym
    sensitive = own or row.department in use.city.acts_for(caller.department)
    if not own:
        caller.require(Role.CLERK, Role.SEAL_KEEPER, Role.CREDIT_CENTRE)
        if Role.CREDIT_CENTRE not in caller.roles:
            use.city.require_department(caller, row.department)
    return whole_json(use, row, sensitive=sensitive)


@router.post(
    "/v1/credits/{record_id}/publish",
    tags=_DEPARTMENT,
    summary="公示 Publish",
    response_model=ActedAnswer,
)
def publish(
    record_id: RecordId,
    use: Use,
    caller: Caller,
    response: Response,
    body: PublishRequest | None = None,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Organisations only. Being late is told and recorded, not refused."""
    wanted = body or PublishRequest(even_if_minor=False)

    def act(effects: Remember) -> Acted:
        minor = wanted.even_if_minor
        return use.credits.publish(caller, record_id, minor=minor, effects=effects)

    return _acted(use, caller, key, ["publish", record_id], wanted, response, act)


@router.post(
    "/v1/credits/{record_id}/dispute",
    tags=_DEPARTMENT,
    summary="提出异议 Dispute",
    response_model=ActedAnswer,
)
def dispute(
    record_id: RecordId,
    body: DisputeRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """By the subject itself, or on its behalf. The entry stays visible, with the mark."""

    def act(effects: Remember) -> Acted:
        return use.credits.dispute(caller, record_id, body.text, effects=effects)

    return _acted(use, caller, key, ["dispute", record_id], body, response, act)


@router.post(
    "/v1/credits/{record_id}/uphold",
    tags=_DEPARTMENT,
    summary="异议不成立 Reject a dispute",
    response_model=ActedAnswer,
)
def uphold(
    record_id: RecordId,
    body: UpholdRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """By the department, with the reasons. The mark goes."""

    def act(effects: Remember) -> Acted:
        return use.credits.uphold(caller, record_id, body.reason, body.text, effects=effects)

    return _acted(use, caller, key, ["uphold", record_id], body, response, act)


@router.post(
    "/v1/credits/{record_id}/correct",
    tags=_DEPARTMENT,
    summary="更正 Correct",
    response_model=ActedAnswer,
)
def correct(
    record_id: RecordId,
    body: CorrectRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """By the department. What was published before stays beside the new version."""

    def act(effects: Remember) -> Acted:
        return use.credits.correct(
            caller, record_id, body.fields, body.reason, grade=body.grade, effects=effects
        )

    return _acted(use, caller, key, ["correct", record_id], body, response, act)


@router.post(
    "/v1/credits/{record_id}/withdraw",
    tags=_DEPARTMENT,
    summary="撤回 Withdraw",
    response_model=ActedAnswer,
)
def withdraw(
    record_id: RecordId,
    body: WithdrawRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """By the department's seal-keeper, with a public reason."""

    def act(effects: Remember) -> Acted:
        return use.credits.withdraw(caller, record_id, body.reason, effects=effects)

    return _acted(use, caller, key, ["withdraw", record_id], body, response, act)


@router.post(
    "/v1/credits/{record_id}/repair",
    tags=_DEPARTMENT,
    summary="信用修复 Repair",
    response_model=ActedAnswer,
)
def repair(
    record_id: RecordId,
    body: RepairRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """By the department's seal-keeper, once the minimum period is over. It stops being shown."""

    def act(effects: Remember) -> Acted:
        return use.credits.repair(
            caller,
            record_id,
            body.reason,
            duties_fulfilled=body.duties_fulfilled,
            commitment_made=body.commitment_made,
            effects=effects,
        )

    return _acted(use, caller, key, ["repair", record_id], body, response, act)


# ---- erasure -------------------------------------------------------------------------------------


@router.post(
    "/v1/credits/{record_id}/erase",
    tags=_DEPARTMENT,
    summary="销毁信用数据 Erase an entry's data",
    response_model=ErasedAnswer,
)
def erase_entry(
    record_id: RecordId,
    body: EraseRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Once it has ended. The ledger's entries stay, and their proofs still verify."""
    return _erased(
        use, caller, key, record_id, body, response,
        lambda effects: erase_credit(use.credits, caller, record_id, body.reason, effects=effects),
    )  # fmt: skip


@router.post(
    "/v1/licences/{record_id}/erase",
    tags=["证照 licences"],
    summary="销毁证照数据 Erase a licence's data",
    response_model=ErasedAnswer,
)
def erase_document(
    record_id: RecordId,
    body: EraseRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Once it has ended. The ledger's entries stay, and their proofs still verify."""
    return _erased(
        use, caller, key, record_id, body, response,
        lambda effects: erase_licence(
            use.licences, caller, record_id, body.reason, effects=effects
        ),
    )  # fmt: skip


# ---- the public, and the subject itself ----------------------------------------------------------


@router.get(
    "/v1/public/credits",
    tags=_PUBLIC,
    summary="信用公示查询 What is published about an organisation",
    response_model=PublicCredits,
)
def public_credits(
    uscc: Annotated[str, Query(description="统一社会信用代码", max_length=64)],
    use: Use,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> dict[str, Any]:
    """No account. What was repaired, withdrawn or is over is not there, and leaves no hint."""
    code = codes.uscc(uscc)
    nym = use.city.vault.pseudonym("subject", code)
    rows = use.credits.shown(nym, before=before(cursor), limit=limit + 1)
    acts = use.credits.acts([row.record_id for row in rows])
    return {
        "uscc": code,
        "as_of": iso_time(use.city.now()),
        "credits": [public_json(use, row, acts[row.record_id]) for row in rows[:limit]],
        "next": _next(rows, limit),
    }


@router.get(
    "/v1/me/credits",
    tags=_OWN,
    summary="本人信用报告 My own credit file",
    response_model=OwnCredits,
)
def my_credits(
    use: Use, caller: Caller, cursor: Cursor = None, limit: Limit = 50
) -> dict[str, Any]:
    """Every entry about the caller; each is open to it in full at `/v1/credits/{record_id}`."""
    nym = subject_nym(caller)
    rows = use.credits.of_subject(nym, before=before(cursor), limit=limit + 1)
    return {
        "credits": [
            {
                **summary_json(use, row),
                "department_zh": department_zh(use, row.department),
                "repairable_from": use.credits.repairable_from(row).isoformat(),
            }
            for row in rows[:limit]
        ],
        "next": _next(rows, limit),
    }


# ---- small things --------------------------------------------------------------------------------


def _next(rows: Sequence[Row[Any]], limit: int) -> str | None:
    return str(rows[limit - 1].record_index) if len(rows) > limit else None


def _acted(
    use: Services,
    caller: Principal,
    key: str | None,
    what: list[str],
    body: BaseModel,
    response: Response,
    act: Callable[[Remember], Acted],
) -> dict[str, Any]:
    def write(slot: Slot | None) -> dict[str, Any]:
        def remember(connection: Connection, acted: Acted) -> None:
            if slot is not None:
                slot.remember(connection, acted_json(acted))

        return acted_json(act(remember))

    return _once(use, caller, key, what, body, response, write)


def _erased(
    use: Services,
    caller: Principal,
    key: str | None,
    record_id: str,
    body: BaseModel,
    response: Response,
    erase: Callable[[Callable[[Connection, Erased], None]], Erased],
) -> dict[str, Any]:
    def write(slot: Slot | None) -> dict[str, Any]:
        def remember(connection: Connection, erased: Erased) -> None:
            if slot is not None:
                slot.remember(connection, erased_json(erased))

        return erased_json(erase(remember))

    return _once(use, caller, key, ["erase", record_id], body, response, write)


def _once(
    use: Services,
    caller: Principal,
    key: str | None,
    what: list[str],
    body: BaseModel,
    response: Response,
    write: Callable[[Slot | None], Mapping[str, Any]],
) -> dict[str, Any]:
    request = [*what, json.dumps(body.model_dump())]  # JSON, for floats have no one CBOR
    return answer_once(use, caller, key, request, write, response)[0]
