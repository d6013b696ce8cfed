"""QR text: what is not exactly ours, whole and once, has a code of its own."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.city import City
from tests.verifier.helpers import refused
from verifier.codec import base45_decode, base45_encode, cbor_encode
from verifier.errors import Refused
from verifier.note import Note, format_note, parse_note
from verifier.proof import proof_to_cbor
from verifier.qr import MAX_CHARACTERS, PREFIX, format_qr, parse_payload, parse_qr

CITY = City()
LICENCE = CITY.issue()
COMPACT = LICENCE.qr(show=2)
TRANSPARENT = CITY.transparent(LICENCE)
PROOF = CITY.proof(LICENCE.index)
NOTE = parse_note(PROOF.checkpoint)
SHORT = tuple(line for line in NOTE.signatures if line.key_id != CITY.log_pq.key.key_id)
KEPT = replace(PROOF, checkpoint=format_note(Note(NOTE.text, SHORT)))


def text_of(parts: object) -> str:
    return PREFIX + base45_encode(parts if isinstance(parts, bytes) else cbor_encode(parts))


@pytest.mark.parametrize("show", [0, 1, 2])
def test_round_trip(show: int) -> None:
    """But for the signature of the log that is too long for a QR code."""
    shown = LICENCE.disclosures[:show]
    compact = parse_qr(format_qr(LICENCE.statement, shown))
    assert compact.statement.raw == LICENCE.statement
    assert (list(compact.disclosures), compact.proof) == (shown, None)
    transparent = parse_qr(format_qr(LICENCE.statement, shown, PROOF))
    assert transparent.statement.raw == LICENCE.statement
    assert (list(transparent.disclosures), transparent.proof) == (shown, KEPT)
    again = format_qr(LICENCE.statement, shown, transparent.proof)
    assert again == format_qr(LICENCE.statement, shown, PROOF)


def test_text_is_of_the_qr_alphanumeric_alphabet() -> None:
    alphabet = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
    assert set(COMPACT) | set(TRANSPARENT) <= alphabet


@pytest.mark.parametrize(
    "text", ["", "ZL1", "ZL2:" + COMPACT[4:], "zl1:" + COMPACT[4:], " " + COMPACT, "HC1:6BF",
             "https://example.org/", COMPACT[4:], "\ufeff" + COMPACT, "证链"],
)  # fmt: skip
def test_not_ours(text: str) -> None:
    with refused("qr-not-ours"):
        parse_qr(text)
    with refused("qr-not-ours"):
        parse_payload(text.encode())


@pytest.mark.parametrize("text", [COMPACT, TRANSPARENT], ids=["compact", "transparent"])
def test_cut_short_at_every_length(text: str) -> None:
    for size in range(len(PREFIX), len(text)):
        with refused("qr-truncated"):
            parse_qr(text[:size])
    for size in range(len(PREFIX)):
        with refused("qr-not-ours"):
            parse_qr(text[:size])


def test_doubled() -> None:
    for text in (COMPACT + COMPACT, COMPACT + TRANSPARENT, PREFIX + COMPACT, COMPACT + PREFIX):
        with refused("qr-doubled"):
            parse_qr(text)


def test_too_large_is_refused_unread() -> None:
    with refused("too-large"):
        parse_qr(PREFIX + "0" * (2 * MAX_CHARACTERS))


@pytest.mark.parametrize("profile", [0, 3, 255, -1, "1", None, True, [1]])
def test_other_profiles(profile: object) -> None:
    with refused("qr-unknown-profile"):
        parse_qr(text_of([profile, LICENCE.statement, []]))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        {},
        5,
        [1],
        [1, LICENCE.statement],
        [1, LICENCE.statement, [], proof_to_cbor(PROOF)],
        [2, LICENCE.statement, []],
        [2, LICENCE.statement, [], proof_to_cbor(PROOF), 1],
        [1, "x", []],
        [1, None, []],
        [1, LICENCE.statement, {}],
        [1, LICENCE.statement, b"x"],
        [1, LICENCE.statement, ["x"]],
        [1, LICENCE.statement, [b"x", 5]],
        [1, LICENCE.statement, [b"x"] * 17],
    ],
)
def test_other_members(parts: object) -> None:
    with refused("qr-malformed"):
        parse_qr(text_of(parts))


@pytest.mark.parametrize("proof", [[], None, 5, [0, b"", [1, b"", []]], proof_to_cbor(PROOF)[:2]])
def test_other_proofs(proof: object) -> None:
    with refused("proof-malformed", "checkpoint-malformed"):
        parse_qr(text_of([2, LICENCE.statement, [], proof]))


def test_a_statement_within_is_parsed_strictly() -> None:
    for statement, code in [
        (b"", "cose-malformed"),
        (LICENCE.statement[:-1], "cbor-malformed"),
        (LICENCE.statement + b"\x00", "cbor-not-deterministic"),
    ]:
        with refused(code):
            parse_qr(text_of([1, statement, []]))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\x00",
        lambda data: b"\x98\x03" + data[1:],
        lambda data: data[:1] + b"\x18\x01" + data[2:],
        lambda data: b"\x9f" + data[1:] + b"\xff",
    ],
    ids=["more after it", "long list head", "long profile", "indefinite"],
)
def test_other_spellings(change: "type[bytes]") -> None:
    data = base45_decode(COMPACT[4:], max_bytes=5000)
    with refused("cbor-not-deterministic", "cbor-malformed"):
        parse_qr(text_of(change(data)))


@given(at=st.integers(0, len(COMPACT) - 1), character=st.characters(codec="ascii"))
def test_a_changed_character_is_refused_or_says_something_else(at: int, character: str) -> None:
    text = COMPACT[:at] + character + COMPACT[at + 1 :]
    try:
        presented = parse_qr(text)
    except Refused:
        return
    assert format_qr(presented.statement.raw, presented.disclosures) == text


@given(
    st.lists(st.binary(max_size=40) | st.just(LICENCE.disclosures[0]), max_size=6),
    st.integers(0, 3),
    st.binary(max_size=4),
)
def test_the_quick_reader_and_the_general_one_agree(
    disclosures: Sequence[bytes], cut: int, more: bytes
) -> None:
    data = cbor_encode([1, LICENCE.statement, list(disclosures)])
    changed = data[: len(data) - cut] + more
    try:
        presented = parse_qr(text_of(changed))
    except Refused:
        assert changed != data
    else:
        assert format_qr(presented.statement.raw, presented.disclosures) == text_of(changed)


def test_payloads_of_bytes() -> None:
    assert parse_payload(COMPACT.encode()) == parse_payload(COMPACT) == parse_qr(COMPACT)
    bare = parse_payload(LICENCE.statement)
    assert (bare.statement.raw, bare.disclosures, bare.proof) == (LICENCE.statement, (), None)
    with refused("base45-malformed"):
        parse_payload(PREFIX.encode() + b"\xff\xff")
    for other in (b"", b"%PDF-1.7", b"\xd3", b"\x89PNG", LICENCE.disclosures[0]):
        with refused("qr-not-ours"):
            parse_payload(other)
