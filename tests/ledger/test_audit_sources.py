"""The same audit wherever the log lies: open ledger, exported folder, archive, over HTTP."""

import tarfile
import threading
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ledger.audit.run import audit
from ledger.export import export
from ledger.ledger import Ledger
from ledger.model import Draft
from ledger.readside import LedgerReadSide, open_source
from ledger.stores.memory import MemoryStore
from tests.ledger.audited import OPTIONS, found
from tests.ledger.helpers import clock
from tests.ledger.logs import City


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def log() -> Iterator[tuple[Ledger, City]]:
    """A ledger that holds a city's 600 entries, one of them forged, in two appends."""
    city = City()
    city.fill(400)
    city.entries[300] = city.entries[300][:-1] + b"\0"
    city.fill(600)
    store = MemoryStore()
    store.create()
    with Ledger.open(store, origin=city.origin, signers=[city.log], clock=clock) as ledger:
        for part in (city.entries[:350], city.entries[350:]):
            ledger.append([Draft(entry, 0, "") for entry in part])
        yield ledger, city
    store.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of `tmp_path` served as static files."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_source_is_audited_alike(
    log: tuple[Ledger, City], tmp_path: Path, served: str
) -> None:
    ledger, city = log
    export(ledger, tmp_path / "log")
    with tarfile.open(tmp_path / "log.tar", "w") as archive:
        archive.add(tmp_path / "log", "log")
    sources = [
        LedgerReadSide(ledger),
        open_source(str(tmp_path / "log")),
        open_source(str(tmp_path / "log.tar")),
        open_source(f"{served}/log/"),
    ]
    reports = [audit(source, **OPTIONS) for source in sources]
    assert found(reports[0]) == [("audit-bad-signature", 300, None)]
    assert reports[0].root == ledger_root(ledger)
    assert reports[0].signatures == len(city.entries) - 1
    assert all(report == reports[0] for report in reports)


def ledger_root(ledger: Ledger) -> bytes:
    """From the text of the ledger's own checkpoint."""
    return b64decode(ledger.checkpoint().split(b"\n")[2])


def test_a_ledger_that_grows_still_extends_what_was_audited(log: tuple[Ledger, City]) -> None:
    ledger, city = log
    before = ledger.checkpoint()
    city.fill(1_000)
    ledger.append([Draft(entry, 0, "") for entry in city.entries[600:]])
    report = audit(LedgerReadSide(ledger), **OPTIONS, previous=before)
    assert found(report) == [("audit-bad-signature", 300, None)]
    assert (report.previous_size, report.size) == (600, 1_000)
