"""Strict codecs: one value, one spelling.

Every decoder bounds the size first and refuses what it would not itself have written: spare
base64 bits, base45 groups above 65535, CBOR integers in a long form, duplicate or unsorted map
keys, indefinite lengths. Sources: RFC 4648 (base64), RFC 9285 (base45), RFC 8949 §4.2.1 (CBOR
core deterministic encoding).
"""

import base64
import binascii
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cbor2

from verifier.errors import Refused

_B45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_B45_BYTES = _B45.encode("ascii")
_B45_BAD = 0xFF
LAST_GROUP = "last group above 255"
"""The detail of a refusal that a text cut short would get."""
_B45_VALUES = bytes(
    _B45_BYTES.index(code) if code in _B45_BYTES else _B45_BAD for code in range(256)
)
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_MAX_DEPTH = 16
_PLAIN_TYPES = frozenset({str, bytes, bool, type(None)})
_TEXT, _INTEGER = {str}, {int}
_MAX_INTEGER = 1 << 64


def b64encode(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 §4)."""
    return base64.b64encode(data).decode("ascii")


def b64decode(text: str, *, max_bytes: int) -> bytes:
    """Inverse of `b64encode`; refuses any other spelling of the same bytes."""
    if len(text) > (max_bytes + 2) // 3 * 4:
        raise Refused("too-large", f"base64 of at most {max_bytes} bytes")
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise Refused("base64-malformed") from error
    if b64encode(data) != text:
        raise Refused("base64-malformed", "spare bits or padding")
    if len(data) > max_bytes:
        raise Refused("too-large", f"base64 of at most {max_bytes} bytes")
    return data


def b64url_encode(data: bytes) -> str:
    """URL-safe base64 without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64url_decode(text: str, *, max_bytes: int) -> bytes:
    """Inverse of `b64url_encode`; padding is refused."""
    if "+" in text or "/" in text or "=" in text:
        raise Refused("base64-malformed", "not the URL-safe alphabet without padding")
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    return b64decode(padded, max_bytes=max_bytes)


def base45_encode(data: bytes) -> str:
    """RFC 9285: two bytes become three characters of the QR alphanumeric alphabet."""
    out: list[str] = []
    for i in range(0, len(data) - 1, 2):
        rest, low = divmod(data[i] << 8 | data[i + 1], 45)
        high, middle = divmod(rest, 45)
        out.append(_B45[low] + _B45[middle] + _B45[high])
    if len(data) % 2:
        high, low = divmod(data[-1], 45)
        out.append(_B45[low] + _B45[high])
    return "".join(out)


def base45_decode(text: str, *, max_bytes: int) -> bytes:
    """Inverse of `base45_encode`."""
    if len(text) > (max_bytes + 1) // 2 * 3:
        raise Refused("too-large", f"base45 of at most {max_bytes} bytes")
    if len(text) % 3 == 1:
        raise Refused("base45-malformed", "length")
    try:
        digits = text.encode("ascii").translate(_B45_VALUES)
    except UnicodeEncodeError as error:
        raise Refused("base45-malformed", "alphabet") from error
    if _B45_BAD in digits:
        raise Refused("base45-malformed", "alphabet")
    whole = len(digits) // 3 * 3
    data = _groups(digits[:whole])
    if whole < len(digits):
        last = digits[whole] + 45 * digits[whole + 1]
        if last > 0xFF:
            raise Refused("base45-malformed", LAST_GROUP)
        data += bytes((last,))
    return data


def _groups(digits: bytes) -> bytes:
    """Two bytes for each three base-45 digits, all groups at once.

    The digits are read as one long number of which each group has 24 bits: low, middle and high
    digit, a byte each. A group's value is below 2**17, so no sum spills into its neighbour.
    """
    count = len(digits) // 3
    whole, (last, beyond) = int.from_bytes(digits, "big"), _masks(count)
    values = (whole >> 16 & last) + 45 * (whole >> 8 & last) + 2025 * (whole & last)
    if values & beyond:
        raise Refused("base45-malformed", "group above 65535")
    groups = values.to_bytes(3 * count, "big")
    data = bytearray(2 * count)
    data[0::2], data[1::2] = groups[1::3], groups[2::3]
    return bytes(data)


@lru_cache(maxsize=256)
def _masks(count: int) -> tuple[int, int]:
    """What keeps the last of every three bytes, and what keeps the first, `count` times."""
    last = int.from_bytes(b"\0\0\xff" * count, "big")
    return last, last << 16


def cbor_encode(value: object) -> bytes:
    """Core deterministic CBOR. Maps must have keys of one type; they are sorted bytewise."""
    return cbor2.dumps(value, canonical=True)


def cbor_decode(data: bytes, *, max_bytes: int, max_items: int | None = None) -> Any:
    """Inverse of `cbor_encode`: bytes in, value out, refusing every other encoding of it.

    Re-encoding in the order read catches long forms and duplicate keys; `check_shape` catches
    unsorted maps, and what no format of ours uses: floats, tags, simple values, big numbers.
    `max_items` is for data so large that items of a byte each would fill the memory.
    """
    if max_items is not None and max_items < len(data) <= max_bytes:
        _check_items(data, max_items)
    value = cbor_read(data, max_bytes=max_bytes)
    try:
        again = cbor2.dumps(value)
    except Exception as error:  # cbor2 lets TypeError, ValueError … through
        raise Refused("cbor-malformed", type(error).__name__) from error
    if again != data:
        raise Refused("cbor-not-deterministic")
    check_shape(value)
    return value


def cbor_read(data: bytes, *, max_bytes: int) -> Any:
    """The first value in CBOR data, however spelled: only for a caller that checks the spelling."""
    if len(data) > max_bytes:
        raise Refused("too-large", f"CBOR of at most {max_bytes} bytes")
    try:
        return cbor2.loads(data, max_depth=_MAX_DEPTH, allow_indefinite=False)
    except Exception as error:  # cbor2 lets ValueError, TypeError, RecursionError … through
        raise Refused("cbor-malformed", type(error).__name__) from error


def is_cut_short(error: Refused) -> bool:
    """Whether CBOR was refused because its end is missing."""
    return isinstance(error.__cause__, cbor2.CBORDecodeEOF)


def _check_items(data: bytes, most: int) -> None:
    """Refuses more items than `most` by their heads alone (RFC 8949 §3), before any is made.

    What has no proper head is left to the decoder, which refuses it.
    """
    at = items = 0
    while at < len(data):
        items += 1
        if items > most:
            raise Refused("too-large", f"CBOR of at most {most} items")
        major, argument = data[at] >> 5, data[at] & 0x1F
        at += 1
        if argument > 27:
            return
        if argument > 23:
            width = 1 << argument - 24
            argument = int.from_bytes(data[at : at + width], "big")
            at += width
        if major in (2, 3):
            at += argument


def head_size(number: int) -> int:
    """Bytes of the deterministic head of an item: of an unsigned integer, or before a content."""
    if number < 24:
        return 1
    if number < 256:
        return 2
    return 3 if number < 65_536 else 5 if number < 1 << 32 else 9


def byte_string(data: bytes) -> bytes:
    """Deterministic CBOR of a byte string."""
    size = len(data)
    if size < 24:
        return bytes((0x40 | size,)) + data
    if size < 256:
        return bytes((0x58, size)) + data
    if size < 65_536:
        return b"\x59" + size.to_bytes(2, "big") + data
    return b"\x5a" + size.to_bytes(4, "big") + data


def take_byte_string(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The byte string that begins at an offset of CBOR data, and the offset after it.

    None if there is none, or not in its one deterministic spelling: then `cbor_decode` tells why.
    """
    head = data[at] if at < len(data) else 0
    if head == 0x58:
        begin, least = at + 2, 24
    elif 0x40 <= head < 0x58:
        end = at + 1 + head - 0x40
        return (data[at + 1 : end], end) if end <= len(data) else None
    elif head == 0x59:
        begin, least = at + 3, 256
    elif head == 0x5A:
        begin, least = at + 5, 65_536
    else:
        return None
    size = int.from_bytes(data[at + 1 : begin], "big")
    end = begin + size
    return (data[begin:end], end) if size >= least and end <= len(data) else None


def take_texts(data: bytes, at: int, count: int) -> tuple[list[str], int] | None:
    """`count` texts of less than 256 bytes each, as `take_byte_string` takes byte strings."""
    texts = []
    try:
        for _ in range(count):
            head = data[at]
            if 0x60 <= head < 0x78:
                begin, at = at + 1, at + 1 + head - 0x60
            elif head == 0x78 and data[at + 1] >= 24:
                begin, at = at + 2, at + 2 + data[at + 1]
            else:
                return None
            texts.append(data[begin:at].decode())
    except (IndexError, UnicodeDecodeError):
        return None
    return (texts, at) if at <= len(data) else None


def check_shape(value: object) -> None:
    """Maps in order, and nothing but integers of 64 bits, strings, lists, maps, true, false, null.

    Raises `Refused`. How deep it may go was bounded when the value was read.
    """
    items: Iterable[object] = (value,)
    if type(value) is dict:
        _check_order(value)
        items = value.values()
    elif type(value) is list:
        items = value
    if _PLAIN_TYPES.issuperset(map(type, items)):
        return
    for item in items:
        kind = type(item)
        if kind in _PLAIN_TYPES:
            continue
        if kind is dict or kind is list:
            check_shape(item)
        elif type(item) is not int:
            raise Refused("cbor-malformed", f"a value of type {kind.__name__}")
        elif not -_MAX_INTEGER <= item < _MAX_INTEGER:
            raise Refused("cbor-malformed", "integer of more than 64 bits")


def _check_order(value: dict[object, object]) -> None:
    """Keys as RFC 8949 §4.2.1 sorts their encodings."""
    keys: list[Any] = list(value)
    types = set(map(type, keys))
    if types == _TEXT:
        if not "".join(keys).isascii():
            keys = [key.encode() for key in keys]
        in_order = sorted(sorted(keys), key=len)
    elif types == _INTEGER:
        in_order = sorted(keys, key=None if min(keys) >= 0 else _integer_order)
    elif keys:
        raise Refused("cbor-malformed", "map keys are not all integers or all texts")
    else:
        return
    if keys != in_order:
        raise Refused("cbor-not-deterministic", "map keys out of order")


def _integer_order(key: int) -> tuple[bool, int]:
    """Negative integers have the higher major type."""
    return (key < 0, abs(key))


def parse_decimal(text: str, *, max_value: int = 2**63 - 1) -> int:
    """A canonical ASCII decimal: no sign, no leading zero, no blank (C2SP tlog-checkpoint)."""
    if not _DECIMAL.fullmatch(text):
        raise Refused("decimal-malformed", text[:24])
    value = int(text)
    if value > max_value:
        raise Refused("decimal-malformed", "too large")
    return value
