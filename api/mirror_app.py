"""A mirror on the web: the folder of `ledger.mirror`, or an exported log, read-only.

    GET /                                what is here: a line a log
    GET /<origin hash>/checkpoint        C2SP tlog-tiles below the prefix of C2SP tlog-mirror
    GET /<origin hash>/tile/<L>/<N>      `tile/entries/<N>` likewise

Answers are those of the service (`api.static_answer`). Folders are looked up at each request, so a
log that is mirrored from now on needs no restart. Routes are plain functions, run on threads: a
disk may keep them waiting.
"""

import re
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response

from api.errors import ServiceError
from api.limits import HeadAsGet
from api.problems import install
from api.static_answer import (
    REVALIDATED,
    TEXT,
    PublicRead,
    Static,
    answer,
    bundle_file,
    checkpoint_file,
)
from ledger.errors import LedgerError
from ledger.readside import CHECKPOINT, DirectoryReadSide, locate
from ledger.static_folder import ZIPPED
from verifier.checkpoint import Checkpoint, parse_checkpoint
from verifier.errors import Refused
from verifier.note import parse_note

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_router = APIRouter()


def mirror_app(folder: Path) -> FastAPI:
    """The application over a folder of mirrored logs, or over the folder of one log."""
    app = FastAPI(title="zhenglian mirror", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.folder = folder
    install(app)
    app.include_router(_router)
    app.add_middleware(HeadAsGet)
    app.add_middleware(PublicRead, public=lambda path: True)
    return app


def logs_in(folder: Path) -> dict[str, Path]:
    """The logs of a folder by the hash of their origin."""
    found = {
        path.name: path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if _HASH.fullmatch(path.name) and (path / CHECKPOINT).is_file()
    }
    if (folder / CHECKPOINT).is_file():
        found[sha256(head_of(folder).origin.encode()).hexdigest()] = folder
    return found


def head_of(log: Path) -> Checkpoint:
    """The checkpoint in a log's folder, which whoever wrote it has checked."""
    try:
        return parse_checkpoint(parse_note(DirectoryReadSide(log).read(CHECKPOINT)).text)
    except Refused as error:
        raise LedgerError("ledger-read-failed", f"{CHECKPOINT}: {error.code}") from error


@_router.get("/")
def index(request: Request) -> Response:
    """`<origin hash> <size> <origin>`, a line a log."""
    heads = {name: head_of(log) for name, log in sorted(logs_in(request.app.state.folder).items())}
    lines = [f"{name} {head.size} {head.origin}\n" for name, head in heads.items()]
    return answer(request, Static("".join(lines).encode(), TEXT, REVALIDATED))


@_router.get("/{log}/checkpoint")
def checkpoint(log: str, request: Request) -> Response:
    """The mirror checkpoint."""
    return answer(request, checkpoint_file(DirectoryReadSide(_log(request, log)).read(CHECKPOINT)))


@_router.get("/{log}/tile/{path:path}")
def tile(log: str, path: str, request: Request) -> Response:
    """A tile or an entry bundle."""
    folder, name = _log(request, log), f"tile/{path}"
    where = locate(name)
    data = DirectoryReadSide(folder).read(name)
    if where is None or where.level is not None:
        return answer(request, Static(data))
    return answer(request, bundle_file(data, _zipped(folder / (name + ZIPPED))))


def _log(request: Request, name: str) -> Path:
    folder: Path = request.app.state.folder
    log = folder / name
    if _HASH.fullmatch(name) is None:
        raise ServiceError("route-unknown")
    if not log.is_dir() and (folder / CHECKPOINT).is_file():
        log = logs_in(folder).get(name, log)
    return log


def _zipped(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
