"""Every step of the append path on PostgreSQL, broken: what must hold, whatever the caller is told.

As `test_faults` does on SQLite: an append is run once, its driver steps are listed, and each is
broken. *Gone*: the connection breaks with the step, before or after it took effect; the append is
repeated and must succeed, once. *Told*: the server reports a fault that no repetition will mend.
*Dead*: the connection breaks, and no new one can be made.
"""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Committed
from ledger.stores.postgres import PostgresStore
from tests.ledger.faulty import APP, DEAD, FAILED, PERSISTED, FaultyPostgres, Plan, write_record
from tests.ledger.helpers import check_inclusion_of, check_log, drafts, open_ledger
from tests.postgres import Server

BEFORE, ADDED = 506, 10  # the append completes the second tile, so level 1 grows
ENTRIES = [d.entry for d in drafts(0, BEFORE + ADDED)]

STEPS = [
    "BEGIN ISOLATION",
    "SELECT head",
    "SELECT entries",
    "SAVEPOINT",
    "INSERT records",
    "RELEASE SAVEPOINT",
    "COPY entries",
    "SELECT tiles",
    "INSERT tiles",
    "UPDATE head",
    "COMMIT",
    "ROLLBACK",  # the connection goes back to the pool
    "INSERT checkpoint",
    "ROLLBACK",
]
COMMITTED_AT = STEPS.index("COMMIT")
EACH = pytest.mark.parametrize(
    "at", range(len(STEPS)), ids=[f"{i} {s}" for i, s in enumerate(STEPS)]
)


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    with postgres.database() as address:
        store = PostgresStore(address)
        store.create(APP)
        with open_ledger(store) as ledger:
            ledger.append(drafts(0, BEFORE))
        store.close()
        yield address
        FaultyPostgres.plan, FaultyPostgres.breaks = None, True


def append(ledger: Ledger) -> Committed[None] | LedgerError | SQLAlchemyError:
    try:
        return ledger.append(drafts(BEFORE, ADDED), write_record)
    except (LedgerError, SQLAlchemyError) as error:
        return error


def inside(url: str) -> tuple[int, int, int, int]:
    """Head, number of entries, published size and number of domain rows, as another sees them."""
    with psycopg.connect(url) as other:
        row = other.execute(
            "SELECT (SELECT size FROM head), (SELECT count(*) FROM entries),"
            " (SELECT size FROM checkpoint WHERE id = 1), (SELECT count(*) FROM records)"
        ).fetchone()
    assert row is not None
    return (row[0], row[1], row[2], row[3])


def check_whole(url: str) -> None:
    """A new process finds a whole log, each entry once and in its place."""
    store = PostgresStore(url)
    with open_ledger(store) as ledger:
        assert check_log(ledger)[1] == ENTRIES
        check_inclusion_of(ledger, [(i, ENTRIES[i]) for i in (0, BEFORE - 1, BEFORE, 515)])
        assert inside(url) == (BEFORE + ADDED, BEFORE + ADDED, BEFORE + ADDED, 1)
    store.close()


def test_the_steps_are_as_written(url: str) -> None:
    store = PostgresStore(url, connection_class=FaultyPostgres)
    with open_ledger(store) as ledger:
        FaultyPostgres.plan = plan = Plan()
        assert isinstance(append(ledger), Committed)
        FaultyPostgres.plan = None
    assert [step.removesuffix(" sa_savepoint_1") for step in plan.steps] == STEPS
    store.close()


@pytest.mark.parametrize("mode", [FAILED, PERSISTED])
@EACH
def test_a_connection_that_breaks_is_nobodys_worry(url: str, at: int, mode: str) -> None:
    store = PostgresStore(url, connection_class=FaultyPostgres)
    ledger = open_ledger(store)
    FaultyPostgres.plan = Plan(at, mode, psycopg.OperationalError)
    answer = append(ledger)
    assert len(FaultyPostgres.plan.steps) > at, "the fault was met"
    FaultyPostgres.plan = None
    assert isinstance(answer, Committed), answer
    assert [a.index for a in answer.appended] == list(range(BEFORE, BEFORE + ADDED))
    assert not any(a.existing for a in answer.appended), "told once, and as new"
    assert inside(url) == (BEFORE + ADDED, BEFORE + ADDED, BEFORE + ADDED, 1)
    ledger.close()
    store.close()
    check_whole(url)


@pytest.mark.parametrize("mode", [FAILED, PERSISTED])
@EACH
def test_a_fault_that_is_told_fails_the_append(url: str, at: int, mode: str) -> None:
    store = PostgresStore(url, connection_class=FaultyPostgres)
    ledger = open_ledger(store)
    FaultyPostgres.plan = Plan(at, mode, psycopg.errors.DiskFull)
    FaultyPostgres.breaks = False
    answer = append(ledger)
    FaultyPostgres.plan = None

    # 1. All of the submission is there, or nothing; no checkpoint is ahead of what is committed.
    head, entries, published, rows = inside(url)
    logged = at > COMMITTED_AT or (at == COMMITTED_AT and mode == PERSISTED)
    assert (head, entries, rows) == (
        (BEFORE + ADDED,) * 2 + (1,) if logged else (BEFORE,) * 2 + (0,)
    )
    assert published <= head
    # 2. The answer is the truth.
    if isinstance(answer, Committed):
        assert published == head == answer.size == BEFORE + ADDED
    elif isinstance(answer, LedgerError) and answer.code == "ledger-logged-not-published":
        assert STEPS[at] == "INSERT checkpoint"
    else:
        assert not logged
        assert not isinstance(answer, LedgerError) or answer.code == "ledger-store-failed"
    # 3. The same ledger goes on; the submission, repeated, is there once.
    again = ledger.append(drafts(BEFORE, ADDED), write_record)
    assert [a.existing for a in again.appended] == [logged] * ADDED
    ledger.close()
    store.close()
    check_whole(url)


@EACH
def test_a_server_that_does_not_come_back(url: str, at: int) -> None:
    store = PostgresStore(url, busy_seconds=0.1, connection_class=FaultyPostgres)
    ledger = open_ledger(store)
    FaultyPostgres.plan = Plan(at, DEAD, psycopg.OperationalError)
    answer = append(ledger)
    FaultyPostgres.plan = None
    if at < COMMITTED_AT:
        expected = "ledger-store-unreachable"
    elif at == COMMITTED_AT:
        expected = "ledger-commit-unknown"
    else:
        expected = "ledger-logged-not-published" if at < len(STEPS) - 1 else "committed"
    assert getattr(answer, "code", "committed") == expected
    logged = at > COMMITTED_AT
    head, entries, published, rows = inside(url)
    assert (head, entries, rows) == (
        (BEFORE + ADDED,) * 2 + (1,) if logged else (BEFORE,) * 2 + (0,)
    )
    assert published <= head
    again = ledger.append(drafts(BEFORE, ADDED), write_record)
    assert [a.existing for a in again.appended] == [logged] * ADDED
    ledger.close()
    store.close()
    check_whole(url)


@pytest.mark.parametrize(
    "error", [psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable]
)
def test_what_befalls_an_effect_from_outside_is_not_its_refusal(
    url: str, error: type[psycopg.Error]
) -> None:
    store = PostgresStore(url, connection_class=FaultyPostgres)
    FaultyPostgres.breaks = False
    with open_ledger(store) as ledger:
        FaultyPostgres.plan = Plan(STEPS.index("INSERT records"), FAILED, error)
        answer = append(ledger)
        FaultyPostgres.plan = None
        if error is psycopg.errors.DeadlockDetected:  # rolled back by the server, so repeated
            assert isinstance(answer, Committed)
        else:
            assert isinstance(answer, LedgerError)
            assert answer.code == "ledger-busy"
            ledger.append(drafts(BEFORE, ADDED), write_record)
    store.close()
    check_whole(url)
