"""Backups of a city's database, and a look at the database itself; no passphrase is needed.

The log's keys are those that the genesis names in the very backup or database; who has the log's
vkey from elsewhere, or its custody here, has them compared.
"""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import select

from api.city_keys import LOG_KEY, existing_store
from api.custody import city_custody, file_custody
from api.errors import ServiceError
from api.settings import Settings
from api.tables import ENROLMENTS, METADATA
from keys.errors import KeysError
from ledger.backup.inspection import Backup, Inspected, LogKeys
from ledger.backup.make import Progress, examine, make
from ledger.backup.restore import check, restore
from ledger.errors import LedgerError
from ledger.stores import open_store
from ledger.stores.base import Reader, Store
from verifier.authorities import Authorities
from verifier.note import VerifierKey, make_vkey, parse_vkey
from verifier.statement import parse_statement

STANDARD = Path("-")
"""Standard input or output in place of a file."""

_BUFFER = 1 << 20


def make_backup(
    settings: Settings, path: Path, *, made_at: int, progress: Progress | None = None
) -> Backup:
    """Writes the city's database to a new file, whole and durable, or not at all.

    Raises `backup-exists`, `city-not-founded`, and as `ledger.backup.make.make`.
    """
    with closing(_city_store(settings)) as store, _written(path) as file:
        return make(
            store,
            [METADATA],
            file,
            log_keys=log_keys(settings.origin),
            made_at=made_at,
            progress=progress,
        )


def check_backup(path: Path, vkey: str | None = None, progress: Progress | None = None) -> Backup:
    """Every check of a backup. Raises as `ledger.backup.restore.check`, and `ledger-wrong-key`
    where its log's key is not `vkey`; what is no vkey at all (`note-key-malformed` …) is refused
    before the file is read."""
    if vkey is not None:
        parse_vkey(vkey)
    with _opened(path) as file:
        return check(file, log_keys=log_keys(None, vkey), progress=progress)


def restore_backup(
    settings: Settings, path: Path, progress: Progress | None = None
) -> tuple[Backup, bool]:
    """Fills the empty database of the settings; whether custody here has the log's key, which
    then has to be the backup's. Raises as `ledger.backup.restore.restore`."""
    own = custody_vkey(settings)
    with _opened(path) as file:
        settings.data.mkdir(parents=True, exist_ok=True)
        with closing(open_store(settings.database_url)) as store:
            backup = restore(
                store,
                [METADATA],
                file,
                origin=settings.origin,
                log_keys=log_keys(settings.origin, own),
                progress=progress,
            )
    return backup, own is not None


def check_database(
    settings: Settings, progress: Progress | None = None
) -> tuple[Inspected | None, list[LedgerError]]:
    """What is wrong with the city's database, by reading all of it (`ledger.backup.make.examine`);
    and whether the statements of authority kept aside are those of the ledger."""
    with closing(_city_store(settings)) as store:
        keys = log_keys(settings.origin, custody_vkey(settings))
        inspected, faults = examine(store, [METADATA], log_keys=keys, progress=progress)
        with store.read() as reader:
            faults += _strange_enrolments(reader)
    return inspected, faults


def log_keys(origin: str | None, vkey: str | None = None) -> LogKeys:
    """Reads the log's keys from the genesis; `ledger-origin-mismatch` unless it is that of
    `origin`, `ledger-wrong-key` unless its first key is `vkey`."""

    def named(genesis: bytes) -> tuple[VerifierKey, VerifierKey | None]:
        authorities = Authorities()
        authorities.enrol(parse_statement(genesis), 0)
        key = authorities.log_key
        if key is None:
            raise LedgerError("ledger-wrong-key")
        if origin is not None and authorities.origin != origin:
            raise LedgerError("ledger-origin-mismatch", f"{authorities.origin}, not {origin}")
        if vkey is not None and key.text() != vkey:
            raise LedgerError("ledger-wrong-key", key.text())
        return key, authorities.log_pq_key

    return named


def custody_vkey(settings: Settings) -> str | None:
    """The vkey of the log key that custody here has, if it has one."""
    try:
        custody = city_custody(settings, file_custody(settings, ""))
        entry = next((entry for entry in custody.list() if entry.name == LOG_KEY), None)
    except (KeysError, OSError):  # no custody on this machine
        return None
    return None if entry is None else make_vkey(settings.origin, entry.public).text()


def _strange_enrolments(reader: Reader) -> Iterator[LedgerError]:
    rows = reader.connection.execute(select(ENROLMENTS.c.idx, ENROLMENTS.c.statement))
    for index, statement in rows:
        if reader.entries(index, 1) != [statement]:
            detail = f"the statement of authority kept for entry {index} is another"
            yield LedgerError("ledger-inconsistent", detail)


def _city_store(settings: Settings) -> Store:
    """The database of the settings, which is not made here; `city-not-founded`."""
    store = existing_store(settings)
    if store is None:
        raise ServiceError("city-not-founded", str(settings.data))
    return store


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file that bears its name once it is whole and on the disk. Mode 0600."""
    if path == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise ServiceError("backup-exists", path.name)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.writing")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb", _BUFFER) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == STANDARD:
        yield sys.stdin.buffer
    else:
        with path.open("rb", _BUFFER) as file:
            yield file
