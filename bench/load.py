"""A load of HTTP requests over keep-alive connections, each waiting for its answer."""

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

Request = Callable[[int], bytes]
"""The bytes of the n-th request, head and body."""


class Load(NamedTuple):
    """Requests a second over all connections, and how long answers took, in milliseconds."""

    rate: float
    median: float
    p99: float


def request(method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """An HTTP/1.1 request to a server on this machine."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def load(ports: int | list[int], make: Request, *, total: int, connections: int) -> Load:
    """Sends requests 0 to `total - 1`, over connections that are shared out among the ports.

    Raises `RuntimeError` at an answer that is not 2xx.
    """
    known = [ports] if isinstance(ports, int) else ports
    return asyncio.run(_load(known, make, total, connections))


async def _load(ports: list[int], make: Request, total: int, connections: int) -> Load:
    numbers, spent = iter(range(total)), list[float]()
    streams = [
        await asyncio.open_connection("127.0.0.1", ports[n % len(ports)])
        for n in range(connections)
    ]

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in numbers:
            data = make(number)
            began = time.perf_counter()
            writer.write(data)
            await _answer(reader)
            spent.append(time.perf_counter() - began)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(run(*stream) for stream in streams))
    rate = total / (time.perf_counter() - started)
    spent.sort()
    return Load(rate, statistics.median(spent) * 1e3, spent[int(len(spent) * 0.99)] * 1e3)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 2"):
        raise RuntimeError(head.partition(b"\r\n")[0].decode())
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    return await reader.readexactly(int(length))
