"""The RFC 6962 / RFC 9162 §2.1 Merkle tree over SHA-256: hashes, proof checks, the right edge.

    leaf_hash(d)    = SHA-256(0x00 || d)
    node_hash(l, r) = SHA-256(0x01 || l || r)
    EMPTY_ROOT      = SHA-256("")

Index, sizes and roots are the caller's; a proof brings nothing but hashes, and its exact length
follows from the sizes before any hash is looked at. Hashes are 32 bytes, sizes below 2**63.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from verifier.errors import Refused

HASH_SIZE = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()

OnNode = Callable[[int, int, bytes], None]


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry (RFC 9162 §2.1.1)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node over two 32-byte children (RFC 9162 §2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def root_from_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that `proof` (RFC 9162 §2.1.3) gives to the leaf hash `leaf` at `index`.

        index ^ (size-1)   bits below the first common one: siblings left or right ("inner")
        index >> inner     each set bit: one sibling on the left, along the right edge ("border")

    Refused: `merkle-out-of-range`, `merkle-proof-length`, `merkle-hash-size`.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise Refused("merkle-out-of-range", f"index {index}, size {size}")
    inner = (index ^ (size - 1)).bit_length()
    if len(proof) != inner + (index >> inner).bit_count():
        raise Refused("merkle-proof-length", f"{len(proof)} hashes")
    _check_hashes(leaf, *proof)
    node = leaf
    for height, sibling in enumerate(proof):
        if height < inner and not index >> height & 1:
            node = sha256(b"\x01" + node + sibling).digest()
        else:
            node = sha256(b"\x01" + sibling + node).digest()
    return node


def check_inclusion(
    *, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """The leaf hash `leaf` is at `index` in the tree of `size` leaves whose root is `root`.

    Refused: as `root_from_inclusion`, and `merkle-root-mismatch`.
    """
    _check_hashes(root)
    if root_from_inclusion(index=index, size=size, leaf=leaf, proof=proof) != root:
        raise Refused("merkle-root-mismatch", "inclusion")


def check_consistency(
    *, size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> None:
    """The tree (`size1`, `root1`) is a prefix of the tree (`size2`, `root2`), RFC 9162 §2.1.4.

    From size 0 there is nothing to prove, and such a question is refused.
    Refused: `merkle-out-of-range`, `merkle-proof-length`, `merkle-hash-size`,
    `merkle-root-mismatch`.
    """
    _check_sizes(size1, size2)
    _check_hashes(root1, root2)
    if size1 == size2:
        if proof:
            raise Refused("merkle-proof-length", "sizes are equal")
        if root1 != root2:
            raise Refused("merkle-root-mismatch", "sizes are equal")
        return
    subproof = proof if size1 & (size1 - 1) else [root1, *proof]
    if roots_from_consistency(size1=size1, size2=size2, subproof=subproof) != (root1, root2):
        raise Refused("merkle-root-mismatch", "consistency")


def roots_from_consistency(
    *, size1: int, size2: int, subproof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """The roots at `size1` and `size2` that a consistency proof gives to one and the same tree.

    `subproof` is SUBPROOF(size1, D[size2], false) of RFC 9162 §2.1.4.1: the proof with, first, the
    last complete subtree of the old tree, which a verifier of the proof itself knows where it is
    all of the old tree (`size1` a power of two). The walk starts there. Going up, hashes on the
    left are part of both trees, hashes on the right of the new one only.

        size1 6, size2 7    old tree [ 0-3 ][ 4-5 ], starts at [ 4-5 ]; right [ 6 ], left [ 0-3 ]

    Refused: `merkle-out-of-range` (also for equal sizes), `merkle-proof-length`,
    `merkle-hash-size`.
    """
    _check_sizes(size1, size2)
    if size1 == size2:
        raise Refused("merkle-out-of-range", f"both sizes are {size1}")
    _check_hashes(*subproof)
    last = size1 - 1
    shift = (size1 & -size1).bit_length() - 1
    inner = (last ^ (size2 - 1)).bit_length() - shift
    path = last >> shift
    if len(subproof) != 1 + inner + (path >> inner).bit_count():
        raise Refused("merkle-proof-length", f"{len(subproof)} hashes")
    old = new = subproof[0]
    for height, sibling in enumerate(subproof[1:]):
        if height < inner and not path >> height & 1:
            new = sha256(b"\x01" + new + sibling).digest()
        else:
            old = sha256(b"\x01" + sibling + old).digest()
            new = sha256(b"\x01" + sibling + new).digest()
    return old, new


class Frontier:
    """The right edge of a growing tree: all that is needed to append and to know the root.

    `hashes` holds the roots of the complete subtrees, largest (leftmost) first, one for each set
    bit of `size`:

        size 7 = 4 + 2 + 1        [ 0-3 ][ 4-5 ][ 6 ]

    Not safe for concurrent use; `Frontier(f.size, f.hashes)` is an independent copy.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if not 0 <= size <= MAX_SIZE:
            raise Refused("merkle-out-of-range", f"size {size}")
        if len(hashes) != size.bit_count():
            raise Refused("merkle-proof-length", "one hash for each set bit of the size")
        _check_hashes(*hashes)
        self._size = size
        self._hashes = list(hashes)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, largest first."""
        return tuple(self._hashes)

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf hash at index `size`."""
        self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Iterable[bytes], on_node: OnNode | None = None) -> None:
        """Add leaf hashes from index `size` on; all of them or, if one is malformed, none.

        `on_node(level, index, hash)` hears of every interior node completed on the way, level by
        level upwards and left to right in each: `level` ≥ 1 is the height (the subtree has
        2**level leaves), `index` counts nodes of that height from the left. Tile level t holds
        the nodes of height 8·t. Leaves are not reported.
        """
        nodes = list(leaf_hashes)
        if any(length != HASH_SIZE for length in set(map(len, nodes))):
            raise Refused("merkle-hash-size")
        if len(nodes) > MAX_SIZE - self._size:
            raise Refused("merkle-out-of-range", "tree is full")
        size = self._size + len(nodes)
        left = self._hashes.copy()  # subtrees not yet reached by the rise
        edge: list[bytes] = []  # new right edge, smallest first
        level, start, digest = 0, self._size, sha256
        while nodes:
            if start & 1:  # an old subtree of this height waits for its sibling
                nodes.insert(0, left.pop())
                start -= 1
            if len(nodes) & 1:
                edge.append(nodes.pop())
            level += 1
            start >>= 1
            pairs = iter(nodes)
            nodes = [digest(b"\x01" + a + b).digest() for a, b in zip(pairs, pairs, strict=True)]
            if on_node is not None:
                for index, node in enumerate(nodes, start):
                    on_node(level, index, node)
        left.extend(reversed(edge))
        self._hashes = left
        self._size = size

    def root(self) -> bytes:
        """Root of the tree so far (RFC 9162 §2.1.1); `EMPTY_ROOT` for no leaves."""
        if not self._hashes:
            return EMPTY_ROOT
        return fold_right(self._hashes)


def fold_right(hashes: Sequence[bytes]) -> bytes:
    """One root over adjoining complete subtrees, largest first (the inverse of the RFC's split)."""
    node = hashes[-1]
    for left in reversed(hashes[:-1]):
        node = sha256(b"\x01" + left + node).digest()
    return node


def _check_sizes(size1: int, size2: int) -> None:
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise Refused("merkle-out-of-range", f"sizes {size1} and {size2}")


def _check_hashes(*hashes: bytes) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise Refused("merkle-hash-size", f"{len(value)} bytes")
