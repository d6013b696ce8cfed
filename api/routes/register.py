"""Statements signed elsewhere, one a request or many as NDJSON; see `api.register`."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.context import Services
from api.errors import ServiceError
from api.finality import until_final, wait_asked
from api.problems import documented
from api.register import Logged
from api.register_bulk import Bulk, Lines, logged_json
from verifier.errors import Refused
from verifier.statement import MAX_STATEMENT

router = APIRouter(prefix="/v1/log", tags=["账本 log"])
STATEMENT_TYPES = frozenset({"application/cose", "application/scitt-statement+cose"})
NDJSON = "application/x-ndjson"
BULK_PATH = "/v1/log/bulk"

_LOGGED = {
    "type": "object",
    "required": ["index", "leaf", "finality", "existing"],
    "properties": {
        "index": {"type": "integer", "description": "Ledger index"},
        "leaf": {"type": "string", "description": "Leaf hash, hex"},
        "finality": {"type": "string", "enum": ["final", "pending"]},
        "existing": {"type": "boolean", "description": "It stood there before"},
    },
}
_ANSWER: dict[str, Any] = {"content": {"application/json": {"schema": _LOGGED}}}


def _body(media_type: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    return {
        "requestBody": {"required": True, "content": {media_type: {"schema": schema}}},
        "security": [{"apiKey": []}],
    }


def check_media_type(request: Request, allowed: frozenset[str]) -> None:
    """Raises `media-type-unsupported` for any other content type."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in allowed:
        raise ServiceError("media-type-unsupported", " / ".join(sorted(allowed)))


async def read_body(request: Request, most: int) -> bytes:
    """The body, of at most so many bytes; `Refused` too-large before the rest is read."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise Refused("too-large", f"at most {most} bytes")
    return data


@router.post(
    "/entries",
    summary="登记文书 Log a statement signed elsewhere",
    status_code=201,
    response_class=Response,
    responses={
        200: {"description": "已在账本中 It was there already", **_ANSWER},
        201: {"description": "已登记 Logged", **_ANSWER},
        **documented(),
    },
    openapi_extra=_body("application/cose"),
)
async def log_entry(request: Request) -> Response:
    """Takes one COSE statement of kind `document`, by a key of the caller's department.

    The answer comes when it is durable and under a signed checkpoint; `finality` tells whether
    witnesses enough have cosigned one that covers it; `Prefer: wait=10` waits so many seconds for
    that. The same bytes again give the same index.
    """
    use: Services = request.app.state.services
    now = use.city.now()
    caller = await use.callers.of(request, now)
    check_media_type(request, STATEMENT_TYPES)
    raw = await read_body(request, MAX_STATEMENT)
    found = await use.registrar.look(raw, caller, now)
    logged = found if isinstance(found, Logged) else await use.registrar.log(found)
    seconds = wait_asked(request.headers.get("prefer"))
    if seconds and not logged.final:
        await until_final(use.city, logged.index + 1, seconds)
        logged = logged._replace(final=logged.index < use.city.ledger.final_seen)
    status = 200 if logged.existing else 201
    return Response(logged_json(logged), status, media_type="application/json")


@router.post(
    "/bulk",
    summary="批量登记文书 Log many statements signed elsewhere",
    response_class=Response,
    responses={
        200: {
            "description": "每行一个答复 One line for each line sent, and a last one of totals",
            "content": {NDJSON: {"schema": {"type": "string"}}},
        },
        **documented(),
    },
    openapi_extra=_body(NDJSON),
)
async def log_entries(request: Request) -> Response:
    """Takes NDJSON, one `{"statement": base64}` a line of at most 96 KiB, at most 50,000 lines.

    Answers come while lines are still sent, as their transactions commit: for each line, in
    order, `{"line": n, …}` with what a single statement's answer has, or with `code`, `zh`, `en`
    and `detail` of its refusal, which spoils no other line. The last line holds `done` and totals;
    where it holds a `code`, the lines after the last one answered were not taken.
    """
    use: Services = request.app.state.services
    await use.callers.of(request, use.city.now())
    check_media_type(request, frozenset({NDJSON}))
    bulk = Bulk(use.registrar, lambda: use.callers.of(request, use.city.now()))
    return Lines(bulk.run(request.stream()), NDJSON)
