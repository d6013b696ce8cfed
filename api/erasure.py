"""Erasure (个人信息保护法 art. 47): a record's data key and box are destroyed, its entries stay.

The erasure is itself a statement that follows the record's last act. Pseudonyms become random, so
no look-up leads to the record any more, and stored answers to writes about it go with it. Every
proof still verifies; what the digests stood for, nobody can say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, Table, update

from api.city import City
from api.credit_rows import remember_act
from api.credits import Credits
from api.errors import ServiceError
from api.idempotency import forget
from api.licences import Licences
from api.principals import Principal, Role
from api.resign import same_content
from api.rules.days import china_day, day_of
from api.rules.workdays import add_months
from api.tables import CREDITS, LICENCES
from ledger.model import Appended, Draft
from verifier.credit import Phase
from verifier.kinds import ERASURE
from verifier.statement import Content
from verifier.states import STATES

UNLAWFUL = "unlawful-processing"
"""The reason that waits for no end and no retention."""
RETENTION_ENDED = "retention-ended"
_NYM_SIZE = 32


@dataclass(frozen=True, slots=True)
class Erased:
    """A logged erasure."""

    record_id: str
    reason: str
    index: int
    leaf: bytes


Remember = Callable[[Connection, Erased], None]


def erase_licence(
    licences: Licences,
    principal: Principal,
    record_id: str,
    reason: str,
    *,
    effects: Remember | None = None,
) -> Erased:
    """Destroys the content of a licence that has ended, or was processed unlawfully.

    Where a leaked key had it issued anew, two licences hold the same digests and salts: both are
    erased, or none (`erasure-too-early` while the other must be kept). Raises: licence-unknown,
    role-missing, department-mismatch, erasure-reason-does-not-fit, erasure-too-early,
    record-erased, licence-changed-meanwhile.
    """
    city, row = licences.city, licences.row(record_id)
    _check(city, principal, row, reason)
    rows = [row, *same_content(licences, row)]
    if reason != UNLAWFUL:
        years = city.catalogue.licence_type(row.type_code).retention_years
        for each in rows:
            _check_over(city, reason, _licence_end(licences, each), years)

    def changes() -> dict[str, Any]:
        return _nyms(city, "holder_nym", "number_nym", "identifier_nym")

    return _erase(
        city, LICENCES, rows, principal, reason, changes, "licence-changed-meanwhile", effects
    )


def erase_credit(
    credit_entries: Credits,
    principal: Principal,
    record_id: str,
    reason: str,
    *,
    effects: Remember | None = None,
) -> Erased:
    """Destroys the content of an entry that has ended; one in force is withdrawn first.

    Raises as `erase_licence`, with credit-unknown and credit-changed-meanwhile.
    """
    city, row = credit_entries.city, credit_entries.row(record_id)
    _check(city, principal, row, reason)
    if row.phase != Phase.ENDED:
        raise ServiceError("erasure-too-early", record_id)
    if reason != UNLAWFUL:
        type_ = city.catalogue.credit_type(row.type_code)
        _check_over(city, reason, day_of(row.document_day), type_.retention_years)

    def changes() -> dict[str, Any]:
        return {**_nyms(city, "subject_nym"), "key_nym": None, "last_kind": ERASURE}

    return _erase(
        city, CREDITS, [row], principal, reason, changes, "credit-changed-meanwhile", effects
    )


def _check(city: City, principal: Principal, row: Row[Any], reason: str) -> None:
    principal.require(Role.SEAL_KEEPER)
    city.require_department(principal, row.department)
    if city.catalogue.reason(reason).applies != "erasure":
        raise ServiceError("erasure-reason-does-not-fit", reason)
    if row.wrapped_key is None:
        raise ServiceError("record-erased", row.record_id)


def _check_over(city: City, reason: str, ended: date | None, retention_years: int) -> None:
    """The record has ended, and where that is the reason, its retention is over too."""
    if ended is None:
        raise ServiceError("erasure-too-early", "in force")
    last = add_months(ended, 12 * retention_years)
    if reason == RETENTION_ENDED and china_day(city.now()) <= last:
        kept = last.isoformat()
        raise ServiceError("erasure-too-early", kept, extra={"kept_until": kept})


def _licence_end(licences: Licences, row: Row[Any]) -> date | None:
    """The day a licence ended: by an act, by renewal, or by its own last day; None in force."""
    acts = licences.acts(row.record_id)
    if STATES[row.state].final and acts:
        return china_day(acts[-1].at)
    if row.renewed_by is not None:
        return china_day(licences.row(row.renewed_by).issued_at)
    if row.valid_until is not None and day_of(row.valid_until) < china_day(licences.city.now()):
        return day_of(row.valid_until)
    return None


def _nyms(city: City, *columns: str) -> dict[str, Any]:
    return {column: city.random(_NYM_SIZE) for column in columns}


def _erase(
    city: City,
    table: Table,
    rows: Sequence[Row[Any]],
    principal: Principal,
    reason: str,
    changes: Callable[[], Mapping[str, Any]],
    changed: str,
    effects: Remember | None,
) -> Erased:
    """Of these records in one transaction; the answer is about the first."""
    now = city.now()
    drafts = [_draft(city, row, reason, now) for row in rows]

    def write(connection: Connection, appended: Sequence[Appended]) -> Erased:
        for row, entry in zip(rows, appended, strict=True):
            moved = connection.execute(
                update(table)
                .where(table.c.record_id == row.record_id, table.c.head_leaf == row.head_leaf)
                .values(head_leaf=entry.leaf_hash, wrapped_key=None, box=None, **changes())
            )
            if moved.rowcount != 1:
                raise ServiceError(changed, row.record_id)
            forget(connection, row.record_id)
            remember_act(connection, row.record_id, entry, ERASURE, reason, principal.client, now)
        erased = Erased(rows[0].record_id, reason, appended[0].index, appended[0].leaf_hash)
        if effects is not None:
            effects(connection, erased)
        return erased

    return city.append(drafts, write).result


def _draft(city: City, row: Row[Any], reason: str, now: int) -> Draft:
    content = Content(ERASURE, type_code=row.type_code, predecessor=row.head_leaf, reason=reason)
    statement = city.sign(content, department=row.department, record_id=row.record_id, at=now)
    return Draft(statement, ERASURE, city.acting(row.department))
