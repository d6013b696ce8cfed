"""Durable appends to PostgreSQL, beside the raw rate of the same rows without a tree.

Both run on one server that is started here, `fsync` and `synchronous_commit` on, in turns of ten
batches, so that what else the machine does befalls both. The raw figure is the better of psycopg's
`COPY … BINARY` by rows, and of one block of bytes, into a table with the same columns and keys.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import psycopg

from keys.signer import SoftwareSigner
from keys.suites import suite_named
from ledger.ledger import Ledger
from ledger.model import Draft, EntryRow
from ledger.stores import open_store
from ledger.stores.postgres import _COPY, _copied
from tests.postgres import Server, binaries, running
from verifier.note import NoteSigner

BATCH = 1_000
TURNS, TURN = 5, 10 * BATCH
TOGETHER = 40 * BATCH  # entries appended by one process, or by two together
SINGLES, CLIENTS = 6_400, 64
ENTRY_BYTES = 300
_ORIGIN, _SEED = "bench.example", bytes(32)
_TYPES = ["int8", "bytea", "bytea", "int4", "text", "int8"]
_Row = dict[str, Any]


def rows() -> list[_Row]:
    if binaries() is None:
        sys.stderr.write("no PostgreSQL here: its figures are left out\n")
        return []
    with running() as server:
        with server.database() as url:
            ours, raw = _against_raw(url)
        batches = _together(server, "batches", 1), _together(server, "batches", 2)
        singles = _together(server, "singles", 1), _together(server, "singles", 2)
    return [
        _row("PostgreSQL: durable append, batches of 1,000", ours, raw, "≥ 0.4 of raw", 0.4),
        _row("PostgreSQL: the same by two processes; raw: by one", batches[1], batches[0]),
        _row(
            f"PostgreSQL: {CLIENTS} clients, one entry each time, two processes; raw: one",
            singles[1],
            singles[0],
        ),
    ]


def _row(name: str, ours: float, raw: float, bound: str | None = None, least: float = 0) -> _Row:
    return {
        "name": name,
        "value": ours,
        "unit": "entries/s",
        "raw": raw,
        "ratio": ours / raw,
        "bound": bound,
        "holds": ours / raw >= least if bound else None,
    }


def _entry(number: int) -> bytes:
    return number.to_bytes(8, "big") * (ENTRY_BYTES // 8) + bytes(ENTRY_BYTES % 8)


def _open(url: str) -> Ledger:
    store = open_store(url)
    store.create()
    signer = NoteSigner(_ORIGIN, SoftwareSigner(suite_named("ed25519"), _SEED))
    return Ledger.open(store, origin=_ORIGIN, signers=[signer], clock=time.time)


def _against_raw(url: str) -> tuple[float, float]:
    """(entries a second by the ledger, rows a second by the driver alone)."""
    spent = {"ours": 0.0, "by rows": 0.0, "by bytes": 0.0}
    with _open(url) as ledger, psycopg.connect(url, autocommit=True) as connection:
        for table in ("raw_by_rows", "raw_by_bytes"):
            connection.execute(f"CREATE TABLE {table} (LIKE entries INCLUDING ALL)".encode())
        for turn in range(TURNS):
            first = turn * TURN
            entries = [_entry(i) for i in range(first, first + TURN)]
            hashes = [sha256(b"\x00" + entry).digest() for entry in entries]
            batches: list[list[EntryRow]] = [
                [(first + i, hashes[i], entries[i], 16, "market", 0) for i in range(at, at + BATCH)]
                for at in range(0, TURN, BATCH)
            ]
            drafts = [[Draft(row[2], row[3], row[4]) for row in batch] for batch in batches]
            spent["by rows"] += _timed(lambda b: _copy_rows(connection, b), batches)
            spent["ours"] += _timed(ledger.append, drafts)
            spent["by bytes"] += _timed(lambda b: _copy_bytes(connection, b), batches)
        ledger.close()
        ledger.store.close()
    total = TURNS * TURN
    return total / spent["ours"], total / min(spent["by rows"], spent["by bytes"])


def _timed(work: Callable[[Any], object], batches: Sequence[object]) -> float:
    started = time.perf_counter()
    for batch in batches:
        work(batch)
    return time.perf_counter() - started


def _copy_rows(connection: psycopg.Connection[Any], batch: Sequence[EntryRow]) -> None:
    statement = _COPY.replace("entries", "raw_by_rows")
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.set_types(_TYPES)
        for row in batch:
            copy.write_row(row)


def _copy_bytes(connection: psycopg.Connection[Any], batch: Sequence[EntryRow]) -> None:
    statement = _COPY.replace("entries", "raw_by_bytes")
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(_copied(batch))


def _together(server: Server, what: str, processes: int) -> float:
    """Entries a second that so many processes append to one ledger, all of them together."""
    with server.database() as url:
        _open(url).close()
        command = [sys.executable, "-m", "bench.postgres", url, what]
        children = [
            subprocess.Popen(
                [*command, str(number), str(processes)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for number in range(processes)
        ]  # fmt: skip
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        started = time.perf_counter()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.close()
        assert [child.wait() for child in children] == [0] * processes
        spent = time.perf_counter() - started
        for child in children:
            assert child.stdout is not None
            child.stdout.close()
    return (TOGETHER if what == "batches" else SINGLES) / spent


def _child(url: str, what: str, number: int, processes: int) -> None:
    with _open(url) as ledger:
        if what == "batches":
            share = TOGETHER // processes
            work = [
                [Draft(_entry(i), 16, "market") for i in range(at, at + BATCH)]
                for at in range(number * share, (number + 1) * share, BATCH)
            ]
            clients = 2  # one batch is prepared while another is written
        else:
            share = SINGLES // processes
            work = [
                [Draft(_entry(i), 16, "market")]
                for i in range(number * share, (number + 1) * share)
            ]
            clients = CLIENTS // processes
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(ledger.append, work))


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
