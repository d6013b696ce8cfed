"""A process that appends and says what was acknowledged: `python -m tests.ledger.appender URL NAME
COUNT THREADS`. Each line `<index> <entry>` is printed after the ledger has answered."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from sqlalchemy import Column, Connection, Integer, MetaData, Table, insert

from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Appended
from ledger.stores import open_store
from ledger.stores.base import Store
from tests.ledger.helpers import drafts, open_ledger

APP = MetaData()
SEEN = Table("seen", APP, Column("idx", Integer, primary_key=True, autoincrement=False))


def note_all(connection: Connection, appended: Sequence[Appended]) -> None:
    """One domain row for each entry that is new."""
    rows = [{"idx": a.index} for a in appended if not a.existing]
    if rows:
        connection.execute(insert(SEEN), rows)


def opened(store: Store) -> Ledger:
    """Starting is repeated by whoever starts the process."""
    while True:
        try:
            return open_ledger(store)
        except LedgerError as error:
            if error.code != "ledger-store-lost":
                raise


def main(url: str, name: str, count: str, threads: str) -> None:
    store = open_store(url)
    store.create(APP)
    ledger = opened(store)
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
