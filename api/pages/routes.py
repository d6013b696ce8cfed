"""Routes of the pages. Everything they need beyond this folder is in `PageState`."""

from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool

from api.errors import ServiceError
from api.pages.assets import IMMUTABLE, PAGE_HEADERS, SECURITY_HEADERS, load_assets
from api.pages.given import read_given
from api.pages.reference import blocks, sections
from api.pages.start import PageState
from api.pages.view import View, verdict_values
from api.qrimage import qr_png
from keys.errors import ZhenglianError
from verifier.errors import Refused
from verifier.image import MAX_IMAGE_BYTES
from verifier.verdict import Verdict

NO_CODE = "image-no-code"
_STATUS = {"too-large": 413, "image-support-missing": 503}
SAMPLE_CACHE = "public, max-age=300"


def pages_router() -> APIRouter:
    """The start page, the check page, the API reference, sample codes and static files.

    For the reference to be served, the application is made with `docs_url=None`.
    """
    assets = load_assets()
    view = View(assets)
    router = APIRouter(include_in_schema=False)

    @router.get("/", response_class=HTMLResponse)
    def start(request: Request) -> Response:
        data = _state(request).start_data()
        counts = data.counts()
        return _page(view.render("start.html", city=data, counts=counts))

    @router.get("/check", response_class=HTMLResponse)
    def check(request: Request, sample: str = "") -> Response:
        state = _state(request)
        values: dict[str, Any] = _blank(state)
        if sample:
            values.update(_judged(state, state.verify(_sample_text(state, sample))))
        return _page(view.render("check.html", **values))

    @router.post("/check", response_class=HTMLResponse)
    async def check_given(request: Request) -> Response:
        state = _state(request)
        template, values, status = "check.html", _blank(state), 200
        try:
            given = await read_given(request)
            template = "check.html" if given.part == "page" else "_result.html"
            payload = await run_in_threadpool(given.payload)
            values.update(_judged(state, await run_in_threadpool(state.verify, payload)))
        except (Refused, ServiceError) as error:
            if error.code == NO_CODE and given.part == "frame":
                return Response(status_code=204, headers=PAGE_HEADERS)
            values["problem"] = error
            known = error.status if isinstance(error, ServiceError) else 422
            status = _STATUS.get(error.code, known)
        return _page(view.render(template, **values), status)

    @router.get("/docs", response_class=HTMLResponse)
    def reference(request: Request) -> Response:
        document = request.app.openapi()
        about = blocks(document["info"].get("description", ""))
        base = str(request.base_url).rstrip("/")
        city, found = _state(request).start_data(), sections(document)
        html = view.render("reference.html", city=city, about=about, sections=found, base=base)
        return _page(html)

    @router.get("/samples/{slug}.png")
    def sample_image(request: Request, slug: str) -> Response:
        text = _sample_text(_state(request), slug)
        headers = {**SECURITY_HEADERS, "Cache-Control": SAMPLE_CACHE}
        return Response(qr_png(text), headers=headers, media_type="image/png")

    @router.get("/samples/{slug}.txt")
    def sample_text(request: Request, slug: str) -> Response:
        text = _sample_text(_state(request), slug)
        headers = {**SECURITY_HEADERS, "Cache-Control": SAMPLE_CACHE}
        return PlainTextResponse(text, headers=headers)

    @router.get("/pages/{version}/{name}")
    def static(version: str, name: str) -> Response:
        file = assets.files.get(name) if version == assets.version else None
        if file is None:
            raise ServiceError("route-unknown", name[:80])
        headers = {**SECURITY_HEADERS, "Cache-Control": IMMUTABLE}
        return Response(file.content, headers=headers, media_type=file.media_type)

    return router


def _state(request: Request) -> PageState:
    return cast(PageState, request.app.state)


def _page(html: str, status: int = 200) -> Response:
    return HTMLResponse(html, status, PAGE_HEADERS)


def _sample_text(state: PageState, slug: str) -> str:
    text = state.sample_qr(slug)
    if text is None:
        raise ServiceError("page-sample-unknown", slug[:80])
    return text


def _blank(state: PageState) -> dict[str, Any]:
    problem: ZhenglianError | None = None
    return {
        "city": state.start_data(),
        "verdict": None,
        "problem": problem,
        "max_bytes": MAX_IMAGE_BYTES,
    }


def _judged(state: PageState, verdict: Verdict) -> dict[str, Any]:
    record = verdict.record
    path = None if record is None or record.index is None else state.proof_path(record)
    return dict(verdict_values(verdict, path))
