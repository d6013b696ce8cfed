"""The table of parts, and how one is run."""

import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.broken import kill
from tests.broken.ground import Ground, Part
from tests.broken.summary import Outcome, Unavailable
from tests.broken.writers import nursery

PARTS: Mapping[str, Part] = {
    "kill-sqlite": Part(kill.sqlite_writers, bounded=10, rounds=300),
    "kill-postgres": Part(kill.postgres_clients, bounded=10, rounds=200),
}


def run(name: str, rounds: int | None, seed: int) -> Iterator[Outcome]:
    """The rows of one part; what this machine does not permit is a row that says so."""
    part = PARTS[name]
    with nursery() as made, tempfile.TemporaryDirectory(prefix="zl-broken-") as folder:
        start = time.monotonic()
        ground = Ground(made, Path(folder), random.Random(seed))
        try:
            for outcome in part.run(ground, part.rounds if rounds is None else rounds):
                outcome.seconds = time.monotonic() - start
                start = time.monotonic()
                yield outcome
        except Unavailable as reason:
            yield Outcome(name, unavailable=str(reason))
