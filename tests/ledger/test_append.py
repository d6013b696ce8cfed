"""Appending: indices, effects, idempotency, group commit, what is refused and what must survive."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest
from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from ledger import sequencer
from ledger.ledger import Ledger
from ledger.model import Appended, Draft, Head
from ledger.stores.base import Effects, Store, Writer
from tests.ledger.helpers import (
    NOW,
    ORIGIN,
    check_inclusion_of,
    check_log,
    clock,
    drafts,
    open_ledger,
    refused,
)
from tests.verifier import twin
from verifier.merkle import leaf_hash

APP = MetaData()
RECORDS = Table(
    "records",
    APP,
    Column("idx", Integer, primary_key=True),
    Column("name", Text, nullable=False),
)
NOTES = Table(
    "notes",
    APP,
    Column("id", Integer, primary_key=True),
    Column(
        "record", ForeignKey("records.idx", deferrable=True, initially="DEFERRED"), nullable=False
    ),
)


def record(name: str, seen: list[Sequence[Appended]] | None = None) -> Effects[str]:
    """Effects that write one domain row for the first entry, and return its name."""

    def effects(connection: Connection, appended: Sequence[Appended]) -> str:
        if seen is not None:
            seen.append(appended)
        connection.execute(insert(RECORDS), {"idx": appended[0].index, "name": name})
        return name

    return effects


def records(store: Store) -> dict[int, str]:
    with store.read() as reader:
        return {row.idx: row.name for row in reader.connection.execute(select(RECORDS))}


@contextmanager
def held(ledger: Ledger) -> Iterator[None]:
    """Keeps the writer busy inside the block, so that all that is submitted makes one group."""
    entered, leave = threading.Event(), threading.Event()

    def effects(_connection: Connection, _appended: Sequence[Appended]) -> None:
        entered.set()
        leave.wait()

    gate = ledger.submit([], effects)
    entered.wait()
    try:
        yield
    finally:
        leave.set()
        gate.result()


class Counting:
    """A store that counts its transactions and may lose a compare-and-swap."""

    def __init__(self, store: Store, moved: int = 0) -> None:
        self._store = store
        self.commits = 0
        self.moved = moved

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    @contextmanager
    def write(self) -> Iterator[Writer]:
        with self._store.write() as writer:
            swap, commit = writer.swap_head, writer.commit

            def swap_head(old: Head, new: Head) -> None:
                if self.moved:
                    self.moved -= 1
                    old = Head(old.size + 1, old.root, old.frontier)
                swap(old, new)

            def counted() -> None:
                self.commits += 1
                commit()

            writer.swap_head, writer.commit = swap_head, counted  # type: ignore[method-assign]
            yield writer


def test_entries_get_indices_in_order_and_the_tree_is_the_specifications(ledger: Ledger) -> None:
    entries: list[bytes] = []
    for count in (1, 1, 2, 3, 250, 0, 1, 255, 256, 1, 300):
        new = drafts(len(entries), count)
        done = ledger.append(new)
        assert [a.index for a in done.appended] == list(range(len(entries), len(entries) + count))
        assert [a.entry for a in done.appended] == [d.entry for d in new]
        assert [a.leaf_hash for a in done.appended] == [leaf_hash(d.entry) for d in new]
        assert not any(a.existing for a in done.appended)
        entries += [d.entry for d in new]
        assert done.size == len(entries)
        checkpoint, found = check_log(ledger)
        assert found == entries
        assert checkpoint.root == twin.mth(entries)


def test_the_columns_are_kept(ledger: Ledger, store: Store) -> None:
    ledger.append([Draft(b"a", 17, "公安")])
    with store.read() as reader:
        row = reader.connection.exec_driver_sql("SELECT * FROM entries").one()
    assert tuple(row) == (0, leaf_hash(b"a"), b"a", 17, "公安", int(NOW * 1000))


def test_an_entry_is_logged_once(ledger: Ledger) -> None:
    ledger.append(drafts(0, 3))
    again = ledger.append([*drafts(2, 3), *drafts(3, 1), *drafts(0, 1)])
    assert [(a.index, a.existing) for a in again.appended] == [
        (2, True), (3, False), (4, False), (3, True), (0, True)
    ]  # fmt: skip
    only_old = ledger.append(drafts(0, 5))
    assert [a.index for a in only_old.appended] == [0, 1, 2, 3, 4]
    assert all(a.existing for a in only_old.appended)
    assert only_old.size == 5
    check_log(ledger)


def test_one_entry_from_many_submissions_of_a_group_is_logged_once(ledger: Ledger) -> None:
    with held(ledger):
        futures = [ledger.submit(drafts(0, 2)) for _ in range(5)]
    results = [f.result().appended for f in futures]
    assert {tuple(a.index for a in result) for result in results} == {(0, 1)}
    assert [result[0].existing for result in results] == [False, True, True, True, True]
    assert check_log(ledger)[0].size == 2


def test_effects_share_the_transaction(ledger: Ledger, store: Store) -> None:
    store.create(APP)
    seen: list[Sequence[Appended]] = []
    ledger.append(drafts(0, 2))
    done = ledger.append(drafts(1, 3), record("甲", seen))
    assert done.result == "甲"
    assert seen == [done.appended]
    assert [(a.index, a.existing) for a in done.appended] == [(1, True), (2, False), (3, False)]
    assert records(store) == {1: "甲"}
    assert ledger.append([], lambda _c, appended: len(appended)).result == 0


def test_effects_that_raise_drop_their_submission_alone(ledger: Ledger, store: Store) -> None:
    store.create(APP)

    def fails(connection: Connection, appended: Sequence[Appended]) -> None:
        connection.execute(insert(RECORDS), {"idx": 99, "name": "no trace"})
        assert [a.existing for a in appended] == [False, False, True]
        raise LookupError("refused by the domain")

    with held(ledger):
        first = ledger.submit(drafts(0, 2), record("first"))
        lost = ledger.submit([*drafts(10, 2), *drafts(0, 1)], fails)
        after = ledger.submit(drafts(11, 2), record("after"))
        plain = ledger.submit(drafts(20, 1))
    with pytest.raises(LookupError, match="refused by the domain"):
        lost.result()
    assert [a.index for a in first.result().appended] == [0, 1]
    assert [(a.index, a.existing) for a in after.result().appended] == [(2, False), (3, False)]
    assert [a.index for a in plain.result().appended] == [4]
    assert records(store) == {0: "first", 2: "after"}
    checkpoint, entries = check_log(ledger)
    assert entries == [d.entry for d in [*drafts(0, 2), *drafts(11, 2), *drafts(20, 1)]]
    assert checkpoint.size == 5


def test_errors_of_the_database_in_effects_reach_the_caller(ledger: Ledger, store: Store) -> None:
    store.create(APP)
    ledger.append(drafts(0, 1), record("once"))
    with pytest.raises(IntegrityError):
        ledger.append(drafts(0, 1), record("twice"))
    assert records(store) == {0: "once"}


def test_a_submission_that_ruins_the_transaction_falls_alone(ledger: Ledger, store: Store) -> None:
    store.create(APP)

    def ruins(connection: Connection, _appended: Sequence[Appended]) -> None:
        connection.exec_driver_sql("ROLLBACK")

    def dangles(connection: Connection, _appended: Sequence[Appended]) -> None:
        connection.execute(insert(NOTES), {"id": 1, "record": 404})  # noticed by the commit only

    with held(ledger):
        good = ledger.submit(drafts(0, 1), record("good"))
        ruined = ledger.submit(drafts(1, 1), ruins)
        dangling = ledger.submit(drafts(2, 1), dangles)
        better = ledger.submit(drafts(3, 1), record("better"))
    with refused("ledger-store-failed", "ledger-write-failed"):
        ruined.result()
    with refused("ledger-store-failed"):
        dangling.result()
    assert [a.index for a in good.result().appended] == [0]
    assert [a.index for a in better.result().appended] == [1]
    assert records(store) == {0: "good", 1: "better"}
    assert check_log(ledger)[0].size == 2


def test_what_waits_shares_one_commit(store: Store) -> None:
    counting = Counting(store)
    with open_ledger(counting) as ledger:  # type: ignore[arg-type]
        with held(ledger):
            futures = [ledger.submit(drafts(i, 1)) for i in range(31)]
        sizes = {f.result().size for f in futures}
        assert counting.commits == 2  # the one that held the writer, and the group
        assert sizes == {31}


def test_groups_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "GROUP_ENTRIES", 10)
    monkeypatch.setattr(sequencer, "GROUP_BYTES", 1000)
    counting = Counting(store)
    with open_ledger(counting) as ledger:  # type: ignore[arg-type]
        with held(ledger):
            futures = [ledger.submit(drafts(10 * i, 4)) for i in range(4)]
            futures.append(ledger.submit(drafts(100, 50)))  # larger than a group: one of its own
            large = [Draft(bytes([i]) * 600, 1, "x") for i in range(2)]
            futures += [ledger.submit([d]) for d in large]
        wait(futures)
        assert counting.commits == 1 + 2 + 1 + 2
        assert check_log(ledger)[0].size == 16 + 50 + 2


def test_thirty_two_threads(ledger: Ledger) -> None:
    def client(number: int) -> list[tuple[int, bytes]]:
        acknowledged = []
        for i in range(8):
            done = ledger.append(drafts(i, 1, f"client {number}") + drafts(i, 1, "common"))
            assert done.size > max(a.index for a in done.appended)
            acknowledged += [(a.index, a.entry) for a in done.appended]
        return acknowledged

    with ThreadPoolExecutor(32) as pool:
        acknowledged = [pair for result in pool.map(client, range(32)) for pair in result]
    checkpoint, entries = check_log(ledger)
    assert checkpoint.size == 32 * 8 + 8
    assert all(entries[index] == entry for index, entry in acknowledged)
    check_inclusion_of(ledger, acknowledged[::37])


def test_a_lost_compare_and_swap_is_tried_again(store: Store) -> None:
    store.create(APP)
    counting = Counting(store, moved=3)
    with open_ledger(counting) as ledger:  # type: ignore[arg-type]
        done = ledger.append(drafts(0, 2), record("once"))
        assert counting.moved == 0
        assert [a.index for a in done.appended] == [0, 1]
        assert records(store) == {0: "once"}
        counting.moved = 1000
        with refused("ledger-busy"):
            ledger.append(drafts(2, 1))
        counting.moved = 0
        assert check_log(ledger)[0].size == 2


def test_two_ledgers_on_one_store(store: Store) -> None:
    with open_ledger(store) as one, open_ledger(store) as two:
        for i in range(0, 40, 2):
            assert one.append(drafts(i, 1)).appended[0].index == i
            assert two.append(drafts(i + 1, 1)).appended[0].index == i + 1
            assert two.append(drafts(i, 1)).appended[0].existing
        assert one.checkpoint() == two.checkpoint()
        assert check_log(one)[0].size == 40


def test_what_the_store_cannot_hold_falls_alone(ledger: Ledger) -> None:
    with held(ledger):
        good = ledger.submit(drafts(0, 1))
        bad = ledger.submit([Draft(b"x", 1, "\ud800")])  # a lone surrogate is no text
        better = ledger.submit(drafts(1, 1))
    with refused("ledger-store-failed", "ledger-write-failed"):
        bad.result()
    assert [f.result().appended[0].index for f in (good, better)] == [0, 1]
    assert check_log(ledger)[0].size == 2


@pytest.mark.parametrize("length", [0, 65_536])
def test_the_size_of_an_entry_is_bounded(ledger: Ledger, length: int) -> None:
    with refused("ledger-entry-size"):
        ledger.append([*drafts(0, 1), Draft(bytes(length), 1, "x")])
    assert ledger.size == 0


def test_the_largest_entry_fits(ledger: Ledger) -> None:
    ledger.append([Draft(bytes(65_535), 1, "x"), Draft(b"1", 1, "x")])
    assert [len(e) for e in check_log(ledger)[1]] == [65_535, 1]


def test_the_size_of_a_submission_is_bounded(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "MAX_SUBMISSION", 10)
    with refused("ledger-batch-too-large"):
        ledger.append(drafts(0, 11))
    assert ledger.append(drafts(0, 10)).size == 10


@pytest.mark.parametrize("bound", ["MAX_WAITING", "MAX_WAITING_BYTES"])
def test_what_may_wait_is_bounded(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(sequencer, bound, 5)
    with held(ledger):
        large = ledger.submit(drafts(0, 7))  # nothing waits, so it may
        with refused("ledger-busy"):
            ledger.submit(drafts(7, 1))
    assert large.result().size == 7
    assert ledger.append(drafts(7, 1)).size == 8


def test_a_cancelled_submission_is_left_out(ledger: Ledger) -> None:
    with held(ledger):
        futures: list[Future[object]] = [ledger.submit(drafts(i, 1)) for i in range(3)]  # type: ignore[misc]
        assert futures[1].cancel()
    wait(futures)
    assert check_log(ledger)[1] == [b"entry 0", b"entry 2"]


def test_effects_cannot_append(ledger: Ledger) -> None:
    with refused("ledger-nested"):
        ledger.append(drafts(0, 1), lambda _c, _a: ledger.append(drafts(1, 1)))
    assert ledger.size == 0


def test_closing_finishes_what_waits(store: Store) -> None:
    ledger = open_ledger(store)
    with held(ledger):
        futures = [ledger.submit(drafts(i, 1)) for i in range(5)]
        closing = threading.Thread(target=ledger.close)
        closing.start()
    closing.join()
    assert [f.result().appended[0].index for f in futures] == [0, 1, 2, 3, 4]
    ledger.close()
    with refused("ledger-closed"):
        ledger.append(drafts(9, 1))
    assert check_log(ledger)[0].size == 5


def test_without_signers_nothing_is_appended(ledger: Ledger, store: Store) -> None:
    ledger.append(drafts(0, 3))
    reading = Ledger.open(store, origin=ORIGIN, signers=[], clock=clock)
    with refused("ledger-read-only"):
        reading.append(drafts(3, 1))
    assert reading.checkpoint() == ledger.checkpoint()
    check_log(reading)
    reading.close()
