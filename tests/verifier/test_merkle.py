"""Merkle hashes and proof checks against the RFC, public vectors and the slow twin."""

import json
from base64 import b64decode
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier import twin
from tests.verifier.helpers import frontier, refused
from verifier.errors import Refused
from verifier.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    root_from_inclusion,
)

Shared = Callable[[str], Path]

SIZES = range(66)
ENTRIES = twin.entries(SIZES.stop)
ROOTS = [twin.mth(ENTRIES[:size]) for size in SIZES]

# The one public case we judge otherwise: it calls a tree consistent whose roots are 12 bytes.
SHORT_ROOTS = "consistency/additional/sizes-are-equal-one-and-proof-is-empty.json"


def test_reference_tree(shared: Shared) -> None:
    tree = json.loads(shared("vectors/rfc6962/reference-tree.json").read_text())
    levels = [[bytes.fromhex(node) for node in row] for row in tree["node_hashes_by_level"]]
    entries = [bytes.fromhex(entry) for entry in tree["leaf_inputs_hex"]]
    assert [leaf_hash(entry) for entry in entries] == levels[0]
    for lower, upper in pairwise(levels):
        assert [node_hash(*lower[i : i + 2]) for i in range(0, len(lower), 2)] == upper
    roots = [bytes.fromhex(root) for root in tree["root_by_size"]]
    assert [frontier(entries[:size]).root() for size in range(9)] == roots
    assert [twin.mth(entries[:size]) for size in range(9)] == roots


def test_public_proofs(shared: Shared) -> None:
    folder = shared("vectors/merkle-proofs")
    outcomes = {}
    for path in sorted(folder.rglob("*.json")):
        case = json.loads(path.read_text())
        name = path.relative_to(folder).as_posix()
        outcomes[name] = (_accepts(case), not case["wantErr"])
    assert len(outcomes) == 196
    assert sum(accepted for accepted, _ in outcomes.values()) == 11
    assert [name for name, (ours, theirs) in outcomes.items() if ours != theirs] == [SHORT_ROOTS]
    assert outcomes[SHORT_ROOTS] == (False, True)


def _accepts(case: dict[str, Any]) -> bool:
    proof = [b64decode(value) for value in case["proof"] or []]
    try:
        if "leafIdx" in case:
            check_inclusion(
                index=case["leafIdx"],
                size=case["treeSize"],
                leaf=b64decode(case["leafHash"] or ""),
                proof=proof,
                root=b64decode(case["root"] or ""),
            )
        else:
            check_consistency(
                size1=case["size1"],
                size2=case["size2"],
                root1=b64decode(case["root1"] or ""),
                root2=b64decode(case["root2"] or ""),
                proof=proof,
            )
    except Refused:
        return False
    return True


@pytest.mark.parametrize("size", SIZES)
def test_every_inclusion_of_the_twin(size: int) -> None:
    for index in range(size):
        proof = twin.path(index, ENTRIES[:size])
        leaf = leaf_hash(ENTRIES[index])
        check_inclusion(index=index, size=size, leaf=leaf, proof=proof, root=ROOTS[size])


@pytest.mark.parametrize("size2", SIZES)
def test_every_consistency_of_the_twin(size2: int) -> None:
    for size1 in range(1, size2 + 1):
        proof = twin.proof(size1, ENTRIES[:size2])
        check_consistency(
            size1=size1, size2=size2, root1=ROOTS[size1], root2=ROOTS[size2], proof=proof
        )


def test_inclusion_at_the_largest_size() -> None:
    proof = [bytes([i]) * 32 for i in range(63)]
    for index, count in [(0, 63), (MAX_SIZE - 1, 62), (2**62, 63)]:
        root = root_from_inclusion(index=index, size=MAX_SIZE, leaf=ROOTS[1], proof=proof[:count])
        assert len(root) == 32
        for other in (proof[1:count], [ROOTS[1], *proof[:count]]):
            with refused("merkle-proof-length"):
                root_from_inclusion(index=index, size=MAX_SIZE, leaf=ROOTS[1], proof=other)


@pytest.mark.parametrize(
    ("index", "size"), [(0, 0), (-1, 5), (5, 5), (6, 5), (0, -1), (0, MAX_SIZE + 1)]
)
def test_inclusion_out_of_range(index: int, size: int) -> None:
    with refused("merkle-out-of-range"):
        root_from_inclusion(index=index, size=size, leaf=ROOTS[1], proof=[])


@pytest.mark.parametrize(
    ("size1", "size2"), [(0, 0), (0, 5), (6, 5), (-1, 5), (5, MAX_SIZE + 1), (-2, -1)]
)
def test_consistency_out_of_range(size1: int, size2: int) -> None:
    with refused("merkle-out-of-range"):
        check_consistency(size1=size1, size2=size2, root1=EMPTY_ROOT, root2=EMPTY_ROOT, proof=[])


@pytest.mark.parametrize("length", [0, 31, 33])
def test_hashes_of_another_length(length: int) -> None:
    bad, good = bytes(length), bytes(32)
    with refused("merkle-hash-size"):
        check_inclusion(index=0, size=1, leaf=bad, proof=[], root=good)
    with refused("merkle-hash-size"):
        check_inclusion(index=0, size=1, leaf=good, proof=[], root=bad)
    with refused("merkle-hash-size"):
        check_inclusion(index=0, size=2, leaf=good, proof=[bad], root=good)
    for root1, root2, proof in [(bad, good, good), (good, bad, good), (good, good, bad)]:
        with refused("merkle-hash-size"):
            check_consistency(size1=1, size2=2, root1=root1, root2=root2, proof=[proof])


def test_equal_sizes_need_equal_roots_and_no_proof() -> None:
    with refused("merkle-root-mismatch"):
        check_consistency(size1=3, size2=3, root1=ROOTS[3], root2=ROOTS[4], proof=[])
    with refused("merkle-proof-length"):
        check_consistency(size1=3, size2=3, root1=ROOTS[3], root2=ROOTS[3], proof=[ROOTS[1]])


@given(st.data())
def test_altered_inclusion_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 65))
    index = data.draw(st.integers(0, size - 1))
    leaf, root = leaf_hash(ENTRIES[index]), ROOTS[size]
    proof = twin.path(index, ENTRIES[:size])
    wrong = data.draw(_altered(proof))
    with refused("merkle-root-mismatch", "merkle-proof-length"):
        check_inclusion(index=index, size=size, leaf=leaf, proof=wrong, root=root)
    other = data.draw(st.integers(0, size).filter(lambda i: i != index))
    with refused("merkle-root-mismatch", "merkle-proof-length", "merkle-out-of-range"):
        check_inclusion(index=other, size=size, leaf=leaf, proof=proof, root=root)
    with refused("merkle-root-mismatch"):
        check_inclusion(index=index, size=size, leaf=root[::-1], proof=proof, root=root)


@given(st.data())
def test_altered_consistency_is_refused(data: st.DataObject) -> None:
    size2 = data.draw(st.integers(2, 65))
    size1 = data.draw(st.integers(1, size2 - 1))
    root1, root2 = ROOTS[size1], ROOTS[size2]
    proof = twin.proof(size1, ENTRIES[:size2])
    wrong = data.draw(_altered(proof))
    with refused("merkle-root-mismatch", "merkle-proof-length"):
        check_consistency(size1=size1, size2=size2, root1=root1, root2=root2, proof=wrong)
    for first, second in [(root1[::-1], root2), (root1, root2[::-1]), (root2, root1)]:
        with refused("merkle-root-mismatch"):
            check_consistency(size1=size1, size2=size2, root1=first, root2=second, proof=proof)


def _altered(proof: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    def flip(where: tuple[int, int]) -> list[bytes]:
        position, bit = where
        number = int.from_bytes(proof[position], "big") ^ 1 << bit
        return [*proof[:position], number.to_bytes(32, "big"), *proof[position + 1 :]]

    longer = st.sampled_from([[*proof, ROOTS[1]], [ROOTS[1], *proof]])
    if not proof:
        return longer
    flipped = st.tuples(st.integers(0, len(proof) - 1), st.integers(0, 255)).map(flip)
    return st.one_of(flipped, longer, st.sampled_from([proof[1:], proof[:-1]]))


@given(st.lists(st.integers(0, 20), max_size=8))
def test_frontier_grows_in_any_steps(steps: list[int]) -> None:
    leaves = [b"%032d" % i for i in range(sum(steps))]
    nodes: dict[tuple[int, int], bytes] = {}
    grown, one_by_one = Frontier(), Frontier()
    for step in steps:
        before = len(nodes)
        reported: list[tuple[int, int]] = []
        start = grown.size

        def on_node(
            level: int, index: int, node: bytes, reported: list[tuple[int, int]] = reported
        ) -> None:
            assert (level, index) not in nodes
            nodes[level, index] = node
            reported.append((level, index))

        grown.extend(leaves[start : start + step], on_node)
        assert reported == sorted(reported)
        assert len(nodes) - before == len(reported)
    for leaf in leaves:
        one_by_one.append(leaf)
    assert grown.size == one_by_one.size == len(leaves)
    assert grown.hashes == one_by_one.hashes
    assert grown.root() == one_by_one.root()
    complete = {
        (level, index)
        for level in range(1, len(leaves).bit_length())
        for index in range(len(leaves) >> level)
    }
    assert nodes.keys() == complete
    for (level, index), node in nodes.items():
        below = [
            leaves[i] if level == 1 else nodes[level - 1, i] for i in (2 * index, 2 * index + 1)
        ]
        assert node == node_hash(*below)


@pytest.mark.parametrize("size", SIZES)
def test_frontier_of_every_size(size: int) -> None:
    grown = frontier(ENTRIES[:size])
    assert grown.root() == ROOTS[size]
    assert len(grown.hashes) == size.bit_count()
    copy = Frontier(grown.size, grown.hashes)
    copy.append(leaf_hash(ENTRIES[size]))
    assert copy.root() == twin.mth(ENTRIES[: size + 1])
    assert grown.root() == ROOTS[size]


def test_frontier_refuses_and_stays_as_it_was() -> None:
    grown = frontier(ENTRIES[:5])
    before = grown.hashes
    with refused("merkle-hash-size"):
        grown.extend([ROOTS[1], b"short"])
    with refused("merkle-hash-size"):
        grown.append(b"")
    assert (grown.size, grown.hashes, grown.root()) == (5, before, ROOTS[5])


def test_frontier_needs_the_hashes_of_its_size() -> None:
    with refused("merkle-proof-length"):
        Frontier(3, [ROOTS[1]])
    with refused("merkle-proof-length"):
        Frontier(0, [ROOTS[1]])
    with refused("merkle-hash-size"):
        Frontier(1, [b"short"])
    with refused("merkle-out-of-range"):
        Frontier(-1)
    with refused("merkle-out-of-range"):
        Frontier(MAX_SIZE, [ROOTS[1]] * 63).append(ROOTS[1])
