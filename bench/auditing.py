"""Auditing against the bare rate of verifying the same signatures, both on the same processes."""

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nacl.bindings as sodium

from ledger.audit.run import audit
from ledger.readside import DirectoryReadSide
from tests.ledger.logs import NOW, City, log_files
from verifier.cose import to_be_signed
from verifier.statement import parse_statement

LICENCES = 60_000
PROCESSES = 2
_SHARE = 4_096


def bench() -> list[dict[str, Any]]:
    city = City()
    for _ in range(LICENCES):
        city.clock -= 59  # a licence a second, so that none is issued in the future
        city.licence()
    entries = city.entries
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as name:
        folder = Path(name)
        for path, data in log_files(entries, city.log).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        raw = _raw_rate(entries, city)
        started = time.perf_counter()
        report = audit(
            DirectoryReadSide(folder),
            workdays_after=lambda day, count: day + 2 * count,
            now=NOW,
            processes=PROCESSES,
        )
        ours = len(entries) / (time.perf_counter() - started)
    if not report.ok or report.signatures != len(entries):
        raise RuntimeError("the audit is not clean, so its speed means nothing")
    return [
        {
            "name": f"audit of {len(entries):,} statements, {PROCESSES} processes",
            "value": ours,
            "unit": "entries/s",
            "raw": raw,
            "ratio": ours / raw,
            "bound": "≥ 0.6 of raw",
            "holds": ours / raw >= 0.6,
        }
    ]


def _raw_rate(entries: list[bytes], city: City) -> float:
    """Signatures a second that bare libsodium verifies on the same number of processes."""
    signed = []
    for entry in entries:
        sign1 = parse_statement(entry).sign1
        if sign1.alg == city.signers["market"].suite.cose_alg:
            signed.append(sign1.signature + to_be_signed(sign1.protected, sign1.payload))
    public = city.signers["market"].public
    signed = signed[-LICENCES:]
    jobs = [(signed[at : at + _SHARE], public) for at in range(0, len(signed), _SHARE)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        list(pool.map(_verify, jobs[: 2 * PROCESSES]))  # start the processes
        started = time.perf_counter()
        list(pool.map(_verify, jobs))
        return len(signed) / (time.perf_counter() - started)


def _verify(job: tuple[list[bytes], bytes]) -> None:
    messages, public = job
    for message in messages:
        sodium.crypto_sign_open(message, public)
