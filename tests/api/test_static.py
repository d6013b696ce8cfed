"""The static read side as caches, browsers and auditors meet it (RFC 9110, C2SP tlog-tiles)."""

import gzip
import shutil
from collections.abc import Iterator
from hashlib import sha256

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.requests import Request

from api import static_answer
from api.app import seat
from api.static_answer import ABSENT, IMMUTABLE, Static, accepts_gzip, bundle_file
from ledger.static_folder import compress
from tests.api.service import Clock, Service, Template, open_copy, problem_of
from verifier.tiles import parse_bundle

BUNDLE = "/log/tile/entries/000.p/5"
TILE = "/log/tile/0/000.p/5"
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture(scope="module")
def service(
    app: FastAPI, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One for all tests of this file; the one that appends bothers no other."""
    folder = shutil.copytree(template.folder, tmp_path_factory.mktemp("static") / "var")
    clock = Clock()
    city = open_copy(folder, clock)
    seat(app, city)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(city, client, clock, template.keys)


def get(service: Service, path: str, **headers: str) -> Response:
    return service.get(None, path, headers={**PLAIN, **{_dashed(k): v for k, v in headers.items()}})


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def test_a_tag_is_a_hash_of_the_bytes_sent(service: Service) -> None:
    for path in ("/log/checkpoint", TILE, BUNDLE):
        answer = get(service, path)
        assert answer.status_code == 200
        assert answer.headers["etag"] == f'"{sha256(answer.content).hexdigest()[:32]}"'
        assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("path", ["/log/checkpoint", TILE, BUNDLE])
def test_what_is_known_is_not_sent_again(service: Service, path: str) -> None:
    fresh = get(service, path)
    tag = fresh.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get(service, path, If_None_Match=known)
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "cache-control", "vary"):  # RFC 9110 §15.4.5
            assert again.headers.get(name) == fresh.headers.get(name)
    for unknown in ('"other"', tag.strip('"'), tag[:-2] + '"'):
        assert get(service, path, If_None_Match=unknown).status_code == 200


def test_bundles_come_as_gzip_where_that_is_allowed(service: Service) -> None:
    plain = get(service, BUNDLE)
    assert "content-encoding" not in plain.headers
    parse_bundle(plain.content, 5)
    zipped = get(service, BUNDLE, Accept_Encoding="br, gzip;q=0.5, identity;q=0.1")
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.content == plain.content  # as the client decodes it
    assert int(zipped.headers["content-length"]) < len(plain.content)
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept-Encoding"
    tag = zipped.headers["etag"]
    assert tag != plain.headers["etag"]  # another form, another strong tag
    known = get(service, BUNDLE, Accept_Encoding="gzip", If_None_Match=tag)
    assert (known.status_code, known.headers["etag"]) == (304, tag)
    assert get(service, BUNDLE, If_None_Match=tag).status_code == 200


def test_hash_tiles_are_never_compressed(service: Service) -> None:
    answer = get(service, TILE, Accept_Encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers
    hashes = b"".join(sha256(bytes([n])).digest() for n in range(256))
    assert len(compress(hashes)) > len(hashes)


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0.001", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("br", False),
    ],
)
def test_accept_encoding(header: str, *, allowed: bool) -> None:
    assert accepts_gzip(header) is allowed


@pytest.mark.parametrize("path", [TILE, BUNDLE])
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-31", 0, 31),
        ("bytes=32-63", 32, 63),
        ("BYTES=0-0", 0, 0),
        ("bytes=100-", 100, -1),
        ("bytes=-32", -32, -1),
        ("bytes=-999999", 0, -1),
        ("bytes=10-999999", 10, -1),
    ],
)
def test_a_range(service: Service, path: str, asked: str, first: int, last: int) -> None:
    whole = get(service, path)
    size = len(whole.content)
    start, end = first % size, last % size + 1
    assert whole.headers["accept-ranges"] == "bytes"
    answer = get(service, path, Range=asked, Accept_Encoding="gzip")  # cut from the plain form
    assert answer.status_code == 206
    assert answer.content == whole.content[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    assert answer.headers["content-length"] == str(end - start)
    assert "content-encoding" not in answer.headers
    for name in ("etag", "cache-control", "vary", "content-type"):
        assert answer.headers.get(name) == whole.headers.get(name)


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,3-4", "bytes=5-4", "bytes=-", "bytes=a-b", "hashes=0-1", "bytes 0-1", "bytes=+1-2"],
)
def test_what_is_not_one_range_gives_the_whole(service: Service, asked: str) -> None:
    answer = get(service, TILE, Range=asked)
    assert (answer.status_code, len(answer.content)) == (200, 5 * 32)


@pytest.mark.parametrize("asked", ["bytes=160-", "bytes=161-200", "bytes=-0"])
def test_a_range_that_lies_outside(service: Service, asked: str) -> None:
    answer = get(service, TILE, Range=asked)
    problem_of(answer, "range-not-satisfiable", 416)
    assert answer.headers["content-range"] == "bytes */160"
    assert answer.headers["cache-control"] == "no-store"


def test_if_range(service: Service) -> None:
    tag = get(service, TILE).headers["etag"]
    part = get(service, TILE, Range="bytes=0-31", If_Range=tag)
    assert part.status_code == 206
    for other in (f"W/{tag}", '"other"', "Sun, 22 Nov 2026 08:00:00 GMT"):  # strong comparison
        whole = get(service, TILE, Range="bytes=0-31", If_Range=other)
        assert (whole.status_code, len(whole.content)) == (200, 160)
    known = get(service, TILE, Range="bytes=0-31", If_None_Match=tag)
    assert known.status_code == 304  # before the range (§13.2.2)


def test_the_checkpoint_has_no_ranges(service: Service) -> None:
    answer = get(service, "/log/checkpoint", Range="bytes=0-3")
    assert answer.status_code == 200
    assert "accept-ranges" not in answer.headers


@pytest.mark.parametrize("path", ["/log/checkpoint", TILE, BUNDLE])
def test_head(service: Service, path: str) -> None:
    """The headers of GET; a range is of GET only (RFC 9110 §14.2)."""
    whole = get(service, path)
    head = service.call(None, "HEAD", path, headers={**PLAIN, "Range": "bytes=0-1"})
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(whole.headers)
    assert service.call(None, "HEAD", "/log/tile/0/x999/999").status_code == 404


@pytest.mark.parametrize("path", ["/log/checkpoint", TILE, BUNDLE, "/v1/log/key"])
def test_any_page_may_read(service: Service, path: str) -> None:
    for headers in ({}, {"Origin": "https://somebody.example"}):
        answer = service.get(None, path, headers=headers)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    asked = {
        "Origin": "https://somebody.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "if-none-match",
    }
    preflight = service.call(None, "OPTIONS", path, headers=asked)
    assert preflight.status_code == 204
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert "If-None-Match" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", ["/v1/licences", "/v1/me", "/v1/verify", "/logs", "/metrics"])
def test_no_other_page_may_read_the_rest(service: Service, path: str) -> None:
    headers = {"Origin": "https://somebody.example", "Access-Control-Request-Method": "GET"}
    for method in ("GET", "OPTIONS"):
        answer = service.call("market", method, path, headers=headers)
        assert "access-control-allow-origin" not in answer.headers


def test_what_is_not_there_yet_is_asked_again_soon(service: Service) -> None:
    size = service.city.ledger.size
    path = f"/log/tile/entries/000.p/{size + 1}"
    answer = get(service, path)
    problem_of(answer, "ledger-out-of-range", 404)
    assert answer.headers["cache-control"] == ABSENT
    assert answer.headers["access-control-allow-origin"] == "*"
    service.issue()
    assert get(service, path).headers["cache-control"] == IMMUTABLE


def _request(**headers: str) -> Request:
    pairs = [(_dashed(name).lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": pairs})


def test_a_gzip_form_at_hand_is_sent_as_it_is() -> None:
    kept = gzip.compress(b"entries", mtime=1)
    answer = static_answer.answer(_request(Accept_Encoding="gzip"), bundle_file(b"entries", kept))
    assert answer.body == kept
    plain = static_answer.answer(_request(), bundle_file(b"entries", kept))
    assert plain.body == b"entries"


def test_an_empty_resource_has_no_range() -> None:
    assert static_answer.answer(_request(Range="bytes=0-"), Static(b"")).status_code == 416
