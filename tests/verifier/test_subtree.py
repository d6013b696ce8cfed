"""Subtrees against the recursion of draft-ietf-plants-merkle-tree-certs-03 §4.4.1."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keys.signer import SoftwareSigner
from keys.suites import SUITES
from tests.verifier.helpers import refused, signer
from tests.verifier.twin import entries, mth, path, proof, split
from verifier.merkle import MAX_SIZE
from verifier.note import NoteSignature, NoteSigner
from verifier.subtree import check_range, check_subtree, verify_subtree

MOST = 33


def is_subtree(start: int, end: int) -> bool:
    """§4.1: `start` is a multiple of BIT_CEIL(end - start)."""
    width = 1
    while width < end - start:
        width *= 2
    return start % width == 0


def subtree_proof(start: int, end: int, d: Sequence[bytes], known: bool = True) -> list[bytes]:
    """SUBTREE_PROOF, §4.4.1; `known` is the b of SUBTREE_SUBPROOF."""
    if (start, end) == (0, len(d)):
        return [] if known else [mth(d)]
    k = split(len(d))
    if end <= k:
        return [*subtree_proof(start, end, d[:k], known), mth(d[k:])]
    if k <= start:
        return [*subtree_proof(start - k, end - k, d[k:], known), mth(d[:k])]
    return [*subtree_proof(0, end - k, d[k:], False), mth(d[:k])]


def subtrees(size: int) -> Iterator[tuple[int, int]]:
    for start in range(size):
        for end in range(start + 1, size + 1):
            if is_subtree(start, end):
                yield start, end


def check(
    start: int, end: int, d: Sequence[bytes], hashes: Sequence[bytes], **other: bytes
) -> None:
    check_subtree(
        start=start,
        end=end,
        size=len(d),
        subroot=other.get("subroot", mth(d[start:end])),
        root=other.get("root", mth(d)),
        proof=hashes,
    )


@pytest.mark.parametrize("size", range(1, MOST))
def test_every_subtree_of_every_small_tree(size: int) -> None:
    d = entries(size)
    for start, end in subtrees(size):
        check(start, end, d, subtree_proof(start, end, d))


def test_it_is_the_consistency_proof_from_0_and_the_inclusion_proof_of_one_leaf() -> None:
    for size in range(1, MOST):
        d = entries(size)
        for end in range(1, size + 1):
            assert subtree_proof(0, end, d) == proof(end, d)
            assert subtree_proof(end - 1, end, d) == path(end - 1, d)


@settings(max_examples=40)
@given(st.data())
def test_whatever_is_changed_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 24))
    d = entries(size)
    start, end = data.draw(st.sampled_from(list(subtrees(size))))
    good = subtree_proof(start, end, d)
    other = data.draw(st.binary(min_size=32, max_size=32))
    with refused("merkle-root-mismatch"):
        check(start, end, d, good, subroot=other)
    with refused("merkle-root-mismatch"):
        check(start, end, d, good, root=other)
    for at in range(len(good)):
        with refused("merkle-root-mismatch"):
            check(start, end, d, [*good[:at], other, *good[at + 1 :]])
        with refused("merkle-proof-length"):
            check(start, end, d, [*good[:at], *good[at + 1 :]])
    with refused("merkle-proof-length"):
        check(start, end, d, [*good, other])


def test_a_hash_of_the_subtree_s_own_is_in_both_trees() -> None:
    """[8, 13) of 14: a proof for another [8, 13) whose last leaf is the tree's own."""
    d = entries(14)
    forged = [*d[:8], b"forged", *d[9:]]
    good = subtree_proof(8, 13, d)
    with refused("merkle-root-mismatch"):
        check(8, 13, d, good, subroot=mth(forged[8:13]))


@pytest.mark.parametrize(
    ("start", "end", "size"),
    [(0, 0, 4), (3, 3, 4), (3, 2, 4), (-4, 0, 4), (0, 5, 4), (1, 3, 4), (2, 5, 8), (4, 9, 12)],
)
def test_what_is_no_subtree_of_the_tree_is_refused(start: int, end: int, size: int) -> None:
    with refused("merkle-out-of-range"):
        check_range(start, end, size)


def test_ranges_are_those_of_the_draft() -> None:
    for start in range(20):
        for end in range(start + 1, 40):
            if is_subtree(start, end):
                check_range(start, end, 40)
            else:
                with refused("merkle-out-of-range"):
                    check_range(start, end, 40)


def test_the_largest_tree_needs_63_hashes() -> None:
    """And a size beyond is refused before any hash is looked at."""
    with refused("merkle-proof-length"):
        check_subtree(
            start=MAX_SIZE - 1,
            end=MAX_SIZE,
            size=MAX_SIZE,
            subroot=bytes(32),
            root=bytes(32),
            proof=[bytes(32)] * 63,
        )
    with refused("merkle-root-mismatch"):
        check_subtree(
            start=0, end=1, size=MAX_SIZE, subroot=bytes(32), root=bytes(32), proof=[bytes(32)] * 63
        )
    with refused("merkle-out-of-range"):
        check_range(0, 1, MAX_SIZE + 1)


@pytest.mark.parametrize("which", ["subroot", "root", "proof"])
def test_short_hashes_are_refused(which: str) -> None:
    d = entries(4)
    good = subtree_proof(0, 2, d)
    with refused("merkle-hash-size"):
        if which == "proof":
            check(0, 2, d, [good[0][:31]])
        else:
            check(0, 2, d, good, **{which: bytes(31)})


def cosigner(seed: int) -> NoteSigner:
    return NoteSigner("w.example", SoftwareSigner(SUITES[-48], bytes([seed]) * 32), 0x06)


class TestSignature:
    """`verify_subtree` and `NoteSigner.sign_subtree`."""

    def test_holds_for_what_was_signed_alone(self) -> None:
        witness = cosigner(5)
        facts = {"origin": "log.example", "start": 8, "end": 13, "root": b"r" * 32}
        line = witness.sign_subtree(**facts)  # type: ignore[arg-type]
        verify_subtree(witness.key, line, **facts)  # type: ignore[arg-type]
        for change in ({"origin": "other"}, {"start": 9}, {"end": 14}, {"root": b"s" * 32}):
            with refused("note-bad-signature"):
                verify_subtree(witness.key, line, **{**facts, **change})  # type: ignore[arg-type]
        stamped = NoteSignature(line.name, line.key_id, b"\1" + line.signature[1:])
        with refused("note-bad-signature"):
            verify_subtree(witness.key, stamped, **facts)  # type: ignore[arg-type]
        with refused("note-unsigned"):
            verify_subtree(cosigner(6).key, line, **facts)  # type: ignore[arg-type]

    def test_is_of_ml_dsa_44_alone(self) -> None:
        witness = signer(5, "w.example", 0x04)
        with refused("note-key-type"):
            witness.sign_subtree(origin="log.example", start=0, end=1, root=bytes(32))
        line = NoteSignature(witness.name, witness.key.key_id, bytes(72))
        with refused("note-key-type"):
            verify_subtree(witness.key, line, origin="l", start=0, end=1, root=bytes(32))
