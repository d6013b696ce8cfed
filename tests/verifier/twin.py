"""RFC 6962 §2.1 word for word: recursive, slow, and never imported by the product.

Trees are lists of entries `d`; every function costs the whole tree.
"""

from collections.abc import Sequence
from hashlib import sha256


def mth(d: Sequence[bytes]) -> bytes:
    """Merkle Tree Hash, §2.1."""
    if len(d) == 0:
        return sha256(b"").digest()
    if len(d) == 1:
        return sha256(b"\x00" + d[0]).digest()
    k = split(len(d))
    return sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: Sequence[bytes]) -> list[bytes]:
    """Merkle audit path of entry m, §2.1.1."""
    if len(d) == 1:
        return []
    k = split(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: Sequence[bytes]) -> list[bytes]:
    """Merkle consistency proof from the first m entries, §2.1.2."""
    return subproof(m, d, True)


def subproof(m: int, d: Sequence[bytes], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = split(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def entries(size: int) -> list[bytes]:
    """`size` different entries of different lengths."""
    return [b"entry %d" % i for i in range(size)]
