"""One shape of refusals: every endpoint is walked, and asked wrongly in every way that is cheap."""

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy.exc import OperationalError

from api.app import openapi, seat
from api.concise import MEDIA_TYPE as CONCISE
from api.concise import is_concise
from api.errors import ServiceError
from api.problems import PROBLEM_SCHEMA, problem, problem_bytes, status_of
from keys.errors import KeysError, ZhenglianError
from ledger.errors import LedgerError
from tests.api.documents import concise_of
from tests.api.service import Clock, Service, Template, open_copy, problem_of
from tests.docs.pages import error_classes
from verifier.errors import Refused

DOCUMENT = openapi()
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OPERATIONS = [
    (method.upper(), path)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
]
OPEN = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/log/checkpoint",
    "/v1/pack",
    "/v1/log/policy",
    "/v1/log/finality",
    "/.well-known/zhenglian",
    "/.well-known/jwks.json",
    "/.well-known/jwks-sm2.json",
    "/.well-known/jwt-vc-issuer",
    "/.well-known/did.json",
}
"""They answer whatever is sent."""


ANYONE = {
    "POST /v1/verify",
    "GET /v1/pack",
    "GET /v1/pack/updates/{sha256}",
    "GET /v1/types",
    "GET /v1/reasons",
    "GET /v1/departments",
    "GET /v1/officers",
    "GET /v1/predicates",
    "GET /v1/log/proof/{index}",
    "GET /v1/log/entries/{index}",
    "GET /v1/log/consistency",
    "GET /v1/log/key",
    "GET /v1/log/policy",
    "GET /v1/log/finality",
    "GET /v1/log/checkpoint",
    "GET /v1/public/credits",
    "POST /v1/receipts/verify",
}
"""Under /v1 without a key: checking, the log, and what is public by law."""


@pytest.fixture(scope="module")
def service(
    app: FastAPI, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One city for the whole walk: what is refused changes nothing in it."""
    clock = Clock()
    folder = Path(shutil.copytree(template.folder, tmp_path_factory.mktemp("walk") / "var"))
    city = open_copy(folder, clock)
    size = city.ledger.size
    seat(app, city)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(city, client, clock, template.keys)
        assert city.ledger.size == size


def filled(path: str) -> str:
    """A path with plausible values for its parameters."""
    values = {"record_id": "A" * 22, "index": "999999", "path": "9/999"}
    return re.sub(r"{(\w+)(?::\w+)?}", lambda found: values.get(found[1], "nobody"), path)


def well_formed(answer: Response) -> dict[str, Any]:
    if is_concise(answer.request.url.path):
        return concise_of(answer)
    body: dict[str, Any] = problem_of(answer, answer.json()["code"])
    assert 400 <= answer.status_code < 600
    assert set(body) >= set(PROBLEM_SCHEMA["required"])
    return body


def asked_wrongly(service: Service, method: str, path: str) -> Iterator[Response]:
    target = filled(path)
    yield service.call(None, method, target)
    yield service.call(None, method, target, headers={"Authorization": "Bearer zl_x_y"})
    for who in ("operator", "market", "bank", "citizen", "credit-centre"):
        yield service.call(who, method, target)
    if method in ("POST", "PUT", "PATCH"):
        json_type = {"Content-Type": "application/json"}
        for content in (b"", b"{}", b"[]", b"null", b"{", b'{"a": 1}', b"\xff", b"[" * 50_000):
            yield service.call("market", method, target, content=content, headers=json_type)
        xml = {"Content-Type": "text/xml"}
        yield service.call("market", method, target, content=b"<a/>", headers=xml)
    query = "?limit=x&cursor=%ED%A0%80&old=x&state=%00&type=%FF"
    yield service.call("market", method, target + query)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_refusal_of_every_endpoint_has_the_one_body(
    service: Service, method: str, path: str
) -> None:
    refused = 0
    for answer in asked_wrongly(service, method, path):
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            body = well_formed(answer)
            assert is_concise(path) or body["instance"].startswith("/")
            refused += 1
    takes_nothing = (
        method == "GET" and "{" not in path and "parameters" not in operation(method, path)
    )
    assert refused or path in OPEN or takes_nothing


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return found


@pytest.mark.parametrize("path", list(DOCUMENT["paths"]))
def test_wrong_methods(service: Service, path: str) -> None:
    known = {method.upper() for method in DOCUMENT["paths"][path]}
    for method in METHODS:
        if method not in known:
            answer = service.call("operator", method, filled(path))
            if answer.status_code == 405:
                assert well_formed(answer)["code"] == "method-not-allowed"
                assert set(answer.headers["allow"].split(", ")) & known
            else:  # another route has this shape of path
                well_formed(answer)


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/", "/v1/licences/", "/V1/licences", "/%00"]
)
def test_unknown_addresses(service: Service, path: str) -> None:
    answer = service.client.get(path, follow_redirects=False)
    if answer.status_code == 307:
        assert path == "/v1/licences/"
    else:
        problem_of(answer, "route-unknown", 404)


def test_who_needs_a_key_is_documented() -> None:
    assert DOCUMENT["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    for method, path in OPERATIONS:
        needs = bool(operation(method, path).get("security"))
        ours = path.startswith("/v1/") and f"{method} {path}" not in ANYONE
        assert needs == (ours or (method, path) == ("POST", "/scitt/entries")), path


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_key_is_asked_for_where_the_document_says_so(
    service: Service, method: str, path: str
) -> None:
    answer = service.call(None, method, filled(path), json={} if method != "GET" else None)
    needs = bool(operation(method, path).get("security"))
    assert (answer.status_code == 401) == needs, answer.text
    if needs:
        assert well_formed(answer)["code"] == "credentials-missing"


def test_every_operation_reads_well() -> None:
    ids = set()
    for method, path in OPERATIONS:
        described = operation(method, path)
        assert re.search("[一-鿿]", described["summary"]), path
        assert re.search("[A-Za-z]", described["summary"]), path
        assert described.get("tags"), path
        assert described["operationId"] not in ids
        ids.add(described["operationId"])
        refusals = described["responses"]["4XX"]["content"]
        assert list(refusals) == [CONCISE if is_concise(path) else "application/problem+json"]
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)
    assert DOCUMENT["components"]["schemas"]["Problem"] == PROBLEM_SCHEMA


def test_every_code_has_a_status() -> None:
    for kind in error_classes():
        for code in kind.WORDS:
            status = status_of(kind(code))
            assert 400 <= status < 600, code
    assert not ServiceError.STATUS.keys() - ServiceError.WORDS.keys()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("too-large"), 413),
        (Refused("qr-malformed"), 422),
        (Refused("tile-path-malformed"), 404),
        (LedgerError("ledger-busy"), 503),
        (LedgerError("ledger-out-of-range"), 404),
        (LedgerError("ledger-store-failed"), 500),
        (KeysError("key-bad-name"), 422),
        (ServiceError("licence-exists"), 409),
        (ServiceError("fields-invalid"), 422),
    ],
)
def test_the_one_translation(error: ZhenglianError, status: int) -> None:
    document = problem(error, "/x")
    assert document["status"] == status
    assert (document["title"], document["title_en"]) == (error.zh, error.en)
    assert json.loads(problem_bytes(document)) == document


def crashing(error: Exception) -> APIRouter:
    router = APIRouter()

    @router.get("/crash", include_in_schema=False)
    def crash() -> None:
        raise error

    return router


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (RuntimeError("with a secret 330102199001011234"), "internal-error", 500),
        (
            OperationalError("SELECT secret", {"a": "330102"}, Exception("x")),
            "service-unavailable",
            503,
        ),
        (LedgerError("ledger-busy"), "ledger-busy", 503),
    ],
)
def test_a_crash_tells_nothing(service: Service, error: Exception, code: str, status: int) -> None:
    app = service.client.app
    router = crashing(error)
    app.include_router(router)  # type: ignore[attr-defined]
    try:
        answer = service.get(None, "/crash")
    finally:
        app.router.routes.pop()  # type: ignore[attr-defined]
    body = problem_of(answer, code, status)
    assert "secret" not in answer.text
    assert "330102" not in answer.text
    assert body["instance"] == "/crash"
    assert (answer.headers.get("retry-after") == "1") == (status == 503)


def test_what_is_no_text_comes_back_as_a_question_mark() -> None:
    body = problem_bytes(problem(ServiceError("field-unknown", "\ud800"), "/"))
    assert json.loads(body)["detail"] == "?"


def test_a_problem_is_never_larger_than_it_must_be(service: Service) -> None:
    """A request of many thousand wrong fields does not get an answer of its own size."""
    fields = {f"field-{number}" * 5: number for number in range(20_000)}
    answer = service.post("market", "/v1/licences", {"type": "food-licence", "fields": fields})
    body = problem_of(answer, "fields-invalid", 422)
    assert (len(body["errors"]), body["errors_total"] > 20_000) == (1_000, True)
    assert len(body["detail"]) <= 1_000
    assert len(answer.content) < 400_000


def test_a_request_is_answered_in_one_piece_whatever_its_scope(service: Service) -> None:
    """A websocket or an unknown protocol is nothing of ours, and does not crash the middleware."""

    async def ask() -> list[Any]:
        sent: list[Any] = []

        async def receive() -> dict[str, str]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
        await service.client.app(scope, receive, send)  # type: ignore[arg-type]
        return sent

    assert asyncio.run(ask())[0]["type"] in ("websocket.close", "websocket.http.response.start")
