"""The ledger at a million entries: opening, memory, a cold proof, and durable appends.

The appends' raw figure is the same rows by the driver's `executemany` in batches of 1,000 into the
same table with its index, in SQLite in WAL mode with `synchronous=FULL`; `bench.postgres` does the
like on PostgreSQL. Opening and proving happen in a process of their own.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench import postgres
from keys.signer import SoftwareSigner
from keys.suites import suite_named
from ledger.ledger import Ledger
from ledger.model import Draft
from ledger.stores import open_store
from verifier.note import NoteSigner

ENTRIES = 1_000_000
BATCH = 1_000
MEASURED = 100_000  # entries of the append comparison
ENTRY_BYTES = 300
PAGE_CACHE_KIB = 32 << 10
"""What one SQLite connection keeps of the file, whatever its size (`ledger.stores.sqlite`)."""
SLACK_KIB = 4 << 10
_ORIGIN = "bench.example"
_SEED = bytes(32)
_INSERT = "INSERT INTO entries (idx, leaf_hash, data, kind, dept, time_ms) VALUES (?,?,?,?,?,?)"


def bench() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as folder:
        raw = _raw_rate(Path(folder) / "raw.db")
        ours, path = _fill(Path(folder) / "ours.db")
        small = Path(folder) / "small.db"
        _make(small, 10)
        at_million, at_ten = _probe(path), _probe(small)
        size = path.stat().st_size / ENTRIES
    opened, opened_ten = at_million["open_ms"], at_ten["open_ms"]
    at_open, at_open_ten = at_million["open_kib"], at_ten["open_kib"]
    rss, rss_ten = at_million["rss_kib"], at_ten["rss_kib"]
    cold, proof = at_million["cold_ms"], at_million["proof_ms"]
    slim, quick = at_open <= 1.1 * at_open_ten, "< 5 ms"
    cached = rss - rss_ten <= PAGE_CACHE_KIB + SLACK_KIB
    million = "1,000,000 entries"
    return [
        _row(
            "SQLite: durable append, batches of 1,000",
            ours,
            "entries/s",
            raw,
            ours / raw,
            "≥ 0.4 of raw",
            ours / raw >= 0.4,
        ),
        _row(
            f"open a ledger of {million}",
            opened,
            "ms",
            opened_ten,
            opened / opened_ten,
            "< 1,000 ms",
            opened < 1_000,
        ),
        _row(
            "memory of that process, opened; raw: at 10 entries",
            at_open,
            "KiB",
            at_open_ten,
            at_open / at_open_ten,
            "≤ 1.1 of raw",
            slim,
        ),
        _row(
            "memory of that process after 201 proofs; raw: at 10 entries",
            rss,
            "KiB",
            rss_ten,
            rss / rss_ten,
            "≤ raw + page cache of 32 MiB",
            cached,
        ),
        _row(f"first proof after opening, {million}", cold, "ms", None, None, quick, cold < 5),
        _row("median proof at random indices", proof, "ms", None, None, quick, proof < 5),
        _row(
            "bytes on disk an entry of 300 bytes",
            size,
            "bytes",
            ENTRY_BYTES,
            size / ENTRY_BYTES,
            None,
            None,
        ),
        *postgres.rows(),
    ]


def _row(
    name: str,
    value: float,
    unit: str,
    raw: float | None,
    ratio: float | None,
    bound: str | None,
    holds: bool | None,
) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "raw": raw,
        "ratio": ratio,
        "bound": bound,
        "holds": holds,
    }


def _entry(number: int) -> bytes:
    return number.to_bytes(8, "big") * (ENTRY_BYTES // 8) + bytes(ENTRY_BYTES % 8)


def _raw_rate(path: Path) -> float:
    store = open_store(f"sqlite:///{path}")
    store.create()
    store.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    entries = [_entry(number) for number in range(MEASURED)]
    hashes = [sha256(b"\x00" + entry).digest() for entry in entries]
    started = time.perf_counter()
    for at in range(0, MEASURED, BATCH):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            _INSERT,
            [(i, hashes[i], entries[i], 16, "market", 0) for i in range(at, at + BATCH)],
        )
        connection.execute("COMMIT")
    rate = MEASURED / (time.perf_counter() - started)
    connection.close()
    return rate


def _open(path: Path) -> Ledger:
    store = open_store(f"sqlite:///{path}")
    store.create()
    signer = NoteSigner(_ORIGIN, SoftwareSigner(suite_named("ed25519"), _SEED))
    return Ledger.open(store, origin=_ORIGIN, signers=[signer], clock=time.time)


def _make(path: Path, entries: int) -> None:
    with _open(path) as ledger:
        ledger.append([Draft(_entry(number), 16, "market") for number in range(entries)])


def _fill(path: Path) -> tuple[float, Path]:
    """(entries a second over the first `MEASURED`, path) of a ledger of a million entries."""
    rate = 0.0
    with _open(path) as ledger:
        started = time.perf_counter()
        for at in range(0, ENTRIES, BATCH):
            ledger.append([Draft(_entry(i), 16, "market") for i in range(at, at + BATCH)])
            if at + BATCH == MEASURED:
                rate = MEASURED / (time.perf_counter() - started)
    return rate, path


def _probe(path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.ledger", str(path)],
        check=True,
        capture_output=True,
        env=dict(os.environ),
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _probed(path: Path) -> dict[str, float]:
    """In the child: open, prove once, prove at random indices; milliseconds and KiB."""
    import random
    import statistics

    started = time.perf_counter()
    ledger = _open(path)
    opened = time.perf_counter()
    open_kib = _resident_kib()
    source = random.Random(7)
    indices = [source.randrange(ledger.size) for _ in range(201)]
    times = []
    for index in indices:
        begun = time.perf_counter()
        ledger.inclusion_proof(index)
        times.append((time.perf_counter() - begun) * 1e3)
    ledger.close()
    return {
        "open_ms": (opened - started) * 1e3,
        "cold_ms": times[0],
        "proof_ms": statistics.median(times[1:]),
        "open_kib": open_kib,
        "rss_kib": _resident_kib(),
    }


def _resident_kib() -> int:
    """Memory of this process now. (The peak of `getrusage` is inherited from the parent.)"""
    status = Path("/proc/self/status")
    if not status.exists():
        done = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(os.getpid())], check=True, capture_output=True
        )
        return int(done.stdout)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


if __name__ == "__main__":
    print(json.dumps(_probed(Path(sys.argv[1]))))
