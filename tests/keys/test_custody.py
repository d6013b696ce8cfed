"""Custody in files: what opens, what never does, and that nothing secret is ever shown."""

import json
import os
from pathlib import Path

import nacl.pwhash.argon2id as argon2id
import pytest

from keys.custody import Effort, FileCustody, KeyEntry
from keys.errors import KeysError
from keys.suites import BY_NAME

QUICK = Effort(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
PASSPHRASE = "市监局 2026 correct horse"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "custody"


@pytest.fixture
def custody(folder: Path) -> FileCustody:
    return FileCustody(folder, PASSPHRASE, QUICK)


@pytest.fixture
def file(custody: FileCustody, folder: Path) -> Path:
    custody.create("market", "ed25519")
    return folder / "market.zlkey"


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


@pytest.mark.parametrize("suite", BY_NAME)
def test_a_key_is_created_listed_and_opened(custody: FileCustody, suite: str) -> None:
    entry = custody.create("market.2026-1", suite)
    assert list(custody.list()) == [entry]
    signer = custody.open("market.2026-1")
    assert signer.public == entry.public
    signer.suite.verify(entry.public, b"m", signer.sign(b"m"))


def test_a_secret_is_created_and_opened(custody: FileCustody) -> None:
    entry = custody.create_secret("wrap")
    assert entry == KeyEntry("wrap", "secret", b"")
    secret = custody.open_secret("wrap")
    assert len(secret) == 32
    assert secret == custody.open_secret("wrap")


def test_a_secret_is_no_key_and_a_key_is_no_secret(custody: FileCustody, file: Path) -> None:
    custody.create_secret("wrap")
    with refuses("key-unknown-suite"):
        custody.open("wrap")
    with refuses("key-file-damaged"):
        custody.open_secret("market")


def test_the_file_is_the_owners_alone(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["market.zlkey"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o660, 0o777])
def test_a_file_others_may_read_is_refused(custody: FileCustody, file: Path, mode: int) -> None:
    file.chmod(mode)
    with refuses("key-file-exposed") as exposed:
        custody.open("market")
    assert exposed.value.detail == str(file)
    with refuses("key-file-exposed"):
        list(custody.list())


@pytest.mark.parametrize("passphrase", ["", "x", PASSPHRASE + " ", PASSPHRASE.upper()])
def test_a_wrong_passphrase_is_refused(file: Path, passphrase: str) -> None:
    wrong = FileCustody(file.parent, passphrase, QUICK)
    code = "key-wrong-passphrase" if passphrase else "key-empty-passphrase"
    with refuses(code):
        wrong.open("market")
    with refuses(code):
        wrong.create("health", "ed25519")
    assert [entry.name for entry in wrong.list()] == ["market"]


def test_no_key_is_made_under_an_empty_passphrase(folder: Path) -> None:
    custody = FileCustody(folder, "", QUICK)
    with refuses("key-empty-passphrase"):
        custody.create("market", "ed25519")
    assert list(custody.list()) == []


def test_a_truncated_file_is_refused_wherever_it_ends(custody: FileCustody, file: Path) -> None:
    whole = file.read_bytes()
    for size in [*range(0, len(whole), 16), len(whole) - 1]:
        file.write_bytes(whole[:size])
        with refuses("key-file-damaged"):
            custody.open("market")


def test_every_altered_byte_is_refused(custody: FileCustody, file: Path) -> None:
    whole = file.read_bytes()
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(KeysError) as caught:
            custody.open("market")
        assert caught.value.code in {"key-file-damaged", "key-wrong-passphrase"}, at


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "zhenglian-key-2"),
        ("suite", "es256"),
        ("public", "00" * 32),
        ("argon2id", [1, 8192]),
        ("argon2id", [17, 8192]),
        ("argon2id", [0, 8192]),
        ("argon2id", [1, 1 << 40]),
        ("argon2id", [1, 1]),
        ("argon2id", [1]),
        ("argon2id", "none"),
        ("salt", "00" * 16),
        ("salt", "00" * 8),
        ("nonce", "00" * 24),
        ("nonce", ""),
        ("public", "zz"),
        ("more", 1),
    ],
)
def test_an_altered_header_never_opens(
    custody: FileCustody, file: Path, field: str, value: object
) -> None:
    line, _, rest = file.read_bytes().partition(b"\n")
    header = {**json.loads(line), field: value}
    if header == json.loads(line):
        header["salt"] = "11" * 16
    file.write_bytes(json.dumps(header, separators=(",", ":")).encode() + b"\n" + rest)
    with pytest.raises(KeysError) as caught:
        custody.open("market")
    assert caught.value.code in {"key-file-damaged", "key-wrong-passphrase"}


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"{}\n\n", b"[]\nAAAA\n", b"null\nAAAA\n", b"x" * 20_000]
)
def test_what_is_no_key_file_is_refused(custody: FileCustody, file: Path, text: bytes) -> None:
    file.write_bytes(text)
    with refuses("key-file-damaged"):
        custody.open("market")
    with refuses("key-file-damaged"):
        list(custody.list())


def test_a_header_spelled_otherwise_is_refused(custody: FileCustody, file: Path) -> None:
    line, _, rest = file.read_bytes().partition(b"\n")
    file.write_bytes(json.dumps(json.loads(line)).encode() + b"\n" + rest)
    with refuses("key-file-damaged"):
        custody.open("market")


def test_a_file_under_another_name_is_refused(custody: FileCustody, file: Path) -> None:
    file.rename(file.with_name("health.zlkey"))
    with refuses("key-file-damaged"):
        custody.open("health")
    with refuses("key-not-found"):
        custody.open("market")


def test_an_existing_key_is_never_replaced(custody: FileCustody, file: Path) -> None:
    before = file.read_bytes()
    with refuses("key-exists"):
        custody.create("market", "es256")
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["market.zlkey"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../market", "a/b", "Market", "市场", "a b", "-a", "a" * 65, "a\n"]
)
def test_names_that_are_no_file_names_are_refused(custody: FileCustody, name: str) -> None:
    for use in (
        lambda: custody.create(name, "ed25519"),
        lambda: custody.open(name),
    ):
        with refuses("key-bad-name"):
            use()


def test_unknown_suites_are_refused(custody: FileCustody) -> None:
    with refuses("key-unknown-suite"):
        custody.create("market", "rsa")


def test_nothing_secret_is_ever_shown(custody: FileCustody, file: Path) -> None:
    custody.create_secret("wrap")
    secret = custody.open_secret("wrap")
    signer = custody.open("market")
    shown = [repr(custody), str(list(custody.list())), repr(signer), repr(vars(custody))]
    written = b"".join(path.read_bytes() for path in file.parent.iterdir())
    for hidden in (secret.hex(), repr(secret)[2:-1], PASSPHRASE):
        assert not any(hidden in text for text in shown)
        assert hidden.encode() not in written
    assert secret not in written


def test_a_refusal_does_not_repeat_the_passphrase(file: Path) -> None:
    with pytest.raises(KeysError) as caught:
        FileCustody(file.parent, "a wrong one", QUICK).open("market")
    assert "a wrong one" not in str(caught.value)
    assert "a wrong one" not in repr(caught.value.args)


def test_a_folder_that_does_not_exist_holds_no_keys(custody: FileCustody, folder: Path) -> None:
    assert list(custody.list()) == []
    with refuses("key-not-found"):
        custody.open("market")
    assert not folder.exists()


def test_listing_goes_by_name_and_needs_no_passphrase(custody: FileCustody, folder: Path) -> None:
    for name in ("b", "a", "c"):
        custody.create(name, "ed25519")
    assert [entry.name for entry in FileCustody(folder, "").list()] == ["a", "b", "c"]


def test_a_leftover_of_an_interrupted_write_does_no_harm(
    custody: FileCustody, folder: Path
) -> None:
    folder.mkdir(mode=0o700)
    left = os.open(folder / ".market.new", os.O_CREAT | os.O_WRONLY, 0o644)
    os.write(left, b"half a key")
    os.close(left)
    custody.create("market", "ed25519")
    assert (folder / "market.zlkey").stat().st_mode & 0o077 == 0
    custody.open("market")
