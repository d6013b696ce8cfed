"""A ledger that lost what it signed finds its witnesses ahead, and writes nothing any more."""

import logging
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from ledger.cosigning import HttpAnswer
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.stores.base import Store
from ledger.stores.memory import MemoryStore
from ledger.stores.sql import CHECKPOINT, ENTRIES, HEAD
from ledger.stores.sqlite import SqliteStore
from tests.ledger.helpers import (
    ORIGIN,
    OTHER_KEY,
    SIGNER,
    check_log,
    clock,
    drafts,
    refused,
)
from tests.ledger.net import Net, eventually, of
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.merkle import EMPTY_ROOT
from verifier.policy import Policy


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net(tmp_path)
    yield net
    net.close()


@pytest.fixture
def policy(net: Net) -> Policy:
    return net.policy("group q 2 audit archive court")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def memory() -> Iterator[Store]:
    store = MemoryStore()
    store.create()
    yield store
    store.close()


def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.create()
    return store


def backup(path: Path, to: Path) -> None:
    """As `sqlite3 ledger.db ".backup copy.db"` does."""
    source, copy = sqlite3.connect(path), sqlite3.connect(to)
    source.backup(copy)
    source.close()
    copy.close()


def grown(net: Net, path: Path, policy: Policy, start: int, count: int, prefix: str = "e") -> None:
    """So many entries, all final."""
    store = opened(path)
    with net.open(store, policy) as (ledger, _):
        ledger.append(drafts(start, count, prefix))
        eventually(lambda: ledger.final_size == ledger.size)
    store.close()


@pytest.fixture
def restored(net: Net, path: Path, tmp_path: Path, policy: Policy) -> Iterator[Store]:
    """A ledger of 5 entries, of which its witnesses have seen 8."""
    grown(net, path, policy, 0, 5)
    backup(path, tmp_path / "backup.db")
    grown(net, path, policy, 5, 3)
    for leftover in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        leftover.unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", path)
    store = opened(path)
    yield store
    store.close()


def test_a_ledger_restored_from_an_old_backup_refuses_to_write(
    net: Net, restored: Store, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    with net.open(restored, policy) as (ledger, witnessing):
        with refused("ledger-rolled-back") as caught:
            ledger.append(drafts(90, 1))
        eventually(lambda: any(seen.up for seen in witnessing.seen))  # the fault is not theirs
        assert "size 5, signed 8" in caught.value.detail
        assert ".example" in caught.value.detail, "it says who has the rest"
        with refused("ledger-rolled-back"):  # and goes on refusing
            ledger.append(drafts(91, 1))
        # Reading goes on.
        assert (ledger.size, ledger.final_size) == (5, 5)
        assert check_log(ledger)[0].size == 5
        assert ledger.prove(2).finality == "final"
    assert "witnesses compared" not in caplog.text, "they were: that is why"
    critical = [r for r in caplog.records if r.levelno == logging.CRITICAL]
    assert critical
    assert "docs/operating.md" in critical[0].getMessage()
    with restored.read() as reader:
        assert reader.head().size == 5
    assert all(len(seat.requests) < 8 for seat in net.seats.values())


def test_the_first_writer_waits_for_the_look_and_no_thread_is_needed(
    net: Net, restored: Store, policy: Policy
) -> None:
    """A command writes without a running thread; it looks first."""
    with (
        net.open(restored, policy, start=False) as (ledger, _),
        refused("ledger-rolled-back"),
    ):
        ledger.append(drafts(90, 1))


def test_one_witness_that_remembers_is_enough(net: Net, restored: Store, policy: Policy) -> None:
    net["audit"].down = net["archive"].down = True
    with (
        net.open(restored, policy, start=False) as (ledger, _),
        refused("ledger-rolled-back"),
    ):
        ledger.append(drafts(90, 1))


def test_witnesses_that_do_not_answer_at_start_are_compared_when_they_do(
    net: Net, restored: Store, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    for seat in net.seats.values():
        seat.down = True
    with net.open(restored, policy) as (ledger, _):
        assert ledger.append(drafts(90, 1)).size == 6
        assert "0 of 3 witnesses compared" in caplog.text
        assert ledger.final_size == 5
        net["court"].down = False
        eventually(lambda: ledger.refusal)
        with refused("ledger-rolled-back", "ledger-forked"):
            ledger.append(drafts(91, 1))
        assert (ledger.size, ledger.final_size) == (6, 5)


def test_another_history_as_large_as_the_witnessed_one(
    net: Net, restored: Store, policy: Policy
) -> None:
    for seat in net.seats.values():
        seat.down = True
    with net.open(restored, policy, start=False) as (ledger, _):
        ledger.append(drafts(90, 3))
    for seat in net.seats.values():
        seat.down = False
    with net.open(restored, policy, start=False) as (ledger, _), refused("ledger-forked"):
        ledger.append(drafts(94, 1))


def test_another_history_larger_than_the_witnessed_one(
    net: Net, restored: Store, policy: Policy
) -> None:
    """Not found by its size: the tree of the witness's size has another root."""
    for seat in net.seats.values():
        seat.down = True
    with net.open(restored, policy, start=False) as (ledger, _):
        ledger.append(drafts(90, 300))
    for seat in net.seats.values():
        seat.down = False
    with net.open(restored, policy) as (ledger, _):
        eventually(lambda: ledger.refusal)
        with refused("ledger-forked"):
            ledger.append(drafts(900, 1))
        assert ledger.final_size == 5


def test_the_right_backup_goes_on(
    net: Net, restored: Store, path: Path, tmp_path: Path, policy: Policy
) -> None:
    """What was asked of the operator: a copy that holds everything that was signed."""
    whole = tmp_path / "standby.db"
    for seat in net.seats.values():
        seat.state.drop_log(ORIGIN)
    store = opened(whole)
    with Ledger.open(store, origin=ORIGIN, signers=[SIGNER], clock=clock) as ledger:
        ledger.append(drafts(0, 8, "e"))
    with net.open(store, policy) as (ledger, _):
        assert ledger.append(drafts(8, 1, "e")).size == 9
    store.close()


def test_two_copies_that_both_run_are_noticed(
    net: Net, path: Path, tmp_path: Path, policy: Policy
) -> None:
    """Neither was restored: somebody started the same city twice."""
    grown(net, path, policy, 0, 5)
    twin_path = tmp_path / "twin.db"
    backup(path, twin_path)
    store, twin_store = opened(path), opened(twin_path)
    with (
        net.open(store, policy) as (ledger, _),
        net.open(twin_store, policy) as (twin, _),
    ):
        ledger.look_first()
        twin.look_first()
        ledger.append(drafts(5, 3, "ours"))
        eventually(lambda: ledger.final_size == 8)
        twin.append(drafts(5, 4, "theirs"))
        eventually(lambda: twin.refusal)
        with refused("ledger-forked"):
            twin.append(drafts(9, 1))
        assert twin.final_size == 5
        assert ledger.append(drafts(8, 1)).size == 9
        eventually(lambda: ledger.final_size == 9)
    store.close()
    twin_store.close()


# what does not stop a ledger


NO_PROOF: dict[str, HttpAnswer] = {
    "nothing": HttpAnswer(404, "text/plain", b""),
    "an error": HttpAnswer(500, "text/plain", b""),
    "garbage": HttpAnswer(200, "text/plain", b"\xff\xfe"),
    "signed by another key": HttpAnswer(
        200, "text/plain", sign_checkpoint(Checkpoint(ORIGIN, 99, bytes(32)), [OTHER_KEY])
    ),
    "unsigned": HttpAnswer(200, "text/plain", Checkpoint(ORIGIN, 99, bytes(32)).body().encode()),
    "an older one": HttpAnswer(
        200, "text/plain", sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), [SIGNER])
    ),
}


@pytest.mark.parametrize("shown", NO_PROOF)
def test_what_our_key_did_not_sign_stops_nobody(net: Net, memory: Store, shown: str) -> None:
    """A number without our signature may be a lie."""
    for seat in net.seats.values():
        seat.shows = NO_PROOF[shown]
        seat.alter = lambda _: HttpAnswer(409, "text/x.tlog.size", b"99\n")
    policy = net.policy("group q any audit archive court")
    with net.open(memory, policy) as (ledger, witnessing):
        assert ledger.append(drafts(0, 3)).size == 3
        eventually(lambda: all("claims size 99" in seen.error for seen in witnessing.seen))
        assert ledger.append(drafts(3, 3)).size == 6
        assert ledger.refusal is None
        assert ledger.final_size == 0


def test_our_own_signature_over_another_history_stops_us_wherever_it_comes_from(
    net: Net, memory: Store, policy: Policy
) -> None:
    with net.open(memory, policy, start=False) as (ledger, witnessing):
        ledger.append(drafts(0, 3))
        forged = sign_checkpoint(Checkpoint(ORIGIN, 2, bytes(32)), [SIGNER])
        net["court"].shows = HttpAnswer(200, "text/plain", forged)
        witnessing.look()
        assert ledger.refusal is not None
        assert ledger.refusal.code == "ledger-forked"


def test_a_checkpoint_is_compared_with_a_head_read_after_it(memory: Store) -> None:
    """Of another process: signed, seen by a witness, and then looked for here."""
    with (
        Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock) as one,
        Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock) as two,
    ):
        one.append(drafts(0, 3))
        frontier_root = check_log(one)[0].root
        two.check_seen(Checkpoint(ORIGIN, 3, frontier_root))
        two.check_seen(Checkpoint(ORIGIN, 0, EMPTY_ROOT))
        with refused("ledger-rolled-back"):
            two.check_seen(Checkpoint(ORIGIN, 4, frontier_root))
        with refused("ledger-forked"):
            two.check_seen(Checkpoint(ORIGIN, 2, frontier_root))


def test_a_database_that_goes_back_under_a_running_process_is_noticed(store: Store) -> None:
    """As when a standby is promoted that lacked the last commits."""
    with Ledger.open(store, origin=ORIGIN, signers=[SIGNER], clock=clock) as ledger:
        ledger.append(drafts(0, 5))
        with store.read() as reader:
            earlier, note = reader.head(), reader.published()
        assert note is not None
        ledger.append(drafts(5, 3))
        with store.write() as writer:
            head = {"size": 5, "root": earlier.root, "frontier": b"".join(earlier.frontier)}
            writer.connection.execute(update(HEAD).values(head))
            writer.connection.execute(delete(ENTRIES).where(ENTRIES.c.idx >= 5))
            writer.connection.execute(update(CHECKPOINT).values(size=5, note=note.note))
            writer.commit()
        with refused("ledger-logged-not-published") as caught:
            ledger.append(drafts(90, 1))
        assert "ledger-rolled-back" in caught.value.detail
        with refused("ledger-rolled-back"):
            ledger.append(drafts(91, 1))


def test_the_first_reason_stays(memory: Store) -> None:
    with Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock) as ledger:
        ledger.refuse(LedgerError("ledger-forked", "size 3"))
        ledger.refuse(LedgerError("ledger-rolled-back", "size 4"))
        with refused("ledger-forked"):
            ledger.append(drafts(1, 1))
    reading = Ledger.open(memory, origin=ORIGIN, signers=[], clock=clock)
    reading.refuse(LedgerError("ledger-forked"))
    assert reading.refusal is None, "who cannot write has nothing to refuse"


def test_a_look_that_fails_is_made_again(memory: Store) -> None:
    with Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock) as ledger:
        outcomes: list[Exception | None] = [LedgerError("ledger-store-failed"), None]
        looked: list[int] = []

        def look() -> None:
            looked.append(1)
            outcome = outcomes.pop(0)
            if outcome is not None:
                raise outcome

        ledger.before_first_write(look)
        with refused("ledger-store-failed"):
            ledger.append(drafts(0, 1))
        assert ledger.append(drafts(0, 1)).size == 1
        ledger.append(drafts(1, 1))
        assert len(looked) == 2


def test_a_witness_is_looked_at_again_while_nothing_happens(
    net: Net, memory: Store, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second copy of the city writes elsewhere; this one is idle, and notices."""
    monkeypatch.setattr("ledger.cosigning.LOOK_SECONDS", 0.0)
    with net.open(memory, policy) as (ledger, witnessing):
        ledger.append(drafts(0, 3))
        eventually(lambda: ledger.final_size == 3)
        eventually(lambda: of(witnessing, "court").up)
        forged = sign_checkpoint(Checkpoint(ORIGIN, 9, bytes(32)), [SIGNER])
        net["court"].shows = HttpAnswer(200, "text/plain", forged)
        eventually(lambda: ledger.refusal)
        with refused("ledger-rolled-back"):
            ledger.append(drafts(3, 1))


def test_a_restored_backup_waits_for_enough_witnesses(net: Net, path: Path, policy: Policy) -> None:
    """Two of three make a checkpoint final: where two were not compared, they may have."""
    grown(net, path, policy, 0, 5)
    store = opened(path)
    with store.write() as writer:
        writer.mark_restored(True)
        writer.commit()
    for seat in net.seats.values():
        seat.down = True
    with net.open(store, policy, start=False) as (ledger, witnessing):
        assert ledger.restored
        for _ in range(2):
            with refused("ledger-restored-unseen"):
                ledger.append(drafts(90, 1))
        net["court"].down = False
        witnessing._look_again = 0.0
        with refused("ledger-restored-unseen"):
            ledger.append(drafts(90, 1))
        net["audit"].down = False
        witnessing._look_again = 0.0
        assert ledger.append(drafts(5, 1, "e")).size == 6
        assert not ledger.restored
    with net.open(store, policy, start=False) as (ledger, _):
        for seat in net.seats.values():
            seat.down = True
        assert ledger.append(drafts(6, 1, "e")).size == 7
    store.close()


def test_a_restored_backup_is_compared_again_while_nobody_writes(
    net: Net, path: Path, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    grown(net, path, policy, 0, 5)
    store = opened(path)
    with store.write() as writer:
        writer.mark_restored(True)
        writer.commit()
    net["audit"].down = net["court"].down = True
    with net.open(store, policy) as (ledger, witnessing):
        eventually(lambda: "1 of 3" in caplog.text)
        with refused("ledger-restored-unseen") as caught:
            ledger.append(drafts(90, 1))
        assert caught.value.detail == "1 of 3"
        net["audit"].down = False
        witnessing._look_again = 0.0
        eventually(lambda: not ledger.restored)
    told = [each for each in caplog.records if "ledger-restored-unseen" in each.getMessage()]
    assert len(told) == 1, "it is said once"
    store.close()


def test_an_old_backup_that_was_restored_is_found_out_before_it_writes(
    net: Net, restored: Store, policy: Policy
) -> None:
    with restored.write() as writer:
        writer.mark_restored(True)
        writer.commit()
    with net.open(restored, policy, start=False) as (ledger, _):
        with refused("ledger-rolled-back"):
            ledger.append(drafts(90, 1))
        assert ledger.restored
        assert ledger.size == 5


def test_without_witnesses_there_is_nothing_to_compare(net: Net, memory: Store) -> None:
    with net.open(memory, None, start=False) as (ledger, _):
        ledger.append(drafts(0, 1))
    with memory.write() as writer:
        writer.mark_restored(True)
        writer.commit()
    with net.open(memory, None, start=False) as (ledger, _):
        assert ledger.append(drafts(1, 1)).size == 2
        assert not ledger.restored
