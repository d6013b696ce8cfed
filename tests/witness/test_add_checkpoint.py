"""`add-checkpoint` as C2SP tlog-witness has it: each status, in the order of its checks."""

from pathlib import Path

from tests.witness.logs import NOW, GrowingLog, new_witness
from verifier.note import parse_note, verify_signatures


def test_cosigns(tmp_path: Path) -> None:
    log = GrowingLog().grow(3)
    witness = new_witness(tmp_path, log)
    answer = witness.add_checkpoint(log.request(0))
    assert answer.status == 200, answer
    note = parse_note(log.checkpoint() + answer.body)
    assert [v.timestamp for v in verify_signatures(note, witness.keys, at_least=2)] == [NOW, NOW]
    log.grow(4)
    assert witness.add_checkpoint(log.request(3)).status == 200
    assert witness.add_checkpoint(log.request(3)).body == b"7\n"
