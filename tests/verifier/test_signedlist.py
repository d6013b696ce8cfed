"""Signed lists: one spelling, in order, and an answer that agrees with a plain set."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.helpers import refused
from verifier.signedlist import PREFIX, SignedList, make_signed_list

LEAVES = st.binary(min_size=32, max_size=32)


@given(st.sets(LEAVES, max_size=60), st.sets(LEAVES, max_size=10))
def test_a_list_holds_what_it_was_made_of(signed: set[bytes], others: set[bytes]) -> None:
    made = make_signed_list(signed)
    prefixes = {leaf[:PREFIX] for leaf in signed}
    assert made.count == len(prefixes)
    for leaf in signed | others:
        assert made.holds(leaf) == (leaf[:PREFIX] in prefixes)


def test_the_bytes_are_the_sorted_beginnings() -> None:
    leaves = [sha256(bytes([n])).digest() for n in range(40)]
    expected = b"".join(sorted(leaf[:12] for leaf in leaves))
    made = make_signed_list([*leaves, leaves[0]])
    assert made.data == expected
    assert made.digest == sha256(expected).digest()
    assert SignedList(expected).holds(leaves[7])


def test_an_empty_list_holds_nothing() -> None:
    empty = make_signed_list([])
    assert (empty.data, empty.count) == (b"", 0)
    assert not empty.holds(bytes(32))


@pytest.mark.parametrize("size", [1, 11, 13, 23])
def test_a_broken_entry_is_refused(size: int) -> None:
    with refused("signed-list-malformed"):
        SignedList(bytes(size))


def test_a_list_out_of_order_is_refused_when_asked() -> None:
    one, two = b"\x01" * 12, b"\x02" * 12
    for data in (two + one, one + one, one + two + two):
        held = SignedList(data)
        with refused("signed-list-malformed"):
            held.holds(one + bytes(20))
        with refused("signed-list-malformed"):
            held.check()


def test_only_leaf_hashes_are_looked_up() -> None:
    for size in (0, 12, 31, 33):
        with refused("merkle-hash-size"):
            make_signed_list([]).holds(bytes(size))
