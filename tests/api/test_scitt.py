"""The ledger as a SCITT Transparency Service: its resources, its receipts, its refusals."""

import threading
from typing import Any

import cbor2
import pytest
from httpx2 import Response

from api.routes import scitt
from keys.names import kid, parse_cose_key
from keys.suites import BY_NAME
from ledger.model import Published
from tests.api.documents import COSE, Software, concise_of, leaf_of
from tests.api.service import Service, problem_of
from tests.city import signer
from verifier.checkpoint import open_checkpoint
from verifier.codec import b64url_encode, cbor_encode
from verifier.cose_receipt import (
    check_consistency_receipt,
    check_inclusion_receipt,
    parse_receipt,
)
from verifier.merkle import leaf_hash
from verifier.note import COSIGNATURE, VerifierKey, make_vkey
from verifier.policy import parse_policy
from verifier.proof import check_proof, parse_proof
from verifier.statement import MAX_STATEMENT
from verifier.transparent import attach_receipts, detach_receipts

PATH = "/scitt/entries"
BASE = "http://testserver"


@pytest.fixture
def software(service: Service) -> Software:
    return Software(service)


def log_key(service: Service) -> VerifierKey:
    return service.city.trust().log_key


def post(software: Software, statement: bytes, who: str | None = None, **options: Any) -> Response:
    return software.post(statement, who, path=PATH, **options)


def concise(answer: Response, status: int, title: str, code: str) -> str:
    """The detail of a concise problem document."""
    found = concise_of(answer)
    assert (answer.status_code, found["title"], found["code"]) == (status, title, code)
    return str(found["detail"])


def make_pending(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a witness has to cosign, and none does."""
    key = make_vkey("witness.example", signer("a witness").public, COSIGNATURE)
    policy = parse_policy(f"witness w {key.text()} https://w.example\nquorum w\n")
    service.city.witnessing.close()
    monkeypatch.setattr(scitt, "WAIT", 0)
    publisher = service.city.ledger._sequencer._publisher  # type: ignore[union-attr]
    monkeypatch.setattr(publisher, "_policy", lambda _size: policy)


def finalise(service: Service) -> None:
    ledger = service.city.ledger
    note = ledger.signed_checkpoint()
    ledger.finalise(Published(open_checkpoint(note, log_key(service)).size, note))


# --- registering -------------------------------------------------------------------------------


def test_a_registered_statement_is_answered_with_its_receipt(software: Software) -> None:
    service, statement = software.service, software.sign()
    answer = post(software, statement)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/cose"
    where = f"{BASE}{PATH}/{leaf_of(statement)}"
    assert answer.headers["location"] == where
    receipt = parse_receipt(answer.content)
    root = check_inclusion_receipt(receipt, leaf_hash(statement), log_key(service))
    assert root == open_checkpoint(service.city.ledger.checkpoint(), log_key(service)).root
    again = post(software, statement)
    assert (again.status_code, again.content) == (201, answer.content)
    fetched = service.get(None, where.removeprefix(BASE))
    assert (fetched.status_code, fetched.content) == (200, answer.content)
    assert fetched.headers["location"] == where


def test_receipt_and_tlog_proof_say_the_same(software: Software) -> None:
    statements = [software.sign() for _ in range(5)]
    leaves = [leaf_of(statement) for statement in statements]
    for statement in statements:
        post(software, statement)
    for statement, leaf in zip(statements, leaves, strict=True):
        receipt = parse_receipt(software.service.get(None, f"{PATH}/{leaf}").content)
        index = software.service.city.ledger.index_of(bytes.fromhex(leaf))
        proof = parse_proof(software.service.get(None, f"/v1/log/proof/{index}").content)
        checkpoint = check_proof(proof, statement, log_key(software.service), None)
        assert receipt.proof == (checkpoint.size, proof.index, proof.hashes)
        root = check_inclusion_receipt(receipt, leaf_hash(statement), log_key(software.service))
        assert root == checkpoint.root


def test_one_signature_for_all_receipts_of_a_tree(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = software.service
    receipts = service.client.app.state.services.receipts  # type: ignore[attr-defined]
    first, second = software.sign(), software.sign()
    post(software, first)
    post(software, second)
    signed = []
    real = receipts._signer

    class Counting:
        def sign(self, message: bytes) -> bytes:
            signed.append(message)
            return bytes(real.sign(message))

    monkeypatch.setattr(receipts, "_signer", Counting())
    for statement in (first, second, first):
        service.get(None, f"{PATH}/{leaf_of(statement)}")
    assert signed == []  # the tree of the second registration was signed then
    post(software, software.sign())
    service.get(None, f"{PATH}/{leaf_of(first)}")
    assert len(signed) == 1


def test_a_statement_of_any_kind_that_is_there_has_a_receipt(software: Software) -> None:
    service = software.service
    service.issue()
    ledger = service.city.ledger
    licence = ledger.entry(ledger.size - 1)
    for who in (software.who, "bank"):
        receipt = parse_receipt(post(software, licence, who).content)
        check_inclusion_receipt(receipt, leaf_hash(licence), log_key(service))


def test_receipts_of_other_services_are_left_behind(software: Software) -> None:
    statement = software.sign()
    size = software.service.city.ledger.size
    other = attach_receipts(statement, [b"of another service"])
    assert post(software, other).status_code == 201
    assert software.service.city.ledger.entry(size) == statement


def test_a_transparent_statement(software: Software) -> None:
    service, statement = software.service, software.sign()
    receipt = post(software, statement).content
    answer = service.get(None, f"/scitt/statements/{leaf_of(statement)}")
    assert answer.headers["content-type"] == "application/cose"
    assert detach_receipts(answer.content) == (statement, (receipt,))


def test_a_receipt_of_consistency(software: Software) -> None:
    service = software.service
    key = log_key(service)
    older = open_checkpoint(service.city.ledger.checkpoint(), key)
    for _ in range(3):
        post(software, software.sign())
    newer = open_checkpoint(service.city.ledger.checkpoint(), key)
    for known in (older, newer):
        answer = service.get(None, f"/scitt/consistency?old={known.size}")
        receipt = parse_receipt(answer.content)
        assert check_consistency_receipt(receipt, known.size, known.root, key) == newer.root
    answer = service.get(None, f"/scitt/consistency?old={newer.size + 1}")
    concise(answer, 404, "outside what the ledger has published", "ledger-out-of-range")


# --- before and after the quorum ---------------------------------------------------------------


def test_no_receipt_before_witnesses_have_cosigned(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = software.service
    make_pending(service, monkeypatch)
    statement = software.sign()
    answer = post(software, statement, follow_redirects=False)
    assert (answer.status_code, answer.content) == (303, b"")
    assert answer.headers["retry-after"] == "1"
    where = answer.headers["location"].removeprefix(BASE)
    for path in (where, where.replace("entries", "statements")):
        waiting = service.get(None, path, follow_redirects=False)
        assert (waiting.status_code, waiting.content) == (302, b"")
        assert waiting.headers["location"] == f"{BASE}{path}"
    assert software.post(statement).json()["finality"] == "pending"
    finalise(service)
    receipt = parse_receipt(service.get(None, where).content)
    check_inclusion_receipt(receipt, leaf_hash(statement), log_key(service))
    assert software.post(statement).json()["finality"] == "final"
    bulk = software.bulk(b"")[-1]
    assert bulk["done"] is True


def test_a_registration_waits_for_witnesses(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, over = software.service, threading.Event()
    make_pending(service, monkeypatch)

    def witnesses() -> None:
        while not over.wait(0.05):
            finalise(service)

    thread = threading.Thread(target=witnesses)
    thread.start()
    try:
        for send in (post, Software.post):
            headers = {**COSE, "Prefer": "wait=30"}
            answer = send(software, software.sign(), headers=headers, follow_redirects=False)
            assert answer.status_code == 201
        assert answer.json()["finality"] == "final"
    finally:
        over.set()
        thread.join()


def test_what_is_final_keeps_its_receipt_while_others_wait(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = software.sign()
    receipt = post(software, statement).content
    make_pending(software.service, monkeypatch)
    post(software, software.sign(), follow_redirects=False)
    fetched = software.service.get(None, f"{PATH}/{leaf_of(statement)}")
    assert (fetched.status_code, fetched.content) == (200, receipt)


# --- keys --------------------------------------------------------------------------------------


def test_the_keys_verify_receipts(service: Service) -> None:
    answer = service.get(None, "/.well-known/scitt-keys", headers={"Accept": "application/cbor"})
    assert answer.headers["content-type"] == "application/cbor"
    (key,) = cbor2.loads(answer.content)
    public, key_id = log_key(service).public, kid(BY_NAME["ed25519"], log_key(service).public)
    assert key == {1: 1, 2: key_id, 3: -19, -1: 6, -2: public}
    one = service.get(None, f"/.well-known/scitt-keys/{b64url_encode(key_id)}")
    assert cbor2.loads(one.content) == key
    bare = {label: value for label, value in key.items() if label not in (2, 3)}
    assert parse_cose_key(cbor_encode(bare))[1] == public
    unknown = service.get(None, "/.well-known/scitt-keys/AAAAAAAAAAA")
    concise(unknown, 404, "No such key", "scitt-key-unknown")


# --- refusals ----------------------------------------------------------------------------------


def test_refusals_are_concise_problem_details(software: Software) -> None:
    service = software.service
    for answer, status, title, code in [
        (post(software, b""), 400, "Malformed request", "cose-malformed"),
        (post(software, bytes(MAX_STATEMENT + (1 << 20))), 413, "Malformed request", "too-large"),
        (post(software, b"", headers={**COSE, "Content-Length": str(1 << 40)}), 413,
         "the request is too large", "request-too-large"),
        (post(software, software.sign(by=signer("nobody"))), 400, "Rejected", "key-not-enrolled"),
        (post(software, software.sign(age=1 << 30)), 400, "Rejected", "register-too-old"),
        (post(software, software.sign(kind=48, rule_set="x")), 400, "Rejected",
         "register-kind-refused"),
        (post(software, software.sign(), "clerk"), 403, "Rejected", "role-missing"),
        (service.call(None, "POST", PATH, content=b"", headers=COSE), 401,
         "an API key is required", "credentials-missing"),
        (service.get(None, f"{PATH}/{'0' * 64}"), 404, "Not Found", "scitt-entry-unknown"),
        (service.get(None, f"/scitt/statements/{'0' * 64}"), 404, "Not Found",
         "scitt-entry-unknown"),
        (service.get(None, f"{PATH}/{'A' * 64}"), 400, "Invalid locator",
         "scitt-locator-malformed"),
        (service.get(None, f"{PATH}/1"), 400, "Invalid locator", "scitt-locator-malformed"),
        (service.get(None, "/scitt/consistency?old=0"), 400, "the request is not valid",
         "request-invalid"),
        (service.get(None, PATH), 405, "the address does not allow this method",
         "method-not-allowed"),
        (service.get(None, "/scitt/nothing"), 404, "there is nothing at this address",
         "route-unknown"),
    ]:  # fmt: skip
        concise(answer, status, title, code)


def test_a_text_without_form_is_told_in_one(software: Software) -> None:
    answer = post(software, software.sign(), headers={"Content-Type": "application/json"})
    title = "this content type is not supported"
    detail = concise(answer, 415, title, "media-type-unsupported")
    assert detail.endswith("application/cose / application/scitt-statement+cose")
    assert answer.content[:1] == b"\xa3"
    assert answer.content[1:].startswith(cbor_encode({-1: title, -2: detail})[1:])


def test_other_resources_are_told_as_before(service: Service) -> None:
    problem_of(service.get(None, "/v1/nothing"), "route-unknown", 404)
    problem_of(service.get(None, "/scitt"), "route-unknown", 404)
