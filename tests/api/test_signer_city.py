"""A city whose signatures are all made by a signer process."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import keys.custody.keyfile
from api.app import create_app
from api.signing.server import SigningLog
from keys.custody import FileCustody
from tests.api.conftest import STRETCH
from tests.api.service import PASSPHRASE as CITY_PASSPHRASE
from tests.api.service import Clock, Service, Template, open_copy, problem_of, sample
from tests.api.signer_kit import PASSPHRASE, QUICK, Signer, short_folder


@pytest.fixture
def signer(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Signer]:
    """Not started; it has the city's signature keys, and the city's folder has them no more.

    The process wants Argon2, without which this process seals and opens.
    """
    here = FileCustody(folder / "custody", CITY_PASSPHRASE)
    moved = [here.reveal(entry.name) for entry in here.list() if entry.suite != "secret"]
    for entry, _ in moved:
        (folder / "custody" / f"{entry.name}.zlkey").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(keys.custody.keyfile, "_stretch", STRETCH)
        FileCustody(tmp_path / "signer" / "custody", PASSPHRASE, QUICK).adopt(moved)
    with short_folder() as short:
        made = Signer(tmp_path / "signer", short / "signer.sock", {})
        yield made
        if made.process is not None:
            made.end(signal.SIGKILL)


def test_a_city_issues_through_the_signer_and_says_when_it_is_away(
    template: Template, signer: Signer, folder: Path
) -> None:
    """The service keeps its secrets; every signature, of the log too, is made by the signer."""
    signer.start("--no-create")
    clock = Clock()
    city = open_copy(folder, clock, custody=f"socket:{signer.socket}")
    assert {path.stem for path in (folder / "custody").iterdir()} == {"kek", "pseudonym"}
    with TestClient(create_app(city), raise_server_exceptions=False) as client:
        service = Service(city, client, clock, template.keys)
        issued = service.issue("food-licence", 0)
        assert service.verify(issued["qr"])["colour"] == "green"
        assert {"dept-market", "log"} <= {each["name"] for each in signer.log()}
        signer.end(signal.SIGKILL)
        issue = {"type": "food-licence", "fields": sample("food-licence", 1)}
        problem_of(service.post("market", "/v1/licences", issue), "signer-unreachable", 503)
        signer.start("--no-create")
        assert service.post("market", "/v1/licences", issue).status_code == 201
    city.close()


def test_the_log_of_a_signer_makes_its_folder(tmp_path: Path) -> None:
    """A signer in front of a security module begins in an empty folder."""
    path = tmp_path / "new" / "data" / "signer.log"
    log = SigningLog(path, lambda: 0.0)
    log("operator", bytes(8), b"message")
    log.close()
    assert json.loads(path.read_text())["name"] == "operator"
    assert path.stat().st_mode & 0o777 == 0o600
