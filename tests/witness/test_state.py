"""The state file: one writer at a time over threads and processes, durable, and one witness's."""

import multiprocessing
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.stores import witness as stores
from ledger.stores.witness import MAX_EVIDENCE, create_state, open_state
from ledger.witness import Answer, Evidence, Recorded, Witness, origin_hash
from ledger.witness.errors import WitnessError, WitnessSetupError
from ledger.witness.model import FORK, UNPROVEN
from tests.witness.logs import NOW, ORIGIN, Clock, GrowingLog, new_state, signer, witness_signers
from verifier.note import parse_note

FILE = "witness.db"


class Held:
    """A clock at which a request stops, in the middle of deciding, until it is let go."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self) -> int:
        self.reached.set()
        assert self.go.wait(30)
        return NOW


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("shared", [True, False], ids=["one state", "a state of its own"])
def test_the_race_of_the_specification(tmp_path: Path, shared: bool) -> None:
    """A is at 5 and has not recorded it when B comes with 9: the witness must not end at 5 having
    cosigned 9. A state of its own is what another process has."""
    log = GrowingLog().grow(3)
    answers: dict[str, Answer] = {}
    held = Held()
    with closing(new_state(tmp_path, log)) as state:
        assert Witness(state, witness_signers(), Clock()).add_checkpoint(log.request(0)).status
        log.grow(6)
        a = Witness(state, witness_signers(), held)
        with nullcontext(state) if shared else closing(open_state(tmp_path / FILE)) as second:
            b = Witness(second, witness_signers(), Clock())
            first = in_thread(lambda: answers.update(a=a.add_checkpoint(log.request(3, 5))))
            assert held.reached.wait(30)
            other = in_thread(lambda: answers.update(b=b.add_checkpoint(log.request(3, 9))))
            other.join(0.3)  # time enough to slip by, were it possible
            assert not answers
            held.go.set()
            first.join(30)
            other.join(30)
        assert (answers["a"].status, answers["b"][:3]) == (200, (409, "text/x.tlog.size", b"5\n"))
        recorded = state.recorded(ORIGIN)
        assert recorded
        assert recorded.size == 5


def climb(path: Path, fork_at: int, mark: bytes, out: Callable[[tuple[int, bytes]], None]) -> None:
    """Presents one history step by step, as fast as it may, and tells what was cosigned."""
    log = GrowingLog().grow(fork_at).grow(30 - fork_at, mark)
    with closing(open_state(path)) as state:
        witness = Witness(state, witness_signers(), Clock())
        old = 0
        for size in range(1, 31):
            for _attempt in range(3):
                if old > size:
                    break
                answer = witness.add_checkpoint(log.request(old, size))
                if answer.status == 409:
                    old = int(answer.body)
                    continue
                if answer.status == 200:
                    old = size
                    out((size, log.root(size)))
                break


def climb_into(
    path: Path, fork_at: int, mark: bytes, sizes: "multiprocessing.Queue[object]"
) -> None:
    try:
        climb(path, fork_at, mark, sizes.put)
    finally:
        sizes.put(None)


def on_one_history(cosigned: list[tuple[int, bytes]], fork_at: int, *marks: bytes) -> bool:
    histories = [GrowingLog().grow(fork_at).grow(30 - fork_at, mark) for mark in marks]
    return any(all(root == history.root(size) for size, root in cosigned) for history in histories)


def test_many_threads_and_two_histories(tmp_path: Path) -> None:
    new_state(tmp_path, GrowingLog()).close()
    cosigned: list[tuple[int, bytes]] = []
    threads = [
        in_thread(lambda mark=mark: climb(tmp_path / FILE, 9, mark, cosigned.append))
        for mark in (b"x", b"y", b"x", b"y")
    ]
    for thread in threads:
        thread.join(60)
    assert max(cosigned)[0] == 30
    assert on_one_history(cosigned, 9, b"x", b"y")


def test_two_processes_and_two_histories(tmp_path: Path) -> None:
    new_state(tmp_path, GrowingLog()).close()
    context = multiprocessing.get_context("fork")
    sizes = context.Queue()
    processes = [
        context.Process(target=climb_into, args=(tmp_path / FILE, 9, mark, sizes))
        for mark in (b"x", b"y")
    ]
    for process in processes:
        process.start()
    cosigned: list[tuple[int, bytes]] = []
    ended = 0
    while ended < len(processes):
        told = sizes.get(timeout=60)
        if told is None:
            ended += 1
        else:
            cosigned.append(told)
    for process in processes:
        process.join(60)
    assert max(cosigned)[0] == 30
    assert on_one_history(cosigned, 9, b"x", b"y")


def test_two_histories_are_told_apart_by_these_tests() -> None:
    """What the two tests above would see, had both branches been cosigned."""
    x, y = (GrowingLog().grow(9).grow(21, mark) for mark in (b"x", b"y"))
    assert on_one_history([(9, x.root(9)), (20, x.root(20))], 9, b"x", b"y")
    assert not on_one_history([(20, x.root(20)), (12, y.root(12))], 9, b"x", b"y")


class TestDurable:
    def test_what_was_cosigned_is_there_when_opened_again(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(3)
        with closing(new_state(tmp_path, log)) as state:
            Witness(state, witness_signers(), Clock()).add_checkpoint(log.request(0))
            before = state.recorded(ORIGIN)
        with closing(open_state(tmp_path / FILE)) as state:
            assert state.recorded(ORIGIN) == before == state.recorded_as(origin_hash(ORIGIN))
            assert state.sizes() == {ORIGIN: 3}
            log.grow(1)
            answer = Witness(state, witness_signers(), Clock()).add_checkpoint(log.request(0))
            assert answer.body == b"3\n"

    def test_every_commit_is_synced(self, tmp_path: Path) -> None:
        with closing(new_state(tmp_path)) as state:
            assert state._db.execute("PRAGMA synchronous").fetchone() == (2,)
            assert state._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_the_file_is_its_owner_s_alone(self, tmp_path: Path) -> None:
        new_state(tmp_path).close()
        assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600

    def test_a_decision_that_raises_changes_nothing(self, tmp_path: Path) -> None:
        def decide(_recorded: Recorded | None) -> Recorded:
            raise ZeroDivisionError

        with closing(new_state(tmp_path)) as state:
            state.advance(ORIGIN, lambda _none: Recorded(1, bytes(32), NOW, b"note"))
            with pytest.raises(ZeroDivisionError):
                state.advance(ORIGIN, decide)
            assert state.recorded(ORIGIN) == Recorded(1, bytes(32), NOW, b"note")


class TestRefuses:
    def test_a_second_state_in_the_same_file(self, tmp_path: Path) -> None:
        new_state(tmp_path).close()
        with pytest.raises(WitnessSetupError, match="witness-state-exists"):
            create_state(tmp_path / FILE, [])

    def test_a_state_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(WitnessSetupError, match="witness-state-missing"):
            open_state(tmp_path / FILE)
        assert not (tmp_path / FILE).exists()

    def test_the_state_of_another_witness(self, tmp_path: Path) -> None:
        new_state(tmp_path).close()
        open_state(tmp_path / FILE, [one.key for one in witness_signers()]).close()
        with pytest.raises(WitnessSetupError, match="witness-state-foreign"):
            open_state(tmp_path / FILE, [signer(7).key])

    def test_another_database(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / FILE)) as db:
            db.execute("CREATE TABLE log (origin TEXT)")
        with pytest.raises(WitnessSetupError, match="witness-state-foreign"):
            open_state(tmp_path / FILE)

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / FILE).write_bytes(b"no database, but long enough to look like one" * 50)
        with pytest.raises(WitnessError, match="witness-state-failed"):
            open_state(tmp_path / FILE)

    def test_a_turn_that_does_not_come(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stores, "_BUSY", 0.05)
        log = GrowingLog().grow(1)
        with (
            closing(new_state(tmp_path, log)) as state,
            closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other,
        ):
            witness = Witness(state, witness_signers(), Clock())
            other.execute("BEGIN IMMEDIATE")
            answer = witness.add_checkpoint(log.request(0))
            assert (answer.status, answer.code) == (503, "witness-busy")
            other.execute("ROLLBACK")
            assert witness.add_checkpoint(log.request(0)).status == 200

    def test_a_table_that_is_gone(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(1)
        with closing(new_state(tmp_path, log)) as state:
            state._db.execute("DROP TABLE head")
            answer = Witness(state, witness_signers(), Clock()).add_checkpoint(log.request(0))
        assert (answer.status, answer.code) == (500, "witness-state-failed")
        assert b"head" not in answer.body  # what failed inside is for the operator


class TestLogs:
    def test_one_is_listed_with_its_keys(self, tmp_path: Path) -> None:
        one, two = GrowingLog("b.example", both=True), GrowingLog("a.example")
        with closing(new_state(tmp_path, one, two)) as state:
            assert [log.origin for log in state.logs()] == ["a.example", "b.example"]
            assert state.log("b.example") == one.witnessed
            assert state.log("c.example") is None
            state.add_log(one.witnessed)  # again: nothing changes

    def test_its_keys_change_only_on_purpose(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(2)
        with closing(new_state(tmp_path, log)) as state:
            witness = Witness(state, witness_signers(), Clock())
            witness.add_checkpoint(log.request(0))
            rotated = GrowingLog(seed=8).grow(3)
            with pytest.raises(WitnessSetupError, match="witness-log-exists"):
                state.add_log(rotated.witnessed)
            assert witness.add_checkpoint(rotated.request(2)).status == 403
            state.add_log(rotated.witnessed, replace=True)
            assert witness.add_checkpoint(rotated.request(2)).status == 200
            log.grow(2)
            assert witness.add_checkpoint(log.request(3)).status == 403

    def test_one_that_is_dropped_goes_on_where_it_was(self, tmp_path: Path) -> None:
        log = GrowingLog().grow(2)
        with closing(new_state(tmp_path, log)) as state:
            witness = Witness(state, witness_signers(), Clock())
            witness.add_checkpoint(log.request(0))
            state.drop_log(ORIGIN)
            log.grow(2)
            assert witness.add_checkpoint(log.request(2)).status == 404
            assert parse_note(witness.checkpoint(origin_hash(ORIGIN)).body)
            with pytest.raises(WitnessError, match="witness-log-unknown"):
                state.drop_log(ORIGIN)
            with pytest.raises(WitnessSetupError, match="witness-log-exists"):
                state.add_log(GrowingLog(seed=8).witnessed)
            state.add_log(log.witnessed)
            assert witness.add_checkpoint(log.request(0)).body == b"2\n"
            assert witness.add_checkpoint(log.request(2)).status == 200


def evidence(size: int, kind: str = FORK, origin: str = ORIGIN) -> Evidence:
    return Evidence(origin, kind, size, bytes(32), NOW, b"note", b"against", (b"h" * 32,) * 2)


class TestEvidence:
    def test_comes_back(self, tmp_path: Path) -> None:
        kept = [evidence(1), evidence(1, UNPROVEN), replace(evidence(2), hashes=())]
        with closing(new_state(tmp_path)) as state:
            for one in (*kept, kept[0]):
                state.keep(one)
            assert state.evidence() == kept
            assert state.kept() == {FORK: 2, UNPROVEN: 1}

    @pytest.mark.parametrize(("kind", "first"), [(FORK, 1), (UNPROVEN, 6)])
    def test_is_bounded_for_each_log(self, tmp_path: Path, kind: str, first: int) -> None:
        """Of forks the first stay, of the rest the last."""
        with closing(new_state(tmp_path)) as state:
            state.keep(evidence(99, kind, "other.example"))
            news = [state.keep(evidence(size, kind)) for size in range(1, MAX_EVIDENCE + 6)]
            assert news.count(True) == (MAX_EVIDENCE if kind == FORK else MAX_EVIDENCE + 5)
            assert not state.keep(evidence(MAX_EVIDENCE, kind))
            sizes = [one.size for one in state.evidence() if one.origin == ORIGIN]
        assert sizes == list(range(first, first + MAX_EVIDENCE))

    def test_of_one_kind_does_not_push_out_the_other(self, tmp_path: Path) -> None:
        with closing(new_state(tmp_path)) as state:
            state.keep(evidence(1))
            for size in range(MAX_EVIDENCE + 5):
                state.keep(evidence(size, UNPROVEN))
            assert state.kept() == {FORK: 1, UNPROVEN: MAX_EVIDENCE}
