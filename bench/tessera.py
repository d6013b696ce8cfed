"""Tessera's POSIX driver, installed as a Go module and run as its conformance server.

Its `POST /add` answers when an entry has a durable index, as ours does; it gathers up to 256
entries, or waits a second, before it writes. With few clients its rate is that wait's, so it is
measured with more of them too, and given the better figure.
"""

import base64
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keys.signer import SoftwareSigner
from keys.suites import suite_named
from verifier.note import NoteSigner

MODULE = "github.com/transparency-dev/tessera/cmd/conformance/posix@v1.0.4"
PLACE = Path("var/bench-peers/go").absolute()
_ORIGIN, _SEED = "bench.example", bytes(range(32))


def installed() -> Path | None:
    """The program of the server; None, and a word on stderr, where it is not to be had."""
    program = PLACE / "posix"
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if not program.exists() and go:
        subprocess.run(
            [go, "install", MODULE],
            env={**os.environ, "GOBIN": str(PLACE), "GOFLAGS": ""},
            stderr=subprocess.DEVNULL,
            check=False,
        )
    if program.exists():
        return program
    sys.stderr.write("Tessera is not to be had here: its figures are left out\n")
    return None


@contextmanager
def running(program: Path) -> Iterator[int]:
    """The port of a server with an empty log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as folder:
        key = Path(folder) / "key"
        key.write_text(_private_key(), encoding="ascii")
        command = [program, "--storage_dir", f"{folder}/log", "--listen", f"127.0.0.1:{port}"]
        process = subprocess.Popen(
            [*command, "--private_key", key], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            _wait(port)
            yield port
        finally:
            process.kill()
            process.wait()


def _private_key() -> str:
    """A signer's key as golang.org/x/mod/sumdb/note writes it."""
    public = NoteSigner(_ORIGIN, SoftwareSigner(suite_named("ed25519"), _SEED)).key
    secret = base64.b64encode(b"\x01" + _SEED).decode()
    return f"PRIVATE+KEY+{_ORIGIN}+{public.key_id:08x}+{secret}"


def _wait(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")
