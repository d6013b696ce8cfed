"""Exports: whole, incremental, interrupted, and those that must not be written."""

import fcntl
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.export import Exported, export
from ledger.ledger import Ledger
from ledger.readside import DirectoryReadSide, LedgerReadSide
from ledger.stores.memory import MemoryStore
from tests.ledger.helpers import (
    ORIGIN,
    SIGNER,
    check_log,
    clock,
    drafts,
    open_ledger,
    refused,
)
from tests.verifier import twin
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.note import NoteSigner


@pytest.fixture
def log() -> Iterator[Ledger]:
    store = MemoryStore()
    store.create()
    with open_ledger(store) as ledger:
        yield ledger
    store.close()


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def stamps(folder: Path) -> dict[str, int]:
    return {str(f.relative_to(folder)): f.stat().st_ino for f in folder.rglob("*") if f.is_file()}


def test_an_export_is_the_log_and_nothing_else(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 600))
    seen: list[tuple[int, int]] = []
    done = export(log, tmp_path / "a" / "b", lambda *step: seen.append(step))
    assert done == Exported(size=600, written=8, kept=0)
    assert seen == [(i, 7) for i in range(1, 8)]
    assert sorted(files(tmp_path / "a" / "b")) == [
        "checkpoint",
        "tile/0/000", "tile/0/001", "tile/0/002.p/88",
        "tile/1/000.p/2",
        "tile/entries/000", "tile/entries/001", "tile/entries/002.p/88",
    ]  # fmt: skip
    checkpoint, entries = check_log(DirectoryReadSide(tmp_path / "a" / "b"))
    assert checkpoint.root == twin.mth(entries)
    assert entries == [d.entry for d in drafts(0, 600)]


def test_an_empty_log(log: Ledger, tmp_path: Path) -> None:
    assert export(log, tmp_path).size == 0
    assert list(files(tmp_path)) == ["checkpoint"]
    log.append(drafts(0, 1))
    assert export(log, tmp_path).size == 1
    check_log(DirectoryReadSide(tmp_path))


def test_full_tiles_are_left_alone_and_filled_partials_go(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 600))
    export(log, tmp_path)
    before = stamps(tmp_path)
    log.append(drafts(600, 200))
    done = export(log, tmp_path)
    assert done == Exported(size=800, written=6, kept=4)
    after = stamps(tmp_path)
    for kept in ("tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"):
        assert after[kept] == before[kept]
    assert "tile/0/002.p/88" not in after
    assert "tile/1/000.p/2" in after  # not full yet: whoever has the older checkpoint needs it
    check_log(DirectoryReadSide(tmp_path))
    assert export(log, tmp_path).written == 4  # the partial ones and the checkpoint
    check_log(DirectoryReadSide(tmp_path))


def test_a_copy_of_a_copy_is_the_same(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 300))
    export(log, tmp_path / "one")
    export(DirectoryReadSide(tmp_path / "one"), tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_gzip_forms_lie_beside_the_bundles(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 300))
    export(log, tmp_path, zipped=True)
    held = files(tmp_path)
    for path in ("tile/entries/000", "tile/entries/001.p/44"):
        assert gzip.decompress(held.pop(path + ".gz")) == held[path]
    assert not any(path.endswith(".gz") for path in held)
    (tmp_path / "checkpoint").unlink()  # as if this had been an interrupted run
    export(log, tmp_path)
    assert files(tmp_path) == held  # no gzip form outlives the bundle it was made of


class Dying(LedgerReadSide):
    """A source that fails at the nth read."""

    left = 4

    def read(self, path: str) -> bytes:
        self.left -= 1
        if not self.left:
            raise LedgerError("ledger-read-failed", "injected")
        return super().read(path)


def test_an_interrupted_export_is_finished_by_the_next(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 600))
    with refused("ledger-read-failed"):
        export(Dying(log), tmp_path)
    assert "checkpoint" not in files(tmp_path)
    # What an interrupted run left is not believed, only what a checkpoint covers.
    (tmp_path / "tile/entries/000").write_bytes(b"half a bundle")
    (tmp_path / "tile/entries/001.writing").write_bytes(b"killed here")
    assert export(log, tmp_path).size == 600
    check_log(DirectoryReadSide(tmp_path))
    log.append(drafts(600, 600))
    older = files(tmp_path)["checkpoint"]
    with refused("ledger-read-failed"):
        export(Dying(log), tmp_path)
    assert files(tmp_path)["checkpoint"] == older
    assert check_log(DirectoryReadSide(tmp_path))[0].size == 600
    assert export(log, tmp_path).size == 1200
    assert check_log(DirectoryReadSide(tmp_path))[0].size == 1200


def test_folders_of_others_are_refused(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 3))
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "letter.txt").write_text("mine")
    with refused("ledger-export-foreign"):
        export(log, strange)
    assert sorted(files(strange)) == ["letter.txt"]

    store = MemoryStore()
    store.create()
    signer = NoteSigner("other.example", SIGNER._signer)
    with Ledger.open(store, origin="other.example", signers=[signer], clock=clock) as other:
        other.append(drafts(0, 2))
        export(other, tmp_path / "other")
    store.close()
    before = files(tmp_path / "other")
    with refused("ledger-export-foreign"):
        export(log, tmp_path / "other")
    assert files(tmp_path / "other") == before


def test_a_newer_or_different_history_is_not_overwritten(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 3))
    for size, code in ((4, "ledger-export-newer"), (3, "ledger-forked"), (2, "ledger-forked")):
        folder = tmp_path / str(size)
        folder.mkdir()
        forged = sign_checkpoint(Checkpoint(ORIGIN, size, bytes(32)), [SIGNER])
        (folder / "checkpoint").write_bytes(forged)
        with refused(code):
            export(log, folder)
        assert files(folder) == {"checkpoint": forged}


class Lying(LedgerReadSide):
    """A source whose partial level-0 tile is not what the checkpoint covers."""

    def read(self, path: str) -> bytes:
        data = super().read(path)
        return bytes(len(data)) if path.startswith("tile/0/") and ".p/" in path else data


def test_tiles_that_do_not_give_the_root_get_no_checkpoint(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 300))
    with refused("ledger-inconsistent"):
        export(Lying(log), tmp_path)
    assert "checkpoint" not in files(tmp_path)


class Short(LedgerReadSide):
    def read(self, path: str) -> bytes:
        data = super().read(path)
        return data[:-32] if path.startswith("tile/0/") else data


def test_a_tile_of_another_width_is_refused(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 300))
    with refused("ledger-inconsistent"):
        export(Short(log), tmp_path)


def test_one_export_at_a_time(log: Ledger, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with refused("ledger-export-busy"):
        export(log, tmp_path)
    os.close(fd)
    export(log, tmp_path)


def test_a_folder_that_cannot_be_written(log: Ledger, tmp_path: Path) -> None:
    log.append(drafts(0, 3))
    (tmp_path / "file").write_bytes(b"")
    with refused("ledger-export-failed"):
        export(log, tmp_path / "file")
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "tile").write_bytes(b"a file where a folder must be")
    with refused("ledger-export-failed"):
        export(log, tmp_path / "blocked")
