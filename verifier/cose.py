"""COSE_Sign1 (RFC 9052 §4.2), the one envelope of everything that departments sign.

    18([protected: bstr, {}, payload: bstr, signature: bstr])

The unprotected header is empty: whatever is not signed is not there. The protected header carries
the algorithm (1), the key id (4), the kind of document (16, RFC 9596 `typ`) and, for statements
and receipts, CWT claims (15, RFC 9597).
`typ` is checked before anything else, so that a signature made for one purpose never serves
another.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import cbor2

from keys.errors import KeysError
from keys.names import KID_SIZE
from keys.signer import Signer
from keys.suites import suite_for
from keys.suites.base import Suite
from verifier.codec import byte_string, cbor_decode, cbor_encode, take_byte_string, take_texts
from verifier.errors import Refused

ALG, KID, CWT_CLAIMS, TYP = 1, 4, 15, 16
ISS, SUB, EXP, IAT = 1, 2, 4, 6
_LABELS = (frozenset({ALG, KID, CWT_CLAIMS, TYP}), frozenset({ALG, KID, TYP}))
_TAG_18 = b"\xd2"
_MAX_SIGNATURE = 8_192
_MAX_HEADER = 1_024
_TYP_BYTES = 6  # 16: "zl-s"
_SUBJECT, _TIME = "A" * 22, 0x7F_FF_FF_FF


class Sign1(NamedTuple):
    """A parsed, not yet verified, COSE_Sign1."""

    protected: bytes
    header: dict[int, Any]
    payload: bytes
    signature: bytes

    @property
    def alg(self) -> int:
        return int(self.header[ALG])

    @property
    def claims(self) -> dict[int, Any]:
        """The CWT claims of the protected header (RFC 9597), or `cose-malformed`."""
        claims = self.header.get(CWT_CLAIMS)
        if not isinstance(claims, dict):
            raise Refused("cose-malformed", "CWT claims")
        return claims

    @property
    def kid(self) -> bytes:
        kid: bytes = self.header[KID]
        return kid

    def check_signature(self, public: bytes) -> None:
        """Raises `KeysError` unless `public`, a key of the header's suite, made the signature.

        `Refused` suite-missing where the suite's native code is not installed.
        """
        message = to_be_signed(self.protected, self.payload)
        verify_signature(suite_for(self.alg), public, message, self.signature)


def verify_signature(suite: Suite, public: bytes, message: bytes, signature: bytes) -> None:
    """`suite.verify`, but a signature that nobody here can check is not called a bad one.

    Callers turn `KeysError` into their own "bad signature"; `Refused` suite-missing passes them.
    """
    try:
        suite.verify(public, message, signature)
    except KeysError as error:
        if error.code == "key-suite-missing":
            raise Refused("suite-missing", error.detail) from error
        raise


def parse_sign1(data: bytes, *, typ: str, max_bytes: int) -> Sign1:
    """Strict parse. Raises `Refused`: cose-malformed, cose-wrong-type, or a codec's code."""
    if len(data) > max_bytes:
        raise Refused("too-large", f"at most {max_bytes} bytes")
    if data[:1] != _TAG_18:
        raise Refused("cose-malformed", "not a tagged COSE_Sign1")
    protected, payload, signature = _envelope(data) or _any_envelope(data, max_bytes)
    if len(signature) > _MAX_SIGNATURE:
        raise Refused("too-large", "signature")
    header = _plain_header(protected) or _common_header(protected)
    if header is None:
        header = cbor_decode(protected, max_bytes=_MAX_HEADER)
    if not isinstance(header, dict) or header.get(TYP) != typ:
        raise Refused("cose-wrong-type", f"expected {typ}")
    if header.keys() not in _LABELS or type(header[ALG]) is not int:
        raise Refused("cose-malformed", "protected header")
    if type(header[KID]) is not bytes or len(header[KID]) != KID_SIZE:
        raise Refused("cose-malformed", "key id")
    return Sign1(protected, header, payload, signature)


def _envelope(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Protected header, payload and signature of exactly our envelope; None if it is not.

    Read by hand, since a counter and an audit do little else.
    """
    if data[:2] != b"\xd2\x84" or (protected := take_byte_string(data, 2)) is None:
        return None
    at = protected[1]
    if data[at : at + 1] != b"\xa0" or (payload := take_byte_string(data, at + 1)) is None:
        return None
    signature = take_byte_string(data, payload[1])
    if signature is None or signature[1] != len(data):
        return None
    return protected[0], payload[0], signature[0]


def _any_envelope(data: bytes, max_bytes: int) -> tuple[bytes, bytes, bytes]:
    """As `_envelope` by the general decoder, which says by its refusal what is wrong."""
    parts = cbor_decode(data[1:], max_bytes=max_bytes)
    if not isinstance(parts, list) or len(parts) != 4 or parts[1] != {}:
        raise Refused("cose-malformed", "not four members, or an unprotected header")
    protected, _, payload, signature = parts
    if not (type(protected) is type(payload) is type(signature) is bytes):
        raise Refused("cose-malformed", "members are not byte strings")
    return protected, payload, signature


def _common_header(protected: bytes) -> dict[int, Any] | None:
    """The header of a statement, by the template of its issuer's other statements, or None.

    Two things change from one statement to the next: the subject, 22 characters, and the time, 4
    bytes. In deterministic CBOR they stand at fixed places from the end, if they are there at all.
    """
    if len(protected) > _MAX_HEADER:
        return None  # nor is it remembered
    end = len(protected) - _TYP_BYTES
    subject, time = protected[end - 28 : end - 6], protected[end - 4 : end]
    issuer = _template(protected[: max(0, end - 28)], protected[end - 6 : end - 4], protected[end:])
    if issuer is None or not subject.isascii() or time < b"\x00\x01\x00\x00":
        return None
    alg, kid, name, typ = issuer
    claims = {ISS: name, SUB: subject.decode("ascii"), IAT: int.from_bytes(time, "big")}
    return {ALG: alg, KID: kid, CWT_CLAIMS: claims, TYP: typ}


def _plain_header(protected: bytes) -> dict[int, Any] | None:
    """The header `{1: alg, 4: kid, 16: typ}` of what stands in no ledger, or None."""
    alg = protected[2:3]
    if protected[:2] != b"\xa3\x01" or not b"\x20" <= alg < b"\x38":  # -1 … -24, in one byte
        return None
    typ = take_texts(protected, 14, 1)
    if protected[3:5] != b"\x04\x48" or protected[13:14] != b"\x10" or typ is None:
        return None
    if typ[1] != len(protected):
        return None
    return {ALG: 0x1F - alg[0], KID: protected[5:13], TYP: typ[0][0]}


@lru_cache(maxsize=1024)
def _template(before: bytes, between: bytes, after: bytes) -> tuple[Any, Any, Any, Any] | None:
    """(algorithm, key id, issuer, typ) around a subject and a time, or None.

    A header with a subject and a time of ours is decoded in full. Deterministic CBOR has one
    spelling, so if both come out as they went in, any other two may stand in their places.
    """
    try:
        header = cbor_decode(
            before + _SUBJECT.encode() + between + _TIME.to_bytes(4, "big") + after,
            max_bytes=_MAX_HEADER,
        )
        claims = header[CWT_CLAIMS]
        found = header[ALG], header[KID], claims[ISS], header[TYP]
    except (Refused, LookupError, TypeError):
        return None
    whole = claims == {ISS: found[2], SUB: _SUBJECT, IAT: _TIME} and len(header) == 4
    return found if whole else None


def typ_of(data: bytes) -> str | None:
    """What a COSE_Sign1 claims to be, or None if it is none; nothing else of it is looked at."""
    if data[:1] != _TAG_18:
        return None
    try:
        parts = cbor_decode(data[1:], max_bytes=len(data))
        typ = cbor_decode(parts[0], max_bytes=_MAX_HEADER)[TYP]
    except (Refused, LookupError, TypeError):
        return None
    return typ if type(typ) is str else None


def sign_sign1(claims: dict[int, Any] | None, payload: bytes, *, typ: str, signer: Signer) -> bytes:
    """Signs and encodes. `claims` are CWT claims for the protected header, if any."""
    header: dict[int, Any] = {ALG: signer.suite.cose_alg, KID: signer.kid}
    if claims is not None:
        header[CWT_CLAIMS] = claims
    header[TYP] = typ
    # In order as it stands, unless the claims are not: sorting costs as much as encoding.
    ordered = claims is None or (
        list(claims) == sorted(claims) and not any(type(v) is dict for v in claims.values())
    )
    protected = cbor2.dumps(header) if ordered else cbor_encode(header)
    signature = signer.sign(to_be_signed(protected, payload))
    return b"".join(
        (
            _TAG_18,
            b"\x84",
            byte_string(protected),
            b"\xa0",
            byte_string(payload),
            byte_string(signature),
        )
    )


def to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure of RFC 9052 §4.4 with an empty external_aad."""
    return b"".join((b"\x84\x6aSignature1", byte_string(protected), b"\x40", byte_string(payload)))
