"""One log read in every way: from the ledger, a folder, archives and HTTP; and bad sources."""

import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from ledger.export import export
from ledger.ledger import Ledger
from ledger.readside import (
    ArchiveReadSide,
    DirectoryReadSide,
    HttpReadSide,
    LedgerReadSide,
    ReadSide,
    open_source,
    read_bundle,
    read_tile,
)
from ledger.static_folder import compress
from ledger.stores.memory import MemoryStore
from tests.ledger.helpers import check_log, drafts, open_ledger, refused
from verifier.errors import Refused

SIZE = 600
ENTRIES = [d.entry for d in drafts(0, SIZE)]


@pytest.fixture(scope="module")
def log() -> Iterator[Ledger]:
    store = MemoryStore()
    store.create()
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, SIZE))
        yield ledger
    store.close()


@pytest.fixture(scope="module")
def folder(log: Ledger, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("static") / "log"
    export(log, folder)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


GZIPPED = {"Content-Encoding": "gzip"}


class Hostile(BaseHTTPRequestHandler):
    """Answers each path in a way of its own."""

    protocol_version = "HTTP/1.0"
    answers: ClassVar[dict[str, tuple[int, dict[str, str], bytes]]] = {
        "/tile/0/000": (500, {}, b"oops"),
        "/tile/0/001": (410, {}, b""),
        "/tile/0/002": (200, {}, b"x" * 8193),
        "/tile/0/003": (200, {"Content-Length": "8192"}, b"x" * 100),
        "/tile/0/004": (204, {}, b""),
        "/tile/0/005": (302, {"Location": "ftp://example.invalid/"}, b""),
        "/tile/entries/000": (200, GZIPPED, compress(b"entries")),
        "/tile/entries/001": (200, GZIPPED, compress(bytes(256 * 65_537 + 1))),
        "/tile/entries/002": (200, GZIPPED, compress(b"entries")[:-1]),
        "/tile/entries/003": (200, GZIPPED, compress(b"entries") + b"x"),
        "/tile/entries/004": (200, GZIPPED, b"entries"),
        "/tile/entries/005": (200, {"Content-Encoding": "br"}, b"entries"),
    }

    def do_GET(self) -> None:
        status, headers, body = self.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


def serve(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def static(folder: Path) -> Iterator[str]:
    yield from serve(partial(Quiet, directory=str(folder.parent)))


@pytest.fixture
def hostile() -> Iterator[str]:
    yield from serve(Hostile)


@pytest.fixture(params=["ledger", "folder", "zip", "zip at root", "tar", "http"])
def source(
    request: pytest.FixtureRequest, log: Ledger, folder: Path, static: str, tmp_path: Path
) -> ReadSide:
    archive = tmp_path / "log.archive"
    match request.param:
        case "ledger":
            return LedgerReadSide(log)
        case "folder":
            return open_source(str(folder))
        case "tar":
            with tarfile.open(archive, "w") as tar:
                tar.add(folder, "./backup/log")
            return open_source(str(archive))
        case "http":
            return open_source(f"{static}/log/")
    top = folder if request.param == "zip at root" else folder.parent
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in folder.rglob("*"):
            zipped.write(file, file.relative_to(top))
    return open_source(str(archive))


def test_a_log_reads_the_same_everywhere(source: ReadSide, log: Ledger) -> None:
    checkpoint, entries = check_log(source)
    assert checkpoint.size == SIZE
    assert entries == ENTRIES
    assert source.read("checkpoint") == log.checkpoint()


@pytest.mark.parametrize(
    "path",
    ["tile/0/003", "tile/0/002.p/89", "tile/1/000", "tile/entries/002", "tile/0", "tile", "",
     "tile/0/2", "tile/0/x000/000", "tile/0/000.p/256", "../log/checkpoint", "checkpoint/",
     "/checkpoint", "tile/../checkpoint", "tile/64/000", "tile/0/" + "x000/" * 40 + "000"],
)  # fmt: skip
def test_what_is_absent_or_no_path_is_said_to_be_absent(source: ReadSide, path: str) -> None:
    with refused("ledger-path-absent"):
        source.read(path)


def test_a_partial_tile_that_is_gone_is_cut_from_the_full_one(source: ReadSide) -> None:
    assert read_tile(source, 0, 1, 7) == source.read("tile/0/001")[: 7 * 32]
    assert read_bundle(source, 1, 7) == ENTRIES[256:263]
    with refused("ledger-path-absent"):
        read_tile(source, 0, 3, 7)
    with refused("ledger-path-absent"):
        read_bundle(source, 3, 7)


def test_nothing_published_is_absent() -> None:
    store = MemoryStore()
    store.create()
    ledger = Ledger.open(store, origin="x", signers=[], clock=lambda: 0)
    with refused("ledger-path-absent"):
        LedgerReadSide(ledger).read("checkpoint")
    store.close()


def test_files_larger_than_their_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tile/0").mkdir(parents=True)
    (tmp_path / "tile/0/000").write_bytes(bytes(8193))
    (tmp_path / "checkpoint").write_bytes(bytes((1 << 20) + 1))
    with zipfile.ZipFile(tmp_path / "log.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write(tmp_path / "tile/0/000", "tile/0/000")
        zipped.write(tmp_path / "checkpoint", "checkpoint")
    for source in (DirectoryReadSide(tmp_path), ArchiveReadSide(tmp_path / "log.zip")):
        for path in ("tile/0/000", "checkpoint"):
            with refused("ledger-read-too-large"):
                source.read(path)


def test_a_malformed_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tile/entries").mkdir(parents=True)
    (tmp_path / "tile/entries/000").write_bytes(b"\x00\x05abc")
    with pytest.raises(Refused) as caught:
        read_bundle(DirectoryReadSide(tmp_path), 0, 256)
    assert caught.value.code == "tile-bundle-malformed"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").symlink_to("checkpoint")
    with refused("ledger-read-failed"):
        DirectoryReadSide(tmp_path).read("checkpoint")


def test_a_damaged_archive_member(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "log.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(folder / "checkpoint", "checkpoint")
    data = bytearray(archive.read_bytes())
    at = data.index(b"demo.zhenglian.example")
    data[at] ^= 1
    archive.write_bytes(data)
    with refused("ledger-read-failed"):
        ArchiveReadSide(archive).read("checkpoint")


@pytest.mark.parametrize(
    "text",
    ["", "no/such/place", "http://", "https://?x", "http:/x", "ftp://example.invalid/log",
     "http://example.invalid/log?x=1"],
)  # fmt: skip
def test_unknown_sources(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    if text:
        with refused("ledger-source-unknown"):
            open_source(text)
    else:  # the current folder: a source, with nothing in it
        with refused("ledger-path-absent"):
            open_source(text).read("checkpoint")


def test_files_that_are_no_archive_of_a_log(tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_bytes(b"Dear Sir or Madam")
    empty = tmp_path / "empty.zip"
    zipfile.ZipFile(empty, "w").close()
    for path in (letter, empty):
        with refused("ledger-source-unknown"):
            open_source(str(path))


@pytest.mark.parametrize(
    ("n", "code"),
    [(0, "ledger-read-failed"), (1, "ledger-path-absent"), (2, "ledger-read-too-large"),
     (3, "ledger-read-failed"), (4, "ledger-read-failed"), (5, "ledger-read-failed"),
     (6, "ledger-path-absent")],
)  # fmt: skip
def test_a_hostile_server(hostile: str, n: int, code: str) -> None:
    with refused(code):
        HttpReadSide(hostile).read(f"tile/0/{n:03}")


@pytest.mark.parametrize(
    ("n", "code"),
    [(1, "ledger-read-too-large"), (2, "ledger-read-failed"), (3, "ledger-read-failed"),
     (4, "ledger-read-failed"), (5, "ledger-read-failed")],
)  # fmt: skip
def test_gzip_that_is_none_or_a_bomb(hostile: str, n: int, code: str) -> None:
    with refused(code):
        HttpReadSide(hostile).read(f"tile/entries/{n:03}")


def test_a_bundle_that_is_sent_as_gzip_alone(hostile: str) -> None:
    assert HttpReadSide(hostile).read("tile/entries/000") == b"entries"


def test_a_server_that_is_not_there(hostile: str) -> None:
    with refused("ledger-read-failed"):
        HttpReadSide("http://127.0.0.1:1", seconds=5).read("checkpoint")


def test_proxies_are_used_when_given(hostile: str) -> None:
    with refused("ledger-read-failed") as caught:
        HttpReadSide("http://log.invalid", proxies={"http": "http://127.0.0.1:1"}).read(
            "checkpoint"
        )
    assert "refused" in caught.value.detail
