"""Writers: processes that append and tell, made quickly enough to kill hundreds of them.

A *nursery* is one process that has imported everything and forks a writer for each job. A writer
opens the store as any process of the product does, and prints to its pipe, one line each and only
after the ledger has answered:

    a INDEX LEAF   acknowledged: the index and the leaf hash
    r INDEX LEAF   the same, of a submission with domain rows
    c NOTE         a checkpoint it was shown, in hex
    e CODE         what the ledger reported instead; the same submission is then repeated
    ! WORDS        anything else that was raised: a fault of the product
    t TID          the thread that writes, told before it is held
    done           everything was closed in order

A line that was being written at death has no end and does not count.
"""

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Appended, Draft
from ledger.publisher import PolicyAt, no_witnesses
from ledger.stores import leaves, open_store, sqlite
from ledger.stores.base import Store
from tests.broken import load
from tests.ledger.appender import APP, note_all

_PAUSE = 0.01  # seconds between a refusal and the repetition
NOBODY = 65_534


@dataclass(frozen=True)
class Job:
    """What a writer is to do. Its entries are those of `name`; a batch has up to `most`."""

    url: str
    name: str
    threads: int = 1
    batches: int | None = None
    """None: until SIGTERM or death."""
    most: int = 40
    held: str = ""
    """Where it stops itself (SIGSTOP): "open" is before it opens anything, "append" after."""
    create: bool = False
    """It makes the tables and the first entries; otherwise the log is founded already."""
    as_nobody: bool = False
    """It gives root away first, as permissions do not bind root."""
    fold: int | None = None
    """SQLite folds its log into the file at so many pages."""
    pause: float = 0.0
    """Seconds between batches."""


@dataclass
class Said:
    """What the writers of one log told: nothing of it may turn out untrue."""

    acknowledged: list[tuple[int, bytes]] = field(default_factory=list, repr=False)
    with_rows: list[int] = field(default_factory=list, repr=False)
    notes: set[bytes] = field(default_factory=set, repr=False)
    errors: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    thread: int = 0
    done: int = 0

    def hear(self, line: str) -> None:
        what, _, rest = line.partition(" ")
        if what in "ar":
            index, leaf = rest.split(" ")
            self.acknowledged.append((int(index), bytes.fromhex(leaf)))
            if what == "r":
                self.with_rows.append(int(index))
        elif what == "c":
            self.notes.add(bytes.fromhex(rest))
        elif what == "e":
            self.errors[rest] += 1
        elif what == "t":
            self.thread = int(rest)
        elif what == "done":
            self.done += 1
        else:
            self.unexpected.append(rest)


class Writer:
    """A running writer, and the thread that hears it."""

    def __init__(self, pid: int, pipe: int, said: Said) -> None:
        self.pid = pid
        self.heard = threading.Event()
        """Set by each acknowledgement."""
        self._said = said
        self._pipe = pipe
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        rest = b""
        while data := os.read(self._pipe, 65_536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._said.hear(line.decode())
                if line[:1] in (b"a", b"r"):
                    self.heard.set()
        os.close(self._pipe)

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def stop(self) -> None:
        """It finishes what it is at, closes everything and ends."""
        self.send(signal.SIGTERM)

    def join(self, seconds: float = 120) -> None:
        """Returns when its pipe is closed: nothing more can be heard of it."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"writer {self.pid} did not end"

    def ended(self, seconds: float) -> bool:
        """Whether it has, within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def next(self, seconds: float = 60) -> None:
        """Returns with the next acknowledgement."""
        self.heard.clear()
        assert self.heard.wait(seconds), f"writer {self.pid} acknowledged nothing: {self._said}"


class Nursery:
    """Forks writers. Use `nursery`."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def start(self, job: Job, said: Said) -> Writer:
        ours, theirs = os.pipe()
        socket.send_fds(self._line, [pickle.dumps(job)], [theirs])
        os.close(theirs)
        return Writer(int(self._line.recv(32)), ours, said)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Ends with its writers: the block's end closes the line."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.broken.writers", str(theirs.fileno())]
    with (
        ours,
        subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True) as process,
    ):
        theirs.close()
        try:
            yield Nursery(ours)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


# --- in the nursery ----------------------------------------------------------------------------


def main(descriptor: str) -> None:
    load.licence("warm", 0)
    leaves.WORTH = 100  # so that most writers come to make a filter
    logging.disable()  # what goes wrong here is meant to
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for writers
    with socket.socket(fileno=int(descriptor)) as line:
        while True:
            data, pipes, _, _ = socket.recv_fds(line, 65_536, 1)
            if not data:
                return
            if pid := os.fork():
                os.close(pipes[0])
                line.send(str(pid).encode())
                continue
            line.close()
            _write(pickle.loads(data), pipes[0])  # noqa: S301 - from the process that made us
            os._exit(0)


def _write(job: Job, pipe: int) -> None:
    alone = threading.Lock()  # a pipe keeps only short writes whole

    def say(lines: Sequence[str]) -> None:
        with alone, os.fdopen(os.dup(pipe), "wb") as out:
            out.write("".join(f"{line}\n" for line in lines).encode())

    try:
        _prepare(job)
        _run(job, say)
        say(["done"])
    except BaseException:  # noqa: BLE001 - to be told, whatever it is
        say([f"! {traceback.format_exc()!r}"])


def _prepare(job: Job) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if job.fold is not None:
        sqlite._CHECKPOINT_PAGES = job.fold
    if job.as_nobody and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if job.held == "open":
        os.kill(os.getpid(), signal.SIGSTOP)


def _run(job: Job, say: Callable[[Sequence[str]], None]) -> None:
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store, ledger = _opened(job, say, stopping)
    if ledger is None:
        return
    if job.create:
        _append(ledger, load.base(), say, stopping)
    if job.held == "append":
        (thread,) = (t for t in threading.enumerate() if t.name == "ledger-writer")
        say([f"t {thread.native_id}"])
        os.kill(os.getpid(), signal.SIGSTOP)

    def client(number: int) -> None:
        name, start = f"{job.name} {number}", 0
        for i in count() if job.batches is None else range(job.batches):
            size = 1 + i * 7 % job.most
            drafts = load.licences(name, start, size)
            if not _append(ledger, drafts, say, stopping) or stopping.wait(job.pause):
                return
            start += size

    def guarded(number: int) -> None:
        try:
            client(number)
        except BaseException:  # noqa: BLE001 - to be told, whatever it is
            say([f"! {traceback.format_exc()!r}"])

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(job.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    store.close()


def _opened(
    job: Job, say: Callable[[Sequence[str]], None], stopping: threading.Event
) -> tuple[Store, Ledger | None]:
    """Opening is repeated, as whoever starts the process would."""
    while True:
        store = None
        try:
            store = open_store(job.url)
            if job.create:
                store.create(APP)
            return store, open_ledger(store)
        except LedgerError as error:
            say([f"e {error.code}"])
            if store is not None:
                store.close()
            if stopping.wait(_PAUSE):
                return store, None  # type: ignore[return-value]


def _append(
    ledger: Ledger,
    drafts: Sequence[Draft],
    say: Callable[[Sequence[str]], None],
    stopping: threading.Event,
) -> bool:
    """Repeated until it is acknowledged; False when told to stop. Two of three have domain rows."""
    rows = len(drafts) % 3 > 0
    while not stopping.is_set():
        try:
            done = ledger.append(drafts, _rows) if rows else ledger.append(drafts)
        except (LedgerError, SQLAlchemyError) as error:  # the latter: a domain row was refused
            say([f"e {getattr(error, 'code', '') or type(error).__name__}"])
            stopping.wait(_PAUSE)
            continue
        what = "r" if rows else "a"
        say([f"{what} {a.index} {a.leaf_hash.hex()}" for a in done.appended])
        with suppress(LedgerError):
            signed, final = ledger.checkpoints()
            say([f"c {each.note.hex()}" for each in {signed, final or signed}])
        return True
    return False


def _rows(connection: Connection, appended: Sequence[Appended]) -> None:
    note_all(connection, appended)


def open_ledger(
    store: Store, clock: Callable[[], float] = time.time, policy: PolicyAt = no_witnesses
) -> Ledger:
    city = load.city()
    return Ledger.open(store, origin=city.origin, signers=[city.log], clock=clock, policy=policy)


def founded(url: str) -> None:
    """A new log with the city's first entries."""
    store = open_store(url)
    store.create(APP)
    with open_ledger(store) as ledger:
        ledger.append(load.base(), _rows)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
