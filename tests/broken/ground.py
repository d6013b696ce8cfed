"""What every part is given, and the parts themselves."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.broken.summary import Outcome
from tests.broken.writers import Nursery

_NAMES = count()


@dataclass(frozen=True)
class Ground:
    """A nursery of writers, an empty folder, and where the part takes its chances from."""

    nursery: Nursery
    folder: Path
    source: random.Random

    @contextmanager
    def sqlite(self) -> Iterator[str]:
        """The address of a SQLite store that is not there yet."""
        path = self.folder / f"{next(_NAMES)}.db"
        yield f"sqlite:///{path}"
        for left in self.folder.glob(f"{path.name}*"):
            left.unlink()

    def fresh(self, name: str) -> Path:
        """An empty folder in it, again and again."""
        made = self.folder / name
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        return made


def portions(rounds: int, of_a_log: int) -> Iterator[int]:
    """So many rounds, divided among logs."""
    while rounds > 0:
        yield min(rounds, of_a_log)
        rounds -= of_a_log


@dataclass(frozen=True)
class Part:
    """`run` yields its rows; `bounded` rounds are what continuous integration has time for, and
    `rounds` a long run."""

    run: Callable[[Ground, int], Iterator[Outcome]]
    bounded: int
    rounds: int
