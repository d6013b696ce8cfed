"""The disk under SQLite: full, limited, read-only, forbidden, broken, without power.

In each round two writers meet the fault in mid-work, or start into it; the fault goes, and writing
must go on: in the same processes where the file system can come back under them.
"""

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.broken import mounts
from tests.broken.crowd import Crowd
from tests.broken.ground import Ground, portions
from tests.broken.summary import Outcome
from tests.broken.writers import NOBODY, Writer, founded

ROUNDS_OF_A_LOG = 10


def full(ground: Ground, rounds: int) -> Iterator[Outcome]:
    outcome = Outcome("disk full, SQLite")
    for log in portions(rounds, ROUNDS_OF_A_LOG):
        with mounts.tmpfs(ground.folder / "full", 48) as folder:
            crowd = Crowd(ground, f"sqlite:///{folder}/ledger.db", outcome)
            for _ in range(log):
                crowd.start()
                crowd.round(partial(_filled, ground, folder), Path.unlink)
            crowd.check()
    yield outcome


def limited(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """RLIMIT_FSIZE: writes beyond an offset are refused (EFBIG), to running processes."""
    outcome = Outcome("file size limited, SQLite")
    for log in portions(rounds, ROUNDS_OF_A_LOG):
        with ground.sqlite() as url:
            crowd = Crowd(ground, url, outcome)
            for _ in range(log):
                crowd.start()
                crowd.round(partial(_limited, ground, crowd), _unlimit)
            crowd.check()
    yield outcome


def read_only(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """A file system with files open for writing cannot be turned read-only in an orderly way; so
    writers are killed, and new ones start into it."""
    outcome = Outcome("read-only file system, SQLite")
    for log in portions(rounds, ROUNDS_OF_A_LOG):
        with mounts.tmpfs(ground.folder / "read-only", 48) as folder:
            crowd = Crowd(ground, f"sqlite:///{folder}/ledger.db", outcome)
            for _ in range(log):
                crowd.kill()
                crowd.round(
                    partial(mounts.read_only, folder, yes=True),
                    lambda _: mounts.read_only(folder, yes=False),
                )
            crowd.check()
    yield outcome


def forbidden(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """chmod, of the file, of the folder and of both; writers that have it open may go on."""
    outcome = Outcome("chmod, SQLite")
    for log in portions(rounds, ROUNDS_OF_A_LOG):
        folder = ground.folder / "forbidden"
        folder.mkdir(exist_ok=True)
        ground.folder.chmod(0o755)
        path = folder / "ledger.db"
        founded(f"sqlite:///{path}")
        mounts.run("chown", "-R", f"{NOBODY}:{NOBODY}", folder)
        crowd = Crowd(ground, f"sqlite:///{path}", outcome, found=False, as_nobody=True)
        for number in range(log):
            modes = [(0o400, 0o700), (0o600, 0o500), (0o000, 0o700), (0o600, 0o000)]
            file, place = modes[number % len(modes)]
            crowd.stop()
            crowd.round(partial(_mode, path, file, place), partial(_allowed, path))
        crowd.check()
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
    for log in portions(rounds, ROUNDS_OF_A_LOG):
        with mounts.ext4(ground.folder) as disk:
            crowd = Crowd(ground, f"sqlite:///{disk.folder}/ledger.db", outcome)
            for _ in range(log):
                crowd.start()
                time.sleep(ground.source.uniform(0, 0.3))
                errors = crowd.said.errors.total()
                break_(disk)
                crowd.until_told(errors)
                crowd.kill()
                outcome.faults += 1
                disk.unmount()
                disk.mount()
            crowd.check(restarted=True)
    yield outcome


def _filled(ground: Ground, folder: Path) -> Path:
    """All but a few pages, sometimes none at all."""
    return mounts.fill(folder, leave=ground.source.choice((0, 0, 4096, 65_536)))


def _limited(ground: Ground, crowd: Crowd) -> Sequence[Writer]:
    """At a place that the file, or its log, has passed or is about to."""
    log = Path(f"{crowd.url.removeprefix('sqlite:///')}-wal")
    most = ground.source.randrange(log.stat().st_size + 65_536)
    for writer in crowd.writers:
        _limit(writer, most)
    return crowd.writers


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
