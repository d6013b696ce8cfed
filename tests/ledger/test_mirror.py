"""A mirror holds what the log signed, checked, whatever happens on the way."""

import errno
import gzip
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ledger.static_folder
from ledger.errors import LedgerError
from ledger.mirror import DELAYS, PENDING, SEEN, Mirrored, log_folder, mirror
from ledger.mirror_trust import Demands
from ledger.readside import DirectoryReadSide
from tests.ledger.logs import Files, Memory, log_files, seeded, signer
from verifier.checkpoint import add_cosignatures, cosign
from verifier.errors import Refused
from verifier.merkle import leaf_hash
from verifier.note import NoteSigner, parse_note, parse_vkey
from verifier.policy import Policy, parse_policy
from verifier.split_view import check_split_view, parse_split_view
from verifier.tiles import FULL_WIDTH, parse_bundle

LOG = NoteSigner("mirrored.example", signer("mirrored log"))
WITNESS = NoteSigner("witness.example", signer("a witness"), 0x04)
DEMANDS = Demands(LOG.key)
ENTRIES = [seeded(f"entry {n}", 20 + n % 9) for n in range(700)]
FORK = [*ENTRIES[:300], *(seeded(f"other {n}") for n in range(300, 700))]


def files(folder: Path) -> Files:
    """Everything below a folder but evidence, by path below the log's own."""
    own = log_folder(folder, LOG.name)
    found = (path for path in own.rglob("*") if path.is_file())
    return {path.relative_to(own).as_posix(): path.read_bytes() for path in found}


def run(
    source: Files | Memory, folder: Path, demands: Demands = DEMANDS, **more: object
) -> Mirrored:
    read = source if isinstance(source, Memory) else Memory(source)
    slept: list[float] = []
    return mirror(read, folder, demands, sleep=slept.append, **more)  # type: ignore[arg-type]


def of(size: int, entries: Sequence[bytes] = ENTRIES) -> Files:
    return log_files(entries[:size], LOG)


class refused:  # noqa: N801 - reads as a statement
    """The code of a refusal, and that the mirror is byte for byte as it was."""

    def __init__(self, code: str, folder: Path, *, pending: bool = False) -> None:
        self.code, self.folder, self.pending = code, folder, pending

    def __enter__(self) -> None:
        self.before = files(self.folder)

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> bool:
        assert isinstance(error, LedgerError | Refused), error
        assert error.code == self.code, error
        after = files(self.folder)
        if self.pending:  # more tiles and a pending checkpoint may lie there
            after = {path: after[path] for path in self.before if path != PENDING}
            self.before.pop(PENDING, None)
        assert after == self.before
        return True


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 700])
def test_a_copy_is_the_log(tmp_path: Path, size: int) -> None:
    log = of(size)
    seen: list[tuple[int, int]] = []
    done = run(log, tmp_path, progress=lambda *step: seen.append(step))
    assert files(tmp_path) == log
    assert (done.before, done.size, done.found) == (0, size, 0)
    assert seen == [(n + 1, done.fetched) for n in range(done.fetched)]


def test_a_high_tree(tmp_path: Path) -> None:
    """Three levels: a tile of level 0 is checked against level 1, and that against level 2."""
    entries = [b"%d" % (n % 1000) for n in range(FULL_WIDTH**2 + 20)]
    log = log_files(entries, LOG)
    for path in ("tile/1/000", "tile/0/255"):
        with refused("mirror-source-wrong", tmp_path, pending=True):
            run({**log, path: bytes(8192)}, tmp_path)
    done = run(log, tmp_path)
    assert (done.fetched + done.found, done.found > 200) == (256 + 1 + 257, True)
    assert files(tmp_path) == log


def test_growth_fetches_what_is_new(tmp_path: Path) -> None:
    run(of(300), tmp_path)
    read: list[str] = []

    class Noted(Memory):
        def read(self, path: str) -> bytes:
            read.append(path)
            return super().read(path)

    grown = of(600)
    done = run(Noted(grown), tmp_path)
    assert (done.before, done.size, done.fetched) == (300, 600, 3)
    assert "tile/entries/000" not in read
    assert read.count("tile/0/000") == 0
    now = files(tmp_path)
    assert {path: now[path] for path in grown} == grown
    assert set(now) - set(grown) == {"tile/1/000.p/1"}  # for those who hold the older checkpoint
    read.clear()
    assert run(Noted(grown), tmp_path).fetched == 0
    assert not any("entries" in path for path in read)


def test_new_cosignatures_replace_the_note(tmp_path: Path) -> None:
    log = of(300)
    run(log, tmp_path)
    note = add_cosignatures(
        log["checkpoint"], [cosign(parse_note(log["checkpoint"]).text, 1_800_000_000, WITNESS)]
    )
    assert run({**log, "checkpoint": note}, tmp_path).fetched == 0
    assert files(tmp_path) == {**log, "checkpoint": note}


def test_bundles_with_their_gzip_forms(tmp_path: Path) -> None:
    log = of(300)
    run(log, tmp_path, zipped=True)
    now = files(tmp_path)
    for path in ("tile/entries/000", "tile/entries/001.p/44"):
        assert gzip.decompress(now.pop(path + ".gz")) == log[path]
    assert now == log


# --- what is refused ------------------------------------------------------------------------------


def test_another_key_or_too_few_witnesses(tmp_path: Path) -> None:
    run(of(300), tmp_path)
    other = NoteSigner(LOG.name, signer("somebody else"))
    with refused("note-unsigned", tmp_path):
        run(log_files(ENTRIES, other), tmp_path)
    with refused("checkpoint-second-signature", tmp_path):
        run(of(700), tmp_path, Demands(LOG.key, second=WITNESS.key))
    policy = policy_of(WITNESS)
    with refused("policy-quorum-not-met", tmp_path):
        run(of(700), tmp_path, Demands(LOG.key, policy=policy))
    log = of(700)
    text = parse_note(log["checkpoint"]).text
    log["checkpoint"] = add_cosignatures(log["checkpoint"], [cosign(text, 1_800_000_000, WITNESS)])
    assert run(log, tmp_path, Demands(LOG.key, policy=policy)).size == 700
    with refused("mirror-damaged", tmp_path):
        run(log_files(ENTRIES, other), tmp_path, Demands(other.key))


def test_a_smaller_log_is_behind(tmp_path: Path) -> None:
    run(of(600), tmp_path)
    for size in (0, 1, 256, 300, 599):
        with refused("mirror-source-behind", tmp_path):
            run(of(size), tmp_path)
    kept = tmp_path / "refused" / log_folder(tmp_path, LOG.name).name
    assert (kept / "behind.checkpoint").read_bytes() == of(599)["checkpoint"]


@pytest.mark.parametrize("size", [301, 400, 512, 599, 600, 601, 700])
def test_a_second_history_is_refused_and_proved(tmp_path: Path, size: int) -> None:
    run(of(600), tmp_path)
    with refused("mirror-forked", tmp_path):
        run(of(size, FORK), tmp_path)
    (kept,) = (tmp_path / "refused" / log_folder(tmp_path, LOG.name).name).iterdir()
    told = check_split_view(parse_split_view(kept.read_bytes()), LOG.key)
    assert {told.first.size, told.second.size} == {600, size}
    assert run(of(700), tmp_path).size == 700  # the honest log goes on


def test_tiles_that_lie_about_the_past_accuse_nobody(tmp_path: Path) -> None:
    """The signed root is honest; a full tile that the old root is read from is not."""
    run(of(500), tmp_path)
    log = of(700)
    with refused("mirror-source-wrong", tmp_path):
        run({**log, "tile/0/001": bytes(8192)}, tmp_path)
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("path", "spoil"),
    [
        ("tile/entries/000", lambda data: data[:-1] + b"!"),
        ("tile/entries/001", lambda data: data[:-1]),
        ("tile/entries/002.p/188", lambda data: data + b"\0\1x"),
        ("tile/entries/001", lambda data: b""),
        ("tile/0/000", lambda data: data[32:] + data[:32]),
        ("tile/0/001", lambda data: data[:-32]),
        ("tile/0/002.p/188", lambda data: bytes(len(data))),
        ("tile/0/002.p/188", lambda data: data[:-32]),
        ("tile/1/000.p/2", lambda data: bytes(64)),
    ],
)
def test_a_file_that_does_not_fit(
    tmp_path: Path, path: str, spoil: Callable[[bytes], bytes]
) -> None:
    run(of(200), tmp_path)
    log = of(700)
    with refused("mirror-source-wrong", tmp_path, pending=True):
        run({**log, path: spoil(log[path])}, tmp_path)
    assert run(log, tmp_path).size == 700
    now = files(tmp_path)
    assert {name: now[name] for name in log} == log


def test_what_an_interrupted_run_left_is_checked(tmp_path: Path) -> None:
    log = of(700)
    with refused("mirror-source-wrong", tmp_path, pending=True):
        run({**log, "tile/entries/002.p/188": b""}, tmp_path)
    own = log_folder(tmp_path, LOG.name)
    left = files(tmp_path)
    spoilt = [path for path in left if path.startswith("tile/")]
    assert {"tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"} <= {*spoilt}
    for path in spoilt:
        (own / path).write_bytes(left[path][1:] + b"!")
    assert run(log, tmp_path).found == 0
    assert files(tmp_path) == log


def test_a_log_cannot_change_its_mind_while_it_is_copied(tmp_path: Path) -> None:
    """What it showed once binds it, though the copy was never finished."""
    run(of(300), tmp_path)
    with refused("mirror-source-wrong", tmp_path, pending=True):
        run({**of(600, FORK), "tile/entries/001": b""}, tmp_path)
    with refused("mirror-forked", tmp_path):
        run(of(650), tmp_path)
    with refused("mirror-source-behind", tmp_path):
        run(of(500), tmp_path)


def seen(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / SEEN).rglob("*") if file.is_file())


def policy_of(witness: NoteSigner) -> Policy:
    return parse_policy(f"log {LOG.key.text()}\nwitness w {witness.key.text()}\nquorum w\n")


@pytest.mark.parametrize(
    ("lacking", "demands"),
    [
        (["tile/0/001"], DEMANDS),  # of which the old root is read
        (["tile/1/000.p/2"], DEMANDS),
        ([], Demands(LOG.key, policy=policy_of(WITNESS))),
    ],
)
def test_a_signed_checkpoint_binds_the_log_though_it_shows_no_more(
    tmp_path: Path, lacking: list[str], demands: Demands
) -> None:
    run(of(300), tmp_path)
    fork = of(600, FORK)
    with pytest.raises((LedgerError, Refused)) as refusal:
        run({path: data for path, data in fork.items() if path not in lacking}, tmp_path, demands)
    assert refusal.value.code in ("ledger-path-absent", "policy-quorum-not-met")
    assert len(seen(tmp_path)) == 1
    assert run(of(599), tmp_path).size == 599  # which cannot be compared with it yet
    with refused("mirror-forked", tmp_path):
        run(of(650), tmp_path)
    (kept,) = (tmp_path / "refused" / log_folder(tmp_path, LOG.name).name).iterdir()
    told = check_split_view(parse_split_view(kept.read_bytes()), LOG.key)
    assert (told.first.size, told.second.size) == (600, 650)
    assert seen(tmp_path) == []


def test_a_log_that_shows_the_same_again_costs_no_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(of(300), tmp_path)

    def write(*_: object) -> None:
        raise AssertionError("nothing is new")

    monkeypatch.setattr("ledger.mirror.replace_file", write)
    assert run(of(300), tmp_path).fetched == 0


def test_what_was_seen_is_forgotten_once_it_was_compared(tmp_path: Path) -> None:
    log = of(600)
    with pytest.raises(LedgerError, match="ledger-path-absent"):
        run({"checkpoint": log["checkpoint"]}, tmp_path)
    assert len(seen(tmp_path)) == 1
    assert run(of(300), tmp_path).size == 300
    assert len(seen(tmp_path)) == 1
    assert run(log, tmp_path).size == 600
    assert seen(tmp_path) == []


def test_a_spoilt_note_of_what_was_seen(tmp_path: Path) -> None:
    with pytest.raises(LedgerError):
        run({"checkpoint": of(600)["checkpoint"]}, tmp_path)
    (note,) = (file for file in (tmp_path / SEEN).rglob("*") if file.is_file())
    note.write_bytes(b"nothing\n")
    with refused("mirror-damaged", tmp_path):
        run(of(600), tmp_path)


def test_only_so_many_are_kept_as_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.mirror.MAX_SEEN", 2)
    for size in (600, 601, 602):
        with pytest.raises(LedgerError):
            run({"checkpoint": of(size)["checkpoint"]}, tmp_path)
    assert [name[:4] for name in seen(tmp_path)] == ["600-", "601-"]


def test_what_a_trust_pack_knows_binds_it_too(tmp_path: Path) -> None:
    demands = Demands(LOG.key, known=of(400)["checkpoint"])
    with refused("mirror-source-behind", tmp_path):
        run(of(399), tmp_path, demands)
    with refused("mirror-forked", tmp_path):
        run(of(600, FORK), tmp_path, demands)
    assert run(of(600), tmp_path, demands).size == 600


def test_a_folder_with_other_things_in_it(tmp_path: Path) -> None:
    own = log_folder(tmp_path, LOG.name)
    own.mkdir()
    (own / "letter.txt").write_text("mine")
    with refused("ledger-export-foreign", tmp_path):
        run(of(300), tmp_path)


def test_one_mirror_at_a_time(tmp_path: Path) -> None:
    run(of(3), tmp_path)
    held = ledger.static_folder.locked(log_folder(tmp_path, LOG.name))
    with held, refused("ledger-export-busy", tmp_path):
        run(of(300), tmp_path)
    run(of(300), tmp_path)


# --- trouble --------------------------------------------------------------------------------------


class Flaky(Memory):
    """Every path fails a number of times before it is read."""

    def __init__(self, files: Files, code: str, times: int) -> None:
        super().__init__(files)
        self.code, self.times = code, times
        self.failed: dict[str, int] = {}

    def read(self, path: str) -> bytes:
        if self.failed.setdefault(path, 0) < self.times:
            self.failed[path] += 1
            raise LedgerError(self.code, path)
        return super().read(path)


@pytest.mark.parametrize("code", ["ledger-read-failed", "ledger-path-absent"])
def test_reads_are_repeated(tmp_path: Path, code: str) -> None:
    slept: list[float] = []
    source = Flaky(of(300), code, 2)
    mirror(source, tmp_path, DEMANDS, sleep=slept.append)
    assert files(tmp_path) == of(300)
    assert set(slept) == set(DELAYS[:2])


def test_a_source_that_stays_away(tmp_path: Path) -> None:
    run(of(100), tmp_path)
    with refused("ledger-read-failed", tmp_path):
        run(Flaky(of(300), "ledger-read-failed", 99), tmp_path)


class Fault:
    """An operation on files that fails at the nth call, before or after it takes effect."""

    def __init__(self, real: Callable[..., Any], at: int, number: int, *, persisted: bool) -> None:
        self.real, self.at, self.number, self.persisted = real, at, number, persisted
        self.calls = 0
        self._lock = threading.Lock()

    def __call__(self, *words: Any, **named: Any) -> Any:
        with self._lock:
            self.calls += 1
            mine = self.calls == self.at
        if mine and not self.persisted:
            raise OSError(self.number, os.strerror(self.number))
        done = self.real(*words, **named)
        if mine:
            raise OSError(self.number, os.strerror(self.number))
        return done


OPERATIONS = {
    "open": errno.EROFS,
    "write": errno.ENOSPC,
    "fsync": errno.EIO,
    "replace": errno.ENOSPC,
    "mkdir": errno.ENOSPC,
}
"""What `os` is asked to do, and what it then says."""


@pytest.mark.parametrize(
    "persisted",
    [
        pytest.param(False, id="failed"),
        pytest.param(True, id="failed but persisted", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_write_fails_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, *, persisted: bool
) -> None:
    """After each: the mirror is the old log, whole, or the new one; and the next run ends well."""
    old, new = of(250), of(260)
    real, number = getattr(os, operation), OPERATIONS[operation]
    for at in range(1, 60):
        folder = tmp_path / str(at)
        run(old, folder)
        fault = Fault(real, at, number, persisted=persisted)
        monkeypatch.setattr(os, operation, fault)
        said = attempt(new, folder)
        monkeypatch.setattr(os, operation, real)
        held = check_whole(folder, {250: old, 260: new})
        if fault.calls < at:  # nothing was left to fail
            assert held == 260
            assert at > 3
            return
        run(new, folder)
        assert check_whole(folder, {260: new}) == 260
        if said is None:  # it was of no consequence: a folder that is there, a file to be removed
            assert held == 260
        else:
            assert said.code == "ledger-export-failed"
            assert os.strerror(number) in said.detail
    raise AssertionError("there are more writes than were made to fail")


def attempt(log: Files, folder: Path) -> LedgerError | None:
    try:
        run(log, folder)
    except LedgerError as error:
        return error
    return None


def check_whole(folder: Path, logs: dict[int, Files]) -> int:
    """The folder's checkpoint is of one of these logs, and every file it needs is there."""
    now = files(folder)
    (size,) = (size for size, log in logs.items() if log["checkpoint"] == now["checkpoint"])
    log = logs[size]
    for path in log:
        whole = path.partition(".p/")[0]
        assert now.get(path, now.get(whole, b""))[: len(log[path])] == log[path], path
    return size


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LedgerError) as caught:
        run(of(3), tmp_path / "file")
    assert caught.value.code == "ledger-export-failed"


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long, id="20 rounds")])
def test_killed_at_any_moment(tmp_path: Path, repo: Path, rounds: int) -> None:
    """After SIGKILL the mirror is a whole log, of the size it said or the next; and it goes on."""
    sizes = range(50, 701, 50)
    logs = {size: of(size) for size in sizes}
    for size, log in logs.items():
        for path, data in log.items():
            file = tmp_path / "logs" / f"{size:03}" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    cut = 0
    for number in range(rounds):
        folder = tmp_path / f"mirror {number}"
        wait = number % (len(logs) - 1)
        said = _killed(repo, tmp_path / "logs", folder, wait, 0.02 * number / rounds)
        cut += 0 < len(said) < len(logs)
        held = 0
        if (log_folder(folder, LOG.name) / "checkpoint").exists():
            held = check_whole(folder, logs)
        assert held in {0, *sizes}
        assert held >= max(said, default=0)  # what was published is not lost
        run(logs[700], folder)
        assert check_whole(folder, logs) == 700
    assert rounds < 10 or cut > rounds // 4


def _killed(repo: Path, logs: Path, folder: Path, wait: int, after: float) -> list[int]:
    """Kills a mirror some seconds after it said so many sizes; all the sizes that it said."""
    command = [sys.executable, "-m", "tests.ledger.mirror_child", logs, folder, LOG.key.text()]
    with subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        lines = [process.stdout.readline() for _ in range(wait)]
        time.sleep(after)
        process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
    return [int(line) for line in lines if line.endswith("\n")]


# --- logs of others -------------------------------------------------------------------------------

TESSERA = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


def test_a_foreign_log_at_every_size_it_had(shared: Callable[[str], Path], tmp_path: Path) -> None:
    """The test log of Tessera's POSIX driver: its checkpoints in turn, its own tiles."""
    source = shared("vectors/tessera-posix-log")

    class At(DirectoryReadSide):
        def __init__(self, size: int) -> None:
            super().__init__(source)
            self.size = size

        def read(self, path: str) -> bytes:
            if path == "checkpoint":
                return (source / f"checkpoint.{self.size}").read_bytes()
            return super().read(path)

    demands = Demands(parse_vkey(TESSERA))
    for size in range(1, 16):
        done = mirror(At(size), tmp_path, demands, sleep=lambda _: None)
        assert (done.origin, done.size) == ("example.com/log/testdata", size)
    own = log_folder(tmp_path, done.origin)
    assert (own / "checkpoint").read_bytes() == (source / "checkpoint").read_bytes()
    entries = parse_bundle((own / "tile/entries/000.p/15").read_bytes(), 15)
    assert (own / "tile/0/000.p/15").read_bytes() == b"".join(map(leaf_hash, entries))
    with pytest.raises(LedgerError) as caught:
        mirror(At(7), tmp_path, demands, sleep=lambda _: None)
    assert caught.value.code == "mirror-source-behind"
