"""Real processes on one SQLite file: killed with SIGKILL at any moment, and several at once."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.stores.sqlite import SqliteStore
from tests.ledger.helpers import check_inclusion_of, check_log, drafts, open_ledger

ENDLESS = 1_000_000


@contextmanager
def appender(
    repo: Path, path: Path, name: str, count: int, threads: int
) -> Iterator["subprocess.Popen[str]"]:
    command = [
        sys.executable,
        "-m",
        "tests.ledger.appender",
        str(path),
        name,
        str(count),
        str(threads),
    ]
    with subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged(text: str) -> list[tuple[int, bytes]]:
    """What whole lines say; the one being written at death does not count."""
    pairs = []
    for line in text.splitlines(keepends=True):
        if line.endswith("\n") and line != "done\n":
            index, entry = line[:-1].split(" ", 1)
            pairs.append((int(index), entry.encode()))
    return pairs


def test_sigkill_loses_nothing_that_was_acknowledged(repo: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    said: list[tuple[int, bytes]] = []
    for round_number, lines in enumerate((1, 40, 333, 900, 1500)):
        name = f"round {round_number}"
        with appender(repo, path, name, ENDLESS, threads=1 + 3 * (round_number % 2)) as process:
            assert process.stdout is not None
            text = "".join(process.stdout.readline() for _ in range(lines))
            process.send_signal(signal.SIGKILL)
            text += process.stdout.read()
        assert process.returncode == -signal.SIGKILL
        now = acknowledged(text)
        assert len(now) >= lines
        said += now

        # What the dead process left: domain rows and entries agree before anything is opened.
        raw = sqlite3.connect(path)
        rows, entries = (
            raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("seen", "entries")
        )
        raw.close()
        assert rows == entries - round_number >= len(said)  # one by this test in each round

        store = SqliteStore(path)
        with open_ledger(store) as ledger:
            checkpoint, logged = check_log(ledger)
            assert checkpoint.size == entries
            assert len(dict(said)) == len(said), "no index was given twice"
            assert all(logged[index] == entry for index, entry in said)
            check_inclusion_of(ledger, said[:: max(1, len(said) // 20)] + now[-3:])
            ledger.append(drafts(0, 1, name))
        store.close()


def test_processes_append_to_one_file(repo: Path, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with (
        appender(repo, path, "one", 20, 2) as one,
        appender(repo, path, "two", 20, 2) as two,
        appender(repo, path, "one", 20, 2) as same,
    ):
        answers = [acknowledged(process.communicate()[0]) for process in (one, two, same)]
        assert [process.returncode for process in (one, two, same)] == [0, 0, 0]
    per_process = 2 * sum(1 + i % 40 for i in range(20))
    assert [len(a) for a in answers] == [per_process] * 3
    assert sorted(answers[0]) == sorted(answers[2])  # the same entries: logged once, both told
    store = SqliteStore(path)
    with open_ledger(store) as ledger:
        checkpoint, logged = check_log(ledger)
        assert checkpoint.size == 2 * per_process
        assert all(logged[index] == entry for answer in answers for index, entry in answer)
        check_inclusion_of(ledger, answers[1][::50])
    store.close()
