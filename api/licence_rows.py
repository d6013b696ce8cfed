"""Licences as values and as rows: prepared, held, issued; and the writes on their tables.

Everything here runs inside a transaction that the caller opened, or touches no database at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, bindparam, insert, update
from sqlalchemy.exc import IntegrityError

from api.errors import ServiceError
from api.rules.catalogue import LicenceType, Value
from api.rules.days import EPOCH, day_number
from api.rules.workdays import add_months
from api.tables import ACTS, LICENCES
from ledger.model import Appended
from verifier.kinds import LICENCE_STATE
from verifier.states import STATES

IN_CHUNK = 400
"""Values in one IN list."""
_RENEW = (
    update(LICENCES)
    .where(LICENCES.c.record_id == bindparam("old"), LICENCES.c.head_leaf == bindparam("seen"))
    .where(LICENCES.c.renewed_by.is_(None))
    .values(renewed_by=bindparam("new"))
)
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Held:
    """A licence as its row holds it, and as it may be renewed."""

    record_id: str
    department: str
    type_code: str
    version: int
    state: int
    head_leaf: bytes
    renewed_by: str | None
    valid_until: int | None
    number_nym: bytes
    holder_nym: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """The canonical values of a licence and its days of validity, checked, not yet signed."""

    values: Mapping[str, Value]
    valid_from: int
    valid_until: int | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A licence validated, signed and sealed, not yet logged. `row` lacks its ledger index."""

    type: LicenceType
    record_id: str
    identifier: str
    statement: bytes
    disclosures: Sequence[bytes]
    row: dict[str, Any]
    renews: Held | None

    def held(self) -> Held:
        """The licence as its row will hold it."""
        row = self.row
        return Held(
            self.record_id,
            row["department"],
            self.type.code,
            row["version"],
            row["state"],
            row["head_leaf"],
            row["renewed_by"],
            row["valid_until"],
            row["number_nym"],
            row["holder_nym"],
        )


@dataclass(frozen=True, slots=True)
class Issued:
    """A logged licence: what the holder is handed. `index` is its ledger index."""

    record_id: str
    identifier: str
    index: int
    leaf: bytes
    statement: bytes
    disclosures: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class StateChanged:
    """A logged change of state."""

    record_id: str
    state: int
    reason: str
    index: int
    leaf: bytes


def check_renewable(held: Held) -> None:
    """Raises `licence-renewed` or `licence-ended` unless the licence may be renewed."""
    if held.renewed_by is not None:
        raise ServiceError("licence-renewed", held.record_id)
    if STATES[held.state].final:
        raise ServiceError("licence-ended", STATES[held.state].zh)


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """`items` in runs of at most `size`."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


def insert_licences(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises `licence-exists` where an identifier or record id is there already.

    The rows go to the driver's `executemany` as they are: no column needs a conversion.
    """
    statement = insert(LICENCES).compile(dialect=connection.dialect)
    try:
        if statement.positional:
            columns = statement.positiontup or ()
            values = [tuple([row[column] for column in columns]) for row in rows]
            connection.exec_driver_sql(str(statement), values)
        else:
            connection.execute(insert(LICENCES), list(rows))
    except IntegrityError as error:
        raise ServiceError("licence-exists") from error


def apply_state(
    connection: Connection,
    held: Held,
    entry: Appended,
    state: int,
    reason: str,
    client: str,
    now: int,
) -> None:
    """Moves the row on and remembers the act; `licence-changed-meanwhile` if another did first."""
    moved = connection.execute(
        update(LICENCES)
        .where(LICENCES.c.record_id == held.record_id, LICENCES.c.head_leaf == held.head_leaf)
        .values(state=state, head_leaf=entry.leaf_hash)
    )
    if moved.rowcount != 1:
        raise ServiceError("licence-changed-meanwhile", held.record_id)
    act = {
        "idx": entry.index,
        "record_id": held.record_id,
        "kind": LICENCE_STATE,
        "state": state,
        "reason": reason,
        "client": client,
        "at": now,
    }
    connection.execute(insert(ACTS), act)


def validity_days(type_: LicenceType, values: Mapping[str, Value]) -> tuple[int, int | None]:
    """(first, last) day of validity, counted from 1970-01-01; last is None for 长期.

    The end is the field of the type's dictionary, or follows from the years of the type.
    """
    start = date.fromisoformat(str(values[type_.from_field]))
    given = values.get(type_.until_field) if type_.until_field else None
    if given is not None:
        end: date | None = date.fromisoformat(str(given))
    elif type_.until_field is None and type_.validity_years is not None:
        end = add_months(start, 12 * type_.validity_years) - timedelta(days=1)
    else:
        end = None
    if start < EPOCH or (end is not None and end < start):
        raise ServiceError("licence-dates-invalid", f"{start} – {end}")
    return day_number(start), None if end is None else day_number(end)


def mark_renewed(connection: Connection, renewals: Sequence[tuple[Held, str]]) -> None:
    """Each of the renewed must still be as it was seen, else `licence-changed-meanwhile`."""
    if not renewals:
        return
    rows = [
        {"old": held.record_id, "seen": held.head_leaf, "new": new_id} for held, new_id in renewals
    ]
    if connection.execute(_RENEW, rows).rowcount != len(rows):
        raise ServiceError("licence-changed-meanwhile", renewals[0][0].record_id)


def held_of(row: Row[Any]) -> Held:
    return Held(
        row.record_id,
        row.department,
        row.type_code,
        row.version,
        row.state,
        row.head_leaf,
        row.renewed_by,
        row.valid_until,
        row.number_nym,
        row.holder_nym,
    )
