"""docs/nginx.conf, tried with a real nginx: before a mirror's folder, and before two replicas."""

import contextlib
import shutil
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import create_app
from api.city import City
from ledger.mirror import log_folder, mirror
from ledger.mirror_trust import Demands
from ledger.readside import HttpReadSide, LedgerReadSide, open_source
from tests.api.service import Clock, Template, open_copy
from tests.api.test_mirror_command import run as zhenglian
from tests.nginx import MISSING, free_port, nginx, nginx_binary
from verifier.tiles import parse_bundle

IMMUTABLE = "public, max-age=31536000, immutable"
PLAIN = {"Accept-Encoding": "identity"}


class Counted:
    """Counts what reaches a replica."""

    def __init__(self, app: ASGIApp, seen: Counter[str]) -> None:
        self.app, self.seen = app, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen[scope["path"]] += 1
        await self.app(scope, receive, send)


@dataclass
class Site:
    """A city at two replicas, its mirror, and nginx before both."""

    city: City
    mirror: str
    log: Path
    proxy: str
    web: httpx2.Client
    seen: Counter[str] = field(default_factory=Counter)
    servers: list[uvicorn.Server] = field(default_factory=list)

    def get(self, url: str, **headers: str) -> httpx2.Response:
        dashed = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.web.get(url, headers={**PLAIN, **dashed})


@pytest.fixture(scope="module")
def site(
    template: Template, tmp_path_factory: pytest.TempPathFactory, repo: Path
) -> Iterator[Site]:
    if nginx_binary() is None:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("nginx")
    city = open_copy(Path(shutil.copytree(template.folder, folder / "var")), Clock())
    copy = folder / "mirror"
    demands = Demands(city.trust().log_key)
    mirror(LedgerReadSide(city.ledger), copy, demands, sleep=lambda _: None, zipped=True)
    log = log_folder(copy, city.origin)
    ports = free_port(), free_port()
    made = Site(
        city,
        f"http://127.0.0.1:{ports[0]}/{log.name}",
        log,
        f"http://127.0.0.1:{ports[1]}",
        httpx2.Client(verify=False, trust_env=False),
    )
    with contextlib.ExitStack() as stack:
        stack.callback(made.web.close)
        replicas = [stack.enter_context(replica(made)) for _ in range(2)]
        changes = {
            "listen 8081": f"listen 127.0.0.1:{ports[0]}",
            "listen 8082": f"listen 127.0.0.1:{ports[1]}",
            "/srv/zhenglian/mirror": str(copy),
            "/var/cache/nginx/zhenglian": str(folder / "cache"),
            "127.0.0.1:8001": f"127.0.0.1:{replicas[0]}",
            "127.0.0.1:8002": f"127.0.0.1:{replicas[1]}",
        }
        conf = (repo / "docs" / "nginx.conf").read_text(encoding="utf-8")
        stack.enter_context(nginx(folder / "nginx", conf, changes))
        yield made
    city.close()


@contextlib.contextmanager
def replica(site: Site) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    app = Counted(create_app(site.city), site.seen)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    site.servers.append(server)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield int(listener.getsockname()[1])
    server.should_exit = True
    thread.join()


# --- a folder, without us ------------------------------------------------------------------------


def test_nginx_serves_the_folder_as_c2sp_says(site: Site) -> None:
    size = site.city.ledger.size
    checkpoint = site.get(f"{site.mirror}/checkpoint", Range="bytes=0-3")
    assert checkpoint.status_code == 200
    assert checkpoint.content == (site.log / "checkpoint").read_bytes()
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["cache-control"] == "no-cache"
    assert "etag" not in checkpoint.headers
    tile = site.get(f"{site.mirror}/tile/0/000.p/{size}")
    assert tile.content == (site.log / f"tile/0/000.p/{size}").read_bytes()
    assert tile.headers["content-type"] == "application/octet-stream"
    for answer in (checkpoint, tile):
        assert answer.headers["access-control-allow-origin"] == "*"
    assert tile.headers["cache-control"] == IMMUTABLE
    known = site.get(f"{site.mirror}/tile/0/000.p/{size}", If_None_Match=tile.headers["etag"])
    assert (known.status_code, known.headers["cache-control"]) == (304, IMMUTABLE)
    part = site.get(f"{site.mirror}/tile/0/000.p/{size}", Range="bytes=32-63")
    assert (part.status_code, part.content) == (206, tile.content[32:64])


def test_nginx_sends_the_gzip_forms(site: Site) -> None:
    url = f"{site.mirror}/tile/entries/000.p/{site.city.ledger.size}"
    zipped, plain = site.get(url, Accept_Encoding="gzip"), site.get(url)
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert zipped.content == plain.content
    assert int(zipped.headers["content-length"]) < int(plain.headers["content-length"])
    for answer in (zipped, plain):
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["cache-control"] == IMMUTABLE


def test_nginx_shows_nothing_else(site: Site) -> None:
    (site.log / "checkpoint.pending").write_bytes(b"not for you")
    bundle = f"tile/entries/000.p/{site.city.ledger.size}"
    for path in ("checkpoint.pending", "tile/0/001", "tile/", f"{bundle}.gz", "../refused/x"):
        answer = site.get(f"{site.mirror}/{path}")
        assert answer.status_code == 404, path
        assert answer.headers["cache-control"] == "public, max-age=1"
    (site.log / "checkpoint.pending").unlink()
    preflight = site.web.options(f"{site.mirror}/checkpoint")
    assert preflight.status_code == 204
    assert "If-None-Match" in preflight.headers["access-control-allow-headers"]


def test_an_audit_of_what_nginx_serves(site: Site) -> None:
    vkey = site.city.trust().log_key.text()
    result = zhenglian("audit", site.mirror, "--vkey", vkey, "--processes", 1)
    assert f"规模 size         {site.city.ledger.size}" in result.output
    assert result.exit_code == 0, result.output


# --- a cache before replicas ---------------------------------------------------------------------


def test_a_tile_reaches_a_replica_once(site: Site) -> None:
    path = "/log/tile/0/000.p/3"
    first, second = site.get(site.proxy + path), site.get(site.proxy + path)
    assert site.seen[path] == 1
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
    assert first.content == second.content == site.city.ledger.tile(0, 0, 3)
    assert second.headers["cache-control"] == IMMUTABLE
    assert second.headers["access-control-allow-origin"] == "*"
    known = site.get(site.proxy + path, If_None_Match=first.headers["etag"])
    assert known.status_code == 304
    part = site.get(site.proxy + path, Range="bytes=0-31")
    assert (part.status_code, part.content) == (206, first.content[:32])
    assert site.seen[path] == 1


def test_a_bundle_is_cached_in_two_forms(site: Site) -> None:
    path = "/log/tile/entries/000.p/4"
    codings = ["gzip", "gzip, deflate, br", "identity", "br", "gzip;q=0", "gzip;q=0.5"]
    answers = [site.get(site.proxy + path, Accept_Encoding=coding) for coding in codings]
    zipped = [answer.headers.get("content-encoding") for answer in answers]
    assert zipped == ["gzip", "gzip", None, None, None, "gzip"]
    assert len({answer.content for answer in answers}) == 1
    assert len(parse_bundle(answers[0].content, 4)) == 4
    assert site.seen[path] == 2
    part = site.get(site.proxy + path, Accept_Encoding="gzip", Range="bytes=2-5")
    assert (part.status_code, part.content) == (206, answers[0].content[2:6])
    assert site.seen[path] == 2


def test_what_is_not_there_is_asked_again(site: Site) -> None:
    path = f"/log/tile/0/000.p/{site.city.ledger.size + 1}"
    assert site.get(site.proxy + path).status_code == 404
    assert site.get(site.proxy + path).headers["cache-control"] == "public, max-age=1"


def test_checkpoints_are_asked_for_once_a_second_at_most(site: Site) -> None:
    before = site.seen["/log/checkpoint"]
    answers = [site.get(f"{site.proxy}/log/checkpoint") for _ in range(40)]
    assert {answer.content for answer in answers} == {site.city.ledger.checkpoint()}
    assert "HIT" in {answer.headers["x-cache"] for answer in answers}
    assert site.seen["/log/checkpoint"] - before < 40
    assert answers[0].headers["cache-control"] == "no-cache"


def test_a_mirror_of_what_the_cache_shows(site: Site, tmp_path: Path) -> None:
    demands = Demands(site.city.trust().log_key)
    done = mirror(HttpReadSide(f"{site.proxy}/log"), tmp_path, demands, sleep=lambda _: None)
    assert done.size == site.city.ledger.size
    assert open_source(str(tmp_path)).read("checkpoint") == site.city.ledger.checkpoint()


def test_a_replica_that_is_gone_is_not_noticed(site: Site) -> None:
    """The last of these tests: one of the two is stopped."""
    site.servers[0].should_exit = True
    for width in range(1, site.city.ledger.size + 1):
        assert site.get(f"{site.proxy}/log/tile/0/000.p/{width}").status_code == 200
        assert site.get(f"{site.proxy}/v1/log/key").status_code == 200
