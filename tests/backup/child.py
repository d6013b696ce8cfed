"""A process that makes or restores a backup of a town, to be killed:
`python -m tests.backup.child make|restore URL FOLDER FILE`, FOLDER being a new one."""

import sys
from contextlib import closing
from pathlib import Path

from api.backup import _written
from ledger.backup.make import make
from ledger.backup.restore import restore
from ledger.stores import open_store
from tests.backup.town import MADE_AT, log_keys, town
from tests.ledger.helpers import ORIGIN


def main(what: str, url: str, folder: str, name: str) -> None:
    tables, file = town(Path(folder)), Path(name)
    with closing(open_store(url)) as store:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if what == "make":
            with _written(file) as made:
                make(store, [tables], made, log_keys=log_keys, made_at=MADE_AT)
        else:
            with file.open("rb") as kept:
                restore(store, [tables], kept, origin=ORIGIN, log_keys=log_keys)


if __name__ == "__main__":
    main(*sys.argv[1:])
