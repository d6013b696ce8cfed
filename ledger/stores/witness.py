"""The state of a witness: one SQLite file of its own, safe for many threads and processes.

    witness   the vkeys it cosigns with: a state belongs to one witness for ever
    log       which logs it witnesses; no more `at_least` than keys
    head      the latest checkpoint cosigned of each
    evidence  signed checkpoints that did not fit

`head` is written under `BEGIN IMMEDIATE` after it was read there, with synchronous=FULL: what was
answered is on the disk. A copy of this file brought back later is a witness that cosigns twice:
never restore one; make a new witness.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path

from keys.custody.file import sync_folder
from ledger.witness.errors import WitnessError, WitnessSetupError
from ledger.witness.model import FORK, UNPROVEN, Evidence, Recorded, WitnessedLog, origin_hash
from verifier.merkle import HASH_SIZE
from verifier.note import VerifierKey, parse_vkey

MAX_EVIDENCE = 32
"""Of each kind, for each log: at most 2 * 32 * 2 notes of up to 128 KiB."""
_FORM = 0x7A6C7701  # "zlw", version 1: the file's application_id
_BUSY = 10.0  # seconds to wait for another process
_TABLES = """
CREATE TABLE witness (vkey TEXT PRIMARY KEY) STRICT;
CREATE TABLE log (
    origin TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE,
    vkeys TEXT NOT NULL, at_least INTEGER NOT NULL, witnessed INTEGER NOT NULL
) STRICT;
CREATE TABLE head (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL,
    stamp INTEGER NOT NULL, note BLOB NOT NULL
) STRICT;
CREATE TABLE evidence (
    id INTEGER PRIMARY KEY, origin TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL,
    root BLOB NOT NULL, seen INTEGER NOT NULL, note BLOB NOT NULL, against BLOB NOT NULL,
    hashes BLOB NOT NULL,
    UNIQUE (origin, kind, size, root)
) STRICT;
"""
_HEAD = "SELECT size, root, stamp, note FROM head WHERE origin = ?"
_EVIDENCE = "SELECT origin, kind, size, root, seen, note, against, hashes FROM evidence ORDER BY id"


class WitnessState:
    """The `ledger.witness.State` in a file; made by `create_state`, opened by `open_state`."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        with _translated():
            self._db = sqlite3.connect(
                path, timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """No thread may use it then."""
        with self._lock:
            self._db.close()

    def own_keys(self) -> tuple[VerifierKey, ...]:
        """The keys of the witness, Ed25519 before ML-DSA-44."""
        with self._reading() as db:
            rows = db.execute("SELECT vkey FROM witness").fetchall()
        return tuple(sorted((parse_vkey(row[0]) for row in rows), key=lambda key: key.type))

    def logs(self) -> Sequence[WitnessedLog]:
        """The logs that are witnessed, by origin."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT origin, vkeys, at_least FROM log WHERE witnessed ORDER BY origin"
            ).fetchall()
        return [WitnessedLog(origin, _vkeys(keys), least) for origin, keys, least in rows]

    def log(self, origin: str) -> WitnessedLog | None:
        with self._reading() as db:
            row = db.execute(
                "SELECT vkeys, at_least FROM log WHERE origin = ? AND witnessed", (origin,)
            ).fetchone()
        return row and WitnessedLog(origin, _vkeys(row[0]), row[1])

    def recorded(self, origin: str) -> Recorded | None:
        with self._reading() as db:
            row = db.execute(_HEAD, (origin,)).fetchone()
        return row and Recorded(*row)

    def recorded_as(self, hashed: str) -> Recorded | None:
        with self._reading() as db:
            row = db.execute("SELECT origin FROM log WHERE hash = ?", (hashed,)).fetchone()
            row = row and db.execute(_HEAD, row).fetchone()
        return row and Recorded(*row)

    def sizes(self) -> Mapping[str, int]:
        with self._reading() as db:
            return dict(
                db.execute(
                    "SELECT log.origin, ifnull(size, 0) FROM log LEFT JOIN head USING (origin)"
                    " WHERE witnessed ORDER BY log.origin"
                )
            )

    def kept(self) -> Mapping[str, int]:
        with self._reading() as db:
            counts = dict(db.execute("SELECT kind, count(*) FROM evidence GROUP BY kind"))
        return {kind: counts.get(kind, 0) for kind in (FORK, UNPROVEN)}

    def advance(self, origin: str, decide: Callable[[Recorded | None], Recorded]) -> Recorded:
        with self._writing() as db:
            row = db.execute(_HEAD, (origin,)).fetchone()
            new = decide(row and Recorded(*row))
            db.execute(
                "INSERT OR REPLACE INTO head VALUES (?, ?, ?, ?, ?)",
                (origin, new.size, new.root, new.stamp, new.note),
            )
            db.execute(  # the log has proved it since
                "DELETE FROM evidence WHERE origin = ? AND kind = ? AND size = ? AND root = ?",
                (origin, UNPROVEN, new.size, new.root),
            )
        return new

    def add_log(self, log: WitnessedLog, *, replace: bool = False) -> None:
        """Witness a log from now on; `replace` its keys and keep what is on record of it.

        One that was dropped is taken up where it was left. `witness-log-exists`.
        """
        vkeys = "\n".join(key.text() for key in log.keys)
        with self._writing() as db:
            row = db.execute(
                "SELECT vkeys, at_least, witnessed FROM log WHERE origin = ?", (log.origin,)
            ).fetchone()
            if row and row != (vkeys, log.at_least, row[2]) and not replace:
                raise WitnessSetupError("witness-log-exists", log.origin[:64])
            db.execute(
                "INSERT OR REPLACE INTO log VALUES (?, ?, ?, ?, 1)",
                (log.origin, origin_hash(log.origin), vkeys, log.at_least),
            )

    def drop_log(self, origin: str) -> None:
        """Witness it no longer; what is on record stays. `witness-log-unknown`."""
        with self._writing() as db:
            done = db.execute(
                "UPDATE log SET witnessed = 0 WHERE origin = ? AND witnessed", (origin,)
            )
            if not done.rowcount:
                raise WitnessError("witness-log-unknown", origin[:64])

    def keep(self, evidence: Evidence) -> bool:
        hashes = b"".join(evidence.hashes)
        with self._reading() as db:
            if _is_kept(db, evidence):
                return False
        with self._writing() as db:
            db.execute(
                "INSERT OR IGNORE INTO evidence"
                " (origin, kind, size, root, seen, note, against, hashes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*_mark(evidence), evidence.seen, evidence.note, evidence.against, hashes),
            )
            # Of forks the first stay: the newest must not push out what convicts the log.
            db.execute(
                "DELETE FROM evidence WHERE id IN (SELECT id FROM evidence"
                " WHERE origin = ?1 AND kind = ?2 ORDER BY iif(kind = ?3, id, -id)"
                " LIMIT -1 OFFSET ?4)",
                (evidence.origin, evidence.kind, FORK, MAX_EVIDENCE),
            )
            return _is_kept(db, evidence)

    def evidence(self) -> Sequence[Evidence]:
        """All that is kept, oldest first."""
        with self._reading() as db:
            rows = db.execute(_EVIDENCE).fetchall()
        return [Evidence(*(*row[:7], _split(row[7]))) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated():
            yield self._db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def create_state(path: Path, keys: Sequence[VerifierKey]) -> WitnessState:
    """A new state for a witness with these keys; `witness-state-exists`."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError as error:
        raise WitnessSetupError("witness-state-exists", path.name) from error
    with _translated(), closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";\n"):
            db.execute(statement)
        db.executemany("INSERT INTO witness VALUES (?)", [(key.text(),) for key in keys])
        db.execute(f"PRAGMA application_id = {_FORM}")
        db.execute("COMMIT")
    sync_folder(path.parent)
    return WitnessState(path)


def open_state(path: Path, keys: Sequence[VerifierKey] | None = None) -> WitnessState:
    """The state at `path`, which must be that of the witness with `keys`, where they are given.

    `witness-state-missing`, `witness-state-foreign`.
    """
    if not path.is_file():
        raise WitnessSetupError("witness-state-missing", path.name)
    state = WitnessState(path)
    with state._reading() as db:
        form = db.execute("PRAGMA application_id").fetchone()[0]
    if form != _FORM or (keys is not None and set(keys) != set(state.own_keys())):
        state.close()
        raise WitnessSetupError("witness-state-foreign", path.name)
    return state


def _mark(evidence: Evidence) -> tuple[str, str, int, bytes]:
    return evidence.origin, evidence.kind, evidence.size, evidence.root


def _is_kept(db: sqlite3.Connection, evidence: Evidence) -> bool:
    found = db.execute(
        "SELECT 1 FROM evidence WHERE origin = ? AND kind = ? AND size = ? AND root = ?",
        _mark(evidence),
    )
    return found.fetchone() is not None


def _split(hashes: bytes) -> tuple[bytes, ...]:
    return tuple(hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE))


@lru_cache(maxsize=256)
def _vkeys(text: str) -> tuple[VerifierKey, ...]:
    return tuple(map(parse_vkey, text.split("\n")))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        raise WitnessError(
            "witness-busy" if busy else "witness-state-failed", str(error)
        ) from error
    except sqlite3.Error as error:
        raise WitnessError("witness-state-failed", str(error)) from error
