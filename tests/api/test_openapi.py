"""The OpenAPI document against the service: generated requests, a bounded number, always the same.

Nothing crashes, every answer has a status, a content type and a shape that the document declares,
and every refusal is a problem document.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import openapi, seat
from api.concise import is_concise
from tests.api.documents import concise_of
from tests.api.service import Clock, Template, open_copy, problem_of

CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 3


@schemathesis.serializer("application/cbor", "application/cose", "application/x-ndjson")
def as_bytes(_context: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


schema = schemathesis.openapi.from_dict(openapi())
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@pytest.fixture(scope="module")
def client(
    app: FastAPI, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    folder = Path(shutil.copytree(template.folder, tmp_path_factory.mktemp("any") / "var"))
    seat(app, open_copy(folder, Clock()))
    with TestClient(app, raise_server_exceptions=False) as opened:
        yield opened


def caller_of(path: str) -> str:
    """Who may do most there."""
    if path.startswith(("/v1/departments", "/v1/clients", "/v1/changes")):
        return "operator"
    return "citizen" if path.startswith("/v1/me/") else "market"


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_generated_requests(
    case: schemathesis.Case, client: TestClient, template: Template
) -> None:
    asked = requests.Request(**_known(case.as_transport_kwargs(base_url="http://test"))).prepare()
    headers = {**asked.headers, "Authorization": f"Bearer {template.keys[caller_of(case.path)]}"}
    response = client.request(
        str(asked.method), str(asked.url), content=asked.body, headers=headers
    )
    case.validate_response(response, checks=CHECKS)
    if is_concise(case.path) and response.status_code >= 400:
        concise_of(response)
    elif response.status_code >= 400 and case.path != "/readyz":
        problem_of(response, response.json()["code"])


def _known(options: dict[str, Any]) -> dict[str, Any]:
    names = ("method", "url", "headers", "params", "cookies", "data", "json", "files")
    return {name: options[name] for name in names if name in options}
