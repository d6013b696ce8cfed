"""Is it alive, is it ready, how is it doing."""

import os
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from api.city import City
from api.context import Use
from api.errors import ServiceError
from api.finality import Overview, overview
from api.observe import EXPOSITION
from api.routes.models import Readiness
from keys.errors import ZhenglianError
from verifier.checkpoint import open_checkpoint
from verifier.plural import noun

router = APIRouter(tags=["运行 operation"])


@router.get("/healthz", summary="进程存活 The process is alive")
async def alive() -> dict[str, str]:
    """Answers without touching anything."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="可以服务 Ready to serve",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "未就绪 Not ready"}},
)
def ready(use: Use, response: Response) -> dict[str, Any]:
    """The database is in its place and can be written, the ledger is founded, its checkpoint is
    its own and complete. `witnesses` says how far it is final; being behind does not make the
    service unready, having lost what was signed does."""
    checks: dict[str, str] = {}
    try:
        _look(use.city, checks)
        status = "ready"
    except (ZhenglianError, SQLAlchemyError, OSError) as error:
        checks["failed"] = str(error) if isinstance(error, ZhenglianError) else type(error).__name__
        response.status_code, status = 503, "not-ready"
    return {"status": status, "checks": checks}


def _look(city: City, checks: dict[str, str]) -> None:
    path = city.database_file
    if path is not None:
        checks["file"] = _file(path, city.opened_file)
    with city.store.read() as reader:
        size = reader.head().size
    checks["database"] = f"size {size}"
    if not city.authorities.departments:
        raise ServiceError("city-not-founded")
    note = city.ledger.signed_checkpoint()
    checkpoint = open_checkpoint(note, city.trust().log_key, city.authorities.log_pq_key)
    behind = size - checkpoint.size
    checks["checkpoint"] = "current" if behind <= 0 else f"{_entries(behind)} unpublished"
    seen = overview(city)
    if seen.restored:
        checks["restored"] = "由备份恢复，尚待与见证人核对 awaits comparison with the witnesses"
    checks["keys"] = f"{len(city.signers)} open"
    checks["witnesses"] = witnesses_words(seen)
    if seen.override:
        checks["witnesses_override"] = seen.override
    if seen.refusal is not None:
        raise seen.refusal


def witnesses_words(seen: Overview) -> str:
    """`none`, `current`, or by how much the final checkpoint is behind, and which are down; and
    `stopped` where nothing is written or made final any more."""
    if seen.refusal is not None:
        return "stopped"
    if not seen.asked and not seen.pending:
        return "none"
    down = [name for each in seen.witnesses if each.error for name in each.names]
    tail = f"; down: {', '.join(down)}" if down else ""
    if not seen.pending:
        return "current" + tail
    late = "overdue: " if seen.overdue else ""
    seconds = f"{seen.behind} {noun(seen.behind, 'second')}"
    return f"{late}{_entries(seen.pending)} and {seconds} behind{tail}"


def _entries(count: int) -> str:
    return f"{count} {noun(count, 'entry', 'entries')}"


def _file(path: Path, opened: tuple[int, int] | None) -> str:
    """Raises `OSError` unless the file that was opened is still there and may be written."""
    found = path.stat()
    if opened is not None and (found.st_dev, found.st_ino) != opened:
        raise FileNotFoundError(path.name)
    if not os.access(path, os.W_OK):
        raise PermissionError(path.name)
    return "in place"


@router.get(
    "/metrics",
    summary="指标 Metrics",
    response_class=Response,
    responses={200: {"description": "OK", "content": {EXPOSITION: {"schema": {"type": "string"}}}}},
)
def metrics(request: Request) -> Response:
    """In the Prometheus text format: requests by route and status, tree sizes, witnesses, keys."""
    return Response(request.app.state.metrics.text(), media_type=EXPOSITION)
