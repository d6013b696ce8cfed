"""A process that issues licences at a steady rate across a midnight, and says which.

python -m tests.api.rotation DATA FIRST RATE MIDNIGHT

It says `ready` and begins with the next line that comes in, an hour before MIDNIGHT (Unix seconds)
by its clock. The line after that says how many seconds ahead of the machine's its clock is from
then on. It ends three seconds after MIDNIGHT and writes one JSON line: `issued` (ledger indices),
`faults` (codes), `slowest` (seconds that one licence took).
"""

import json
import sys
import threading
import time
from pathlib import Path

import keys.custody.keyfile
from api.founding import open_city
from api.licences import Licences
from api.principals import Principal, Role
from keys.errors import ZhenglianError
from tests.api.conftest import _hashed
from tests.api.leaks import FOOD, food
from tests.api.service import settings_of

THREADS = 8
AFTER = 3.0
"""Seconds after midnight."""


class Issuer:
    """Threads that take the next number when its moment has come."""

    def __init__(self, licences: Licences, first: int, rate: float, until: float) -> None:
        self._licences, self._first, self._rate, self._until = licences, first, rate, until
        self._type = licences.city.catalogue.licence_type(FOOD)
        self._caller = Principal("test", "test", "market", frozenset({Role.CLERK}))
        self._lock, self._taken, self._began = threading.Lock(), 0, time.monotonic()
        self.issued: list[int] = []
        self.faults: list[str] = []
        self.slowest = 0.0

    def run(self) -> None:
        threads = [threading.Thread(target=self._issue) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _issue(self) -> None:
        late = False
        while not late:  # each thread issues one at the very end
            late = self._licences.city.clock() >= self._until
            with self._lock:
                number, self._taken = self._taken, self._taken + 1
            time.sleep(max(0.0, self._began + number / self._rate - time.monotonic()))
            began = time.monotonic()
            try:
                done = self._licences.issue(self._caller, self._type, food(self._first + number))
            except ZhenglianError as error:
                self.faults.append(error.code)
            else:
                self.issued.append(done.index)
            self.slowest = max(self.slowest, time.monotonic() - began)


class ShiftedClock:
    """The machine's clock, so many seconds ahead."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead

    def __call__(self) -> float:
        return time.time() + self.ahead

    def listen(self) -> None:
        self.ahead = float(sys.stdin.readline())


def main(data: str, first: str, rate: str, midnight: str) -> None:
    keys.custody.keyfile._stretch = _hashed
    clock = ShiftedClock(float(midnight) - 3600 - time.time())
    city = open_city(settings_of(Path(data)), clock=clock)
    print("ready", flush=True)
    sys.stdin.readline()
    threading.Thread(target=clock.listen).start()
    issuer = Issuer(Licences(city), int(first), float(rate), float(midnight) + AFTER)
    issuer.run()
    said = {"issued": issuer.issued, "faults": issuer.faults, "slowest": issuer.slowest}
    print(json.dumps(said), flush=True)
    city.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
