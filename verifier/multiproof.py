"""Inclusion of many leaves in one tree: every hash once, and none that can be computed.

The tree of `size` leaves is walked from the root, left before right (RFC 9162 §2.1.1 says where a
range of leaves splits). A range that holds none of the proven leaves is one hash of the proof; one
that holds some is split further; a single leaf is what is proven. So leaves and size alone say
how many hashes there are and what each stands for: a proof has exactly one encoding, the hashes
in the order of the walk, and as the tree grows it changes at its end only.

    size 7, leaves 1 and 4:   0-6 ─┬─ 0-3 ─┬─ 0-1 ─┬─ 0    hash
                                   │       │       └─ 1    proven
                                   │       └─ 2-3          hash
                                   └─ 4-6 ─┬─ 4-5 ─┬─ 4    proven
                                           │       └─ 5    hash
                                           └─ 6            hash
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise

from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, MAX_SIZE


def multiproof_ranges(indices: Sequence[int], size: int) -> list[tuple[int, int]]:
    """The ranges [low, high) of leaves whose roots are, in this order, the proof.

    `indices` ascend. Refused: `merkle-out-of-range`.
    """
    _check_indices(indices, size)
    ranges: list[tuple[int, int]] = []

    def walk(low: int, high: int, first: int, last: int) -> None:
        if first == last:
            ranges.append((low, high))
        elif high - low > 1:
            middle = low + _split(high - low)
            at = bisect_left(indices, middle, first, last)
            walk(low, middle, first, at)
            walk(middle, high, at, last)

    walk(0, size, 0, len(indices))
    return ranges


def root_from_multiproof(leaves: Sequence[tuple[int, bytes]], size: int, proof: bytes) -> bytes:
    """The root that the hashes of `proof`, 32 bytes each, give to these (index, leaf hash).

    Refused: `merkle-out-of-range` (also where the leaves are none or do not ascend),
    `merkle-hash-size`, `merkle-proof-length`.
    """
    indices = [index for index, _ in leaves]
    _check_indices(indices, size)
    if any(len(leaf) != HASH_SIZE for _, leaf in leaves) or len(proof) % HASH_SIZE:
        raise Refused("merkle-hash-size")
    hashes = (proof[at : at + HASH_SIZE] for at in range(0, len(proof), HASH_SIZE))

    def walk(low: int, high: int, first: int, last: int) -> bytes:
        if first == last:
            return _take(hashes)
        if last - first == 1:
            return _climb(low, high, indices[first], leaves[first][1], hashes)
        middle = low + _split(high - low)
        at = bisect_left(indices, middle, first, last)
        left = walk(low, middle, first, at)
        return sha256(b"\x01" + left + walk(middle, high, at, last)).digest()

    root = walk(0, size, 0, len(indices))
    if next(hashes, None) is not None:
        raise Refused("merkle-proof-length", "a hash too many")
    return root


def check_multiproof(
    leaves: Sequence[tuple[int, bytes]], *, size: int, proof: bytes, root: bytes
) -> None:
    """Each (index, leaf hash) is in the tree of `size` leaves whose root is `root`.

    Refused: as `root_from_multiproof`, and `merkle-root-mismatch`.
    """
    if root_from_multiproof(leaves, size, proof) != root:
        raise Refused("merkle-root-mismatch", "inclusion")


def _climb(low: int, high: int, index: int, leaf: bytes, hashes: Iterator[bytes]) -> bytes:
    """The root of a range with one proven leaf, without a call for each height."""
    lefts: list[bytes | None] = []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            high = middle
            lefts.append(None)
        else:
            low = middle
            lefts.append(_take(hashes))
    node = leaf
    for left in reversed(lefts):
        pair = node + _take(hashes) if left is None else left + node
        node = sha256(b"\x01" + pair).digest()
    return node


def _take(hashes: Iterator[bytes]) -> bytes:
    hash_ = next(hashes, None)
    if hash_ is None:
        raise Refused("merkle-proof-length", "a hash too few")
    return hash_


def _split(size: int) -> int:
    """Largest power of two below `size` (RFC 9162 §2.1.1)."""
    return 1 << (size - 1).bit_length() - 1


def _check_indices(indices: Sequence[int], size: int) -> None:
    ascending = all(one < other for one, other in pairwise(indices))
    if not indices or not ascending or indices[0] < 0 or not indices[-1] < size <= MAX_SIZE:
        raise Refused("merkle-out-of-range", f"leaves of a tree of {size}")
