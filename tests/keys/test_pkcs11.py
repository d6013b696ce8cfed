"""Keys in a security module, here SoftHSM: made inside, never out, and what is lost is reopened."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from keys.custody import Custody, Pkcs11Custody
from keys.custody import pkcs11 as custody_module
from keys.custody import pkcs11_session as session_module
from keys.errors import KeysError
from tests.softhsm import OFFICER_PIN, PIN, SoftHsm

SUITES = ("es256", "ed25519")
P256_HALF = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    try:
        return SoftHsm(tmp_path_factory.mktemp("softhsm"))
    except LookupError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def label(hsm: SoftHsm, request: pytest.FixtureRequest) -> str:
    return hsm.make(f"t{abs(hash(request.node.nodeid)):x}"[:20])


@pytest.fixture
def custody(hsm: SoftHsm, label: str) -> Iterator[Pkcs11Custody]:
    opened = Pkcs11Custody(hsm.module, label, PIN)
    yield opened
    opened.close()


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


def raw(custody: Pkcs11Custody) -> Any:
    """The session below, for what no caller may do."""
    return custody._session._opened()


def verify_outside(suite: str, public: bytes, message: bytes, signature: bytes) -> None:
    if suite == "ed25519":
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


@pytest.mark.parametrize("suite", SUITES)
def test_keys_sign_and_two_libraries_agree(custody: Custody, suite: str) -> None:
    entry = custody.create("dept-market", suite)
    assert list(custody.list()) == [entry]
    assert (entry.name, entry.suite) == ("dept-market", suite)
    signer = custody.open("dept-market")
    assert signer.public == entry.public
    for message in (b"", b"m", os.urandom(5000)):
        signature = signer.sign(message)
        signer.suite.verify(signer.public, message, signature)
        verify_outside(suite, signer.public, message, signature)
        with refuses("key-bad-signature"):
            signer.suite.verify(signer.public, message + b"!", signature)


def test_ecdsa_comes_in_its_lower_spelling(custody: Custody) -> None:
    """Half of what the token makes has s above n/2; none of it may come out."""
    custody.create("market", "es256")
    signer = custody.open("market")
    for number in range(24):
        signature = signer.sign(str(number).encode())
        assert 0 < int.from_bytes(signature[32:], "big") <= P256_HALF
        signer.suite.verify(signer.public, str(number).encode(), signature)


@pytest.mark.parametrize("suite", SUITES)
def test_the_private_half_never_comes_out(custody: Pkcs11Custody, suite: str) -> None:
    custody.create("market", suite)
    (private,) = raw(custody).get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})
    with pytest.raises(pkcs11.AttributeSensitive):
        private[Attribute.VALUE]
    for flag in ("SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "PRIVATE", "LOCAL", "SIGN"):
        assert private[getattr(Attribute, flag)] is True, flag
    for flag in ("EXTRACTABLE", "DECRYPT", "UNWRAP", "DERIVE"):
        assert private[getattr(Attribute, flag)] is False, flag
    with pytest.raises(pkcs11.PKCS11Error):
        private[Attribute.EXTRACTABLE] = True
    wrapping = raw(custody).generate_key(KeyType.AES, 256)
    with pytest.raises(pkcs11.KeyUnextractable):
        wrapping.wrap_key(private, mechanism=Mechanism.AES_KEY_WRAP)


def test_threads_share_the_one_session(custody: Custody) -> None:
    signers = []
    for suite in SUITES:
        custody.create(suite, suite)
        signers.append(custody.open(suite))
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for count in range(60):
                signer, message = signers[count % 2], f"{number} {count}".encode()
                signature = signer.sign(message)
                signer.suite.verify(signer.public, message, signature)
                verify_outside(signer.suite.name, signer.public, message, signature)
        except BaseException as fault:  # noqa: BLE001 (shown below)
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_two_custodies_of_a_token_share_its_session(
    custody: Pkcs11Custody, hsm: SoftHsm, label: str
) -> None:
    custody.create("market", "es256")
    other = Pkcs11Custody(hsm.module, label, PIN)
    assert other.open("market").public == custody.open("market").public
    assert raw(other) is raw(custody)
    with refuses("hsm-wrong-pin"):
        Pkcs11Custody(hsm.module, label, "000000")


# what is refused


def test_a_wrong_pin_is_not_tried_again(
    hsm: SoftHsm, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Pkcs11Custody(hsm.module, label, "000000")
    with refuses("hsm-wrong-pin"):
        list(wrong.list())

    def contact(_: object) -> None:
        raise AssertionError("the token was asked again")

    with monkeypatch.context() as patch:
        patch.setattr(session_module.Session, "_found", contact)
        for use in (lambda: list(wrong.list()), lambda: wrong.create("market", "es256")):
            with refuses("hsm-wrong-pin"):
                use()
    right = Pkcs11Custody(hsm.module, label, PIN)
    right.create("market", "es256")
    right.close()


class LockedToken:
    def __init__(self, error: type[Exception]) -> None:
        self.error, self.asked = error, 0

    def open(self, **_: object) -> None:
        self.asked += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (pkcs11.PinLocked, "hsm-pin-locked"),
        (pkcs11.PinExpired, "hsm-pin-locked"),
        (pkcs11.UserPinNotInitialized, "hsm-pin-locked"),
        (pkcs11.PinLenRange, "hsm-wrong-pin"),
    ],
)
def test_other_troubles_with_the_pin(
    error: type[Exception], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SoftHSM locks no token; a double does."""
    token = LockedToken(error)
    monkeypatch.setattr(session_module.Session, "_found", lambda _: token)
    custody = Pkcs11Custody("/no/such/module.so", f"locked {error.__name__}", PIN)
    for _ in range(2):
        with refuses(code):
            list(custody.list())
    assert token.asked == 1


def test_a_token_that_is_not_there(hsm: SoftHsm) -> None:
    with refuses("hsm-token-missing"):
        list(Pkcs11Custody(hsm.module, "nowhere", PIN).list())


def test_two_tokens_of_one_label(custody: Pkcs11Custody, hsm: SoftHsm, label: str) -> None:
    hsm.make(label)
    with refuses("hsm-token-twice"):
        list(custody.list())


def test_a_module_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "module.so").write_bytes(b"not a library")
    for module in (tmp_path / "module.so", tmp_path / "none.so"):
        with refuses("hsm-module-unusable"):
            list(Pkcs11Custody(str(module), "city", PIN).list())


def test_without_the_extra_the_refusal_names_it(
    hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "pkcs11", None)
    with pytest.raises(KeysError, match=r"zhenglian\[hsm\]") as caught:
        Pkcs11Custody(hsm.module, "city", PIN)
    assert caught.value.code == "hsm-extra-missing"


@pytest.mark.parametrize("suite", ["ml-dsa-44", "sm2"])
def test_suites_the_token_cannot_hold(custody: Custody, suite: str) -> None:
    with refuses("key-suite-elsewhere"):
        custody.create("market", suite)
    with refuses("key-unknown-suite"):
        custody.create("market", "rsa")
    assert list(custody.list()) == []


def test_names(custody: Custody) -> None:
    custody.create("market", "es256")
    with refuses("key-exists"):
        custody.create("market", "ed25519")
    assert len(list(custody.list())) == 1
    with refuses("key-not-found"):
        custody.open("health")
    for name in ("", "Market", "../market", "市场"):
        with refuses("key-bad-name"):
            custody.create(name, "es256")
        with refuses("key-bad-name"):
            custody.open(name)


def generate(custody: Pkcs11Custody, label: str, *, extractable: bool = False) -> None:
    """As another program would make a key."""
    curve = raw(custody).create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")}, local=True
    )
    template = {Attribute.EXTRACTABLE: extractable}
    curve.generate_keypair(label=label, id=os.urandom(4), store=True, private_template=template)


def test_a_label_twice(custody: Pkcs11Custody) -> None:
    custody.create("market", "es256")
    generate(custody, "market")
    with refuses("key-label-twice"):
        custody.open("market")
    with refuses("key-exists"):
        custody.create("market", "es256")
    assert [entry.name for entry in custody.list()] == ["market", "market"]


def test_a_key_made_by_two_at_once_is_made_by_neither(
    custody: Pkcs11Custody, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = custody_module._generate

    def both(session: Any, *arguments: Any) -> None:
        generate(custody, "market")
        ours(session, *arguments)

    monkeypatch.setattr(custody_module, "_generate", both)
    with refuses("key-exists"):
        custody.create("market", "es256")
    monkeypatch.undo()
    assert len(list(custody.list())) == 1
    custody.open("market")


def test_a_key_that_could_leave_is_not_used(custody: Pkcs11Custody) -> None:
    generate(custody, "market", extractable=True)
    with refuses("key-extractable"):
        custody.open("market")


def test_what_else_lies_on_the_token_is_passed_by(custody: Pkcs11Custody) -> None:
    raw(custody).generate_key(KeyType.AES, 256, label="aes", store=True)
    raw(custody).generate_keypair(KeyType.RSA, 2048, label="rsa", store=True)
    curve = raw(custody).create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: bytes.fromhex("06052b81040022")}, local=True
    )  # P-384
    curve.generate_keypair(label="p384", store=True)
    generate(custody, "Not a name")
    custody.create("market", "es256")
    assert [entry.name for entry in custody.list()] == ["market"]
    with refuses("key-not-found"):
        custody.open("aes")
    for name in ("rsa", "p384"):
        with refuses("key-unknown-suite"):
            custody.open(name)


def test_halves_that_do_not_match(custody: Pkcs11Custody) -> None:
    """The public half of another key under this one's name and id."""
    for name in ("market", "health"):
        custody.create(name, "es256")
    session = raw(custody)
    by_name = {
        (each[Attribute.LABEL], each[Attribute.CLASS]): each for each in session.get_objects()
    }
    id_ = by_name["market", ObjectClass.PRIVATE_KEY][Attribute.ID]
    by_name["market", ObjectClass.PUBLIC_KEY].destroy()
    other = by_name["health", ObjectClass.PUBLIC_KEY]
    other[Attribute.LABEL], other[Attribute.ID] = "market", id_
    with pytest.raises(KeysError, match="halves do not match"):
        custody.open("market")


# what is lost, for real


def lose_session(custody: Pkcs11Custody) -> None:
    raw(custody).close()


def lose_library(custody: Pkcs11Custody) -> None:
    custody._session._library.finalize()


def lose_and_restart(custody: Pkcs11Custody) -> None:
    custody._session._library.reinitialize()


def log_out(custody: Pkcs11Custody) -> None:
    custody.close()


@pytest.mark.parametrize("lose", [lose_session, lose_library, lose_and_restart, log_out])
def test_a_lost_session_is_opened_again(custody: Pkcs11Custody, lose: Any) -> None:
    for suite in SUITES:
        custody.create(suite, suite)
    signers = [custody.open(suite) for suite in SUITES]
    for _ in range(3):
        for signer in signers:
            lose(custody)
            signer.suite.verify(signer.public, b"m", signer.sign(b"m"))
        lose(custody)
        assert len(list(custody.list())) == 2
    lose(custody)
    custody.create("late", "es256")
    lose(custody)
    custody.open("late")


def test_a_session_lost_while_a_key_is_made_makes_one(
    custody: Pkcs11Custody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token made the key and the answer was lost: the repetition finds it."""
    ours, left = custody_module._generate, [1]

    def lossy(session: Any, *arguments: Any) -> None:
        ours(session, *arguments)
        if left.pop():
            left.append(0)
            raise pkcs11.DeviceRemoved

    monkeypatch.setattr(custody_module, "_generate", lossy)
    entry = custody.create("market", "es256")
    assert list(custody.list()) == [entry]
    assert custody.open("market").public == entry.public


def test_a_token_pulled_out_and_put_back(
    custody: Pkcs11Custody, hsm: SoftHsm, tmp_path: Path
) -> None:
    custody.create("market", "es256")
    signer = custody.open("market")
    away = hsm.folder.rename(tmp_path / "away")
    hsm.folder.mkdir()
    for _ in range(2):
        with refuses("hsm-token-missing"):
            signer.sign(b"m")
    hsm.folder.rmdir()
    away.rename(hsm.folder)
    signer.suite.verify(signer.public, b"m", signer.sign(b"m"))


def test_a_token_swapped_for_an_empty_one(custody: Pkcs11Custody, hsm: SoftHsm, label: str) -> None:
    custody.create("market", "es256")
    signer = custody.open("market")
    hsm.delete(label)
    hsm.make(label)
    with refuses("key-not-found"):
        signer.sign(b"m")


def test_a_session_lost_twice_is_a_failure(
    custody: Pkcs11Custody, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody.create("market", "es256")
    signer = custody.open("market")

    def lost(*_: object) -> None:
        raise pkcs11.SessionHandleInvalid

    with monkeypatch.context() as patch:
        patch.setattr(custody_module, "_private", lost)
        custody.close()
        with refuses("hsm-failed"):
            signer.sign(b"m")
    signer.sign(b"m")


def test_a_fault_that_no_new_session_mends_is_not_repeated(
    custody: Pkcs11Custody, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refused(*_: object) -> None:
        asked.append(1)
        raise pkcs11.MechanismInvalid

    monkeypatch.setattr(custody_module, "_generate", refused)
    with pytest.raises(KeysError, match=r"^hsm-failed.*MechanismInvalid"):
        custody.create("market", "es256")
    assert asked == [1]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_a_session_of_its_own(custody: Pkcs11Custody) -> None:
    custody.create("market", "es256")
    signer = custody.open("market")
    with session_module._lock:  # held by a thread of the parent, and by none in the child
        child = os.fork()
        if not child:
            try:
                thread = threading.Thread(
                    target=lambda: signer.suite.verify(signer.public, b"c", signer.sign(b"c"))
                )
                thread.start()
                thread.join(20)
                os._exit(1 if thread.is_alive() else 0)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    signer.suite.verify(signer.public, b"m", signer.sign(b"m"))


def test_nothing_secret_is_shown(custody: Pkcs11Custody, hsm: SoftHsm, label: str) -> None:
    custody.create("market", "es256")
    signer = custody.open("market")
    with pytest.raises(KeysError) as wrong:
        Pkcs11Custody(hsm.module, label, "97531 pin")
    shown = [
        repr(each)
        for each in (custody, signer, custody._session, vars(custody), vars(custody._session))
    ]
    for text in (*shown, str(wrong.value), repr(wrong.value)):
        assert PIN not in text
        assert "97531" not in text
        assert OFFICER_PIN not in text
