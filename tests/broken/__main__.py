"""`python -m tests.broken`: runs the parts one after another and prints their table."""

import argparse
import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.broken.parts import PARTS, run
from tests.broken.summary import Outcome, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.broken", description=__doc__)
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="may be repeated")
    parser.add_argument("--rounds", type=int, help="of each part (default: hundreds)")
    parser.add_argument("--bounded", action="store_true", help="as few as continuous integration")
    parser.add_argument("--keep", type=Path, help="a file of rows; the table is of all in it")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    given = parser.parse_args()
    logging.disable()  # what goes wrong here is meant to
    started = datetime.now(UTC)
    outcomes: list[Outcome] = []
    for name in given.part or PARTS:
        rounds = PARTS[name].bounded if given.bounded else given.rounds
        print(f"{name} …", file=sys.stderr, flush=True)
        for outcome in run(name, rounds, given.seed):
            outcomes.append(outcome)
            if given.keep is not None:
                with given.keep.open("a") as file:
                    file.write(f"{outcome.to_json()}\n")
            print(f"  {' · '.join(outcome.cells())}", file=sys.stderr, flush=True)
    if given.keep is not None:
        outcomes = [Outcome.from_json(line) for line in given.keep.read_text().splitlines()]
    print(f"{started:%Y-%m-%d %H:%M} UTC · python -m tests.broken {' '.join(sys.argv[1:])}")
    print(f"seed {given.seed}\n")
    print(table(outcomes))
    return 0 if all(outcome.ok for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
