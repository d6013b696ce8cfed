"""Checking a backup, and restoring one into an empty database of either engine."""

from collections.abc import Sequence
from typing import BinaryIO

from ledger.backup.form import BackupReader, Contents
from ledger.backup.inspection import Backup, Inspection, LogKeys
from ledger.backup.make import Progress, told
from ledger.errors import LedgerError
from ledger.stores.base import Store
from ledger.stores.migrate import Series, forward, series_name, steps
from ledger.stores.rows import as_named, count_on, make_room
from ledger.stores.sql import METADATA


def check(file: BinaryIO, *, log_keys: LogKeys, progress: Progress | None = None) -> Backup:
    """Every check of a backup, without a database.

    Raises `backup-damaged`, `backup-newer`, `backup-of-custody`, and what `ledger.backup.make.make`
    raises of rows.
    """
    backup = BackupReader(file)
    inspection = Inspection(backup.contents, log_keys)
    for table, rows in told(backup.blocks(), backup.contents, progress):
        inspection.take(table, rows)
    return Backup(inspection.finish(), backup.bytes, backup.digest)


def restore(
    store: Store,
    series: Sequence[Series],
    file: BinaryIO,
    *,
    origin: str,
    log_keys: LogKeys,
    progress: Progress | None = None,
) -> Backup:
    """Fill an empty database from a backup, in one transaction: all of it, or nothing.

    1. The backup is of `origin` (`ledger-origin-mismatch`), and of steps of the tables that this
       program knows (`backup-newer`).
    2. The database holds no row (`backup-target-used`); its tables are brought to those steps.
    3. They are filled, while the rows are checked as by `check`, to the end of the file.
    4. The tables are brought forward to this program's steps. Commit.

    What is restored may be older than what was signed: it is marked, and a ledger with witnesses
    writes nothing before it was compared with enough of them (`ledger.witnessing`).
    """
    backup = BackupReader(file)
    contents, every = backup.contents, (METADATA, *series)
    _check_ours(contents, origin, every)  # 1
    with store.creating() as writer:
        make_room(writer, every, contents.steps)  # 2
        inspection = Inspection(contents, log_keys)  # 3
        tables = as_named(writer.connection, every, contents.tables)
        for table, rows in told(backup.blocks(), contents, progress):
            inspection.take(table, rows)
            writer.insert_rows(tables[table], rows)
        inspected = inspection.finish()
        for metadata in every:  # 4
            forward(writer.connection, metadata)
            count_on(writer.connection, metadata)
        writer.mark_restored(True)
        writer.commit()
    return Backup(inspected, backup.bytes, backup.digest)


def _check_ours(contents: Contents, origin: str, every: Sequence[Series]) -> None:
    if contents.origin != origin:
        raise LedgerError("ledger-origin-mismatch", f"{contents.origin}, not {origin}")
    known = {series_name(tables): steps(tables) for tables in every}
    if contents.steps.keys() != known.keys():
        raise LedgerError("backup-newer", " ".join(sorted(contents.steps)))
    for name, step in contents.steps.items():
        if step not in known[name]:
            raise LedgerError("backup-newer", f"{name} {step}, here {known[name][-1]}")
