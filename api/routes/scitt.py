"""The ledger as a SCITT Transparency Service: draft-ietf-scitt-scrapi-11 over RFC 9943.

The resources of the draft are under `/scitt`, its keys at `/.well-known/scitt-keys`. Refusals are
concise problem details (`api.concise`). An entry's id is its leaf hash, so that it is known before
the entry has an index. See docs/scitt.md.
"""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.concise import MEDIA_TYPE
from api.context import Services, Use
from api.errors import ServiceError
from api.finality import until_final, wait_asked
from api.register import Logged
from api.routes.register import STATEMENT_TYPES, check_media_type, read_body
from ledger.errors import LedgerError
from verifier.transparent import MAX_TRANSPARENT, detach_receipts, is_transparent

router = APIRouter(tags=["透明服务 SCITT"])
COSE, CBOR = "application/cose", "application/cbor"
WAIT = 2
"""Seconds that a registration waits for witnesses before it says where to ask again."""
RETRY_AFTER = 1
"""Seconds after which witnesses may have answered."""
_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEYS = {"Cache-Control": "public, max-age=3600"}
EntryId = Annotated[str, Path(description="Leaf hash of the entry, 64 hex digits")]


def _binary(media_type: str, what: str) -> dict[str, Any]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"description": what, "content": content}


_REFUSED: dict[int | str, dict[str, Any]] = {
    "4XX": _binary(MEDIA_TYPE, "拒绝 Refused: concise problem details (RFC 9290)")
}
_RECEIPT = _binary(COSE, "COSE receipt (RFC 9942)")
_RUNNING = {"description": "尚待见证 Not final yet: ask again at Location after Retry-After"}


@router.post(
    "/scitt/entries",
    summary="登记文书 Register a signed statement",
    status_code=201,
    response_class=Response,
    responses={201: _RECEIPT, 303: _RUNNING, **_REFUSED},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {COSE: {"schema": {"type": "string", "format": "binary"}}},
        },
        "security": [{"apiKey": []}],
    },
)
async def register(request: Request) -> Response:
    """As `POST /v1/log/entries`, answered with the receipt, for which it waits a little, or as long
    as `Prefer: wait=10` says. Of a statement of any kind that is in the ledger already, its receipt
    is given."""
    use: Services = request.app.state.services
    now = use.city.now()
    caller = await use.callers.of(request, now)
    check_media_type(request, STATEMENT_TYPES)
    raw = await read_body(request, MAX_TRANSPARENT)
    if is_transparent(raw):
        raw = detach_receipts(raw)[0]  # of other services; they are not signed, nor logged
    found = await use.registrar.look(raw, caller, now)
    logged = found if isinstance(found, Logged) else await use.registrar.log(found)
    if not logged.final:
        seconds = wait_asked(request.headers.get("prefer")) or WAIT
        await until_final(use.city, logged.index + 1, seconds)
    receipt = await run_in_threadpool(use.receipts.inclusion, logged.index)
    return _answer(request, use, logged.leaf.hex(), receipt, 201, 303)


@router.get(
    "/scitt/entries/{entry_id}",
    summary="取回执 The receipt of an entry",
    response_class=Response,
    responses={200: _RECEIPT, 302: _RUNNING, **_REFUSED},
)
def receipt(request: Request, entry_id: EntryId, use: Use) -> Response:
    """Each time under the newest final checkpoint."""
    found = use.receipts.inclusion(_index(use, entry_id))
    return _answer(request, use, entry_id, found, 200, 302)


@router.get(
    "/scitt/statements/{entry_id}",
    summary="透明文书 An entry with its receipt in it",
    response_class=Response,
    responses={
        200: _binary(COSE, "Transparent statement (RFC 9943 §7)"),
        302: _RUNNING,
        **_REFUSED,
    },
)
def transparent(request: Request, entry_id: EntryId, use: Use) -> Response:
    """What a holder keeps and shows: `zhenglian verify` reads it with no network."""
    found = use.receipts.transparent(_index(use, entry_id))
    return _answer(request, use, entry_id, found, 200, 302, "statements")


@router.get(
    "/scitt/consistency",
    summary="一致性回执 A receipt of consistency",
    response_class=Response,
    responses={200: _RECEIPT, **_REFUSED},
)
def consistency(
    use: Use, old: Annotated[int, Query(ge=1, lt=2**63, description="Size of the older tree")]
) -> Response:
    """That the final tree begins with the tree of that size."""
    return Response(use.receipts.consistency(old), media_type=COSE)


@router.get(
    "/.well-known/scitt-keys",
    summary="回执公钥 Keys that verify receipts",
    response_class=Response,
    responses={200: _binary(CBOR, "COSE Key Set (RFC 9052 §7)"), **_REFUSED},
)
def keys(use: Use) -> Response:
    """All keys that ever signed a receipt of this ledger: its log has one."""
    listed = list(use.receipts.keys().values())
    return Response(bytes((0x80 + len(listed),)) + b"".join(listed), headers=_KEYS, media_type=CBOR)


@router.get(
    "/.well-known/scitt-keys/{kid}",
    summary="一把公钥 One of these keys",
    response_class=Response,
    responses={200: _binary(CBOR, "COSE Key (RFC 9052 §7)"), **_REFUSED},
)
def key(kid: Annotated[str, Path(description="Key id in base64url")], use: Use) -> Response:
    found = use.receipts.keys().get(kid)
    if found is None:
        raise ServiceError("scitt-key-unknown", kid[:64])
    return Response(found, headers=_KEYS, media_type=CBOR)


def _index(use: Services, entry_id: str) -> int:
    if not _ID.fullmatch(entry_id):
        raise ServiceError("scitt-locator-malformed")
    try:
        return use.city.ledger.index_of(bytes.fromhex(entry_id))
    except LedgerError as error:
        if error.code != "ledger-not-found":
            raise
        raise ServiceError("scitt-entry-unknown", entry_id) from error


def _answer(
    request: Request,
    use: Services,
    entry_id: str,
    body: bytes | None,
    done: int,
    running: int,
    what: str = "entries",
) -> Response:
    base = (use.city.settings.public_url or str(request.base_url)).rstrip("/")
    headers = {"Location": f"{base}/scitt/{what}/{entry_id}"}
    if body is None:
        return Response(status_code=running, headers={**headers, "Retry-After": str(RETRY_AFTER)})
    return Response(body, done, headers, media_type=COSE)
