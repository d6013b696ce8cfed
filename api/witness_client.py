"""How the service reaches its witnesses: HTTP/1.1 with connections kept alive, bounded in time.

Only the addresses of the logged policy are asked. Redirects are answers like any other, and no
proxy of the environment is used: who answers is who the policy names.
"""

import ssl
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from socket import SHUT_RDWR, SO_KEEPALIVE, SOL_SOCKET, create_connection, socket
from typing import Final
from urllib.parse import urlsplit

from ledger.cosigning import MAX_ANSWER, HttpAnswer

_TEXT: Final = "text/plain; charset=utf-8"
_Server = tuple[str, str, int]


class WitnessClient:
    """`post` and `get` as `ledger.cosigning` wants them. Safe for many threads.

    `context` is for HTTPS; by default the certificates that this machine trusts.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._idle: dict[_Server, _Connection] = {}
        self._closed = False

    def post(self, url: str, body: bytes, seconds: float) -> HttpAnswer:
        """Raises `OSError`, after about `seconds` at the latest; finding the host's address may
        take longer where the resolver does."""
        return self._asked("POST", url, body, seconds)

    def get(self, url: str, seconds: float) -> HttpAnswer:
        """As `post`."""
        return self._asked("GET", url, None, seconds)

    def close(self) -> None:
        """Let go of the connections that are idle, and of others once they have been answered."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, {}
        for connection in idle.values():
            connection.close()

    def _asked(self, method: str, url: str, body: bytes | None, seconds: float) -> HttpAnswer:
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        try:
            server = (parts.scheme, parts.hostname or "", parts.port or (443 if tls else 80))
        except ValueError as error:
            raise OSError("no such address") from error
        with self._lock:
            kept = self._idle.pop(server, None)
        if kept is not None:
            with suppress(_Stale):  # the server closed it meanwhile: once more, on a new one
                return self._on(kept, server, method, parts.path, body, seconds)
        return self._on(self._made(server), server, method, parts.path, body, seconds)

    def _made(self, server: _Server) -> "_Connection":
        scheme, host, port = server
        if scheme == "http":
            return _Connection(host, port)
        if self._context is None:
            self._context = ssl.create_default_context()
        return _Connection(host, port, self._context)

    def _on(
        self,
        connection: "_Connection",
        server: _Server,
        method: str,
        path: str,
        body: bytes | None,
        seconds: float,
    ) -> HttpAnswer:
        fresh = connection.sock is None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            connection.cut()

        clock = threading.Timer(seconds, give_up)
        clock.daemon = True
        clock.start()
        try:
            connection.timeout = seconds
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            headers = {"Accept-Encoding": "identity"} | ({"Content-Type": _TEXT} if body else {})
            try:
                connection.request(method, path or "/", body, headers)
                answer = connection.getresponse()
            except (ConnectionError, HTTPException) as error:
                if fresh or late.is_set():
                    raise
                raise _Stale from error
            data = answer.read(MAX_ANSWER + 1)
            if late.is_set():  # cut off, which looks like an end
                raise TimeoutError
            if answer.length and len(data) <= MAX_ANSWER:
                raise ConnectionError("cut short")
            self._keep(connection, server, answer)
            return HttpAnswer(answer.status, answer.headers.get("Content-Type", ""), data)
        except (OSError, HTTPException, ValueError, AttributeError) as error:
            connection.close()
            if late.is_set() or isinstance(error, TimeoutError):
                raise TimeoutError("timed out") from error
            raise OSError(str(error) or type(error).__name__) from error
        except _Stale:
            connection.close()
            raise
        finally:
            clock.cancel()

    def _keep(self, connection: "_Connection", server: _Server, answer: HTTPResponse) -> None:
        """For the next request, if the answer was read to its end and the server keeps it too."""
        whole = answer.isclosed() and not answer.will_close
        with self._lock:
            if whole and not self._closed and server not in self._idle:
                self._idle[server] = connection
                return
        connection.close()


class _Stale(Exception):
    """A connection that was kept is no good any more."""


class _Connection(HTTPConnection):
    """Its handshake can be cut off from another thread, like all that follows."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        super().__init__(host, port)
        self._tls = context
        self._wire: socket | None = None  # also when only an answer still reads from it
        self.default_port = 443 if context is not None else 80

    def connect(self) -> None:
        self.sock = create_connection((self.host, self.port), self.timeout)
        self._wire = self.sock
        self.sock.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        if self._tls is not None:
            wrapped = self._tls.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock = self._wire = wrapped
            wrapped.do_handshake()

    def cut(self) -> None:
        """Ends whatever waits for this connection."""
        if self._wire is not None:
            with suppress(OSError, ValueError):
                self._wire.shutdown(SHUT_RDWR)
