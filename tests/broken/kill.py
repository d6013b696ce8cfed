"""SIGKILL at random moments under load: of writers on one SQLite file, and of PostgreSQL's clients.

Each round starts three processes on one log and kills each at a moment of its own: some before
they have opened it, most within many batches.
"""

import time
from collections.abc import Iterator, Sequence
from operator import itemgetter

from tests.broken.check import check
from tests.broken.ground import Ground
from tests.broken.summary import Outcome
from tests.broken.writers import Job, Said, Writer, founded
from tests.postgres import running

PROCESSES = 3
LONGEST = 0.4  # seconds
EARLY = 0.25  # of the writers: killed before they have opened the log, or while they do
ROUNDS_OF_A_LOG = 20


def sqlite_writers(ground: Ground, rounds: int) -> Iterator[Outcome]:
    outcome = Outcome("SIGKILL of writers, SQLite")
    while rounds > 0:
        with ground.sqlite() as url:
            rounds -= _killed(ground, url, rounds, outcome)
    yield outcome


def postgres_clients(ground: Ground, rounds: int) -> Iterator[Outcome]:
    outcome = Outcome("SIGKILL of clients, PostgreSQL")
    with running() as server:
        while rounds > 0:
            with server.database() as url:
                rounds -= _killed(ground, url, rounds, outcome)
    yield outcome


def _killed(ground: Ground, url: str, rounds: int, outcome: Outcome) -> int:
    """At most so many rounds on a log of its own; how many it were."""
    founded(url)
    said = Said()
    rounds = min(rounds, ROUNDS_OF_A_LOG)
    for round_ in range(rounds):
        # SQLite folds its log into the file now and then; here often, to be killed at it.
        writers = [
            ground.nursery.start(
                Job(
                    url,
                    f"{round_} {n}",
                    threads=1 + n % 2,
                    fold=ground.source.choice((1, 20, 16_384)),
                ),
                said,
            )
            for n in range(PROCESSES)
        ]
        early = [writer for writer in writers if ground.source.random() < EARLY]
        _kill_at_random(ground, early)
        late = [writer for writer in writers if writer not in early]
        for writer in late:
            assert writer.heard.wait(60), "a writer acknowledged nothing within a minute"
        _kill_at_random(ground, late)
        for writer in writers:
            writer.join()
        outcome.faults += PROCESSES
    outcome.checked(check(url, said), said)
    return rounds


def _kill_at_random(ground: Ground, writers: Sequence[Writer]) -> None:
    start = time.monotonic()
    for moment, writer in sorted(
        ((ground.source.uniform(0, LONGEST), writer) for writer in writers), key=itemgetter(0)
    ):
        time.sleep(max(0.0, start + moment - time.monotonic()))
        writer.kill()
