"""`add-checkpoint` as C2SP tlog-witness has it: each status, in the order of its checks."""

from dataclasses import replace
from pathlib import Path

import pytest

from ledger.stores.witness import WitnessState
from ledger.witness import Answer, Witness, WitnessedLog, format_add_checkpoint, origin_hash
from ledger.witness.errors import WitnessSetupError
from ledger.witness.model import FORK, UNPROVEN
from ledger.witness.wire import MAX_REQUEST
from tests.witness.logs import (
    NOW,
    Clock,
    GrowingLog,
    new_state,
    new_witness,
    signer,
    witness_signers,
)
from verifier.checkpoint import Checkpoint, add_cosignatures
from verifier.codec import b64encode
from verifier.merkle import EMPTY_ROOT
from verifier.note import NoteSignature, parse_note, sign_note, verify_signatures
from verifier.split_view import check_split_view, make_split_view


def stamps(witness: Witness, note: bytes, answer: Answer) -> list[int]:
    """The times in the cosignatures of an answer, each of which holds."""
    assert answer.status == 200, answer
    verified = verify_signatures(parse_note(note + answer.body), witness.keys, at_least=2)
    return [one.timestamp for one in verified]


def state_of(witness: Witness) -> WitnessState:
    assert isinstance(witness.state, WitnessState)
    return witness.state


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code)
    if status != 409:
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.body.decode().startswith(f"{code}: ")


class TestCosigns:
    def test_with_every_key_of_the_witness(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        assert (
            stamps(witness, log.checkpoint(), witness.add_checkpoint(log.request(0))) == [NOW] * 2
        )
        log.grow(4)
        assert (
            stamps(witness, log.checkpoint(), witness.add_checkpoint(log.request(3))) == [NOW] * 2
        )

    def test_a_log_that_signs_with_two_keys(self, tmp_path: Path) -> None:
        log = GrowingLog(both=True).grow(2)
        witness = new_witness(tmp_path, log)
        assert witness.add_checkpoint(log.request(0)).status == 200
        note = parse_note(witness.checkpoint(origin_hash(log.origin)).body)
        assert len(note.signatures) == 4

    def test_the_empty_tree_and_what_grows_from_it(self, tmp_path: Path) -> None:
        log = GrowingLog()
        witness = new_witness(tmp_path, log)
        assert len(stamps(witness, log.checkpoint(), witness.add_checkpoint(log.request(0)))) == 2
        assert witness.add_checkpoint(log.request(0)).status == 200
        log.grow(5)
        assert witness.add_checkpoint(log.request(0)).status == 200

    def test_the_same_checkpoint_again_with_a_new_time(self, tmp_path: Path) -> None:
        log, clock = GrowingLog().grow(3), Clock()
        witness = new_witness(tmp_path, log, clock=clock)
        witness.add_checkpoint(log.request(0))
        clock.now += 60
        again = witness.add_checkpoint(log.request(3))
        assert stamps(witness, log.checkpoint(), again) == [NOW + 60] * 2

    def test_extension_lines_as_they_are(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        note = log.checkpoint(extensions=["extension one", "two"])
        assert len(
            stamps(witness, note, witness.add_checkpoint(format_add_checkpoint(0, [], note)))
        )

    def test_a_clock_set_back_sets_no_log_back(self, tmp_path: Path) -> None:
        log, other, clock = GrowingLog().grow(3), GrowingLog("other.example").grow(1), Clock()
        witness = new_witness(tmp_path, log, other, clock=clock)
        witness.add_checkpoint(log.request(0))
        clock.now -= 3600
        log.grow(1)
        later = witness.add_checkpoint(log.request(3))
        assert stamps(witness, log.checkpoint(), later) == [NOW] * 2
        first = witness.add_checkpoint(other.request(0))
        assert stamps(witness, other.checkpoint(), first) == [NOW - 3600] * 2

    @pytest.mark.parametrize("now", [0, -5])
    def test_never_with_the_time_zero(self, tmp_path: Path, now: int) -> None:
        log = GrowingLog().grow(1)
        witness = new_witness(tmp_path, log, clock=Clock(now))
        assert stamps(witness, log.checkpoint(), witness.add_checkpoint(log.request(0))) == [1, 1]

    def test_ignoring_signatures_of_others_and_keeping_none(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        forged = [
            NoteSignature("stranger.example", 7, b"x" * 64),
            NoteSignature(log.origin, 7, b"x" * 64),  # the log's name, another key id
            NoteSignature(witness.name, witness.keys[0].key_id, b"x" * 72),
        ]
        note = add_cosignatures(log.checkpoint(), forged)
        assert witness.add_checkpoint(format_add_checkpoint(0, [], note)).status == 200
        kept = parse_note(witness.checkpoint(origin_hash(log.origin)).body)
        assert len(kept.signatures) == 3
        verify_signatures(kept, [*log.witnessed.keys, *witness.keys], at_least=3)


class TestRefuses:
    def test_400_what_does_not_parse(self, tmp_path: Path) -> None:
        witness = new_witness(tmp_path, GrowingLog())
        refused(witness.add_checkpoint(b""), 400, "witness-request")
        refused(witness.add_checkpoint(b"\xff" * 90), 400, "witness-request")
        large = bytes(MAX_REQUEST + 1)
        refused(witness.add_checkpoint(large), 400, "witness-request-too-large")

    def test_404_an_unknown_log_even_with_a_wrong_old_size(self, tmp_path: Path) -> None:
        witness, log = new_witness(tmp_path, GrowingLog()), GrowingLog("other.example").grow(1)
        body = format_add_checkpoint(7, [], log.checkpoint())
        refused(witness.add_checkpoint(body), 404, "witness-log-unknown")

    def test_403_no_trusted_signature(self, tmp_path: Path) -> None:
        log, impostor = GrowingLog().grow(2), GrowingLog(seed=9).grow(2)
        witness = new_witness(tmp_path, log)
        refused(witness.add_checkpoint(impostor.request(0)), 403, "witness-log-signature")

    def test_403_before_400_of_the_old_size(self, tmp_path: Path) -> None:
        log, impostor = GrowingLog().grow(2), GrowingLog(seed=9).grow(2)
        witness = new_witness(tmp_path, log)
        for note, status in ((impostor.checkpoint(), 403), (log.checkpoint(), 400)):
            assert witness.add_checkpoint(format_add_checkpoint(3, [], note)).status == status

    def test_403_a_trusted_key_whose_signature_fails(self, tmp_path: Path) -> None:
        log = GrowingLog(both=True).grow(2)
        witness = new_witness(tmp_path, log)
        good = parse_note(log.checkpoint())
        bad = replace(good.signatures[1], signature=bytes(8 + 2420))
        note = add_cosignatures(log.checkpoint(), [bad])
        answer = witness.add_checkpoint(format_add_checkpoint(0, [], note))
        refused(answer, 403, "witness-log-signature")

    def test_403_a_signature_that_cannot_be_read(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(2)
        witness = new_witness(tmp_path, log)
        for tail in (b"AB==\n", b"\n"):  # spare bits; shorter than a key id
            note = log.checkpoint() + "\u2014 other.example AAA".encode() + tail
            answer = witness.add_checkpoint(format_add_checkpoint(0, [], note))
            refused(answer, 403, "witness-log-signature")

    def test_403_one_signature_where_all_keys_must_sign(self, tmp_path: Path) -> None:
        log = GrowingLog(both=True).grow(2)
        witness = new_witness(tmp_path)
        state_of(witness).add_log(replace(log.witnessed, at_least=2))
        one = sign_note(parse_note(log.checkpoint()).text, log.signers[:1])
        answer = witness.add_checkpoint(format_add_checkpoint(0, [], one))
        refused(answer, 403, "witness-log-signature")
        assert witness.add_checkpoint(log.request(0)).status == 200

    def test_400_an_old_size_above_the_new(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        body = format_add_checkpoint(4, [], log.checkpoint())
        refused(witness.add_checkpoint(body), 400, "witness-old-size")

    @pytest.mark.parametrize("old", [0, 2, 5])
    def test_409_another_old_size_with_the_size_on_record(self, tmp_path: Path, old: int) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        witness.add_checkpoint(log.request(0))
        log.grow(3)
        answer = witness.add_checkpoint(log.request(old))
        assert answer[:3] == (409, "text/x.tlog.size", b"3\n")
        assert state_of(witness).evidence() == []

    def test_409_before_the_first_checkpoint(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        assert witness.add_checkpoint(log.request(2))[:3] == (409, "text/x.tlog.size", b"0\n")

    def test_409_before_the_proof_is_looked_at(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        witness.add_checkpoint(log.request(0))
        body = format_add_checkpoint(1, [b"x" * 32] * 9, log.checkpoint())
        assert witness.add_checkpoint(body).status == 409

    @pytest.mark.parametrize("proof", [[], [b"x" * 32]])
    def test_409_another_root_of_the_size_on_record(
        self, tmp_path: Path, proof: list[bytes]
    ) -> None:
        log = GrowingLog().grow(3)
        witness, fork = new_witness(tmp_path, log), log.fork(1).grow(2, b"f")
        witness.add_checkpoint(log.request(0))
        body = format_add_checkpoint(3, proof, fork.checkpoint())
        assert witness.add_checkpoint(body)[:3] == (409, "text/x.tlog.size", b"3\n")

    def test_422_a_wrong_proof(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        witness.add_checkpoint(log.request(0))
        log.grow(4)
        good = log.proof(3)
        for proof in ([], good[:-1], [*good, good[0]], [good[1], good[0], *good[2:]]):
            body = format_add_checkpoint(3, proof, log.checkpoint())
            refused(witness.add_checkpoint(body), 422, "witness-inconsistent")
        assert witness.add_checkpoint(log.request(3)).status == 200

    @pytest.mark.parametrize("recorded", [False, True])
    def test_422_a_proof_from_the_empty_tree(self, tmp_path: Path, recorded: bool) -> None:
        log = GrowingLog()
        witness = new_witness(tmp_path, log)
        if recorded:
            witness.add_checkpoint(log.request(0))
        log.grow(1)
        body = format_add_checkpoint(0, [b"x" * 32], log.checkpoint())
        refused(witness.add_checkpoint(body), 422, "witness-inconsistent")
        assert state_of(witness).evidence() == []

    def test_422_a_proof_from_a_tree_to_itself(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        witness.add_checkpoint(log.request(0))
        body = format_add_checkpoint(3, [b"x" * 32], log.checkpoint())
        refused(witness.add_checkpoint(body), 422, "witness-inconsistent")
        assert state_of(witness).evidence() == []

    def test_422_an_empty_tree_with_another_root(self, tmp_path: Path) -> None:
        log = GrowingLog()
        witness = new_witness(tmp_path, log)
        text = Checkpoint(log.origin, 0, EMPTY_ROOT).body()
        wrong = sign_note(text.replace(b64encode(EMPTY_ROOT), b64encode(b"x" * 32)), log.signers)
        answer = witness.add_checkpoint(format_add_checkpoint(0, [], wrong))
        refused(answer, 422, "witness-inconsistent")
        assert witness.add_checkpoint(log.request(0)).status == 200

    def test_what_is_refused_is_not_recorded(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness, fork = new_witness(tmp_path, log), log.fork(2).grow(4, b"f")
        witness.add_checkpoint(log.request(0))
        before = state_of(witness).recorded(log.origin)
        for old in (0, 2, 3):
            assert witness.add_checkpoint(fork.request(old)).status in (409, 422)
        assert state_of(witness).recorded(log.origin) == before


class TestEvidence:
    def test_one_size_two_roots(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness, fork = new_witness(tmp_path, log), log.fork(1).grow(2, b"f")
        witness.add_checkpoint(log.request(0))
        witness.add_checkpoint(fork.request(0))  # the old size does not even fit
        witness.add_checkpoint(fork.request(3))  # and again: it is kept once
        (found,) = state_of(witness).evidence()
        assert (found.kind, found.size, found.root, found.seen) == (FORK, 3, fork.root(), NOW)
        view = make_split_view((found.note, found.against), log.witnessed.keys, found.hashes)
        assert check_split_view(view).origin == log.origin

    @pytest.mark.parametrize(("size", "kind"), [(3, FORK), (4, UNPROVEN)])
    def test_a_proof_of_another_history(self, tmp_path: Path, size: int, kind: str) -> None:
        """From a power of two the proof does not hold the old root, and convicts nobody."""
        log = GrowingLog().grow(size)
        witness, fork = new_witness(tmp_path, log), log.fork(1).grow(size + 2, b"f")
        witness.add_checkpoint(log.request(0))
        assert witness.add_checkpoint(fork.request(size)).status == 422
        (found,) = state_of(witness).evidence()
        assert (found.kind, found.size) == (kind, size + 3)
        if kind == FORK:
            view = make_split_view((found.note, found.against), log.witnessed.keys, found.hashes)
            assert check_split_view(view).second_at_first == fork.root(size)

    def test_hashes_that_lead_nowhere_convict_nobody(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        witness.add_checkpoint(log.request(0))
        log.grow(3)
        made_up = [b"x" * 32] * len(log.proof(3))
        answer = witness.add_checkpoint(format_add_checkpoint(3, made_up, log.checkpoint()))
        refused(answer, 422, "witness-inconsistent")
        assert [one.kind for one in state_of(witness).evidence()] == [UNPROVEN]

    def test_a_wrong_proof_of_an_honest_log_is_forgotten_when_a_right_one_comes(
        self, tmp_path: Path
    ) -> None:
        log = GrowingLog().grow(3)
        witness = new_witness(tmp_path, log)
        witness.add_checkpoint(log.request(0))
        log.grow(2)
        witness.add_checkpoint(format_add_checkpoint(3, [b"x" * 32], log.checkpoint()))
        assert [one.kind for one in state_of(witness).evidence()] == [UNPROVEN]
        witness.add_checkpoint(log.request(3))
        assert state_of(witness).evidence() == []

    def test_nothing_is_kept_without_the_log_s_signature(self, tmp_path: Path) -> None:
        log, impostor = GrowingLog().grow(3), GrowingLog(seed=9).grow(3, b"f")
        witness = new_witness(tmp_path, log)
        witness.add_checkpoint(log.request(0))
        assert witness.add_checkpoint(impostor.request(3)).status == 403
        assert state_of(witness).evidence() == []


class TestKeys:
    def test_that_do_not_cosign_are_refused(self, tmp_path: Path) -> None:
        state = new_state(tmp_path)
        for signers in (
            [],
            [signer(1, type=0x01)],
            [signer(1), signer(1)],
            [signer(1), signer(1, "other.example", 0x06)],
        ):
            with pytest.raises(WitnessSetupError, match="witness-name"):
                Witness(state, signers, Clock())

    def test_of_a_log_differ_and_are_enough(self) -> None:
        key = witness_signers()[0].key
        for keys, least in (((), 1), ((key,), 0), ((key,), 2), ((key, key), 1)):
            with pytest.raises(WitnessSetupError, match="witness-log-keys"):
                WitnessedLog("log.example", keys, least)

    def test_a_broken_signer_leaves_the_record_alone(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(1)
        witness = new_witness(tmp_path, log)
        broken = BrokenSigner()
        witness._signers = (*witness._signers, broken)  # type: ignore[assignment]
        with pytest.raises(OSError, match="token removed"):
            witness.add_checkpoint(log.request(0))
        assert state_of(witness).recorded(log.origin) is None
        witness._signers = witness._signers[:2]
        assert witness.add_checkpoint(log.request(0)).status == 200


class BrokenSigner:
    def sign(self, text: str, timestamp: int) -> NoteSignature:
        raise OSError("token removed")
