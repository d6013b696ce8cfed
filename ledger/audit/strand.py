"""One way to build the tree upwards, from the roots of its level-0 tiles as somebody tells them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from ledger.audit.changes import hashes
from ledger.audit.files import Files
from verifier.merkle import EMPTY_ROOT, HASH_SIZE, Frontier, fold_right
from verifier.tiles import FULL_WIDTH

_MAX_APART: Final = 256


class Apart(NamedTuple):
    """A tile above level 0 which is not what this strand computed for it."""

    level: int
    m: int
    computed: bytes
    tile: bytes


class Strand:
    """`add` every full level-0 tile's root in order, set `edge`, then ask for `root`.

    On the way up every tile is compared with what was computed for it; `apart` lists those that
    differ, up to 256. With `heed` a differing tile that the tile above it confirms is believed,
    and the strand goes on with it. `whole` is False once a root was not to be had.
    """

    def __init__(self, files: Files, *, heed: bool = False) -> None:
        self.apart: list[Apart] = []
        self.edge: list[bytes] = []
        self.whole = True
        self._files = files
        self._heed = heed
        self._roots = Frontier()  # its leaves are the roots of full level-0 tiles
        self._rows: list[list[bytes | None]] = []  # level 1 upwards: the tile being filled

    def add(self, n: int, root: bytes | None) -> None:
        """The root of full tile `n`, or None."""
        self.whole = self.whole and root is not None
        self._roots.append(root or bytes(HASH_SIZE))
        self._push(1, n, root)

    def finish(self) -> None:
        """Compares the tiles at the right edge of the levels above 0."""
        for level, row in enumerate(self._rows, 1):
            if row:
                self._compare(level, self._files.size >> 8 * (level + 1), row)

    def root(self, edge: Sequence[bytes] | None = None) -> bytes:
        """Over all that was added and the leaf hashes of the partial tile, `edge` if given."""
        frontier = Frontier()
        frontier.extend(self.edge if edge is None else edge)
        parts = [*self._roots.hashes, *frontier.hashes]
        return fold_right(parts) if parts else EMPTY_ROOT

    def _push(self, level: int, index: int, node: bytes | None) -> None:
        if len(self._rows) < level:
            self._rows.append([])
        row = self._rows[level - 1]
        row.append(node)
        if len(row) == FULL_WIDTH:
            m = index // FULL_WIDTH
            best = self._compare(level, m, row)
            row.clear()
            self._push(level + 1, m, best)

    def _compare(self, level: int, m: int, row: Sequence[bytes | None]) -> bytes | None:
        """The root of a full row; None of a partial one, or where a node is not known."""
        tile = self._files.tile(level, m)
        known = row if tile is None else [a or b for a, b in zip(row, hashes(tile), strict=True)]
        nodes = [node for node in known if node is not None]
        computed = b"".join(nodes)
        if len(nodes) < len(row):
            return None
        if tile is not None and tile != computed:
            if len(self.apart) < _MAX_APART:
                self.apart.append(Apart(level, m, computed, tile))
            above = self._files.hash_at(level + 1, m)
            if self._heed and above is not None and above == root_of(tile):
                return above
        return root_of(computed)


def root_of(tile: bytes | None) -> bytes | None:
    """Root over the hashes of a full tile; None for no tile or a partial one."""
    if tile is None or len(tile) != FULL_WIDTH * HASH_SIZE:
        return None
    frontier = Frontier()
    frontier.extend(hashes(tile))
    return frontier.root()
