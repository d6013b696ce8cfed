"""Beside another ledger for Python, each durable, on this machine, in one run.

pymerkle's SQLite backend is installed from `bench/pymerkle.lock` into an environment under `var/`;
where there is no package index its rows are left out, and that is said. Ours keeps an index of
leaf hashes, so that a repeated entry is found, and signs a checkpoint for every transaction with
both keys of a log; pymerkle does neither. The raw column is pymerkle's figure.
"""

import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from bench.together import together
from keys.signer import SoftwareSigner
from keys.suites import suite_named
from ledger.ledger import Ledger
from ledger.model import Draft
from ledger.stores import open_store
from verifier.note import MLDSA44, NoteSigner

BATCH, BULK = 1_000, 100_000
CLIENTS, SINGLES = 64, 12_800
ENTRY_BYTES = 300
PLACE = Path("var/bench-peers/pymerkle")
_HERE = Path(__file__).parent
_ORIGIN, _SEED = "bench.example", bytes(32)


def bench() -> list[dict[str, Any]]:
    theirs = _pymerkle()
    if theirs is None:
        sys.stderr.write("pymerkle could not be installed: its rows are left out\n")
        return []
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as folder:
        bulk = _bulk(Path(folder) / "bulk.db")
        singles = _singles(Path(folder) / "singles.db")
    return [
        _row("SQLite, batches of 1,000; raw: pymerkle, no root", bulk, theirs["bulk"], 1),
        _row("the same; raw: pymerkle, a root each batch", bulk, theirs["rooted"], 1),
        _row(f"{CLIENTS} writers, one entry each; raw: pymerkle", singles, theirs["singles"], 20),
    ]


def _row(name: str, ours: float, theirs: float, least: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": ours,
        "unit": "entries/s",
        "raw": theirs,
        "ratio": ours / theirs,
        "bound": f"≥ {least:g} of raw",
        "holds": ours / theirs >= least,
    }


def _pymerkle() -> dict[str, float] | None:
    python = PLACE / "bin" / "python"
    lock = _HERE / "pymerkle.lock"
    try:
        if not python.exists():
            venv.create(PLACE, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
        with tempfile.TemporaryDirectory(prefix="zl-bench-") as folder:
            command = [python, _HERE / "peer_pymerkle.py", folder]
            done = subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _open(path: Path) -> Ledger:
    store = open_store(f"sqlite:///{path}")
    store.create()
    suites = ((suite_named("ed25519"), 0x01), (suite_named("ml-dsa-44"), MLDSA44))
    signers = [NoteSigner(_ORIGIN, SoftwareSigner(suite, _SEED), type_) for suite, type_ in suites]
    return Ledger.open(store, origin=_ORIGIN, signers=signers, clock=time.time)


def _draft(number: int) -> Draft:
    entry = number.to_bytes(8, "big") * (ENTRY_BYTES // 8) + bytes(ENTRY_BYTES % 8)
    return Draft(entry, 16, "market")


def _bulk(path: Path) -> float:
    with _open(path) as ledger:
        started = time.perf_counter()
        for at in range(0, BULK, BATCH):
            ledger.append([_draft(i) for i in range(at, at + BATCH)])
        return BULK / (time.perf_counter() - started)


def _singles(path: Path) -> float:
    with _open(path) as ledger:
        return together(lambda i: ledger.append([_draft(i)]), SINGLES, CLIENTS)
