"""File systems to fill, turn read-only and pull the plug of. They take root on Linux."""

import errno
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.broken.summary import Unavailable

_EXT4_IOC_SHUTDOWN = 0x8004_587D  # _IOR('X', 125, __u32), linux/ext4.h
_WITHOUT_THE_JOURNAL = struct.pack("I", 2)  # EXT4_GOING_FLAGS_NOLOGFLUSH


def run(*command: str | Path) -> None:
    """Raises `Unavailable` with the program's own words."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        words = " ".join(map(str, command))
        raise Unavailable(f"{words}: {error.stderr.strip()}") from error


def _needs_root() -> None:
    if os.geteuid() != 0:
        raise Unavailable("mounting a file system takes root")


@contextmanager
def tmpfs(folder: Path, mebibytes: int, options: str = "mode=777") -> Iterator[Path]:
    """A file system in memory that is full at so many MiB."""
    _needs_root()
    folder.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,{options}", "tmpfs", folder)
    try:
        yield folder
    finally:
        _unmount(folder)


def read_only(folder: Path, yes: bool) -> None:
    """Files that are open for writing forbid it; those of the dead are closed in a moment."""
    for left in reversed(range(100)):
        try:
            run("mount", "-o", f"remount,{'ro' if yes else 'rw'}", folder)
            return
        except Unavailable as error:
            if not left or "busy" not in str(error):
                raise
            time.sleep(0.02)


def fill(folder: Path, leave: int = 0) -> Path:
    """A file that takes all but about `leave` bytes, while others write too; delete it to have
    them back."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        size, step = 0, 1 << 20
        while step >= 4096:
            left = os.statvfs(folder)
            try:
                if left.f_bavail * left.f_frsize < leave + step:
                    raise OSError(errno.ENOSPC, "")
                os.posix_fallocate(file.fileno(), size, step)
                size += step
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step >>= 1
    return ballast


class Disk:
    """An ext4 file system in a file, which can break under those who write to it."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image

    def mount(self) -> None:
        """Recovers the journal where it must."""
        run("mount", "-o", "loop", self._image, self.folder)

    def unmount(self) -> None:
        _unmount(self.folder)

    def abort(self) -> None:
        """Read-only from now on, as after an error of the disk, whoever has files open."""
        run("mount", "-o", "remount,abort", self.folder)

    def cut_power(self) -> None:
        """Nothing more reaches the disk, neither from the cache nor from the journal."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, _WITHOUT_THE_JOURNAL)
        except OSError as error:
            raise Unavailable(f"shutting ext4 down: {error.strerror}") from error
        finally:
            os.close(descriptor)


@contextmanager
def ext4(folder: Path, mebibytes: int = 64) -> Iterator[Disk]:
    _needs_root()
    image, place = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    run("mkfs.ext4", "-q", "-F", image)
    place.mkdir(exist_ok=True)
    disk = Disk(image, place)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
        image.unlink()


def _unmount(folder: Path) -> None:
    """A writer that was killed may hold its files a moment longer."""
    for _ in range(200):
        done = subprocess.run(["umount", folder], capture_output=True, text=True, check=False)
        if done.returncode == 0 or "not mounted" in done.stderr:
            return
        time.sleep(0.05)
    subprocess.run(["umount", "-l", folder], check=True, capture_output=True)
