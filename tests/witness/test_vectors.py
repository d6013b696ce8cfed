"""Logs and requests that nobody here wrote: torchwood's witness, Tessera's log."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.witness import Witness, WitnessedLog, format_add_checkpoint, origin_hash
from tests.verifier.test_tessera_log import VKEY, entries
from tests.verifier.twin import proof
from tests.witness.logs import Clock, new_state, signer, witness_signers
from verifier.note import make_vkey, parse_note, parse_vkey, verify_signatures

NAME = "example.com/witness"
SEQUENCE = "vectors/witness/add-checkpoint-sequence.json"


def test_torchwood_s_sequence(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    """Its unknown log was answered 403 before the specification was published; it is 404."""
    told = json.loads(shared(SEQUENCE).read_text(encoding="utf-8"))
    key = make_vkey(told["origin"], bytes.fromhex(told["log_ed25519_pub_hex"]))
    signers = [signer(200, NAME), signer(200, NAME, 0x06)]
    state = new_state(tmp_path, signers=signers)
    state.add_log(WitnessedLog(told["origin"], (key,)))
    witness = Witness(state, signers, Clock())
    statuses = []
    for step in told["sequence"]:
        answer = witness.add_checkpoint(step["request_body"].encode())
        statuses.append(answer.status)
        (expected,) = step["asserts"]
        if "unknown log" in expected:
            assert (step["status"], answer.status) == (403, 404)
            continue
        assert answer.status == step["status"], expected
        if expected.startswith("body == "):
            assert answer.body == json.loads(expected.removeprefix("body == ")).encode()
        elif answer.status == 200:
            assert expected == f'body contains "\u2014 {NAME}"'
            note = step["request_body"].encode().split(b"\n\n", 1)[1]
            verify_signatures(parse_note(note + answer.body), witness.keys, at_least=2)
    assert statuses == [200, 403, 404, 422, 422, 200, 409, 200, 409]


@pytest.mark.parametrize("step", [1, 2, 5, 15])
def test_tessera_s_log_from_its_empty_tree_on(
    tmp_path: Path, shared: Callable[[str], Path], step: int
) -> None:
    folder = shared("vectors/tessera-posix-log")
    key = parse_vkey(VKEY)
    state = new_state(tmp_path)
    state.add_log(WitnessedLog(key.name, (key,)))
    witness = Witness(state, witness_signers(), Clock())
    old = 0
    for size in range(0, 16, step):
        note = (folder / f"checkpoint.{size}").read_bytes()
        hashes = proof(old, entries(folder, size)) if old else []
        answer = witness.add_checkpoint(format_add_checkpoint(old, hashes, note))
        assert answer.status == 200, (size, answer)
        verify_signatures(parse_note(note + answer.body), [key, *witness.keys], at_least=3)
        old = size
    shown = witness.checkpoint(origin_hash(key.name))
    assert parse_note(shown.body).text == parse_note(note).text
