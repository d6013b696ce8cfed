"""A change of passphrase: cut off anywhere it loses nothing, and the same call finishes it."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nacl.pwhash.argon2id as argon2id
import pytest

from keys.custody import Effort, FileCustody
from keys.custody.file import STAGE, locked
from keys.custody.rekey import change_passphrase
from keys.errors import KeysError

QUICK = Effort(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)
OLD, NEW = "旧口令 old", "新口令 new"
NAMES = ("dept-health", "dept-market", "log", "operator")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    custody = FileCustody(tmp_path / "custody", OLD, QUICK)
    for name in NAMES:
        custody.create(name, "ed25519")
    custody.create_secret("wrap")
    return tmp_path / "custody"


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


def content(folder: Path, *passphrases: str) -> dict[str, bytes]:
    """Every private key, by whichever of the passphrases opens it."""
    found = {}
    for entry in FileCustody(folder, "").list():
        for passphrase in passphrases:
            try:
                found[entry.name] = FileCustody(folder, passphrase).reveal(entry.name)[1]
            except KeysError as error:
                if error.code not in ("key-wrong-passphrase", "key-passphrase-changing"):
                    raise
    return found


def listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_key_and_secret_is_under_the_new_passphrase(folder: Path) -> None:
    before, steps = content(folder, OLD), []
    assert set(before) == {*NAMES, "wrap"}
    assert change_passphrase(folder, OLD, NEW, QUICK, progress=lambda *at: steps.append(at)) == 5
    assert content(folder, NEW) == before
    assert content(folder, OLD) == {}
    assert steps == [(number, 5) for number in range(1, 6)]
    assert listed(folder) == {f"{name}.zlkey" for name in before}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())


def test_the_new_files_cost_what_was_asked(folder: Path) -> None:
    dearer = Effort(QUICK.passes + 1, QUICK.memory + 1024)
    change_passphrase(folder, OLD, OLD, dearer)
    assert all(b'"argon2id":[2,9216]' in path.read_bytes() for path in folder.iterdir())
    assert len(content(folder, OLD)) == 5


def test_a_wrong_old_passphrase_changes_nothing(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with refuses("key-wrong-passphrase"):
        change_passphrase(folder, "wrong", NEW, QUICK)
    with refuses("key-empty-passphrase"):
        change_passphrase(folder, OLD, "", QUICK)
    with refuses("key-empty-passphrase"):
        change_passphrase(folder, "", NEW, QUICK)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_one_key_under_a_third_passphrase_stops_it_before_any_has_changed(
    folder: Path, tmp_path: Path
) -> None:
    FileCustody(tmp_path / "other", "third", QUICK).create("zoo", "ed25519")
    (tmp_path / "other" / "zoo.zlkey").rename(folder / "zoo.zlkey")
    with refuses("key-wrong-passphrase"):
        change_passphrase(folder, OLD, NEW, QUICK)
    assert len(content(folder, OLD)) == 5


CHILD = """
import os, sys
from pathlib import Path
import nacl.pwhash.argon2id as argon2id
import keys.custody.rekey as rekey
from keys.custody import Effort

left = int(sys.argv[2])

def dying(call):
    def counted(*args):
        global left
        if left == 0:
            os._exit(9)
        left -= 1
        return call(*args)
    return counted

rekey.write_new = dying(rekey.write_new)
Path.replace = dying(Path.replace)
rekey.change_passphrase(Path(sys.argv[1]), sys.argv[3], sys.argv[4],
                        Effort(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN))
"""


def killed_after(folder: Path, steps: int, old: str = OLD, new: str = NEW) -> int:
    """A process that changes the passphrase and dies before step `steps` (5 writes, 5 swaps)."""
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(steps), old, new], check=False
    ).returncode


@pytest.mark.parametrize("steps", [0, 3, 5, 7, 9])
def test_killed_anywhere_it_loses_nothing_and_is_finished_by_the_same_call(
    folder: Path, steps: int
) -> None:
    before = content(folder, OLD)
    assert killed_after(folder, steps) == 9
    swapped = max(0, steps - 5)
    assert content(folder, OLD, NEW) == before
    assert len(content(folder, NEW)) == swapped
    if swapped:
        with refuses("key-passphrase-changing"):
            FileCustody(folder, OLD).open(NAMES[0])
        with refuses("key-wrong-passphrase"):  # a third one would lock out what was swapped
            change_passphrase(folder, OLD, "third", QUICK)
    assert killed_after(folder, 0) == 9  # and cut off once more
    assert change_passphrase(folder, OLD, NEW, QUICK) == 5
    assert content(folder, NEW) == before
    assert listed(folder) == {f"{name}.zlkey" for name in before}


def test_a_change_begun_can_be_taken_back(folder: Path) -> None:
    before = content(folder, OLD)
    assert killed_after(folder, 7) == 9
    change_passphrase(folder, NEW, OLD, QUICK)
    assert content(folder, OLD) == before


def test_two_changes_at_once_are_refused(folder: Path) -> None:
    with changing(folder), refuses("key-passphrase-changing"):
        change_passphrase(folder, OLD, NEW, QUICK)
    assert len(content(folder, OLD)) == 5
    change_passphrase(folder, OLD, NEW, QUICK)


def changing(folder: Path) -> "_Held":
    return _Held(folder / STAGE)


class _Held:
    """The stage as another process would hold it."""

    def __init__(self, stage: Path) -> None:
        stage.mkdir(mode=0o700)
        self.descriptor = os.open(stage, os.O_RDONLY)

    def __enter__(self) -> None:
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def test_a_key_made_while_it_goes_on_is_changed_too(folder: Path) -> None:
    def make(done: int, total: int) -> None:
        if (done, total) == (5, 5):
            FileCustody(folder, OLD, QUICK).create("late", "ed25519")

    assert change_passphrase(folder, OLD, NEW, QUICK, progress=make) == 6
    assert set(content(folder, NEW)) == {*NAMES, "wrap", "late"}


def test_a_process_that_knows_the_old_passphrase_makes_no_more_keys(folder: Path) -> None:
    running = FileCustody(folder, OLD, QUICK)
    signer = running.open("log")
    change_passphrase(folder, OLD, NEW, QUICK)
    with refuses("key-wrong-passphrase"):
        running.create("late", "ed25519")
    assert "late.zlkey" not in listed(folder)
    signer.suite.verify(signer.public, b"m", signer.sign(b"m"))


def test_keys_are_added_one_process_at_a_time(folder: Path) -> None:
    """While the swap holds the folder, a new key waits."""
    made = threading.Event()

    def make() -> None:
        FileCustody(folder, OLD, QUICK).create("late", "ed25519")
        made.set()

    thread = threading.Thread(target=make)
    with locked(folder):
        thread.start()
        assert not made.wait(0.3)
    thread.join()
    assert made.is_set()


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.rglob("*.new"))
