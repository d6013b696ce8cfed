"""The files of a log as an audit reads them: what is missing or misshapen is named, once."""

from collections import OrderedDict

from ledger.audit.findings import Findings
from ledger.audit.worker import Bundle
from ledger.errors import LedgerError
from ledger.readside import ReadSide
from verifier.merkle import HASH_SIZE
from verifier.tiles import FULL_WIDTH, entries_path, tile_path, tile_widths

_CACHED_TILES = 32


class Files:
    """Tiles and bundles of the tree of `size` leaves.

    A source that fails (rather than lacks a file) ends the audit: `LedgerError`
    `ledger-read-failed` goes to the caller.
    """

    def __init__(self, read: ReadSide, size: int, findings: Findings) -> None:
        self.size = size
        self._read = read
        self._findings = findings
        self._named: set[str] = set()
        self._tiles: OrderedDict[str, bytes | None] = OrderedDict()

    def width(self, level: int, n: int) -> int:
        """How many hashes tile `n` of a level has; 0 where the tree has no such tile."""
        full, partial = tile_widths(self.size, level)
        return FULL_WIDTH if n < full else partial if n == full else 0

    def tile(self, level: int, n: int) -> bytes | None:
        """Its hashes side by side, or None: the tree has no such tile, or a finding says why."""
        width = self.width(level, n)
        if not width:
            return None
        path = tile_path(level, n, width)
        if path in self._tiles:
            return self._tiles[path]
        data = self._fetch(path)
        if data is None and width < FULL_WIDTH:
            whole = self._fetch(tile_path(level, n))
            data = None if whole is None else whole[: width * HASH_SIZE]
        if data is None:
            self.name("audit-file-missing", path)
        elif len(data) != width * HASH_SIZE:
            self.name("audit-tile-malformed", path, detail=f"{len(data)} bytes")
            data = None
        self._tiles[path] = data
        if len(self._tiles) > _CACHED_TILES:
            self._tiles.popitem(last=False)
        return data

    def hash_at(self, level: int, index: int) -> bytes | None:
        """The hash of one node as its tile has it, or None."""
        tile = self.tile(level, index // FULL_WIDTH)
        start = index % FULL_WIDTH * HASH_SIZE
        return None if tile is None else tile[start : start + HASH_SIZE] or None

    def bundle(self, n: int) -> Bundle:
        """An entry bundle as it lies there. May be called from several threads."""
        width = self.width(0, n)
        for held in dict.fromkeys((width, FULL_WIDTH) if width else ()):
            data = self._fetch(entries_path(n, held))
            if data is not None:
                return Bundle(n, width, held, data)
        return Bundle(n, width, width, None)

    def bundle_path(self, n: int) -> str:
        return entries_path(n, self.width(0, n))

    def name(self, code: str, path: str, *, index: int | None = None, detail: str = "") -> None:
        """Adds a finding about a file, unless the file has been named already."""
        if path not in self._named:
            self._named.add(path)
            self._findings.add(code, index, path=path, detail=detail)

    def _fetch(self, path: str) -> bytes | None:
        """None if there is no such file; nothing of one larger than its kind can be."""
        try:
            return self._read.read(path)
        except LedgerError as error:
            if error.code == "ledger-path-absent":
                return None
            if error.code == "ledger-read-too-large":
                return b""
            raise
