"""The disk under SQLite: full, limited, read-only, forbidden, broken, without power.

In each round two writers meet the fault in mid-work, or start into it; the fault goes, and writing
must go on: in the same processes where the file system can come back under them.
"""

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.broken import mounts
from tests.broken.check import check
from tests.broken.ground import Ground
from tests.broken.summary import Outcome
from tests.broken.writers import NOBODY, Job, Said, Writer, founded

ROUNDS_OF_A_LOG = 10
_PAUSE = 0.005  # seconds between the batches of a writer, so that disks stay small
_PATIENCE = 60.0

T = TypeVar("T")


def full(ground: Ground, rounds: int) -> Iterator[Outcome]:
    outcome = Outcome("disk full, SQLite")
    for log in _logs(rounds):
        with mounts.tmpfs(ground.folder / "full", 48) as folder:
            load = _Load(ground, folder / "ledger.db", outcome)
            for _ in range(log):
                load.start()
                load.round(partial(_filled, ground, folder), Path.unlink)
            load.check()
    yield outcome


def limited(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """RLIMIT_FSIZE: writes beyond an offset are refused (EFBIG), to running processes."""
    outcome = Outcome("file size limited, SQLite")
    for log in _logs(rounds):
        with ground.sqlite() as url:
            load = _Load(ground, Path(url.removeprefix("sqlite:///")), outcome)
            for _ in range(log):
                load.start()
                load.round(partial(_limited, ground, load), _unlimit)
            load.check()
    yield outcome


def read_only(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """A file system with files open for writing cannot be turned read-only in an orderly way; so
    writers are killed, and new ones start into it."""
    outcome = Outcome("read-only file system, SQLite")
    for log in _logs(rounds):
        with mounts.tmpfs(ground.folder / "read-only", 48) as folder:
            load = _Load(ground, folder / "ledger.db", outcome)
            for _ in range(log):
                load.kill()
                load.round(
                    partial(mounts.read_only, folder, yes=True),
                    lambda _: mounts.read_only(folder, yes=False),
                )
            load.check()
    yield outcome


def forbidden(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """chmod, of the file, of the folder and of both; writers that have it open may go on."""
    outcome = Outcome("chmod, SQLite")
    for log in _logs(rounds):
        folder = ground.folder / "forbidden"
        folder.mkdir(exist_ok=True)
        ground.folder.chmod(0o755)
        path = folder / "ledger.db"
        founded(f"sqlite:///{path}")
        mounts.run("chown", "-R", f"{NOBODY}:{NOBODY}", folder)
        load = _Load(ground, path, outcome, as_nobody=True)
        for number in range(log):
            modes = [(0o400, 0o700), (0o600, 0o500), (0o000, 0o700), (0o600, 0o000)]
            file, place = modes[number % len(modes)]
            load.stop()
            load.round(partial(_mode, path, file, place), partial(_allowed, path))
        load.check()
        for left in folder.iterdir():
            left.unlink()
    yield outcome


def aborted(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """ext4 turns itself read-only under running writers, as it does after an error of the disk;
    it must be mounted anew before writing goes on."""
    outcome = Outcome("ext4 turns read-only, SQLite")
    yield from _broken_disk(ground, rounds, outcome, mounts.Disk.abort)


def power_cut(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """What was not synchronised is gone: only what fsync promised is found again."""
    outcome = Outcome("power cut under ext4, SQLite")
    yield from _broken_disk(ground, rounds, outcome, mounts.Disk.cut_power)


def _broken_disk(
    ground: Ground, rounds: int, outcome: Outcome, break_: Callable[[mounts.Disk], None]
) -> Iterator[Outcome]:
    for log in _logs(rounds):
        with mounts.ext4(ground.folder) as disk:
            load = _Load(ground, disk.folder / "ledger.db", outcome)
            for _ in range(log):
                load.start()
                time.sleep(ground.source.uniform(0, 0.3))
                errors = load.said.errors.total()
                break_(disk)
                load.until_told(errors)
                load.kill()
                outcome.faults += 1
                disk.unmount()
                disk.mount()
            load.check(restarted=True)
    yield outcome


class _Load:
    """Two writers on one log, and what they said."""

    def __init__(
        self, ground: Ground, path: Path, outcome: Outcome, *, as_nobody: bool = False
    ) -> None:
        self.path, self.said, self.writers = path, Said(), list[Writer]()
        self._ground, self._outcome, self._as_nobody = ground, outcome, as_nobody
        self._started = 0
        if not path.exists():
            founded(self.url)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def start(self, *, wait: bool = True) -> None:
        """Two writers where there are none; returns when both have been answered."""
        while len(self.writers) < 2:
            self._started += 1
            job = Job(
                self.url,
                f"{self._started}",
                pause=_PAUSE,
                fold=self._ground.source.choice((1, 20, 16_384)),
                as_nobody=self._as_nobody,
            )
            self.writers.append(self._ground.nursery.start(job, self.said))
        for writer in self.writers if wait else ():
            assert writer.heard.wait(_PATIENCE), self.said

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
        deadline = time.monotonic() + _PATIENCE
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
            writer.next(_PATIENCE)

    def check(self, *, restarted: bool = False) -> None:
        self.stop()
        self._outcome.checked(check(self.url, self.said, restarted=restarted), self.said)


def _logs(rounds: int) -> Iterator[int]:
    """So many rounds, in portions of a log."""
    while rounds > 0:
        yield min(rounds, ROUNDS_OF_A_LOG)
        rounds -= ROUNDS_OF_A_LOG


def _filled(ground: Ground, folder: Path) -> Path:
    """All but a few pages, sometimes none at all."""
    return mounts.fill(folder, leave=ground.source.choice((0, 0, 4096, 65_536)))


def _limited(ground: Ground, load: "_Load") -> Sequence[Writer]:
    """At a place that the file, or its log, has passed or is about to."""
    log = load.path.with_name(f"{load.path.name}-wal")
    most = ground.source.randrange(log.stat().st_size + 65_536)
    for writer in load.writers:
        _limit(writer, most)
    return load.writers


def _unlimit(writers: Sequence[Writer]) -> None:
    for writer in writers:
        _limit(writer, resource.RLIM_INFINITY)


def _limit(writer: Writer, most: int) -> None:
    resource.prlimit(writer.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def _allowed(path: Path, _broken: None) -> None:
    """The log and the shared memory of a store are made with the mode of its file: all three must
    be given back."""
    _mode(path, 0o600, 0o700)
    for beside in path.parent.iterdir():
        beside.chmod(0o600)


def _mode(path: Path, file: int, folder: int) -> None:
    path.parent.chmod(0o700)
    path.chmod(file)
    path.parent.chmod(folder)
