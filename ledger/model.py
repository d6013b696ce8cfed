"""The values the book deals in."""

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

MAX_ENTRY_BYTES = 65_535
"""Largest entry: bundles carry its length as a uint16 (C2SP tlog-tiles)."""


class Draft(NamedTuple):
    """Something to log: its bytes, and the columns a query may want."""

    entry: bytes
    kind: int
    dept: str


class Appended(NamedTuple):
    """Where an entry stands. `existing`: it stood there before, no second copy was made."""

    index: int  # type: ignore[assignment]  # hides `tuple.index`, which nobody needs here
    leaf_hash: bytes
    entry: bytes
    existing: bool


EntryRow = tuple[int, bytes, bytes, int, str, int]
"""A row of the entries table: idx, leaf_hash, data, kind, dept, time_ms.

A plain tuple, because the garbage collector need not follow one of plain values; with named ones
it spends a quarter of the time of an append.
"""


class Head(NamedTuple):
    """The tree as committed: size, RFC 9162 root, hashes of its full subtrees, largest first."""

    size: int
    root: bytes
    frontier: tuple[bytes, ...]


class Published(NamedTuple):
    """The latest checkpoint shown to the world: its tree size and the signed note."""

    size: int
    note: bytes


class Checkpoints(NamedTuple):
    """What is published of one snapshot: `signed` covers every acknowledged entry, `final` is the
    latest that its witness policy was met for, and never ahead of it; None before the first."""

    signed: Published
    final: Published | None


class Standing(NamedTuple):
    """Where a ledger stands, of one snapshot: tree sizes, when the first entry that is not final
    yet was logged (milliseconds since 1970; None where there is none), and whether a backup was
    restored, and not compared with the witnesses since."""

    head: int
    signed: int
    final: int
    pending_since: int | None
    restored: bool


@dataclass(frozen=True)
class Committed(Generic[T]):
    """An acknowledged submission: durable, and covered by a published checkpoint.

    `size` is a tree size, at least one past every index here, for which a signed checkpoint has
    been published; `result` is what the effects returned.
    """

    appended: tuple[Appended, ...]
    result: T
    size: int
