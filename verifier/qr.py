"""QR payloads: `ZL1:` and base45 of a CBOR list, in the QR alphanumeric alphabet.

    compact      [1, statement, [disclosure, …]]
    transparent  [2, statement, [disclosure, …], tlog-proof in CBOR form]

The compact profile leaves inclusion and status to the reader's trust pack or network; the
transparent one brings its inclusion proof and cosigned checkpoint along.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import cbor2

from verifier.codec import (
    LAST_GROUP,
    base45_decode,
    base45_encode,
    cbor_decode,
    cbor_encode,
    take_byte_string,
)
from verifier.errors import Refused
from verifier.proof import TlogProof, proof_from_cbor, proof_to_cbor
from verifier.statement import Statement, parse_statement

PREFIX: Final = "ZL1:"
COMPACT: Final = 1
TRANSPARENT: Final = 2
MAX_CHARACTERS: Final = 4_296
"""Alphanumeric capacity of QR version 40, level L (ISO/IEC 18004)."""
_MAX_BYTES: Final = 2 * 2_864
"""Twice what version 40 holds: a code signed with ML-DSA-44 is shown as text or a file."""
_MAX_DISCLOSURES: Final = 16
_EMPTY_LIST: Final = 0x80


class Presented(NamedTuple):
    """What somebody shows: a parsed statement, raw disclosures, and perhaps a proof."""

    statement: Statement
    disclosures: Sequence[bytes] = ()
    proof: TlogProof | None = None


def format_qr(
    statement: bytes, disclosures: Sequence[bytes], proof: TlogProof | None = None
) -> str:
    """The text of a QR code: compact without a proof, transparent with one."""
    parts: list[object] = [COMPACT, statement, list(disclosures)]
    if proof is not None:
        parts[0] = TRANSPARENT
        parts.append(proof_to_cbor(proof))
    return PREFIX + base45_encode(cbor_encode(parts))


def parse_qr(text: str) -> Presented:
    """Strict inverse of `format_qr`. Raises `Refused`: qr-… or the code of an inner part."""
    if len(text) > MAX_CHARACTERS * 2:
        raise Refused("too-large", "QR text")
    if not text.startswith(PREFIX):
        raise Refused("qr-not-ours")
    try:
        return _parse_text(text)
    except Refused as error:
        # Not before: the alphabet holds the prefix, so one code in thousands has it by chance.
        if text.count(PREFIX) > 1:
            raise Refused("qr-doubled") from error
        raise


def _parse_text(text: str) -> Presented:
    if len(text) % 3 == (len(PREFIX) + 1) % 3:
        raise Refused("qr-truncated", "length")
    try:
        data = base45_decode(text[len(PREFIX) :], max_bytes=_MAX_BYTES)
    except Refused as error:
        if error.detail == LAST_GROUP:
            raise Refused("qr-truncated", "length") from error
        raise
    compact = _compact(data)
    if compact is not None:
        return compact
    try:
        parts = cbor_decode(data, max_bytes=_MAX_BYTES)
    except Refused as error:
        if isinstance(error.__cause__, cbor2.CBORDecodeEOF):
            raise Refused("qr-truncated", "content") from error
        raise
    return _parse_parts(parts)


def _compact(data: bytes) -> Presented | None:
    """A well-formed compact code, read by hand; None if it is not one, for the general decoder."""
    if data[:2] != b"\x83\x01" or (statement := take_byte_string(data, 2)) is None:
        return None
    at = statement[1]
    count = data[at] - _EMPTY_LIST if at < len(data) else -1
    if not 0 <= count <= _MAX_DISCLOSURES:
        return None
    at += 1
    disclosures = []
    for _ in range(count):
        if (disclosure := take_byte_string(data, at)) is None:
            return None
        disclosures.append(disclosure[0])
        at = disclosure[1]
    return Presented(parse_statement(statement[0]), disclosures) if at == len(data) else None


def _parse_parts(parts: object) -> Presented:
    if not isinstance(parts, list) or len(parts) < 3:
        raise Refused("qr-malformed", "members")
    profile, statement, disclosures = parts[:3]
    if profile not in (COMPACT, TRANSPARENT) or type(profile) is not int:
        raise Refused("qr-unknown-profile", str(profile)[:16])
    if len(parts) != (3 if profile == COMPACT else 4):
        raise Refused("qr-malformed", "members")
    if type(statement) is not bytes or not isinstance(disclosures, list):
        raise Refused("qr-malformed", "types")
    if len(disclosures) > _MAX_DISCLOSURES or not all(type(d) is bytes for d in disclosures):
        raise Refused("qr-malformed", "disclosures")
    proof = proof_from_cbor(parts[3]) if profile == TRANSPARENT else None
    return Presented(parse_statement(statement), disclosures, proof)


def parse_payload(payload: str | bytes) -> Presented:
    """QR text, or the bytes of a bare statement, as whoever scans or uploads has it."""
    if isinstance(payload, str):
        return parse_qr(payload)
    if payload[: len(PREFIX)] == PREFIX.encode():
        try:
            return parse_qr(payload.decode("ascii"))
        except UnicodeDecodeError as error:
            raise Refused("base45-malformed", "alphabet") from error
    if payload[:1] == b"\xd2":
        return Presented(parse_statement(payload))
    raise Refused("qr-not-ours")
