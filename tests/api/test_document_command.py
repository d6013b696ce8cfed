"""`zhenglian document log`: what is logged, and what its holder can show with no network."""

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import api.commands.document
from api.city import City
from api.cli import app as cli
from api.packs import make_pack
from keys.errors import ZhenglianError
from tests.api.service import Clock, enrol_key, open_copy
from verifier import cli as verifier_cli
from verifier.kinds import DOCUMENT_SCOPE
from verifier.qr import parse_qr


@pytest.fixture
def log(
    city: City, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """The command over the city's folder, in this process; raises what it refuses."""
    enrol_key(city, "market", [DOCUMENT_SCOPE, city.catalogue.licence_type("food-licence").code])
    monkeypatch.setattr(api.commands.document, "opened", lambda: open_copy(folder, clock))

    def run(*words: str) -> None:
        cli(["document", "log", *words], standalone_mode=False)

    return run


def issued(tmp_path: Path, name: str = "授权委托书.pdf", data: bytes = b"%PDF-1.7 a file") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def shown(city: City, tmp_path: Path, *names: str) -> tuple[int, dict[str, Any]]:
    pack = tmp_path / "pack"
    pack.write_bytes(make_pack(city))
    out = io.StringIO()
    words = [*names, "--trust", str(pack), "--json"]
    code = verifier_cli.run(words, io.BytesIO(), out, io.StringIO(), city.now())
    return code, json.loads(out.getvalue())


def test_the_holder_shows_what_was_logged(
    log: Callable[..., None], city: City, tmp_path: Path
) -> None:
    file, size = issued(tmp_path), city.ledger.size
    log(str(file), "--department", "market", "--out", str(tmp_path / "kept"))
    code, receipt = (tmp_path / "kept" / f"{file.name}{end}" for end in (".zl", ".receipt"))
    done, answer = shown(city, tmp_path, str(code), "--receipt", str(receipt))
    assert (done, answer["code"]) == (3, "not-a-licence")
    fields = {field["code"]: field["value"] for field in answer["licence"]["fields"]}
    assert fields == {
        "name": file.name,
        "sha256": sha256(file.read_bytes()).hexdigest(),
        "size": len(file.read_bytes()),
    }
    assert answer["record"]["index"] == size
    entry = city.ledger.entry(size)
    assert parse_qr(code.read_text().strip()).statement.raw == entry
    assert fields["sha256"].encode() not in entry


def test_a_later_version_and_a_type(log: Callable[..., None], city: City, tmp_path: Path) -> None:
    first, second = issued(tmp_path, "a"), issued(tmp_path, "b", b"second")
    typed = ["--department", "market", "--type", "food-licence"]
    log(str(first), *typed)
    log(str(second), *typed, "--replaces", str(tmp_path / "a.zl"))
    before, after = (
        parse_qr((tmp_path / name).read_text().strip()).statement for name in ("a.zl", "b.zl")
    )
    assert after.subject == before.subject
    assert after.content.predecessor == before.leaf
    third = issued(tmp_path, "c", b"third")
    with pytest.raises(ZhenglianError) as caught:
        log(str(third), *typed, "--replaces", str(tmp_path / "a.zl"))
    assert caught.value.code == "register-predecessor-wrong"
    assert not (tmp_path / "c.zl").exists()


def test_refused(log: Callable[..., None], city: City, tmp_path: Path) -> None:
    file, size = issued(tmp_path), city.ledger.size
    for words, code in [
        (["--department", "health"], "key-out-of-scope"),
        (["--department", "nobody"], "signer-missing"),
        (["--department", "market", "--type", "id-card"], "key-out-of-scope"),
        (["--department", "market", "--type", "no-such"], "catalogue-unknown-type"),
        (["--department", "market", "--replaces", str(file)], "qr-not-ours"),
    ]:
        with pytest.raises(ZhenglianError) as caught:
            log(str(file), *words)
        assert caught.value.code == code
    (tmp_path / f"{file.name}.receipt").touch()
    with pytest.raises(ZhenglianError) as caught:
        log(str(file), "--department", "market")
    assert caught.value.code == "document-kept-already"
    assert city.ledger.size == size
