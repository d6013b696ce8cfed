"""Several custodies as one, as while a city moves from one to another."""

from pathlib import Path

import pytest

from keys.custody import Effort, FileCustody, Pkcs11Custody, SeveralCustody
from keys.errors import KeysError
from tests.softhsm import PIN, SoftHsm

LEAST = Effort(1, 8 << 20)
MESSAGE = b"signed after the move"


def files(folder: Path, passphrase: str = "a passphrase") -> FileCustody:
    return FileCustody(folder, passphrase, LEAST)


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


def test_new_keys_are_made_in_the_newest_and_old_ones_open_where_they_are(tmp_path: Path) -> None:
    new, old = files(tmp_path / "new"), files(tmp_path / "old")
    old.create("log", "ed25519")
    both = SeveralCustody(new, old)
    made = both.create("dept-market", "es256")
    assert [entry.name for entry in new.list()] == ["dept-market"]
    assert [entry.name for entry in old.list()] == ["log"]
    assert list(both.list()) == [made, *old.list()]
    for name, where in (("log", old), ("dept-market", new)):
        signer = both.open(name)
        assert signer.public == where.open(name).public
        signer.suite.verify(signer.public, MESSAGE, signer.sign(MESSAGE))


def test_a_name_that_an_older_one_has_is_taken(tmp_path: Path) -> None:
    new, old = files(tmp_path / "new"), files(tmp_path / "old")
    old.create("log", "ed25519")
    with refuses("key-exists"):
        SeveralCustody(new, old).create("log", "ed25519")
    assert not list(new.list())


def test_the_newest_comes_first_and_secrets_are_passed_by(tmp_path: Path) -> None:
    new, old = files(tmp_path / "new"), files(tmp_path / "old")
    old.create("log", "ed25519")
    old.create_secret("kek")
    mine = new.create("log", "es256")
    both = SeveralCustody(new, old)
    assert list(both.list()) == [mine]
    assert both.open("log").suite.name == "es256"


def test_what_none_has_and_what_does_not_open(tmp_path: Path) -> None:
    new, old = files(tmp_path / "new"), files(tmp_path / "old")
    new.create("log", "ed25519")
    old.create("log", "ed25519")
    with refuses("key-not-found"):
        SeveralCustody(new, old).open("operator")
    with refuses("key-wrong-passphrase"):  # not passed over for the other one
        SeveralCustody(files(tmp_path / "new", "another"), old).open("log")


def test_two_tokens_of_one_module_keep_their_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # put back afterwards
    try:
        hsm = SoftHsm(tmp_path)
    except LookupError as missing:
        pytest.skip(str(missing))
    first, second = (Pkcs11Custody(hsm.module, hsm.make(label), PIN) for label in ("one", "two"))
    try:
        first.create("log", "es256")
        log = first.open("log")
        session = first._session._opened()
        second.create("dept-market", "es256")
        market = second.open("dept-market")
        for signer in (log, market, log, market):
            signer.suite.verify(signer.public, MESSAGE, signer.sign(MESSAGE))
        assert first._session._opened() is session
    finally:
        first.close()
        second.close()
