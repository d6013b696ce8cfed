"""The signer process for tests: `zhenglian signer` over a data folder of its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nacl.pwhash.argon2id as argon2id

from api.signing.client import SignerConnection
from keys.custody import Effort, RemoteCustody

QUICK = Effort(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
PASSPHRASE = "签名进程 passphrase"
PATIENCE = 60.0  # to give up after, on the slowest machine; nothing waits for it


@dataclass
class Signer:
    """Its folder, its socket, and the process while it runs."""

    data: Path
    socket: Path
    settings: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    def begin(self, *options: str) -> "subprocess.Popen[bytes]":
        others = {name: value for name, value in os.environ.items() if "ZHENGLIAN" not in name}
        own = {
            "ZHENGLIAN_DATA": str(self.data),
            "ZHENGLIAN_PASSPHRASE": PASSPHRASE,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONUTF8": "1",
            **self.settings,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "api.cli", "signer", "--socket", str(self.socket), *options],
            env={**others, **own},
            cwd=self.data,
            stderr=subprocess.PIPE,
        )

    def start(self, *options: str) -> None:
        """Returns when it says that it is ready."""
        self.process = self.begin(*options)
        assert self.process.stderr is not None
        line = self.process.stderr.readline().decode()
        assert "signer ready" in line, line + self.process.stderr.read().decode()

    def end(self, by: signal.Signals) -> int:
        """Its exit status."""
        assert self.process is not None
        self.process.send_signal(by)
        status = self.process.wait(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.process = None
        return status

    def fails(self, *options: str) -> str:
        """What it says when it does not start."""
        process = self.begin(*options)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2, said
        return said.decode()

    def custody(self, patience: float = PATIENCE) -> RemoteCustody:
        return RemoteCustody(SignerConnection(self.socket, patience=patience))

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(PATIENCE)
        connection.connect(str(self.socket))
        return connection

    def log(self) -> list[dict[str, str]]:
        lines = (self.data / "signer.log").read_text().splitlines()
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zl", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
