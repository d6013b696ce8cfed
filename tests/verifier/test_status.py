"""Status lists: packing, bounds, and the grammar of the signed token."""

import re
import zlib
from base64 import urlsafe_b64decode
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.city import NOW, ORIGIN, City, signer
from tests.verifier.helpers import refused
from verifier.codec import cbor_encode
from verifier.cose import parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.status import (
    MAX_ENTRIES,
    TYP,
    StatusAnswer,
    StatusBook,
    StatusToken,
    pack_states,
    parse_status_token,
    sign_status_token,
    status_uri,
)

KEY = signer("status tests")
ISSUER = f"{ORIGIN}/market"
Shared = Callable[[str], Path]


def token(packed: bytes, **changes: Any) -> bytes:
    fields = {
        "issuer": ISSUER, "list_number": 0, "issued_at": NOW, "expires_at": NOW + 9, "ttl": 60,
    }  # fmt: skip
    return sign_status_token(packed, signer=KEY, **{**fields, **changes})


def claims(**changes: Any) -> dict[int, Any]:
    """The claims of a good token; `c1=…` replaces claim 1, None takes it out."""
    good = {
        1: ISSUER,
        2: f"{ISSUER}/status/0",
        4: NOW + 9,
        6: NOW,
        65533: {"bits": 4, "lst": zlib.compress(b"\x10")},
        65534: 60,
    }
    for name, value in changes.items():
        good[int(name[1:])] = value
    return {label: value for label, value in good.items() if value is not None}


def sealed(payload: object, typ: str = TYP) -> bytes:
    return sign_sign1(None, cbor_encode(payload), typ=typ, signer=KEY)


@given(st.lists(st.integers(0, 15), max_size=300))
def test_states_round_trip(states: list[int]) -> None:
    parsed = parse_status_token(token(pack_states(states)))
    assert [parsed.state(index) for index in range(len(states))] == states
    assert parsed.state(len(states) + len(states) % 2) is None
    assert parsed.state(-1) is None


def test_the_even_index_is_in_the_low_nibble() -> None:
    """draft-ietf-oauth-status-list §4.1: statuses are packed from the least significant bit."""
    assert pack_states([1, 2, 3]) == b"\x21\x03"
    assert pack_states([]) == b""


def test_states_of_more_than_four_bits_do_not_pack() -> None:
    with pytest.raises(ValueError, match="range"):
        pack_states([0, 16])


def test_the_drafts_list_of_four_bits(shared: Shared) -> None:
    """The CBOR and the JSON form of the draft's example hold 2**20 entries; 16 are not zero."""
    folder = shared("vectors/token-status-list/examples")
    body = cbor2.loads(bytes.fromhex((folder / "status_list_encoding4_cbor.md").read_text()))
    text = (folder / "status_list_encoding4_json.md").read_text()
    found = re.search(r'"lst": "([^"]*)"', text)
    assert found is not None
    encoded = re.sub(r"\s", "", found[1])
    entries = zlib.decompress(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    assert body["bits"] == 4
    parsed = parse_status_token(sealed(claims(c65533=body)))
    assert parsed.entries == entries
    assert len(entries) == MAX_ENTRIES // 2
    slow = [nibble for byte in entries for nibble in (byte & 15, byte >> 4)]
    assert {index: parsed.state(index) for index in range(MAX_ENTRIES) if slow[index]} == {
        index: state for index, state in enumerate(slow) if state
    }
    assert parsed.state(0) == slow[0] == 1
    assert sorted(state for state in slow if state) == list(range(1, 16))
    assert pack_states(slow) == entries


def test_the_drafts_token_has_our_envelope_and_another_grammar(shared: Shared) -> None:
    """Their claims are read alike; their short key id and their single-bit list are not ours."""
    folder = shared("vectors/token-status-list/examples")
    raw = bytes.fromhex((folder / "status_list_cwt.md").read_text())
    protected, unprotected, payload, signature = cbor2.loads(raw).value
    theirs = cbor2.loads(payload)
    assert cbor2.loads(protected)[16] == TYP
    assert (unprotected, len(signature)) == ({4: b"12"}, 64)
    assert theirs.keys() == claims().keys() - {1}
    with refused("cose-malformed"):
        parse_status_token(raw)
    with refused("status-malformed"):
        parse_status_token(sealed(theirs))


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {},
        claims(c1=None),
        claims(c65534=None),
        claims(c5=NOW),
        claims(c1=5),
        claims(c2=5),
        claims(c2=ISSUER),
        claims(c2=f"{ORIGIN}/health/status/0"),
        claims(c2=f"{ISSUER}/status/0/1"),
        claims(c4="x"),
        claims(c4=-1),
        claims(c6=True),
        claims(c65534=-1),
        claims(c65533=[]),
        claims(c65533={"bits": 4}),
        claims(c65533={"bits": 1, "lst": zlib.compress(b"")}),
        claims(c65533={"bits": 8, "lst": zlib.compress(b"")}),
        claims(c65533={"bits": "4", "lst": zlib.compress(b"")}),
        claims(c65533={"bits": 4, "lst": "x"}),
        claims(c65533={"bits": 4, "lst": zlib.compress(b""), "more": 1}),
    ],
)
def test_other_claims_are_refused(payload: object) -> None:
    with refused("status-malformed", "decimal-malformed"):
        parse_status_token(sealed(payload))


@pytest.mark.parametrize("number", ["", "00", "+1", "4294967296", "x", "1 "])
def test_list_numbers_are_canonical(number: str) -> None:
    with refused("decimal-malformed"):
        parse_status_token(sealed(claims(c2=f"{ISSUER}/status/{number}")))


def test_the_largest_list_number() -> None:
    number = 2**32 - 1
    parsed = parse_status_token(token(b"", list_number=number))
    assert parsed.list_number == number
    assert status_uri(ISSUER, number) == f"{ISSUER}/status/4294967295"


def test_another_type_is_refused() -> None:
    with refused("cose-wrong-type"):
        parse_status_token(sealed(claims(), "zl-s"))


@pytest.mark.parametrize(
    "lst",
    [
        b"",
        b"not zlib",
        zlib.compress(b"\x10")[:-1],
        zlib.compress(b"\x10") + b"x",
        zlib.compress(bytes(MAX_ENTRIES // 2 + 1)),
        zlib.compress(bytes(1 << 28)),
    ],
    ids=["empty", "noise", "cut short", "too long", "one byte too many", "bomb"],
)
def test_lists_are_bounded_before_they_are_inflated(lst: bytes) -> None:
    parsed = parse_status_token(sealed(claims(c65533={"bits": 4, "lst": lst})))
    with refused("status-malformed"):
        parsed.state(0)


def test_a_full_list_is_read() -> None:
    packed = bytes([0xE0]) * (MAX_ENTRIES // 2)
    parsed = parse_status_token(token(packed))
    assert (parsed.state(0), parsed.state(MAX_ENTRIES - 1)) == (0, 14)
    assert parsed.state(MAX_ENTRIES) is None


def test_a_token_is_bounded() -> None:
    with refused("too-large"):
        parse_status_token(b"\xd2" + bytes(MAX_ENTRIES))


def test_a_book_answers_for_the_lists_it_has() -> None:
    city = City()
    licence = city.issue()
    city.issue()
    city.set_state(licence, 14)
    book = StatusBook(city.tokens(issued_at=NOW - 5))
    assert book.lookup(ISSUER, 0, 0) == StatusAnswer(14, NOW - 5, NOW - 5 + 7 * 86_400)
    assert book.lookup(ISSUER, 0, 1) == StatusAnswer(0, NOW - 5, NOW - 5 + 7 * 86_400)
    assert book.lookup(ISSUER, 0, 2) is None
    assert book.lookup(ISSUER, 1, 0) is None
    assert book.lookup(f"{ORIGIN}/health", 0, 0) is None
    assert StatusBook().lookup(ISSUER, 0, 0) is None


def test_a_book_checks_a_token_once_and_before_its_first_state() -> None:
    asked: list[int] = []

    def check(token: StatusToken) -> None:
        asked.append(token.list_number)
        if token.list_number == 1:
            raise Refused("status-wrong-signer")

    tokens = [parse_status_token(token(b"\x21", list_number=number)) for number in range(3)]
    book = StatusBook(tokens, check)
    assert asked == []
    assert [book.lookup(ISSUER, 0, index) for index in range(3)] == [
        StatusAnswer(1, NOW, NOW + 9), StatusAnswer(2, NOW, NOW + 9), None,
    ]  # fmt: skip
    for _ in range(2):
        with refused("status-wrong-signer"):
            book.lookup(ISSUER, 1, 0)
    assert asked == [0, 1, 1]
    assert "entries" not in vars(tokens[1])
    with refused("status-wrong-signer"):
        book.check_all()


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 3 * 16_384, MAX_ENTRIES // 2])
def test_segments_begin_anew_and_every_inflater_reads_them(size: int) -> None:
    """A change alters the segment it is in: what comes after is the same, byte for byte."""
    packed = Random(size).randbytes(size)
    whole = parse_status_token(token(packed)).compressed
    assert zlib.decompress(whole) == packed
    assert whole.count(b"\x00\x00\xff\xff") >= -(-size // 16_384)
    if size > 2 * 16_384:
        other = parse_status_token(token(bytes([packed[0] ^ 1]) + packed[1:])).compressed
        second = whole.index(b"\x00\x00\xff\xff") + 4
        assert other[:-4].endswith(whole[second:-4])  # the last four are a checksum of all


def test_the_signature_is_the_departments() -> None:
    parsed = parse_status_token(token(b"\x00"))
    parsed.sign1.check_signature(KEY.public)
    again = parse_sign1(parsed.raw, typ=TYP, max_bytes=1 << 20)
    assert again == parsed.sign1
