"""One static resource of a log, answered over HTTP: by the service and by a mirror alike.

    checkpoint        text, mutable                 ETag, 304
    tile/<L>/<N>      hashes, never changes         ETag, 304, single ranges
    tile/entries/<N>  entries, never changes        ETag, 304, single ranges, gzip

* The ETag is a hash of the bytes sent, so it is strong (RFC 9110 §8.8.3) and the same at every
  replica and every mirror; a gzip form has one of its own. Starlette's files and its gzip
  middleware tag by time of change, and one form for both.
* Entry bundles are compressed where asked for (C2SP tlog-tiles: SHOULD). Hash tiles are not: they
  are random bytes, and gzip makes them longer.
* A range is cut from the plain form (RFC 9110 §14.2). Several ranges at once are not supported,
  which is answered as the standard says: with the whole.
* Anyone's page may read them: CORS without credentials.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ServiceError
from api.problems import MEDIA_TYPE, problem, problem_bytes
from ledger.static_folder import compress

IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATED = "no-cache"
ABSENT = "public, max-age=1"
"""Of a 404: what is not there yet will be, perhaps within a second."""
TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Static:
    """What lies at a path. `zipped`, where there is one, gives it in gzip form."""

    data: bytes
    media_type: str = BYTES
    caching: str = IMMUTABLE
    zipped: Callable[[], bytes] | None = None

    @property
    def ranges(self) -> bool:
        return self.caching == IMMUTABLE


def checkpoint_file(note: bytes) -> Static:
    """A checkpoint: small, and another one soon."""
    return Static(note, TEXT, REVALIDATED)


def bundle_file(data: bytes, zipped: bytes | None = None) -> Static:
    """An entry bundle; `zipped` is its gzip form if that is at hand."""
    return Static(data, zipped=lambda: compress(data) if zipped is None else zipped)


def answer(request: Request, static: Static) -> Response:
    """The answer to GET (RFC 9110 §13.2.2): which form, whether it is known, which part of it."""
    asked = request.headers
    part = asked.get("range") if static.ranges else None
    headers = {"Cache-Control": static.caching}
    if static.ranges:
        headers["Accept-Ranges"] = "bytes"
    data = static.data
    if static.zipped is not None:
        headers["Vary"] = "Accept-Encoding"
        if part is None and accepts_gzip(asked.get("accept-encoding", "")):
            data = static.zipped()
            headers["Content-Encoding"] = "gzip"
    headers["ETag"] = tag = etag(data)
    if is_known(tag, asked.get("if-none-match")):
        headers.pop("Content-Encoding", None)
        return Response(status_code=304, headers=headers)
    if part is not None and asked.get("if-range", tag) == tag:
        return _part(request, data, part, headers, static.media_type)
    return Response(data, media_type=static.media_type, headers=headers)


def etag(data: bytes) -> str:
    """A strong entity tag: 128 bits of SHA-256 of the bytes sent."""
    return f'"{sha256(data).hexdigest()[:32]}"'


def is_known(tag: str, known: str | None) -> bool:
    """Whether an entity tag is among those of an `If-None-Match` header (RFC 9110 §13.1.2)."""
    return known is not None and not {tag, "*"}.isdisjoint(
        each.strip().removeprefix("W/") for each in known.split(",")
    )


def accepts_gzip(header: str) -> bool:
    """Whether `Accept-Encoding` allows gzip (RFC 9110 §12.5.3); a weight of 0 forbids it."""
    weights = {}
    for each in header.lower().split(","):
        coding, _, weight = each.partition(";")
        weights[coding.strip()] = weight.replace(" ", "")
    ours = weights.get("gzip", weights.get("x-gzip", weights.get("*")))
    return ours is not None and re.fullmatch(r"q=0(\.0{0,3})?", ours) is None


def _part(
    request: Request, data: bytes, asked: str, headers: dict[str, str], media_type: str
) -> Response:
    """206 or 416; the whole where `asked` is not one range of bytes (RFC 9110 §14.2)."""
    whole = Response(data, media_type=media_type, headers=headers)
    found = _RANGE.fullmatch(asked)
    if found is None:
        return whole
    first, last = found[1], found[2]
    if not (first or last) or (first and last and int(last) < int(first)):
        return whole
    size = len(data)
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        refusal = ServiceError("range-not-satisfiable", f"{size} bytes")
        body = problem_bytes(problem(refusal, request.url.path))
        unsatisfied = {"Content-Range": f"bytes */{size}", "Cache-Control": "no-store"}
        return Response(body, refusal.status, unsatisfied, media_type=MEDIA_TYPE)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Response(data[start:end], 206, headers, media_type)


_ORIGIN = {"Access-Control-Allow-Origin": "*"}
_EXPOSED = {
    **_ORIGIN,
    "Access-Control-Expose-Headers": "ETag, Accept-Ranges, Content-Range, Content-Encoding",
}
_PREFLIGHT = {
    **_ORIGIN,
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "If-None-Match, If-Range, Range",
    "Access-Control-Max-Age": "86400",
}


class PublicRead:
    """Pure ASGI middleware for what is public: CORS (WHATWG Fetch), and short-lived 404s.

    The headers are there whether or not a request names an `Origin`: a cache that kept an answer
    without them would give it to a page. That is why this is not Starlette's `CORSMiddleware`.
    `public` says which paths it holds for.
    """

    def __init__(self, app: ASGIApp, public: Callable[[str], bool]) -> None:
        self.app = app
        self.public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.public(scope["path"]):
            await self.app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and (
            "access-control-request-method" in Headers(scope=scope)
        ):
            await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, send)
            return

        async def open_to_all(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                _add(headers, _EXPOSED)
                if message["status"] == 404:
                    _add(headers, {"Cache-Control": ABSENT})
            await send(message)

        await self.app(scope, receive, open_to_all)


def _add(headers: MutableHeaders, more: Mapping[str, str]) -> None:
    for name, value in more.items():
        headers.setdefault(name, value)
