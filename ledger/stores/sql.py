"""The ledger's tables, and the SQL that every relational engine shares.

    entries     idx PK · leaf_hash · data · kind · dept · time_ms; no leaf hash comes twice, for
                which PostgreSQL has a constraint, and SQLite `ledger.stores.leaves`
    tiles       (level >= 1, n) PK · data: up to 256 hashes, appended to until full
    head        one row · size · root · frontier (hashes side by side, largest subtree first)
    checkpoint  at most three rows: the published (1), the final one (2), what was published when a
                backup was restored (3), until it is compared with the witnesses · size · note

Level-0 tiles and entry bundles are ranges of `entries`. `leaf_hash` stands before `data`, so that
reading a tile does not read the entries.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,
)

from ledger.errors import LedgerError
from ledger.model import EntryRow, Head, Published
from ledger.stores import leaves
from ledger.stores.migrate import forward, is_current, versioned
from verifier.merkle import EMPTY_ROOT, HASH_SIZE

METADATA = versioned("ledger", Path(__file__).parent.parent / "migrations" / "versions")

# SQLite numbers rows by INTEGER PRIMARY KEY alone; elsewhere an index needs 64 bits.
_INDEX = BigInteger().with_variant(Integer(), "sqlite")

ENTRIES = Table(
    "entries",
    METADATA,
    Column("idx", _INDEX, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary(HASH_SIZE), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("dept", Text, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    UniqueConstraint("leaf_hash", name=leaves.INDEX).ddl_if(dialect="postgresql"),
    Index(leaves.INDEX, text(leaves.EXPRESSION), "leaf_hash", unique=True).ddl_if(dialect="sqlite"),
)
TILES = Table(
    "tiles",
    METADATA,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", _INDEX, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
HEAD = Table(
    "head",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(HASH_SIZE), nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)
CHECKPOINT = Table(
    "checkpoint",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("note", LargeBinary, nullable=False),
)

WRITES = "zhenglian_writes"
"""Execution option of a connection whose transaction takes the write lock when it begins."""

# The transaction was ended from outside: connection exceptions, rollback (serialization, deadlock),
# shutdown and start-up of the server, idle in a transaction, a server that became read-only.
_LOST = ("08", "40", "57P01", "57P02", "57P03", "57P04", "25P03", "25006")
# Insufficient resources, a disk full among them; system and internal errors.
_DISK = ("53", "58", "XX")
_DISK_SQLITE = {
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_PROTOCOL,
}  # fmt: skip
_WAITED = ("55P03", "57014")  # lock_timeout; statement_timeout or a cancelled statement

_COLUMNS = tuple(ENTRIES.c.keys())
_ROW, _FINAL, _RESTORED = 1, 2, 3
"""Ids: of the only row of `head` and the published checkpoint; the final one; see `restored`."""
_IN_CHUNK = 500  # bound values in one IN list

_HEAD = select(HEAD.c.size, HEAD.c.root, HEAD.c.frontier).where(HEAD.c.id == _ROW)
_HEAD_LOCKED = _HEAD.with_for_update()
_SWAP_HEAD = (
    update(HEAD)
    .where(HEAD.c.id == _ROW, HEAD.c.size == bindparam("old_size"))
    .where(HEAD.c.root == bindparam("old_root"))
    .values(size=bindparam("new_size"), root=bindparam("new_root"), frontier=bindparam("edge"))
)
_CHECKPOINT = select(CHECKPOINT.c.size, CHECKPOINT.c.note).where(
    CHECKPOINT.c.id == bindparam("row")
)
_REPUBLISH = (
    update(CHECKPOINT)
    .where(CHECKPOINT.c.id.in_(bindparam("rows", expanding=True)))
    .where(CHECKPOINT.c.size < bindparam("new_size"))
    .values(size=bindparam("new_size"), note=bindparam("new_note"))
)
_LOGGED_AT = select(ENTRIES.c.time_ms).where(ENTRIES.c.idx == bindparam("index"))
_LAST_INDEX = select(func.max(ENTRIES.c.idx))
_RANGE = ENTRIES.c.idx.between(bindparam("first"), bindparam("last"))
_ENTRY_RANGE = select(ENTRIES.c.data).where(_RANGE).order_by(ENTRIES.c.idx)
_HASH_RANGE = select(ENTRIES.c.leaf_hash).where(_RANGE).order_by(ENTRIES.c.idx)
_INDICES = select(ENTRIES.c.leaf_hash, ENTRIES.c.idx).where(
    ENTRIES.c.leaf_hash.in_(bindparam("hashes", expanding=True))
)
_AT_TILE = (TILES.c.level == bindparam("at_level")) & (TILES.c.n == bindparam("at_n"))
_TILE = select(TILES.c.data).where(_AT_TILE)
_RETILE = update(TILES).where(_AT_TILE).values(data=bindparam("new_data"))


@contextmanager
def translated() -> Iterator[None]:
    """What SQLAlchemy or the driver raises, as a `LedgerError`; bound values are never told."""
    try:
        yield
    except DBAPIError as error:
        raise told(error) from error
    except TimeoutError as error:
        raise LedgerError("ledger-busy", "every connection of the pool is in use") from error
    except SQLAlchemyError as error:
        raise LedgerError("ledger-store-failed", type(error).__name__) from error


def told(error: DBAPIError) -> LedgerError:
    """What the database reported, by its SQLSTATE (ISO/IEC 9075) where it gives one."""
    cause: Any = error.orig
    if hasattr(cause, "sqlstate"):
        state: str = cause.sqlstate or ""
        # A connection that could not be made, or broke, has no state to tell.
        gone = error.connection_invalidated or (not state and isinstance(error, OperationalError))
        if gone or state.startswith(_LOST):
            code = "ledger-store-lost"
        else:
            code = "ledger-busy" if state in _WAITED else "ledger-store-failed"
        # Other lines of the driver's words may hold values.
        return LedgerError(code, str(cause).partition("\n")[0])
    words = str(cause)
    busy = "locked" in words or "busy" in words
    return LedgerError("ledger-busy" if busy else "ledger-store-failed", words)


def _from_outside(error: DBAPIError) -> bool:
    """Whether a statement failed through no fault of its own: a broken transaction, a wait, a disk
    that is full, failing or read-only. The transaction and its connection are to be given up."""
    number = getattr(error.orig, "sqlite_errorcode", None)
    if number is not None and number & 0xFF in _DISK_SQLITE:
        return True
    state: str = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(_DISK) or told(error).code != "ledger-store-failed"


@contextmanager
def unique() -> Iterator[None]:
    """A broken constraint of the entries table, as `ledger-entry-exists`."""
    try:
        yield
    except IntegrityError as error:
        words = str(error.orig).partition("\n")[0]  # PostgreSQL's next line holds the values
        raise LedgerError("ledger-entry-exists", words) from error


def head_of(size: int, root: bytes, edge: bytes) -> Head:
    """The row of the head."""
    hashes = tuple(edge[at : at + HASH_SIZE] for at in range(0, len(edge), HASH_SIZE))
    return Head(size, root, hashes)


class SqlReader:
    """`ledger.stores.base.Reader` over a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def connection(self) -> Connection:
        return self._connection

    @translated()
    def head(self) -> Head:
        return self._head(lock=False)

    @translated()
    def published(self) -> Published | None:
        return self._checkpoint(_ROW)

    @translated()
    def final(self) -> Published | None:
        return self._checkpoint(_FINAL)

    @translated()
    def restored(self) -> bool:
        return self._checkpoint(_RESTORED) is not None

    @translated()
    def logged_at(self, index: int) -> int | None:
        found = self._connection.execute(_LOGGED_AT, {"index": index})
        at: int | None = found.scalar_one_or_none()
        return at

    @translated()
    def last_index(self) -> int | None:
        index: int | None = self._connection.execute(_LAST_INDEX).scalar_one()
        return index

    @translated()
    def entries(self, start: int, count: int) -> list[bytes]:
        window = {"first": start, "last": start + count - 1}
        return list(self._connection.execute(_ENTRY_RANGE, window).scalars())

    @translated()
    def leaf_hashes(self, start: int, count: int) -> list[bytes]:
        window = {"first": start, "last": start + count - 1}
        return list(self._connection.execute(_HASH_RANGE, window).scalars())

    @translated()
    def tile(self, level: int, n: int) -> bytes:
        data: bytes | None = self._connection.execute(
            _TILE, {"at_level": level, "at_n": n}
        ).scalar_one_or_none()
        return data or b""

    @translated()
    def indices_of(self, leaf_hashes: Sequence[bytes]) -> Mapping[bytes, int]:
        found: dict[bytes, int] = {}
        for at in range(0, len(leaf_hashes), _IN_CHUNK):
            chunk = {"hashes": leaf_hashes[at : at + _IN_CHUNK]}
            found.update((h, i) for h, i in self._connection.execute(_INDICES, chunk))
        return found

    def damage(self) -> list[str]:
        return []

    def _checkpoint(self, row: int) -> Published | None:
        found = self._connection.execute(_CHECKPOINT, {"row": row}).one_or_none()
        return None if found is None else Published(*found)

    def _head(self, lock: bool) -> Head:
        row = self._connection.execute(_HEAD_LOCKED if lock else _HEAD).one_or_none()
        if row is None:
            return Head(0, EMPTY_ROOT, ())
        return head_of(*row)


class SqlWriter(SqlReader):
    """`ledger.stores.base.Writer` over a connection with an open transaction."""

    @translated()
    def create(self, *metadata: MetaData) -> None:
        """`ledger.stores.base.Store.create`, inside this transaction."""
        for tables in metadata:
            forward(self._connection, tables)

    @translated()
    def head(self) -> Head:
        return self._head(lock=True)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with translated():
            nested = self._connection.begin_nested()
        try:
            yield
        except BaseException as error:
            with translated():
                nested.rollback()
            if isinstance(error, DBAPIError) and _from_outside(error):
                raise told(error) from error
            raise
        with translated():
            nested.commit()

    @translated()
    @unique()
    def insert_entries(self, rows: Sequence[EntryRow]) -> None:
        if rows:
            self._connection.execute(
                insert(ENTRIES), [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
            )

    @translated()
    def insert_rows(self, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        names = table.columns.keys()
        if rows:
            self._connection.execute(
                insert(table), [dict(zip(names, row, strict=True)) for row in rows]
            )

    @translated()
    def put_tile(self, level: int, n: int, data: bytes) -> None:
        at = {"at_level": level, "at_n": n, "new_data": data}
        if not self._connection.execute(_RETILE, at).rowcount:
            self._connection.execute(insert(TILES), {"level": level, "n": n, "data": data})

    @translated()
    def swap_head(self, old: Head, new: Head) -> None:
        values = {
            "old_size": old.size,
            "old_root": old.root,
            "new_size": new.size,
            "new_root": new.root,
            "edge": b"".join(new.frontier),
        }
        if self._connection.execute(_SWAP_HEAD, values).rowcount != 1:
            raise LedgerError("ledger-head-moved", f"no longer {old.size}")

    @translated()
    def commit(self) -> None:
        self._connection.commit()

    @translated()
    def publish(self, checkpoint: Published, final: bool) -> Published:
        """`ledger.stores.base.Store.publish`, inside this transaction."""
        return self._put(checkpoint, [_ROW, _FINAL] if final else [_ROW])

    @translated()
    def finalise(self, checkpoint: Published) -> Published:
        """`ledger.stores.base.Store.finalise`, inside this transaction."""
        return self._put(checkpoint, [_FINAL])

    @translated()
    def mark_restored(self, restored: bool) -> None:
        """Whether `restored` is true from now on; it stays false while nothing is published."""
        self._connection.execute(delete(CHECKPOINT).where(CHECKPOINT.c.id == _RESTORED))
        published = self._checkpoint(_ROW)
        if restored and published is not None:
            row = {"id": _RESTORED, "size": published.size, "note": published.note}
            self._connection.execute(insert(CHECKPOINT), row)

    def _put(self, checkpoint: Published, rows: list[int]) -> Published:
        """Into each of these rows that is absent or smaller; returns what is in the first."""
        values = {"rows": rows, "new_size": checkpoint.size, "new_note": checkpoint.note}
        if self._connection.execute(_REPUBLISH, values).rowcount == len(rows):
            return checkpoint
        for row in rows:
            if self._checkpoint(row) is None:
                first = {"id": row, "size": checkpoint.size, "note": checkpoint.note}
                self._connection.execute(insert(CHECKPOINT), first)
        return self._checkpoint(rows[0]) or checkpoint


class SqlStore:
    """`ledger.stores.base.Store` over two engines of one database.

    `durable` begins every transaction of `write` with the engine's write lock; `relaxed` may
    answer a commit before it reaches the disk, and is used to publish only.
    """

    reader: type[SqlReader] = SqlReader

    def __init__(self, durable: Engine, relaxed: Engine) -> None:
        self._durable = durable
        self._relaxed = relaxed

    def create(self, *metadata: MetaData) -> None:
        series = (METADATA, *metadata)
        with self.read() as reader, translated():
            if is_current(reader.connection, series):
                return
        with self.creating() as writer:
            writer.create(*series)
            writer.commit()

    def creating(self) -> AbstractContextManager[SqlWriter]:
        return self._writing(self._durable)

    @contextmanager
    def read(self) -> Iterator[SqlReader]:
        with _connected(self._durable) as connection:
            yield self.reader(connection)

    @contextmanager
    def write(self) -> Iterator[SqlWriter]:
        with self._writing(self._durable) as writer:
            yield writer

    def publish(self, checkpoint: Published, final: bool = False) -> Published:
        with self._writing(self._relaxed) as writer:
            current = writer.publish(checkpoint, final)
            writer.commit()
            return current

    def finalise(self, checkpoint: Published) -> Published:
        with self._writing(self._durable) as writer:
            current = writer.finalise(checkpoint)
            writer.commit()
            return current

    def compared(self) -> None:
        with self._writing(self._durable) as writer:
            writer.mark_restored(False)
            writer.commit()

    def close(self) -> None:
        self._durable.dispose()
        self._relaxed.dispose()

    def _writer(self, connection: Connection) -> SqlWriter:
        return SqlWriter(connection)

    @contextmanager
    def _writing(self, engine: Engine) -> Iterator[SqlWriter]:
        with _connected(engine) as connection:
            try:
                with translated():
                    connection.execution_options(**{WRITES: True}).begin()
                yield self._writer(connection)
            except BaseException:
                # Closing the driver's connection ends whatever state the failure left it in,
                # and lets go of the write lock even if a rollback would fail.
                connection.invalidate()
                raise


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    with translated():
        connection = engine.connect()
    with connection:
        yield connection
