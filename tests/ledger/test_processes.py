"""Real processes on one store: killed with SIGKILL at any moment, and several at once."""

import signal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ledger.stores import open_store
from ledger.stores.sql import ENTRIES
from tests.ledger.appender import SEEN
from tests.ledger.helpers import check_inclusion_of, check_log, drafts, open_ledger
from tests.ledger.processes import acknowledged, appender

ENDLESS = 1_000_000
on_disk = pytest.mark.parametrize("scheme", ["sqlite", "postgresql"])


@pytest.mark.long
@on_disk
def test_sigkill_loses_nothing_that_was_acknowledged(repo: Path, url: str) -> None:
    said: list[tuple[int, bytes]] = []
    for round_number, lines in enumerate((1, 40, 333, 900, 1500)):
        name = f"round {round_number}"
        with appender(repo, url, name, ENDLESS, threads=1 + 3 * (round_number % 2)) as process:
            assert process.stdout is not None
            text = "".join(process.stdout.readline() for _ in range(lines))
            process.send_signal(signal.SIGKILL)
            text += process.stdout.read()
        assert process.returncode == -signal.SIGKILL
        now = acknowledged(text)
        assert len(now) >= lines
        said += now

        # What the dead process left: domain rows and entries agree before anything is opened.
        store = open_store(url)
        with store.read() as reader:
            rows, entries = (
                reader.connection.execute(select(func.count(column))).scalar_one()
                for column in (SEEN.c.idx, ENTRIES.c.idx)
            )
        assert rows == entries - round_number >= len(said)  # one by this test in each round

        with open_ledger(store) as ledger:
            checkpoint, logged = check_log(ledger)
            assert checkpoint.size == entries
            assert len(dict(said)) == len(said), "no index was given twice"
            assert all(logged[index] == entry for index, entry in said)
            check_inclusion_of(ledger, said[:: max(1, len(said) // 20)] + now[-3:])
            ledger.append(drafts(0, 1, name))
        store.close()


@on_disk
def test_processes_append_to_one_store(repo: Path, url: str) -> None:
    with (
        appender(repo, url, "one", 20, 2) as one,
        appender(repo, url, "two", 20, 2) as two,
        appender(repo, url, "one", 20, 2) as same,
    ):
        answers = [acknowledged(process.communicate()[0]) for process in (one, two, same)]
        assert [process.returncode for process in (one, two, same)] == [0, 0, 0]
    per_process = 2 * sum(1 + i % 40 for i in range(20))
    assert [len(a) for a in answers] == [per_process] * 3
    assert sorted(answers[0]) == sorted(answers[2])  # the same entries: logged once, both told
    store = open_store(url)
    with open_ledger(store) as ledger:
        checkpoint, logged = check_log(ledger)
        assert checkpoint.size == 2 * per_process
        assert all(logged[index] == entry for answer in answers for index, entry in answer)
        check_inclusion_of(ledger, answers[1][::50])
    store.close()
