"""Leaf hashes on SQLite: looked up, and kept from coming twice, at a cost that does not grow.

An index over all leaf hashes would be written at a random page for nearly every new entry. Here it
is ordered by *epoch* first, of `EPOCH` entries each, so that what is written is one small part of
it, and the engine itself keeps hashes unique within an epoch. For the epochs before, a Bloom filter
in memory (`ledger.stores.leaf_filter`) tells nearly all that are new; what it cannot tell is looked
up, in each epoch there is: about two microseconds an epoch.

The filter is this process's alone, made from entries that are committed, and brought up to date
under the write lock, before anything is written: other processes may have appended. A process that
writes little makes none, and looks up instead.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from ledger.stores.leaf_filter import SEGMENT, LeafFilter

_SHIFT: Final = 14
EPOCH: Final = 1 << _SHIFT
INDEX: Final = "entries_leaf"
EXPRESSION: Final = f"(idx >> {_SHIFT})"
"""The first column of the index."""

WORTH: Final = 2_048
"""Hashes looked up without a filter before one is made: it costs about as much."""

_SIZES: Final = (1, 16, 256)  # few shapes, so that the driver's statement cache serves them
_FIND = f"""
    WITH RECURSIVE epochs (number) AS
        (SELECT ? UNION ALL SELECT number + 1 FROM epochs WHERE number < ?)
    SELECT leaf_hash, idx FROM epochs CROSS JOIN entries INDEXED BY {INDEX}
    ON {EXPRESSION} = number AND leaf_hash IN (%s)
"""  # noqa: S608 - constants of this module
_OF_EPOCH = f"SELECT leaf_hash FROM entries INDEXED BY {INDEX} WHERE {EXPRESSION} = ?"  # noqa: S608
_RANGE = "SELECT leaf_hash FROM entries WHERE idx BETWEEN ? AND ? ORDER BY idx"
_LAST = "SELECT max(idx) FROM entries"


def find(
    connection: Connection, leaf_hashes: Sequence[bytes], first: int, last: int
) -> dict[bytes, int]:
    """The indices of those that stand in the epochs of entries `first` to `last`, or between."""
    found: dict[bytes, int] = {}
    epochs = first >> _SHIFT, last >> _SHIFT
    at = 0
    while last >= first and at < len(leaf_hashes):
        left = len(leaf_hashes) - at
        size = next((s for s in _SIZES if s >= left), _SIZES[-1])
        chunk = tuple(leaf_hashes[at : at + size])
        chunk += chunk[-1:] * (size - len(chunk))
        query = _FIND % ",".join("?" * size)
        found.update(connection.exec_driver_sql(query, (*epochs, *chunk)).all())
        at += size
    return found


def last_index(connection: Connection) -> int:
    """Of the entries; -1 where there are none."""
    last: int | None = connection.exec_driver_sql(_LAST).scalar_one()
    return -1 if last is None else last


class Leaves:
    """What one store knows of its leaf hashes: of entries that are committed, and of no others."""

    def __init__(self) -> None:
        self._filter = LeafFilter()
        self._newest: list[bytes] = []  # the last one covered, which must stand where it stood
        self._looked_up = 0
        self._turn = threading.Lock()

    @property
    def due(self) -> bool:
        """Whether the filter is to be made now. It takes a second or two for a million entries, and
        any snapshot will do: then nobody need wait for the write lock meanwhile."""
        return self._looked_up >= WORTH and not self._filter.covered

    def cover(self, connection: Connection) -> None:
        """Everything that is committed in a snapshot, unless another has been faster."""
        with self._turn:
            if self._filter.covered:
                return
            self._cover(connection, last_index(connection))

    def find(self, connection: Connection, leaf_hashes: Sequence[bytes]) -> Mapping[bytes, int]:
        """The indices of those that are there; in a transaction that has the write lock and has
        added no entries yet."""
        if not leaf_hashes:
            return {}
        last = last_index(connection)
        with self._turn:
            if self._looked_up < WORTH:
                self._looked_up += len(leaf_hashes)
                return find(connection, leaf_hashes, 0, last)
            self._cover(connection, last)
            possible = self._filter.possible(leaf_hashes)
        found: dict[bytes, int] = {}
        for first, hashes in possible.items():
            found.update(find(connection, hashes, first, min(first + SEGMENT - 1, last)))
        return found

    def committed(self, first: int, leaf_hashes: Sequence[bytes]) -> None:
        """Entries from `first` on that this store has added; they need not be read again."""
        with self._turn:
            if self._looked_up >= WORTH and self._filter.covered == first and leaf_hashes:
                self._filter.add(leaf_hashes)
                self._newest = [leaf_hashes[-1]]

    def _cover(self, connection: Connection, last: int) -> None:
        """Everything up to the entry `last`; from the first on, if the entries are others now."""

        def hashes(query: str, *values: int) -> list[bytes]:
            return list(connection.exec_driver_sql(query, values).scalars())

        covered = self._filter.covered
        if hashes(_RANGE, covered - 1, covered - 1) != self._newest:
            self._filter, self._newest = LeafFilter(), []
        if self._filter.covered > last:
            return
        while (covered := self._filter.covered) <= last:
            end = covered | (EPOCH - 1)
            if covered % EPOCH == 0 and end <= last:
                self._filter.add(hashes(_OF_EPOCH, covered >> _SHIFT))  # reads the index alone
            else:
                self._filter.add(hashes(_RANGE, covered, min(end, last)))
        self._newest = hashes(_RANGE, last, last)
