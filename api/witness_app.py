"""A witness on the web: C2SP tlog-witness over HTTP.

    POST /add-checkpoint             submission prefix
    POST /sign-subtree
    GET  /<origin hash>/checkpoint   monitoring prefix
    GET  /healthz, /metrics          for its operator

Nothing of the city is loaded. What requests say is decided in `ledger.witness`; here they are
bounded, handed to a thread, and answered as plain text. Every answer is counted by its code.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.witness import Answer, Evidence, State, Witness
from ledger.witness.errors import WitnessError
from ledger.witness.wire import MAX_REQUEST
from ledger.witness.witness import TEXT, Clock, answered
from verifier.note import NoteSigner

_log = structlog.get_logger("zhenglian.witness")
_OF_HTTP = {404: "witness-path", 405: "witness-method"}


def witness_app(state: State, signers: Sequence[NoteSigner], clock: Clock) -> Starlette:
    """The ASGI application of a witness; see `Witness` for what the arguments promise."""
    return app_of(Witness(state, signers, clock, _tell))


def app_of(witness: Witness) -> Starlette:
    """The ASGI application of a witness that is there already."""
    counted: Counter[tuple[str, str]] = Counter()

    async def answer(request: Request, what: str, handler: Callable[[], Answer]) -> Response:
        found = await run_in_threadpool(handler)
        counted[what, found.code or "ok"] += 1
        if found.code:
            _log.info("refused", request=what, code=found.code, status=found.status)
        return _response(found)

    async def add_checkpoint(request: Request) -> Response:
        body = await _body(request)
        return await answer(request, "add-checkpoint", lambda: witness.add_checkpoint(body))

    async def sign_subtree(request: Request) -> Response:
        body = await _body(request)
        return await answer(request, "sign-subtree", lambda: witness.sign_subtree(body))

    async def checkpoint(request: Request) -> Response:
        hashed = request.path_params["hashed"]
        return await answer(request, "checkpoint", lambda: witness.checkpoint(hashed))

    async def health(_request: Request) -> Response:
        return _response(await run_in_threadpool(answered, lambda: _healthy(witness.state)))

    async def metrics(_request: Request) -> Response:
        text = await run_in_threadpool(_exposition, counted, witness.state)
        return Response(text, media_type="text/plain; version=0.0.4")

    app = Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/sign-subtree", sign_subtree, methods=["POST"]),
            Route("/{hashed}/checkpoint", checkpoint, methods=["GET"]),
            Route("/healthz", health, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        exception_handlers={
            HTTPException: _not_routed,
            WitnessError: _refused,
            ClientDisconnect: _refused,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False
    return app


def _tell(evidence: Evidence) -> None:
    _log.warning("evidence", log=evidence.origin, kind=evidence.kind, size=evidence.size)


def _exposition(counted: Counter[tuple[str, str]], state: State) -> str:
    """In the Prometheus text format; what the state does not give now is left out."""
    answers = {
        f'request="{what}",code="{code}"': count for (what, code), count in sorted(counted.items())
    }
    text = _metric("answers_total", "counter", "Answers by request and code.", answers)
    with contextlib.suppress(WitnessError):
        sizes = {f'log="{_escaped(origin)}"': size for origin, size in state.sizes().items()}
        text += _metric("log_size", "gauge", "Size of the checkpoint on record.", sizes)
        kept = {f'kind="{kind}"': count for kind, count in state.kept().items()}
        text += _metric("evidence", "gauge", "Signed checkpoints that do not fit.", kept)
    return text


def _metric(name: str, kind: str, words: str, values: Mapping[str, int]) -> str:
    full = f"zhenglian_witness_{name}"
    lines = [f"{full}{{{labels}}} {value}\n" for labels, value in values.items()]
    return f"# HELP {full} {words}\n# TYPE {full} {kind}\n" + "".join(lines)


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _healthy(state: State) -> Answer:
    state.log("")
    return Answer(200, TEXT, b"ok\n")


async def _body(request: Request) -> bytes:
    """The request's body; `witness-request-too-large` without reading more than is allowed."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_REQUEST:
            raise WitnessError("witness-request-too-large", f"above {MAX_REQUEST} bytes")
    return bytes(body)


def _response(answer: Answer) -> Response:
    headers = {"cache-control": "no-cache", "access-control-allow-origin": "*"}
    response = Response(answer.body, answer.status, headers)
    response.headers["content-type"] = answer.content_type
    return response


def _raised(error: WitnessError) -> Response:
    def again() -> Answer:
        raise error

    return _response(answered(again))


async def _refused(_request: Request, error: Exception) -> Response:
    if isinstance(error, WitnessError):
        return _raised(error)
    return _raised(WitnessError("witness-request", "cut off"))


async def _not_routed(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    response = _raised(WitnessError(_OF_HTTP.get(status, "witness-request")))
    response.headers.update((isinstance(error, HTTPException) and error.headers) or {})
    return response


async def _failed(_request: Request, error: Exception) -> Response:
    _log.error("failed", exc_info=error)
    return _raised(WitnessError("witness-failed"))
