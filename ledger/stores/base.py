"""What a storage engine promises the book.

A store keeps five things: entries (index, leaf hash, bytes, kind, department, time), the full
tiles above level 0 and the partial one at each right edge, the head of the tree, the latest
published checkpoint, and the latest final one. Domain tables of the application live beside them,
in the same database, and
change in the same transactions.

**Durable when?** When `Writer.commit` returns, everything written or seen through that writer
survives loss of power. When it raises, nothing may be concluded: the caller asks again under the
write lock. `publish` survives the death of the process, and need not survive loss of power: what
it stores can always be signed again from the durable head. Where the store may die while the
process lives on, it survives that. `finalise` is durable like a commit: who was shown a final
checkpoint is never shown a smaller one.

**Concurrent with what?** Any number of threads and processes may read and write one store. At
most one writer exists at a time over all of them: `write` waits for the lock, and for a server
that is away, at most the engine's busy time, then raises `ledger-busy`, `ledger-store-unreachable`.
Readers never wait for writers where the engine can help it,
and see one committed snapshot from their first read until they are closed. What a reader can see
is durable.

**Who retries?** Not the store. It reports; the sequencer decides.

**Which errors?** `ledger-busy`, `ledger-head-moved`, `ledger-entry-exists`; of an engine with a
server `ledger-store-lost` (the transaction was broken off, and nothing of it is stored),
`ledger-commit-unknown` (it was broken off in the commit), `ledger-store-unreachable` and
`ledger-not-durable` (the server's settings); for everything else the engine itself reports
`ledger-store-failed` (the driver's message as detail, never bound values).
Absence is an answer, not an error: `None`, an empty list or mapping, or `b""`, as each method says.
Exceptions raised by code run inside `with` blocks pass through unchanged.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, MetaData, Table

from ledger.model import Appended, EntryRow, Head, Published

T = TypeVar("T")

Effects = Callable[[Connection, Sequence[Appended]], T]
"""Domain writes that stand or fall with their entries.

Called inside the transaction, in a savepoint, before commit, once the indices are known. It may
be called again for the same submission when a transaction is repeated, so it touches nothing but
the connection it is given; it neither commits nor rolls back, nor calls the ledger. Rows of the
entries table are written after the effects and cannot be read by them. After a statement that the
database refused, nothing may follow but raising, or undoing a savepoint set before it.
"""


class Reader(Protocol):
    """One snapshot of the store."""

    @property
    def connection(self) -> Connection:
        """The snapshot's connection, for tables of the application."""

    def head(self) -> Head:
        """The tree head of the snapshot; size 0 and the empty root in a fresh store."""

    def published(self) -> Published | None:
        """The published checkpoint; None before the first."""

    def final(self) -> Published | None:
        """The final checkpoint, never ahead of the published one; None before the first."""

    def restored(self) -> bool:
        """Whether a backup was restored here, and not compared with the witnesses since."""

    def last_index(self) -> int | None:
        """The largest index among the entries; None when there are none."""

    def entries(self, start: int, count: int) -> list[bytes]:
        """Entries from `start`, in order, at most `count`; fewer at the end."""

    def leaf_hashes(self, start: int, count: int) -> list[bytes]:
        """Leaf hashes from `start`, in order, at most `count`; fewer at the end."""

    def logged_at(self, index: int) -> int | None:
        """When the entry at `index` was logged, in milliseconds since 1970; None if it is not."""

    def tile(self, level: int, n: int) -> bytes:
        """Hashes of tile `n` of `level` >= 1 written so far, 32 bytes each; b"" when none."""

    def indices_of(self, leaf_hashes: Sequence[bytes]) -> Mapping[bytes, int]:
        """The index of each of these leaf hashes that is in the ledger; others are left out."""

    def damage(self) -> list[str]:
        """What the engine itself finds wrong with its files, in its own words; it may take as long
        as reading them all. Nothing of an engine that offers no such check."""


class Writer(Reader, Protocol):
    """The one open write transaction. What is not committed leaves no trace."""

    def savepoint(self) -> AbstractContextManager[None]:
        """A part of the transaction that is undone alone when its block raises."""

    def insert_entries(self, rows: Sequence[EntryRow]) -> None:
        """Add entries; an index or leaf hash that is there already is `ledger-entry-exists`, after
        which the transaction is good for nothing but being left."""

    def put_tile(self, level: int, n: int, data: bytes) -> None:
        """Write or replace tile `n` of `level` >= 1."""

    def swap_head(self, old: Head, new: Head) -> None:
        """Replace the head if it still is `old`; otherwise `ledger-head-moved`."""

    def insert_rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to any table, values in the order of its columns."""

    def mark_restored(self, restored: bool) -> None:
        """Whether `restored` is true from now on; it stays false while nothing is published."""

    def commit(self) -> None:
        """Make it durable. Called once, as the last thing in the block."""


class Store(Protocol):
    """A place for one ledger and its application's tables."""

    def create(self, *metadata: MetaData) -> None:
        """Bring the tables of the ledger and of these forward (`ledger.stores.migrate`): missing
        ones are created, older ones migrated, each with its data; what is current is left alone.
        Any number of processes may do so at once. Errors: `ledger-schema-newer` and
        `ledger-schema-unknown`, and nothing is changed."""

    def creating(self) -> AbstractContextManager[Writer]:
        """A transaction in which tables may be made or dropped, one at a time. Rows of the ledger
        may be written once `Writer.head` was read, which waits for the write lock."""

    def read(self) -> AbstractContextManager[Reader]:
        """A snapshot, closed with the block."""

    def write(self) -> AbstractContextManager[Writer]:
        """The write lock and a transaction; leaving the block without commit rolls it back."""

    def publish(self, checkpoint: Published, final: bool = False) -> Published:
        """Store a checkpoint unless one of the same or a larger size is there; return what is.
        With `final`, also as the final one, on the same condition, in the same transaction."""

    def finalise(self, checkpoint: Published) -> Published:
        """Store a final checkpoint unless one of the same or a larger size is; return what is."""

    def compared(self) -> None:
        """What was restored here has been compared with the witnesses: `Reader.restored` ends."""

    def close(self) -> None:
        """Let go of every connection. The store cannot be used afterwards."""
