"""A process that appends and says what was acknowledged: `python -m tests.ledger.appender FILE NAME
COUNT THREADS`. Each line `<index> <entry>` is printed after the ledger has answered."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from sqlalchemy import Column, Connection, Integer, MetaData, Table
from sqlalchemy.dialects.sqlite import insert

from ledger.model import Appended
from ledger.stores.sqlite import SqliteStore
from tests.ledger.helpers import drafts, open_ledger

APP = MetaData()
SEEN = Table("seen", APP, Column("idx", Integer, primary_key=True))


def note_all(connection: Connection, appended: Sequence[Appended]) -> None:
    """One domain row for each entry."""
    rows = [{"idx": a.index} for a in appended]
    connection.execute(insert(SEEN).on_conflict_do_nothing(), rows)


def main(path: str, name: str, count: str, threads: str) -> None:
    store = SqliteStore(Path(path))
    store.create(APP)
    ledger = open_ledger(store)
    say = Lock()

    def client(number: int) -> None:
        for i in range(int(count)):
            # Batches of growing size, which also cross the borders of tiles.
            new = drafts(1000 * i, 1 + i % 40, f"{name} {number}")
            done = ledger.append(new, note_all)
            with say:
                for a in done.appended:
                    print(a.index, a.entry.decode(), flush=False)
                sys.stdout.flush()

    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(client, range(int(threads))))
    ledger.close()
    store.close()
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
