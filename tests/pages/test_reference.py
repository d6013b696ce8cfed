"""The API reference: what the OpenAPI document says, in rows, with requests that can be sent."""

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import openapi
from api.pages.reference import blocks, example, sections, two_languages, type_words
from tests.pages.site import Site

DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Point": {
                "type": "object",
                "required": ["x"],
                "properties": {
                    "x": {"type": "integer"},
                    "y": {"type": "integer", "default": 7},
                    "z": {"type": "integer"},
                },
            },
            "Colour": {"enum": ["green", "red"]},
            "Knot": {
                "type": "object",
                "required": ["next"],
                "properties": {"next": {"$ref": "#/components/schemas/Knot"}},
            },
        }
    }
}


@pytest.mark.parametrize(
    ("schema", "shown", "words"),
    [
        ({"type": "string"}, "…", "string"),
        ({"type": "string", "format": "date"}, "…", "date"),
        ({"type": "string", "examples": ["ZL1:…"]}, "ZL1:…", "string"),
        ({"$ref": "#/components/schemas/Point"}, {"x": 0, "y": 7}, "object"),
        ({"$ref": "#/components/schemas/Colour"}, "green", "green | red"),
        ({"type": "array", "items": {"type": "boolean"}}, [False], "array of boolean"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0, "integer | null"),
        ({}, None, "any"),
    ],
)
def test_examples_and_types(schema: dict[str, Any], shown: object, words: str) -> None:
    assert example(DOCUMENT, schema) == shown
    assert type_words(DOCUMENT, schema) == words


def test_a_schema_that_holds_itself_ends() -> None:
    assert "next" in example(DOCUMENT, {"$ref": "#/components/schemas/Knot"})


@pytest.mark.parametrize(
    ("text", "zh", "en"),
    [
        ("证照 licences", "证照", "licences"),
        ("账本 log (C2SP tlog-tiles)", "账本", "log (C2SP tlog-tiles)"),
        ("暂扣、恢复、吊销 Change the state", "暂扣、恢复、吊销", "Change the state"),
        ("plain", "plain", ""),
        ("二维码 QR 码", "二维码 QR 码", ""),
    ],
)
def test_two_languages(text: str, zh: str, en: str) -> None:
    assert two_languages(text) == (zh, en)


def test_blocks() -> None:
    assert blocks("one\ntwo\n\n* a\n  b\n* c\n") == [["one two"], ["* a b", "* c"]]
    assert blocks("") == []


def test_every_route_of_the_service_is_shown() -> None:
    document = openapi()
    expected = {
        (method, path) for path, operations in document["paths"].items() for method in operations
    }
    found = [one for section in sections(document) for one in section.operations]
    assert {(one.method, one.path) for one in found} == expected
    assert len({one.anchor for one in found}) == len(found) > 20
    for one in found:
        assert one.en, f"{one.path} has no English summary"
        if one.body:
            json.loads(one.body)


def test_the_page_shows_operations_and_a_command() -> None:
    with TestClient(Site().app()) as client:
        html = client.get("/docs").text
    assert '<details class="operation" id="post-v1-echo-word">' in html
    assert "with <code>code</code> and more" in html
    assert "curl -X POST &#39;http://testserver/v1/echo/&lt;word&gt;&#39;" in html
    body = re.search(r"<textarea[^>]*>(.*?)</textarea>", html, flags=re.DOTALL)
    assert body is not None
    assert json.loads(body[1].replace("&#34;", '"')) == {"text": "你好"}
