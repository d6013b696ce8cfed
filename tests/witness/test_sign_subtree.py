"""`sign-subtree`: only what this witness has cosigned, and nothing but its own ML-DSA-44 key."""

from pathlib import Path

import pytest

from ledger.witness import Answer, Witness, format_sign_subtree
from tests.verifier.test_subtree import subtree_proof
from tests.verifier.twin import mth
from tests.witness.logs import Clock, GrowingLog, new_state, new_witness, signer
from verifier.checkpoint import Checkpoint, add_cosignatures
from verifier.note import NoteSignature, parse_note, sign_note
from verifier.subtree import verify_subtree


@pytest.fixture
def log() -> GrowingLog:
    return GrowingLog().grow(14)


@pytest.fixture
def witness(tmp_path: Path, log: GrowingLog) -> Witness:
    return new_witness(tmp_path, log)


def cosigned(witness: Witness, log: GrowingLog) -> bytes:
    """The log's checkpoint with what the witness answered."""
    answer = witness.add_checkpoint(log.request(0))
    assert answer.status == 200
    return log.checkpoint() + answer.body


def asked(witness: Witness, log: GrowingLog, note: bytes, start: int = 8, end: int = 13) -> Answer:
    d = log.entries
    proof = subtree_proof(start, end, d)
    return witness.sign_subtree(format_sign_subtree(start, end, mth(d[start:end]), proof, note))


@pytest.mark.parametrize(("start", "end"), [(0, 14), (0, 5), (8, 13), (8, 14), (4, 8), (13, 14)])
def test_signs(witness: Witness, log: GrowingLog, start: int, end: int) -> None:
    answer = asked(witness, log, cosigned(witness, log), start, end)
    assert answer.status == 200, answer
    (line,) = parse_note(b"-\n\n" + answer.body).signatures
    root = mth(log.entries[start:end])
    key = witness.keys[1]
    verify_subtree(key, line, origin=log.origin, start=start, end=end, root=root)


def test_of_a_checkpoint_that_is_not_the_latest_any_more(witness: Witness, log: GrowingLog) -> None:
    note, earlier = cosigned(witness, log), list(log.entries)
    log.grow(9)
    assert witness.add_checkpoint(log.request(14)).status == 200
    log.entries = earlier
    assert asked(witness, log, note).status == 200


def test_asks_no_state_and_leaves_none(witness: Witness, log: GrowingLog) -> None:
    note = cosigned(witness, log)
    before = witness.state.recorded(log.origin)
    asked(witness, log, note)
    assert witness.state.recorded(log.origin) == before


def test_does_not_look_at_signatures_of_others_over_the_subtree(
    witness: Witness, log: GrowingLog
) -> None:
    d, note = log.entries, cosigned(witness, log)
    lines = [NoteSignature("gate.example", 5, bytes(2428))]
    body = format_sign_subtree(8, 13, mth(d[8:13]), subtree_proof(8, 13, d), note, lines)
    assert witness.sign_subtree(body).status == 200


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code)
    assert answer.body.decode().startswith(f"{code}: ")


class TestRefuses:
    def test_400_what_does_not_parse(self, witness: Witness) -> None:
        refused(witness.sign_subtree(b"subtree 0 1\n\n"), 400, "witness-request")

    @pytest.mark.parametrize(("start", "end"), [(3, 3), (3, 2), (8, 15), (1, 3), (4, 10)])
    def test_400_no_subtree_of_the_checkpoint(
        self, witness: Witness, log: GrowingLog, start: int, end: int
    ) -> None:
        note = cosigned(witness, log)
        body = format_sign_subtree(start, end, bytes(32), [], note)
        refused(witness.sign_subtree(body), 400, "witness-subtree")

    def test_404_an_unknown_log(self, witness: Witness, log: GrowingLog) -> None:
        note = cosigned(witness, log)
        witness.state.drop_log(log.origin)  # type: ignore[attr-defined]
        refused(asked(witness, log, note), 404, "witness-log-unknown")

    def test_404_where_there_is_no_ml_dsa_44_key(self, tmp_path: Path, log: GrowingLog) -> None:
        folder = tmp_path / "other"
        folder.mkdir()
        one = [signer(200)]
        witness = Witness(new_state(folder, log, signers=one), one, Clock())
        refused(asked(witness, log, cosigned(witness, log)), 404, "witness-path")

    def test_403_a_checkpoint_without_signatures(self, witness: Witness, log: GrowingLog) -> None:
        note = parse_note(cosigned(witness, log)).text.encode()
        refused(asked(witness, log, note), 403, "witness-not-cosigned")

    def test_403_the_log_s_own_signature_alone(self, witness: Witness, log: GrowingLog) -> None:
        cosigned(witness, log)
        refused(asked(witness, log, log.checkpoint()), 403, "witness-not-cosigned")

    def test_403_an_ed25519_cosignature_alone(self, witness: Witness, log: GrowingLog) -> None:
        """Or whoever breaks Ed25519 would have subtrees signed with ML-DSA-44."""
        note = parse_note(cosigned(witness, log))
        ed25519 = [line for line in note.signatures if line.key_id == witness.keys[0].key_id]
        alone = add_cosignatures(log.checkpoint(), ed25519)
        refused(asked(witness, log, alone), 403, "witness-not-cosigned")

    def test_403_the_cosignature_of_another_checkpoint(
        self, witness: Witness, log: GrowingLog
    ) -> None:
        lines = parse_note(cosigned(witness, log)).signatures
        log.grow(1)
        other = add_cosignatures(log.checkpoint(), lines[1:])
        refused(asked(witness, log, other), 403, "witness-not-cosigned")

    def test_403_the_cosignature_of_another_log(self, witness: Witness, log: GrowingLog) -> None:
        cosigned(witness, log)
        other = GrowingLog("other.example")
        other.entries = log.entries
        witness.state.add_log(other.witnessed)  # type: ignore[attr-defined]
        theirs = parse_note(cosigned(witness, other))
        text = Checkpoint(log.origin, 14, log.root()).body()
        mixed = add_cosignatures(sign_note(text, log.signers), theirs.signatures[1:])
        refused(asked(witness, log, mixed), 403, "witness-not-cosigned")

    def test_422_a_wrong_proof(self, witness: Witness, log: GrowingLog) -> None:
        d, note = log.entries, cosigned(witness, log)
        good = subtree_proof(8, 13, d)
        for proof, root in (
            ([], mth(d[8:13])),
            (good[:-1], mth(d[8:13])),
            ([*good, bytes(32)], mth(d[8:13])),
            (good[::-1], mth(d[8:13])),
            (good, mth(d[8:12])),
        ):
            body = format_sign_subtree(8, 13, root, proof, note)
            refused(witness.sign_subtree(body), 422, "witness-subtree-proof")
