"""Asking over HTTP: connections kept, time and size bounded, nothing followed."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from api.witness_client import WitnessClient
from ledger.cosigning import MAX_ANSWER

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """Answers each request with what `reply` writes; counts connections and requests."""

    def __init__(self, reply: Callable[[socket.socket], None]) -> None:
        self.reply = reply
        self.connections = 0
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while request := self._request(connection):
                self.requests.append(request)
                self.reply(connection)
        except OSError:
            pass

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65_536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-len")]
        wanted = int(length[0].partition(b":")[2]) if length else 0
        while len(body) < wanted:
            body += connection.recv(65_536)
        return head + b"\r\n\r\n" + body


@contextmanager
def serving(reply: Callable[[socket.socket], None] | bytes) -> Iterator[Server]:
    server = Server((lambda connection: connection.sendall(reply)) if isinstance(reply, bytes)
                    else reply)  # fmt: skip
    yield server
    with suppress(OSError):  # a thread that waits in accept would take one more
        server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    for connection in server.open:
        connection.close()


@pytest.fixture
def client() -> Iterator[WitnessClient]:
    client = WitnessClient()
    yield client
    client.close()


def test_a_connection_is_kept_and_used_again(client: WitnessClient) -> None:
    with serving(OK) as server:
        for _ in range(3):
            answer = client.post(f"{server.url}/w/add-checkpoint", b"old 0\n\nx", 5)
            assert answer == (200, "text/plain", b"hello")
        assert client.get(f"{server.url}/w/ab/checkpoint", 5).body == b"hello"
        assert server.connections == 1
    assert server.requests[0].startswith(b"POST /w/add-checkpoint HTTP/1.1\r\n")
    assert server.requests[0].endswith(b"\r\n\r\nold 0\n\nx")
    assert server.requests[3].startswith(b"GET /w/ab/checkpoint HTTP/1.1\r\n")


def test_an_answer_after_the_end_leaves_no_connection() -> None:
    """Its thread is not waited for when the service stops."""
    asked, go_on = threading.Event(), threading.Event()

    def reply(connection: socket.socket) -> None:
        asked.set()
        assert go_on.wait(20)
        connection.sendall(OK)

    client = WitnessClient()
    with serving(reply) as server:
        thread = threading.Thread(target=client.get, args=(f"{server.url}/x", 20))
        thread.start()
        assert asked.wait(20)
        client.close()
        go_on.set()
        thread.join()
        server.open[0].settimeout(20)
        assert server.open[0].recv(1) == b"", "the client has hung up"


def test_one_that_the_server_closed_meanwhile_is_replaced(client: WitnessClient) -> None:
    with serving(OK) as server:
        client.get(f"{server.url}/x", 5)
        server.open[0].shutdown(socket.SHUT_RDWR)
        assert client.get(f"{server.url}/x", 5).status == 200
        assert server.connections == 2


def test_a_server_that_closes_each_time(client: WitnessClient) -> None:
    reply = OK.replace(b"Content-Length: 5", b"Connection: close\r\nContent-Length: 5")
    with serving(reply) as server:
        for _ in range(2):
            assert client.get(f"{server.url}/x", 5).body == b"hello"
        assert server.connections == 2


def test_what_is_longer_than_an_answer_may_be_is_not_read_on(client: WitnessClient) -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with serving(endless) as server:
        assert len(client.get(f"{server.url}/x", 30).body) == MAX_ANSWER + 1


def test_redirects_are_answers(client: WitnessClient) -> None:
    with serving(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n") as server:
        assert client.get(f"{server.url}/x", 5).status == 302
        assert len(server.requests) == 1


def dripping(first: bytes) -> Callable[[socket.socket], None]:
    def reply(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(600):
            connection.sendall(b"x")
            time.sleep(0.05)

    return reply


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(lambda connection: None, id="silent"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\nX-Long: "), id="headers byte by byte"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\n\r\n"), id="a body byte by byte"),
    ],
)
def test_no_answer_takes_longer_than_it_may(
    client: WitnessClient, reply: Callable[[socket.socket], None]
) -> None:
    """Each byte comes in time; the whole does not."""
    with serving(reply) as server:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            client.get(f"{server.url}/x", 0.4)
        assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "reply",
    [b"", b"garbage\r\n\r\n", OK[:-3], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz"],
    ids=["nothing", "no HTTP", "cut short", "a wrong chunk"],
)
def test_what_is_no_answer_is_an_error(client: WitnessClient, reply: bytes) -> None:
    def once(connection: socket.socket) -> None:
        connection.sendall(reply)
        connection.shutdown(socket.SHUT_RDWR)

    with serving(once) as server, pytest.raises(OSError):
        client.get(f"{server.url}/x", 5)


def test_nobody_there(client: WitnessClient) -> None:
    with serving(OK) as server:
        pass
    with pytest.raises(OSError):
        client.post(f"{server.url}/add-checkpoint", b"x", 5)
    with pytest.raises(OSError):
        client.get("http://127.0.0.1:99999/x", 5)


def test_a_certificate_that_nobody_vouches_for_is_no_answer(client: WitnessClient) -> None:
    """A server that speaks no TLS at all, for one."""
    with serving(OK) as server, pytest.raises(OSError):
        client.get(server.url.replace("http:", "https:"), 5)
