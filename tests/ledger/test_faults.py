"""Every step of the append path on SQLite, broken: what must hold, whatever the caller is told.

The table is not written by hand: an append is run once, its driver steps are listed, and each is
broken three ways: *failed* (no effect, an error), *failed but persisted* (full effect, an error),
and *failed, and all after it* (the disk is gone until the process starts again).
"""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy.exc import SQLAlchemyError

from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Committed
from ledger.stores import leaves
from ledger.stores.sqlite import SqliteStore
from tests.ledger.faulty import (
    APP,
    DEAD,
    FAILED,
    PERSISTED,
    FaultyConnection,
    Plan,
    write_record,
)
from tests.ledger.helpers import check_inclusion_of, check_log, drafts, open_ledger

BEFORE, ADDED = 506, 10  # the append completes the second tile, so level 1 grows
ENTRIES = [d.entry for d in drafts(0, BEFORE + ADDED)]

_REST = [
    "SAVEPOINT",
    "INSERT records",
    "RELEASE SAVEPOINT",
    "INSERT entries",
    "SELECT tiles",
    "UPDATE tiles",
    "UPDATE head",
    "COMMIT",
    "ROLLBACK",  # the connection goes back to the pool
    "BEGIN IMMEDIATE",
    "UPDATE checkpoint",
    "COMMIT",
    "ROLLBACK",
]
LOOKED_UP = ["BEGIN IMMEDIATE", "SELECT head", "SELECT entries", "WITH RECURSIVE", *_REST]
FILTERED = [
    "BEGIN",  # the filter is made of a snapshot
    *["SELECT entries"] * 4,
    "ROLLBACK",
    "BEGIN IMMEDIATE",
    "SELECT head",
    "SELECT entries",
    "SELECT entries",
    *_REST,
]
PATHS = {leaves.WORTH: LOOKED_UP, 0: FILTERED}
CASES = [
    pytest.param(worth, at, id=f"{at} {step}, {'looked up' if worth else 'filtered'}")
    for worth, steps in PATHS.items()
    for at, step in enumerate(steps)
]


def append(ledger: Ledger) -> Committed[None] | LedgerError | SQLAlchemyError:
    try:
        return ledger.append(drafts(BEFORE, ADDED), write_record)
    except (LedgerError, SQLAlchemyError) as error:
        return error


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    store = SqliteStore(path)
    store.create(APP)
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, BEFORE))
    store.close()
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Iterator[Path]:
    shutil.copy(template, tmp_path / "ledger.db")
    yield tmp_path / "ledger.db"
    FaultyConnection.plan = None


def inside(path: Path) -> tuple[int, int, int, int]:
    """Head, number of entries, published size and number of domain rows, as another sees them."""
    other = sqlite3.connect(path)
    numbers = [
        other.execute(f"SELECT {what}").fetchone()[0]
        for what in ("size FROM head", "count(*) FROM entries", "size FROM checkpoint WHERE id = 1",
                     "count(*) FROM records")
    ]  # fmt: skip
    other.close()
    return (numbers[0], numbers[1], numbers[2], numbers[3])


@pytest.mark.parametrize("worth", PATHS, ids=["looked up", "filtered"])
def test_the_steps_are_as_written(path: Path, worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaves, "WORTH", worth)
    store = SqliteStore(path, connection_class=FaultyConnection)
    with open_ledger(store) as ledger:
        FaultyConnection.plan = plan = Plan()
        assert isinstance(append(ledger), Committed)
        FaultyConnection.plan = None
    assert [step.removesuffix(" sa_savepoint_1") for step in plan.steps] == PATHS[worth]
    store.close()


@pytest.mark.parametrize("mode", [FAILED, PERSISTED, DEAD])
@pytest.mark.parametrize(("worth", "at"), CASES)
def test_one_step_breaks(
    path: Path, worth: int, at: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaves, "WORTH", worth)
    committed_at = PATHS[worth].index("COMMIT")
    store = SqliteStore(path, connection_class=FaultyConnection)
    ledger = open_ledger(store)
    FaultyConnection.plan = Plan(at, mode)
    answer = append(ledger)
    assert len(FaultyConnection.plan.steps) > at, "the fault was met"
    FaultyConnection.plan = None

    # 1. All of the submission is there, or nothing: entries, domain row and head together.
    head, entries, published, rows = inside(path)
    assert (head, entries, rows) in {(BEFORE, BEFORE, 0), (BEFORE + ADDED, BEFORE + ADDED, 1)}
    # 2. No checkpoint is ahead of what is committed.
    assert published <= head
    # 3. The answer is the truth.
    logged = head == BEFORE + ADDED
    if isinstance(answer, Committed):
        assert logged
        assert published == head == answer.size
        assert [a.index for a in answer.appended] == list(range(BEFORE, BEFORE + ADDED))
    elif isinstance(answer, LedgerError) and answer.code == "ledger-logged-not-published":
        assert logged
    elif isinstance(answer, LedgerError) and answer.code == "ledger-commit-unknown":
        assert mode == DEAD
        assert at == committed_at
    else:
        assert not logged
    # 4. What stands before the commit fails, what stands after it does not undo it.
    assert logged == (at > committed_at or (at == committed_at and mode == PERSISTED))
    if at == committed_at and mode == PERSISTED:
        assert isinstance(answer, Committed), "the commit took place, and was found"

    # 5. The same ledger goes on; the submission, repeated, is there once.
    again = ledger.append(drafts(BEFORE, ADDED), write_record)
    assert [a.existing for a in again.appended] == [logged] * ADDED
    assert again.size == BEFORE + ADDED
    ledger.close()
    store.close()

    # 6. A new process finds a whole log, each entry once and in its place.
    store = SqliteStore(path)
    with open_ledger(store) as ledger:
        assert check_log(ledger)[1] == ENTRIES
        check_inclusion_of(ledger, [(i, ENTRIES[i]) for i in (0, BEFORE - 1, BEFORE, 515)])
        assert inside(path) == (BEFORE + ADDED, BEFORE + ADDED, BEFORE + ADDED, 1)
    store.close()


@pytest.mark.parametrize("mode", [FAILED, PERSISTED, DEAD])
@pytest.mark.parametrize("at", range(len(LOOKED_UP)))
def test_a_process_that_dies_at_the_fault(path: Path, at: int, mode: str) -> None:
    """No repetition by the same ledger: the next start alone must put everything right."""
    store = SqliteStore(path, connection_class=FaultyConnection)
    ledger = open_ledger(store)
    FaultyConnection.plan = Plan(at, mode)
    answer = append(ledger)
    FaultyConnection.plan = None
    ledger.close()
    store.close()

    store = SqliteStore(path)
    with open_ledger(store) as ledger:
        entries = check_log(ledger)[1]
        assert entries in (ENTRIES[:BEFORE], ENTRIES)
        if isinstance(answer, Committed):
            assert entries == ENTRIES
        head, _, published, rows = inside(path)
        assert head == published == len(entries)
        assert rows == (len(entries) == BEFORE + ADDED)
    store.close()


class ReadOnlyAtFirst(sqlite3.Connection):
    """What SQLite makes of a file that may not be written when it is opened."""

    disk: ClassVar[str] = "ro"

    def __init__(self, database: str, **named: Any) -> None:
        super().__init__(f"file:{database}?mode={self.disk}", **{**named, "uri": True})


def test_a_disk_that_was_read_only_holds_up_nobody_when_it_is_not(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite leaves a connection that was made then read-only, and lets it begin a transaction; an
    effect that meets it is told of the store, not of a fault of its own, and the next one is not.
    """
    store = SqliteStore(path, connection_class=ReadOnlyAtFirst)
    with store.read() as reader:  # its connection goes to the pool, and is the next to be used
        assert reader.head().size == BEFORE
    monkeypatch.setattr(ReadOnlyAtFirst, "disk", "rw")
    with open_ledger(store) as ledger:
        answer = append(ledger)
        assert isinstance(answer, LedgerError)
        assert answer.code == "ledger-store-failed"
        assert isinstance(append(ledger), Committed)
    store.close()
    assert inside(path) == (BEFORE + ADDED, BEFORE + ADDED, BEFORE + ADDED, 1)
