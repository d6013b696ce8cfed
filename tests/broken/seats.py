"""Witnesses on real sockets, each in a network of its own, that can be told to misbehave.

The witness itself is the product's; what breaks is what stands before it.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from keys.signer import SoftwareSigner
from keys.suites import BY_NAME
from ledger.cosigning import TLOG_SIZE
from ledger.ledger import Ledger
from ledger.model import Draft
from ledger.publisher import PolicyAt
from ledger.stores.witness import create_state
from ledger.witness import Answer, Witness, WitnessedLog
from ledger.witness.wire import parse_add_checkpoint
from ledger.witnessing import Witnessing
from tests.broken import load
from tests.broken.network import Place, places
from tests.ledger.logs import City
from verifier.checkpoint import Checkpoint, cosign, sign_checkpoint
from verifier.kinds import WITNESSES
from verifier.note import NoteSigner, parse_note
from verifier.policy import Policy, parse_policy

SECONDS = 1.0
"""What the ledger gives one witness; a slow one takes longer."""
QUORUM = 3
"""Of five; of fewer, a majority."""
_TEXT = "text/plain; charset=utf-8"


def key(name: str, seed: int, kind: int = 0x04) -> NoteSigner:
    return NoteSigner(name, SoftwareSigner(BY_NAME["ed25519"], bytes([seed]) * 32), kind)


class Seat:
    """One witness. `mode` is a name of `MODES`; `clock` is its own."""

    def __init__(self, name: str, seed: int, folder: Path, place: Place) -> None:
        self.name, self.place, self.mode = name, place, "good"
        self.signer = key(f"{name}.example", seed)
        self.stranger = key(f"{name}.example", seed + 100)
        self.clock_shift = 0.0
        self.cosigned: set[tuple[int, bytes]] = set()
        """Sizes and roots for which the witness itself, not what stands before it, has signed."""
        self._state = create_state(folder / f"{name}.db", [self.signer.key])
        city = load.city()
        self._state.add_log(WitnessedLog(city.origin, (city.log.key,)))
        self._witness = Witness(self._state, [self.signer], self._clock)
        self._server = _Server(self, place)
        self.url = f"http://{self._server.address}"

    def _clock(self) -> float:
        return time.time() + self.clock_shift

    @property
    def size(self) -> int:
        """Of the tree that it cosigned last."""
        recorded = self._state.recorded(load.city().origin)
        return 0 if recorded is None else recorded.size

    def set(self, mode: str) -> None:
        if (mode == "cut off") != (self.mode == "cut off"):
            (self.place.cut if mode == "cut off" else self.place.join)()
        self.mode = mode

    def answer(self, path: str, body: bytes | None) -> Answer | None:
        """None: hang up without a word."""
        return None if self.place.down else MODES[self.mode](self, path, body)

    def honest(self, path: str, body: bytes | None) -> Answer:
        if body is None:
            return self._witness.checkpoint(path.split("/")[1])
        answer = self._witness.add_checkpoint(body)
        if answer.status == 200:
            checkpoint = parse_add_checkpoint(body).checkpoint
            self.cosigned.add((checkpoint.size, checkpoint.root))
        return answer

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._state.close()


def _slow(seat: Seat, path: str, body: bytes | None) -> Answer:
    time.sleep(2 * SECONDS)
    return seat.honest(path, body)


def _conflict(seat: Seat, _path: str, _body: bytes | None) -> Answer:
    """409 for ever: another size each time, of the past, of the future, or none."""
    size = random.choice([b"0\n", b"%d\n" % seat.size, b"%d\n" % (seat.size + 7), b"9" * 18, b"x"])
    return Answer(409, TLOG_SIZE, size)


def _other_text(seat: Seat, _path: str, _body: bytes | None) -> Answer:
    """Its own signature, over another tree."""
    text = Checkpoint(load.city().origin, seat.size + 1, bytes(32)).body()
    return _line(text, seat.signer)


def _stranger(seat: Seat, path: str, body: bytes | None) -> Answer:
    """The right tree, signed by a key that the policy does not name."""
    if body is None:
        return seat.honest(path, body)
    text = parse_add_checkpoint(body).checkpoint.body()
    return _line(text, seat.stranger)


def _forged_future(seat: Seat, path: str, body: bytes | None) -> Answer:
    """It claims to have seen more, under a key that is not the log's."""
    if body is not None:
        return Answer(409, TLOG_SIZE, b"%d\n" % (seat.size + 1_000))
    origin = load.city().origin
    ahead = Checkpoint(origin, seat.size + 1_000, bytes(32))
    return Answer(200, _TEXT, sign_checkpoint(ahead, [key(origin, 77, 0x01)], 0))


def _garbage(_seat: Seat, _path: str, _body: bytes | None) -> Answer:
    return Answer(200, _TEXT, b"\xe2\x80\x94 " + bytes(300))


def _error(_seat: Seat, _path: str, _body: bytes | None) -> Answer:
    return Answer(500, _TEXT, b"later\n")


def _hang_up(_seat: Seat, _path: str, _body: bytes | None) -> None:
    return None


MODES: Mapping[str, Callable[[Seat, str, bytes | None], Answer | None]] = {
    "good": Seat.honest,
    "slow": _slow,
    "409 for ever": _conflict,
    "signs another tree": _other_text,
    "signs with another key": _stranger,
    "forges a future": _forged_future,
    "garbage": _garbage,
    "error": _error,
    "hangs up": _hang_up,
    "cut off": Seat.honest,
}
BAD = [mode for mode in MODES if mode != "good"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, seat: Seat, place: Place) -> None:
        self.seat = seat
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = place.listen()
        host, port = self.socket.getsockname()
        self.address = f"{host}:{port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """A peer that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        self._answer(None)

    def _answer(self, body: bytes | None) -> None:
        answer = self.server.seat.answer(self.path, body)
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        """Nothing is logged."""


class Seats:
    """Some of them make a checkpoint final, and the ledger says so in a statement."""

    def __init__(self, seats: list[Seat], wanting: str) -> None:
        self.seats, self.wanting = seats, wanting
        lines = [f"witness {s.name} {s.signer.key.text()} {s.url}" for s in seats]
        group = f"group q {min(QUORUM, len(seats) // 2 + 1)} {' '.join(s.name for s in seats)}"
        self.policy: Policy = parse_policy("\n".join([*lines, group, "quorum q", ""]))

    def statement(self) -> Draft:
        """The policy as the ledger holds it, decided by two officers, after the first entries."""
        made = City().change(WITNESSES, {"policy": self.policy.text()})
        return Draft(made.entry, WITNESSES, "operator")

    def at(self, size: int) -> Policy | None:
        """The policy in force for a tree: none before its statement is in it."""
        return self.policy if size > len(load.base()) else None

    def good(self) -> int:
        return sum(seat.mode == "good" for seat in self.seats)

    def cosigners(self, checkpoint: bytes, at: Checkpoint) -> None:
        """Raises unless the policy is met by witnesses who have that tree on record."""
        for name, _ in self.policy.check(parse_note(checkpoint)):
            seat = next(seat for seat in self.seats if seat.name == name)
            assert (at.size, at.root) in seat.cosigned, f"{name} never cosigned {at.size}"


@contextmanager
def seats(folder: Path, number: int = 5) -> Iterator[Seats]:
    with ExitStack() as stack:
        found, wanting = places(stack, number)
        made = []
        for at, place in enumerate(found):
            made.append(Seat(f"w{at}", 10 + at, folder, place))
            stack.callback(made[-1].close)
        try:
            yield Seats(made, wanting)
        finally:
            for seat in made:
                seat.set("good")


@contextmanager
def witnessed(
    ledger: Ledger, policy: PolicyAt, post: Any, get: Any, clock: Callable[[], float] = time.time
) -> Iterator[Witnessing]:
    """The ledger asks, as the service has it ask."""
    witnessing = Witnessing(
        ledger, policy, post, get, seconds=SECONDS, clock=clock, monotonic=time.monotonic
    )
    ledger.before_first_write(witnessing.look)
    witnessing.start()
    try:
        yield witnessing
    finally:
        witnessing.close()


def _line(text: str, signer: NoteSigner) -> Answer:
    return Answer(200, _TEXT, cosign(text, int(time.time()), signer).line().encode())
