"""Making a backup of a database in use, and examining a database without making one.

Both read one snapshot, a page of rows at a time, and look at the rows as they come by.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from ledger.backup.form import BackupWriter, Contents, Row
from ledger.backup.inspection import Backup, Inspected, Inspection, LogKeys
from ledger.errors import LedgerError
from ledger.stores.base import Reader, Store
from ledger.stores.migrate import Series, missing, series_name, step_of
from ledger.stores.rows import pages
from ledger.stores.sql import ENTRIES, METADATA, translated
from verifier.checkpoint import parse_checkpoint
from verifier.errors import Refused
from verifier.note import parse_note

MAX_FAULTS = 100
"""`examine` tells no more than these."""

Progress = Callable[[int, int], None]
"""Called after each page of entries with the number done and the number there will be."""

Blocks = Iterator[tuple[str, Sequence[Row]]]
"""Rows, with the table that they are of."""


def make(
    store: Store,
    series: Sequence[Series],
    file: BinaryIO,
    *,
    log_keys: LogKeys,
    made_at: int,
    progress: Progress | None = None,
) -> Backup:
    """Write a backup of the ledger and of the application's tables, those of `series`, to `file`,
    while others read and append. `made_at` is Unix time.

    What is written passed the checks of `ledger.backup.inspection`; otherwise raises
    `ledger-inconsistent`, `ledger-rolled-back`, `ledger-forked`, `ledger-wrong-key`, and the file
    is no backup. `backup-schema-older`: the tables are behind this program.
    """
    every = (METADATA, *series)
    with store.read() as reader:
        contents = contents_of(reader, every, made_at)
        inspection = Inspection(contents, log_keys)
        writer = BackupWriter(file)
        writer.contents(contents)
        for table, rows in told(_rows(reader, every), contents, progress):
            inspection.take(table, rows)
            writer.rows(table, rows)
        inspected = inspection.finish()
        digest = writer.end()
    return Backup(inspected, writer.bytes, digest)


def examine(
    store: Store,
    series: Sequence[Series],
    *,
    log_keys: LogKeys,
    progress: Progress | None = None,
) -> tuple[Inspected | None, list[LedgerError]]:
    """What is wrong with a database, by reading all of it; it is not written to.

    First the engine's own check of its files, where it has one, then those of `make`, of which
    none stops at the first fault. No `Inspected` where reading could not go on.
    """
    faults: list[LedgerError] = []

    def found(fault: LedgerError) -> None:
        if len(faults) < MAX_FAULTS:
            faults.append(fault)

    every = (METADATA, *series)
    with store.read() as reader:
        try:
            for line in reader.damage():
                found(LedgerError("ledger-store-failed", line))
        except LedgerError as error:
            found(error)
        try:
            contents = contents_of(reader, every, made_at=0)
            inspection = Inspection(contents, log_keys, found)
            for table, rows in told(_rows(reader, every), contents, progress):
                inspection.take(table, rows)
            return inspection.finish(), faults
        except LedgerError as error:
            found(error)
            return None, faults


@translated()
def contents_of(reader: Reader, every: Sequence[Series], made_at: int) -> Contents:
    """What the snapshot of `reader` holds. `backup-schema-older`, `ledger-not-published`."""
    at, notes = {}, []
    for tables in every:
        name, step = series_name(tables), step_of(reader.connection, tables)
        if step is None or missing(reader.connection, tables):
            raise LedgerError("backup-schema-older", f"{name} {step or '-'}")
        at[name] = step
    columns = {
        table.name: tuple(table.columns.keys())
        for tables in every
        for table in tables.sorted_tables
    }
    for table, rows in _rows(reader, every, notes_only=True):
        place = columns[table].index("note")
        notes += [row[place] for row in rows if row[place] is not None]
    if not notes:
        raise LedgerError("ledger-not-published")
    head = reader.head()
    try:
        origin = parse_checkpoint(parse_note(notes[0]).text).origin
    except Refused as error:
        raise LedgerError("ledger-inconsistent", f"a checkpoint: {error}") from error
    return Contents(
        origin=origin,
        size=head.size,
        root=head.root,
        notes=tuple(dict.fromkeys(notes)),
        made_at=made_at,
        engine=reader.connection.dialect.name,
        steps=at,
        tables=columns,
    )


def told(blocks: Blocks, contents: Contents, progress: Progress | None) -> Blocks:
    """The same blocks; `progress` hears of the entries among them."""
    done = 0
    for table, rows in blocks:
        yield table, rows
        if table == ENTRIES.name and progress is not None:
            done += len(rows)
            progress(done, contents.size)


def _rows(reader: Reader, every: Sequence[Series], *, notes_only: bool = False) -> Blocks:
    """All rows, or those of the tables that keep checkpoints."""
    for tables in every:
        for table in tables.sorted_tables:
            if notes_only and not {"size", "note"} <= set(table.columns.keys()):
                continue
            for page in pages(reader.connection, table):
                yield table.name, page
