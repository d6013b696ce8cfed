"""Networks to pull the plug of: one namespace for each peer, joined to this one by a pair of ends.

A peer whose end is down answers nothing, as after a cable was cut: no refusal, no reset. It takes
root on Linux and `ip`; where that is not permitted a peer listens on this machine's own address,
and one that is cut off drops every connection.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from tests.broken import mounts
from tests.broken.summary import Unavailable

_CLONE_NEWNET = 0x4000_0000  # linux/sched.h
_NUMBERS = count(1)


class Place(Protocol):
    """Where a peer listens."""

    down: bool
    """Whether the listener must refuse by itself."""

    def listen(self) -> socket.socket: ...
    def cut(self) -> None:
        """From now on nothing arrives there or comes from there."""

    def join(self) -> None:
        """The opposite."""


@dataclass
class Namespace:
    """A network of its own with one address in it."""

    name: str
    end: str
    address: str
    down: bool = False

    def listen(self) -> socket.socket:
        """A socket belongs to the namespace in which its thread made it."""
        made: list[socket.socket | OSError] = []

        def work() -> None:
            try:
                _enter(self.name)
                made.append(socket.create_server((self.address, 0)))
            except OSError as error:
                made.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise Unavailable(f"entering a network namespace: {made[0].strerror}")
        return made[0]

    def cut(self) -> None:
        mounts.run("ip", "-n", self.name, "link", "set", self.end, "down")

    def join(self) -> None:
        mounts.run("ip", "-n", self.name, "link", "set", self.end, "up")


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Raises `Unavailable`."""
    number, own = next(_NUMBERS), os.getpid()
    name, here, there = f"zl-{own}-{number}", f"zlh{own % 10_000}x{number}", f"zlw{number}"
    subnet = f"10.{200 + own % 50}.{number % 256}"
    mounts.run("ip", "netns", "add", name)
    try:
        mounts.run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        mounts.run("ip", "address", "add", f"{subnet}.1/30", "dev", here)
        mounts.run("ip", "link", "set", here, "up")
        mounts.run("ip", "-n", name, "address", "add", f"{subnet}.2/30", "dev", there)
        made = Namespace(name, there, f"{subnet}.2")
        made.join()
        yield made
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@dataclass
class Loopback:
    """A port of this machine. Whoever listens there closes, while it is `down`, every connection
    without an answer."""

    down: bool = False

    def listen(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", 0))

    def cut(self) -> None:
        self.down = True

    def join(self) -> None:
        self.down = False


def places(stack: ExitStack, number: int) -> tuple[list[Place], str]:
    """So many, and words for what they are where they are not namespaces."""
    try:
        return [stack.enter_context(namespace()) for _ in range(number)], ""
    except Unavailable as reason:
        return [
            Loopback() for _ in range(number)
        ], f"dropped connections for want of namespaces: {reason}"


def _enter(name: str) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if library.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
