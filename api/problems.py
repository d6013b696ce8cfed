"""RFC 9457 problem documents: the one table from refusals to HTTP, and the handlers that use it.

{"type": "urn:zhenglian:error:code", "title": zh, "title_en": en, "status": 409,
 "code": "licence-exists", "detail": …, "instance": "/v1/licences", …extra}
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from api.concise import MEDIA_TYPE as CONCISE
from api.concise import concise_problem, concise_status, is_concise
from api.errors import ServiceError
from keys.errors import KeysError, ZhenglianError
from ledger.errors import LedgerError
from verifier.errors import Refused

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 1_000
MAX_DETAIL = 1_000  # characters
_log = logging.getLogger("zhenglian.http")

_LEDGER_STATUS: Mapping[str, int] = {
    "ledger-not-found": 404,
    "ledger-out-of-range": 404,
    "ledger-not-published": 404,
    "ledger-path-absent": 404,
    "ledger-busy": 503,
    "ledger-closed": 503,
    "ledger-commit-unknown": 503,
    "ledger-logged-not-published": 503,
    "ledger-restored-unseen": 503,
    "ledger-rolled-back": 503,
    "ledger-forked": 503,
    "ledger-store-lost": 503,
    "ledger-store-unreachable": 503,
    "ledger-entry-size": 422,
    "ledger-batch-too-large": 413,
}
_REFUSED_STATUS: Mapping[str, int] = {
    "too-large": 413,
    "tile-path-malformed": 404,
    "key-out-of-scope": 403,
    "key-out-of-date": 403,
    "key-suspended": 403,
    "key-retired": 403,
    "key-compromised": 403,
    "key-change-impossible": 409,
    "department-ended": 409,
    "change-own-approval": 403,
    "change-needs-own-officer": 403,
    "change-altered": 409,
    "change-replayed": 409,
    "change-too-late": 409,
    "change-from-future": 409,
    "officer-unknown": 403,
    "officer-not-in-office": 403,
    "officer-not-entitled": 403,
    "officers-too-few": 409,
    "enrolment-repeated": 409,
    "enrolment-unknown-department": 404,
    "image-support-missing": 503,
}
_HTTP_CODES: Mapping[int, str] = {
    404: "route-unknown",
    405: "method-not-allowed",
    413: "request-too-large",
    415: "media-type-unsupported",
}


def documented(statuses: str = "4XX") -> dict[int | str, dict[str, Any]]:
    """How refusals read in OpenAPI, for `responses=`."""
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        statuses: {
            "description": "拒绝：RFC 9457 问题文档 Refused: a problem document",
            "content": {MEDIA_TYPE: reference},
        }
    }


PROBLEM_SCHEMA: Mapping[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `code` is stable and listed in docs/errors.md.",
    "type": "object",
    "required": ["type", "title", "title_en", "status", "code", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:zhenglian:error:licence-exists"]},
        "title": {"type": "string", "description": "说明 What is wrong, in Chinese"},
        "title_en": {"type": "string", "description": "The same in English"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "examples": ["licence-exists"]},
        "detail": {"type": "string", "description": "Which one; may be empty"},
        "instance": {"type": "string", "description": "Path of the request"},
        "errors_total": {
            "type": "integer",
            "description": f"How many faults there are; `errors` holds the first {MAX_FAULTS}",
        },
        "errors": {
            "type": "array",
            "description": "Every fault, where there may be several",
            "items": {
                "type": "object",
                "required": ["field", "code"],
                "properties": {
                    "row": {"type": "integer", "description": "Position in a batch, from 0"},
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                    "zh": {"type": "string"},
                    "en": {"type": "string"},
                },
            },
        },
    },
}


def status_of(error: ZhenglianError) -> int:
    """The HTTP status of any refusal of ours."""
    if isinstance(error, ServiceError):
        return error.status
    if isinstance(error, Refused):
        return _REFUSED_STATUS.get(error.code, 422)
    if isinstance(error, LedgerError):
        return _LEDGER_STATUS.get(error.code, 500)
    if isinstance(error, KeysError):
        if error.code.startswith(("hsm-", "signer-")):
            return 503
        return 409 if error.code == "key-exists" else 422
    return 500


def problem(error: ZhenglianError, instance: str, *, status: int | None = None) -> dict[str, Any]:
    """The problem document of a refusal, bounded: long details are cut, faults are counted."""
    extra = dict(error.extra) if isinstance(error, ServiceError) else {}
    faults = extra.get("errors")
    if isinstance(faults, list) and len(faults) > MAX_FAULTS:
        extra |= {"errors": faults[:MAX_FAULTS], "errors_total": len(faults)}
    return {
        "type": f"urn:zhenglian:error:{error.code}",
        "title": error.zh,
        "title_en": error.en,
        "status": status or status_of(error),
        "code": error.code,
        "detail": error.detail[:MAX_DETAIL],
        "instance": instance,
        **extra,
    }


def problem_bytes(document: Mapping[str, Any]) -> bytes:
    """A problem document as JSON. Lone surrogates of a caller come back as question marks."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _answer(
    request: Request,
    error: ZhenglianError,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = problem(error, request.url.path, status=status)
    own = {"WWW-Authenticate": "Bearer"} if body["status"] == 401 else {}
    if body["status"] == 503:
        own = {"Retry-After": "1"}
    if is_concise(request.url.path):
        return Response(
            concise_problem(body),
            concise_status(body["status"]),
            {**(headers or {}), **own},
            media_type=CONCISE,
        )
    return Response(
        problem_bytes(body), body["status"], {**(headers or {}), **own}, media_type=MEDIA_TYPE
    )


async def on_refusal(request: Request, error: Exception) -> Response:
    """Every `ZhenglianError` that reaches the edge."""
    if not isinstance(error, ZhenglianError):
        raise error
    if status_of(error) >= 500:
        _log.error("%s %s: %s", request.method, request.url.path, error)
    return _answer(request, error)


async def on_invalid(request: Request, error: Exception) -> Response:
    """A request that does not fit its schema. The values sent are not repeated."""
    if not isinstance(error, RequestValidationError):
        raise error
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"]), "code": fault["type"]}
        | {"zh": "该项缺失或不符合接口要求", "en": fault["msg"]}
        for fault in error.errors()
    ]
    names = ", ".join(fault["field"] for fault in faults)
    return _answer(request, ServiceError("request-invalid", names, extra={"errors": faults}))


async def on_http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: unknown routes, wrong methods."""
    if not isinstance(error, HTTPException):
        raise error
    code = _HTTP_CODES.get(error.status_code, "request-invalid")
    return _answer(request, ServiceError(code), error.status_code, error.headers)


async def on_store_failure(request: Request, error: Exception) -> Response:
    """The database does not answer as it should; its words stay in the server's own log."""
    _log.error("%s %s: %s", request.method, request.url.path, type(error).__name__, exc_info=error)
    return _answer(request, ServiceError("service-unavailable"))


async def on_crash(request: Request, error: Exception) -> Response:
    """Anything else: logged whole, told as nothing but a code."""
    _log.exception("%s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, ServiceError("internal-error"))


def install(app: FastAPI) -> None:
    """Registers the handlers."""
    app.add_exception_handler(ZhenglianError, on_refusal)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(SQLAlchemyError, on_store_failure)
    app.add_exception_handler(Exception, on_crash)
