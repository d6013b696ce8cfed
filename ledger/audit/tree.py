"""Does the tree of files hold together, and if not, where does it break?

Every full level-0 tile's root is written down in up to three places: it follows from the entries
(E), it follows from the tile over them (T), and the tile one level up holds it (U):

    U  tile/1/000          …  [ h ]  …
    T  tile/0/007          its 256 hashes give h
    E  tile/entries/007    the leaf hashes of its 256 entries give h

1. The tree over the entries alone has the signed root: they are right, and every tile that does
   not fit them is wrong.
2. The tree over the level-0 tiles alone has it: they are right, and every entry that does not fit
   them is wrong, and so is every tile above.
3. Neither: tampering in several places, so in each the majority of E, T and U decides. Where E
   and T agree against U, both were rewritten, which narrows it to the entries below that hash.
4. Where all agree and the root does not, everything was rewritten, and that is said.
"""

from enum import Enum
from typing import Final

from ledger.audit.changes import Changes, hashes
from ledger.audit.files import Files
from ledger.audit.findings import Findings
from ledger.audit.strand import Apart, Strand, root_of
from ledger.audit.worker import Examined
from verifier.checkpoint import Checkpoint
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, check_consistency
from verifier.tiles import FULL_WIDTH, TileTree, tile_path

_MAX_VOTES: Final = 10_000


class _Wrong(Enum):
    ENTRIES = 1
    TILE = 2
    BOTH = 3
    EITHER = 4


class TreeAudit:
    """Takes the examined bundles in order, then the checkpoint. Memory: a few tiles per level."""

    def __init__(self, files: Files, findings: Findings, previous: Checkpoint | None) -> None:
        self._files = files
        self._findings = findings
        self._changes = Changes(files, findings)
        self._previous = previous
        self._previous_root: bytes | None = None
        self._entries, self._tiles = Strand(files), Strand(files)
        self._likely = Strand(files, heed=True)
        self._votes: dict[int, _Wrong] = {}

    def add(self, examined: Examined) -> None:
        """The next bundle: its leaf hashes are compared with the tile and with what is above."""
        n = examined.n
        width = self._files.width(0, n)
        tile = self._files.tile(0, n)
        if not examined.sound:
            self._changes.unsound(examined, width)
        leaves = examined.leaves if len(examined.leaves) == width * HASH_SIZE else None
        if tile is not None and examined.leaves and examined.leaves != tile:
            self._changes.compare(n, examined.leaves, tile)
        self._note_previous(n, leaves or tile)
        if width == FULL_WIDTH:
            self._add_full(n, leaves, tile, examined.root if leaves is not None else None)
        else:
            self._add_edge(n, leaves, tile)

    def finish(self, checkpoint: Checkpoint) -> bytes | None:
        """The rebuilt root, None if files are missing. Names all that the root decides."""
        for strand in (self._entries, self._tiles, self._likely):
            strand.finish()
        signed, root = checkpoint.root, self._entries.root()
        if self._entries.whole and root == signed:  # 1
            self._name_tiles(self._entries.apart)
            for n in self._votes:
                self._name_tile(0, n)
        elif self._tiles.whole and self._tiles.root() == signed:  # 2
            self._changes.name(lambda n: True)
            self._name_tiles(self._tiles.apart)
        else:
            self._by_majority(signed)  # 3, 4
        self._check_previous(checkpoint)
        return root if self._entries.whole else None

    # --- levels 0 and 1 ------------------------------------------------------------------------

    def _add_full(
        self, n: int, leaves: bytes | None, tile: bytes | None, by_entries: bytes | None
    ) -> None:
        by_tile = by_entries if leaves == tile else root_of(tile)
        self._entries.add(n, by_entries)
        self._tiles.add(n, by_tile)
        if by_entries is not None and by_entries == by_tile:
            self._likely.add(n, by_entries)
            return
        above = self._files.hash_at(1, n)
        if above is None:
            self._vote(n, _Wrong.EITHER)
        elif above == by_entries:
            self._vote(n, _Wrong.TILE)
        elif above == by_tile:
            self._vote(n, _Wrong.ENTRIES)
        else:
            self._vote(n, _Wrong.BOTH)
        self._likely.add(n, above or by_entries or by_tile)

    def _add_edge(self, n: int, leaves: bytes | None, tile: bytes | None) -> None:
        self._entries.edge, self._tiles.edge = hashes(leaves or b""), hashes(tile or b"")
        self._likely.edge = self._entries.edge or self._tiles.edge
        for strand in (self._entries, self._tiles, self._likely):
            strand.whole = strand.whole and bool(strand.edge)
        if leaves != tile:
            self._vote(n, _Wrong.EITHER)

    def _vote(self, n: int, wrong: _Wrong) -> None:
        if len(self._votes) < _MAX_VOTES:
            self._votes[n] = wrong

    # --- naming --------------------------------------------------------------------------------

    def _by_majority(self, signed: bytes) -> None:
        likely = self._likely
        edges = {likely.root(): _Wrong.TILE, likely.root(self._tiles.edge): _Wrong.ENTRIES}
        holds = likely.whole and signed in edges
        edge = self._files.size // FULL_WIDTH
        if holds and self._votes.get(edge) is _Wrong.EITHER:
            self._votes[edge] = edges[signed]
        by_files = not holds and self._root_of_files() == signed
        self._changes.name(lambda n: self._votes.get(n) is not _Wrong.TILE)
        for n, wrong in self._votes.items():
            if wrong in (_Wrong.TILE, _Wrong.BOTH):
                self._name_tile(0, n)
        for apart in likely.apart:
            above = self._files.hash_at(apart.level + 1, apart.m)
            if (above is None and by_files) or (above and above == root_of(apart.tile)):
                self._name_rewritten(apart)
            else:
                self._name_tile(apart.level, apart.m)
        if not holds and not by_files:
            code = "audit-root-differs" if likely.whole else "audit-root-unknown"
            self._findings.add(code, detail=f"{likely.root().hex()} / {signed.hex()}")

    def _name_tiles(self, apart: list[Apart]) -> None:
        for one in apart:
            self._name_tile(one.level, one.m)

    def _name_tile(self, level: int, m: int) -> None:
        """Unless it has been named already: as missing, or of another length."""
        path = tile_path(level, m, self._files.width(level, m))
        self._files.name("audit-tile-differs", path)

    def _name_rewritten(self, apart: Apart) -> None:
        """Entries below a node were changed and the tiles below it made to fit."""
        span = FULL_WIDTH**apart.level
        pairs = zip(hashes(apart.computed), hashes(apart.tile), strict=True)
        for node, (computed, signed) in enumerate(pairs, apart.m * FULL_WIDTH):
            if computed != signed:
                detail = f"{node * span} – {(node + 1) * span - 1}"
                self._findings.add("audit-leaf-differs", node * span, detail=detail)

    # --- other roots ---------------------------------------------------------------------------

    def _tree_of_files(self) -> TileTree:
        return TileTree(self._files.size, lambda level, n, _: self._files.tile(level, n) or b"")

    def _root_of_files(self) -> bytes | None:
        try:
            return self._tree_of_files().root()
        except Refused:
            return None

    def _note_previous(self, n: int, leaves: bytes | None) -> None:
        """Remembers the root of the tree as it was at the size of the previous checkpoint."""
        then = 0 if self._previous is None else self._previous.size - n * FULL_WIDTH
        if 0 < then <= FULL_WIDTH and leaves is not None:
            self._previous_root = self._likely.root(hashes(leaves)[:then])

    def _check_previous(self, checkpoint: Checkpoint) -> None:
        """The tree extends the previous one: by the entries, else by a proof from the tiles."""
        previous = self._previous
        if previous is None or not previous.size:
            return
        if previous.size > checkpoint.size:
            detail = f"{checkpoint.size} < {previous.size}"
            self._findings.add("audit-checkpoint-older", detail=detail)
        elif (previous.size, previous.root) != (checkpoint.size, checkpoint.root) and (
            self._previous_root != previous.root
        ):
            try:
                check_consistency(
                    size1=previous.size,
                    size2=checkpoint.size,
                    root1=previous.root,
                    root2=checkpoint.root,
                    proof=self._tree_of_files().consistency_proof(previous.size),
                )
            except Refused as error:
                detail = f"{previous.size} → {checkpoint.size}: {error.code}"
                self._findings.add("audit-fork", detail=detail)
