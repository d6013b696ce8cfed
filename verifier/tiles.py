"""Tiled logs (C2SP tlog-tiles): paths, widths, entry bundles, and proofs computed from tiles.

A tile is up to 256 hashes of 32 bytes, side by side. Tile `n` of level `l` holds the roots of the
complete subtrees of 256**l leaves, from number 256·n on; only the last tile of a level may be
partial (1 to 255 hashes wide). Entry bundles have the shape of level-0 tiles.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from verifier.errors import Refused
from verifier.merkle import EMPTY_ROOT, HASH_SIZE, MAX_SIZE, fold_right
from verifier.multiproof import multiproof_ranges
from verifier.plural import noun

TILE_HEIGHT = 8
FULL_WIDTH = 256
MAX_LEVEL = 63
MAX_ENTRY_SIZE = 0xFFFF
MAX_PATH = 64

_LENGTH = Struct(">H")
_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]{1,2})/(?P<n>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[0-9]{1,3}))?",
    re.ASCII,
)

ReadTile = Callable[[int, int, int], bytes]


class TilePath(NamedTuple):
    """Where a tile or an entry bundle is: `level` 0 to 63, or None for the entries."""

    level: int | None
    n: int
    width: int

    def text(self) -> str:
        """Path below the log's prefix, such as `tile/0/x001/067.p/12`."""
        if self.level is not None and not 0 <= self.level <= MAX_LEVEL:
            raise Refused("tile-path-malformed", f"level {self.level}")
        if not 0 <= self.n <= MAX_SIZE or not 1 <= self.width <= FULL_WIDTH:
            raise Refused("tile-path-malformed", f"tile {self.n}, width {self.width}")
        groups = [f"{self.n % 1000:03}"]
        rest = self.n // 1000
        while rest:
            groups.append(f"x{rest % 1000:03}")
            rest //= 1000
        where = "entries" if self.level is None else str(self.level)
        partial = "" if self.width == FULL_WIDTH else f".p/{self.width}"
        return f"tile/{where}/{'/'.join(reversed(groups))}{partial}"


def tile_path(level: int, n: int, width: int = FULL_WIDTH) -> str:
    """Path of a hash tile; `width` in hashes. Refused: `tile-path-malformed`."""
    return TilePath(level, n, width).text()


def entries_path(n: int, width: int = FULL_WIDTH) -> str:
    """Path of an entry bundle; `width` in entries. Refused: `tile-path-malformed`."""
    return TilePath(None, n, width).text()


def parse_path(text: str) -> TilePath:
    """Inverse of `tile_path` and `entries_path`; refuses every other spelling of a path."""
    match = _PATH.fullmatch(text) if len(text) <= MAX_PATH else None
    if match is None:
        raise Refused("tile-path-malformed", text[:MAX_PATH])
    level = None if match["level"] == "entries" else int(match["level"])
    n = int(match["n"].replace("/", "").replace("x", ""))
    path = TilePath(level, n, int(match["width"] or FULL_WIDTH))
    if path.text() != text:
        raise Refused("tile-path-malformed", text)
    return path


def tile_widths(size: int, level: int) -> tuple[int, int]:
    """Tiles of one level in a tree of `size` leaves: how many full, and how wide the partial one.

    A width of 0 means there is no partial tile. `level` 0 also describes the entry bundles.
    """
    if not 0 <= size <= MAX_SIZE or not 0 <= level <= MAX_LEVEL:
        raise Refused("merkle-out-of-range", f"size {size}, level {level}")
    return divmod(size >> TILE_HEIGHT * level, FULL_WIDTH)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """1 to 256 entries, each after its length as a big-endian uint16.

    Refused: `tile-bundle-malformed` for a wrong count or an entry above 65,535 bytes.
    """
    if not 1 <= len(entries) <= FULL_WIDTH:
        raise Refused(
            "tile-bundle-malformed", f"{len(entries)} {noun(len(entries), 'entry', 'entries')}"
        )
    if max(map(len, entries)) > MAX_ENTRY_SIZE:
        raise Refused("tile-bundle-malformed", "an entry is larger than 65,535 bytes")
    return b"".join([part for entry in entries for part in (_LENGTH.pack(len(entry)), entry)])


def parse_bundle(data: bytes, count: int) -> list[bytes]:
    """Inverse of `encode_bundle`; exactly `count` entries and not a byte more."""
    if not 1 <= count <= FULL_WIDTH:
        raise Refused("tile-bundle-malformed", f"{count} {noun(count, 'entry', 'entries')}")
    entries: list[bytes] = []
    position, end = 0, len(data)
    for _ in range(count):
        start = position + _LENGTH.size
        if start > end:
            raise Refused("tile-bundle-malformed", "too few entries")
        position = start + _LENGTH.unpack_from(data, start - _LENGTH.size)[0]
        entries.append(data[start:position])
    if position != end:
        raise Refused("tile-bundle-malformed", "cut short, or bytes after the last entry")
    return entries


class TileTree:
    """Root and proofs of the tree of `size` leaves, computed from its hash tiles.

    `read(level, n, width)` returns the `width` hashes of a tile, 32 bytes each (of a wider tile,
    the first `width`). Only tiles that the tree of this size has are asked for, each once per
    call. What `read` raises goes to the caller; a tile of another length is `tile-malformed`.

    Nothing here is trusted: a proof from wrong tiles simply fails at the one who checks it, and
    `root()` is to be compared with a checkpoint.
    """

    def __init__(self, size: int, read: ReadTile) -> None:
        if not 0 <= size <= MAX_SIZE:
            raise Refused("merkle-out-of-range", f"size {size}")
        self.size = size
        self._read = read

    def root(self) -> bytes:
        """Root of the tree (RFC 9162 §2.1.1)."""
        if not self.size:
            return EMPTY_ROOT
        return self._hash_all([(0, self.size)])[0]

    def inclusion_proof(self, index: int) -> list[bytes]:
        """PATH of RFC 9162 §2.1.3.1, sibling of the leaf first."""
        if not 0 <= index < self.size:
            raise Refused("merkle-out-of-range", f"index {index}, size {self.size}")
        low, high = 0, self.size
        ranges: list[tuple[int, int]] = []
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                ranges.append((middle, high))
                high = middle
            else:
                ranges.append((low, middle))
                low = middle
        return self._hash_all(ranges[::-1])

    def multiproof(self, indices: Sequence[int]) -> bytes:
        """The hashes, one after the other, that prove all these leaves (`verifier.multiproof`)."""
        return b"".join(self._hash_all(multiproof_ranges(indices, self.size)))

    def consistency_proof(self, size1: int) -> list[bytes]:
        """PROOF of RFC 9162 §2.1.4.1 from the tree of `size1` ≥ 1 leaves; empty for equal sizes."""
        ranges = self._consistency_ranges(size1)
        return self._hash_all(ranges if ranges[0][0] else ranges[1:])

    def consistency_subproof(self, size1: int) -> list[bytes]:
        """SUBPROOF(`size1`, D, false) of the same: both roots follow from it, see
        `verifier.merkle.roots_from_consistency`."""
        return self._hash_all(self._consistency_ranges(size1))

    def _consistency_ranges(self, size1: int) -> list[tuple[int, int]]:
        if not 0 < size1 <= self.size:
            raise Refused("merkle-out-of-range", f"sizes {size1} and {self.size}")
        low, high = 0, self.size
        ranges: list[tuple[int, int]] = []
        while size1 != high:
            middle = low + _split(high - low)
            if size1 <= middle:
                ranges.append((middle, high))
                high = middle
            else:
                ranges.append((low, middle))
                low = middle
        return [(low, high), *ranges[::-1]]

    def _hash_all(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Merkle tree hashes of the leaf ranges [low, high) that splitting the tree produces."""
        tiles: dict[tuple[int, int], bytes] = {}
        return [
            fold_right([self._node(tiles, *part) for part in _complete_subtrees(low, high)])
            for low, high in ranges
        ]

    def _node(self, tiles: dict[tuple[int, int], bytes], height: int, index: int) -> bytes:
        """Root of the complete subtree number `index` of 2**height leaves, within one tile."""
        level, above = divmod(height, TILE_HEIGHT)
        n, first = divmod(index << above, FULL_WIDTH)
        tile = tiles.get((level, n))
        if tile is None:
            full, partial = tile_widths(self.size, level)
            width = FULL_WIDTH if n < full else partial
            tile = self._read(level, n, width)
            if len(tile) != width * HASH_SIZE:
                raise Refused("tile-malformed", f"{tile_path(level, n, width)}: {len(tile)} bytes")
            tiles[level, n] = tile
        start = first * HASH_SIZE
        row = tile[start : start + (HASH_SIZE << above)]
        digest = sha256
        for _ in range(above):
            row = b"".join(
                [digest(b"\x01" + row[i : i + 64]).digest() for i in range(0, len(row), 64)]
            )
        return row


def _split(size: int) -> int:
    """Largest power of two below `size` (RFC 9162 §2.1.1)."""
    return 1 << (size - 1).bit_length() - 1


def _complete_subtrees(low: int, high: int) -> list[tuple[int, int]]:
    """(height, index) of the complete subtrees that fill [low, high), largest first."""
    parts: list[tuple[int, int]] = []
    while low < high:
        height = (high - low).bit_length() - 1
        parts.append((height, low >> height))
        low += 1 << height
    return parts
