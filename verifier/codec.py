"""Strict codecs: one value, one spelling.

Every decoder bounds the size first and refuses what it would not itself have written: spare
base64 bits, base45 groups above 65535, CBOR integers in a long form, duplicate or unsorted map
keys, indefinite lengths. Sources: RFC 4648 (base64), RFC 9285 (base45), RFC 8949 §4.2.1 (CBOR
core deterministic encoding).
"""

import base64
import binascii
import re
import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import cbor2

from verifier.errors import Refused

_B45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_B45_BYTES = _B45.encode("ascii")
_B45_BAD = 0xFF
_B45_VALUES = bytes(
    _B45_BYTES.index(code) if code in _B45_BYTES else _B45_BAD for code in range(256)
)
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_MAX_DEPTH = 16
_LEAF_TYPES = frozenset({int, str, bytes, bool, type(None)})


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
    """Inverse of `base45_encode`. Works on whole columns of digits, since counters scan a lot."""
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
    pairs = [
        low + 45 * middle + 2025 * high
        for low, middle, high in zip(
            digits[0:whole:3], digits[1:whole:3], digits[2:whole:3], strict=True
        )
    ]
    if pairs and max(pairs) > 0xFFFF:
        raise Refused("base45-malformed", "group above 65535")
    words = array("H", pairs)
    if sys.byteorder == "little":
        words.byteswap()
    data = words.tobytes()
    if whole < len(digits):
        last = digits[whole] + 45 * digits[whole + 1]
        if last > 0xFF:
            raise Refused("base45-malformed", "last group above 255")
        data += bytes((last,))
    if len(data) > max_bytes:
        raise Refused("too-large", f"base45 of at most {max_bytes} bytes")
    return data


def cbor_encode(value: object) -> bytes:
    """Core deterministic CBOR. Maps must have keys of one type; they are sorted bytewise."""
    return cbor2.dumps(value, canonical=True)


def cbor_decode(data: bytes, *, max_bytes: int) -> Any:
    """Inverse of `cbor_encode`: bytes in, value out, refusing every other encoding of it.

    Re-encoding in the order read catches long forms, indefinite lengths and duplicate keys;
    `_check_shape` catches unsorted maps, and floats, which no format of ours uses.
    """
    if len(data) > max_bytes:
        raise Refused("too-large", f"CBOR of at most {max_bytes} bytes")
    try:
        value = cbor2.loads(data)
        again = cbor2.dumps(value)
    except Exception as error:  # cbor2 lets ValueError, TypeError, RecursionError … through
        raise Refused("cbor-malformed", type(error).__name__) from error
    if again != data:
        raise Refused("cbor-not-deterministic")
    _check_shape(value, 0)
    return value


def _check_shape(value: object, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise Refused("cbor-malformed", "nested too deeply")
    if isinstance(value, Mapping):
        keys = [_sort_key(key) for key in value]
        if keys != sorted(keys):
            raise Refused("cbor-not-deterministic", "map keys out of order")
        items: Iterable[object] = value.values()
    elif isinstance(value, list | tuple):
        items = value
    elif isinstance(value, cbor2.CBORTag):
        items = (value.value,)
    elif isinstance(value, float):
        raise Refused("cbor-malformed", "floating point")
    else:
        return
    for item in items:
        if type(item) not in _LEAF_TYPES:
            _check_shape(item, depth + 1)


def _sort_key(key: object) -> tuple[int, int, bytes]:
    """Orders keys as their encodings do: by major type, then length or value, then bytes."""
    if type(key) is int:
        return (0, key, b"") if key >= 0 else (1, -1 - key, b"")
    if type(key) is str:
        encoded = key.encode()
        return (3, len(encoded), encoded)
    raise Refused("cbor-malformed", "map key is neither integer nor text")


def parse_decimal(text: str, *, max_value: int = 2**63 - 1) -> int:
    """A canonical ASCII decimal: no sign, no leading zero, no blank (C2SP tlog-checkpoint)."""
    if not _DECIMAL.fullmatch(text):
        raise Refused("decimal-malformed", text[:24])
    value = int(text)
    if value > max_value:
        raise Refused("decimal-malformed", "too large")
    return value
