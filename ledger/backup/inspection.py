"""Whether rows make a ledger, looked at as they come by. Numbered as below.

1. Entries stand at 0, 1, 2 …; each has a length that an entry can have and gives its leaf hash.
2. The tree over the leaf hashes gives the head: size, root and right edge; there is one head.
3. Its nodes are the tiles: each that the tree has, whole, and no other.
4. Every checkpoint is of this origin, no larger than the head, has the root that the tree has at
   its size, and is signed by the log's keys.

Memory: 32 bytes for each 65,536 entries, and what the caller holds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger.backup.form import Contents, Row
from ledger.errors import LedgerError
from ledger.model import MAX_ENTRY_BYTES
from ledger.stores.sql import ENTRIES, HEAD, TILES, head_of
from verifier.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, Frontier, leaf_hash
from verifier.note import VerifierKey, parse_note
from verifier.plural import noun
from verifier.tiles import FULL_WIDTH, TILE_HEIGHT

LogKeys = Callable[[bytes], tuple[VerifierKey, VerifierKey | None]]
"""The log's keys, given entry 0: the genesis names them. The second signs beside the first."""

OnFault = Callable[[LedgerError], None]
"""Told what does not fit; raises it, or goes on."""


@dataclass(frozen=True)
class Inspected:
    """What the rows were: `checkpoints` those that are signed, `last_ms` the time at which the last
    entry was logged, in Unix milliseconds; None of an empty log."""

    contents: Contents
    rows: Mapping[str, int]
    checkpoints: tuple[Checkpoint, ...]
    log_key: VerifierKey | None
    last_ms: int | None


@dataclass(frozen=True)
class Backup:
    """A backup that was written, or read, to its end: what is in it, its size in bytes, and its
    digest, which are its last 32 bytes."""

    inspected: Inspected
    size: int
    digest: bytes


def raising(fault: LedgerError) -> None:
    """Stops at the first fault."""
    raise fault


class Inspection:
    """Give it every row with `take`, then ask it to `finish`. Faults go to `on_fault`."""

    def __init__(self, contents: Contents, log_keys: LogKeys, on_fault: OnFault = raising) -> None:
        self._contents = contents
        self._log_keys = log_keys
        self._fault = on_fault
        self._counts = dict.fromkeys(contents.tables, 0)
        self._frontier = Frontier()
        self._building: dict[int, bytearray] = {}  # the tile at the right edge of each level
        self._tiles: dict[tuple[int, int], bytes] = {}  # SHA-256 by level and number, as computed
        self._stored: dict[tuple[int, int], bytes] = {}  # and as found
        self._heads: list[tuple[int, bytes, bytes]] = []
        self._first: bytes | None = None
        self._last_ms: int | None = None
        self._checkpoints = [found for found in map(self._read_note, contents.notes) if found]
        self._wanted = sorted({found.size for found, _ in self._checkpoints})
        self._roots = {0: Frontier().root()}
        self._takers: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            ENTRIES.name: self._entries,
            TILES.name: self._tile_rows,
            HEAD.name: self._head_rows,
        }

    def take(self, table: str, rows: Sequence[Row]) -> None:
        """Some rows of a table; those of one table in the order of its primary key."""
        self._counts[table] += len(rows)
        taker = self._takers.get(table)
        columns = self._contents.tables[table]
        if taker is not None:
            taker(dict(zip(columns, zip(*rows, strict=True), strict=True)))
        elif "note" in columns and "size" in columns:
            self._note_rows(dict(zip(columns, zip(*rows, strict=True), strict=True)))

    def finish(self) -> Inspected:
        """The checks that need all rows."""
        self._check_head()
        self._check_tiles()
        key = self._check_notes()
        checkpoints = tuple(found for found, _ in self._checkpoints)
        return Inspected(self._contents, self._counts, checkpoints, key, self._last_ms)

    # 1 and 2

    def _entries(self, columns: Mapping[str, Any]) -> None:
        hashes: list[bytes] = []
        at = self._frontier.size
        for index, stored, data in zip(
            columns["idx"], columns["leaf_hash"], columns["data"], strict=True
        ):
            if index != at:
                self._wrong(f"entry {at} is missing")
                at = index
            if not 1 <= len(data) <= MAX_ENTRY_BYTES:
                self._wrong(f"entry {index} has {len(data)} bytes")
            if leaf_hash(data) != stored:
                self._wrong(f"entry {index} does not give its leaf hash")
            hashes.append(stored if len(stored) == HASH_SIZE else leaf_hash(data))
            at += 1
        if self._first is None:
            self._first = columns["data"][0]
        self._last_ms = columns["time_ms"][-1]
        while hashes:  # in pieces, to know the root at each checkpoint
            size = self._frontier.size
            until = next((s for s in self._wanted if size < s < size + len(hashes)), None)
            piece = len(hashes) if until is None else until - size
            self._frontier.extend(hashes[:piece], self._node)
            if self._frontier.size in self._wanted:
                self._roots[self._frontier.size] = self._frontier.root()
            hashes = hashes[piece:]

    def _check_head(self) -> None:
        for size, root, edge in self._heads:
            if size != self._frontier.size:
                have = self._frontier.size
                there = (
                    f"{noun(have, 'there is', 'there are')} {have} {noun(have, 'entry', 'entries')}"
                )
                self._wrong(f"the head has size {size}, {there}")
            elif root != self._frontier.root() or root != self._contents.root:
                self._wrong("the entries do not give the root of the head")
            elif head_of(size, root, edge).frontier != self._frontier.hashes:
                self._wrong("the entries do not give the right edge of the head")
        if len(self._heads) != 1 or self._contents.size != self._frontier.size:
            self._wrong(f"{len(self._heads)} heads, size {self._contents.size} in all")

    def _head_rows(self, columns: Mapping[str, Any]) -> None:
        self._heads += zip(columns["size"], columns["root"], columns["frontier"], strict=True)

    # 3

    def _node(self, height: int, index: int, node: bytes) -> None:
        level, between = divmod(height, TILE_HEIGHT)
        if between:
            return
        n, place = divmod(index, FULL_WIDTH)
        tile = self._building.setdefault(level, bytearray())
        if not place:
            tile.clear()
        tile += node
        if place == FULL_WIDTH - 1:
            self._tiles[level, n] = sha256(tile).digest()
            tile.clear()

    def _tile_rows(self, columns: Mapping[str, Any]) -> None:
        for level, n, data in zip(columns["level"], columns["n"], columns["data"], strict=True):
            self._stored[level, n] = sha256(data).digest()

    def _check_tiles(self) -> None:
        for level, tile in self._building.items():
            if tile:
                n = (self._frontier.size >> TILE_HEIGHT * level) // FULL_WIDTH
                self._tiles[level, n] = sha256(tile).digest()
        for level, n in sorted(self._tiles.keys() | self._stored.keys()):
            stored, computed = self._stored.get((level, n)), self._tiles.get((level, n))
            if stored != computed:
                how = "missing" if stored is None else "stray" if computed is None else "altered"
                self._wrong(f"tile {level}/{n} is {how}")

    # 4

    def _read_note(self, note: bytes) -> tuple[Checkpoint, bytes] | None:
        try:
            return parse_checkpoint(parse_note(note).text), note
        except Refused as error:
            self._wrong(f"a checkpoint: {error}")
            return None

    def _note_rows(self, columns: Mapping[str, Any]) -> None:
        known = {note: found for found, note in self._checkpoints}
        for size, note in zip(columns["size"], columns["note"], strict=True):
            if note is None:
                continue
            if note not in self._contents.notes:
                self._wrong("a checkpoint is not among those that the contents list")
            elif note in known and known[note].size != size:
                self._wrong(f"the checkpoint of size {known[note].size} is kept as {size}")

    def _check_notes(self) -> VerifierKey | None:
        keys: tuple[VerifierKey, VerifierKey | None] | None = None
        if self._first is not None:
            try:
                keys = self._log_keys(self._first)
            except Refused as error:
                self._wrong(f"the log's key in the genesis: {error}")
        for found, note in self._checkpoints:
            size = found.size
            if found.origin != self._contents.origin:
                self._fault(LedgerError("ledger-origin-mismatch", found.origin))
            if size > self._frontier.size:
                detail = f"size {self._frontier.size}, checkpoint {size}"
                self._fault(LedgerError("ledger-rolled-back", detail))
            elif self._roots.get(size) != found.root:
                self._fault(LedgerError("ledger-forked", f"size {size}"))
            if keys is not None:
                try:
                    open_checkpoint(note, *keys)
                except Refused as error:
                    self._fault(LedgerError("ledger-wrong-key", str(error)))
        return keys[0] if keys is not None else None

    def _wrong(self, what: str) -> None:
        self._fault(LedgerError("ledger-inconsistent", what))
