"""COSE receipts: made and checked, against vectors, and every way in which they are refused."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from keys.names import kid
from keys.suites import suite_named
from tests.city import NOW, ORIGIN, City, signer
from tests.verifier.helpers import refused
from verifier.cli import run
from verifier.codec import b64encode, byte_string, cbor_encode
from verifier.cose_receipt import (
    MAX_RECEIPT,
    ConsistencyProof,
    CoseReceipt,
    InclusionProof,
    check_consistency_receipt,
    check_inclusion_receipt,
    consistency_root,
    inclusion_root,
    is_receipt,
    make_receipt,
    parse_receipt,
    receipt_header,
    sign_root,
)
from verifier.judge import judge
from verifier.merkle import Frontier, leaf_hash, node_hash
from verifier.note import make_vkey
from verifier.transparent import MAX_RECEIPTS, attach_receipts, detach_receipts, is_transparent
from verifier.verdict import Check, Colour, Outcome
from verifier.words import LEDGER, WITNESSES

CITY = City()
LICENCE = CITY.issue()
for _ in range(3):
    CITY.issue()
SIZE = len(CITY.entries)
LOG = CITY.log.key
LOG_SIGNER = signer(f"log of {ORIGIN}")
ROOT = CITY.root(0, SIZE)
LEAF = leaf_hash(LICENCE.statement)
PROOF = InclusionProof(SIZE, LICENCE.index, tuple(CITY.path(LICENCE.index)))
SIGNATURE = sign_root(ROOT, SIZE, LOG, LOG_SIGNER)
RAW = make_receipt(PROOF, LOG, SIGNATURE)


def flipped(data: bytes) -> bytes:
    """With the last bit changed."""
    return data[:-1] + bytes([data[-1] ^ 1])


def consistency(older: int) -> ConsistencyProof:
    """By the definition in RFC 9162 §2.1.4.1."""

    def subproof(m: int, low: int, high: int, whole: bool) -> list[bytes]:
        if m == high - low:
            return [] if whole else [CITY.root(low, high)]
        k = 1 << (high - low - 1).bit_length() - 1
        if m <= k:
            return [*subproof(m, low, low + k, whole), CITY.root(low + k, high)]
        return [*subproof(m - k, low + k, high, False), CITY.root(low, low + k)]

    return ConsistencyProof(older, SIZE, tuple(subproof(older, 0, SIZE, True)))


def changed(
    protected: bytes | None = None,
    unprotected: object = None,
    payload: object = None,
    signature: object = SIGNATURE,
) -> bytes:
    """The receipt with some of its members replaced."""
    members = cbor2.loads(RAW[1:])
    parts = [protected or members[0], unprotected or members[1], payload, signature]
    return b"\xd2" + cbor_encode(parts)


def with_proof(*parts: object, label: int = -1) -> bytes:
    return changed(unprotected={396: {label: [cbor_encode(list(parts))]}})


def header(**changes: Any) -> bytes:
    whole: dict[Any, Any] = cbor2.loads(receipt_header(LOG, SIZE))
    for label, value in changes.items():
        whole[int(label[1:])] = value
    return cbor_encode({label: value for label, value in whole.items() if value is not None})


# --- made and checked --------------------------------------------------------------------------


def test_every_entry_is_proven_by_its_receipt_under_one_signature() -> None:
    for index, entry in enumerate(CITY.entries):
        proof = InclusionProof(SIZE, index, tuple(CITY.path(index)))
        receipt = parse_receipt(make_receipt(proof, LOG, SIGNATURE))
        assert receipt.proof == proof
        assert check_inclusion_receipt(receipt, leaf_hash(entry), LOG) == ROOT


def test_what_is_signed_names_log_key_and_tree() -> None:
    suite = suite_named("ed25519")
    assert parse_receipt(RAW).header == {
        1: -19,
        4: kid(suite, LOG.public),
        15: {1: ORIGIN, 2: f"tree/{SIZE}"},
        16: "application/scitt-receipt+cose",
        395: 1,
    }


def test_every_older_tree_is_proven_by_a_receipt_of_consistency() -> None:
    for older in range(1, SIZE + 1):
        proof, older_root = consistency(older), CITY.root(0, older)
        receipt = parse_receipt(make_receipt(proof, LOG, SIGNATURE))
        assert receipt.proof == proof
        assert check_consistency_receipt(receipt, older, older_root, LOG) == ROOT
        # A root that the walk begins with is told by the signature, any other by the walk.
        begins_with = older == SIZE or not older & (older - 1)
        with refused("cose-receipt-bad-signature" if begins_with else "merkle-root-mismatch"):
            check_consistency_receipt(receipt, older, bytes(32), LOG)
    with refused("merkle-out-of-range"):
        check_consistency_receipt(receipt, 3, CITY.root(0, 3), LOG)


def test_a_tree_of_one_leaf() -> None:
    leaf = leaf_hash(CITY.entries[0])
    raw = make_receipt(InclusionProof(1, 0, ()), LOG, sign_root(leaf, 1, LOG, LOG_SIGNER))
    assert check_inclusion_receipt(parse_receipt(raw), leaf, LOG) == leaf


# --- the examples of the RFC's working group: no key is published with them ---------------------


def example(shared: Callable[[str], Path], name: str) -> CoseReceipt:
    receipt = parse_receipt(shared(f"vectors/cose-receipts/{name}-receipt.cbor").read_bytes())
    assert receipt.header == {
        1: -7,
        4: b"test-key-1",
        395: 1,
        15: {1: "https://transparency-service.example.com"},
    }
    return receipt


def test_the_examples_are_read_and_lead_to_one_root(shared: Callable[[str], Path]) -> None:
    inclusion, append = example(shared, "inclusion"), example(shared, "consistency")
    assert isinstance(inclusion.proof, InclusionProof)
    assert isinstance(append.proof, ConsistencyProof)
    assert (inclusion.proof.size, inclusion.proof.index) == (5, 3)
    assert (append.proof.older, append.proof.size) == (3, 5)
    third, fourth, first_two, fifth = append.proof.path
    assert inclusion.proof.path == (third, first_two, fifth)
    root = node_hash(node_hash(first_two, node_hash(third, fourth)), fifth)
    assert inclusion_root(inclusion, fourth) == root
    assert consistency_root(append, node_hash(first_two, third)) == root
    with refused("merkle-root-mismatch"):
        consistency_root(append, node_hash(third, first_two))
    with refused("cose-receipt-other-log"):
        check_inclusion_receipt(inclusion, fourth, LOG)


# --- not proven --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "leaf", "code"),
    [
        (RAW, leaf_hash(CITY.entries[LICENCE.index + 1]), "cose-receipt-bad-signature"),
        (RAW, LICENCE.statement, "merkle-hash-size"),
        (with_proof(SIZE, PROOF.index + 1, list(PROOF.path)), LEAF, "cose-receipt-bad-signature"),
        (with_proof(SIZE, SIZE, list(PROOF.path)), LEAF, "merkle-out-of-range"),
        (with_proof(SIZE, PROOF.index, list(PROOF.path)[:-1]), LEAF, "merkle-proof-length"),
        (with_proof(SIZE, PROOF.index, [*PROOF.path, LEAF]), LEAF, "merkle-proof-length"),
        (changed(signature=flipped(SIGNATURE)), LEAF, "cose-receipt-bad-signature"),
        (changed(signature=SIGNATURE[:-1]), LEAF, "cose-receipt-bad-signature"),
        (changed(header(_15={1: "other", 2: f"tree/{SIZE}"})), LEAF, "cose-receipt-other-log"),
        (changed(header(_15={1: ORIGIN, 2: f"tree/{SIZE + 1}"})), LEAF, "cose-receipt-other-log"),
        (changed(header(_15=None)), LEAF, "cose-receipt-other-log"),
        (changed(header(_4=bytes(8))), LEAF, "cose-receipt-other-log"),
        (changed(header(_1=-8)), LEAF, "cose-receipt-other-log"),
        (changed(header(_16="zl-s")), LEAF, "cose-receipt-other-log"),
        (changed(header(_99=1)), LEAF, "cose-receipt-other-log"),
    ],
)  # fmt: skip
def test_not_proven(raw: bytes, leaf: bytes, code: str) -> None:
    receipt = parse_receipt(raw)
    with refused(code):
        check_inclusion_receipt(receipt, leaf, LOG)


def test_a_receipt_of_another_log_or_another_type_of_key() -> None:
    receipt = parse_receipt(RAW)
    for name, key in [(ORIGIN, signer("nobody")), ("other.example", LOG_SIGNER)]:
        with refused("cose-receipt-other-log"):
            check_inclusion_receipt(receipt, LEAF, make_vkey(name, key.public))
    with refused("note-key-type"):
        check_inclusion_receipt(receipt, LEAF, CITY.witnesses[0].key)


def test_the_signature_of_a_checkpoint_is_none_of_a_receipt() -> None:
    note = CITY.log.sign(f"{ORIGIN}\n{SIZE}\n\n")
    forged = parse_receipt(changed(signature=note.signature))
    with refused("cose-receipt-bad-signature"):
        check_inclusion_receipt(forged, LEAF, LOG)


def test_a_signature_over_another_tree_of_the_same_size() -> None:
    frontier = Frontier()
    frontier.extend([bytes(32)] * SIZE)
    other = sign_root(frontier.root(), SIZE, LOG, LOG_SIGNER)
    with refused("cose-receipt-bad-signature"):
        check_inclusion_receipt(parse_receipt(changed(signature=other)), LEAF, LOG)


def test_one_kind_of_proof_does_not_stand_for_the_other() -> None:
    append = parse_receipt(make_receipt(consistency(4), LOG, SIGNATURE))
    with refused("cose-receipt-other-proof"):
        check_inclusion_receipt(append, LEAF, LOG)
    with refused("cose-receipt-other-proof"):
        check_consistency_receipt(parse_receipt(RAW), 4, CITY.root(0, 4), LOG)


# --- not well formed ---------------------------------------------------------------------------

UNPROTECTED = cbor2.loads(RAW[1:])[1]
INNER = UNPROTECTED[396][-1][0]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "cose-receipt-malformed"),
        (RAW[1:], "cose-receipt-malformed"),
        (RAW + b"\x00", "cbor-not-deterministic"),
        (RAW[:-1], "cbor-malformed"),
        (RAW + bytes(MAX_RECEIPT), "too-large"),
        (b"\xd2\x83\x40\xa0\xf6", "cose-receipt-malformed"),
        (b"\xd2\xa0", "cose-receipt-malformed"),
        (changed(payload=ROOT), "cose-receipt-malformed"),
        (changed(signature=b""), "cose-receipt-malformed"),
        (changed(signature=bytes(5_000)), "cose-receipt-malformed"),
        (changed(signature="text"), "cose-receipt-malformed"),
        (changed(b"\xa0"), "cose-receipt-malformed"),
        (changed(b"\x80"), "cose-receipt-malformed"),
        (changed(b"\xff"), "cbor-malformed"),
        (changed(header(_1=None)), "cose-receipt-malformed"),
        (changed(header(_1="EdDSA")), "cose-receipt-malformed"),
        (changed(header(_395=None)), "cose-receipt-malformed"),
        (changed(header(_395=True)), "cose-receipt-malformed"),
        (changed(header(_395=2)), "cose-receipt-structure"),
        (changed(b"\xa2" + header()[1:3] * 2), "cose-receipt-malformed"),  # a label twice
        (changed(header()[:1] + b"\x18\x01" + header()[2:]), "cose-receipt-malformed"),  # long form
        (changed(header() + b"\x00"), "cose-receipt-malformed"),
        (changed(unprotected={**UNPROTECTED, 99: 0}), "cose-receipt-malformed"),
        (changed(unprotected={395: 1}), "cose-receipt-malformed"),
        (changed(unprotected=[396]), "cose-receipt-malformed"),
        (changed(unprotected={396: {-1: [INNER], -2: [INNER]}}), "cose-receipt-malformed"),
        (changed(unprotected={396: {-1: [INNER, INNER]}}), "cose-receipt-malformed"),
        (changed(unprotected={396: {-1: []}}), "cose-receipt-malformed"),
        (changed(unprotected={396: {-1: INNER}}), "cose-receipt-malformed"),
        (changed(unprotected={396: {-1: [cbor2.loads(INNER)]}}), "cose-receipt-malformed"),
        (changed(unprotected={396: {-3: [INNER]}}), "cose-receipt-structure"),
        (changed(unprotected={396: {-1: [INNER + b"\x00"]}}), "cbor-not-deterministic"),
        (with_proof(SIZE, PROOF.index), "cose-receipt-malformed"),
        (with_proof(-1, PROOF.index, list(PROOF.path)), "cose-receipt-malformed"),
        (with_proof(SIZE, 1 << 63, list(PROOF.path)), "cose-receipt-malformed"),
        (with_proof(SIZE, True, list(PROOF.path)), "cose-receipt-malformed"),
        (with_proof(SIZE, PROOF.index, b"".join(PROOF.path)), "cose-receipt-malformed"),
        (with_proof(SIZE, PROOF.index, [bytes(31)]), "cose-receipt-malformed"),
        (with_proof(SIZE, PROOF.index, [bytes(32)] * 129), "cose-receipt-malformed"),
    ],
)  # fmt: skip
def test_not_well_formed(raw: bytes, code: str) -> None:
    with refused(code):
        parse_receipt(raw)


def test_a_shorter_integer_is_the_only_one() -> None:
    long_size = b"\x83\x18" + INNER[1:]  # the size, below 24, in two bytes
    with refused("cbor-not-deterministic"):
        parse_receipt(changed(unprotected={396: {-1: [long_size]}}))


def test_what_claims_to_be_a_receipt() -> None:
    assert is_receipt(RAW)
    for other in (b"", b"\xd2", LICENCE.statement, RAW[1:], RAW[:40], b"\xd2\x80", b"\xd2\x01"):
        assert not is_receipt(other)


# --- transparent statements --------------------------------------------------------------------


def test_receipts_are_put_in_and_taken_out() -> None:
    second = make_receipt(consistency(4), LOG, SIGNATURE)
    for receipts in [(RAW,), (RAW, second), (RAW,) * MAX_RECEIPTS]:
        whole = attach_receipts(LICENCE.statement, receipts)
        assert is_transparent(whole)
        assert not is_receipt(whole)
        assert cbor2.loads(whole[1:])[1] == {394: list(receipts)}
        assert detach_receipts(whole) == (LICENCE.statement, receipts)
    assert not is_transparent(LICENCE.statement)
    assert not is_transparent(RAW)


def test_receipts_are_attached_to_a_bare_statement_only() -> None:
    whole = attach_receipts(LICENCE.statement, [RAW])
    for statement, receipts in [
        (whole, [RAW]),
        (b"", [RAW]),
        (LICENCE.statement, []),
        (LICENCE.statement, [RAW] * (MAX_RECEIPTS + 1)),
    ]:
        with refused("cose-malformed"):
            attach_receipts(statement, receipts)


PARTS = cbor2.loads(LICENCE.statement[1:])


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([PARTS[0], {}, PARTS[2], PARTS[3]], "cose-malformed"),
        ([PARTS[0], {394: []}, PARTS[2], PARTS[3]], "cose-malformed"),
        ([PARTS[0], {394: RAW}, PARTS[2], PARTS[3]], "cose-malformed"),
        ([PARTS[0], {394: ["text"]}, PARTS[2], PARTS[3]], "cose-malformed"),
        ([PARTS[0], {394: [RAW], 99: 1}, PARTS[2], PARTS[3]], "cose-malformed"),
        ([PARTS[0], {394: [b""] * (MAX_RECEIPTS + 1)}, PARTS[2], PARTS[3]], "cose-malformed"),
        ([PARTS[0], [394], PARTS[2], PARTS[3]], "cose-malformed"),
        ([PARTS[0], {394: [RAW]}, None, PARTS[3]], "cose-malformed"),
        ([PARTS[0], {394: [RAW]}, PARTS[2]], "cose-malformed"),
        ([PARTS[0], {394: [bytes(400_000)]}, PARTS[2], PARTS[3]], "too-large"),
    ],
)
def test_no_transparent_statement(parts: list[object], code: str) -> None:
    with refused(code):
        detach_receipts(b"\xd2" + cbor_encode(parts))
    with refused("cose-malformed"):
        detach_receipts(byte_string(LICENCE.statement))


# --- judged ------------------------------------------------------------------------------------


def ledger_check(payload: str | bytes, **found: Any) -> tuple[Colour, Check]:
    verdict = judge(payload, CITY.trust(), NOW, **found)
    return verdict.colour, verdict.checks[LEDGER - 1]


def test_a_transparent_statement_is_judged_by_its_receipt() -> None:
    whole = attach_receipts(LICENCE.statement, [RAW])
    verdict = judge(whole, CITY.trust(), NOW)
    assert (verdict.colour, verdict.code) == (Colour.AMBER, "no-disclosure")
    assert verdict.checks[LEDGER - 1].detail == f"{LICENCE.index} / {SIZE}"
    assert verdict.record is not None
    assert (verdict.record.leaf, verdict.record.index) == (LEAF, LICENCE.index)


def test_a_receipt_beside_a_code() -> None:
    colour, check = ledger_check(LICENCE.qr(), receipt=RAW)
    assert (colour, check.outcome) == (Colour.GREEN, Outcome.PASSED)


def test_a_receipt_of_ours_that_does_not_hold_is_red() -> None:
    other = CITY.receipt(LICENCE.index + 1)
    for wrong in (other, changed(signature=bytes(64))):
        for payload, found in [
            (LICENCE.qr(), {"receipt": wrong}),
            (attach_receipts(LICENCE.statement, [wrong]), {}),
            (attach_receipts(LICENCE.statement, [wrong, RAW]), {}),
        ]:
            colour, check = ledger_check(payload, **found)
            assert (colour, check.code) == (Colour.RED, "cose-receipt-bad-signature")


def test_receipts_of_others_say_nothing() -> None:
    """Nor what cannot be read: nobody signed that it is there."""
    theirs = City("other.example")
    other = theirs.receipt(theirs.issue().index)
    for strange in (other, b"", changed(header(_15=None)), changed(header(_395=9))):
        whole = attach_receipts(LICENCE.statement, [strange])
        _, check = ledger_check(whole)
        assert (check.outcome, check.code) == (Outcome.UNCHECKED, "cose-receipt-other-log")
        _, check = ledger_check(attach_receipts(LICENCE.statement, [strange, RAW]))
        assert check.outcome is Outcome.PASSED
    _, check = ledger_check(LICENCE.qr(), receipt=make_receipt(consistency(4), LOG, SIGNATURE))
    assert (check.outcome, check.code) == (Outcome.UNCHECKED, "cose-receipt-other-log")


def test_a_tlog_proof_is_preferred() -> None:
    verdict = judge(CITY.transparent(LICENCE), CITY.trust(), NOW, receipt=b"not even read")
    assert verdict.checks[WITNESSES - 1].outcome is Outcome.PASSED


def test_a_malformed_transparent_statement_is_red() -> None:
    whole = attach_receipts(LICENCE.statement, [RAW])
    assert judge(whole[:-1], CITY.trust(), NOW).code == "cbor-malformed"


# --- the command -------------------------------------------------------------------------------


def verify(folder: Path, *names: str) -> tuple[int, dict[str, Any]]:
    out, err = io.StringIO(), io.StringIO()
    paths = [name if name.startswith("--") else str(folder / name) for name in names]
    code = run([*paths, "--trust", str(folder / "pack"), "--json"], io.BytesIO(), out, err, NOW)
    return code, json.loads(out.getvalue())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "pack": CITY.pack(),
        "code": LICENCE.qr().encode(),
        "statement": LICENCE.statement,
        "receipt": RAW,
        "receipt.b64": b64encode(RAW).encode(),
        "other": CITY.receipt(LICENCE.index + 1),
        "transparent": attach_receipts(LICENCE.statement, [RAW]),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["code", "--receipt", "receipt"], 0),
        (["code", "--receipt", "receipt.b64"], 0),
        (["statement", "--receipt", "receipt"], 3),
        (["transparent"], 3),
        (["code", "--receipt", "other"], 1),
        (["transparent", "--receipt", "other"], 1),
    ],
)
def test_the_command_reads_receipts(folder: Path, names: list[str], code: int) -> None:
    done, answer = verify(folder, *names)
    assert done == code
    checked = answer["checks"][LEDGER - 1]
    assert checked["outcome"] == ("failed" if code == 1 else "passed")


def test_a_receipt_alone_proves_nothing(folder: Path) -> None:
    for name in ("receipt", "receipt.b64"):
        done, answer = verify(folder, name)
        assert (done, answer["error"]["code"]) == (2, "cose-receipt-alone")
