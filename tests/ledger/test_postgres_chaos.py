"""PostgreSQL under four processes that append, killed again and again: nothing lost, none twice."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select

from ledger.stores.postgres import PostgresStore
from ledger.stores.sql import ENTRIES
from tests.ledger.appender import APP, SEEN
from tests.ledger.helpers import check_inclusion_of, check_log, open_ledger
from tests.ledger.processes import acknowledged, appender
from tests.postgres import Server, running

pytestmark = pytest.mark.long

NAMES = ("one", "two", "three", "four")
CHECKED = 200  # proofs verified, of those acknowledged


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, to be killed."""
    with running() as server:
        yield server


def kill_backends(server: Server, source: random.Random) -> int:
    """Ends up to three connections of the appenders, at whatever they are doing."""
    rows = server.ask(
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name = 'zhenglian' AND backend_type = 'client backend'"
    )
    chosen = source.sample(rows, min(3, len(rows)))
    return sum(server.ask("SELECT pg_terminate_backend($1)", *row)[0][0] for row in chosen)


def kill_server(server: Server, source: random.Random) -> int:
    """SIGKILL to all of it, then a start, which recovers."""
    server.kill()
    server.start()
    return 1


def disturbed(
    repo: Path,
    url: str,
    count: int,
    disturb: Callable[[], int],
    *,
    every: float,
    most: int,
) -> None:
    """Four processes append `count` batches in each of two threads; `disturb` is called every so
    many seconds until they are done, or `most` faults were made. Each must come through, whatever
    happens, and the log be whole."""
    store = PostgresStore(url)
    store.create(APP)
    open_ledger(store).close()
    store.close()
    faults = 0
    done = threading.Event()
    answers: dict[str, str] = {}
    with ExitStack() as stack:
        running_ = {n: stack.enter_context(appender(repo, url, n, count, 2)) for n in NAMES}

        def collect(name: str) -> None:
            answers[name] = running_[name].communicate()[0]
            if len(answers) == len(NAMES):
                done.set()

        threads = [threading.Thread(target=collect, args=(name,)) for name in NAMES]
        for thread in threads:
            thread.start()
        while not done.wait(every) and faults < most:
            faults += disturb()
        for thread in threads:
            thread.join()
        assert [p.returncode for p in running_.values()] == [0] * len(NAMES)

    said = [pair for text in answers.values() for pair in acknowledged(text)]
    expected = len(NAMES) * 2 * sum(1 + i % 40 for i in range(count))
    store = PostgresStore(url)
    with open_ledger(store) as ledger:
        checkpoint, entries = check_log(ledger)  # root, tiles, no entry twice
        lost = [pair for pair in said if entries[pair[0]] != pair[1]]
        doubled = len(entries) - len(set(entries)) + len(said) - len(dict(said))
        check_inclusion_of(ledger, said[:: max(1, len(said) // CHECKED)])
        with store.read() as reader:
            ask = reader.connection.execute
            assert ask(select(func.count(SEEN.c.idx))).scalar_one() == len(entries)
            assert ask(select(func.max(ENTRIES.c.idx))).scalar_one() == len(entries) - 1
    store.close()
    print(f"faults {faults}, acknowledged {len(said)}, lost {len(lost)}, doubled {doubled}")
    assert faults >= 3, "the load was over before it was disturbed"
    assert (lost, doubled) == ([], 0)
    assert len(said) == len(entries) == checkpoint.size == expected


def test_backends_ended_at_random(repo: Path, server: Server) -> None:
    source = random.Random(7)
    with server.database() as url:
        disturbed(repo, url, 40, lambda: kill_backends(server, source), every=0.15, most=60)


def test_the_server_killed_and_started_again(repo: Path, server: Server) -> None:
    source = random.Random(7)
    with server.database() as url:
        disturbed(repo, url, 40, lambda: kill_server(server, source), every=0.7, most=4)


def test_both_for_minutes(repo: Path, server: Server) -> None:
    source = random.Random()

    def either() -> int:
        kill = kill_server if source.random() < 0.2 else kill_backends
        try:
            return kill(server, source)
        except psycopg.OperationalError:
            return 0  # the connection that was to kill was among the killed

    with server.database() as url:
        disturbed(repo, url, 400, either, every=0.3, most=400)
