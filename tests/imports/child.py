"""A process that imports a file and says after each batch how far it is. To be killed.

python -m tests.imports.child DATA FILE MAP BATCH
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import keys.custody.keyfile
from api.imports import engine
from tests.api.conftest import _hashed
from tests.api.service import Clock, open_copy
from tests.imports.helpers import importer


def main(data: str, file: str, map_file: str, batch: str) -> None:
    keys.custody.keyfile._stretch = _hashed
    engine.BATCH = int(batch)
    city = open_copy(Path(data), Clock())
    made = importer(city, Path(file), Path(map_file).read_text(encoding="utf-8"))

    def say(done: int, _total: int, counts: Mapping[str, int]) -> None:
        licences = counts.get("issued", 0) + counts.get("renewed", 0)
        sys.stdout.write(f"{done} {licences}\n")
        sys.stdout.flush()

    made.progress = say
    sys.stdout.write("ready 0\n")
    sys.stdout.flush()
    made.run()
    city.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
