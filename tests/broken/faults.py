"""The fault table: every step of the driver failed, failed but persisted, failed and all after it.

`tests.ledger.test_faults` and `test_postgres_faults` hold the exact answers; here are more acts,
with real statements, and the whole check after each fault. An act is run once undisturbed, which
lists its steps, then once for each step and mode. On PostgreSQL the connection breaks with the
fault, or the server reports a full disk and the connection goes on.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from keys.signer import SoftwareSigner
from keys.suites import SUITES
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Draft, Published
from ledger.stores import open_store
from ledger.stores.base import Store
from ledger.stores.postgres import PostgresStore
from ledger.stores.sqlite import SqliteStore
from tests.broken import load
from tests.broken.check import check
from tests.broken.ground import Ground
from tests.broken.summary import Outcome
from tests.broken.writers import Said, founded, open_ledger
from tests.ledger.appender import note_all
from tests.ledger.faulty import DEAD, FAILED, PERSISTED, FaultyConnection, FaultyPostgres, Plan
from tests.postgres import Server, running
from verifier.note import NoteSigner
from verifier.policy import Policy, parse_policy

BEFORE = 250
"""Entries that are there before: an act of ten completes the first tile."""

_WITNESS = NoteSigner("witness.example", SoftwareSigner(SUITES[-19], bytes(32)), 0x04)
_POLICY = parse_policy(f"witness one {_WITNESS.key.text()} https://witness.example\nquorum one\n")

Act = Callable[[Ledger, Said], None]


def _append(drafts: Sequence[Draft], *, rows: bool = False) -> Act:
    def act(ledger: Ledger, said: Said) -> None:
        done = ledger.append(drafts, note_all) if rows else ledger.append(drafts)
        for a in done.appended:
            said.hear(f"{'r' if rows else 'a'} {a.index} {a.leaf_hash.hex()}")

    return act


def _finalise(ledger: Ledger, _said: Said) -> None:
    """What the witnesses' answers lead to; whether they meet the policy is not asked here."""
    ledger.finalise(Published(ledger.size, ledger.signed_checkpoint()))


def _start(ledger: Ledger, _said: Said) -> None:
    """A start that finds committed entries without a checkpoint signs and publishes it."""
    open_ledger(ledger.store).close()


_TEN = load.licences("ten", 0, 10)
ACTS: dict[str, Act] = {
    "ten entries with a domain row each, which complete a tile": _append(_TEN, rows=True),
    "three entries": _append(load.licences("three", 0, 3)),
    "a bulk of six hundred": _append(load.licences("bulk", 0, 600)),
    "entries of which half are there": _append([*load.licences("before", 100, 10), *_TEN]),
    "finalising": _finalise,
    "starting": _start,
}


@dataclass(frozen=True)
class Engine:
    """How a store is made in which steps can break. `copy` gives the address of a log of its own,
    as `prepared` left it."""

    name: str
    connection: type[FaultyConnection] | type[FaultyPostgres]
    opened: Callable[[str, str], Store]
    copy: Callable[[str], AbstractContextManager[str]]


def sqlite(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """At most so many faults, chosen at random where there are more."""
    templates = {name: ground.folder / f"{number}.db" for number, name in enumerate(ACTS)}
    for name, path in templates.items():
        _prepared(f"sqlite:///{path}", name)

    @contextmanager
    def copy(name: str) -> Iterator[str]:
        path = ground.folder / "case.db"
        shutil.copy(templates[name], path)
        yield f"sqlite:///{path}"
        for left in ground.folder.glob("case.db*"):
            left.unlink()

    def opened(url: str, _mode: str) -> Store:
        path = Path(url.removeprefix("sqlite:///"))
        return SqliteStore(path, connection_class=FaultyConnection)

    outcome = Outcome("fault table, SQLite")
    engine = Engine("sqlite", FaultyConnection, opened, copy)
    cases = [
        (name, at, mode)
        for name in ACTS
        for at in range(_steps(engine, name))
        for mode in (FAILED, PERSISTED, DEAD)
    ]
    ground.source.shuffle(cases)
    for name, at, mode in cases[:rounds]:
        _one(engine, name, Plan(at, mode), outcome)
    yield outcome


def postgres(ground: Ground, rounds: int) -> Iterator[Outcome]:
    with running() as server:
        yield from _postgres(ground, server, rounds)


def _postgres(ground: Ground, server: Server, rounds: int) -> Iterator[Outcome]:
    templates = {name: f"template_{number}" for number, name in enumerate(ACTS)}
    for name, database in templates.items():
        server.ask(f"CREATE DATABASE {database}")
        _prepared(server.url(database), name)

    @contextmanager
    def copy(name: str) -> Iterator[str]:
        server.ask(f"CREATE DATABASE one_case TEMPLATE {templates[name]}")
        yield server.url("one_case")
        server.ask("DROP DATABASE one_case WITH (FORCE)")

    def opened(url: str, mode: str) -> Store:
        seconds = 0.1 if mode == DEAD else 30.0
        return PostgresStore(url, busy_seconds=seconds, connection_class=FaultyPostgres)

    outcome = Outcome("fault table, PostgreSQL")
    engine = Engine("postgres", FaultyPostgres, opened, copy)
    gone, full = psycopg.OperationalError, psycopg.errors.DiskFull
    cases = [
        (name, at, mode, error)
        for name in ACTS
        for at in range(_steps(engine, name))
        for mode, error in (
            (FAILED, gone), (PERSISTED, gone), (DEAD, gone), (FAILED, full), (PERSISTED, full),
        )
    ]  # fmt: skip
    ground.source.shuffle(cases)
    try:
        for name, at, mode, error in cases[:rounds]:
            FaultyPostgres.breaks = error is gone
            _one(engine, name, Plan(at, mode, error), outcome)
    finally:
        FaultyPostgres.breaks = True
    yield outcome


def _prepared(url: str, name: str) -> None:
    """A log before the act."""
    founded(url)
    store = open_store(url)
    with open_ledger(store, policy=_policy_of(name)) as ledger:
        ledger.append(load.licences("before", 0, BEFORE - ledger.size))
        if name == "starting":
            store.publish = _refused  # type: ignore[method-assign, assignment]
            try:
                ledger.append(_TEN, note_all)
            except LedgerError as error:
                assert error.code == "ledger-logged-not-published"  # noqa: PT017
    store.close()


def _refused(*_: object) -> Published:
    raise LedgerError("ledger-store-failed", "the process dies here")


def _policy_of(name: str) -> Callable[[int], Policy | None]:
    return lambda _size: _POLICY if name == "finalising" else None


def _steps(engine: Engine, name: str) -> int:
    plan = Plan()
    outcome = Outcome("undisturbed")
    _one(engine, name, plan, outcome)
    assert outcome.verdict.ok, outcome.verdict
    return len(plan.steps)


def _one(engine: Engine, name: str, plan: Plan, outcome: Outcome) -> None:
    """The act under one fault; then again, by the same ledger, without; then the check."""
    said, act = Said(), ACTS[name]
    with engine.copy(name) as url:
        store = engine.opened(url, plan.mode)
        # For the act of starting there must not be a writer yet, who would publish.
        ledger = (
            Ledger.open(store, origin=load.city().origin, signers=[], clock=lambda: 0.0)
            if act is _start
            else open_ledger(store, policy=_policy_of(name))
        )
        engine.connection.plan = plan
        try:
            act(ledger, said)
        except (LedgerError, SQLAlchemyError) as error:
            said.hear(f"e {getattr(error, 'code', type(error).__name__)}")
        finally:
            engine.connection.plan = None
        outcome.faults += plan.at is not None and len(plan.steps) > plan.at
        said.notes |= {ledger.checkpoint(), ledger.signed_checkpoint()}
        act(ledger, said)
        said.notes |= {ledger.checkpoint(), ledger.signed_checkpoint()}
        if act is _finalise and ledger.final_size != ledger.size:
            said.unexpected.append("what was finalised is not final")
        ledger.close()
        store.close()
        verdict = check(url, said)
    verdict.wrong = [f"{name}, {plan.steps[plan.at or 0]}, {plan.mode}: {w}" for w in verdict.wrong]
    outcome.checked(verdict, said)
