"""Proofs of logging: both forms, each check, and the rebuilding of the checkpoint."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier import twin
from tests.verifier.helpers import ORIGIN, cosigned, frontier, refused, signer, witness
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.codec import cbor_decode, cbor_encode
from verifier.errors import Refused
from verifier.merkle import MAX_SIZE
from verifier.note import NoteSignature, NoteSigner
from verifier.policy import Policy, parse_policy
from verifier.proof import (
    MAX_EXTRA,
    TlogProof,
    check_proof,
    format_proof,
    parse_proof,
    proof_from_cbor,
    proof_to_cbor,
)

LOG = signer(1)
WITNESSES = [witness(i) for i in (11, 12, 13)]
POLICY = parse_policy(
    "".join(f"witness w{i} {who.key.text()}\n" for i, who in enumerate(WITNESSES))
    + "group g 2 w0 w1 w2\nquorum g\n"
)
ENTRIES = twin.entries(37)
HEAD = Checkpoint(ORIGIN, 37, frontier(ENTRIES).root())
NOTE = cosigned(HEAD, LOG, {who: 1_700_000_000 + i for i, who in enumerate(WITNESSES)})
ONE_WITNESS = cosigned(HEAD, LOG, {WITNESSES[0]: 1})


def prove(index: int, note: bytes = NOTE, extra: bytes = b"") -> TlogProof:
    return TlogProof(index, tuple(twin.path(index, ENTRIES)), note, extra)


PROOF = prove(5)
TEXT = format_proof(PROOF)


def cbor() -> list[Any]:
    value: list[Any] = proof_to_cbor(PROOF)
    return value


@pytest.mark.parametrize("index", range(len(ENTRIES)))
def test_every_entry_is_proved(index: int) -> None:
    proof = prove(index)
    assert check_proof(proof, ENTRIES[index], LOG.key, POLICY) == HEAD
    assert parse_proof(format_proof(proof)) == proof
    assert proof_from_cbor(proof_to_cbor(proof)) == proof


def test_text_form_of_the_specification() -> None:
    lines = format_proof(prove(5, extra=b"hello")).split(b"\n")
    assert lines[:3] == [b"c2sp.org/tlog-proof@v1", b"extra aGVsbG8=", b"index 5"]
    assert len(lines[3]) == len(lines[8]) == 44
    assert lines[9] == b""
    assert b"\n".join(lines[10:]) == NOTE


def test_a_log_of_one_entry_needs_no_hashes() -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, frontier([b"only"]).root()), [LOG])
    proof = TlogProof(0, (), note)
    assert format_proof(proof) == b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + note
    assert parse_proof(format_proof(proof)) == proof
    assert check_proof(proof, b"only", LOG.key, None).size == 1


def test_check_1_the_log_signed() -> None:
    with refused("note-unsigned"):
        check_proof(PROOF, ENTRIES[5], signer(2).key, None)
    with refused("note-bad-signature"):
        check_proof(prove(5, NOTE.replace(b"\n37\n", b"\n38\n")), ENTRIES[5], LOG.key, None)
    with refused("note-malformed"):
        check_proof(prove(5, b"nothing"), ENTRIES[5], LOG.key, None)
    elsewhere = signer(1, "other.example")
    note = cosigned(HEAD, LOG, {}) + elsewhere.sign(HEAD.body()).line().encode()
    with refused("checkpoint-origin"):
        check_proof(prove(5, note), ENTRIES[5], elsewhere.key, None)


def test_check_2_the_witnesses_saw_it() -> None:
    proof = prove(5, ONE_WITNESS)
    assert check_proof(proof, ENTRIES[5], LOG.key, None) == HEAD
    with refused("policy-quorum-not-met"):
        check_proof(proof, ENTRIES[5], LOG.key, POLICY)


def test_check_3_the_entry_is_there() -> None:
    with refused("merkle-root-mismatch"):
        check_proof(PROOF, ENTRIES[6], LOG.key, POLICY)
    with refused("merkle-root-mismatch"):
        check_proof(TlogProof(4, PROOF.hashes, NOTE), ENTRIES[5], LOG.key, POLICY)
    with refused("merkle-root-mismatch"):
        swapped = (*PROOF.hashes[1::-1], *PROOF.hashes[2:])
        check_proof(TlogProof(5, swapped, NOTE), ENTRIES[5], LOG.key, POLICY)
    with refused("merkle-proof-length"):
        check_proof(TlogProof(5, PROOF.hashes[1:], NOTE), ENTRIES[5], LOG.key, POLICY)
    with refused("merkle-out-of-range"):
        check_proof(TlogProof(37, PROOF.hashes, NOTE), ENTRIES[5], LOG.key, POLICY)


def test_an_interior_node_is_not_an_entry() -> None:
    """A proof that starts one level up does not prove the pair of hashes it starts from."""
    note = sign_checkpoint(Checkpoint(ORIGIN, 4, frontier(ENTRIES[:4]).root()), [LOG])
    pair = b"".join(twin.mth([entry]) for entry in ENTRIES[:2])
    with refused("merkle-proof-length", "merkle-root-mismatch"):
        check_proof(TlogProof(0, (twin.mth(ENTRIES[2:4]),), note), pair, LOG.key, None)


def test_extra_data_changes_nothing() -> None:
    proof = parse_proof(format_proof(prove(5, extra=b"\0" * MAX_EXTRA)))
    assert check_proof(proof, ENTRIES[5], LOG.key, POLICY) == HEAD


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: b"", "proof-malformed"),
        (lambda t: t.replace(b"@v1", b"@v2"), "proof-malformed"),
        (lambda t: b"\n" + t, "proof-malformed"),
        (lambda t: b" " + t, "proof-malformed"),
        (lambda t: t.replace(b"\nindex", b"\nextra \nindex"), "proof-malformed"),
        (lambda t: t.replace(b"\nindex", b"\nextra\nindex"), "proof-malformed"),
        (lambda t: t.replace(b"\nindex", b"\nextra YQ==\nextra YQ==\nindex"), "proof-malformed"),
        (lambda t: t.replace(b"\nindex", b"\nextra YR==\nindex"), "base64-malformed"),
        (lambda t: t.replace(b"\nindex", b"\nextra  YQ==\nindex"), "base64-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nindex 5\nextra YQ==\n"), "base64-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\n"), "proof-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nIndex 5\n"), "proof-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nindex 05\n"), "decimal-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nindex +5\n"), "decimal-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nindex -5\n"), "decimal-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nindex 5 \n"), "decimal-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nindex \n"), "decimal-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nindex 5\nAAAA\n"), "proof-malformed"),
        (lambda t: t.replace(b"\nindex 5\n", b"\nindex 5\n" + b"A" * 44 + b"\n"), "too-large"),
        (lambda t: t.replace(b"=\n", b"\n", 1), "base64-malformed"),
        (lambda t: t.replace(b"=\n", b"= \n", 1), "too-large"),
        (lambda t: t.replace(b"\n", b"\r\n"), "proof-malformed"),
        (lambda t: t.replace(b"\n\n", b"\n \n", 1), "base64-malformed"),
        (lambda t: t.replace(b"index 5", b"index \xff"), "proof-malformed"),
        (lambda t: t.partition(b"\n\n")[0] + b"\n\n", "proof-malformed"),
        (lambda t: t.partition(b"\n\n")[0] + b"\n", "proof-malformed"),
        (
            lambda t: t.replace(b"index 5\n", b"index 5\n" + (b"A" * 43 + b"=\n") * 60),
            "proof-malformed",
        ),
        (lambda t: t + b"x" * (2 << 20), "too-large"),
    ],
)
def test_what_is_not_a_proof(change: Callable[[bytes], bytes], code: str) -> None:
    assert change(TEXT) != TEXT
    with refused(code):
        parse_proof(change(TEXT))


@given(st.data())
def test_any_changed_byte_of_the_text_is_refused(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(TEXT) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != TEXT[position]))
    changed = TEXT[:position] + bytes([byte]) + TEXT[position + 1 :]
    all_three = parse_policy(POLICY.text().replace("group g 2", "group g 3"))
    with pytest.raises(Refused):
        check_proof(parse_proof(changed), ENTRIES[5], LOG.key, all_three)


@pytest.mark.parametrize(
    "parts",
    [
        (-1, (), NOTE, b""),
        (MAX_SIZE + 1, (), NOTE, b""),
        (0, (bytes(31),), NOTE, b""),
        (0, (bytes(32),) * 64, NOTE, b""),
        (0, (), b"", b""),
        (0, (), bytes((1 << 20) + 1), b""),
    ],
)
def test_what_cannot_be_a_proof(parts: tuple[int, tuple[bytes, ...], bytes, bytes]) -> None:
    with refused("proof-malformed"):
        TlogProof(*parts)


def test_extra_data_is_bounded() -> None:
    with refused("too-large"):
        TlogProof(0, (), NOTE, bytes(MAX_EXTRA + 1))


def test_cbor_form() -> None:
    value = cbor()
    index, path, (size, root, lines) = value
    assert (index, path, size, root) == (5, b"".join(PROOF.hashes), 37, HEAD.root)
    assert [name for name, _ in lines] == [ORIGIN, *(who.name for who in WITNESSES)]
    assert [len(data) for _, data in lines] == [4 + 64, 76, 76, 76]
    data = cbor_encode(value)
    assert HEAD.body().encode() not in data
    assert b"\n" + str(HEAD.size).encode() + b"\n" not in data
    rebuilt = proof_from_cbor(cbor_decode(data, max_bytes=4096))
    assert rebuilt.checkpoint == NOTE
    assert check_proof(rebuilt, ENTRIES[5], LOG.key, POLICY) == HEAD


@given(st.data())
def test_any_changed_byte_of_the_cbor_is_refused(data: st.DataObject) -> None:
    encoded = cbor_encode(cbor())
    position = data.draw(st.integers(0, len(encoded) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != encoded[position]))
    changed = encoded[:position] + bytes([byte]) + encoded[position + 1 :]
    all_three = parse_policy(POLICY.text().replace("group g 2", "group g 3"))
    with pytest.raises(Refused):
        _open_cbor(changed, all_three)


def _open_cbor(data: bytes, policy: Policy) -> None:
    proof = proof_from_cbor(cbor_decode(data, max_bytes=4096))
    check_proof(proof, ENTRIES[5], LOG.key, policy)


def _put(*path: int, value: object) -> Callable[[list[Any]], object]:
    """Replace one part of the CBOR form."""

    def change(whole: list[Any]) -> object:
        inner = whole
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        return whole

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda value: None, "proof-malformed"),
        (lambda value: {}, "proof-malformed"),
        (lambda value: b"text", "proof-malformed"),
        (lambda value: value[:2], "proof-malformed"),
        (lambda value: [*value, b""], "proof-malformed"),
        (_put(0, value=True), "proof-malformed"),
        (_put(0, value=-1), "proof-malformed"),
        (_put(0, value=5.0), "proof-malformed"),
        (_put(0, value="5"), "proof-malformed"),
        (_put(0, value=MAX_SIZE + 1), "proof-malformed"),
        (_put(1, value=[]), "proof-malformed"),
        (_put(1, value="x" * 32), "proof-malformed"),
        (_put(1, value=bytes(31)), "proof-malformed"),
        (_put(1, value=bytes(33)), "proof-malformed"),
        (_put(1, value=None), "proof-malformed"),
        (_put(1, value=bytes(32 * 64)), "proof-malformed"),
        (_put(2, value=[37, HEAD.root]), "proof-malformed"),
        (_put(2, 0, value=True), "proof-malformed"),
        (_put(2, 0, value="37"), "proof-malformed"),
        (_put(2, 0, value=-1), "checkpoint-malformed"),
        (_put(2, 0, value=0), "checkpoint-malformed"),
        (_put(2, 1, value=bytes(31)), "checkpoint-malformed"),
        (_put(2, 1, value="x" * 32), "proof-malformed"),
        (_put(2, 2, value=[]), "proof-malformed"),
        (_put(2, 2, value=None), "proof-malformed"),
        (_put(2, 2, value=[["name", b"12345"]] * 65), "proof-malformed"),
        (_put(2, 2, 0, value=[ORIGIN]), "proof-malformed"),
        (_put(2, 2, 0, value=[ORIGIN, b"1234"]), "proof-malformed"),
        (_put(2, 2, 0, value=[ORIGIN, "12345"]), "proof-malformed"),
        (_put(2, 2, 0, value=["two words", b"12345"]), "note-key-name"),
        (_put(2, 2, 1, value=[f"x\n\n\u2014 {ORIGIN}", b"12345"]), "note-key-name"),
        (_put(2, 2, 0, 0, value=b"origin"), "proof-malformed"),
        (_put(2, 2, 0, 0, value=""), "checkpoint-malformed"),
        (_put(2, 2, 0, 0, value=f"{ORIGIN}\n37"), "checkpoint-malformed"),
    ],
)
def test_what_is_not_a_cbor_proof(change: Callable[[list[Any]], object], code: str) -> None:
    value = change(cbor())
    with refused(code):
        proof_from_cbor(value)


def test_what_the_cbor_form_has_no_room_for() -> None:
    with refused("proof-not-compact"):
        proof_to_cbor(prove(5, extra=b"x"))
    extended = Checkpoint(ORIGIN, 37, HEAD.root, ("more",))
    with refused("proof-not-compact"):
        proof_to_cbor(prove(5, sign_checkpoint(extended, [LOG])))
    with refused("note-malformed"):
        proof_to_cbor(prove(5, b"nothing"))
    text, _, lines = NOTE.partition(b"\n\n")
    turned = b"\n".join(reversed(lines.split(b"\n")[:-1])) + b"\n"
    with refused("proof-not-compact"):
        proof_to_cbor(prove(5, text + b"\n\n" + turned))


@given(
    st.integers(1, MAX_SIZE),
    st.lists(st.binary(min_size=32, max_size=32), max_size=20),
    st.lists(st.builds(NoteSignature, st.just("a"), st.integers(0, 9), st.just(b"s")), max_size=5),
)
def test_cbor_there_and_back(size: int, hashes: list[bytes], others: list[NoteSignature]) -> None:
    signers: list[NoteSigner] = [LOG]
    note = sign_checkpoint(Checkpoint(ORIGIN, size, bytes(32)), signers)
    note += b"".join(line.line().encode() for line in others)
    proof = TlogProof(size - 1, tuple(hashes), note)
    encoded = cbor_encode(proof_to_cbor(proof))
    assert proof_from_cbor(cbor_decode(encoded, max_bytes=8192)) == proof
