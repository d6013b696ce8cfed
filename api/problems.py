"""RFC 9457 problem documents: the one table from refusals to HTTP, and the handlers that use it.

{"type": "…/docs/errors.md#code", "title": zh, "title_en": en, "status": 409,
 "code": "licence-exists", "detail": …, "instance": "/v1/licences", …extra}
"""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.errors import ServiceError
from keys.errors import KeysError, ZhenglianError
from ledger.errors import LedgerError
from verifier.errors import Refused

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("zhenglian.http")

_LEDGER_STATUS: Mapping[str, int] = {
    "ledger-not-found": 404,
    "ledger-out-of-range": 404,
    "ledger-not-published": 404,
    "ledger-busy": 503,
    "ledger-closed": 503,
    "ledger-entry-size": 422,
    "ledger-batch-too-large": 413,
}
_HTTP_CODES: Mapping[int, str] = {
    404: "route-unknown",
    405: "method-not-allowed",
    413: "request-too-large",
    415: "media-type-unsupported",
}


def status_of(error: ZhenglianError) -> int:
    """The HTTP status of any refusal of ours."""
    if isinstance(error, ServiceError):
        return error.status
    if isinstance(error, Refused):
        return 413 if error.code == "too-large" else 422
    if isinstance(error, LedgerError):
        return _LEDGER_STATUS.get(error.code, 500)
    return 422 if isinstance(error, KeysError) else 500


def problem(error: ZhenglianError, instance: str, *, status: int | None = None) -> dict[str, Any]:
    """The problem document of a refusal."""
    extra = error.extra if isinstance(error, ServiceError) else {}
    return {
        "type": f"urn:zhenglian:error:{error.code}",
        "title": error.zh,
        "title_en": error.en,
        "status": status or status_of(error),
        "code": error.code,
        "detail": error.detail,
        "instance": instance,
        **extra,
    }


def _answer(request: Request, error: ZhenglianError, status: int | None = None) -> JSONResponse:
    body = problem(error, request.url.path, status=status)
    headers = {"WWW-Authenticate": "Bearer"} if body["status"] == 401 else None
    if body["status"] == 503:
        headers = {"Retry-After": "1"}
    return JSONResponse(body, body["status"], headers, MEDIA_TYPE)


async def on_refusal(request: Request, error: Exception) -> JSONResponse:
    """Every `ZhenglianError` that reaches the edge."""
    if not isinstance(error, ZhenglianError):
        raise error
    if status_of(error) >= 500:
        _log.error("%s %s: %s", request.method, request.url.path, error)
    return _answer(request, error)


async def on_invalid(request: Request, error: Exception) -> JSONResponse:
    """A request that does not fit its schema. The values sent are not repeated."""
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"]), "code": fault["type"]}
        | {"en": fault["msg"]}
        for fault in error.errors()
    ]
    names = ", ".join(fault["field"] for fault in faults)
    return _answer(request, ServiceError("request-invalid", names, extra={"errors": faults}))


async def on_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses: unknown routes, wrong methods."""
    if not isinstance(error, HTTPException):
        raise error
    code = _HTTP_CODES.get(error.status_code, "request-invalid")
    return _answer(request, ServiceError(code), status=error.status_code)


async def on_crash(request: Request, error: Exception) -> JSONResponse:
    """Anything else: logged whole, told as nothing but a code."""
    _log.exception("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, ServiceError("internal-error"))


def install(app: FastAPI) -> None:
    """Registers the handlers."""
    app.add_exception_handler(ZhenglianError, on_refusal)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_crash)
