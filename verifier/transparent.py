"""Transparent statements (SCITT, RFC 9943): a statement that brings its receipts along.

    18([protected, {394: [receipt, …]}, payload, signature])

The unprotected header is not signed, so receipts are put in and taken out without touching the
statement: what the ledger holds, and what a leaf hash is taken of, has an empty one.
"""

from collections.abc import Sequence
from typing import Final

from verifier.codec import byte_string, cbor_decode, cbor_encode, take_byte_string
from verifier.cose_receipt import MAX_RECEIPT
from verifier.errors import Refused
from verifier.statement import MAX_STATEMENT

RECEIPTS: Final = 394
MAX_RECEIPTS: Final = 16
MAX_TRANSPARENT: Final = MAX_STATEMENT + MAX_RECEIPTS * (MAX_RECEIPT + 8)
_START: Final = b"\xd2\x84"
_EMPTY: Final = b"\xa0"
_WITH_RECEIPTS: Final = b"\xa1\x19\x01\x8a"


def attach_receipts(statement: bytes, receipts: Sequence[bytes]) -> bytes:
    """The transparent statement: a statement of ours with receipts in its unprotected header."""
    protected = take_byte_string(statement, 2)
    if statement[:2] != _START or protected is None:
        raise Refused("cose-malformed", "not a statement")
    at = protected[1]
    if statement[at : at + 1] != _EMPTY or not 0 < len(receipts) <= MAX_RECEIPTS:
        raise Refused("cose-malformed", "unprotected header")
    header = cbor_encode({RECEIPTS: list(receipts)})
    return statement[:at] + header + statement[at + 1 :]


def detach_receipts(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """(the statement as the ledger holds it, its receipts) of a transparent statement.

    Neither is looked at further. Raises `Refused`: cose-malformed, too-large, or a codec's code.
    """
    if data[:1] != _START[:1]:
        raise Refused("cose-malformed", "not a tagged COSE_Sign1")
    parts = cbor_decode(data[1:], max_bytes=MAX_TRANSPARENT)
    if not isinstance(parts, list) or len(parts) != 4:
        raise Refused("cose-malformed", "not four members")
    protected, unprotected, payload, signature = parts
    if not (type(protected) is type(payload) is type(signature) is bytes):
        raise Refused("cose-malformed", "members are not byte strings")
    receipts = unprotected.get(RECEIPTS) if isinstance(unprotected, dict) else None
    if not isinstance(receipts, list) or unprotected.keys() != {RECEIPTS}:
        raise Refused("cose-malformed", "unprotected header")
    if not 0 < len(receipts) <= MAX_RECEIPTS or any(type(each) is not bytes for each in receipts):
        raise Refused("cose-malformed", "receipts")
    start, end = byte_string(protected), byte_string(payload) + byte_string(signature)
    return b"".join((_START, start, _EMPTY, end)), tuple(receipts)


def is_transparent(data: bytes) -> bool:
    """Whether this is a COSE_Sign1 that brings receipts along."""
    if data[:2] != _START or (protected := take_byte_string(data, 2)) is None:
        return False
    return data[protected[1] : protected[1] + 4] == _WITH_RECEIPTS
