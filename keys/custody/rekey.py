"""A new passphrase for every key of a folder.

1. *Stage*: each key is sealed anew into `.next/<name>.zlkey`. Stopped here, nothing has changed:
   every key opens under the old passphrase.
2. *Swap*: with the folder locked against new keys, each staged file is renamed over its key; a
   rename is atomic. Stopped here, each key opens under one passphrase or the other, and the same
   call again finishes: it tries both on every key.

A staged file is always a copy of a key that still lies in the folder, so what an interrupted change
left staged is thrown away without loss.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keys.custody.file import STAGE, key_files, locked, read_key_file, sync_folder, write_new
from keys.custody.keyfile import MODERATE, Effort, checked_passphrase, seal
from keys.errors import KeysError


def change_passphrase(
    folder: Path,
    old: str,
    new: str,
    effort: Effort = MODERATE,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Every key and secret of the folder is under `new` when this returns; how many there are.

    Raises `key-wrong-passphrase` for a key that neither opens, before any key has changed;
    `key-passphrase-changing` while another process changes it. A process that has the folder open
    under the old passphrase keeps its open signers, and opens and makes no more keys.
    """
    checked_passphrase(old)
    checked_passphrase(new)
    with _stage(folder) as stage:
        ready: dict[str, bytes] = {}  # name → salt of the key file that is dealt with
        _seal_all(folder, stage, old, new, effort, ready, progress)
        with locked(folder):
            _seal_all(folder, stage, old, new, effort, ready, progress)  # made meanwhile
            for path in key_files(stage):
                path.replace(folder / path.name)
            sync_folder(folder)
    return len(ready)


@contextmanager
def _stage(folder: Path) -> Iterator[Path]:
    """The emptied stage, for this process alone; removed only when all has gone well."""
    stage = folder / STAGE
    stage.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(stage, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KeysError("key-passphrase-changing", "by another process") from error
        for left in stage.iterdir():
            left.unlink()
        yield stage
        stage.rmdir()
        sync_folder(folder)
    finally:
        os.close(descriptor)


def _seal_all(
    folder: Path,
    stage: Path,
    old: str,
    new: str,
    effort: Effort,
    ready: dict[str, bytes],
    progress: Callable[[int, int], None],
) -> None:
    paths = key_files(folder)
    for path in paths:
        file = read_key_file(path)
        if ready.get(path.name) == file.lock.salt:
            continue
        try:
            private = file.unseal(old)
        except KeysError:
            file.unseal(new)  # swapped by an interrupted change
        else:
            write_new(stage / path.name, seal(file.entry, private, new, effort))
        ready[path.name] = file.lock.salt
        progress(len(ready), len(paths))
