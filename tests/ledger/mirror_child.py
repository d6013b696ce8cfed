"""A process that mirrors until it is killed: `python -m tests.ledger.mirror_child SOURCES FOLDER
VKEY`. It takes the logs below SOURCES in turn, and prints each size that it has published."""

import sys
import time
from pathlib import Path

from ledger.mirror import mirror
from ledger.mirror_trust import Demands
from ledger.readside import DirectoryReadSide
from verifier.note import parse_vkey


def main(sources: str, folder: str, vkey: str) -> None:
    print("ready", flush=True)
    for source in sorted(Path(sources).iterdir()):
        demands = Demands(parse_vkey(vkey))
        done = mirror(DirectoryReadSide(source), Path(folder), demands, sleep=time.sleep)
        print(done.size, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
