"""What a mirror demands of a checkpoint, and what follows when a log contradicts what it signed.

    theirs larger     the tree of the known size inside it has the known root, or two histories
    theirs as large   the same root, or two histories
    theirs smaller    the source is behind; and if our own tiles give another root at that size,
                      two histories

Two histories are proved by the file of `verifier.split_view`, which needs nobody's word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.errors import LedgerError
from verifier.checkpoint import Checkpoint, checkpoint_of
from verifier.errors import Refused
from verifier.merkle import EMPTY_ROOT, HASH_SIZE
from verifier.note import VerifierKey, parse_note
from verifier.policy import Policy
from verifier.split_view import format_split_view, make_split_view
from verifier.tiles import FULL_WIDTH, ReadTile, TileTree, tile_widths


class Contradiction(LedgerError):
    """A log that takes back what it signed. `files` say so, by name; `proved` are the checkpoints
    of which they are proof."""

    def __init__(
        self,
        code: str,
        detail: str,
        files: Mapping[str, bytes],
        proved: Sequence[Checkpoint] = (),
    ) -> None:
        super().__init__(code, detail)
        self.files, self.proved = files, proved


@dataclass(frozen=True)
class Demands:
    """What a checkpoint must bear. `known` is a note that its reader trusts from elsewhere.

    With `second`, the log's other key must have signed too.
    """

    log_key: VerifierKey
    second: VerifierKey | None = None
    policy: Policy | None = None
    known: bytes | None = None

    def signed(self, note: bytes) -> Checkpoint:
        """The log signed it; refusals of `open_checkpoint`."""
        return checkpoint_of(parse_note(note), self.log_key, self.second)

    def witnessed(self, note: bytes) -> None:
        """So did witnesses enough for the policy; refusals of `Policy.check`."""
        if self.policy is not None:
            self.policy.check(parse_note(note))

    @property
    def log_keys(self) -> list[VerifierKey]:
        return [self.log_key] if self.second is None else [self.log_key, self.second]

    @property
    def witnesses(self) -> list[VerifierKey]:
        parties = () if self.policy is None else self.policy.witnesses.values()
        return [party.key for party in parties]


@dataclass(frozen=True)
class Signed:
    """A checkpoint with its note, and how to read the tiles of its tree, if anything does."""

    note: bytes
    checkpoint: Checkpoint
    tiles: ReadTile | None = None

    @property
    def size(self) -> int:
        return self.checkpoint.size

    def root_at(self, size: int) -> bytes:
        """Root of the first `size` leaves by the tiles, each of which is read as it is here."""
        return EMPTY_ROOT if not size else TileTree(size, self._prefix).root()

    def subproof(self, size: int) -> Sequence[bytes]:
        return TileTree(self.size, self._tiles()).consistency_subproof(size)

    def _prefix(self, level: int, n: int, width: int) -> bytes:
        full, partial = tile_widths(self.size, level)
        held = FULL_WIDTH if n < full else partial
        return self._tiles()(level, n, held)[: width * HASH_SIZE]

    def _tiles(self) -> ReadTile:
        if self.tiles is None:
            raise ValueError("a checkpoint without tiles was asked for them")
        return self.tiles


def check_extends(new: Signed, known: Signed, demands: Demands) -> None:
    """`new`, whose tiles give its root, only adds to `known`.

    Raises `Contradiction`: `mirror-forked` with the evidence, `mirror-source-behind` with the
    smaller checkpoint; `mirror-source-wrong` if the tiles at hand prove neither.
    """
    if new.size >= known.size:
        if new.root_at(known.size) != known.checkpoint.root:
            raise _forked(new, known, demands)
        return
    if known.tiles is not None and known.root_at(new.size) != new.checkpoint.root:
        raise _forked(known, new, demands)
    raise Contradiction(
        "mirror-source-behind", f"{new.size} < {known.size}", {"behind.checkpoint": new.note}
    )


def _forked(larger: Signed, smaller: Signed, demands: Demands) -> LedgerError:
    equal = larger.size == smaller.size
    try:
        view = make_split_view(
            (larger.note, smaller.note),
            demands.log_keys,
            () if equal or not smaller.size else larger.subproof(smaller.size),
            demands.witnesses,
        )
    except Refused as error:
        return LedgerError("mirror-source-wrong", f"{error.code} {error.detail}".rstrip())
    sizes = f"{smaller.size}-{larger.size}"
    roots = f"{smaller.checkpoint.root.hex()[:8]}-{larger.checkpoint.root.hex()[:8]}"
    name = f"split-view-{sizes}-{roots}.txt"
    files = {name: format_split_view(view)}
    return Contradiction("mirror-forked", sizes, files, (larger.checkpoint, smaller.checkpoint))
