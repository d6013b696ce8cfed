"""Which leaf hashes are surely not among the first entries of a log: a Bloom filter in memory.

Bits of a hash are its own first bytes, so nothing is hashed again. Entries are covered in the order
of their indices, in segments of fixed size, so that none is ever built anew, and a hash that may be
there is searched for in one segment alone. About 4 bytes an entry; of the hashes that are new to a
full segment, one in fourteen hundred is taken for known.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

SEGMENT: Final = 1 << 20
"""Entries that share a part of the filter."""
_BITS: Final = SEGMENT * 32
_PLACES: Final = struct.Struct("<3I20x")  # three numbers, of which the bits are told
_MASK: Final = _BITS - 1


class LeafFilter:
    """Covers entries 0 to `covered` - 1."""

    def __init__(self) -> None:
        self.covered = 0
        self._segments: list[bytearray] = []

    def add(self, leaf_hashes: Sequence[bytes]) -> None:
        """The hashes of the entries from `covered` on, in any order within a segment."""
        at = 0
        while at < len(leaf_hashes):
            if self.covered == len(self._segments) * SEGMENT:
                self._segments.append(bytearray(_BITS // 8))
            room = len(self._segments) * SEGMENT - self.covered
            part = leaf_hashes[at : at + room]
            bits = self._segments[-1]
            for a, b, c in _PLACES.iter_unpack(b"".join(part)):
                bits[(a & _MASK) >> 3] |= 1 << (a & 7)
                bits[(b & _MASK) >> 3] |= 1 << (b & 7)
                bits[(c & _MASK) >> 3] |= 1 << (c & 7)
            self.covered += len(part)
            at += len(part)

    def possible(self, leaf_hashes: Iterable[bytes]) -> dict[int, list[bytes]]:
        """Those that may be covered, by the first index of each segment they may be in."""
        found: dict[int, list[bytes]] = {}
        unpack = _PLACES.unpack
        for leaf_hash in leaf_hashes:
            a, b, c = unpack(leaf_hash)
            for number, bits in enumerate(self._segments):
                if (
                    bits[(a & _MASK) >> 3] >> (a & 7) & 1
                    and bits[(b & _MASK) >> 3] >> (b & 7) & 1
                    and bits[(c & _MASK) >> 3] >> (c & 7) & 1
                ):
                    found.setdefault(number * SEGMENT, []).append(leaf_hash)
        return found
