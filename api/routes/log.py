"""The public read side of the log, exactly C2SP tlog-tiles, and proofs beside it.

Routes that read are plain functions, run on threads: SQLite and the network to PostgreSQL block,
and compressing a bundle takes milliseconds without the interpreter's lock.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.context import Services, Use
from api.finality import until_final, wait_asked
from api.routes.models import ConsistencyProof, EntryShown, FinalityShown
from api.static_answer import Static, answer, bundle_file, checkpoint_file
from ledger.errors import LedgerError
from ledger.ledger import FINAL, PENDING
from verifier.codec import b64encode
from verifier.proof import format_proof
from verifier.statement import parse_statement
from verifier.tiles import parse_path

tiles = APIRouter(prefix="/log", tags=["账本 log (C2SP tlog-tiles)"])
router = APIRouter(prefix="/v1/log", tags=["账本 log"])
_TEXT = "text/plain; charset=utf-8"
FINALITY = "Zhenglian-Finality"
"""Header of a proof: `final`, or `pending` while the witnesses have not cosigned."""
Index = Annotated[int, Path(ge=0, lt=2**63, description="Ledger index, from 0")]
Prefer = Annotated[
    str | None,
    Header(
        description="`wait=<seconds>` (RFC 7240), at most 30: answer when it is final, or then",
        examples=["wait=10"],
    ),
]


def _content(media_type: str, format_: str) -> dict[int | str, dict[str, Any]]:
    """An answer that is not JSON, for OpenAPI."""
    schema = {"type": "string"} | ({} if format_ == "string" else {"format": format_})
    return {200: {"description": "OK", "content": {media_type: {"schema": schema}}}}


@tiles.get(
    "/checkpoint",
    summary="检查点 The signed checkpoint",
    response_class=Response,
    responses={**_content(_TEXT, "string"), 304: {"description": "Not modified"}},
)
def checkpoint(request: Request, use: Use) -> Response:
    """The final checkpoint, a C2SP signed note with the cosignatures that the witness policy asks
    for. 304 where the caller has it already."""
    return answer(request, checkpoint_file(use.city.ledger.checkpoint()))


@tiles.get(
    "/tile/{path:path}",
    summary="数据块 Tiles and bundles",
    response_class=Response,
    responses={
        **_content("application/octet-stream", "binary"),
        206: {"description": "Part of it (Range, If-Range)"},
        304: {"description": "Not modified (If-None-Match)"},
    },
)
def tile(path: str, request: Request, use: Use) -> Response:
    """`/log/tile/<L>/<N>[.p/<W>]` and `/log/tile/entries/<N>[.p/<W>]`.

    What one of these paths gives never changes; a path the log does not reach is a 404. They reach
    as far as the signed checkpoint. Bundles come as gzip where `Accept-Encoding` allows it.
    """
    where = parse_path(f"tile/{path}")
    ledger = use.city.ledger
    if where.level is None:
        return answer(request, bundle_file(ledger.entry_bundle(where.n, where.width)))
    return answer(request, Static(ledger.tile(where.level, where.n, where.width)))


@router.get(
    "/proof/{index}",
    summary="入账证明 A tlog-proof",
    response_class=Response,
    responses=_content(_TEXT, "string"),
)
async def proof(index: Index, use: Use, prefer: Prefer = None) -> Response:
    """Inclusion of an entry as C2SP tlog-proof text: under the final checkpoint where that covers
    it, else under the latest signed one. `Zhenglian-Finality` says which: `final` or `pending`.
    `Prefer: wait=10` waits up to ten seconds for it to become final."""
    headers = await _waited(use, prefer, index + 1)
    proven = await run_in_threadpool(use.city.ledger.prove, index)
    headers[FINALITY] = proven.finality
    return Response(format_proof(proven.proof), media_type=_TEXT, headers=headers)


@router.get("/finality", summary="是否已终局 Is it final", response_model=FinalityShown)
async def finality(
    use: Use,
    response: Response,
    size: Annotated[
        int | None, Query(ge=0, lt=2**63, description="Tree size; default: all that is signed")
    ] = None,
    prefer: Prefer = None,
) -> dict[str, Any]:
    """Whether a tree of this size is covered by the final checkpoint: `final`, or `pending` while
    the witnesses have not cosigned it. An entry at index i is final when size i + 1 is."""
    ledger = use.city.ledger
    signed, _ = await run_in_threadpool(ledger.checkpoints)
    wanted = signed.size if size is None else size
    if wanted > signed.size:
        raise LedgerError("ledger-out-of-range", f"{wanted}, signed {signed.size}")
    response.headers.update(await _waited(use, prefer, wanted))
    signed, final = await run_in_threadpool(ledger.checkpoints)
    reached = 0 if final is None else final.size
    done = final is not None and reached >= wanted
    return {
        "size": wanted,
        "finality": FINAL if done else PENDING,
        "signed_size": signed.size,
        "final_size": reached,
    }


async def _waited(use: Services, prefer: str | None, size: int) -> dict[str, str]:
    """Waits if that is asked for and there is something to wait for; the headers that say so."""
    seconds = wait_asked(prefer)
    if not seconds:
        return {}
    if use.city.ledger.final_seen < size <= await run_in_threadpool(lambda: use.city.ledger.size):
        await until_final(use.city, size, seconds)
    return {"Preference-Applied": f"wait={seconds}", "Vary": "Prefer"}


@router.get(
    "/checkpoint",
    summary="最新签名检查点 The latest signed checkpoint",
    response_class=Response,
    responses=_content(_TEXT, "string"),
)
def signed_checkpoint(request: Request, use: Use) -> Response:
    """Signed by the log and not necessarily final yet: it covers everything acknowledged. Counters
    and auditors take `/log/checkpoint`; this one is for who compares what the log says."""
    return answer(request, checkpoint_file(use.city.ledger.signed_checkpoint()))


@router.get(
    "/consistency", summary="一致性证明 A consistency proof", response_model=ConsistencyProof
)
def consistency(
    use: Use,
    old: Annotated[int, Query(ge=1, description="Size of the older tree")],
    new: Annotated[int | None, Query(ge=1, description="The newer; default: final")] = None,
) -> dict[str, Any]:
    """RFC 9162 §2.1.4, hashes in base64."""
    size = use.city.ledger.final_size if new is None else new
    hashes = use.city.ledger.consistency_proof(old, size)
    return {"old": old, "new": size, "hashes": [b64encode(hash_) for hash_ in hashes]}


@router.get("/entries/{index}", summary="账本条目 One entry, read", response_model=EntryShown)
def entry(index: Index, use: Use) -> dict[str, Any]:
    """What an entry says in public: its signer, its act, salted digests; nothing personal."""
    raw = use.city.ledger.entry(index)
    statement = parse_statement(raw)
    content = statement.content.to_map()
    return {
        "index": index,
        "leaf": statement.leaf.hex(),
        "issuer": statement.issuer,
        "subject": statement.subject,
        "issued_at": statement.issued_at,
        "key": statement.kid.hex(),
        "content": {str(label): _plain(value) for label, value in content.items()},
        "bytes": b64encode(raw),
    }


@router.get(
    "/key",
    summary="账本公钥 The log's verifier key",
    response_class=Response,
    responses=_content(_TEXT, "string"),
)
def log_key(use: Use) -> Response:
    """The log's vkey (C2SP signed-note), for auditors and witnesses."""
    return Response(use.city.trust().log_key.text() + "\n", media_type=_TEXT)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value
