"""Signing through each custody, beside the bare call of the suite in the same run.

Wall time of a signature in microseconds, with one thread and with four; of several rounds the
best. The remote signer is a real process. A security module is SoftHSM, or its rows are left out
and the reason is printed.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nacl.pwhash.argon2id as argon2id

from api.signing.client import SignerConnection
from keys.custody import Custody, Effort, FileCustody, Pkcs11Custody, RemoteCustody
from keys.errors import KeysError
from keys.suites import BY_NAME
from tests.softhsm import PIN, SoftHsm

SUITES = ("ed25519", "es256")
SIGNATURES, ROUNDS = 400, 12
PASSPHRASE = "bench"
QUICK = Effort(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
MESSAGE = bytes(range(256))
Row = dict[str, Any]


def bench() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="zl") as name:
        folder = Path(name)
        rows = _rows("files", FileCustody(folder / "custody", PASSPHRASE, QUICK))
        with _signer(folder) as remote:
            rows += _rows("signer behind a socket", remote)
        try:
            hsm = SoftHsm(folder)
            hsm.make("bench")
            module = Pkcs11Custody(hsm.module, "bench", PIN)
            rows += _rows("SoftHSM", module)
            module.close()
        except (LookupError, KeysError) as missing:
            sys.stdout.write(f"custody: no rows of a security module: {missing}\n")
    return rows


def _rows(kind: str, custody: Custody) -> list[Row]:
    rows = []
    for suite in SUITES:
        if not any(entry.name == suite for entry in custody.list()):
            custody.create(suite, suite)
        signer = custody.open(suite)
        bare = BY_NAME[suite].prepare(BY_NAME[suite].generate())
        for threads in (1, 4):
            raw, ours = [], []
            for _ in range(ROUNDS):  # in turn, so that what else the machine does disturbs both
                raw.append(_microseconds(bare, 1))
                ours.append(_microseconds(signer.sign, threads))
            value, cost = min(ours), min(raw)
            rows.append(
                {
                    "name": f"signing, {suite}, {kind}, {threads} thread{'s' * (threads > 1)} "
                    f"({1e6 / statistics.median(ours):,.0f}/s)",
                    "value": value,
                    "unit": "µs",
                    "raw": cost,
                    "raw_name": f"{suite} in this process, 1 thread",
                    "ratio": value / cost,
                    "bound": None,
                    "holds": None,
                }
            )
    return rows


def _microseconds(sign: Callable[[bytes], bytes], threads: int) -> float:
    """Wall time of one of `SIGNATURES` signatures, shared by so many threads."""

    def work() -> None:
        for _ in range(SIGNATURES // threads):
            sign(MESSAGE)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return (time.perf_counter() - begun) / SIGNATURES * 1e6


@contextmanager
def _signer(folder: Path) -> Iterator[RemoteCustody]:
    """`zhenglian signer` over the key files that were just made."""
    environment = {
        **os.environ,
        "ZHENGLIAN_DATA": str(folder),
        "ZHENGLIAN_PASSPHRASE": PASSPHRASE,
        "ZHENGLIAN_CUSTODY": "file",
    }
    path = folder / "signer.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "signer", "--socket", str(path)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield RemoteCustody(SignerConnection(path, patience=60))
    finally:
        process.terminate()
        process.wait()
