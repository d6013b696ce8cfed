"""The read side of the log over HTTP, for tools that others wrote."""

import socket
import threading
from base64 import b64decode
from collections.abc import Iterator

import pytest
import uvicorn

from api.app import create_app
from ledger.errors import LedgerError
from ledger.export import export
from ledger.model import Draft
from ledger.readside import DirectoryReadSide, HttpReadSide, read_bundle, read_tile
from tests.api.service import Service, problem_of, sample
from verifier.checkpoint import Checkpoint, open_checkpoint
from verifier.kinds import DEPARTMENT, GENESIS, KEY, LICENCE, LICENCE_STATE
from verifier.merkle import check_consistency, leaf_hash
from verifier.note import parse_vkey
from verifier.statement import Content
from verifier.states import SUSPENDED
from verifier.tiles import FULL_WIDTH, TileTree, parse_bundle

IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def grown(service: Service) -> Service:
    """More than one full tile of entries."""
    city = service.city
    first = leaf_hash(city.ledger.entry(0))
    content = Content(
        LICENCE_STATE,
        type_code=city.catalogue.licence_type("food-licence").code,
        predecessor=first,
        rule_set="2026-04",
        state=SUSPENDED,
        reason="penalty-suspension",
    )
    statements = [
        city.sign(content, department="market", record_id=city.new_record_id(), at=city.now())
        for _ in range(FULL_WIDTH)
    ]
    city.ledger.append([Draft(raw, LICENCE_STATE, "market") for raw in statements])
    return service


def checkpoint(service: Service) -> Checkpoint:
    key = parse_vkey(service.get(None, "/v1/log/key").text.strip())
    return open_checkpoint(service.get(None, "/log/checkpoint").content, key)


def test_the_checkpoint_is_signed_by_the_key_that_is_shown(service: Service) -> None:
    found = checkpoint(service)
    assert found.origin == service.city.origin
    assert found.size == service.city.ledger.size
    answer = service.get(None, "/log/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


def test_a_checkpoint_that_is_known_is_not_sent_again(service: Service) -> None:
    tag = service.get(None, "/log/checkpoint").headers["etag"]
    for known in (tag, f'"other", W/{tag}'):
        again = service.get(None, "/log/checkpoint", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    service.issue()
    fresh = service.get(None, "/log/checkpoint", headers={"If-None-Match": tag})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] != tag


def test_tiles_and_bundles_are_immutable(grown: Service) -> None:
    size = checkpoint(grown).size
    partial = size - FULL_WIDTH
    for path, length in [
        ("/log/tile/0/000", 32 * FULL_WIDTH),
        (f"/log/tile/0/001.p/{partial}", 32 * partial),
        ("/log/tile/0/001.p/1", 32),
        ("/log/tile/1/000.p/1", 32),
        ("/log/tile/entries/000", None),
        (f"/log/tile/entries/001.p/{partial}", None),
    ]:
        answer = grown.get(None, path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["cache-control"] == IMMUTABLE
        assert length is None or len(answer.content) == length
    entries = parse_bundle(grown.get(None, "/log/tile/entries/000").content, FULL_WIDTH)
    hashes = grown.get(None, "/log/tile/0/000").content
    assert b"".join(map(leaf_hash, entries)) == hashes
    tree = TileTree(
        size,
        lambda level, n, width: (
            grown.get(
                None, f"/log/tile/{level}/{n:03d}" + ("" if width == 256 else f".p/{width}")
            ).content
        ),
    )
    assert tree.root() == checkpoint(grown).root


NO_PATHS = [
    ("tile/0/001", "ledger-out-of-range"),
    ("tile/0/001.p/255", "ledger-out-of-range"),
    ("tile/1/000", "ledger-out-of-range"),
    ("tile/7/000.p/1", "ledger-out-of-range"),
    ("tile/0/x999/999", "ledger-out-of-range"),
    ("tile/entries/x999/x999/x999/x999/x999/x999/999", None),
    ("tile/0/1", "tile-path-malformed"),
    ("tile/0/0000", "tile-path-malformed"),
    ("tile/00/000", "tile-path-malformed"),
    ("tile/64/000", "tile-path-malformed"),
    ("tile/-1/000", "tile-path-malformed"),
    ("tile/0/000.p/0", "tile-path-malformed"),
    ("tile/0/000.p/256", "tile-path-malformed"),
    ("tile/0/000.p/01", "tile-path-malformed"),
    ("tile/0/000.p", "tile-path-malformed"),
    ("tile/0/x000/000", None),
    ("tile/0/%30%30%30%00", "tile-path-malformed"),
    ("tile/entries", "tile-path-malformed"),
    ("tile/", "tile-path-malformed"),
    ("tile/data/000", "tile-path-malformed"),
    ("nothing", "route-unknown"),
]


def test_paths_the_log_does_not_have(grown: Service) -> None:
    for path, code in NO_PATHS:
        answer = grown.get(None, f"/log/{path}")
        assert answer.status_code == 404, path
        assert code is None or problem_of(answer, code, 404)
        assert answer.headers["cache-control"] == "public, max-age=1"


@pytest.fixture
def over_http(grown: Service) -> Iterator[HttpReadSide]:
    """Our own HTTP reader on the application, through a real socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(grown.city), log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield HttpReadSide(f"http://127.0.0.1:{listener.getsockname()[1]}/log")
    server.should_exit = True
    thread.join()


def test_our_own_readers_read_it(
    grown: Service, over_http: HttpReadSide, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("export") / "log"
    exported = export(over_http, folder)
    assert exported.size == grown.city.ledger.size
    by_file = DirectoryReadSide(folder)
    for source in (over_http, by_file):
        assert source.read("checkpoint") == grown.city.ledger.checkpoint()
        for n, width in ((0, FULL_WIDTH), (1, exported.size - FULL_WIDTH)):
            hashes = read_tile(source, 0, n, width)
            entries = read_bundle(source, n, width)
            assert b"".join(map(leaf_hash, entries)) == hashes
        for path in ("tile/0/002", "tile/0/000.p/300", "nothing"):
            with pytest.raises(LedgerError) as caught:
                source.read(path)
            assert caught.value.code == "ledger-path-absent"


def test_consistency(service: Service) -> None:
    old = checkpoint(service)
    for number in range(5):
        service.issue(number=number)
    new = checkpoint(service)
    answer = service.get(None, "/v1/log/consistency", params={"old": old.size}).json()
    assert (answer["old"], answer["new"]) == (old.size, new.size)
    check_consistency(
        size1=old.size,
        size2=new.size,
        root1=old.root,
        root2=new.root,
        proof=[b64decode(each) for each in answer["hashes"]],
    )


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("consistency?old=0", "request-invalid", 422),
        ("consistency?old=9999", "ledger-out-of-range", 404),
        ("consistency?old=1&new=9999", "ledger-out-of-range", 404),
        ("consistency?old=5&new=4", "ledger-out-of-range", 404),
        ("consistency?old=1e3", "request-invalid", 422),
        (f"consistency?old={10**30}", "ledger-out-of-range", 404),
        ("consistency", "request-invalid", 422),
        ("proof/9999", "ledger-out-of-range", 404),
        ("proof/-1", "request-invalid", 422),
        (f"proof/{2**63}", "request-invalid", 422),
        (f"proof/{2**63 - 1}", "ledger-out-of-range", 404),
        ("entries/9999", "ledger-out-of-range", 404),
    ],
)
def test_proofs_there_are_not(service: Service, path: str, code: str, status: int) -> None:
    problem_of(service.get(None, f"/v1/log/{path}"), code, status)


def test_an_entry_is_shown_without_anything_personal(service: Service) -> None:
    issued = service.issue("id-card")
    shown = service.get(None, f"/v1/log/entries/{issued['index']}").json()
    assert shown["bytes"] == issued["statement"]
    assert shown["issuer"].endswith("/police")
    assert set(shown["content"]) == {"1", "2", "3", "4", "5", "7", "8"}
    assert not any(
        str(value) in str(shown) for value in sample("id-card").values() if value != "男"
    )


def test_every_kind_of_entry_can_be_shown(service: Service) -> None:
    service.set_state(service.issue()["record_id"], "suspended", "penalty-suspension")
    kinds = set()
    for index in range(service.city.ledger.size):
        answer = service.get(None, f"/v1/log/entries/{index}")
        assert answer.status_code == 200
        kinds.add(answer.json()["content"]["1"])
    assert kinds == {GENESIS, DEPARTMENT, KEY, LICENCE, LICENCE_STATE}
