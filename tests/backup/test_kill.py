"""Killed with SIGKILL at any moment, while others append: a backup is whole or has no name, and a
restored database is whole or empty."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import MetaData, inspect

from ledger.backup.make import examine
from ledger.backup.restore import check
from ledger.stores import open_store
from tests.backup.conftest import ENGINES
from tests.backup.town import founded, log_keys
from tests.ledger.helpers import drafts, open_ledger

ENTRIES = 20_000
ROUNDS = 15


class Killer:
    """Runs `tests.backup.child` to its end once, then kills it within that time."""

    def __init__(self, repo: Path, tmp_path: Path) -> None:
        self._repo, self._folder = repo, tmp_path
        self._seconds = 0.0
        self._chance = random.Random(4)
        self._runs = 0

    def __call__(self, what: str, url: str, file: Path, *, whole: bool = False) -> bool:
        """Whether it came to its end."""
        self._runs += 1
        steps = self._folder / f"steps {self._runs}"
        command = [sys.executable, "-m", "tests.backup.child", what, url, str(steps), str(file)]
        with subprocess.Popen(
            command, cwd=self._repo, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            began = time.monotonic()
            if not whole:
                time.sleep(self._chance.random() * self._seconds)
                process.kill()
            process.wait()
        if whole:
            assert process.returncode == 0
            self._seconds = time.monotonic() - began
        return process.returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_a_backup_is_whole_or_has_no_name(
    repo: Path, tmp_path: Path, town: MetaData, address: Callable[[str], str], engine: str
) -> None:
    url = address(engine)
    store = founded(open_store(url), town, ENTRIES)
    stop = threading.Event()

    def appending() -> None:
        with open_ledger(store) as ledger:
            while not stop.is_set():
                ledger.append(drafts(ledger.size, 20, "meanwhile"))

    writer = threading.Thread(target=appending)
    writer.start()
    kill, whole = Killer(repo, tmp_path), 0
    try:
        kill("make", url, tmp_path / "first", whole=True)
        for number in range(ROUNDS):
            file = tmp_path / f"backup {number}"
            kill("make", url, file)
            if file.exists():
                with file.open("rb") as made:
                    assert check(made, log_keys=log_keys).inspected.contents.size >= ENTRIES
                whole += 1
    finally:
        stop.set()
        writer.join()
    drafts_left = [path for path in tmp_path.iterdir() if path.name.startswith(".backup")]
    assert len(drafts_left) > ROUNDS // 4
    assert whole + len(drafts_left) <= ROUNDS
    assert examine(store, [town], log_keys=log_keys)[1] == []
    store.close()


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_a_restored_database_is_whole_or_empty(
    repo: Path, tmp_path: Path, town: MetaData, address: Callable[[str], str], engine: str
) -> None:
    source = founded(open_store(address("sqlite")), town, ENTRIES)
    file, kill, empty = tmp_path / "backup", Killer(repo, tmp_path), 0
    kill("make", f"sqlite:///{source.path}", file, whole=True)  # type: ignore[attr-defined]
    source.close()
    kill("restore", address(engine), file, whole=True)
    url = address(engine)
    for _ in range(ROUNDS):
        kill("restore", url, file)
        store = open_store(url)
        with store.read() as reader:
            tables = inspect(reader.connection).get_table_names()
        if tables:
            inspected, faults = examine(store, [town], log_keys=log_keys)
            assert faults == []
            assert inspected is not None
            assert inspected.contents.size == ENTRIES
            url = address(engine)
        else:
            empty += 1
        store.close()
    assert empty > ROUNDS // 4
    kill("restore", address(engine), file, whole=True)
