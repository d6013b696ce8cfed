"""Receipts: the signed, minutes-valid answer to a question about a person or an organisation.

A COSE_Sign1 of type `zl-r` by the ledger operator's key. CWT claims: issuer, the question's id as
subject, issued-at and expiry. Payload

    {1: predicate id, 2: answer (0 no, 1 yes, 2 unknown), 3: who asked, 4: leaf hash of the
     question in the ledger, 5: digest of what was asked}

The receipt holds no personal data: 5 is the digest of a disclosure that the asker keeps, so that
it can show later, to whom it must, which question was answered.
"""

from dataclasses import dataclass
from typing import Final

from keys.signer import Signer
from verifier.codec import cbor_decode, cbor_encode
from verifier.cose import EXP, IAT, ISS, SUB, Sign1, parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE
from verifier.trust import Trust

TYP: Final = "zl-r"
ANSWERS: Final = {0: "no", 1: "yes", 2: "unknown"}
_NUMBERS: Final = {name: number for number, name in ANSWERS.items()}
_MAX_RECEIPT: Final = 8_192
_PREDICATE, _ANSWER, _AUDIENCE, _QUESTION, _ASKED = range(1, 6)


@dataclass(frozen=True, slots=True)
class Receipt:
    """An answer. Times are Unix seconds; `question` is a leaf hash, `asked` a digest."""

    question_id: str
    predicate: str
    answer: str
    audience: str
    question: bytes
    asked: bytes
    issued_at: int
    expires_at: int


def sign_receipt(receipt: Receipt, *, issuer: str, signer: Signer) -> bytes:
    """Signs a receipt with the operator's key."""
    claims = {
        ISS: issuer,
        SUB: receipt.question_id,
        EXP: receipt.expires_at,
        IAT: receipt.issued_at,
    }
    payload = {
        _PREDICATE: receipt.predicate,
        _ANSWER: _NUMBERS[receipt.answer],
        _AUDIENCE: receipt.audience,
        _QUESTION: receipt.question,
        _ASKED: receipt.asked,
    }
    return sign_sign1(claims, cbor_encode(payload), typ=TYP, signer=signer)


def open_receipt(data: bytes, trust: Trust, now: int) -> Receipt:
    """The receipt, if the operator signed it and `now` is within its minutes.

    Raises `Refused`: receipt-malformed, receipt-wrong-signer, receipt-expired,
    receipt-from-future, or a codec's code.
    """
    sign1 = parse_sign1(data, typ=TYP, max_bytes=_MAX_RECEIPT)
    receipt, issuer = _parse(sign1)
    if issuer != trust.authorities.register.operator_issuer():
        raise Refused("receipt-wrong-signer")
    try:
        trust.authorities.signer_of(sign1, issuer, receipt.issued_at)
    except Refused as error:
        if error.code == "suite-missing":
            raise
        raise Refused("receipt-wrong-signer", error.code) from error
    if now > receipt.expires_at:
        raise Refused("receipt-expired")
    if now < receipt.issued_at - 300:
        raise Refused("receipt-from-future")
    return receipt


def _parse(sign1: Sign1) -> tuple[Receipt, str]:
    claims, payload = sign1.claims, cbor_decode(sign1.payload, max_bytes=_MAX_RECEIPT)
    if claims.keys() != {ISS, SUB, EXP, IAT} or not isinstance(payload, dict):
        raise Refused("receipt-malformed", "claims")
    if payload.keys() != set(range(_PREDICATE, _ASKED + 1)):
        raise Refused("receipt-malformed", "members")
    predicate, audience = payload[_PREDICATE], payload[_AUDIENCE]
    texts = (claims[ISS], claims[SUB], predicate, audience)
    hashes = (payload[_QUESTION], payload[_ASKED])
    answer = payload[_ANSWER]
    if not all(type(text) is str for text in texts) or type(answer) is not int:
        raise Refused("receipt-malformed", "types")
    if not all(type(hash_) is bytes and len(hash_) == HASH_SIZE for hash_ in hashes):
        raise Refused("receipt-malformed", "hashes")
    if answer not in ANSWERS or any(type(claims[label]) is not int for label in (EXP, IAT)):
        raise Refused("receipt-malformed", "answer or times")
    if claims[EXP] < claims[IAT]:
        raise Refused("receipt-malformed", "expires before it was issued")
    receipt = Receipt(
        claims[SUB], predicate, ANSWERS[answer], audience, *hashes, claims[IAT], claims[EXP]
    )
    return receipt, claims[ISS]
