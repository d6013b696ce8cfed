"""Registering over HTTP: one document a request by 64 clients, and many as NDJSON.

Beside the first stands a bare FastAPI application on the same server (uvicorn, one process) whose
handler makes the same checks of the same requests and inserts one row into SQLite, committed with
`synchronous=FULL`, before it answers. Beside the second stands the same city's `Ledger.append` in
this process, in batches of 1,000, after the same checks. The load comes from this process; each
server has one of its own.
"""

import asyncio
import base64
import hmac
import json
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from api import change_facts
from api.city import City
from api.principals import Principal, Role, create_client
from api.register import Registrar
from bench.load import Load, load, request
from keys.signer import SoftwareSigner
from keys.suites import suite_named
from ledger.model import Draft
from tests.api.service import (
    DATABASE,
    decide,
    enrol_department,
    found_city,
    open_copy,
    settings_of,
)
from tests.decided import possession
from verifier.authorities import EnrolledKey, check_outside, check_scope, check_standing
from verifier.kinds import DOCUMENT, DOCUMENT_SCOPE, KEY
from verifier.statement import (
    Content,
    check_statement,
    new_subject,
    parse_statement,
    sign_statement,
)

SINGLES, CLIENTS = 6_000, 64
WARM = 500  # requests before the clock starts
LINES, BATCH = 20_000, 1_000
_SLUG, _USCC = "market", "11339900MB9900013Q"
_SIGNER = SoftwareSigner(suite_named("ed25519"), bytes(32))
_COSE = {"Content-Type": "application/cose"}
_NEXT = 1 << 53
_Row = dict[str, Any]


def bench() -> list[_Row]:
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as name:
        folder = Path(name)
        api_key, origin, in_process = prepare(folder)
        made = [statement(origin, number) for number in range(WARM + SINGLES + LINES)]
        with server("bare", folder) as port:
            bare = singles(port, api_key, made[: WARM + SINGLES])
        with server("ours", folder) as port:
            ours = singles(port, api_key, made[: WARM + SINGLES])
            lines = asyncio.run(bulk(port, api_key, made[WARM + SINGLES :]))
    ratio = ours.rate / bare.rate
    single = f"HTTP: {CLIENTS} clients, one document a request"
    return [
        _row(f"{single}; raw: bare framework", ours.rate, "entries/s", bare.rate, ratio,
             "≥ 0.5 of raw", ratio >= 0.5),
        _row(f"{single}, p99", ours.p99, "ms", bare.p99, ours.p99 / bare.p99, "< 1,000 ms",
             ours.p99 < 1_000),
        _row("HTTP: NDJSON; raw: in process", lines, "entries/s", in_process, lines / in_process,
             "≥ 0.7 of raw", lines / in_process >= 0.7),
    ]  # fmt: skip


def _row(
    name: str, value: float, unit: str, raw: float, ratio: float, bound: str, holds: bool
) -> _Row:
    return {
        "name": name, "value": value, "unit": unit, "raw": raw, "ratio": ratio, "bound": bound,
        "holds": holds,
    }  # fmt: skip


# --- the city ----------------------------------------------------------------------------------


def prepare(folder: Path, database: str = "") -> tuple[str, str, float]:
    """Founds a city, on the embedded database or the one of a URL; (API key, origin, entries a
    second in process, the same checks included)."""
    (folder / "city").mkdir()
    if database:
        (folder / "city" / DATABASE).write_text(database, encoding="utf-8")
    with closing(found_city(settings_of(folder / "city"))) as city:
        enrol_department(city, _SLUG, "市场监督管理局", "Market", _USCC)
        cose_key, pop = possession(city.origin, _SLUG, _SIGNER)
        facts = change_facts.key(_SLUG, cose_key, pop, [DOCUMENT_SCOPE], city.now() - 86_400)
        decide(city, KEY, facts, f"{_SLUG}-1")
        api_key = create_client(
            city.store, client="bench", name="bench", roles=[Role.REGISTRAR], department=_SLUG,
            subject_nym=None, random=city.random, now=city.now(),
        )  # fmt: skip
        return api_key, city.origin, _in_process(city)


def _in_process(city: City) -> float:
    registrar = Registrar(city)
    caller = Principal("bench", "bench", _SLUG, frozenset({Role.REGISTRAR}))
    made = [statement(city.origin, -number - 1) for number in range(LINES // 2)]
    started = time.perf_counter()
    for at in range(0, len(made), BATCH):
        now, batch = city.now(), made[at : at + BATCH]
        checked = [registrar.check(raw, caller, now) for raw in batch]
        city.ledger.append([Draft(one.statement.raw, DOCUMENT, _SLUG) for one in checked])
    return len(made) / (time.perf_counter() - started)


def statement(origin: str, number: int) -> bytes:
    seed = sha256(str(number).encode()).digest()
    return sign_statement(
        Content(DOCUMENT, digests=[seed]),
        issuer=f"{origin}/{_SLUG}",
        subject=new_subject(seed[:16]),
        issued_at=int(time.time()),
        signer=_SIGNER,
    )


# --- load --------------------------------------------------------------------------------------


def singles(
    ports: int | list[int], api_key: str, made: list[bytes], connections: int = CLIENTS
) -> Load:
    """All but the first `WARM` of these statements are on the clock."""
    headers = {**_COSE, "Authorization": f"Bearer {api_key}"}
    sent = [request("POST", "/v1/log/entries", raw, headers) for raw in made]
    load(ports, sent.__getitem__, total=WARM, connections=connections)
    return load(ports, lambda n: sent[WARM + n], total=len(made) - WARM, connections=connections)


async def bulk(port: int, api_key: str, made: list[bytes]) -> float:
    """Entries a second, from the first byte sent to the last line read."""
    lines = [b'{"statement":"' + base64.b64encode(raw) + b'"}\n' for raw in made]
    headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {api_key}"}
    sent = request("POST", "/v1/log/bulk", b"".join(lines), headers)
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)

    async def send() -> None:
        for at in range(0, len(sent), 1 << 16):
            writer.write(sent[at : at + (1 << 16)])
            await writer.drain()

    sending = asyncio.create_task(send())
    last = b""
    while not last.startswith(b'{"done"'):
        last = (await reader.readline()) or b'{"done": "the connection was closed"}'
    rate = len(made) / (time.perf_counter() - started)
    await sending
    writer.close()
    if json.loads(last).get("logged") != len(made):
        raise RuntimeError(last.decode())
    return rate


# --- servers -----------------------------------------------------------------------------------


@contextmanager
def server(which: str, folder: Path) -> Iterator[int]:
    """The port of a server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.http", which, str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _serve(which: str, folder: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    city = open_copy(folder / "city", time.time)  # type: ignore[arg-type]
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    if which == "ours":
        from api.commands.run import _serve as serve
        from api.observe import log_as_json

        log_as_json()
        serve(city, listener)
    else:
        _serve_bare(city, listener, folder / "bare.db")


def _serve_bare(city: City, listener: socket.socket, path: Path) -> None:
    """A framework, the same checks, one durable insert; neither a tree nor a checkpoint."""
    import uvicorn
    from fastapi import FastAPI, Request, Response

    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE rows (leaf BLOB UNIQUE, record TEXT PRIMARY KEY, data BLOB)")
    with city.store.read() as reader:
        rows = reader.connection.exec_driver_sql("SELECT secret_hash FROM clients").all()
    secrets = [bytes(row[0]) for row in rows]
    authorities = city.authorities
    app = FastAPI()

    def check(raw: bytes, now: int) -> tuple[bytes, str]:
        statement = parse_statement(raw)
        key: EnrolledKey = authorities.key_for(statement)
        assert statement.content.kind == DOCUMENT
        assert now - 864_000 <= statement.issued_at <= now + 300
        check_scope(statement, key)
        check_standing(key, statement.issued_at, index=_NEXT)
        check_outside(key, now)
        check_statement(statement, key.public)
        return statement.leaf, statement.subject

    @app.post("/v1/log/entries")
    async def entries(asked: Request) -> Response:
        token = asked.headers["authorization"].split("_", 2)[2]
        digest = sha256(base64.urlsafe_b64decode(token + "=")).digest()
        assert any(hmac.compare_digest(digest, secret) for secret in secrets)
        raw = await asked.body()
        leaf, record = check(raw, int(time.time()))
        row = database.execute("INSERT INTO rows VALUES (?, ?, ?)", (leaf, record, raw))
        body = f'{{"index":{row.lastrowid},"leaf":"{leaf.hex()}"}}'
        return Response(body, 201, media_type="application/json")

    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
