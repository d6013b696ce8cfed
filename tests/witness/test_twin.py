"""Random requests of growing and forking logs, against a witness that keeps all the entries."""

import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.witness import Witness, format_add_checkpoint
from ledger.witness.model import FORK, UNPROVEN
from tests.witness.logs import Clock, GrowingLog, new_state, signer
from verifier.merkle import EMPTY_ROOT
from verifier.note import parse_note, verify_signatures

MOST = 20
BRANCHES = ((20, b""), (4, b"x"), (7, b"y"), (0, b"z"))
"""Where another history of the same log begins, and the mark of its entries."""


class Twin:
    """A witness by definition: of each log it keeps all the entries it has cosigned.

    It cosigns a tree whose entries begin with those it has, told to be that many.
    """

    def __init__(self) -> None:
        self.seen: dict[str, list[bytes]] = {}

    def status(self, log: GrowingLog, size: int, old: int, *, signed: bool, proved: bool) -> int:
        seen = self.seen.get(log.origin, [])
        presented = log.entries[:size]
        if not signed:
            return 403
        if old > size:
            return 400
        if old != len(seen) or (old == size and presented != seen):
            return 409
        if not proved or presented[:old] != seen:
            return 422
        self.seen[log.origin] = presented
        return 200


step = st.tuples(
    st.sampled_from(["log.example/l1", "log.example/l2"]),
    st.sampled_from(BRANCHES),
    st.integers(0, MOST),  # the size presented, or with the next, what is added to the one known
    st.booleans(),
    st.sampled_from(["known", "known", "known", "zero", "size", "any"]),
    st.sampled_from(["right", "right", "right", "more", "less", "other"]),
    st.sampled_from([True, True, True, True, True, False]),
)


@settings(max_examples=30)
@given(st.lists(step, max_size=14), st.data())
def test_decides_as_the_twin(
    steps: list[tuple[str, tuple[int, bytes], int, bool, str, str, bool]], data: st.DataObject
) -> None:
    signers = [signer(200)]
    twin, clock = Twin(), Clock()
    logs = {
        (origin, branch): GrowingLog(origin).grow(branch[0]).grow(MOST - branch[0], branch[1])
        for origin in ("log.example/l1", "log.example/l2")
        for branch in BRANCHES
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(new_state(Path(folder), signers=signers)) as state,
    ):
        for log in logs.values():
            state.add_log(log.witnessed)
        witness = Witness(state, signers, clock)
        for origin, branch, number, grows, which, kind, signed in steps:
            log = logs[origin, branch]
            known = len(twin.seen.get(origin, []))
            size = min(MOST, known + number) if grows else number
            old = {"known": known, "zero": 0, "size": size}.get(which, number // 2)
            proof = log.proof(old, size) if old <= size else []
            if kind == "more":
                proof.append(b"x" * 32)
            elif kind == "less":
                proof = proof[:-1]
            elif kind == "other" and proof:
                at = data.draw(st.integers(0, len(proof) - 1))
                proof[at] = b"x" * 32
            proved = proof == (log.proof(old, size) if old <= size else [])
            note = (log if signed else impostor(log)).checkpoint(size)
            clock.now += data.draw(st.integers(-5, 5))
            before = state.recorded(origin)
            expected = twin.status(log, size, old, signed=signed, proved=proved)
            answer = witness.add_checkpoint(format_add_checkpoint(old, proof, note))
            assert answer.status == expected
            after = state.recorded(origin)
            if expected == 200:
                assert after
                (cosigned,) = verify_signatures(parse_note(note + answer.body), witness.keys)
                assert cosigned.timestamp == after.stamp >= (before.stamp if before else 1)
            else:
                assert after == before
            seen = twin.seen.get(origin, [])
            assert (after.size if after else 0) == len(seen)
            assert (after.root if after else EMPTY_ROOT) == log_of(origin, seen).root()
        for found in state.evidence():
            assert found.kind in (FORK, UNPROVEN)
            if found.kind == FORK:
                recorded = parse_note(found.against).text
                assert recorded != parse_note(found.note).text


def impostor(log: GrowingLog) -> GrowingLog:
    other = GrowingLog(log.origin, seed=9)
    other.entries = log.entries
    return other


def log_of(origin: str, entries: list[bytes]) -> GrowingLog:
    log = GrowingLog(origin)
    log.entries = entries
    return log
