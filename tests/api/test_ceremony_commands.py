"""What ceremonies need of the commands: officers' passphrases, custody on the move."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.custody import city_custody, file_custody
from api.errors import ServiceError
from keys.custody import FileCustody, RemoteCustody, SeveralCustody
from keys.errors import KeysError
from tests.api.service import PASSPHRASE, settings_of
from verifier.note import parse_vkey

ORIGIN = "ceremonies.zhenglian.example"
OLD, NEW = "an officer's own", "another of the same"


def run(*words: str) -> tuple[str, str]:
    """What a command that succeeds writes: (standard output, standard error)."""
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout, result.stderr


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATA": str(tmp_path / "var"),
        "DATABASE": "",
        "ORIGIN": ORIGIN,
        "PASSPHRASE": PASSPHRASE,
        "OFFICER_PASSPHRASE": OLD,
        "ARGON2_MIB": "64",
    }.items():
        monkeypatch.setenv(f"ZHENGLIAN_{name}", value)
    for name in ("chief-1", "chief-2"):
        run("officer", "new", name, "--of", "operator", "--keys", name)
    return tmp_path


def test_an_officer_changes_the_passphrase(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHENGLIAN_NEW_PASSPHRASE", NEW)
    before = FileCustody(shell / "chief-1", OLD).open("chief-1").public
    _, said = run("officer", "passphrase", "--keys", "chief-1")
    assert "已更换 changed: 1" in said
    assert FileCustody(shell / "chief-1", NEW).open("chief-1").public == before
    with pytest.raises(KeysError, match=r"^key-wrong-passphrase"):
        FileCustody(shell / "chief-1", OLD).open("chief-1")
    again = CliRunner().invoke(app, ["officer", "passphrase", "--keys", "nowhere"])
    assert isinstance(again.exception, KeysError)
    assert again.exception.code == "key-not-found"
    assert not (shell / "nowhere").exists()


def test_founding_writes_the_logs_key_and_an_approval_says_its_words_once(shell: Path) -> None:
    cards = [
        word for name in ("chief-1", "chief-2") for word in ("--officer", f"{name}/{name}.card")
    ]
    vkey, said = run("found", *cards)
    assert parse_vkey(vkey.strip()).name == ORIGIN
    assert ORIGIN in said
    assert run("found")[0] == vkey

    rotate = ("change", "propose", "rotate", "operator", "--as", "chief-1", "--keys", "chief-1")
    late = run(*rotate, "--overlap", "1h")[0].strip()
    words = run("change", "approve", late, "--as", "chief-2", "--keys", "chief-2", "--yes")[1]
    assert words.count("替换密钥") == 1
    assert "已入账 logged" in words


def test_a_city_on_the_move_opens_keys_where_they_are(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, custody="socket:/run/signer.sock")
    files = file_custody(settings, PASSPHRASE)
    moved = city_custody(settings, files)
    assert isinstance(moved, SeveralCustody)
    assert isinstance(moved.newest, RemoteCustody)
    assert moved.older == (files,)
    back = city_custody(settings_of(tmp_path, former_custody="socket:/run/signer.sock"), files)
    assert isinstance(back, SeveralCustody)
    assert back.newest is files
    assert isinstance(back.older[0], RemoteCustody)
    assert city_custody(settings_of(tmp_path), files) is files
    with pytest.raises(ServiceError, match="custody-invalid"):
        city_custody(settings_of(tmp_path, former_custody="elsewhere"), files)
    with pytest.raises(ServiceError, match=r"pin-missing: .*ZHENGLIAN_FORMER_PIN; .*: a"):
        city_custody(settings_of(tmp_path, former_custody="pkcs11:/m.so?token=a", pin="1"), files)
