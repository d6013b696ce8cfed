"""The monitor's own copy of a log: entries as it served them, tiles as they follow from them.

Laid out as C2SP tlog-tiles has it, so it can be audited or served like any log. The checkpoint is
written last and covers only what was hashed up to its root; what lies beyond it was begun and not
finished, and is looked at again. After a kill at any moment the folder holds the log of the
checkpoint in it, whole.
"""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ledger.audit.changes import hashes
from ledger.audit.findings import Findings
from ledger.audit.work import READERS, ahead
from ledger.errors import LedgerError
from ledger.readside import CHECKPOINT, DirectoryReadSide, ReadSide, read_bundle, read_tile
from verifier.checkpoint import Checkpoint
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, Frontier, leaf_hash
from verifier.tiles import (
    FULL_WIDTH,
    TILE_HEIGHT,
    encode_bundle,
    entries_path,
    tile_path,
    tile_widths,
)

Put = Callable[[Path, bytes], None]
"""Writes a file durably and whole, the old one or the new one at every moment."""
_AHEAD: Final = 2 * READERS


class Mirror(DirectoryReadSide):
    """The copy in `folder`; one process at a time. All writing goes through `put`."""

    def __init__(self, folder: Path, put: Put) -> None:
        super().__init__(folder)
        self._root = folder
        self._put = put

    def note(self) -> bytes | None:
        """The checkpoint of what is here, or None before the first."""
        try:
            return self.read(CHECKPOINT)
        except LedgerError as error:
            if error.code == "ledger-path-absent":
                return None
            raise

    def gather(self, source: ReadSide, new: Checkpoint, edge: Frontier, findings: Findings) -> None:
        """Everything of the tree `new` that is not here yet, beyond the `edge` of what is.

        1. The new entries, hashed on from the edge, give the root of `new`
           (`ledger-inconsistent`); where entries that were here already are served otherwise, that
           is a finding, and ours are kept.
        2. Each tile that the new entries touch is served as it follows from them, else a finding.

        `commit` makes it count. Trouble with `source` is told as it tells it.
        """
        had = edge.size
        for leftovers in (True, False):
            levels, found = _Levels(edge), Findings()
            used = self._entries(source, new.size, levels, leftovers, found)
            if levels.frontier.root() == new.root:
                break
            if not used:
                raise LedgerError("ledger-inconsistent", f"entries {had} to {new.size - 1}")
        for level, n, width in _touched(had, new.size):
            if level:
                tile = self._tile(levels, level, n, width)
                self.write(tile_path(level, n, width), tile)
                _compare_tile(level, n, tile, _served(source, level, n, width), found)
        for finding in found.listed:
            findings.add(finding.code, finding.index, path=finding.path, detail=finding.detail)

    def commit(self, note: bytes, had: int, size: int) -> None:
        """The checkpoint of what was gathered; then partial files that became full ones go."""
        self.write(CHECKPOINT, note)
        for level, n, width in _touched(had, size):
            if width == FULL_WIDTH:
                paths = [tile_path(level, n)] + ([entries_path(n)] if level == 0 else [])
                for path in paths:
                    shutil.rmtree(self._root / f"{path}.p", ignore_errors=True)

    def write(self, path: str, data: bytes) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._put(target, data)

    def _entries(
        self, source: ReadSide, size: int, levels: "_Levels", leftovers: bool, findings: Findings
    ) -> bool:
        """Fetches, hashes and keeps the bundles; whether any was left from an earlier attempt."""
        had, used = levels.frontier.size, False

        def fetch(n: int) -> tuple[int, list[bytes], bytes | None, bool]:
            width = min(FULL_WIDTH, size - n * FULL_WIDTH)
            tile = _served(source, 0, n, width)
            if leftovers and width == FULL_WIDTH and n * FULL_WIDTH >= had:
                try:
                    return n, read_bundle(self, n, width), tile, True
                except (LedgerError, Refused):
                    pass
            return n, read_bundle(source, n, width), tile, False

        bundles = range(had // FULL_WIDTH, -(-size // FULL_WIDTH))
        with ThreadPoolExecutor(READERS, "monitor-read") as readers:
            for n, entries, tile, left in ahead(readers, fetch, bundles, _AHEAD):
                used = used or left
                old = max(0, had - n * FULL_WIDTH)
                ours = read_bundle(self, n, old) if old else []
                for position, (mine, theirs) in enumerate(zip(ours, entries, strict=False)):
                    if mine != theirs:
                        index = n * FULL_WIDTH + position
                        path = entries_path(n, len(entries))
                        findings.add("audit-leaf-differs", index, path=path)
                entries[:old] = ours
                leaves = list(map(leaf_hash, entries))
                levels.extend(leaves[old:])
                if not left:
                    self.write(entries_path(n, len(entries)), encode_bundle(entries))
                self.write(tile_path(0, n, len(leaves)), b"".join(leaves))
                _compare_tile(0, n, b"".join(leaves), tile, findings)
        return used

    def _tile(self, levels: "_Levels", level: int, n: int, width: int) -> bytes:
        """From what was here before, and the nodes that are new."""
        old = max(0, min(width, levels.before(level) - n * FULL_WIDTH))
        mine = read_tile(self, level, n, old) if old else b""
        first = n * FULL_WIDTH + old - levels.before(level)
        return mine + b"".join(levels.nodes(level)[first : first + width - old])


class _Levels:
    """The hashes that tiles above level 0 hold, from the edge of an older tree on."""

    def __init__(self, edge: Frontier) -> None:
        self.frontier = Frontier(edge.size, edge.hashes)
        self._had = edge.size
        self._rows: dict[int, list[bytes]] = {}

    def extend(self, leaves: list[bytes]) -> None:
        self.frontier.extend(leaves, self._on_node)

    def before(self, level: int) -> int:
        """How many nodes of a level the older tree had."""
        return self._had >> TILE_HEIGHT * level

    def nodes(self, level: int) -> list[bytes]:
        return self._rows.get(level, [])

    def _on_node(self, height: int, _index: int, node: bytes) -> None:
        level, rest = divmod(height, TILE_HEIGHT)
        if rest == 0:
            self._rows.setdefault(level, []).append(node)


def _touched(had: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Level, number and width of each tile that a tree of `size` has and one of `had` has not."""
    level = 0
    while size >> TILE_HEIGHT * level:
        full, partial = tile_widths(size, level)
        before = tile_widths(had, level)
        for n in range(before[0], full):
            yield level, n, FULL_WIDTH
        if partial and before != (full, partial):
            yield level, full, partial
        level += 1


def _served(source: ReadSide, level: int, n: int, width: int) -> bytes | None:
    """A tile as the log serves it; None if it does not."""
    try:
        return read_tile(source, level, n, width)
    except LedgerError as error:
        if error.code not in ("ledger-path-absent", "ledger-read-too-large"):
            raise
        return None


def _compare_tile(
    level: int, n: int, tile: bytes, theirs: bytes | None, findings: Findings
) -> None:
    """`tile` as it follows from the entries, and `theirs`."""
    path = tile_path(level, n, len(tile) // HASH_SIZE)
    if theirs is None:
        findings.add("audit-file-missing", path=path)
    elif theirs != tile:
        pairs = zip(hashes(tile), hashes(theirs), strict=False)
        wrong = [at for at, (mine, other) in enumerate(pairs) if mine != other]
        at = wrong[0] if wrong else min(len(theirs), len(tile)) // HASH_SIZE
        findings.add("audit-tile-differs", path=path, detail=f"hash {at}")
