"""What PostgreSQL must be set to, and what the engine does when server, lock or standby fail it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from ledger.model import Committed, EntryRow
from ledger.stores.postgres import PostgresStore
from tests.ledger.appender import APP
from tests.ledger.helpers import check_log, drafts, open_ledger, refused
from tests.ledger.processes import acknowledged, appender
from tests.postgres import Server, running
from verifier.merkle import leaf_hash


@pytest.fixture
def url(postgres: Server) -> Iterator[str]:
    with postgres.database() as address:
        yield address


@pytest.fixture
def own() -> Iterator[Server]:
    """A server of the test's own, whose configuration it may change."""
    with running() as server:
        yield server


@contextmanager
def opened(url: str, **options: float) -> Iterator[PostgresStore]:
    store = PostgresStore(url, **options)  # type: ignore[arg-type]
    try:
        store.create()
        yield store
    finally:
        store.close()


def name_of(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# what makes a commit durable


@pytest.mark.parametrize("value", ["off", "local", "remote_write"])
def test_a_database_that_acknowledges_too_early_is_refused(
    postgres: Server, url: str, value: str
) -> None:
    postgres.ask(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = {value}")
    with refused("ledger-not-durable") as caught:
        PostgresStore(url)
    assert value in caught.value.detail


def test_waiting_for_the_standby_to_apply_is_more_than_enough(postgres: Server, url: str) -> None:
    postgres.ask(f"ALTER DATABASE {name_of(url)} SET synchronous_commit = remote_apply")
    with opened(url) as store, open_ledger(store) as ledger:
        assert ledger.append(drafts(0, 1)).size == 1


def test_a_server_without_fsync_is_refused_at_once_and_later(own: Server) -> None:
    with own.database() as url, opened(url) as store, open_ledger(store) as ledger:
        ledger.append(drafts(0, 1))
        own.configure(fsync="off")
        with refused("ledger-not-durable"):
            ledger.append(drafts(1, 1))
        with refused("ledger-not-durable"):
            PostgresStore(url)
        own.configure(fsync="on")
        assert ledger.append(drafts(1, 1)).size == 2


def test_a_change_of_the_servers_default_does_not_weaken_open_connections(own: Server) -> None:
    with own.database() as url, opened(url) as store, open_ledger(store) as ledger:
        ledger.append(drafts(0, 1))
        own.configure(synchronous_commit="off")
        with store.write() as writer:
            ask = writer.connection.exec_driver_sql
            assert ask("SHOW synchronous_commit").scalar_one() == "on"
            ask("SET synchronous_commit = off")  # as an effect might
            writer.commit()
        with refused("ledger-not-durable"):
            ledger.append(drafts(1, 1))
        assert check_log(ledger)[0].size == 1


def test_the_encoding_must_hold_chinese(postgres: Server) -> None:
    postgres.ask("CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 LOCALE 'C'")
    with refused("ledger-store-failed") as caught:
        PostgresStore(postgres.url("latin"))
    assert "LATIN1" in caught.value.detail
    postgres.ask("DROP DATABASE latin")


# waiting


def test_a_server_that_is_away_is_waited_for(own: Server) -> None:
    with own.database() as url, opened(url) as store, open_ledger(store) as ledger:
        ledger.append(drafts(0, 5))
        own.kill()
        later = ledger.submit(drafts(5, 5))
        own.start()
        assert later.result().size == 10
        assert check_log(ledger)[0].size == 10


def test_a_server_that_stays_away_is_reported(own: Server) -> None:
    with (
        own.database() as url,
        opened(url, busy_seconds=0.1, read_seconds=0.1) as store,
        open_ledger(store) as ledger,
    ):
        ledger.append(drafts(0, 5))
        own.kill()
        with refused("ledger-store-unreachable"):
            ledger.append(drafts(5, 5))
        with refused("ledger-store-unreachable"):
            ledger.checkpoint()
        with refused("ledger-store-unreachable"):
            PostgresStore(url, read_seconds=0.1)
        own.start()
        assert ledger.append(drafts(5, 5)).size == 10


def test_no_such_database_or_user(postgres: Server) -> None:
    for wrong in (postgres.url("nosuch"), postgres.url().replace("zhenglian@", "nosuch:secret@")):
        with refused("ledger-store-unreachable") as caught:
            PostgresStore(wrong, read_seconds=0)
        assert "nosuch" in caught.value.detail
        assert "secret" not in caught.value.detail


def test_pooled_connections_that_died_are_replaced(postgres: Server, url: str) -> None:
    with opened(url) as store, open_ledger(store) as ledger:
        ledger.append(drafts(0, 5))
        for _ in range(2):
            postgres.ask(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1",
                name_of(url),
            )
            assert ledger.size == 5
            assert ledger.append(drafts(0, 5)).appended[0].existing


def test_a_process_that_hangs_with_the_lock_loses_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.stores.postgres.IDLE_SECONDS", 0.2)
    with opened(url) as hangs, opened(url) as store, open_ledger(store) as ledger:
        with refused("ledger-commit-unknown", "ledger-store-lost"), hangs.write() as writer:
            writer.insert_entries([row(0)])
            assert ledger.append(drafts(0, 3)).size == 3  # waits until the server ended the other
            writer.commit()
        assert check_log(ledger)[0].size == 3


def test_a_statement_without_end_is_ended(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.stores.postgres.STATEMENT_SECONDS", 0.1)
    with opened(url) as store, open_ledger(store) as ledger:

        def sleeps(connection: object, _appended: object) -> None:
            connection.exec_driver_sql("SELECT pg_sleep(60)")  # type: ignore[attr-defined]

        with refused("ledger-busy"):
            ledger.append(drafts(0, 1), sleeps)
        assert ledger.append(drafts(0, 1)).size == 1


def test_readers_wait_for_no_writer_and_publishing_for_none(url: str) -> None:
    with opened(url) as store, open_ledger(store) as ledger:
        ledger.append(drafts(0, 5))
        note = ledger.checkpoint()
        with store.read() as reader:
            published = reader.published()
        assert published is not None
        with store.write() as writer:
            writer.insert_entries([row(5)])
            assert ledger.checkpoint() == note
            assert store.publish(published) == published


def test_a_connection_in_use_when_the_store_closes_is_closed_after_use(
    postgres: Server, url: str
) -> None:
    store = PostgresStore(url)
    store.create()
    with store.read() as reader:
        store.close()
        assert reader.head().size == 0
    ours = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'zhenglian' AND datname = $1"
    until(lambda: not postgres.ask(ours, name_of(url)))


# rows


def row(index: int) -> EntryRow:
    entry = bytes([index % 256]) * (index + 1)
    return (
        index,
        leaf_hash(entry),
        entry,
        -(2**31) + index,
        "市场监管" * (index % 3),
        2**40 + index,
    )


@pytest.mark.parametrize("count", [1, 7, 8, 300])
def test_rows_arrive_as_they_were_however_they_are_sent(url: str, count: int) -> None:
    rows = [row(index) for index in range(count)]
    with opened(url) as store:
        with store.write() as writer:
            writer.insert_entries(rows)
            writer.commit()
        with store.read() as reader:
            there = reader.connection.exec_driver_sql("SELECT * FROM entries ORDER BY idx").all()
    assert [tuple(each) for each in there] == rows


@pytest.mark.parametrize("count", [2, 50])
def test_a_row_that_is_there_is_told_without_its_values(url: str, count: int) -> None:
    rows = [row(index) for index in range(count)]
    with opened(url) as store:
        with refused("ledger-entry-exists") as caught, store.write() as writer:
            writer.insert_entries([*rows, (99, *rows[-1][1:])])
        assert rows[-1][1].hex() not in str(caught.value)
        with store.read() as reader:
            assert reader.last_index() is None


# standby


def test_a_commit_that_did_not_wait_for_the_standby_is_not_acknowledged(own: Server) -> None:
    """An administrator may break off the wait; then the server says so by a warning alone."""
    waiting = "SELECT pid, xact_start FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with (
        own.database() as url,
        opened(url) as store,
        open_ledger(store) as ledger,
        ThreadPoolExecutor(1) as pool,
    ):
        own.configure(synchronous_standby_names="absent")
        answer = pool.submit(ledger.append, drafts(0, 3))
        seen: set[object] = set()
        while len(seen) < 3:  # the commit; then those that ask what became of it
            until(lambda: set(own.ask(waiting)) - seen)
            assert not answer.done()
            ((pid, started),) = own.ask(waiting)
            seen.add((pid, started))
            own.ask("SELECT pg_cancel_backend($1)", pid)
        until(lambda: own.ask(waiting))
        assert not answer.done()
        assert ledger.size == 0
        own.configure(synchronous_standby_names="")
        done = answer.result()
        assert isinstance(done, Committed)
        assert [(a.index, a.existing) for a in done.appended] == [
            (0, False),
            (1, False),
            (2, False),
        ]
        assert check_log(ledger)[0].size == 3


def test_a_standby_takes_over_while_clients_write(repo: Path, own: Server) -> None:
    with own.database() as url, own.standby() as other:
        with opened(url) as store:
            store.create(APP)
            open_ledger(store).close()
        both = url.replace(f"host={own.folder}", f"host={own.folder},{other.folder}")
        both += "&target_session_attrs=read-write"
        texts: dict[str, str] = {}
        names = ("one", "two")
        with appender(repo, both, "one", 60, 2) as one, appender(repo, both, "two", 60, 2) as two:
            processes = dict(zip(names, (one, two), strict=True))

            def collect(name: str) -> None:
                texts[name] = processes[name].communicate()[0]

            threads = [threading.Thread(target=collect, args=(name,)) for name in names]
            for thread in threads:
                thread.start()
            until(lambda: own.ask("SELECT size FROM head", database=name_of(url))[0][0] > 300)
            own.kill()
            other.ask("SELECT pg_promote()")
            for thread in threads:
                thread.join()
            assert [process.returncode for process in (one, two)] == [0, 0]
        said = [pair for text in texts.values() for pair in acknowledged(text)]
        there = other.url(name_of(url))
        with opened(there) as store, open_ledger(store) as ledger:
            entries = check_log(ledger)[1]
        assert all(entries[index] == entry for index, entry in said)
        assert (
            len(dict(said)) == len(said) == len(entries) == 4 * sum(1 + i % 40 for i in range(60))
        )
        own.start()  # only so that its database can be put away
        own.configure(synchronous_standby_names="")
