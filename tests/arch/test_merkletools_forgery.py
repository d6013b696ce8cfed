"""Why the tree separates leaves from nodes (docs/decisions/0002).

A tree that hashes entries and pairs of hashes alike takes an inner node for a leaf: whoever knows
two neighbouring hashes can prove an entry nobody ever appended. Plain hashlib builds such a tree
here; the verifier is asked the same question and refuses.
"""

from hashlib import sha256

import pytest

from verifier.errors import Refused
from verifier.merkle import check_inclusion, leaf_hash, node_hash

ENTRIES = [f"licence {number}".encode() for number in range(4)]


def plain(data: bytes) -> bytes:
    return sha256(data).digest()


def plain_tree() -> tuple[list[bytes], bytes, bytes, bytes]:
    """Leaf hashes, left and right inner node, root: no prefixes anywhere."""
    leaves = [plain(entry) for entry in ENTRIES]
    left, right = plain(leaves[0] + leaves[1]), plain(leaves[2] + leaves[3])
    return leaves, left, right, plain(left + right)


def separated_tree() -> tuple[list[bytes], bytes, bytes, bytes]:
    """The same four entries under RFC 9162's hashes."""
    leaves = [leaf_hash(entry) for entry in ENTRIES]
    left, right = node_hash(leaves[0], leaves[1]), node_hash(leaves[2], leaves[3])
    return leaves, left, right, node_hash(left, right)


def test_without_prefixes_an_inner_node_passes_as_an_entry() -> None:
    leaves, left, right, root = plain_tree()
    forged = leaves[0] + leaves[1]
    assert forged not in ENTRIES
    assert plain(forged) == left
    assert plain(plain(forged) + right) == root


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_verifier_refuses_the_same_forgery(index: int, size: int) -> None:
    leaves, _left, right, root = separated_tree()
    forged = leaves[0] + leaves[1]
    with pytest.raises(Refused) as refused:
        check_inclusion(index=index, size=size, leaf=leaf_hash(forged), proof=[right], root=root)
    expected = "merkle-root-mismatch" if size == 2 else "merkle-proof-length"
    assert refused.value.code == expected


def test_the_verifier_refuses_an_inner_node_even_as_a_ready_leaf_hash() -> None:
    _leaves, left, right, root = separated_tree()
    with pytest.raises(Refused, match="merkle-proof-length"):
        check_inclusion(index=0, size=4, leaf=left, proof=[right], root=root)


def test_the_verifier_accepts_the_true_entry() -> None:
    leaves, _left, right, root = separated_tree()
    check_inclusion(index=0, size=4, leaf=leaves[0], proof=[leaves[1], right], root=root)
