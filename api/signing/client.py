"""The service's end of the remote signer: requests over a Unix socket, across its restarts."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from api.signing.frames import receive, send
from keys.errors import KeysError

ANSWER_SECONDS = 60.0
"""For an answer: opening a key of a file takes a second or more, some modules as long."""
PATIENCE_SECONDS = 5.0
"""For a signer that is being restarted."""
_PAUSE = 0.05


class SignerConnection:
    """The `call` of a `RemoteCustody`. Safe to call from several threads: each has a connection of
    its own while it waits, and they are kept for the next.

    A connection that ends before the answer came is made anew and the request repeated, for
    `patience` seconds in all; the messages are such that repeating them is harmless. Raises
    `KeysError` signer-unreachable, signer-malformed.
    """

    def __init__(
        self,
        path: Path,
        *,
        patience: float = PATIENCE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._patience, self._answer_seconds = path, patience, answer_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []

    def __call__(self, request: bytes) -> bytes:
        until = self._monotonic() + self._patience
        while True:
            try:
                connection = self._take()
                try:
                    answer = self._exchange(connection, request)
                except BaseException:
                    connection.close()
                    raise
            except TimeoutError as error:
                raise KeysError("signer-unreachable", f"{self._path}: no answer in time") from error
            except OSError as error:
                self.close()  # the other connections are of the same dead signer
                if self._monotonic() >= until:
                    reason = error.strerror or type(error).__name__
                    raise KeysError("signer-unreachable", f"{self._path}: {reason}") from error
                time.sleep(_PAUSE)
            else:
                with self._lock:
                    self._idle.append(connection)
                return answer

    def close(self) -> None:
        """Ends the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            with contextlib.suppress(OSError):
                connection.close()

    def __del__(self) -> None:
        self.close()

    def _take(self) -> socket.socket:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self._answer_seconds)
            connection.connect(str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _exchange(self, connection: socket.socket, request: bytes) -> bytes:
        with contextlib.suppress(BrokenPipeError):  # it may have answered before it hung up
            send(connection, request)
        answer = receive(connection, wait=self._answer_seconds, seconds=self._answer_seconds)
        if answer is None:
            raise ConnectionResetError("the signer hung up")
        return answer
