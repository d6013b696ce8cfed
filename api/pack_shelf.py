"""Packs that were handed out, kept so that the next one can be sent as an update from them.

Files `<SHA-256>.zlpack` in one folder, which may be lost at any time: a counter whose pack is not
there gets a whole one. Several processes may share it.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Final

from verifier.terminal import write_whole

MAX_BYTES: Final = 1 << 30
"""Of all packs together; the oldest go first."""
_SUFFIX: Final = ".zlpack"


class PackShelf:
    """The packs of one city. `seconds` is how long one may be in use."""

    def __init__(self, folder: Path, *, seconds: int, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._seconds = seconds
        self._max_bytes = max_bytes

    def put(self, pack: bytes, now: int) -> bytes:
        """Keeps a pack made at Unix time `now`; returns its SHA-256."""
        digest = sha256(pack).digest()
        path = self._path(digest)
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, pack)
            os.utime(path, (now, now))
            self._tidy(now)
        return digest

    def get(self, digest: bytes) -> bytes | None:
        """The pack of this SHA-256, or None."""
        try:
            pack = self._path(digest).read_bytes()
        except FileNotFoundError:
            return None
        return pack if sha256(pack).digest() == digest else None

    def _path(self, digest: bytes) -> Path:
        return self._folder / f"{digest.hex()}{_SUFFIX}"

    def _tidy(self, now: int) -> None:
        """Lets go of packs that nobody may use any more, and of the oldest of too many."""
        kept = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            try:
                there = path.stat()
            except FileNotFoundError:
                continue  # another process tidies too
            kept.append((there.st_mtime, there.st_size, path))
        total = 0
        for time, size, path in sorted(kept, reverse=True):
            total += size
            if total > self._max_bytes or time + self._seconds < now:
                path.unlink(missing_ok=True)
