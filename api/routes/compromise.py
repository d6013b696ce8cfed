"""What a compromised key signed that does not count, and issuing it anew."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api.affected import Step, affected_json, affected_page, compromised_key
from api.context import Caller, Services, Use
from api.principals import Principal, Role
from api.resign import MOST, Outcome, Resigner, require_keeper
from api.routes.parts import ID_PATTERN, Cursor, before
from verifier.authorities import EnrolledKey

router = APIRouter(prefix="/v1/keys", tags=["密钥泄露 compromised keys"])
Kid = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="Key id, hex")]
StepName = Literal[
    "resign", "confirm", "with-licence", "person", "ahead", "foreign", "done", "followed", "ended",
    "expired", "erased", "nothing",
]  # fmt: skip


class AffectedEntry(BaseModel):
    """An entry that does not count, and what is to be done about it."""

    index: int
    leaf: str
    kind: str
    kind_zh: str
    record_id: str
    type: str | None
    issued_at: str = Field(description="As the entry says; a thief may write any time")
    own: bool = Field(description="It is in the department's books")
    state: str | None = Field(description="Present state of the record")
    successor: str | None = Field(description="Record id of the licence that renewed it")
    step: StepName
    step_zh: str
    step_en: str


class AffectedEntries(BaseModel):
    """In ledger order. A page may be empty and not the last: go on while `next` is not null."""

    entries: list[AffectedEntry]
    next: str | None = Field(description="`cursor` of the next page; null at the end")


class ResignRequest(BaseModel):
    """Which entries to deal with. Repeating a request does nothing twice."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(None, description="`next` of the answer before")
    records: list[Annotated[str, Field(pattern=ID_PATTERN)]] | None = Field(
        None, min_length=1, max_length=10_000, description="Only these records; default: all"
    )
    dry_run: bool = Field(False, description="Count what would be done, and do nothing")
    limit: int = Field(MOST, ge=1, le=MOST, description="Entries at most, in one transaction")


class ResignedLicence(BaseModel):
    """Record ids of the old and of the new licence, ledger index of the new one."""

    old: str
    new: str
    index: int


class LeftEntry(BaseModel):
    """An entry that could not be dealt with; see docs/errors.md."""

    index: int
    record_id: str
    code: str


class ResignAnswer(BaseModel):
    """What was done. Go on while `next` is not null."""

    resigned: list[ResignedLicence]
    confirmed: list[str] = Field(description="Records whose last act was signed again")
    left: list[LeftEntry]
    found: dict[StepName, int] = Field(description="What was to be done about the entries found")
    next: str | None


@router.get(
    "/{kid}/affected",
    summary="受影响的文书 What a compromised key signed that does not count",
    response_model=AffectedEntries,
)
def list_affected(
    kid: Kid,
    use: Use,
    caller: Caller,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> dict[str, Any]:
    """For the operator, an auditor, and the key's department. No content."""
    key = compromised_key(use.city, bytes.fromhex(kid))
    _require_reader(use, caller, key)
    page = affected_page(use.city, key, before(cursor) or 0, limit=limit)
    return {
        "entries": [affected_json(entry) for entry in page.entries],
        "next": None if page.next is None else str(page.next),
    }


@router.post(
    "/{kid}/resign",
    summary="用新密钥换发 Issue anew under the new key",
    response_model=ResignAnswer,
)
def resign(kid: Kid, body: ResignRequest, use: Use, caller: Caller) -> dict[str, Any]:
    """By a seal-keeper of the key's department. Licences in force get a new statement of the same
    term and disclosures, the old ones end with the reason `key-compromised`."""
    key = compromised_key(use.city, bytes.fromhex(kid))
    require_keeper(use.city, caller, key)
    resigner = Resigner(
        use.licences,
        key.kid,
        client=caller.client,
        records=body.records,
        dry_run=body.dry_run,
    )
    return outcome_json(resigner.page(before(body.cursor) or 0, limit=body.limit))


def _require_reader(use: Services, caller: Principal, key: EnrolledKey) -> None:
    if caller.roles.isdisjoint((Role.OPERATOR, Role.AUDITOR)):
        caller.require(Role.SEAL_KEEPER, Role.CLERK)
        use.city.require_department(caller, key.issuer.rpartition("/")[2])


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "resigned": [
            {"old": each.old, "new": each.new, "index": each.index} for each in outcome.resigned
        ],
        "confirmed": outcome.confirmed,
        "left": [
            {"index": left.entry.index, "record_id": left.entry.record_id, "code": left.code}
            for left in outcome.left
        ],
        "found": {step.value: outcome.counts[step] for step in Step if outcome.counts[step]},
        "next": None if outcome.next is None else str(outcome.next),
    }
