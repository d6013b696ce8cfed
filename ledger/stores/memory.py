"""A ledger in memory, for tests and trials: SQLite without a file. It ends with the store."""

from itertools import count

from sqlalchemy import Engine

from ledger.errors import LedgerError
from ledger.stores.sqlite import BUSY_SECONDS, SqliteEngines, sqlite_engine

_NAMES = count(1)


class MemoryStore(SqliteEngines):
    """Nothing is durable, and one writer excludes all readers; otherwise as `SqliteStore`."""

    def __init__(self, *, busy_seconds: float = BUSY_SECONDS) -> None:
        # SQLite's memdb file system: connections that name the same path share one database,
        # which lives as long as one of them is open. A private name keeps stores apart.
        name = f"file:/zhenglian-{next(_NAMES)}?vfs=memdb"

        def engine() -> Engine:
            return sqlite_engine(
                name,
                busy_seconds=busy_seconds,
                pragmas={},
                pool_size=8,
                max_overflow=56,
                uri=True,
            )

        super().__init__(engine(), engine())
        self._keeper = self._durable.connect()

    def close(self) -> None:
        self._keeper.close()
        super().close()


def open_url(url: str) -> MemoryStore:
    """A new, empty store; the address is `memory:` and nothing else."""
    if url != "memory:":
        raise LedgerError("ledger-store-url", "memory:")
    return MemoryStore()
