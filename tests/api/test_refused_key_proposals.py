"""A proposal of a key that is refused leaves no new key behind."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.changes import ChangeDesk
from api.cli import app
from keys.custody import FileCustody
from keys.errors import KeysError, ZhenglianError
from ledger.errors import LedgerError
from tests.api.service import CHIEFS, PASSPHRASE, found_city, officer, settings_of
from verifier.errors import Refused

SECRET = "an officer's own"
OWN = ["kek", "log", "log-pq", "operator", "pseudonym"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A city with the officers of `tests.api.service`."""
    folder = tmp_path_factory.mktemp("refused")
    found_city(settings_of(folder / "var")).close()
    return folder


@pytest.fixture
def var(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    settings = settings_of(made / "var")
    for name in ("data", "origin", "passphrase", "argon2_mib"):
        monkeypatch.setenv(f"ZHENGLIAN_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("ZHENGLIAN_OFFICER_PASSPHRASE", SECRET)
    return made / "var"


def held(var: Path) -> list[str]:
    return [entry.name for entry in FileCustody(var / "custody", PASSPHRASE).list()]


def propose(monkeypatch: pytest.MonkeyPatch, name: str, *words: str) -> str:
    """The code with which the proposal of a rotation of the operator's key is refused, or ""."""
    monkeypatch.setattr("api.commands.changes.officer_signer", lambda *_: officer(name))
    words = ("change", "propose", "rotate", "operator", "--as", name, "--keys", "x", *words)
    result = CliRunner().invoke(app, words)
    if result.exception is None:
        return ""
    assert isinstance(result.exception, ZhenglianError), result.output
    return result.exception.code


def test_what_can_be_told_before_is_told_before_a_key_is_made(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    create = FileCustody.create
    monkeypatch.setattr(FileCustody, "create", lambda *args: (made.append(args), create(*args))[1])
    assert propose(monkeypatch, "stranger") == "officer-unknown"
    assert propose(monkeypatch, CHIEFS[0], "--replaces", "0" * 16) == "key-not-enrolled"
    assert propose(monkeypatch, CHIEFS[0], "--suite", "rsa") == "key-unknown-suite"
    assert propose(monkeypatch, CHIEFS[0], "--until", "2001-01-01") != ""
    assert (made, held(var)) == ([], OWN)


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (Refused("change-replayed"), OWN),
        (KeysError("key-bad-signature"), OWN),
        # it may have been stored all the same
        (LedgerError("ledger-commit-unknown"), sorted([*OWN, "operator.2"])),
    ],
)
def test_what_is_refused_afterwards_takes_its_key_along_and_no_other(
    var: Path, monkeypatch: pytest.MonkeyPatch, error: ZhenglianError, left: list[str]
) -> None:
    def refuse(self: ChangeDesk, raw: bytes) -> None:
        assert held(var) == sorted([*OWN, "operator.2"])  # it was made
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ChangeDesk, "propose", refuse)
        assert propose(patch, CHIEFS[0]) == error.code
    assert held(var) == left


def test_a_spare_key_is_taken_and_stays(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made it may have handed it in elsewhere."""
    files = FileCustody(var / "custody", PASSPHRASE)
    if "operator.2" not in held(var):
        files.create("operator.2", "ed25519")
    before = (var / "custody" / "operator.2.zlkey").read_bytes()
    assert propose(monkeypatch, "stranger") == "officer-unknown"
    assert (var / "custody" / "operator.2.zlkey").read_bytes() == before
    assert propose(monkeypatch, CHIEFS[0]) == ""
    assert (var / "custody" / "operator.2.zlkey").read_bytes() == before
    assert held(var) == sorted([*OWN, "operator.2"])


def test_only_the_key_that_is_meant_is_removed(tmp_path: Path) -> None:
    files = FileCustody(tmp_path, PASSPHRASE)
    files.create("a", "ed25519")
    files.create_secret("kek")
    kid = files.open("a").kid
    for name, wanted in (("a", bytes(8)), ("kek", kid), ("b", kid)):
        with pytest.raises(KeysError, match="key-not-found"):
            files.remove(name, wanted)
    assert [entry.name for entry in files.list()] == ["a", "kek"]
    files.remove("a", kid)
    assert [entry.name for entry in files.list()] == ["kek"]
