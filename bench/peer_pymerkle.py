"""pymerkle's SQLite backend, run in an environment of its own: no part of the product imports it.

    python peer_pymerkle.py <folder>

Prints as JSON the entries a second of durable appends: `bulk` in batches of 1,000, `rooted` the
same with the root after each batch, `singles` by 64 threads, one entry each time. The database is
opened as the library opens it: rollback journal, `synchronous=FULL`.
"""

import json
import sys
import time

from pymerkle import SqliteTree
from together import together

BATCH, BULK = 1_000, 100_000
CLIENTS, SINGLES = 64, 1_920
ENTRY_BYTES = 300


def entry(number: int) -> bytes:
    return number.to_bytes(8, "big") * (ENTRY_BYTES // 8) + bytes(ENTRY_BYTES % 8)


def bulk(path: str, rooted: bool) -> float:
    with SqliteTree(path) as tree:
        started = time.perf_counter()
        for at in range(0, BULK, BATCH):
            tree.append_entries([entry(i) for i in range(at, at + BATCH)])
            if rooted:
                tree.get_root()
        tree.get_root()
        return BULK / (time.perf_counter() - started)


def singles(path: str) -> float:
    with SqliteTree(path) as tree:
        return together(lambda number: tree.append_entry(entry(number)), SINGLES, CLIENTS)


if __name__ == "__main__":
    folder = sys.argv[1]
    figures = {
        "bulk": bulk(f"{folder}/bulk.db", rooted=False),
        "rooted": bulk(f"{folder}/rooted.db", rooted=True),
        "singles": singles(f"{folder}/singles.db"),
    }
    sys.stdout.write(json.dumps(figures))
