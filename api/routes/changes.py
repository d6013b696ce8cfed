"""Changes of authority: proposed by one officer, approved by another; and who the officers are."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import Connection

from api.change_words import describe
from api.changes import STATE_ZH, Change
from api.context import Caller, IdempotencyKey, Services, Use
from api.errors import ServiceError
from api.idempotency import Slot
from api.principals import Role
from api.routes.authority_models import ChangePage, ChangeShown, OfficersShown
from api.routes.parts import Cursor, answer_once, before, with_finality
from api.rules.days import iso_time
from keys.names import cose_key_bytes
from verifier.change import parse_proposal
from verifier.codec import b64decode, b64encode
from verifier.keylife import Moment
from verifier.kinds import KINDS

router = APIRouter(prefix="/v1", tags=["变更 changes"])
_MAX_BODY = 49_152
_BINARY_TYPES = ("application/cose", "application/octet-stream")
_READERS = (Role.OPERATOR, Role.AUDITOR, Role.SEAL_KEEPER, Role.CLERK)
_WRITERS = (Role.OPERATOR, Role.SEAL_KEEPER)

ChangeId = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the proposal")]


class Signed(BaseModel):
    """What an officer signed."""

    model_config = ConfigDict(extra="forbid")

    cose: str = Field(max_length=4 * _MAX_BODY // 3 + 4, description="COSE_Sign1, base64")


_SIGNED = TypeAdapter(Signed)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": Signed.model_json_schema()},
            "application/cose": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


async def _signed(request: Request) -> bytes:
    """The COSE_Sign1 of a request: its body, or base64 in JSON."""
    body = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in _BINARY_TYPES:
        return body
    if media_type != "application/json":
        raise ServiceError("media-type-unsupported", media_type[:64])
    try:
        return b64decode(_SIGNED.validate_json(body).cose, max_bytes=_MAX_BODY)
    except ValidationError as error:
        raise ServiceError("request-invalid", "cose") from error


Cose = Annotated[bytes, Depends(_signed)]


@router.get("/officers", summary="经办人 Officers", response_model=OfficersShown)
def officers(use: Use) -> dict[str, Any]:
    """All that were ever enrolled, by duty name; the ledger holds no person's."""
    listed = [
        {
            "id": officer.id,
            "of": officer.of,
            "kid": officer.kid.hex(),
            "suite": officer.suite.name,
            "public": b64encode(cose_key_bytes(officer.suite, officer.public)),
            "index": officer.index,
            "left": moment_json(officer.left),
        }
        for officer in use.city.authorities.officers.values()
    ]
    return {"officers": listed}


@router.post(
    "/changes",
    status_code=201,
    summary="提交变更提案 Propose a change",
    response_model=ChangeShown,
    openapi_extra=_BODY,
)
def propose(
    use: Use, caller: Caller, raw: Cose, response: Response, key: IdempotencyKey = None
) -> dict[str, Any]:
    """What one officer signed. Refused at once if it could not take effect; the same proposal
    again is the same change."""
    caller.require(*_WRITERS)

    def write(slot: Slot | None) -> dict[str, Any]:
        return change_json(use, use.changes.propose(raw, _remembering(use, slot)))

    return answer_once(use, caller, key, ["propose", raw], write, response)[0]


@router.get("/changes", summary="变更列表 List changes", response_model=ChangePage)
def changes(
    use: Use,
    caller: Caller,
    state: Annotated[Literal["open", "logged", "withdrawn", "lapsed"] | None, Query()] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Newest first."""
    caller.require(*_READERS)
    rows = use.changes.changes(state=state, before=before(cursor), limit=limit + 1)
    more = len(rows) > limit
    return {
        "changes": [with_finality(use, change_json(use, row)) for row in rows[:limit]],
        "next": str(rows[limit - 1].number) if more else None,
    }


@router.get("/changes/{change_id}", summary="查看一项变更 One change", response_model=ChangeShown)
def show(change_id: ChangeId, use: Use, caller: Caller) -> dict[str, Any]:
    """What it would do, in words, and the proposal itself for whoever approves it."""
    caller.require(*_READERS)
    return with_finality(use, change_json(use, use.changes.change(change_id)))


@router.post(
    "/changes/{change_id}/approval",
    summary="批准 Approve",
    response_model=ChangeShown,
    openapi_extra=_BODY,
)
def approve(
    change_id: ChangeId,
    use: Use,
    caller: Caller,
    raw: Cose,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """What another officer signed over this very proposal. The change is logged, or nothing is."""
    caller.require(*_WRITERS)

    def write(slot: Slot | None) -> dict[str, Any]:
        return change_json(use, use.changes.approve(change_id, raw, _remembering(use, slot)))

    return answer_once(use, caller, key, ["approve", change_id, raw], write, response)[0]


@router.delete("/changes/{change_id}", status_code=204, summary="撤回提案 Withdraw a proposal")
def withdraw(change_id: ChangeId, use: Use, caller: Caller) -> None:
    """By the operator or a seal-keeper of the department concerned, while it is open."""
    use.changes.withdraw(caller, change_id)


def _remembering(use: Services, slot: Slot | None) -> Callable[[Connection, Change], None] | None:
    if slot is None:
        return None
    return lambda connection, change: slot.remember(connection, change_json(use, change))


def change_json(use: Services, change: Change) -> dict[str, Any]:
    """A change with what it does in words. Reads nothing: it is called in transactions too."""
    kind, state = KINDS[change.kind], use.changes.state_of(change)
    zh, en = describe(
        change.kind,
        parse_proposal(change.proposal).facts,
        authorities=use.city.roll.known.authorities,
        types=use.city.type_names,
        issuers=use.city.type_issuers,
    )
    return {
        "id": change.id,
        "kind": kind.name,
        "kind_zh": kind.zh,
        "concerns": change.concerns,
        "summary_zh": zh,
        "summary_en": en,
        "state": state,
        "state_zh": STATE_ZH[state],
        "proposer": change.proposer,
        "proposed_at": iso_time(change.proposed_at),
        "before": iso_time(change.before),
        "approver": change.approver,
        "decided_at": None if change.decided_at is None else iso_time(change.decided_at),
        "index": change.idx,
        "proposal": b64encode(change.proposal),
    }


def moment_json(moment: Moment | None) -> dict[str, Any] | None:
    return None if moment is None else {"index": moment.index, "at": iso_time(moment.at)}
