"""The table of parts, and how one is run."""

import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from keys.errors import ZhenglianError
from tests.broken import clocks, disk, faults, kill, server, syscalls, witnesses
from tests.broken.check import Verdict
from tests.broken.ground import Ground, Part
from tests.broken.summary import Outcome, Unavailable
from tests.broken.writers import nursery

PARTS: Mapping[str, Part] = {
    "faults-sqlite": Part(faults.sqlite, bounded=8, rounds=1000),
    "faults-postgres": Part(faults.postgres, bounded=8, rounds=1000),
    "kill-sqlite": Part(kill.sqlite_writers, bounded=6, rounds=300),
    "kill-postgres": Part(kill.postgres_clients, bounded=5, rounds=200),
    "full": Part(disk.full, bounded=3, rounds=100),
    "limited": Part(disk.limited, bounded=3, rounds=100),
    "read-only": Part(disk.read_only, bounded=2, rounds=50),
    "chmod": Part(disk.forbidden, bounded=4, rounds=50),
    "ext4": Part(disk.aborted, bounded=2, rounds=40),
    "power": Part(disk.power_cut, bounded=2, rounds=100),
    "syscalls": Part(syscalls.failed_once, bounded=3, rounds=400),
    "postgres": Part(server.killed, bounded=2, rounds=60),
    "commit": Part(server.in_commit, bounded=1, rounds=60),
    "standby": Part(server.promoted, bounded=1, rounds=15),
    "postgres-full": Part(server.full, bounded=1, rounds=15),
    "witnesses": Part(witnesses.misbehaving, bounded=4, rounds=150),
    "brought-back": Part(witnesses.brought_back, bounded=2, rounds=20),
    "clock-city": Part(clocks.city, bounded=6, rounds=200),
    "clock-witnesses": Part(clocks.witnesses, bounded=4, rounds=100),
}


def run(name: str, rounds: int | None, seed: int) -> Iterator[Outcome]:
    """The rows of one part; what this machine does not permit is a row that says so."""
    part = PARTS[name]
    with tempfile.TemporaryDirectory(prefix="zl-broken-") as folder, nursery() as made:
        start = time.monotonic()
        ground = Ground(made, Path(folder), random.Random(seed))
        try:
            for outcome in part.run(ground, part.rounds if rounds is None else rounds):
                outcome.seconds = time.monotonic() - start
                start = time.monotonic()
                yield outcome
        except Unavailable as reason:
            yield Outcome(name, unavailable=str(reason))
        except (AssertionError, ZhenglianError) as error:
            yield Outcome(name, verdict=Verdict(wrong=[str(error)]))
