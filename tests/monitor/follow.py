"""What the monitor's tests share: a city's log as it is shown, and a monitor that follows it."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ledger.monitor.history import Reading
from ledger.monitor.round import Round
from ledger.monitor.run import Monitor
from ledger.monitor.views import View
from ledger.readside import CHECKPOINT
from tests.ledger.audited import plain_days
from tests.ledger.logs import NOW, City, Files, Memory, log_files
from verifier.note import VerifierKey
from verifier.split_view import TwoHistories, check_split_view, parse_split_view

READING = Reading(plain_days)


def put(path: Path, data: bytes) -> None:
    """As durable as a test needs."""
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(data)
    draft.replace(path)


class Shown(Memory):
    """A log as it is shown now; a test may show another one at any time."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(files)
        self.asked: list[str] = []

    def read(self, path: str) -> bytes:
        self.asked.append(path)
        return super().read(path)

    def show(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def view(self, name: str, *, tiles: bool = False) -> View:
        return View(name, lambda: self.read(CHECKPOINT), self if tiles else None)


@dataclass
class Following:
    """A monitor with its folder, restarted at will; `views` are other places."""

    folder: Path
    source: Shown
    city: City
    views: Sequence[View] = ()
    now: int = NOW
    how: dict[str, Any] = field(default_factory=dict)

    def start(self, put_with: Callable[[Path, bytes], None] = put) -> Monitor:
        options = {
            "log_vkey": self.city.log.key.text(),
            "reading": READING,
            "views": lambda origin, policy: self.views,
            **self.how,
        }
        reading = options.pop("reading")
        return Monitor(
            self.folder,
            self.source,
            reading,
            clock=lambda: self.now,
            put=put_with,
            **options,
        )

    def round(self) -> Round:
        """One round of a monitor that has just been started."""
        return self.start().round()

    def evidence(self) -> list[TwoHistories]:
        """What is in the evidence files, checked under the log's key."""
        key: VerifierKey = self.city.log.key
        files = sorted((self.folder / "evidence").glob("*.txt"))
        return [check_split_view(parse_split_view(file.read_bytes()), key) for file in files]


def codes(done: Round) -> list[str]:
    """Of the alarms that are new."""
    return [finding.code for finding in done.new]


def noticed(done: Round) -> set[str]:
    return {finding.code for finding in done.notices}


def shown(city: City, size: int | None = None) -> Files:
    """The first `size` entries as a log of that size; a test may change it."""
    return dict(_shown(city, len(city.entries) if size is None else size))


@lru_cache(maxsize=64)
def _shown(city: City, size: int) -> Files:
    return log_files(city.entries[:size], city.log)


def other_history(city: City, at: int) -> City:
    """A city of the same keys and entries, but for the one at `at`: a forked log."""
    twin = City(city.origin)
    twin.entries = [*city.entries]
    twin.clock = city.clock
    changed = twin.licence(how={"at": NOW - 10}).entry
    twin.entries = [*city.entries[:at], changed, *city.entries[at + 1 :]]
    return twin


@contextmanager
def served(answer: Callable[[str], bytes | None]) -> Iterator[str]:
    """The address of a server that answers each path below it, or 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answer(self.path.removeprefix("/"))
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
