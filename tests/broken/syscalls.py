"""Every system call of the SQLite engine on the store's files, failed once (strace -e inject).

Three stretches of a writer's life are traced, each in the one thread that does it: the creation of
a log, opening and closing one, and appending to one. Each is run once undisturbed, which lists its
calls; then once for each call and error. The writer repeats what was refused and may die of it.
"""

import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from tests.broken.check import Verdict, check
from tests.broken.ground import Ground
from tests.broken.summary import Outcome, Unavailable
from tests.broken.writers import Job, Said, Writer, founded

ERRORS = ("EIO", "ENOSPC")
_CALL = re.compile(r"^(\w+)\(.*", re.ASCII)
_INJECTED = "(INJECTED)"
_SECONDS = 90.0
_PATIENCE = 4.0  # seconds, after the first error that a writer was told

# `fold=1`: each commit also folds SQLite's log into the file.
STRETCHES = {
    "creating": Job("", "creating", batches=1, most=8, held="open", create=True, fold=1),
    "opening and closing": Job("", "opening", batches=1, most=8, held="open", fold=1),
    "appending": Job("", "appending", batches=3, most=8, held="append", fold=1),
}


def failed_once(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """At most so many faults of each stretch, chosen at random where there are more."""
    if shutil.which("strace") is None:
        raise Unavailable("strace is not installed")
    template = ground.folder / "template.db"
    founded(f"sqlite:///{template}")
    for name, job in STRETCHES.items():
        outcome = Outcome(f"system calls, {name}")
        calls = Counter(_calls(_traced(ground, template, job, None, outcome)))
        if not {"pwrite64", "fcntl"} <= calls.keys():
            outcome.verdict.wrong.append(f"an undisturbed run made only {dict(calls)}")
        faults = [
            f"{call}:error={error}:when={number}"
            for call, times in sorted(calls.items())
            for error in ERRORS
            for number in range(1, times + 1)
        ]
        ground.source.shuffle(faults)
        for fault in faults[:rounds]:
            lines = _traced(ground, template, job, fault, outcome)
            outcome.faults += sum(_INJECTED in line for line in lines)
        yield outcome


def _traced(
    ground: Ground, template: Path, job: Job, fault: str | None, outcome: Outcome
) -> list[str]:
    """One run on a log of its own, with one fault or none: the trace's lines."""
    folder = ground.folder / "traced"
    folder.mkdir()
    path, trace, said = folder / "ledger.db", ground.folder / "trace", Said()
    if not job.create:
        shutil.copy(template, path)
    job = replace(job, url=f"sqlite:///{path}")
    writer = ground.nursery.start(job, said)
    _until_stopped(writer.pid)
    try:
        thread = _until_told(said) if job.held == "append" else writer.pid
        with _strace(thread, path, trace, fault):
            writer.send(signal.SIGCONT)
            _until_ended(writer, said)
        verdict = check(job.url, said)
    except AssertionError as error:
        writer.kill()
        verdict = Verdict(wrong=[str(error)])
    verdict.wrong = [f"{fault}: {words}" for words in verdict.wrong]
    outcome.checked(verdict, said)
    shutil.rmtree(folder)
    return trace.read_text().splitlines()


def _until_ended(writer: Writer, said: Said) -> None:
    """A writer may also be stuck, as after an unlock that failed, if it says so: then whoever looks
    after it ends it."""
    deadline = told = time.monotonic()
    while not writer.ended(0.05):
        now = time.monotonic()
        told = told if said.errors else now
        assert now < deadline + _SECONDS, f"writer {writer.pid} is stuck, and silent"
        if now > told + _PATIENCE:
            writer.kill()


def _calls(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if found := _CALL.match(line):
            yield found[1]


@contextmanager
def _strace(thread: int, path: Path, trace: Path, fault: str | None) -> Iterator[None]:
    """Follows one thread; only calls on the store's files and their folder count."""
    command = ["strace", "-qq", "-o", str(trace), "-p", str(thread)]
    for beside in (path.parent, path, *(f"{path}{end}" for end in ("-wal", "-shm", "-journal"))):
        command += ["-P", str(beside)]
    if fault is not None:
        command += ["-e", f"inject={fault}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        _until_traced(thread, process)
        try:
            yield
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.terminate()


def _until_traced(thread: int, strace: "subprocess.Popen[str]") -> None:
    while _status(thread, "TracerPid") == "0":
        if strace.poll() is not None:
            assert strace.stderr is not None
            raise Unavailable(f"strace: {strace.stderr.read().strip()}")
        time.sleep(0.002)


def _until_stopped(process: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while not _status(process, "State").startswith("T"):
        assert time.monotonic() < deadline, f"process {process} does not stop"
        time.sleep(0.002)


def _until_told(said: Said) -> int:
    """The thread that writes. It was told before the stop, but may not have been heard yet."""
    deadline = time.monotonic() + _SECONDS
    while not said.thread:
        assert time.monotonic() < deadline, "the writer told no thread"
        time.sleep(0.002)
    return said.thread


def _status(process: int, name: str) -> str:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{name}:"))
