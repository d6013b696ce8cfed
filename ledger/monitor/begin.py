"""Beginning to follow a log: whose folder it is, and under which key the log is followed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ledger.errors import LedgerError
from ledger.monitor.errors import MonitorError
from ledger.monitor.mirror import Put
from ledger.monitor.state import State, load, save
from ledger.readside import CHECKPOINT, ReadSide, read_bundle
from verifier.authorities import Authorities
from verifier.checkpoint import parse_checkpoint
from verifier.errors import Refused
from verifier.note import VerifierKey, parse_note, parse_vkey
from verifier.statement import parse_statement
from verifier.tiles import FULL_WIDTH


def begin(folder: Path, source: ReadSide, log_vkey: str | None, tree_only: bool, put: Put) -> State:
    """What is remembered in `folder`, or a new memory under the key given or, without one, under
    the key that the log itself names. Errors: `monitor-other-log`, `monitor-no-log-key`."""
    for draft in (*folder.glob(".*.new"), *folder.glob("*/.*.new")):
        draft.unlink(missing_ok=True)  # of a process that was killed as it wrote
    state = load(folder)
    if state is not None:
        if (log_vkey or state.log[0], tree_only) != (state.log[0], state.tree_only):
            raise MonitorError("monitor-other-log", state.log[0])
        return state
    trust = "first-use" if log_vkey is None else "given"
    key = _first_key(source) if log_vkey is None else parse_vkey(log_vkey)
    state = State([key.text()], trust, tree_only)
    save(folder, state, put)
    return state


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """`folder`, made where needed, for this process alone. Error: `monitor-busy`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MonitorError("monitor-write-failed", f"{folder.name}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MonitorError("monitor-busy", folder.name) from error
        yield
    finally:
        with suppress(OSError):
            os.close(fd)


def _first_key(source: ReadSide) -> VerifierKey:
    """The key that the log's first entry names: trusted on first use."""
    genesis = Authorities()
    try:
        size = parse_checkpoint(parse_note(source.read(CHECKPOINT)).text).size
        entries = read_bundle(source, 0, min(size, FULL_WIDTH)) if size else []
        if entries:
            genesis.enrol(parse_statement(entries[0]), 0)
    except (Refused, LedgerError) as error:
        raise MonitorError("monitor-no-log-key", f"{error.code} {error.detail}".rstrip()) from error
    if genesis.log_key is None:
        raise MonitorError("monitor-no-log-key", "the first entry is no genesis")
    return genesis.log_key
