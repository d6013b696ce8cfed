"""Disclosures: tied to the statement by salted digests, in one spelling only."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.helpers import refused
from verifier.codec import cbor_encode
from verifier.disclosure import (
    MAX_DISCLOSURE,
    check_disclosures,
    disclosure_digest,
    make_disclosure,
    parse_disclosure,
)
from verifier.errors import Refused

SALT = bytes(range(16))
FIELDS = {"name": "晨光公司", "capital": 50, "listed": False, "rooms": ["一", "二", 3]}
RAW = make_disclosure("face", FIELDS, SALT)
Shared = Callable[[str], Path]


@given(
    name=st.text(min_size=1, max_size=32),
    fields=st.dictionaries(
        st.text(max_size=10),
        st.text(max_size=20)
        | st.integers(-(2**63), 2**63)
        | st.booleans()
        | st.lists(st.text(max_size=5), max_size=4),
        min_size=1,
        max_size=6,
    ),
    salt=st.binary(min_size=16, max_size=16),
)
def test_round_trip(name: str, fields: dict[str, Any], salt: bytes) -> None:
    raw = make_disclosure(name, fields, salt)
    disclosure = parse_disclosure(raw)
    assert (disclosure.raw, disclosure.name, dict(disclosure.fields)) == (raw, name, fields)


def test_the_digest_is_of_the_byte_string_that_wraps_it() -> None:
    wrapped = cbor2.dumps(RAW)
    assert disclosure_digest(RAW) == hashlib.sha256(wrapped).digest()
    assert disclosure_digest(RAW) != hashlib.sha256(RAW).digest()


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_salt_has_16_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        make_disclosure("face", FIELDS, bytes(size))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        {},
        "x",
        [SALT, FIELDS],
        [SALT, FIELDS, "face", 1],
        [SALT[:15], FIELDS, "face"],
        [SALT + b"x", FIELDS, "face"],
        ["x" * 16, FIELDS, "face"],
        [SALT, {}, "face"],
        [SALT, "x", "face"],
        [SALT, [1], "face"],
        [SALT, None, "face"],
        [SALT, {1: "x"}, "face"],
        [SALT, {"a": None}, "face"],
        [SALT, {"a": b"x"}, "face"],
        [SALT, {"a": {"b": 1}}, "face"],
        [SALT, {"a": [["b"]]}, "face"],
        [SALT, {"a": [None]}, "face"],
        [SALT, FIELDS, ""],
        [SALT, FIELDS, "x" * 33],
        [SALT, FIELDS, b"face"],
        [SALT, FIELDS, 501],
    ],
)
def test_other_forms_are_refused(parts: object) -> None:
    with refused("disclosure-malformed"):
        parse_disclosure(cbor_encode(parts))


def test_other_spellings_are_refused() -> None:
    for bad in (RAW[:-1], RAW + b"\x00", b"\x9f" + RAW[1:] + b"\xff", b"\x98\x03" + RAW[1:], b""):
        with refused("cbor-malformed", "cbor-not-deterministic"):
            parse_disclosure(bad)
    with refused("too-large"):
        parse_disclosure(make_disclosure("face", {"a": "x" * MAX_DISCLOSURE}, SALT))


def test_shown_disclosures_are_signed_and_shown_once() -> None:
    scope = make_disclosure("scope", {"scope": "零售"}, SALT[::-1])
    digests = [disclosure_digest(RAW), disclosure_digest(scope)]
    assert [one.name for one in check_disclosures([RAW, scope], digests)] == ["face", "scope"]
    assert [one.name for one in check_disclosures([scope], digests)] == ["scope"]
    assert check_disclosures([], digests) == ()
    with refused("disclosure-repeated"):
        check_disclosures([RAW, RAW], digests)
    with refused("disclosure-not-signed"):
        check_disclosures([RAW, scope], digests[:1])
    with refused("disclosure-not-signed"):
        check_disclosures([make_disclosure("face", FIELDS, SALT[::-1])], digests)


def test_a_field_is_said_once() -> None:
    """Two signed disclosures that carry the same field may not be shown together."""
    other = make_disclosure("other", {"name": "another"}, SALT[::-1])
    digests = [disclosure_digest(RAW), disclosure_digest(other)]
    with refused("disclosure-repeated"):
        check_disclosures([RAW, other], digests)


def test_every_changed_byte_is_no_longer_signed() -> None:
    digests = [disclosure_digest(RAW)]
    for at in range(len(RAW)):
        with refused("disclosure-not-signed"):
            check_disclosures([RAW[:at] + bytes([RAW[at] ^ 1]) + RAW[at + 1 :]], digests)


def test_what_is_signed_but_malformed_is_refused() -> None:
    for bad in (b"", b"\x80", cbor_encode([SALT, {}, "face"])):
        with refused("disclosure-malformed", "cbor-malformed"):
            check_disclosures([bad], [disclosure_digest(bad)])


TEXTS = make_disclosure("face", {"name": "晨光公司", "addr": "x" * 30, "b": ""}, SALT)


@given(st.integers(0, len(TEXTS) - 1), st.binary(max_size=2), st.integers(0, 2))
def test_a_changed_disclosure_is_refused_or_read_as_it_is(at: int, new: bytes, gone: int) -> None:
    """By hand or by the codec: what is accepted encodes to the same bytes."""
    bad = TEXTS[:at] + new + TEXTS[at + gone :]
    try:
        disclosure = parse_disclosure(bad)
    except Refused:
        return
    salt = bad[2:18]
    assert make_disclosure(disclosure.name, disclosure.fields, salt) == bad


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a1 61 61 61 62 61 6e", None),
        ("a2 61 61 60 61 62 60 61 6e", None),
        ("a2 61 62 60 61 61 60 61 6e", "cbor-not-deterministic"),
        ("a2 62 61 61 60 61 62 60 61 6e", "cbor-not-deterministic"),
        ("a2 61 61 60 61 61 60 61 6e", "cbor-not-deterministic"),
        ("a2 63 e4 b8 80 60 62 7a 7a 60 61 6e", "cbor-not-deterministic"),
        ("a2 62 7a 7a 60 63 e4 b8 80 60 61 6e", None),
        ("b8 01 61 61 60 61 6e", "cbor-not-deterministic"),
        ("a1 78 01 61 60 61 6e", "cbor-not-deterministic"),
        ("a1 61 61 78 17" + "78" * 23 + "61 6e", "cbor-not-deterministic"),
        ("a1 61 61 78 18" + "78" * 24 + "61 6e", None),
        ("a1 61 61 79 00 80" + "78" * 128 + "61 6e", "cbor-not-deterministic"),
        ("a1 61 61 79 01 00" + "78" * 256 + "61 6e", None),
        ("a1 61 61 60 61 6e 00", "cbor-not-deterministic"),
        ("a1 61 ff 60 61 6e", "cbor-malformed"),
        ("a1 61 61 61 ff 61 6e", "cbor-malformed"),
        ("a1 61 61 60 62 6e", "cbor-malformed"),
        ("a1 61 61 60", "cbor-malformed"),
        ("a1 61 61 60 60", "disclosure-malformed"),
        ("a1 61 61 60 78 21" + "78" * 33, "disclosure-malformed"),
        ("a0 61 6e", "disclosure-malformed"),
        ("a1 01 60 61 6e", "disclosure-malformed"),
        ("", "cbor-malformed"),
    ],
)
def test_spellings_of_disclosed_texts(text: str, code: str | None) -> None:
    raw = bytes.fromhex("83 50" + SALT.hex() + text)
    if code is None:
        disclosure = parse_disclosure(raw)
        assert make_disclosure(disclosure.name, disclosure.fields, SALT) == raw
    else:
        with refused(code):
            parse_disclosure(raw)


# --- the vectors of draft-ietf-spice-sd-cwt ----------------------------------------------------


def redacted_hashes(value: Any) -> set[bytes]:
    """Every redacted claim hash in a payload: under simple(59) and in tag 60."""
    if isinstance(value, cbor2.CBORTag):
        return {value.value} if value.tag == 60 else redacted_hashes(value.value)
    if isinstance(value, dict):
        found: set[bytes] = set()
        for key, item in value.items():
            is_list = isinstance(key, cbor2.CBORSimpleValue) and key.value == 59
            found |= set(item) if is_list else redacted_hashes(item)
        return found
    return set().union(*map(redacted_hashes, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("name", ["issuer_cwt", "nested_issuer_cwt"])
def test_sd_cwt_redacted_hashes(name: str, shared: Shared) -> None:
    """Our rule gives exactly the hashes that the drafts' issued tokens redact."""
    token = cbor2.loads(shared(f"vectors/sd-cwt/examples/{name}.cbor").read_bytes())
    _, unprotected, payload, _ = token.value
    disclosures = unprotected[17]
    hashes = redacted_hashes(cbor2.loads(payload))
    assert len(disclosures) > 4
    digests = {disclosure_digest(raw) for raw in disclosures}
    nested = set().union(*(redacted_hashes(cbor2.loads(raw)) for raw in disclosures))
    assert digests == hashes | nested


def test_sd_cwt_first_disclosure_is_redacted_as_in_the_issued_token(shared: Shared) -> None:
    """The draft's lone example hashes the bare disclosure; its tokens and we, the wrapped one."""
    folder = shared("vectors/sd-cwt/examples")
    raw = (folder / "first-disclosure.cborseq").read_bytes()
    lone = (folder / "first-blinded-hash.txt").read_text().strip()
    payload = cbor2.loads((folder / "issuer_cwt.cbor").read_bytes()).value[2]
    assert hashlib.sha256(raw).hexdigest() == lone
    assert disclosure_digest(raw) in redacted_hashes(cbor2.loads(payload))
