"""Is it alive, is it ready."""

from typing import Any

from fastapi import APIRouter, Response

from api.context import Use
from keys.errors import ZhenglianError
from ledger.stores.base import Store
from verifier.checkpoint import open_checkpoint

router = APIRouter(tags=["运行 operation"])


@router.get("/healthz", summary="进程存活 The process is alive")
async def alive() -> dict[str, str]:
    """Answers without touching anything."""
    return {"status": "ok"}


@router.get("/readyz", summary="可以服务 Ready to serve")
def ready(use: Use, response: Response) -> dict[str, Any]:
    """The database answers, the ledger is founded, and its checkpoint is its own and complete."""
    checks: dict[str, str] = {}
    city = use.city
    try:
        checks["database"] = f"size {_head_size(city.store)}"
        checkpoint = open_checkpoint(city.ledger.checkpoint(), city.trust().log_key)
        behind = _head_size(city.store) - checkpoint.size
        checks["checkpoint"] = "current" if behind <= 0 else f"{behind} entries unpublished"
        checks["keys"] = f"{len(city.signers)} open"
        ok = True
    except (ZhenglianError, ValueError) as error:
        checks["failed"] = str(error)
        ok = False
    if not ok:
        response.status_code = 503
    return {"status": "ready" if ok else "not-ready", "checks": checks}


def _head_size(store: Store) -> int:
    with store.read() as reader:
        return reader.head().size
