"""What may follow the pack held, and updates that make it: byte for byte, or refused."""

from collections.abc import Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any

import pytest

from tests.city import BUSINESS, NOW, SYNCED_AT, City, signer
from tests.verifier import twin
from tests.verifier.helpers import refused
from verifier.codec import cbor_decode, cbor_encode
from verifier.cose import typ_of
from verifier.errors import Refused
from verifier.pack import MAX_PACK, read_pack
from verifier.pack_form import is_update
from verifier.pack_update import (
    PackUpdate,
    apply_update,
    check_successor,
    make_update,
    parse_update,
)
from verifier.states import SUSPENDED

LATER = SYNCED_AT + 600


class Synced:
    """A city, the pack that a counter took from it, and the next one after some life."""

    def __init__(self) -> None:
        self.city = City()
        licences = [self.city.issue() for _ in range(20)]
        self.held = self.city.pack()
        self.size = len(self.city.entries)
        self.city.set_state(licences[3], SUSPENDED)
        for _ in range(5):
            self.city.issue()
        self.city.enrol(self.city.key_content("market", signer("a new key"), [BUSINESS]))
        self.new = self.city.pack(made_at=LATER)

    @property
    def consistency(self) -> list[bytes]:
        return twin.proof(self.size, self.city.entries)

    def update(self) -> bytes:
        return make_update(self.held, self.new, self.consistency)


@pytest.fixture(scope="module")
def synced() -> Synced:
    return Synced()


def succeed(held: bytes, new: bytes, consistency: Sequence[bytes] | None) -> None:
    check_successor(read_pack(held), read_pack(new), consistency)


# --- what may follow -----------------------------------------------------------------------------


def test_the_next_pack_follows(synced: Synced) -> None:
    succeed(synced.held, synced.new, synced.consistency)


def test_a_pack_of_the_same_tree_needs_no_proof(synced: Synced) -> None:
    for consistency in (None, [], synced.consistency):
        succeed(synced.new, synced.city.pack(made_at=LATER + 1), consistency)
        succeed(synced.new, synced.new, consistency)


def test_another_ledger_does_not_follow(synced: Synced) -> None:
    other = City("other.example")
    for _ in range(50):
        other.issue()
    with refused("pack-other-ledger"):
        succeed(synced.held, other.pack(made_at=LATER), [])


def test_the_same_name_with_another_log_key_is_another_ledger(synced: Synced) -> None:
    held, forged = read_pack(synced.held), read_pack(synced.new)
    check_successor(held, forged, synced.consistency)
    forged.trust.authorities.register.log_key = City("other.example").log.key
    with refused("pack-other-ledger"):
        check_successor(held, forged, synced.consistency)


def test_what_is_older_does_not_follow(synced: Synced) -> None:
    with refused("pack-older"):
        succeed(synced.new, synced.held, None)
    with refused("pack-older"):  # a smaller tree under a later date
        succeed(synced.new, City().pack(made_at=NOW), None)
    with refused("pack-older"):  # the same tree, an earlier date
        succeed(synced.new, synced.city.pack(made_at=LATER - 1), None)


def test_a_grown_ledger_needs_its_proof(synced: Synced) -> None:
    with refused("pack-consistency-missing") as caught:
        succeed(synced.held, synced.new, None)
    assert f"old={synced.size}&new={len(synced.city.entries)}" in caught.value.detail
    proof = synced.consistency
    for wrong in ([], proof[:-1], [*proof, bytes(32)], [bytes(32), *proof[1:]], proof[::-1]):
        with refused("pack-inconsistent"):
            succeed(synced.held, synced.new, wrong)


def test_a_ledger_that_was_rewritten_does_not_follow(synced: Synced) -> None:
    """One entry of the past is another; the operator and the log signed everything anew."""
    city = synced.city
    rewritten = deepcopy(city)
    rewritten.entries[synced.size - 1] = rewritten.issue().statement
    rewritten.entries.pop()
    pack = rewritten.pack(made_at=LATER)
    read_pack(pack, thorough=True)
    assert len(rewritten.entries) == len(city.entries)
    with refused("pack-inconsistent"):  # the same size
        succeed(synced.new, pack, None)
    with refused("pack-inconsistent"):  # grown, and even its own proof does not help
        succeed(synced.held, pack, twin.proof(synced.size, rewritten.entries))


def test_nothing_held_is_left_out(synced: Synced) -> None:
    """A pack that forgets a statement would bring a compromised key back to power."""
    city = Synced().city
    city.change_key(city.departments["market"], "suspend", NOW - 3_600)
    held = city.pack(made_at=LATER, statuses=[])
    *others, last = city.enrolments
    content = city.pack_content()
    forgetful = city.pack(
        made_at=LATER,
        statuses=[],
        enrolments=[e for e in content.enrolments if e.index != last],
        hashes=city.multiproof(others),
    )
    read_pack(forgetful, thorough=True)
    with refused("pack-inconsistent") as caught:
        succeed(held, forgetful, None)
    assert str(last) in caught.value.detail


# --- updates -------------------------------------------------------------------------------------


def test_an_update_makes_the_pack_that_was_signed(synced: Synced) -> None:
    data = synced.update()
    update = parse_update(data)
    assert apply_update(synced.held, update) == synced.new
    assert list(update.consistency) == synced.consistency
    assert len(data) < len(synced.new) / 2
    succeed(synced.held, apply_update(synced.held, update), update.consistency)


def test_an_update_is_told_from_a_pack(synced: Synced) -> None:
    data = synced.update()
    assert is_update(data)
    assert typ_of(data) is None
    assert not is_update(synced.new)
    for other in (b"", b"\xa6", cbor_encode({0: "zl-u"}), cbor_encode({1: "zl-u"})):
        assert not is_update(other)


def test_an_update_from_another_pack_is_refused(synced: Synced) -> None:
    update = parse_update(synced.update())
    for other in (synced.new, City().pack(), b""):
        with refused("pack-update-other-base"):
            apply_update(other, update)


def test_an_update_to_another_result_is_refused(synced: Synced) -> None:
    update = parse_update(synced.update())
    parts = list(update.parts)
    place, new = next((i, part) for i, part in enumerate(parts) if isinstance(part, bytes))
    parts[place] = bytes([new[0] ^ 1]) + new[1:]
    with refused("pack-update-damaged"):
        apply_update(synced.held, update._replace(parts=parts))
    with refused("pack-update-damaged"):
        apply_update(synced.held, update._replace(parts=update.parts[1:]))


def test_no_update_makes_more_than_a_pack_may_be(synced: Synced) -> None:
    size = len(synced.held)
    parts = [(0, size)] * (MAX_PACK // size + 1)
    update = PackUpdate(sha256(synced.held).digest(), bytes(32), parts, [])
    with refused("too-large"):
        apply_update(synced.held, update)


@pytest.mark.parametrize(
    "changes",
    [
        *({label: None} for label in range(6)),
        {0: "zl-p"},
        {1: 2},
        {1: True},
        {2: b"short"},
        {2: "x" * 32},
        {3: bytes(33)},
        {4: {}},
        {4: ["x"]},
        {4: [[1]]},
        {4: [[1, 2, 3]]},
        {4: [[1, "x"]]},
        {4: [[True, 1]]},
        {5: b""},
        {5: [b"short"]},
        {5: ["x"]},
        {5: [bytes(32)] * 129},
        {6: 1},
    ],
)
def test_other_members_are_refused(synced: Synced, changes: dict[int, Any]) -> None:
    body = {**cbor_decode(synced.update(), max_bytes=MAX_PACK), **changes}
    kept = {label: value for label, value in body.items() if value is not None}
    with refused("pack-update-malformed"):
        parse_update(cbor_encode(kept))


def test_what_is_no_update_is_refused(synced: Synced) -> None:
    others: list[object] = [[], 5, "zl-u"]
    for other in others:
        with refused("pack-update-malformed"):
            parse_update(cbor_encode(other))
    data = synced.update()
    for at in range(0, len(data), 17):
        with pytest.raises(Refused):
            parse_update(data[:at])
    with refused("too-large"):
        parse_update(bytes(MAX_PACK + 1))


@pytest.mark.parametrize("part", [[0, 10**9], [10**9, 1], [-1, 4], [0, -1]])
def test_runs_beyond_the_pack_held_are_refused(synced: Synced, part: list[int]) -> None:
    body = cbor_decode(synced.update(), max_bytes=MAX_PACK)
    update = parse_update(cbor_encode({**body, 4: [part]}))
    with refused("pack-update-malformed"):
        apply_update(synced.held, update)


def test_the_parts_of_an_update_are_bounded(synced: Synced) -> None:
    update = synced.update()
    head = update[: update.index(b"\x04", 80)]
    many = b"\x04\x9a" + (1 << 20).to_bytes(4, "big") + b"\x82\x00\x00" * (1 << 20)
    with refused("too-large"):
        parse_update(head + many + b"\x05\x80")
