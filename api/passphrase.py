"""The passphrase that opens custody: from the settings, or from a file of the data folder."""

import os
import secrets
import stat
from pathlib import Path

from api.errors import ServiceError
from api.settings import Settings


def make_passphrase(settings: Settings) -> str:
    """The configured passphrase, or one generated into a file that its owner alone can read."""
    path = settings.data / "passphrase"
    if not settings.passphrase and not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
    return read_passphrase(settings)


def read_passphrase(settings: Settings) -> str:
    """Raises `passphrase-missing` or `passphrase-exposed`."""
    if settings.passphrase:
        return settings.passphrase
    path: Path = settings.data / "passphrase"
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ServiceError("passphrase-exposed", path.name)
        return path.read_text().strip()
    except FileNotFoundError as error:
        raise ServiceError("passphrase-missing") from error
