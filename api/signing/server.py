"""The process with the keys: a Unix socket that answers requests to sign, and nothing else."""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from api.signing.frames import receive, send
from api.signing.peer import peer_uid
from keys.custody.remote import SignerService, refusal
from keys.errors import KeysError

MAX_CLIENTS = 64
"""Connections at once; a further one waits until one ends."""
FRAME_SECONDS = 10.0
"""For the rest of a request that has begun, and for taking an answer."""
_log = logging.getLogger("zhenglian.signer")


class SigningLog:
    """What was signed, one JSON object a line: time, name, key id, SHA-256 of the message.

    The line is in the file (of mode 0600, only ever appended to) before the signature leaves; it
    is not waited for until the disk has it. Its folder is made if need be: a signer whose keys
    are in a security module begins without one.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file, self._clock = os.open(path, flags, 0o600), clock

    def __call__(self, name: str, kid: bytes, message: bytes) -> None:
        record = {
            "at": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            "name": name,
            "kid": kid.hex(),
            "sha256": hashlib.sha256(message).hexdigest(),
        }
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the log took half a line")

    def close(self) -> None:
        os.close(self._file)


@contextlib.contextmanager
def listening(path: Path, *, group: int | None = None) -> Iterator[socket.socket]:
    """A listening socket at `path` of mode 0600, or 0660 for a group id.

    A lock beside it tells a live signer from what a dead one left: `signer-running`, and the live
    one keeps its socket. What is no socket is never removed: `OSError`.
    """
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    made = path.with_name(f".{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KeysError("signer-running", str(path)) from error
        _check_stale(path)
        with contextlib.suppress(FileNotFoundError):
            made.unlink()
        listener.bind(str(made))
        if group is not None:
            os.chown(made, -1, group)
        made.chmod(0o600 if group is None else 0o660)
        listener.listen(MAX_CLIENTS)
        made.rename(path)  # it appears with its mode, and in the place of a stale one
        ours = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == ours:
                    path.unlink()
    finally:
        listener.close()
        os.close(lock)


def _check_stale(path: Path) -> None:
    """Raises unless the place is free, or a socket that nobody answers at."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "not a socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(FRAME_SECONDS)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
    raise KeysError("signer-running", str(path))


class SignerServer:
    """Answers every connection in a thread of its own."""

    def __init__(
        self, listener: socket.socket, service: SignerService, allowed: frozenset[int]
    ) -> None:
        """`allowed` are the user ids that may connect."""
        self._listener, self._service, self._allowed = listener, service, allowed
        self._places = threading.Semaphore(MAX_CLIENTS)

    def serve(self) -> None:
        """For ever. A fault with one connection ends that connection only."""
        while True:
            self._places.acquire()
            connection, _ = self._listener.accept()
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._converse(connection)
        except OSError as error:  # the other side is gone or too slow
            _log.info("connection ended: %s", type(error).__name__)
        finally:
            self._places.release()

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(FRAME_SECONDS)
        uid = peer_uid(connection)
        if uid not in self._allowed:
            _log.warning("user %d may not sign here", uid)
            send(connection, refusal(KeysError("signer-stranger", str(uid))))
            return
        while True:
            try:
                request = receive(connection, wait=None, seconds=FRAME_SECONDS)
            except KeysError as error:
                send(connection, refusal(error))
                return
            if request is None:
                return
            answer, well_formed = self._service.answer(request)
            send(connection, answer)
            if not well_formed:
                return
