"""`zhenglian mirror`: its keys, its exit codes, and what it serves; and our audit of a mirror."""

import gzip
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import typer
from click.testing import Result
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.commands import mirror as command
from api.commands.audit import audit_command
from api.commands.mirror import demands_of, mirror_commands
from api.commands.monitor import monitor_command
from api.mirror_app import mirror_app
from keys.errors import ZhenglianError
from ledger.readside import open_source
from tests.api.service import problem_of
from tests.api.test_audit_command import write
from tests.city import City as Trusted
from tests.ledger.logs import City, log_files
from verifier.pack import open_pack
from verifier.tiles import parse_bundle

CITY = City()
CITY.fill(300)
VKEY = CITY.log.key.text()
NAME = sha256(CITY.origin.encode()).hexdigest()


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "log", CITY.files())


def run(*words: object) -> Result:
    app = typer.Typer()
    app.add_typer(mirror_commands)
    app.command("audit")(audit_command)
    app.command("monitor")(monitor_command)
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(result: Result, code: str) -> None:
    assert isinstance(result.exception, ZhenglianError), result.output
    assert result.exception.code == code


def test_copy_then_audit(log: Path) -> None:
    result = run("mirror", log, "there", "--vkey", VKEY)
    assert result.exit_code == 0, result.output
    assert f"0 → {len(CITY.entries)}" in result.output
    assert open_source("there").read("checkpoint") == (log / "checkpoint").read_bytes()
    for mirrored in ("there", f"there/{NAME}"):
        audited = run("audit", mirrored, "--vkey", VKEY, "--processes", 1)
        assert audited.exit_code == 0, audited.output
    assert run("mirror", "copy", "there", "again", "--vkey", VKEY, "--once").exit_code == 0
    write(log, log_files(CITY.entries[:-1], CITY.log))
    refused(run("mirror", log, "there", "--vkey", VKEY), "mirror-source-behind")


def test_a_file_that_is_no_pack_is_named(log: Path, tmp_path: Path) -> None:
    none = tmp_path / "no.pack"
    none.write_bytes(b"no pack at all")
    for words in (["mirror", log, "there", "--pack", none], ["audit", log, "--trust", none]):
        result = run(*words)
        refused(result, "pack-not-a-pack")
        assert str(none) in str(result.exception)
    refused(run("audit", log, "--trust", none, "--vkey", "garbage"), "note-key-malformed")


def test_a_policy_file_is_utf_8(log: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_bytes("# 见证\nquorum none\n".encode("gbk"))
    more = ["--vkey", VKEY, "--policy", policy]
    for words in (["mirror", log, "there"], ["audit", log], ["monitor", log, "--state", "kept"]):
        refused(run(*words, *more), "policy-malformed")


def test_one_entry_is_one_entry(log: Path) -> None:
    for size, told in [(1, "0 → 1 条 entry, "), (2, "1 → 2 条 entries, ")]:
        write(log, log_files(CITY.entries[:size], CITY.log))
        assert told in run("mirror", log, "there", "--vkey", VKEY).output
    assert ", 0 个文件 files " in run("mirror", log, "there", "--vkey", VKEY).output


def test_whose_log_it_is(log: Path) -> None:
    refused(run("mirror", log, "there"), "mirror-no-key")
    refused(run("mirror", log, "there", "--vkey", VKEY, "--vkey", VKEY), "mirror-log-keys")
    other = Trusted("other.example").log.key.text()
    refused(run("mirror", log, "there", "--vkey", VKEY, "--vkey", other), "mirror-log-keys")
    refused(run("mirror", log, "there", "--vkey", other), "note-unsigned")
    both = run("mirror", log, "there", "--vkey", VKEY, "--once", "--every", 5)
    refused(both, "mirror-once-or-every")
    assert not Path("there").exists()


def test_a_policy_names_the_log_and_its_witnesses(log: Path, tmp_path: Path) -> None:
    city = Trusted()
    policy = tmp_path / "policy"
    keys = [key.text() for key in (city.authorities.log_key, city.authorities.log_pq_key) if key]
    policy.write_text("".join(f"log {key}\n" for key in keys) + city.policy_text())
    demands = demands_of([], policy, None)
    assert [key.text() for key in demands.log_keys] == keys
    assert demands.policy is not None
    for witnesses in (1, 2):
        write(log, log_files(city.entries, city.log))
        (log / "checkpoint").write_bytes(city.checkpoint(witnesses=witnesses))
        result = run("mirror", log, "there", "--policy", policy)
        if witnesses == 1:
            refused(result, "policy-quorum-not-met")
        else:
            assert result.exit_code == 0, result.output


def test_a_trust_pack_brings_everything(tmp_path: Path) -> None:
    city = Trusted()
    pack = tmp_path / "pack"
    pack.write_bytes(city.pack())
    demands = demands_of([], None, pack)
    assert (demands.log_key, demands.known) == (
        city.log.key,
        open_pack(pack.read_bytes()).checkpoint,
    )
    assert demands.second == city.authorities.log_pq_key
    assert demands.policy == city.authorities.policy
    with pytest.raises(ZhenglianError) as caught:
        demands_of([VKEY], None, pack)
    assert caught.value.code == "pack-other-ledger"


def test_every_goes_on_after_trouble_and_stops_at_a_second_history(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not there yet, there, gone, grown, and then rewritten."""
    files = CITY.files()
    checkpoint = files.pop("checkpoint")
    turns = iter(["checkpoint", "gone", "grown", "forked"])
    (log / "checkpoint").unlink()

    def sleep(seconds: float) -> None:
        if seconds != 30:  # a read is repeated
            return
        match next(turns):
            case "checkpoint":
                (log / "checkpoint").write_bytes(checkpoint)
            case "gone":
                (log / "checkpoint").unlink()
            case "grown":
                write(log, log_files([*CITY.entries, b"more"], CITY.log))
            case "forked":
                write(log, log_files([*CITY.entries, b"other"], CITY.log))

    monkeypatch.setattr(command.time, "sleep", sleep)
    result = run("mirror", log, "there", "--vkey", VKEY, "--every", 30)
    refused(result, "mirror-forked")
    assert result.output.count("[ledger-path-absent]") == 2
    assert result.output.count("→") == 2
    assert result.output.count("a read failed: trying again for up to 15.5 s") == 2  # not 2 × 5
    assert [path.name[:10] for path in Path("there/refused").rglob("*.txt")] == ["split-view"]


# --- serving -------------------------------------------------------------------------------------


@pytest.fixture
def served(log: Path) -> Iterator[TestClient]:
    assert run("mirror", log, "there", "--vkey", VKEY, "--gzip").exit_code == 0
    with TestClient(mirror_app(Path("there"))) as client:
        yield client


def test_a_mirror_answers_as_the_service_does(served: TestClient, log: Path) -> None:
    checkpoint = served.get(f"/{NAME}/checkpoint")
    assert checkpoint.content == (log / "checkpoint").read_bytes()
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert checkpoint.headers["cache-control"] == "no-cache"
    tag = checkpoint.headers["etag"]
    assert served.get(f"/{NAME}/checkpoint", headers={"If-None-Match": tag}).status_code == 304
    tile = served.get(f"/{NAME}/tile/0/000", headers={"Range": "bytes=32-63"})
    assert (tile.status_code, tile.content) == (206, (log / "tile/0/000").read_bytes()[32:64])
    assert tile.headers["cache-control"] == "public, max-age=31536000, immutable"
    bundle = served.get(f"/{NAME}/tile/entries/000", headers={"Accept-Encoding": "gzip"})
    assert bundle.headers["content-encoding"] == "gzip"
    assert parse_bundle(bundle.content, 256) == CITY.entries[:256]
    kept = Path(f"there/{NAME}/tile/entries/000.gz").read_bytes()
    assert int(bundle.headers["content-length"]) == len(kept)
    assert gzip.decompress(kept) == bundle.content
    head = served.head(f"/{NAME}/tile/entries/000", headers={"Accept-Encoding": "identity"})
    assert int(head.headers["content-length"]) == len(bundle.content)
    for answer in (checkpoint, tile, bundle):
        assert answer.headers["access-control-allow-origin"] == "*"
    assert served.get("/").text == f"{NAME} {len(CITY.entries)} {CITY.origin}\n"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/{NAME}/tile/0/001", "ledger-path-absent"),
        (f"/{NAME}/tile/entries/000.gz", "ledger-path-absent"),
        (f"/{NAME}/tile/entries/000.p/256", "ledger-path-absent"),
        (f"/{NAME}/tile/../checkpoint", "route-unknown"),
        (f"/{NAME}/tile/%2e%2e/checkpoint", "ledger-path-absent"),
        (f"/{NAME}/checkpoint.pending", "route-unknown"),
        (f"/{'0' * 64}/checkpoint", "ledger-path-absent"),
        ("/refused/checkpoint", "route-unknown"),
        ("/%2e%2e/checkpoint", "route-unknown"),
    ],
)
def test_nothing_else_is_served(served: TestClient, path: str, code: str) -> None:
    (Path("there") / NAME / "checkpoint.pending").write_bytes(b"x")
    answer = served.get(path)
    if answer.history or answer.url.path != path:  # the client itself resolved the dots
        assert answer.status_code in (200, 404)
        return
    problem_of(answer, code, 404)
    assert answer.headers["cache-control"] == "public, max-age=1"


def test_an_exported_log_is_served_under_its_name(log: Path) -> None:
    with TestClient(mirror_app(log)) as client:
        assert client.get(f"/{NAME}/checkpoint").content == (log / "checkpoint").read_bytes()
        assert client.get(f"/{NAME}/tile/0/000").content == (log / "tile/0/000").read_bytes()
        zipped = client.get(f"/{NAME}/tile/entries/000", headers={"Accept-Encoding": "gzip"})
        assert zipped.headers["content-encoding"] == "gzip"
