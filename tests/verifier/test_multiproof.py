"""Proofs of many leaves: against the tree's definition, and none that is too long or too short."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.helpers import refused
from tests.verifier.test_tiles import grow
from tests.verifier.twin import entries
from tests.verifier.twin import mth as root
from verifier.merkle import leaf_hash
from verifier.multiproof import (
    check_multiproof,
    multiproof_ranges,
    root_from_multiproof,
)

ENTRIES = [f"entry {n}".encode() for n in range(80)]


def prove(indices: list[int], size: int) -> bytes:
    return b"".join(root(ENTRIES[low:high]) for low, high in multiproof_ranges(indices, size))


def leaves(indices: list[int]) -> list[tuple[int, bytes]]:
    return [(index, leaf_hash(ENTRIES[index])) for index in indices]


def check(indices: list[int], size: int, proof: bytes) -> None:
    check_multiproof(leaves(indices), size=size, proof=proof, root=root(ENTRIES[:size]))


def test_every_choice_of_leaves_of_small_trees() -> None:
    for size in range(1, 10):
        for count in range(1, size + 1):
            for chosen in combinations(range(size), count):
                check(list(chosen), size, prove(list(chosen), size))


@st.composite
def chosen_leaves(draw: st.DrawFn) -> tuple[list[int], int]:
    size = draw(st.integers(1, len(ENTRIES)))
    indices = draw(st.sets(st.integers(0, size - 1), min_size=1))
    return sorted(indices), size


@given(chosen_leaves(), st.data())
def test_larger_trees_and_altered_proofs(
    chosen: tuple[list[int], int], data: st.DataObject
) -> None:
    indices, size = chosen
    proof = prove(indices, size)
    check(indices, size, proof)
    with refused("merkle-proof-length"):
        check(indices, size, proof + bytes(32))
    if proof:
        with refused("merkle-proof-length"):
            check(indices, size, proof[:-32])
        at = data.draw(st.integers(0, len(proof) - 1))
        with refused("merkle-root-mismatch"):
            check(indices, size, proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :])
    other = data.draw(st.integers(0, len(indices) - 1))
    wrong = leaves(indices)
    wrong[other] = (wrong[other][0], bytes(32))
    with refused("merkle-root-mismatch"):
        check_multiproof(wrong, size=size, proof=proof, root=root(ENTRIES[:size]))


def test_the_picture_of_the_module() -> None:
    assert multiproof_ranges([1, 4], 7) == [(0, 1), (2, 4), (5, 6), (6, 7)]


def test_all_leaves_need_no_hash() -> None:
    assert multiproof_ranges(list(range(13)), 13) == []
    assert root_from_multiproof(leaves(list(range(13))), 13, b"") == root(ENTRIES[:13])


def test_a_growing_tree_changes_the_end_of_a_proof_only() -> None:
    """What a counter holds of a proof serves it again: complete subtrees keep their place."""
    indices = [0, 5, 9]
    for size in range(10, 60):
        older, newer = multiproof_ranges(indices, size), multiproof_ranges(indices, size + 1)
        shared = [one for one, other in zip(older, newer, strict=False) if one == other]
        assert shared == [part for part in older if part in newer]
        assert set(older) - set(newer) <= {part for part in older if part[1] == size}


@pytest.mark.parametrize(
    ("indices", "size"),
    [([], 5), ([5], 5), ([-1], 5), ([0, 0], 5), ([2, 1], 5), ([0], 0), ([0], 2**63)],
)
def test_leaves_ascend_within_the_tree(indices: list[int], size: int) -> None:
    with refused("merkle-out-of-range"):
        multiproof_ranges(indices, size)
    with refused("merkle-out-of-range"):
        root_from_multiproof([(index, bytes(32)) for index in indices], size, b"")


def test_hashes_are_of_32_bytes() -> None:
    with refused("merkle-hash-size"):
        check([1], 4, prove([1], 4)[:-1])
    with refused("merkle-hash-size"):
        root_from_multiproof([(0, bytes(31))], 1, b"")


def test_a_proof_in_the_largest_tree_takes_no_time() -> None:
    size = 2**63 - 1
    ranges = multiproof_ranges([0, size // 3, size - 1], size)
    proof = bytes(32 * len(ranges))
    assert len(root_from_multiproof([(0, bytes(32)), (size // 3, bytes(32)),
                                     (size - 1, bytes(32))], size, proof)) == 32  # fmt: skip


def test_tiles_give_the_proof() -> None:
    size = 700
    log, frontier = grow(size)
    indices = [0, 1, 255, 256, 511, 699]
    proof = log.tree().multiproof(indices)
    named = [(index, leaf_hash(entries(size)[index])) for index in indices]
    check_multiproof(named, size=size, proof=proof, root=frontier.root())
    assert len(set(log.reads)) == len(log.reads)
