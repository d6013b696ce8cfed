"""What every custody promises: one set of tests over each kind."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import nacl.pwhash.argon2id as argon2id
import pytest

from keys.custody import (
    Custody,
    Effort,
    FileCustody,
    Pkcs11Custody,
    RemoteCustody,
    SignerService,
)
from keys.errors import KeysError
from keys.names import kid
from keys.suites import suite_named
from tests.softhsm import PIN, SoftHsm

QUICK = Effort(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
SUITES = ("ed25519", "es256")
KINDS = ("file", "pkcs11", "remote to file", "remote to pkcs11")


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], SoftHsm]:
    made: list[SoftHsm] = []

    def get() -> SoftHsm:
        try:
            made[:] = made or [SoftHsm(tmp_path_factory.mktemp("softhsm"))]
        except LookupError as missing:
            pytest.skip(str(missing))
        return made[0]

    return get


@pytest.fixture(params=KINDS)
def custody(
    request: pytest.FixtureRequest, tmp_path: Path, hsm: Callable[[], SoftHsm]
) -> Iterator[Custody]:
    kept: Custody
    if request.param.endswith("file"):
        kept = FileCustody(tmp_path / "custody", "passphrase", QUICK)
    else:
        token = hsm().make(f"c{abs(hash(request.node.nodeid)):x}"[:20])
        kept = Pkcs11Custody(hsm().module, token, PIN)
    if request.param.startswith("remote"):
        service = SignerService(kept, lambda *_: None, may_create=True)
        yield RemoteCustody(lambda request: service.answer(request)[0])
    else:
        yield kept
    if isinstance(kept, Pkcs11Custody):
        kept.close()


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


@pytest.mark.parametrize("suite", SUITES)
def test_a_key_is_made_listed_and_opened(custody: Custody, suite: str) -> None:
    assert list(custody.list()) == []
    entry = custody.create("market.2026-1", suite)
    assert (entry.name, entry.suite) == ("market.2026-1", suite)
    assert list(custody.list()) == [entry]
    signer = custody.open("market.2026-1")
    assert signer.suite is suite_named(suite)
    assert signer.public == entry.public
    assert signer.kid == kid(signer.suite, entry.public)
    for message in (b"", b"m", b"long" * 5000):
        signer.suite.verify(signer.public, message, signer.sign(message))
    assert custody.open("market.2026-1").public == entry.public


def test_listing_goes_by_name(custody: Custody) -> None:
    for name in ("b", "a.2", "a"):
        custody.create(name, "es256")
    assert [entry.name for entry in custody.list()] == ["a", "a.2", "b"]


def test_a_name_keeps_its_key(custody: Custody) -> None:
    entry = custody.create("market", "ed25519")
    for suite in SUITES:
        with refuses("key-exists"):
            custody.create("market", suite)
    assert list(custody.list()) == [entry]
    assert custody.open("market").public == entry.public


def test_what_is_not_there(custody: Custody) -> None:
    with refuses("key-not-found"):
        custody.open("market")


def test_suites_nobody_knows(custody: Custody) -> None:
    for suite in ("rsa", "secret", ""):
        with refuses("key-unknown-suite"):
            custody.create("market", suite)
    assert list(custody.list()) == []


@pytest.mark.parametrize("name", ["", ".", "../market", "a/b", "Market", "市场", "-a", "a" * 65])
def test_names_that_are_none(custody: Custody, name: str) -> None:
    with refuses("key-bad-name"):
        custody.create(name, "ed25519")
    with refuses("key-bad-name"):
        custody.open(name)


def test_threads_share_it(custody: Custody) -> None:
    for suite in SUITES:
        custody.create(suite, suite)
    signers = [custody.open(suite) for suite in SUITES]
    good: list[int] = []

    def work(number: int) -> None:
        for count in range(25):
            signer, message = signers[count % 2], f"{number}.{count}".encode()
            signer.suite.verify(signer.public, message, signer.sign(message))
        good.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(good) == [0, 1, 2, 3]


def test_of_many_who_make_a_name_one_does(custody: Custody) -> None:
    made, refused = [], []

    def make() -> None:
        try:
            made.append(custody.create("market", "ed25519"))
        except KeysError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["key-exists"] * 3
    assert list(custody.list()) == made


def test_no_text_form_shows_a_key(custody: Custody, tmp_path: Path) -> None:
    custody.create("market", "ed25519")
    text = repr(custody.open("market")) + repr(custody)
    assert custody.open("market").kid.hex() in text
    assert "passphrase" not in text
    assert PIN not in text
