"""The order in which rows are taken: a renewal after what it renews.

One pass over the file finds its hash, its number of rows, and the licence numbers whose terms do
not stand in order. Rows of these numbers are held back until the others are through, and then
taken term by term; everything else is taken in the order of the file. The order follows from the
file and the map alone, so a position in it means the same after a restart.

Memory: about 100 bytes for each distinct number of the file, and the rows held back.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b

from api.errors import ServiceError
from api.imports.mapping import RowMapper
from api.imports.reader import BadRow, Row
from api.rules.catalogue import LicenceType

MAX_HELD_BACK = 100_000
"""Rows held back at most; beyond that the file is to be sorted first."""

Key = tuple[int, int]
"""(64-bit digest of the licence number, first day of the term)."""
KeyOf = Callable[[Row], Key | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows of the file, and the digests of the numbers whose rows are held back."""

    rows: int
    held_back: frozenset[int]


def key_of(mapper: RowMapper, type_: LicenceType) -> KeyOf:
    """Reads number and term of a row; `None` where they cannot be read (it will be refused)."""
    number_field, from_field = type_.number_field, type_.from_field
    read_number = type_.readers[number_field][0]
    read_day = type_.readers[from_field][0]

    def key(row: Row) -> Key | None:
        try:
            number = read_number(mapper.field(row, number_field))
            day = read_day(mapper.field(row, from_field))
        except ServiceError:
            return None
        if number is None or day is None:
            return None
        digest = blake2b(str(number).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big"), date.fromisoformat(str(day)).toordinal()

    return key


def make_plan(rows: Iterable[Row | BadRow], key: KeyOf | None) -> Plan:
    """One pass over all rows. Without `key` no order is asked for."""
    count, held_back = 0, set[int]()
    latest: dict[int, int] = {}
    for row in rows:
        count += 1
        found = key(row) if key is not None and isinstance(row, Row) else None
        if found is not None:
            number, day = found
            if latest.setdefault(number, day) > day:
                held_back.add(number)
            else:
                latest[number] = day
    return Plan(count, frozenset(held_back))


def in_order(rows: Iterable[Row | BadRow], plan: Plan, key: KeyOf | None) -> Iterator[Row | BadRow]:
    """The rows as the plan takes them. Raises `import-too-unordered`."""
    if key is None or not plan.held_back:
        yield from rows
        return
    later: list[tuple[int, int, Row]] = []
    for row in rows:
        if isinstance(row, Row):
            found = key(row)
            if found is not None and found[0] in plan.held_back:
                if len(later) == MAX_HELD_BACK:
                    raise ServiceError("import-too-unordered", f"{MAX_HELD_BACK} rows")
                later.append((found[1], row.line, row))
                continue
        yield row
    later.sort(key=lambda item: item[:2])
    for _, _, row in later:
        yield row
