"""Backups: what comes back, what is refused, and that a refusal leaves nothing behind."""

import base64
import json
from hashlib import sha256
from pathlib import Path

import cbor2
import nacl.pwhash.argon2id as argon2id
import pytest

from keys.custody import Effort, FileCustody, KeyEntry
from keys.custody.backup import Backup, make_backup, open_backup, restore
from keys.custody.keyfile import Lock
from keys.custody.rekey import change_passphrase
from keys.errors import KeysError
from keys.suites import BY_NAME

QUICK = Effort(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
PASSPHRASE, BACKUP_PASSPHRASE, MADE = "守护 daily", "备份 vault", 1_800_000_000


@pytest.fixture
def custody(tmp_path: Path) -> FileCustody:
    made = FileCustody(tmp_path / "custody", PASSPHRASE, QUICK)
    for suite in BY_NAME:
        made.create(f"dept-{suite}", suite)
    made.create_secret("wrap")
    return made


@pytest.fixture
def data(custody: FileCustody) -> bytes:
    return make_backup(custody, BACKUP_PASSPHRASE, made_at=MADE, effort=QUICK)


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


def reveal(custody: FileCustody) -> dict[KeyEntry, bytes]:
    return dict(custody.reveal(entry.name) for entry in custody.list())


def checked(text: bytes) -> bytes:
    """The text of a backup under a checksum that is right."""
    return text + sha256(text).hexdigest().encode() + b"\n"


def test_what_was_backed_up_comes_back_under_the_folders_own_passphrase(
    custody: FileCustody, data: bytes, tmp_path: Path
) -> None:
    there = FileCustody(tmp_path / "there", "another", QUICK)
    backup = open_backup(data, BACKUP_PASSPHRASE)
    assert backup.made_at == MADE
    assert list(backup.entries) == list(custody.list())
    assert list(restore(there, backup)) == list(custody.list())
    assert reveal(there) == reveal(custody)
    for suite in BY_NAME:
        signer = there.open(f"dept-{suite}")
        signer.suite.verify(signer.public, b"m", signer.sign(b"m"))
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o700
    assert not list(restore(there, backup))  # again: all is there


def test_a_backup_outlives_the_passphrase_it_was_made_under(
    custody: FileCustody, data: bytes, tmp_path: Path
) -> None:
    kept = reveal(custody)
    change_passphrase(tmp_path / "custody", PASSPHRASE, "forgotten", QUICK)
    there = FileCustody(tmp_path / "there", "new", QUICK)
    restore(there, open_backup(data, BACKUP_PASSPHRASE))
    assert reveal(there) == kept


def test_only_what_is_missing_is_restored(
    custody: FileCustody, data: bytes, tmp_path: Path
) -> None:
    kept = reveal(custody)
    before = (tmp_path / "custody" / "wrap.zlkey").read_bytes()
    (tmp_path / "custody" / "dept-es256.zlkey").unlink()
    restored = restore(custody, open_backup(data, BACKUP_PASSPHRASE))
    assert [entry.name for entry in restored] == ["dept-es256"]
    assert reveal(custody) == kept
    assert (tmp_path / "custody" / "wrap.zlkey").read_bytes() == before


@pytest.mark.parametrize("name", ["dept-ed25519", "wrap"])
def test_another_key_of_the_same_name_is_never_overwritten(
    data: bytes, tmp_path: Path, name: str
) -> None:
    there = FileCustody(tmp_path / "there", "another", QUICK)
    if name == "wrap":
        there.create_secret(name)
    else:
        there.create(name, "ed25519")
    before = reveal(there)
    with refuses("key-exists"):
        restore(there, open_backup(data, BACKUP_PASSPHRASE))
    assert reveal(there) == before


def test_no_mixed_folder(data: bytes, tmp_path: Path) -> None:
    FileCustody(tmp_path / "there", "one", QUICK).create("zoo", "ed25519")
    with refuses("key-wrong-passphrase"):
        restore(FileCustody(tmp_path / "there", "two", QUICK), open_backup(data, BACKUP_PASSPHRASE))
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["zoo.zlkey"]


def test_a_restore_cut_short_is_finished_by_the_next(
    custody: FileCustody, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, write = FileCustody(tmp_path / "there", "another", QUICK), [2]

    def failing(path: Path, content: bytes) -> None:
        if not write[0]:
            raise OSError("disk full")
        write[0] -= 1
        path.touch(0o600)
        path.write_bytes(content)

    monkeypatch.setattr("keys.custody.file.write_new", failing)
    with pytest.raises(OSError, match="disk full"):
        restore(there, open_backup(data, BACKUP_PASSPHRASE))
    monkeypatch.undo()
    assert len(list(there.list())) == 2
    restore(there, open_backup(data, BACKUP_PASSPHRASE))
    assert reveal(there) == reveal(custody)


@pytest.mark.parametrize("passphrase", ["x", PASSPHRASE, BACKUP_PASSPHRASE + " "])
def test_a_wrong_passphrase_is_refused(data: bytes, passphrase: str) -> None:
    with refuses("key-backup-wrong-passphrase"):
        open_backup(data, passphrase)
    with refuses("key-empty-passphrase"):
        open_backup(data, "")


def test_no_backup_under_an_empty_passphrase(custody: FileCustody) -> None:
    with refuses("key-empty-passphrase"):
        make_backup(custody, "", made_at=MADE, effort=QUICK)


def test_damage_is_told_from_a_wrong_passphrase(data: bytes) -> None:
    for size in range(0, len(data), 97):
        with refuses("key-backup-damaged"):
            open_backup(data[:size], BACKUP_PASSPHRASE)
    for at in range(0, len(data), 53):
        with refuses("key-backup-damaged"):
            open_backup(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], BACKUP_PASSPHRASE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("made", MADE + 1),
        ("keys", []),
        ("keys", [["../evil", "ed25519", ""]]),
        ("keys", 7),
        ("argon2id", [1, 1 << 40]),
        ("argon2id", [1, 8193]),
        ("salt", "00" * 16),
        ("nonce", "00"),
        ("format", "zhenglian-custody-backup-2"),
        ("more", 1),
    ],
)
def test_a_header_altered_with_its_checksum_does_not_open(
    data: bytes, field: str, value: object
) -> None:
    line, box, _ = data.splitlines(keepends=True)
    header = {**json.loads(line), field: value}
    text = json.dumps(header, separators=(",", ":")).encode() + b"\n" + box
    with pytest.raises(KeysError) as caught:
        open_backup(checked(text), BACKUP_PASSPHRASE)
    assert caught.value.code in {"key-backup-damaged", "key-backup-wrong-passphrase"}


@pytest.mark.parametrize("fault", ["private", "secret", "names", "shape", "cbor"])
def test_content_that_contradicts_itself_is_refused(data: bytes, fault: str) -> None:
    """By someone who knows the passphrase, or by a writer with a fault."""
    line, _, _ = data.splitlines(keepends=True)
    entries = [[name, suite, bytes.fromhex(p)] for name, suite, p in json.loads(line)["keys"]]
    rows: list[list[object]] = [[*entry, bytes([1]) * 32] for entry in entries]
    if fault == "secret":
        rows[-1][3] = b"short"
    if fault == "names":
        rows[0][0] = "other"
    if fault == "shape":
        rows[0].pop()
    plain = b"\xff" if fault == "cbor" else cbor2.dumps(rows, canonical=True)
    lock = Lock.from_fields(json.loads(line))
    box = base64.b64encode(lock.close(plain, line, BACKUP_PASSPHRASE)) + b"\n"
    with refuses("key-backup-damaged"):
        open_backup(checked(line + box), BACKUP_PASSPHRASE)


def test_nothing_secret_is_shown_or_lies_open(custody: FileCustody, data: bytes) -> None:
    shown = repr(open_backup(data, BACKUP_PASSPHRASE))
    for entry, private in reveal(custody).items():
        assert repr(private)[2:-1] not in shown
        assert private not in data
        assert private.hex().encode() not in data, entry
    assert isinstance(open_backup(data, BACKUP_PASSPHRASE), Backup)


def test_a_backup_is_made_while_keys_are_made(custody: FileCustody, tmp_path: Path) -> None:
    listing = custody.list

    def busy() -> "list[KeyEntry]":
        entries = list(listing())
        FileCustody(tmp_path / "custody", PASSPHRASE, QUICK).create("late", "ed25519")
        return entries

    custody.list = busy  # type: ignore[method-assign, assignment]
    data = make_backup(custody, BACKUP_PASSPHRASE, made_at=MADE, effort=QUICK)
    assert "late" not in {entry.name for entry in open_backup(data, BACKUP_PASSPHRASE).entries}
