"""Witnesses that a ledger can ask, without sockets: real ones, and ways for them to go wrong."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from keys.signer import SoftwareSigner
from keys.suites import BY_NAME
from ledger.cosigning import HttpAnswer, WitnessSeen
from ledger.ledger import Ledger
from ledger.publisher import PolicyAt
from ledger.stores.base import Store
from ledger.stores.witness import WitnessState, create_state
from ledger.witness import Witness, WitnessedLog
from ledger.witnessing import Witnessing
from tests.ledger.helpers import NOW, ORIGIN, SIGNER, clock
from verifier.note import NoteSigner
from verifier.policy import Policy, parse_policy

SECONDS = 2.0
"""What a witness may take; only one that is silent takes it."""
PQ_SIGNER = NoteSigner(ORIGIN, SoftwareSigner(BY_NAME["ml-dsa-44"], bytes(range(32))), 0x06)


class Seat:
    """A real witness at an address. `down`, `silent` and `alter` break what is between."""

    def __init__(self, name: str, folder: Path, number: int, pq: bool = False) -> None:
        self.url = f"https://{name}.example"
        self.name = name
        seed = bytes([number]) * 32
        self.signers = [NoteSigner(f"{name}.example", SoftwareSigner(BY_NAME["ed25519"], seed), 4)]
        if pq:
            mldsa = SoftwareSigner(BY_NAME["ml-dsa-44"], seed)
            self.signers.append(NoteSigner(f"{name}.example", mldsa, 6))
        self.state: WitnessState = create_state(
            folder / f"{name}.db", [signer.key for signer in self.signers]
        )
        self.state.add_log(WitnessedLog(ORIGIN, (SIGNER.key,)))
        self.witness = Witness(self.state, self.signers, lambda: NOW)
        self.down = False
        self.silent = threading.Event()  # set: it takes requests and answers nothing
        self.alter: Callable[[HttpAnswer], HttpAnswer] = lambda answer: answer
        self.shows: HttpAnswer | None = None  # instead of what it has
        self.requests: list[bytes] = []

    def __call__(self, path: str, body: bytes | None, seconds: float) -> HttpAnswer:
        if self.down:
            raise OSError("Connection refused")  # as the client puts it: words, no errno
        if self.silent.is_set():
            time.sleep(seconds)
            raise TimeoutError("timed out")
        if body is None:
            if self.shows is not None:
                return self.shows
            return HttpAnswer(*self.witness.checkpoint(path.split("/")[1])[:3])
        self.requests.append(body)
        assert path == "/add-checkpoint"
        return self.alter(HttpAnswer(*self.witness.add_checkpoint(body)[:3]))

    @property
    def size(self) -> int:
        """Of the tree that it cosigned last."""
        recorded = self.state.recorded(ORIGIN)
        return 0 if recorded is None else recorded.size


class Net:
    """Three witnesses by default: `audit`, `archive` (with an ML-DSA key too) and `court`."""

    def __init__(self, folder: Path, names: Sequence[str] = ("audit", "archive", "court")) -> None:
        self.seats = {
            name: Seat(name, folder, number, pq=name == "archive")
            for number, name in enumerate(names, 100)
        }
        self.ledgers: list[tuple[Ledger, Witnessing]] = []

    def __getitem__(self, name: str) -> Seat:
        return self.seats[name]

    def post(self, url: str, body: bytes, seconds: float) -> HttpAnswer:
        return self._at(url, body, seconds)

    def get(self, url: str, seconds: float) -> HttpAnswer:
        return self._at(url, None, seconds)

    def _at(self, url: str, body: bytes | None, seconds: float) -> HttpAnswer:
        for seat in self.seats.values():
            if url.startswith(seat.url + "/"):
                return seat(url.removeprefix(seat.url), body, seconds)
        raise OSError("no such host")

    def policy(self, *rules: str, quorum: str = "q", names: Sequence[str] = ()) -> Policy:
        """All witnesses and these group lines; `archive-pq` is that witness's ML-DSA key."""
        lines = []
        for name in names or self.seats:
            for signer, suffix in zip(self.seats[name].signers, ("", "-pq"), strict=False):
                lines.append(f"witness {name}{suffix} {signer.key.text()} {self.seats[name].url}")
        return parse_policy("\n".join([*lines, *rules, f"quorum {quorum}", ""]))

    def witnessing(self, ledger: Ledger, policy: PolicyAt, seconds: float = SECONDS) -> Witnessing:
        return Witnessing(
            ledger, policy, self.post, self.get,
            seconds=seconds, clock=clock, monotonic=time.monotonic,
        )  # fmt: skip

    @contextmanager
    def open(
        self,
        store: Store,
        policy: Policy | PolicyAt | None,
        *,
        seconds: float = SECONDS,
        start: bool = True,
    ) -> Iterator[tuple[Ledger, Witnessing]]:
        """A ledger wired to these witnesses, as the service wires it."""
        at: PolicyAt = policy if callable(policy) else lambda _size: policy
        ledger = Ledger.open(store, origin=ORIGIN, signers=[SIGNER], clock=clock, policy=at)
        witnessing = self.witnessing(ledger, at, seconds)
        ledger.before_first_write(witnessing.look)
        if start:
            witnessing.start()
        try:
            yield ledger, witnessing
        finally:
            witnessing.close()
            ledger.close()

    def close(self) -> None:
        for seat in self.seats.values():
            seat.silent.clear()
            seat.state.close()


def eventually(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits until it is; a busy machine is no failure."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.005)


def of(witnessing: Witnessing, name: str) -> WitnessSeen:
    """What is known of one witness."""
    (found,) = [seen for seen in witnessing.seen if name in seen.names]
    return found
