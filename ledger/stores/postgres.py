"""PostgreSQL, for any number of API processes on any number of machines.

Writers queue for the row of the head: `BEGIN` at READ COMMITTED, then `SELECT … FOR UPDATE`. That
is enough. Whoever gets the lock sees the head's newest version, and each later statement takes a
snapshot of its own, so sees all that earlier writers committed; as every writer takes this lock
first, their transactions run one after another. (REPEATABLE READ would take its snapshot before
it waits, and fail after every wait.) Readers have one snapshot (REPEATABLE READ, READ ONLY) and
wait for nobody.

Durable commits need `fsync` on and `synchronous_commit` on (or `remote_apply`): both are looked at
when a connection is made and again with every lock, and `ledger-not-durable` is raised where they
are not. A checkpoint is published by a durable commit too: the server may die while this process
lives on, and whoever was answered must find the checkpoint that covers him.

A connection that broke, or a transaction that the server ended (deadlock, shutdown), is
`ledger-store-lost`; before the commit nothing of it is stored, in the commit it is
`ledger-commit-unknown`, and whoever asks again under the lock learns what became of it: the lock
is held by the lost transaction until it is decided. (Its number would not tell: PostgreSQL may give
the number of a transaction that a crash undid to another.) Taking the lock waits, at most
`busy_seconds`, for a server that is away, then raises `ledger-store-unreachable`.
"""

import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from ledger.errors import LedgerError
from ledger.model import EntryRow, Head, Published
from ledger.stores.sql import (
    ENTRIES,
    SqlReader,
    SqlStore,
    SqlWriter,
    head_of,
    translated,
    unique,
)

T = TypeVar("T")

BUSY_SECONDS = 30.0
"""How long a writer waits for another, or for the server, before it says so."""

READ_SECONDS = 5.0
"""How long opening and reading wait for a server that is away."""

STATEMENT_SECONDS = 120
"""The longest that one statement may take."""

IDLE_SECONDS = 60
"""The server ends a transaction that says nothing for so long: the process behind it hangs."""

_DURABLE = ("on", "remote_apply")
_POOLED, _OVERFLOW = 8, 24  # connections of readers kept, and opened beyond that under load
_WRITERS, _MORE_WRITERS = 2, 2  # the sequencer and what the application writes beside it
_BEGIN = "zhenglian_begin"  # execution option: how a transaction begins; "" where none is wanted
_WRITE, _READ = (
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
)
_BROKEN = ("ledger-store-lost", "ledger-commit-unknown")
_WARNINGS = "zhenglian_warnings"  # in the information of a connection
_FORM = "postgresql://USER@HOST:PORT/DATABASE"
_OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
_CREATING = 0x7A68_656E_676C_6961  # the advisory lock of `create`

# What libpq is told unless the address says otherwise: a dead peer is noticed within half a minute.
_CONNECT = {
    "application_name": "zhenglian",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_SESSION = """
SELECT set_config('lock_timeout', %s, false),
       set_config('statement_timeout', %s, false),
       set_config('idle_in_transaction_session_timeout', %s, false),
       set_config('client_encoding', 'UTF8', false),
       current_setting('server_encoding'), current_setting('fsync'),
       set_config('synchronous_commit', current_setting('synchronous_commit'), false)
"""  # the last one pins it: a later change of the server's configuration cannot weaken it

_LOCK = (
    "SELECT size, root, frontier, current_setting('fsync'), current_setting('synchronous_commit')"
    " FROM head WHERE id = 1 FOR UPDATE"
)
_COPY = "COPY entries (idx, leaf_hash, data, kind, dept, time_ms) FROM STDIN (FORMAT BINARY)"
_INSERT = (
    "INSERT INTO entries (idx, leaf_hash, data, kind, dept, time_ms) VALUES (%s,%s,%s,%s,%s,%s)"
)
_COPIED = 8  # so many rows, and more, are copied
_LOOKUP = "SELECT leaf_hash, idx FROM entries WHERE leaf_hash = ANY(%s)"
_PUT_TILE = (
    "INSERT INTO tiles (level, n, data) VALUES (%s, %s, %s)"
    " ON CONFLICT (level, n) DO UPDATE SET data = excluded.data"
)
_PUBLISH = (
    "INSERT INTO checkpoint (id, size, note) SELECT id, %s, %s FROM unnest(%s::int[]) AS id"
    " ON CONFLICT (id) DO UPDATE SET size = excluded.size, note = excluded.note"
    " WHERE checkpoint.size < excluded.size RETURNING id"
)

# COPY's binary format: a head, then for each row the number of its fields and each field behind
# its length, then an end. <https://www.postgresql.org/docs/current/sql-copy.html>
_COPY_HEAD, _COPY_END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_IDX_HASH = struct.Struct(">hiqi32si").pack  # six fields, idx, leaf_hash, length of data
_KIND = struct.Struct(">iii").pack  # kind, length of dept
_TIME = struct.Struct(">iq").pack


class PostgresReader(SqlReader):
    """Reads; many leaf hashes are looked up in one statement."""

    @translated()
    def indices_of(self, leaf_hashes: Sequence[bytes]) -> Mapping[bytes, int]:
        if not leaf_hashes:
            return {}
        rows = self._connection.exec_driver_sql(_LOOKUP, (list(leaf_hashes),))
        return {row.leaf_hash: row.idx for row in rows}


class PostgresWriter(PostgresReader, SqlWriter):
    """Writes. `lock` comes first, or `lock_tables` and, once the tables are there, `head`."""

    _locked: Head | None = None

    def lock_tables(self) -> None:
        """Waits until no other creates tables."""
        self._connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_CREATING,))

    def lock(self) -> Head:
        """Waits for the head's row, and keeps what it says."""
        row = self._connection.exec_driver_sql(_LOCK).one_or_none()
        if row is None:
            raise LedgerError("ledger-inconsistent", "the head is missing")
        size, root, edge, fsync, synchronous = row
        _check_durable(fsync, synchronous)
        self._locked = head_of(size, root, edge)
        return self._locked

    @translated()
    def head(self) -> Head:
        return self.lock() if self._locked is None else self._locked

    def swap_head(self, old: Head, new: Head) -> None:
        super().swap_head(old, new)
        self._locked = new

    @translated()
    @unique()
    def insert_entries(self, rows: Sequence[EntryRow]) -> None:
        if len(rows) < _COPIED:
            if rows:
                self._connection.exec_driver_sql(_INSERT, list(rows))
            return
        data = _copied(rows)
        with self._driver() as cursor, cursor.copy(_COPY) as copy:
            copy.write(data)

    @translated()
    def insert_rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        dialect, columns = self._connection.dialect, list(table.columns)
        if table.name == ENTRIES.name and table.columns.keys() == ENTRIES.columns.keys():
            self.insert_entries([cast("EntryRow", row) for row in rows])
            return
        bound = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in columns]
        names = ", ".join(f'"{column.name}"' for column in columns)
        into = f'COPY "{table.name}" ({names}) FROM STDIN'
        with self._driver() as cursor, cursor.copy(into.encode()) as copy:
            for row in rows:
                pairs = zip(bound, row, strict=True)
                copy.write_row([value if as_ is None else as_(value) for as_, value in pairs])

    @translated()
    def put_tile(self, level: int, n: int, data: bytes) -> None:
        self._connection.exec_driver_sql(_PUT_TILE, (level, n, data))

    def commit(self) -> None:
        """A commit that the server took with a warning is unknown as well: its wait for the
        standby was broken off."""
        if _status(self._connection) in (TransactionStatus.INERROR, TransactionStatus.IDLE):
            # PostgreSQL would answer COMMIT with ROLLBACK, and nobody would notice.
            raise LedgerError("ledger-store-failed", "the transaction is over: a statement failed")
        self._connection.info[_WARNINGS].clear()
        try:
            super().commit()
        except LedgerError as error:
            if error.code == "ledger-store-lost":
                raise LedgerError("ledger-commit-unknown", error.detail) from error
            raise
        _check_warnings(self._connection)

    def _put(self, checkpoint: Published, rows: list[int]) -> Published:
        values = (checkpoint.size, checkpoint.note, rows)
        stored = self._connection.exec_driver_sql(_PUBLISH, values).scalars().all()
        if stored:
            _check_warnings(self._connection)
        if rows[0] in stored:
            return checkpoint
        current = self._checkpoint(rows[0])
        if current is None:
            raise LedgerError("ledger-inconsistent", "the checkpoint was not stored")
        return current

    @contextmanager
    def _driver(self) -> Iterator[psycopg.Cursor[Any]]:
        """The driver's own cursor, for what SQLAlchemy has no words for."""
        raw = _raw(self._connection)
        try:
            with raw.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            made = DBAPIError.instance(
                _COPY, None, error, psycopg.Error, hide_parameters=True,
                connection_invalidated=raw.closed or raw.broken,
                dialect=self._connection.dialect,
            )  # fmt: skip
            raise made from error


class PostgresStore(SqlStore):
    """A ledger in one PostgreSQL database, at a libpq address.

    A writer waits `busy_seconds` for others and for the server. `connection_class` makes the
    driver's connections. Opening connects, and raises `ledger-not-durable`,
    `ledger-store-unreachable`, `ledger-store-failed`.
    """

    reader = PostgresReader

    def __init__(
        self,
        url: str,
        *,
        busy_seconds: float = BUSY_SECONDS,
        read_seconds: float = READ_SECONDS,
        connection_class: type[psycopg.Connection[Any]] = psycopg.Connection,
    ) -> None:
        self._busy_seconds, self._read_seconds = busy_seconds, read_seconds
        self._closed = False
        conninfo = {**_CONNECT, **_parsed(url)}
        session = (
            str(max(1, int(busy_seconds * 1000))),
            str(STATEMENT_SECONDS * 1000),
            str(IDLE_SECONDS * 1000),
        )

        def connect() -> psycopg.Connection[Any]:
            raw = connection_class.connect(**conninfo, autocommit=True)
            try:
                (row,) = raw.execute(_SESSION, session).fetchall()
                encoding, fsync, synchronous = row[-3:]
                _check_durable(fsync, synchronous)
                if encoding != "UTF8":
                    raise LedgerError("ledger-store-failed", f"encoding {encoding}, not UTF8")
            except BaseException:
                raw.close()
                raise
            return raw

        def on_checkin(raw: Any, _entry: ConnectionPoolEntry) -> None:
            if self._closed and raw is not None:  # it was in use when the others were let go
                raw.close()

        def engine(pool: int, overflow: int) -> Engine:
            made = postgres_engine(connect, pool, overflow, pool_seconds=busy_seconds)
            event.listen(made, "checkin", on_checkin)
            return made

        writing = engine(_WRITERS, _MORE_WRITERS)
        super().__init__(writing, writing)
        self._reading = engine(_POOLED, _OVERFLOW)
        try:
            with self.read():
                pass
        except BaseException:
            self.close()
            raise

    def create(self, *metadata: MetaData) -> None:
        """Repeated while the connection breaks: what exists is left alone."""
        self._repeated(lambda _left: super(PostgresStore, self).create(*metadata))

    @contextmanager
    def read(self) -> Iterator[PostgresReader]:
        connection = self._begun(self._reading, _READ, self._read_seconds).connection
        with _ended(connection):
            yield PostgresReader(connection)

    def publish(self, checkpoint: Published, final: bool = False) -> Published:
        """Repeated while the connection breaks: publishing twice is publishing once."""
        return self._stored(lambda writer: writer.publish(checkpoint, final))

    def finalise(self, checkpoint: Published) -> Published:
        return self._stored(lambda writer: writer.finalise(checkpoint))

    def _stored(self, put: Callable[[PostgresWriter], Published]) -> Published:
        def once(left: float) -> Published:
            writer = self._begun(self._durable, "", left)
            with _ended(writer.connection):
                return put(writer)

        return self._repeated(once)

    def close(self) -> None:
        self._closed = True
        super().close()
        self._reading.dispose()

    @contextmanager
    def _writing(self, engine: Engine) -> Iterator[PostgresWriter]:
        writer = self._begun(engine, _WRITE, self._busy_seconds, PostgresWriter.lock)
        with _ended(writer.connection):
            yield writer

    @contextmanager
    def creating(self) -> Iterator[PostgresWriter]:
        writer = self._begun(self._durable, _WRITE, self._busy_seconds, PostgresWriter.lock_tables)
        with _ended(writer.connection):
            yield writer

    def _repeated(self, once: Callable[[float], T]) -> T:
        """What `once` returns, given the seconds that are left; only for what may be done twice."""
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                return once(deadline - time.monotonic())
            except LedgerError as error:
                if error.code not in _BROKEN or time.monotonic() > deadline:
                    raise

    def _begun(
        self,
        engine: Engine,
        how: str,
        seconds: float,
        first: Callable[[PostgresWriter], object] = lambda _: None,
    ) -> PostgresWriter:
        """A connection on which a transaction has begun and `first` was done. One from the pool
        that turns out to be dead is replaced, and a server that is away is waited for."""
        deadline, pause = time.monotonic() + seconds, 0.02
        while True:
            try:
                with translated():
                    connection = engine.connect().execution_options(**{_BEGIN: how})
                try:
                    with translated():
                        connection.begin()
                        writer = PostgresWriter(connection)
                        first(writer)
                    return writer
                except BaseException:
                    _abandon(connection)
                    raise
            except LedgerError as error:
                if error.code != "ledger-store-lost":
                    raise
                if time.monotonic() + pause > deadline:
                    raise LedgerError("ledger-store-unreachable", error.detail) from error
            time.sleep(pause)
            pause = min(2 * pause, 1.0)


def open_url(url: str) -> PostgresStore:
    """The store at a libpq address: `postgresql://user@host:port/database?sslmode=verify-full`."""
    return PostgresStore(url)


def postgres_engine(
    connect: Callable[[], psycopg.Connection[Any]],
    pool_size: int,
    max_overflow: int,
    pool_seconds: float,
) -> Engine:
    """An engine whose transactions begin as the execution option says."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_seconds,
        hide_parameters=True,
        use_native_hstore=False,
    )

    def on_connect(raw: Any, entry: ConnectionPoolEntry) -> None:
        warnings: deque[str] = deque(maxlen=8)

        def on_notice(notice: psycopg.errors.Diagnostic) -> None:
            if notice.severity_nonlocalized == "WARNING":
                warnings.append(notice.message_primary or "")

        raw.add_notice_handler(on_notice)
        entry.info[_WARNINGS] = warnings

    def on_begin(connection: Connection) -> None:
        how = connection.get_execution_options().get(_BEGIN, _READ)
        if how:
            connection.exec_driver_sql(how)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


@contextmanager
def _ended(connection: Connection) -> Iterator[None]:
    """The connection goes back to the pool with the block; what was not committed is undone."""
    try:
        yield
    finally:
        _abandon(connection)


def _abandon(connection: Connection) -> None:
    """Rolls back and gives back. What cannot be rolled back is closed, which lets go of every lock;
    that is no error, as whatever was to be durable has been committed."""
    try:
        if not connection.invalidated and _status(connection) in _OPEN:
            connection.rollback()
        if connection.invalidated or _status(connection) != TransactionStatus.IDLE:
            connection.invalidate()
        connection.close()
    except SQLAlchemyError:
        with suppress(SQLAlchemyError):
            connection.invalidate()
            connection.close()


def _raw(connection: Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def _status(connection: Connection) -> TransactionStatus:
    return _raw(connection).info.transaction_status


def _check_durable(fsync: str, synchronous_commit: str) -> None:
    if fsync != "on":
        raise LedgerError("ledger-not-durable", f"fsync = {fsync}")
    if synchronous_commit not in _DURABLE:
        raise LedgerError("ledger-not-durable", f"synchronous_commit = {synchronous_commit}")


def _check_warnings(connection: Connection) -> None:
    """After a commit: `ledger-commit-unknown` if the server warned."""
    warnings = connection.info[_WARNINGS]
    if warnings:
        words = "; ".join(warnings)
        warnings.clear()
        raise LedgerError("ledger-commit-unknown", words)


def _copied(rows: Sequence[EntryRow]) -> bytes:
    """Entries in COPY's binary format."""
    parts = [_COPY_HEAD]
    for index, digest, data, kind, dept, time_ms in rows:
        name = dept.encode()
        parts += (
            _IDX_HASH(6, 8, index, len(digest), digest, len(data)), data,
            _KIND(4, kind, len(name)), name, _TIME(8, time_ms),
        )  # fmt: skip
    parts.append(_COPY_END)
    return b"".join(parts)


def _parsed(url: str) -> dict[str, Any]:
    """The parts of a libpq address; `ledger-store-url`."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise LedgerError("ledger-store-url", _FORM) from error
    if not url.startswith("postgresql://") or not parts.get("dbname"):
        raise LedgerError("ledger-store-url", _FORM)
    return parts
