"""Passphrases: the one that opens custody, from the settings or a file; others, asked for."""

import getpass
import os
import secrets
import stat
import sys
from pathlib import Path

from api.errors import ServiceError
from api.settings import Settings

CUSTODY = "ZHENGLIAN_PASSPHRASE"
NEW, BACKUP = "ZHENGLIAN_NEW_PASSPHRASE", "ZHENGLIAN_BACKUP_PASSPHRASE"


def make_passphrase(settings: Settings) -> str:
    """The configured passphrase, or one generated into a file that its owner alone can read."""
    if not settings.passphrase and not _file(settings).exists():
        write_private(_file(settings), secrets.token_urlsafe(24).encode() + b"\n")
    return read_passphrase(settings)


def read_passphrase(settings: Settings, variable: str = CUSTODY) -> str:
    """Raises `passphrase-missing`, naming the `variable` that the settings have it from, or
    `passphrase-exposed`."""
    if settings.passphrase:
        return settings.passphrase
    passphrase = _in_file(_file(settings))
    if passphrase is None:
        raise ServiceError("passphrase-missing", f"{variable}; 或文件 or a file: {_file(settings)}")
    return passphrase


def find_passphrase(settings: Settings) -> str:
    """As `read_passphrase`, or asked for at the terminal."""
    if not settings.passphrase and not _file(settings).exists():
        return ask(CUSTODY, "保管口令 Passphrase of custody")
    return read_passphrase(settings)


def ask(variable: str, prompt: str, *, twice: bool = False) -> str:
    """A passphrase from an environment variable, else from the terminal.

    Raises `passphrase-missing` where there is neither, `passphrase-differs`.
    """
    given = os.environ.get(variable, "")
    if given:
        return given
    if not sys.stdin.isatty():
        detail = f"{prompt}: {variable}; 没有终端可以询问 no terminal to ask at"
        raise ServiceError("passphrase-missing", detail)
    typed = getpass.getpass(f"{prompt}: ")
    if twice and getpass.getpass(f"{prompt} (再次 again): ") != typed:
        raise ServiceError("passphrase-differs")
    return typed


class FollowingFile:
    """The file `<data>/passphrase` while the passphrase changes: it is never without the right one.

    The new one is in `passphrase.next` before the first key changes, and takes the file's place
    when the last has. A file that holds another passphrase than the old one is left alone.
    """

    def __init__(self, settings: Settings) -> None:
        self._file = _file(settings)
        self._next = self._file.with_name("passphrase.next")

    def unfinished(self) -> str | None:
        """The new passphrase of a change that was cut off."""
        return _in_file(self._next)

    def prepare(self, old: str, new: str) -> bool:
        """Whether the file will follow."""
        if _in_file(self._file) != old:
            return False
        write_private(self._next, new.encode() + b"\n")
        return True

    def finish(self) -> None:
        self._next.replace(self._file)


def write_private(path: Path, data: bytes) -> None:
    """A new durable file of mode 0600; `FileExistsError` where there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _file(settings: Settings) -> Path:
    return settings.data / "passphrase"


def _in_file(path: Path) -> str | None:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ServiceError("passphrase-exposed", str(path))
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
