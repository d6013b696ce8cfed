"""The messages between a service and its signer: both ends, and what neither accepts."""

from pathlib import Path
from typing import Any

import cbor2
import nacl.pwhash.argon2id as argon2id
import pytest

from keys.custody import Effort, FileCustody, KeyEntry, RemoteCustody, SignerService
from keys.errors import KeysError
from keys.suites import BY_NAME

QUICK = Effort(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)


@pytest.fixture
def files(tmp_path: Path) -> FileCustody:
    made = FileCustody(tmp_path / "custody", "passphrase", QUICK)
    made.create("market", "ed25519")
    made.create_secret("kek")
    return made


@pytest.fixture
def signed() -> list[tuple[str, bytes, bytes]]:
    return []


@pytest.fixture
def service(files: FileCustody, signed: list[Any]) -> SignerService:
    return SignerService(files, lambda *record: signed.append(record), may_create=False)


@pytest.fixture
def remote(service: SignerService) -> RemoteCustody:
    return RemoteCustody(lambda request: service.answer(request)[0])


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


def dumps(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)


def test_what_is_signed_is_logged_before_it_leaves(
    remote: RemoteCustody, signed: list[Any]
) -> None:
    signer = remote.open("market")
    assert signed == []
    signer.sign(b"one")
    signer.sign(b"two")
    assert signed == [("market", signer.kid, b"one"), ("market", signer.kid, b"two")]


def test_nothing_is_signed_without_a_log(files: FileCustody) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    service = SignerService(files, full, may_create=False)
    signer = RemoteCustody(lambda request: service.answer(request)[0]).open("market")
    with refuses("signer-failed"):
        signer.sign(b"m")


def test_secrets_are_neither_listed_nor_opened(remote: RemoteCustody, files: FileCustody) -> None:
    assert [entry.name for entry in remote.list()] == ["market"]
    with refuses("key-unknown-suite"):
        remote.open("kek")


def test_making_keys_can_be_forbidden(remote: RemoteCustody, files: FileCustody) -> None:
    with refuses("signer-forbids"):
        remote.create("health", "ed25519")
    assert len(list(files.list())) == 2


def test_a_key_is_named_by_its_id_too(service: SignerService, signed: list[Any]) -> None:
    """Another key has come under the name: what was meant for the old one is not signed."""
    answer, well_formed = service.answer(dumps([4, "market", bytes(8), b"m"]))
    assert cbor2.loads(answer)[:2] == [1, "key-not-found"]
    assert well_formed
    assert signed == []


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\xff",
        b"not cbor at all",
        dumps(None),
        dumps({}),
        dumps([]),
        dumps([True]),
        dumps([1.0]),
        dumps([1, 2]),
        dumps([5]),
        dumps(["list"]),
        dumps([2, "market"]),
        dumps([2, "market", 7]),
        dumps([3, b"market"]),
        dumps([4, "market", b"m"]),
        dumps([4, "market", bytes(8), "text"]),
        dumps([4, "market", bytes(8), b"m", 0]),
        dumps([1]) + b"\x00",
        b"\x81\x18\x01",  # [1] with a longer number
        b"\x9f\x01\xff",  # [1] of indefinite length
        b"\x81" * 5000,
        b"\x9b" + b"\xff" * 8,
    ],
)
def test_malformed_requests(service: SignerService, request_: bytes, signed: list[Any]) -> None:
    answer, well_formed = service.answer(request_)
    assert cbor2.loads(answer)[:2] == [1, "signer-malformed"]
    assert not well_formed
    assert signed == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff",
        dumps([]),
        dumps([0]),
        dumps([False, []]),
        dumps([0, 7]),
        dumps([0, [["market", "ed25519"]]]),
        dumps([0, [["market", "ed25519", "text"]]]),
        dumps([0, [["market", "e" * 65, b""]]]),
        dumps([1, "no-such-code", ""]),
        dumps([1, "key-exists"]),
        dumps([2, []]),
    ],
)
def test_malformed_answers(answer: bytes) -> None:
    with refuses("signer-malformed"):
        list(RemoteCustody(lambda _: answer).list())


@pytest.mark.parametrize("entry", [["../x", "ed25519", bytes(32)], ["m", "ed25519", bytes(32)]])
def test_entries_that_are_no_keys(entry: list[object]) -> None:
    with pytest.raises(KeysError) as caught:
        RemoteCustody(lambda _: dumps([0, entry])).open("m")
    assert caught.value.code in ("key-bad-name", "key-bad-public")


@pytest.mark.parametrize("fault", [b"", bytes(64), b"text", "of another key", "of another message"])
def test_a_signature_is_checked_before_it_is_handed_on(
    files: FileCustody, fault: bytes | str
) -> None:
    own, other = files.open("market"), BY_NAME["ed25519"].prepare(bytes(32))
    wrong = {"of another key": other(b"m"), "of another message": own.sign(b"n")}

    def call(request: bytes) -> bytes:
        if cbor2.loads(request)[0] == 3:
            return dumps([0, ["market", "ed25519", own.public]])
        return dumps([0, wrong.get(str(fault), fault)])

    with refuses("key-bad-signature"):
        RemoteCustody(call).open("market").sign(b"m")


def test_refusals_keep_their_code_and_detail(remote: RemoteCustody) -> None:
    with pytest.raises(KeysError) as caught:
        remote.open("health")
    assert (caught.value.code, caught.value.detail) == ("key-not-found", "health")


def test_the_entries_are_the_custodys(remote: RemoteCustody, files: FileCustody) -> None:
    (entry,) = remote.list()
    assert entry == KeyEntry("market", "ed25519", files.open("market").public)
