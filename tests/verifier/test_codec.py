"""Codecs: what goes in comes out, and every other spelling of it is refused.

RFC 9285 §4.3 and §4.4 (base45), RFC 8949 §4.2.1 and appendix A (CBOR).
"""

import base64
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.helpers import refused
from verifier.codec import (
    b64decode,
    b64encode,
    b64url_decode,
    b64url_encode,
    base45_decode,
    base45_encode,
    byte_string,
    cbor_decode,
    cbor_encode,
    parse_decimal,
    take_byte_string,
)
from verifier.errors import Refused

BIG = 1 << 20
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
LEAVES = st.one_of(
    st.integers(-(2**64), 2**64 - 1), st.binary(max_size=40), st.text(max_size=12), st.booleans(),
    st.none(),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.integers(-(2**40), 2**40), inner, max_size=5),
        st.dictionaries(st.text(max_size=6), inner, max_size=5),
    ),
    max_leaves=20,
)


def canonical(value: Any) -> bytes:
    """RFC 8949 §4.2.1, written from its text: shortest heads, map entries sorted by their key."""

    def head(major: int, number: int) -> bytes:
        for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
            if number < 24:
                return bytes([major << 5 | number])
            if number < 1 << 8 * size:
                return bytes([major << 5 | extra]) + number.to_bytes(size, "big")
        raise AssertionError(number)

    match value:
        case bool() | None:
            return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list():
            return head(4, len(value)) + b"".join(map(canonical, value))
        case dict():
            pairs = sorted((canonical(key), canonical(item)) for key, item in value.items())
            return head(5, len(value)) + b"".join(key + item for key, item in pairs)
    raise AssertionError(value)


# --- base64 ----------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_base64_round_trip(data: bytes) -> None:
    assert b64decode(b64encode(data), max_bytes=200) == data
    assert b64url_decode(b64url_encode(data), max_bytes=200) == data
    assert b64url_encode(data) == base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    ["A", "AA", "AAA", "AA=", "AAA==", "=", "AB==", "AAB=", "AA==\n", " AA==", "A A==", "AA==AA==",
     "-A==", "_A==", "ÀA==", "AAAAA", "AA==="],
)  # fmt: skip
def test_base64_refuses_other_spellings(text: str) -> None:
    with refused("base64-malformed"):
        b64decode(text, max_bytes=100)


@pytest.mark.parametrize("text", ["A", "AB", "AA=", "AA==", "+A", "/A", "AAB", "A\n", "AA AA", "é"])
def test_base64url_refuses_other_spellings(text: str) -> None:
    with refused("base64-malformed"):
        b64url_decode(text, max_bytes=100)


def test_base64_is_bounded_before_it_is_read() -> None:
    assert b64decode("AAAA", max_bytes=3) == bytes(3)
    for decode in (b64decode, b64url_decode):
        with refused("too-large"):
            decode("AAAAA", max_bytes=3)


# --- base45 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581"),
     (b"ietf!", "QED8WEX0"), (b"", ""), (b"\x00", "00"), (b"\xff\xff", "FGW")],
)  # fmt: skip
def test_base45_examples(data: bytes, text: str) -> None:
    assert base45_encode(data) == text
    assert base45_decode(text, max_bytes=100) == data


@given(st.binary(max_size=600))
def test_base45_round_trip(data: bytes) -> None:
    text = base45_encode(data)
    assert set(text) <= set(ALPHABET)
    assert base45_decode(text, max_bytes=600) == data


@given(st.text(ALPHABET, max_size=30))
def test_base45_decodes_exactly_what_it_would_write(text: str) -> None:
    values = [ALPHABET.index(character) for character in text]
    groups = [values[i : i + 3] for i in range(0, len(values), 3)]
    numbers = [sum(digit * 45**place for place, digit in enumerate(group)) for group in groups]
    limits = [{1: -1, 2: 0xFF, 3: 0xFFFF}[len(group)] for group in groups]
    if all(number <= limit for number, limit in zip(numbers, limits, strict=True)):
        assert base45_encode(base45_decode(text, max_bytes=100)) == text
    else:
        with refused("base45-malformed"):
            base45_decode(text, max_bytes=100)


@pytest.mark.parametrize(
    "text",
    ["A", "AAAA", "GGW", "::::::", ":::", "000GGW000", "000000GGW", "V5", "::", "000::", "bb8",
     "B,8", "BB8\n", "BB\u0660", "ÀB8", "BB\x008"],
)  # fmt: skip
def test_base45_refuses(text: str) -> None:
    with refused("base45-malformed"):
        base45_decode(text, max_bytes=100)


def test_base45_is_bounded_before_it_is_read() -> None:
    assert base45_decode("000000", max_bytes=4) == bytes(4)
    with refused("too-large"):
        base45_decode("0000000", max_bytes=3)


# --- CBOR ------------------------------------------------------------------------------------


@given(VALUES)
def test_cbor_round_trip(value: Any) -> None:
    data = canonical(value)
    assert cbor_decode(data, max_bytes=BIG) == value
    assert cbor_encode(cbor_decode(data, max_bytes=BIG)) == data or _mixes_signs(value)


def _mixes_signs(value: Any) -> bool:
    """cbor2's canonical order is RFC 7049's for maps with keys of both signs; we make none."""
    if isinstance(value, dict):
        keys = [key for key in value if isinstance(key, int)]
        return (bool(keys) and min(keys) < 0 <= max(keys)) or any(map(_mixes_signs, value.values()))
    return isinstance(value, list) and any(map(_mixes_signs, value))


@given(VALUES, st.data())
def test_a_changed_byte_is_refused_or_says_something_else(value: Any, data: st.DataObject) -> None:
    good = canonical(value)
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255))
    bad = good[:at] + bytes([byte]) + good[at + 1 :]
    _refused_or_canonical(bad)


@given(st.binary(max_size=40))
def test_any_bytes_are_refused_or_re_encode_to_themselves(data: bytes) -> None:
    _refused_or_canonical(data)


def _refused_or_canonical(data: bytes) -> None:
    try:
        value = cbor_decode(data, max_bytes=BIG)
    except Refused as error:
        if error.code not in {"cbor-malformed", "cbor-not-deterministic"}:
            raise
    else:
        assert canonical(value) == data


MALFORMED = {
    "empty": "",
    "cut short in a head": "19 01",
    "cut short in a text": "62 61",
    "cut short in a list": "82 01",
    "break without a beginning": "ff",
    "indefinite list": "9f 01 ff",
    "indefinite map": "bf 61 61 01 ff",
    "indefinite bytes": "5f 41 01 ff",
    "reserved head": "1c",
    "text that is not UTF-8": "61 ff",
    "double float": "fb 3f f0 00 00 00 00 00 00",
    "not a number": "f9 7e 00",
    "undefined": "f7",
    "simple value": "e0",
    "big number": "c2 49 01 00 00 00 00 00 00 00 00",
    "negative big number": "c3 49 01 00 00 00 00 00 00 00 00",
    "big number in a list": "82 01 c2 49 01 00 00 00 00 00 00 00 00",
    "set": "d9 01 02 81 01",
    "map key is a list": "a1 81 01 02",
    "map key is a byte string": "a1 41 61 02",
    "map key is true": "a1 f5 02",
    "keys of two types": "a2 01 02 61 61 03",
    "nested too deeply": "81" * 17 + "01",
    "map nested too deeply": "a1 01" * 17 + "01",
}  # fmt: skip
NEVER_OURS = {
    "half float": "f9 3c 00",
    "tag": "d8 64 01",
    "unknown tag": "d9 ff fe 01",
    "date": "c1 00",
    "shared value": "d8 1c 01",
    "float in a map": "a1 61 61 f9 3c 00",
    "infinity": "f9 7c 00",
}
NOT_DETERMINISTIC = {
    "long form of a small integer": "18 01",
    "two bytes where one does": "19 00 18",
    "eight bytes where four do": "1b 00 00 00 00 ff ff ff ff",
    "long negative": "38 01",
    "long head of bytes": "58 01 00",
    "long head of text": "78 01 61",
    "long head of a list": "98 01 00",
    "long head of a map": "b8 01 01 02",
    "integer keys out of order": "a2 02 00 01 00",
    "negative before positive": "a2 20 00 01 00",
    "negatives out of order": "a2 21 00 20 00",
    "text keys out of order": "a2 61 62 00 61 61 00",
    "longer text key first": "a2 62 61 61 00 61 62 00",
    "longer text key first in Chinese": "a2 63 e4 b8 80 00 62 7a 7a 00",
    "out of order within": "81 a2 02 00 01 00",
    "the same key twice": "a2 01 00 01 00",
    "the same text key twice": "a2 61 61 00 61 61 01",
    "more after the end": "01 00",
    "nothing wrong but a zero after it": "80 00",
    "big number that would fit": "c2 41 01",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_cbor_malformed(text: str) -> None:
    with refused("cbor-malformed"):
        cbor_decode(bytes.fromhex(text), max_bytes=BIG)


@pytest.mark.parametrize("text", NEVER_OURS.values(), ids=NEVER_OURS)
def test_cbor_that_no_format_of_ours_uses(text: str) -> None:
    with refused("cbor-malformed", "cbor-not-deterministic"):
        cbor_decode(bytes.fromhex(text), max_bytes=BIG)


@pytest.mark.parametrize("text", NOT_DETERMINISTIC.values(), ids=NOT_DETERMINISTIC)
def test_cbor_not_deterministic(text: str) -> None:
    with refused("cbor-not-deterministic"):
        cbor_decode(bytes.fromhex(text), max_bytes=BIG)


def test_cbor_may_nest_to_its_bound() -> None:
    value: Any = cbor_decode(b"\x81" * 16 + b"\x01", max_bytes=BIG)
    for _ in range(16):
        (value,) = value
    assert value == 1


def test_cbor_is_bounded_before_it_is_read() -> None:
    assert cbor_decode(b"\x43abc", max_bytes=4) == b"abc"
    with refused("too-large"):
        cbor_decode(b"\x43abc", max_bytes=3)


def test_cbor_has_as_many_items_as_it_may_have() -> None:
    values: list[object] = [b"x" * 300, "é" * 200, {"a": 2**40, "bb": -7}, [b"", [], None, True]]
    data = cbor_encode(values)
    assert cbor_decode(data, max_bytes=9999, max_items=13) == values
    with refused("too-large"):
        cbor_decode(data, max_bytes=9999, max_items=12)
    for torn in (data[:-1], b"\x9f" * 99, b"\x1f" * 99):
        with refused("cbor-malformed"):
            cbor_decode(torn, max_bytes=9999, max_items=13)


@pytest.mark.parametrize("value", [2**64 - 1, -(2**64)])
def test_cbor_integers_reach_64_bits(value: int) -> None:
    assert cbor_decode(canonical(value), max_bytes=BIG) == value


@given(st.binary(max_size=300) | st.sampled_from([bytes(n) for n in (23, 24, 255, 256, 65_536)]))
def test_byte_strings_by_hand_are_those_of_the_general_codec(data: bytes) -> None:
    assert byte_string(data) == canonical(data)
    assert take_byte_string(b"\x01" + byte_string(data) + b"x", 1) == (
        data, 1 + len(byte_string(data))
    )  # fmt: skip


@given(st.binary(max_size=30) | st.binary(max_size=30).map(lambda data: b"\x58" + data))
def test_a_byte_string_taken_by_hand_is_what_the_general_decoder_reads(data: bytes) -> None:
    taken = take_byte_string(data, 0)
    if taken is None:
        return
    value, end = taken
    assert cbor_decode(data[:end], max_bytes=BIG) == value


@pytest.mark.parametrize(
    "text", ["", "58", "58 17" + "00" * 23, "59 00 ff" + "00" * 255, "5a 00 00 ff ff", "5b", "60",
             "41", "43 00 00", "58 18 00", "59 01", "5f 41 00 ff", "00", "80"],
)  # fmt: skip
def test_what_is_no_byte_string_is_not_taken(text: str) -> None:
    assert take_byte_string(bytes.fromhex(text), 0) is None


def test_nothing_is_taken_past_the_end() -> None:
    assert take_byte_string(b"\x40", 1) is None
    assert take_byte_string(b"\x40", 5) is None


# --- decimals --------------------------------------------------------------------------------


@given(st.integers(0, 2**63 - 1))
def test_decimal_round_trip(value: int) -> None:
    assert parse_decimal(str(value)) == value


@pytest.mark.parametrize(
    "text", ["", "01", "00", "+1", "-1", "-0", "1 ", " 1", "1\n", "1_0", "٣", "１", "1.0", "0x1",
             str(2**63), "9" * 30, "²"],
)  # fmt: skip
def test_decimal_refuses(text: str) -> None:
    with refused("decimal-malformed"):
        parse_decimal(text)


def test_decimal_has_the_callers_bound() -> None:
    assert parse_decimal("7", max_value=7) == 7
    with refused("decimal-malformed"):
        parse_decimal("8", max_value=7)


def test_the_slow_encoder_agrees_with_cbor2() -> None:
    for value in ([1, "a", b"b", None, True], {1: {"zz": 1, "a": 2}}, -25, "证" * 30):
        assert canonical(value) == cbor2.dumps(value, canonical=True)
