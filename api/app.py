"""The application: one factory, wiring only.

`create_app(city)` makes the FastAPI app of an open city. Nothing is built at import.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from api import __version__
from api.callers import Callers
from api.changes import ChangeDesk
from api.checking import verify
from api.city import City
from api.claims import Claims
from api.context import Services
from api.credits import Credits
from api.daily import keep_days
from api.demo import read_demo
from api.demo_witnesses import PATH as DEMO_WITNESSES
from api.demo_witnesses import serving_witnesses
from api.imports.desk import ImportDesk
from api.licences import Licences
from api.limits import BodyLimit, HeadAsGet
from api.observe import Metrics, Observed
from api.packs import PackCache
from api.pages import pages_router
from api.problems import PROBLEM_SCHEMA, documented, install
from api.receipts import Receipts
from api.register import Registrar
from api.routes import (
    changes,
    claims,
    compromise,
    credits,
    directory,
    discovery,
    health,
    imports,
    licences,
    log,
    me,
    register,
    scitt,
)
from api.routes import verify as verify_routes
from api.routes.parts import proof_path
from api.start import make_start_data
from api.static_answer import PublicRead
from verifier.verdict import Record

DESCRIPTION = """
证链：部门签发的电子证照与信用记录，记入只增不改的默克尔账本；任何人可核验，谁也不多知道一分。

Zhenglian: licences and credit entries signed by a city's departments, held in an append-only
Merkle ledger. Anyone can check them; nobody learns more than they asked for.

* Callers authenticate with `Authorization: Bearer zl_…`. Checking codes and reading the log need
  no account.
* Every refusal is an RFC 9457 problem document with a stable `code`; see docs/errors.md.
* Writes take an `Idempotency-Key`: the same key and request give the same answer, and one effect.
"""


BOUNDED_ELSEWHERE = frozenset({"/v1/imports", "/check", register.BULK_PATH})
"""Paths that bound what they read themselves: two take more, one answers with a page."""


def bounds_itself(path: str) -> bool:
    """Whether requests to a path are bounded there; a witness has its own words for too much."""
    return path in BOUNDED_ELSEWHERE or path.startswith(DEMO_WITNESSES)


PUBLIC = frozenset({"/v1/log/key", "/v1/log/policy"})


def is_public(path: str) -> bool:
    """Whether any page may read what is there: the log's read side and whom to trust for it."""
    return path.startswith("/log/") or path in PUBLIC


_ROUTES = (
    register,  # first: routes are tried in this order, and this one is asked thousands a second
    licences,
    me,
    imports,
    credits,
    claims,
    verify_routes,
    log,
    scitt,
    directory,
    changes,
    compromise,
    discovery,
    health,
)


class _Documented(FastAPI):
    """FastAPI whose OpenAPI document knows the one shape of refusals."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = dict(PROBLEM_SCHEMA)
        return super().openapi()


def create_app(city: City) -> FastAPI:
    """The service over an open city, which is closed with the app."""
    app = bare_app()
    seat(app, city)
    return app


def seat(app: FastAPI, city: City) -> None:
    """Gives an app of `bare_app`, which is not running, the city that it shall serve."""
    licence_book, credit_book = Licences(city), Credits(city)
    services = Services(
        city,
        licence_book,
        PackCache(city),
        credit_book,
        Claims(city, licence_book, credit_book),
        ImportDesk(licence_book),
        ChangeDesk(city),
        Callers(city),
        Registrar(city),
        Receipts(city),
    )
    demo = read_demo(city.settings.data) if city.settings.demo else None
    app.state.services = services
    app.state.metrics = Metrics(city)
    app.state.most_bytes = city.settings.max_body_mib << 20
    app.state.verify = lambda payload: verify(city, payload)
    app.state.start_data = lambda: make_start_data(services, demo)
    app.state.sample_qr = (lambda slug: None) if demo is None else demo.sample_qr(services)
    app.state.proof_path = _proof_path


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    with serving_witnesses(app, services.city):
        days = asyncio.create_task(keep_days(services.credits))
        services.city.witnessing.start()
        services.imports.start()
        yield
        await asyncio.to_thread(services.imports.close)
        days.cancel()
        await asyncio.wait([days])
        services.city.close()


def bare_app() -> FastAPI:
    """Routes, handlers and middleware, without a city."""
    app = _Documented(
        title="证链 Zhenglian",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        default_response_class=JSONResponse,
        docs_url=None,
        redoc_url=None,
        responses=documented(),
    )
    install(app)
    app.include_router(log.tiles)  # the first looked at: auditors read every tile there is
    for module in _ROUTES:
        app.include_router(module.router)
    app.include_router(pages_router())
    app.add_middleware(BodyLimit, exempt=bounds_itself)
    app.add_middleware(HeadAsGet)
    app.add_middleware(PublicRead, public=is_public)
    app.add_middleware(Observed)  # the outermost: sees every answer
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document, for the reference pages."""
    return bare_app().openapi()


def _proof_path(record: Record) -> str | None:
    return None if record.index is None else proof_path(record.index)
