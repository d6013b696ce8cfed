"""Messages on a stream: four bytes of length, big-endian, then the message."""

import socket
import struct
import time

from keys.custody.remote import MAX_MESSAGE
from keys.errors import KeysError

_LENGTH = struct.Struct(">I")


def send(connection: socket.socket, message: bytes) -> None:
    """Raises `OSError`; `signer-malformed` for what the other side would not take."""
    if not 0 < len(message) <= MAX_MESSAGE:
        raise KeysError("signer-malformed", f"{len(message)} bytes")
    connection.sendall(_LENGTH.pack(len(message)) + message)


def receive(connection: socket.socket, *, wait: float | None, seconds: float) -> bytes | None:
    """The next message, or None at the end of the stream.

    Waits `wait` seconds for it to begin, for ever if None; then it must be whole within `seconds`,
    which stay the connection's time-out. `signer-malformed` for one that is empty or too long,
    before any of it is read into memory; `OSError` for one that is cut off, and for the rest.
    """
    connection.settimeout(wait)
    first = connection.recv(1)
    if not first:
        return None
    until = time.monotonic() + seconds
    connection.settimeout(seconds)
    (size,) = _LENGTH.unpack(first + _exactly(connection, _LENGTH.size - 1, until))
    if not 0 < size <= MAX_MESSAGE:
        raise KeysError("signer-malformed", f"{size} bytes")
    return _exactly(connection, size, until)


def _exactly(connection: socket.socket, size: int, until: float) -> bytes:
    parts, left = [], size
    while left:
        if time.monotonic() >= until:
            raise TimeoutError("the message takes too long")
        part = connection.recv(min(left, 1 << 16))
        if not part:
            raise ConnectionResetError("the message was cut off")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
