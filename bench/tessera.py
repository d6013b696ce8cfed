"""Tessera's POSIX driver, installed as a Go module and run as its conformance server.

Beside it: a document a request, and many as NDJSON, at our service on SQLite, which checks each
signature and its signer's power; Tessera takes any bytes. The bytes are the same.

Its `POST /add` answers when an entry has a durable index, as ours does; it gathers up to 256
entries, or waits a second, before it writes. With few clients its rate is that wait's, so it is
measured with more of them too, and given the better figure.
"""

import asyncio
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
from typing import Any

from bench.http import CLIENTS, LINES, SINGLES, WARM, bulk, prepare, server, singles, statement
from bench.load import Load, load, request
from keys.signer import SoftwareSigner
from keys.suites import suite_named
from verifier.note import NoteSigner

MODULE = "github.com/transparency-dev/tessera/cmd/conformance/posix@v1.0.4"
PLACE = Path("var/bench-peers/go").absolute()
MANY = 512  # connections
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


def bench() -> list[dict[str, Any]]:
    program = installed()
    if program is None:
        return []
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as name:
        folder = Path(name)
        api_key, origin, _ = prepare(folder)
        made = [statement(origin, number) for number in range(WARM + SINGLES * 2 + LINES)]
        first, second = made[: WARM + SINGLES], made[WARM + SINGLES : WARM + SINGLES * 2]
        with server("ours", folder) as port:
            few = singles(port, api_key, first)
            many = singles(port, api_key, made[:WARM] + second, MANY)
            batches = asyncio.run(bulk(port, api_key, made[-LINES:]))
    theirs_few, theirs_many = _theirs(program, first, CLIENTS), _theirs(program, second, MANY)
    best = max(theirs_few.rate, theirs_many.rate)
    return [
        _row(f"one a request, {CLIENTS} clients; raw: Tessera", few.rate, theirs_few.rate, 0.5),
        _row(f"one a request, {MANY} clients; raw: Tessera", many.rate, theirs_many.rate, 0.5),
        _row("NDJSON; raw: Tessera's best", batches, best, 1),
    ]


def _theirs(program: Path, made: list[bytes], connections: int) -> Load:
    """The wait of a second in each batch makes few clients slow, so few requests are enough."""
    total = min(len(made), connections * 16)
    sent = [request("POST", "/add", raw, {}) for raw in made[:total]]
    with running(program) as port:
        return load(port, sent.__getitem__, total=total, connections=connections)


def _row(name: str, ours: float, theirs: float, least: float) -> dict[str, Any]:
    return {
        "name": f"HTTP: {name}",
        "value": ours,
        "unit": "entries/s",
        "raw": theirs,
        "ratio": ours / theirs,
        "bound": f"≥ {least:g} of raw",
        "holds": ours / theirs >= least,
    }
