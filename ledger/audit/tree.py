"""Does the tree of files hold together, and if not, where does it break?

Every full tile's root is written down in up to three places: it follows from the entries (E), it
follows from the level-0 tile over them (T), and the tile one level up holds it (U):

    U  tile/1/000          …  [ h ]  …
    T  tile/0/007          its 256 hashes give h
    E  tile/entries/007    the leaf hashes of its 256 entries give h

One tampered place is outvoted by the other two, and thereby named; the levels above are compared
in the same way. At the right edge there is no U, and the root that the checkpoint signs decides.
Where all places agree and the root does not, everything was rewritten, and that is said.
"""

from collections.abc import Sequence
from typing import Final

from ledger.audit.changes import Changes, hashes
from ledger.audit.files import Files
from ledger.audit.findings import Findings
from ledger.audit.worker import Examined
from verifier.checkpoint import Checkpoint
from verifier.errors import Refused
from verifier.merkle import EMPTY_ROOT, HASH_SIZE, Frontier, check_consistency, fold_right
from verifier.tiles import FULL_WIDTH, TileTree, tile_path

_MAX_OPEN: Final = 64


class TreeAudit:
    """Takes the examined bundles in order, then the checkpoint. Memory: a few tiles per level."""

    def __init__(self, files: Files, findings: Findings, previous: Checkpoint | None) -> None:
        self._files = files
        self._findings = findings
        self._changes = Changes(files, findings)
        self._previous = previous
        self._previous_root: bytes | None = None
        self._roots = Frontier()  # its leaves are the roots of full level-0 tiles
        self._edge: list[bytes] = []  # leaf hashes of the partial tile, from the entries
        self._edge_tile: list[bytes] = []  # … from the tile
        self._rows: list[list[bytes | None]] = []  # level 1 upwards, the tile being filled
        self._open: list[tuple[int, int, bytes, bytes]] = []
        self._complete = True

    def add(self, examined: Examined) -> None:
        """The next bundle: its leaf hashes are compared with the tile and with what is above."""
        n = examined.n
        width = self._files.width(0, n)
        tile = self._files.tile(0, n)
        if not examined.sound:
            self._changes.unsound(examined, width)
        entries = examined.leaves if len(examined.leaves) == width * HASH_SIZE else None
        if entries is None and tile is not None and examined.leaves:
            self._changes.entries_differ(n, examined.leaves, tile)
        if width == FULL_WIDTH:
            best = examined.root if entries == tile else self._vote(n, entries, tile)
            self._note_previous(n, entries or tile)
            self._roots.append(best or bytes(HASH_SIZE))
            self._complete = self._complete and best is not None
            self._push(1, n, best)
            return
        self._edge = hashes(entries or tile or b"")
        self._edge_tile = hashes(tile or entries or b"")
        self._complete = self._complete and bool(self._edge)
        if entries is not None and tile is not None and entries != tile:
            self._changes.undecided(n, entries, tile)
        self._note_previous(n, entries or tile)

    def finish(self, checkpoint: Checkpoint) -> bytes | None:
        """The rebuilt root, None if files are missing. Names all that the root decides."""
        for level, row in enumerate(self._rows, 1):
            if row:
                self._compare_row(level, checkpoint.size >> 8 * (level + 1), row)
        root, signed = self._root(self._edge), checkpoint.root
        if self._complete and root == signed:
            self._changes.resolve(entries_hold=True)
            self._resolve_rows(rows_hold=True)
        elif self._complete and self._root(self._edge_tile) == signed:
            self._changes.resolve(entries_hold=False)
            self._resolve_rows(rows_hold=True)
        elif self._root_of_files() == signed:
            self._changes.resolve(entries_hold=False)
            self._resolve_rows(rows_hold=False)
        else:
            self._changes.resolve(entries_hold=False)
            self._resolve_rows(rows_hold=True)
            code = "audit-root-differs" if self._complete else "audit-root-unknown"
            self._findings.add(code, detail=f"{root.hex()} / {signed.hex()}")
        self._check_previous(checkpoint)
        return root if self._complete else None

    # --- voting --------------------------------------------------------------------------------

    def _vote(self, n: int, entries: bytes | None, tile: bytes | None) -> bytes | None:
        """The likeliest root of full tile `n`, of which entries and tile tell different things."""
        by_entries, by_tile = root_of(entries), root_of(tile)
        above = self._files.hash_at(1, n)
        if entries is None or by_entries is None:
            if tile is not None and above not in (None, by_tile):
                self._files.name("audit-tile-differs", tile_path(0, n))
            return above or by_tile
        if tile is None:
            if above not in (None, by_entries):
                self._rewritten(1, n)
            return above or by_entries
        if by_entries == above:
            self._files.name("audit-tile-differs", tile_path(0, n))
        elif above is None:
            self._changes.undecided(n, entries, tile)
            return by_entries
        else:
            self._changes.entries_differ(n, entries, tile)
            if by_tile != above:
                self._files.name("audit-tile-differs", tile_path(0, n))
        return above

    def _push(self, level: int, index: int, node: bytes | None) -> None:
        """Puts a node into the row of its level; a row that is full becomes a node above."""
        if len(self._rows) < level:
            self._rows.append([])
        row = self._rows[level - 1]
        row.append(node)
        if len(row) == FULL_WIDTH:
            m = index // FULL_WIDTH
            best = self._compare_row(level, m, row)
            row.clear()
            self._push(level + 1, m, best)

    def _compare_row(self, level: int, m: int, row: Sequence[bytes | None]) -> bytes | None:
        """Compares tile `m` of a level above 0 with the nodes found for it; its likeliest root."""
        tile = self._files.tile(level, m)
        known = row if tile is None else [a or b for a, b in zip(row, hashes(tile), strict=True)]
        nodes = [node for node in known if node is not None]
        computed = b"".join(nodes)
        if len(nodes) < len(row):
            return None
        if tile is None or tile == computed:
            return root_of(computed)
        above = self._files.hash_at(level + 1, m) if len(row) == FULL_WIDTH else None
        if above is not None and above == root_of(tile):
            self._name_rewritten(level, m, computed, tile)
            return above
        if above is not None and above == root_of(computed):
            self._name_tile(level, m)
        elif len(self._open) < _MAX_OPEN:
            self._open.append((level, m, computed, tile))
        return root_of(computed)

    def _resolve_rows(self, *, rows_hold: bool) -> None:
        for level, m, computed, tile in self._open:
            if rows_hold:
                self._name_tile(level, m)
            else:
                self._name_rewritten(level, m, computed, tile)

    def _name_tile(self, level: int, m: int) -> None:
        path = tile_path(level, m, self._files.width(level, m))
        self._files.name("audit-tile-differs", path)

    def _name_rewritten(self, level: int, m: int, computed: bytes, tile: bytes) -> None:
        pairs = zip(hashes(computed), hashes(tile), strict=True)
        for position, (a, b) in enumerate(pairs):
            if a != b:
                self._rewritten(level, m * FULL_WIDTH + position)

    def _rewritten(self, level: int, node: int) -> None:
        """Entries below a node were changed and the tiles below it made to fit."""
        span = FULL_WIDTH**level
        detail = f"{node * span} – {(node + 1) * span - 1}"
        self._findings.add("audit-leaf-differs", node * span, detail=detail)

    # --- roots ---------------------------------------------------------------------------------

    def _root(self, edge: Sequence[bytes]) -> bytes:
        frontier = Frontier()
        frontier.extend(edge)
        parts = [*self._roots.hashes, *frontier.hashes]
        return fold_right(parts) if parts else EMPTY_ROOT

    def _tree(self) -> TileTree:
        return TileTree(self._files.size, lambda level, n, _: self._files.tile(level, n) or b"")

    def _root_of_files(self) -> bytes | None:
        try:
            return self._tree().root()
        except Refused:
            return None

    def _note_previous(self, n: int, leaves: bytes | None) -> None:
        """Remembers the root of the tree as it was at the size of the previous checkpoint."""
        then = 0 if self._previous is None else self._previous.size - n * FULL_WIDTH
        if 0 < then <= FULL_WIDTH and leaves is not None:
            self._previous_root = self._root(hashes(leaves)[:then])

    def _check_previous(self, checkpoint: Checkpoint) -> None:
        previous = self._previous
        if previous is None or not previous.size:
            return
        if previous.size > checkpoint.size:
            detail = f"{checkpoint.size} < {previous.size}"
            self._findings.add("audit-checkpoint-older", detail=detail)
        elif previous.size == checkpoint.size and previous.root == checkpoint.root:
            return
        elif self._previous_root != previous.root:
            try:
                proof = self._tree().consistency_proof(previous.size)
                check_consistency(
                    size1=previous.size,
                    size2=checkpoint.size,
                    root1=previous.root,
                    root2=checkpoint.root,
                    proof=proof,
                )
            except Refused as error:
                detail = f"{previous.size} → {checkpoint.size}: {error.code}"
                self._findings.add("audit-fork", detail=detail)


def root_of(tile: bytes | None) -> bytes | None:
    """Root over the hashes of a full tile; None for no tile or a partial one."""
    if tile is None or len(tile) != FULL_WIDTH * HASH_SIZE:
        return None
    frontier = Frontier()
    frontier.extend(hashes(tile))
    return frontier.root()
