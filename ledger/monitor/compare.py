"""How one signed checkpoint stands to another: of one history, or evidence that there are two.

The head is what the monitor has hashed itself, entry by entry, so it can say what the tree was at
every smaller size. For a larger checkpoint somebody has to show a tree: the tiles of a source give
the RFC 9162 proof, and only a proof that gives the checkpoint's own root says anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from ledger.errors import LedgerError
from ledger.monitor.errors import MonitorError
from ledger.readside import ReadSide, read_tile
from verifier.checkpoint import Checkpoint
from verifier.errors import Refused
from verifier.merkle import roots_from_consistency
from verifier.note import VerifierKey
from verifier.split_view import SplitView, make_split_view
from verifier.tiles import TileTree


class Relation(Enum):
    """Of a checkpoint to the head: the same, an earlier or a later one of the same history, one of
    another history, or one whose tree nobody shows."""

    SAME = 1
    EARLIER = 2
    LATER = 3
    SPLIT = 4
    UNPROVED = 5


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint with the note that the log signed, byte for byte."""

    note: bytes
    checkpoint: Checkpoint


def relate(
    head: Signed | None, tree: ReadSide, shown: Signed, sources: Iterable[ReadSide]
) -> tuple[Relation, list[bytes]]:
    """How `shown` stands to `head`, whose tiles `tree` has; with a split, the hashes that prove it.

    `sources` may have tiles of the tree of `shown`. Both were signed by the log: that is checked
    elsewhere. `monitor-state-damaged`: the tiles in `tree` are not those of the head.
    """
    new = shown.checkpoint
    if head is None or not head.checkpoint.size:
        return Relation.LATER, []
    old = head.checkpoint
    if (old.size, old.root) == (new.size, new.root):
        return Relation.SAME, []
    if not new.size:
        return Relation.EARLIER, []
    if old.size == new.size:
        return Relation.SPLIT, []
    if new.size < old.size:
        try:
            hashes, (then, now) = _roots(tree, new.size, old.size)
        except (LedgerError, Refused) as error:
            raise MonitorError("monitor-state-damaged", f"tiles: {error.code}") from error
        if now != old.root:
            raise MonitorError("monitor-state-damaged", "tiles")
        return (Relation.EARLIER, []) if then == new.root else (Relation.SPLIT, hashes)
    for source in sources:
        try:
            hashes, (then, now) = _roots(source, old.size, new.size)
        except (LedgerError, Refused):
            continue
        if now == new.root:
            return (Relation.LATER, []) if then == old.root else (Relation.SPLIT, hashes)
    return Relation.UNPROVED, []


def evidence(
    notes: tuple[bytes, bytes],
    log_keys: Sequence[VerifierKey],
    hashes: Sequence[bytes],
    witnesses: Sequence[VerifierKey],
) -> SplitView:
    """The evidence under all keys known; where some line spoils that, under the first log key."""
    try:
        return make_split_view(notes, log_keys, hashes, witnesses)
    except Refused:
        return make_split_view(notes, log_keys[:1], hashes)


def _roots(source: ReadSide, size1: int, size2: int) -> tuple[list[bytes], tuple[bytes, bytes]]:
    tree = TileTree(size2, lambda level, n, width: read_tile(source, level, n, width))
    hashes = tree.consistency_subproof(size1)
    return hashes, roots_from_consistency(size1=size1, size2=size2, subproof=hashes)
