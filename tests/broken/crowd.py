"""Writers on one log, the fault that comes upon them, and what they said."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.broken.check import check
from tests.broken.ground import Ground
from tests.broken.summary import Outcome
from tests.broken.writers import Job, Said, Writer, founded

PATIENCE = 60.0
"""Seconds within which a writer must be answered once the fault is gone."""
_PAUSE = 0.005  # seconds between the batches of a writer, so that logs stay small

T = TypeVar("T")


class Crowd:
    """So many writers; `how` goes to their jobs. The log is founded where nobody did before."""

    def __init__(
        self,
        ground: Ground,
        url: str,
        outcome: Outcome,
        count: int = 2,
        *,
        found: bool = True,
        **how: Any,
    ) -> None:
        self.url, self.said, self.writers = url, Said(), list[Writer]()
        self._ground, self._outcome, self._count, self._how = ground, outcome, count, how
        self._started = 0
        if found:
            founded(url)

    def start(self, *, wait: bool = True) -> None:
        """As many writers as there should be; returns when all of them have been answered."""
        while len(self.writers) < self._count:
            self._started += 1
            job = Job(
                self.url,
                f"{self._started}",
                pause=_PAUSE,
                fold=self._ground.source.choice((1, 20, 16_384)),
                **self._how,
            )
            self.writers.append(self._ground.nursery.start(job, self.said))
        for writer in self.writers if wait else ():
            assert writer.heard.wait(PATIENCE), self.said

    def kill(self) -> None:
        while self.writers:
            writer = self.writers.pop()
            writer.kill()
            writer.join()

    def stop(self) -> None:
        """In order: the last one out folds SQLite's log away."""
        for writer in self.writers:
            writer.stop()
        while self.writers:
            self.writers.pop().join()

    def until_told(self, errors: int) -> None:
        """Returns when somebody was told of an error beyond these."""
        deadline = time.monotonic() + PATIENCE
        while self.said.errors.total() == errors:
            assert time.monotonic() < deadline, f"nobody was told of the fault: {self.said.errors}"
            time.sleep(0.005)

    def round(self, break_: Callable[[], T], mend: Callable[[T], object]) -> None:
        """The fault comes, somebody is told, perhaps a writer is killed and another starts, the
        fault goes; then every writer is answered again."""
        if self.writers:
            self.start()
        errors = self.said.errors.total()
        broken = break_()
        self.start(wait=False)
        self.until_told(errors)
        if self._ground.source.random() < 0.3:
            writer = self.writers.pop()
            writer.kill()
            writer.join()
            self.start(wait=False)
        time.sleep(self._ground.source.uniform(0, 0.1))
        self._outcome.faults += self.said.errors.total() - errors
        mend(broken)
        for writer in self.writers:
            writer.next(PATIENCE)

    def check(self, *, restarted: bool = False) -> None:
        self.stop()
        self._outcome.checked(check(self.url, self.said, restarted=restarted), self.said)
