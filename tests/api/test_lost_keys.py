"""A city that stands and whose custody lacks a key: nothing is made in its place."""

from pathlib import Path

import pytest

from api import change_facts, founding
from api.changes import ChangeDesk
from api.city_keys import is_founded
from api.commands.run import opened
from api.errors import ServiceError
from api.founding import found, open_city
from keys.errors import KeysError
from tests.api.service import CHIEFS, Clock, found_city, officer, settings_of
from verifier.kinds import DEPARTMENT_CHANGED

FOUNDED_WITH = ["kek", "log", "log-pq", "operator", "pseudonym"]
LOST = "city-key-lost"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lost") / "var"
    found_city(settings_of(folder), Clock()).close()
    return folder


class Shelf:
    """Custody of a standing city, and a drawer that keys are put into and come back from."""

    def __init__(self, data: Path, drawer: Path) -> None:
        self.custody, self.drawer = data / "custody", drawer
        drawer.mkdir()

    def lose(self, *names: str) -> None:
        for name in names:
            (self.custody / f"{name}.zlkey").rename(self.drawer / f"{name}.zlkey")

    def restore(self) -> None:
        for file in self.drawer.iterdir():
            assert not (self.custody / file.name).exists(), "another was made"
            file.rename(self.custody / file.name)

    def names(self) -> list[str]:
        return sorted(file.stem for file in self.custody.glob("*.zlkey"))


@pytest.fixture
def shelf(standing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    settings = settings_of(standing)
    monkeypatch.chdir(tmp_path)
    for name in ("data", "origin", "passphrase", "argon2_mib"):
        monkeypatch.setenv(f"ZHENGLIAN_{name.upper()}", str(getattr(settings, name)))
    return Shelf(standing, tmp_path / "drawer")


def refusal(call: object) -> tuple[str, str]:
    assert callable(call)
    with pytest.raises((ServiceError, KeysError)) as caught:
        call()
    return caught.value.code, caught.value.detail


@pytest.mark.parametrize("names", [*([name] for name in FOUNDED_WITH), FOUNDED_WITH])
def test_founding_again_makes_no_lost_key(shelf: Shelf, standing: Path, names: list[str]) -> None:
    settings = settings_of(standing)
    shelf.lose(*names)
    for officers in ([], [1, 2]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(founding, "check_card", lambda *_: None)
            code, detail = refusal(lambda cards=officers: found(settings, officers=cards))
        assert (code, sorted(detail.split(", "))) == (LOST, sorted(names))
    assert shelf.names() == sorted({*FOUNDED_WITH} - {*names})
    shelf.restore()
    city = found(settings)
    assert city.ledger.size == 1
    city.close()


@pytest.mark.parametrize("name", ["kek", "pseudonym", "log", "log-pq"])
def test_every_command_names_the_lost_key(shelf: Shelf, name: str) -> None:
    shelf.lose(name)
    assert refusal(opened) == (LOST, name)
    shelf.restore()
    opened().close()


def test_without_the_operators_key_no_change_is_made_and_the_rest_goes_on(
    shelf: Shelf, standing: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.lose("operator")
    city = open_city(settings_of(standing))
    assert "zhenglian custody restore" in caplog.text
    desk = ChangeDesk(city)
    facts = change_facts.renamed("operator", "某某市", "City")
    raw = desk.draft(DEPARTMENT_CHANGED, facts, officer(CHIEFS[0]))
    assert refusal(lambda: desk.propose(raw)) == (LOST, "operator")
    shelf.restore()
    assert desk.propose(raw).state == "open"
    city.close()


def test_a_missing_passphrase_is_not_a_missing_city(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZHENGLIAN_PASSPHRASE", "")
    code, detail = refusal(opened)
    assert code == "passphrase-missing"
    assert "ZHENGLIAN_PASSPHRASE" in detail


def test_what_is_no_founded_city(tmp_path: Path, standing: Path) -> None:
    assert is_founded(settings_of(standing))
    nowhere = settings_of(tmp_path / "nowhere")
    assert not is_founded(nowhere)
    assert not nowhere.data.exists()
    nowhere.data.mkdir()
    (nowhere.data / "zhenglian.db").touch()
    assert not is_founded(nowhere)
