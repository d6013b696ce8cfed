"""Files of a static log in a folder, written so that whoever reads never sees half of one.

A file is written under another name, reaches the disk, and is renamed; a folder's listing is
synced before anything that relies on it. One process at a time writes below a folder.
"""

import fcntl
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import LedgerError

TEMPORARY = ".writing"
ZIPPED = ".gz"
"""A bundle's gzip form lies beside it, as nginx's `gzip_static` looks for it."""
_GZIP_LEVEL = 6


def replace_file(folder: Path, name: str, data: bytes) -> set[Path]:
    """Write a file durably and atomically; returns the folders whose listing changed.

    Files of different names may be written by several threads at once. Raises `OSError`.
    """
    target = folder / name
    made = {target.parent}
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
        made.add(parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(target.name + TEMPORARY)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(target)
    return made


def replace_bundle(folder: Path, name: str, data: bytes, *, zipped: bool) -> set[Path]:
    """`replace_file` of an entry bundle, and of its gzip form or none: never of another's."""
    made = replace_file(folder, name, data)
    if zipped:
        replace_file(folder, name + ZIPPED, compress(data))
    else:
        (folder / (name + ZIPPED)).unlink(missing_ok=True)
    return made


def sync_folder(folder: Path) -> None:
    """What was created, renamed or removed in a folder reaches the disk. Raises `OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No other process writes below the folder meanwhile; else `ledger-export-busy`."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerError("ledger-export-busy", folder.name) from error
        yield
    finally:
        os.close(fd)


def compress(data: bytes) -> bytes:
    """The gzip form (RFC 1952), without a time: the same bytes for the same data."""
    return gzip.compress(data, _GZIP_LEVEL, mtime=0)
