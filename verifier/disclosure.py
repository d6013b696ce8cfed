"""Disclosures: what the holder shows, and how it is tied to the statement.

A disclosure is CBOR `[salt, value, name]`; the statement holds SHA-256 of the byte string that
wraps it, as in draft-ietf-spice-sd-cwt (salted disclosed claim, redacted claim hash). Fields
shown together are one disclosure whose value is a map of field code to value; each sensitive
field is a disclosure of its own, whose value is a map of that one field.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

import cbor2

from verifier.codec import byte_string, cbor_decode, take_texts
from verifier.errors import Refused

SALT_SIZE: Final = 16
MAX_DISCLOSURE: Final = 32_768
_MAP_AT: Final = 2 + SALT_SIZE
_SCALARS = frozenset({str, int, bool})


class Disclosure(NamedTuple):
    """One group of fields: `name` of the group, field code → text, integer, boolean or list."""

    raw: bytes
    name: str
    fields: Mapping[str, Any]


def make_disclosure(name: str, fields: Mapping[str, Any], salt: bytes) -> bytes:
    """Encodes a disclosure. `salt` is 16 fresh random bytes, one per disclosure, never reused."""
    if len(salt) != SALT_SIZE:
        raise ValueError("a salt has 16 bytes")
    # Sorted here, since sorting costs cbor2 as much as encoding; the values hold no maps.
    ordered = sorted(fields.items(), key=_encoded_order)
    return cbor2.dumps([salt, dict(ordered), name])


def _encoded_order(field: tuple[str, Any]) -> tuple[int, str]:
    """Shorter keys first, then bytewise (RFC 8949 §4.2.1); UTF-8 keeps the order of characters."""
    return len(field[0].encode()), field[0]


def disclosure_digest(raw: bytes) -> bytes:
    """The 32-byte digest that the statement carries for a disclosure."""
    return sha256(byte_string(raw)).digest()


def parse_disclosure(raw: bytes) -> Disclosure:
    """Strict parse; raises `disclosure-malformed` or a codec's code."""
    texts = _texts_only(raw)
    if texts is not None:
        return texts
    parts = cbor_decode(raw, max_bytes=MAX_DISCLOSURE)
    if not isinstance(parts, list) or len(parts) != 3:
        raise Refused("disclosure-malformed", "not three members")
    salt, fields, name = parts
    if type(salt) is not bytes or len(salt) != SALT_SIZE:
        raise Refused("disclosure-malformed", "salt")
    if type(name) is not str or not 0 < len(name) <= 32:
        raise Refused("disclosure-malformed", "name")
    if not isinstance(fields, dict) or not fields:
        raise Refused("disclosure-malformed", "fields")
    if set(map(type, fields)) != {str}:
        raise Refused("disclosure-malformed", "field name")
    for value in fields.values():
        kind = type(value)
        if kind not in _SCALARS and (kind is not list or not _SCALARS.issuperset(map(type, value))):
            raise Refused("disclosure-malformed", "field")
    return Disclosure(raw, name, fields)


def _texts_only(raw: bytes) -> Disclosure | None:
    """A well-formed disclosure of a few short texts, read by hand; None leaves it to the codec."""
    count = raw[_MAP_AT] - 0xA0 if len(raw) > _MAP_AT else 0
    if not 0 < count < 24 or raw[:2] != b"\x83\x50":
        return None
    taken = take_texts(raw, _MAP_AT + 1, 2 * count + 1)
    if taken is None or taken[1] != len(raw):
        return None
    *texts, name = taken[0]
    fields = dict(zip(texts[::2], texts[1::2], strict=True))
    codes = list(fields)
    in_order = codes == sorted(sorted(codes), key=len) and "".join(codes).isascii()
    if not in_order or len(codes) != count or not 0 < len(name) <= 32:
        return None
    return Disclosure(raw, name, fields)


def check_disclosures(raws: Iterable[bytes], digests: Iterable[bytes]) -> tuple[Disclosure, ...]:
    """Parses disclosures and ties each to a digest of the statement.

    Raises `disclosure-not-signed` for one the statement does not hold, and
    `disclosure-repeated` where two are the same or two carry the same field.
    """
    signed = set(digests)
    seen_fields: set[str] = set()
    disclosures = []
    for raw in raws:
        if disclosure_digest(raw) not in signed:
            raise Refused("disclosure-not-signed")
        disclosure = parse_disclosure(raw)
        if not seen_fields.isdisjoint(disclosure.fields):
            raise Refused("disclosure-repeated")
        seen_fields.update(disclosure.fields)
        disclosures.append(disclosure)
    return tuple(disclosures)
