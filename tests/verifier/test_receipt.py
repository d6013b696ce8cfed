"""Receipts: signed by the operator, valid for minutes, and of one form."""

from dataclasses import replace
from typing import Any

import pytest

from tests.city import NOW, ORIGIN, City, signer
from tests.verifier.helpers import refused
from verifier.authorities import Authorities
from verifier.codec import cbor_encode
from verifier.cose import EXP, IAT, ISS, SUB, sign_sign1
from verifier.receipt import ANSWERS, Receipt, open_receipt, sign_receipt
from verifier.trust import Trust

CITY = City()
TRUST = CITY.trust()
ISSUER = f"{ORIGIN}/operator"
RECEIPT = Receipt(
    "A" * 22, "over-18", "yes", f"{ORIGIN}/market", b"\x01" * 32, b"\x02" * 32, NOW, NOW + 300
)
RAW = sign_receipt(RECEIPT, issuer=ISSUER, signer=CITY.operator)
CLAIMS = {ISS: ISSUER, SUB: "A" * 22, EXP: NOW + 300, IAT: NOW}
PAYLOAD = {1: "over-18", 2: 1, 3: f"{ORIGIN}/market", 4: b"\x01" * 32, 5: b"\x02" * 32}


def sealed(claims: dict[int, Any] | None = CLAIMS, payload: object = PAYLOAD) -> bytes:
    return sign_sign1(claims, cbor_encode(payload), typ="zl-r", signer=CITY.operator)


@pytest.mark.parametrize("answer", ANSWERS.values())
def test_round_trip(answer: str) -> None:
    receipt = replace(RECEIPT, answer=answer)
    raw = sign_receipt(receipt, issuer=ISSUER, signer=CITY.operator)
    assert open_receipt(raw, TRUST, NOW) == receipt


def test_it_is_valid_for_its_minutes() -> None:
    for now in (NOW - 300, NOW, NOW + 300):
        assert open_receipt(RAW, TRUST, now) == RECEIPT
    with refused("receipt-expired"):
        open_receipt(RAW, TRUST, NOW + 301)
    with refused("receipt-from-future"):
        open_receipt(RAW, TRUST, NOW - 301)


def test_only_the_operator_of_this_ledger_signs_receipts() -> None:
    for by, issuer in [
        (signer("nobody"), ISSUER),
        (CITY.departments["market"], f"{ORIGIN}/market"),
        (CITY.departments["market"], ISSUER),
        (CITY.operator, f"{ORIGIN}/market"),
        (City("other.example").operator, "other.example/operator"),
    ]:
        with refused("receipt-wrong-signer"):
            open_receipt(sign_receipt(RECEIPT, issuer=issuer, signer=by), TRUST, NOW)
    with refused("receipt-wrong-signer"):
        open_receipt(RAW, Trust(Authorities(), {}), NOW)


def test_every_changed_byte_is_refused() -> None:
    for at in range(len(RAW)):
        with refused(
            "cose-malformed",
            "cose-wrong-type",
            "cbor-malformed",
            "cbor-not-deterministic",
            "receipt-malformed",
            "receipt-wrong-signer",
        ):
            open_receipt(RAW[:at] + bytes([RAW[at] ^ 1]) + RAW[at + 1 :], TRUST, NOW)


@pytest.mark.parametrize(
    ("claims", "payload"),
    [
        ({}, PAYLOAD),
        ({**CLAIMS, 7: b"x"}, PAYLOAD),
        ({ISS: ISSUER, SUB: "A" * 22, IAT: NOW}, PAYLOAD),
        ({**CLAIMS, ISS: 5}, PAYLOAD),
        ({**CLAIMS, SUB: 5}, PAYLOAD),
        ({**CLAIMS, EXP: "x"}, PAYLOAD),
        ({**CLAIMS, IAT: True}, PAYLOAD),
        ({**CLAIMS, EXP: NOW - 1}, PAYLOAD),
        (CLAIMS, []),
        (CLAIMS, {}),
        (CLAIMS, {**PAYLOAD, 6: 1}),
        *((CLAIMS, {k: v for k, v in PAYLOAD.items() if k != label}) for label in PAYLOAD),
        (CLAIMS, {**PAYLOAD, 1: 5}),
        (CLAIMS, {**PAYLOAD, 2: 3}),
        (CLAIMS, {**PAYLOAD, 2: -1}),
        (CLAIMS, {**PAYLOAD, 2: True}),
        (CLAIMS, {**PAYLOAD, 2: "yes"}),
        (CLAIMS, {**PAYLOAD, 3: b"x"}),
        (CLAIMS, {**PAYLOAD, 4: b"\x01" * 31}),
        (CLAIMS, {**PAYLOAD, 5: "x" * 32}),
    ],
)
def test_other_forms_are_refused(claims: dict[int, Any], payload: object) -> None:
    with refused("receipt-malformed"):
        open_receipt(sealed(claims, payload), TRUST, NOW)


def test_without_claims_it_is_no_receipt() -> None:
    with refused("cose-malformed"):
        open_receipt(sealed(None), TRUST, NOW)


def test_another_document_is_no_receipt() -> None:
    for other in (CITY.entries[0], CITY.pack()):
        with refused("cose-wrong-type", "too-large"):
            open_receipt(other, TRUST, NOW)


def test_a_receipt_is_bounded() -> None:
    with refused("too-large"):
        open_receipt(b"\xd2" + bytes(9000), TRUST, NOW)
