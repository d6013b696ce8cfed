"""The public read side of a log (C2SP tlog-tiles), wherever it lies.

    checkpoint                    signed note
    tile/<L>/<N>[.p/<W>]          hashes
    tile/entries/<N>[.p/<W>]      entry bundle

The same three kinds of paths are read from an open ledger, a folder, a zip or tar archive, or over
HTTP. What is read is not trusted: only its size is bounded here.
"""

import tarfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import IO, Protocol
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from ledger.errors import LedgerError
from ledger.ledger import Ledger
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE
from verifier.note import MAX_NOTE_SIZE
from verifier.tiles import (
    FULL_WIDTH,
    MAX_ENTRY_SIZE,
    TilePath,
    entries_path,
    parse_bundle,
    parse_path,
    tile_path,
)

CHECKPOINT = "checkpoint"
HTTP_SECONDS = 30.0
_MAX_BUNDLE_ENTRY = 2 + MAX_ENTRY_SIZE
_OK, _NOT_FOUND, _GONE = 200, 404, 410
_GZIP = 16 + zlib.MAX_WBITS  # RFC 1952


class ReadSide(Protocol):
    """A log to read. Safe for several threads at once, unless it says otherwise."""

    def read(self, path: str) -> bytes:
        """The file at `path`.

        Absent, or not a path of a log: `ledger-path-absent`. Larger than its kind can be:
        `ledger-read-too-large`. Any other trouble: `ledger-read-failed`.
        """


class LedgerReadSide:
    """The read side of an open ledger: what its published checkpoint covers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def read(self, path: str) -> bytes:
        where = locate(path)
        try:
            if where is None:
                return self._ledger.checkpoint()
            if where.level is None:
                return self._ledger.entry_bundle(where.n, where.width)
            return self._ledger.tile(where.level, where.n, where.width)
        except LedgerError as error:
            if error.code in ("ledger-out-of-range", "ledger-not-published"):
                raise LedgerError("ledger-path-absent", path) from error
            raise


class DirectoryReadSide:
    """A log as static files below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes:
        limit = max_bytes(locate(path))
        try:
            with (self._folder / path).open("rb") as file:
                return _bounded(file, limit, path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise LedgerError("ledger-path-absent", path) from error
        except OSError as error:
            raise LedgerError("ledger-read-failed", f"{path}: {error.strerror}") from error


class ArchiveReadSide:
    """A log in a zip file or an uncompressed tar file, at its root or below one folder.

    One file is read at a time. Member names are only compared, never used as paths of this
    machine.
    """

    def __init__(self, archive: Path) -> None:
        self._lock = threading.Lock()
        self._members: dict[str, Callable[[], IO[bytes] | None]] = {}
        try:
            if zipfile.is_zipfile(archive):
                unzip = zipfile.ZipFile(archive)
                for name in unzip.namelist():
                    self._members[name] = lambda name=name: unzip.open(name)  # type: ignore[misc]
            else:
                untar = tarfile.open(archive, "r:")  # noqa: SIM115 - open as long as this object
                weakref.finalize(self, untar.close)
                for member in untar:
                    if member.isreg():
                        self._members[member.name.removeprefix("./")] = (
                            lambda member=member: untar.extractfile(member)  # type: ignore[misc]
                        )
        except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise LedgerError("ledger-source-unknown", archive.name) from error
        tops = [name for name in self._members if name.rpartition("/")[2] == CHECKPOINT]
        if not tops:
            raise LedgerError("ledger-source-unknown", f"{archive.name}: no checkpoint")
        self._prefix = min(tops, key=len).removesuffix(CHECKPOINT)

    def read(self, path: str) -> bytes:
        limit = max_bytes(locate(path))
        member = self._members.get(self._prefix + path)
        with self._lock:
            try:
                file = member() if member is not None else None
                if file is None:
                    raise LedgerError("ledger-path-absent", path)
                with file:
                    return _bounded(file, limit, path)
            except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, RuntimeError) as error:
                raise LedgerError("ledger-read-failed", f"{path}: {error}") from error


class HttpReadSide:
    """A log below an `http://` or `https://` address.

    `seconds` bounds each wait for the server; `proxies` maps a scheme to a proxy's address, as
    `urllib.request.ProxyHandler` has it.
    """

    def __init__(
        self, url: str, *, seconds: float = HTTP_SECONDS, proxies: Mapping[str, str] | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise LedgerError("ledger-source-unknown", url)
        self._prefix = url.rstrip("/") + "/"
        self._seconds = seconds
        self._opener = build_opener(ProxyHandler(dict(proxies or {})))

    def read(self, path: str) -> bytes:
        where = locate(path)
        limit = max_bytes(where)
        accepted = "gzip, identity" if where is not None and where.level is None else "identity"
        request = Request(self._prefix + path, headers={"Accept-Encoding": accepted})  # noqa: S310 - the scheme was checked
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                if answer.status != _OK:
                    raise LedgerError("ledger-read-failed", f"{path}: HTTP {answer.status}")
                data = _bounded(answer, limit, path)
                announced = answer.headers.get("Content-Length")
                coding = answer.headers.get("Content-Encoding", "identity")
        except HTTPError as error:
            with error:
                code = "ledger-path-absent" if error.code in (_NOT_FOUND, _GONE) else None
            raise LedgerError(code or "ledger-read-failed", f"{path}: HTTP {error.code}") from error
        except (OSError, HTTPException, ValueError) as error:
            raise LedgerError("ledger-read-failed", f"{path}: {error}") from error
        if announced is not None and announced != str(len(data)):
            raise LedgerError("ledger-read-failed", f"{path}: cut short")
        return _decoded(data, coding, limit, path)


def open_source(text: str) -> ReadSide:
    """The log at an address, in a folder or in an archive. Error: `ledger-source-unknown`.

    A folder holds the log itself, or, as a mirror of one log does, one folder that does.
    """
    if text.startswith(("http://", "https://")):
        return HttpReadSide(text)
    path = Path(text)
    if path.is_dir():
        within = [] if (path / CHECKPOINT).exists() else [*path.glob(f"*/{CHECKPOINT}")]
        return DirectoryReadSide(within[0].parent if len(within) == 1 else path)
    if path.is_file():
        return ArchiveReadSide(path)
    raise LedgerError("ledger-source-unknown", text)


def read_tile(source: ReadSide, level: int, n: int, width: int) -> bytes:
    """The first `width` hashes of a tile; from the full tile where the partial one is gone."""
    return _partial_or_full(source, lambda w: tile_path(level, n, w), width)[: width * HASH_SIZE]


def read_bundle(source: ReadSide, n: int, width: int) -> list[bytes]:
    """The first `width` entries of a bundle, likewise. Refused: `tile-bundle-malformed`."""
    try:
        return parse_bundle(source.read(entries_path(n, width)), width)
    except LedgerError as error:
        if error.code != "ledger-path-absent" or width == FULL_WIDTH:
            raise
    return parse_bundle(source.read(entries_path(n)), FULL_WIDTH)[:width]


def locate(path: str) -> TilePath | None:
    """Which tile or bundle a path names; None for the checkpoint; else `ledger-path-absent`."""
    if path == CHECKPOINT:
        return None
    try:
        return parse_path(path)
    except Refused as error:
        raise LedgerError("ledger-path-absent", path[:64]) from error


def max_bytes(where: TilePath | None) -> int:
    """The most bytes a file can have."""
    if where is None:
        return MAX_NOTE_SIZE
    return where.width * (_MAX_BUNDLE_ENTRY if where.level is None else HASH_SIZE)


def _partial_or_full(source: ReadSide, path: Callable[[int], str], width: int) -> bytes:
    try:
        return source.read(path(width))
    except LedgerError as error:
        if error.code != "ledger-path-absent" or width == FULL_WIDTH:
            raise
    return source.read(path(FULL_WIDTH))


def _decoded(data: bytes, coding: str, limit: int, path: str) -> bytes:
    """What a server sent, without its gzip coding: some logs have no other form of a bundle."""
    if coding in ("", "identity"):
        return data
    if coding not in ("gzip", "x-gzip"):
        raise LedgerError("ledger-read-failed", f"{path}: coding {coding[:32]}")
    unzip = zlib.decompressobj(wbits=_GZIP)
    try:
        plain = unzip.decompress(data, limit + 1)
    except zlib.error as error:
        raise LedgerError("ledger-read-failed", f"{path}: {error}") from error
    if len(plain) > limit:
        raise LedgerError("ledger-read-too-large", path)
    if not unzip.eof or unzip.unused_data:
        raise LedgerError("ledger-read-failed", f"{path}: not one gzip member")
    return plain


def _bounded(file: IO[bytes], limit: int, path: str) -> bytes:
    data = file.read(limit + 1)
    if len(data) > limit:
        raise LedgerError("ledger-read-too-large", path)
    return data
