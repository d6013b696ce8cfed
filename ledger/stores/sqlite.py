"""SQLite, the embedded default: one file in WAL mode.

Durable commits are `synchronous=FULL`: a commit returns after the write-ahead log reached the
disk, and becomes visible to others only then. Writers begin with `BEGIN IMMEDIATE`, so they queue
at the start and none fails half-way; readers never wait.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from ledger.errors import LedgerError
from ledger.model import EntryRow
from ledger.stores.leaves import Leaves, find, last_index
from ledger.stores.sql import WRITES, SqlReader, SqlStore, SqlWriter, translated, unique

BUSY_SECONDS = 30
"""How long a writer waits for another before it reports `ledger-busy`."""

_CACHE_KIB = 32 << 10  # pages kept by one connection
_CHECKPOINT_PAGES = 16_384  # of 4 KiB: the log is folded into the file at about 64 MiB
_POOLED, _OVERFLOW = 8, 56  # connections kept, and opened beyond that under load

_INSERT = "INSERT INTO entries (idx, leaf_hash, data, kind, dept, time_ms) VALUES (?,?,?,?,?,?)"


class SqliteReader(SqlReader):
    """Reads; leaf hashes are looked up by `ledger.stores.leaves`."""

    @translated()
    def indices_of(self, leaf_hashes: Sequence[bytes]) -> Mapping[bytes, int]:
        return find(self._connection, leaf_hashes, 0, last_index(self._connection))

    @translated()
    def damage(self) -> list[str]:
        lines = self._connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars().all()
        return [] if lines == ["ok"] else [str(line) for line in lines]


class SqliteWriter(SqliteReader, SqlWriter):
    """Writes; entries go straight to the driver's `executemany`. `leaves` is the store's."""

    def __init__(self, connection: Connection, leaves: Leaves) -> None:
        super().__init__(connection)
        self._leaves = leaves
        self._absent: set[bytes] = set()  # looked for, and not there
        self._added: list[EntryRow] = []

    @translated()
    def indices_of(self, leaf_hashes: Sequence[bytes]) -> Mapping[bytes, int]:
        look = super().indices_of if self._added else partial(self._leaves.find, self._connection)
        found = look(leaf_hashes)
        self._absent.update(leaf_hash for leaf_hash in leaf_hashes if leaf_hash not in found)
        return found

    @translated()
    @unique()
    def insert_entries(self, rows: Sequence[EntryRow]) -> None:
        hashes = {row[1] for row in rows}
        if len(hashes) < len(rows) or self.indices_of([*hashes - self._absent]):
            raise LedgerError("ledger-entry-exists", "leaf hash")
        self._absent -= hashes
        if rows:
            self._added.extend(rows)
            self._connection.exec_driver_sql(_INSERT, list(rows))

    def commit(self) -> None:
        super().commit()
        first = self._added[0][0] if self._added else 0
        if [row[0] for row in self._added] == [*range(first, first + len(self._added))]:
            self._leaves.committed(first, [row[1] for row in self._added])


class SqliteEngines(SqlStore):
    """A store over SQLite, whatever holds its pages."""

    reader = SqliteReader

    def __init__(self, durable: Engine, relaxed: Engine) -> None:
        super().__init__(durable, relaxed)
        self._leaves = Leaves()

    @contextmanager
    def write(self) -> Iterator[SqlWriter]:
        if self._leaves.due:
            with self.read() as reader, translated():
                self._leaves.cover(reader.connection)
        with super().write() as writer:
            yield writer

    def _writer(self, connection: Connection) -> SqlWriter:
        return SqliteWriter(connection, self._leaves)


class SqliteStore(SqliteEngines):
    """A ledger in one SQLite file, shared by any number of threads and processes of one machine.

    The file is created readable by its owner alone. A network file system is no place for it.
    A writer waits `busy_seconds` for others. `connection_class` makes the driver's connections.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_seconds: float = BUSY_SECONDS,
        connection_class: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        self.path = path
        _touch_private(path)

        def engine(synchronous: str, pool: int, overflow: int) -> Engine:
            return sqlite_engine(
                str(path),
                busy_seconds=busy_seconds,
                connection_class=connection_class,
                pragmas={"journal_mode": "WAL", "synchronous": synchronous},
                pool_size=pool,
                max_overflow=overflow,
            )

        super().__init__(engine("FULL", _POOLED, _OVERFLOW), engine("NORMAL", 1, 0))
        self._opened = _identity(path)

    @contextmanager
    def _writing(self, engine: Engine) -> Iterator[SqlWriter]:
        """Refuses where the file is no longer the one that was opened: SQLite would go on writing
        to a deleted or replaced file, and what it acknowledged would be lost."""
        if _identity(self.path) != self._opened:
            raise LedgerError("ledger-store-failed", f"{self.path.name} was moved or replaced")
        with super()._writing(engine) as writer:
            yield writer


def open_url(url: str) -> SqliteStore:
    """The store at `sqlite:///relative/path` or `sqlite:////absolute/path`."""
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise LedgerError("ledger-store-url", "sqlite:///PATH") from error
    path = parts.database
    if not path or path.startswith((":", "file:")) or parts.host or parts.query:
        raise LedgerError("ledger-store-url", "sqlite:///PATH")
    return SqliteStore(Path(path))


def sqlite_engine(
    database: str,
    *,
    busy_seconds: float,
    connection_class: type[sqlite3.Connection] = sqlite3.Connection,
    pragmas: Mapping[str, str],
    pool_size: int,
    max_overflow: int,
    uri: bool = False,
) -> Engine:
    """An engine whose transactions begin when SQLAlchemy says so, not when the driver guesses."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            database,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            factory=connection_class,
            uri=uri,
        )

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=busy_seconds,
        hide_parameters=True,
    )

    def on_connect(raw: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = raw.cursor()
        settings = {
            "cache_size": f"-{_CACHE_KIB}",
            "wal_autocheckpoint": str(_CHECKPOINT_PAGES),
            "foreign_keys": "ON",
            "fullfsync": "ON",  # macOS answers fsync before the disk does
            "checkpoint_fullfsync": "ON",
        }
        for name, value in {**settings, **pragmas}.items():
            cursor.execute(f"PRAGMA {name}={value}")
            cursor.fetchall()
        cursor.close()

    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _touch_private(path: Path) -> None:
    """Create the file for its owner alone, and make its name as durable as its content will be."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        return
    except OSError as error:
        raise LedgerError("ledger-store-failed", f"{path}: {error.strerror}") from error
