"""Driver connections that break on command: any one step, in one of three ways."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import psycopg
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, exists, insert, literal
from sqlalchemy import select as select_

from ledger.model import Appended

FAILED, PERSISTED, DEAD = "failed", "failed but persisted", "failed, and all after it"

APP = MetaData()
RECORDS = Table(
    "records", APP, Column("idx", Integer, primary_key=True), Column("name", Text, nullable=False)
)


def write_record(connection: Connection, appended: Sequence[Appended]) -> None:
    """A domain row for the first entry; repeating it is harmless, as effects should be."""
    index = appended[0].index
    there = exists().where(RECORDS.c.idx == index)
    row = select_(literal(index), literal("甲")).where(~there)
    connection.execute(insert(RECORDS).from_select(["idx", "name"], row))


def _sqlite_error(words: str) -> Exception:
    return sqlite3.OperationalError(words)


@dataclass
class Plan:
    """Counts the steps of the driver; breaks the one numbered `at`, from 0, in the way `mode`."""

    at: int | None = None
    mode: str = FAILED
    error: Callable[[str], Exception] = _sqlite_error
    steps: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        number = len(self.steps)
        self.steps.append(label)
        whole = self.at is None or number < self.at or (number > self.at and self.mode != DEAD)
        if whole or self.mode == PERSISTED:
            yield
        if not whole:
            raise self.error(f"injected: {self.mode} at {label}")


class FaultyConnection(sqlite3.Connection):
    """Every statement and transaction step goes through the plan, when there is one."""

    plan: ClassVar[Plan | None] = None

    def cursor(self, *_args: Any) -> "FaultyCursor":  # type: ignore[override]
        return super().cursor(FaultyCursor)

    def commit(self) -> None:
        _step("COMMIT", super().commit)

    def rollback(self) -> None:
        _step("ROLLBACK", super().rollback)


class FaultyCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = ()) -> "FaultyCursor":
        _step(_label(sql), lambda: super(FaultyCursor, self).execute(sql, parameters))
        return self

    def executemany(self, sql: str, parameters: Any) -> "FaultyCursor":
        _step(_label(sql), lambda: super(FaultyCursor, self).executemany(sql, parameters))
        return self


def _step(label: str, work: Callable[[], Any]) -> None:
    plan = FaultyConnection.plan
    if plan is None or label.startswith("PRAGMA"):
        work()
        return
    _run(plan, label, work)


class FaultyPostgres(psycopg.Connection[Any]):
    """The same for PostgreSQL. With `breaks` the connection is gone after a fault, as when the
    server or the network is; otherwise the server has reported the fault and goes on."""

    plan: ClassVar[Plan | None] = None
    breaks: ClassVar[bool] = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cursor_factory = FaultyPostgresCursor

    @classmethod
    def connect(cls, *arguments: Any, **named: Any) -> "FaultyPostgres":  # type: ignore[override]
        plan = cls.plan
        if plan is not None and plan.mode == DEAD and plan.at is not None:
            with plan.step("CONNECT"):
                pass
        made = super().connect(*arguments, **named)
        assert isinstance(made, FaultyPostgres)
        return made

    def commit(self) -> None:
        with self.step("COMMIT"):
            super().commit()

    def rollback(self) -> None:
        with self.step("ROLLBACK"):
            super().rollback()

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        if self.plan is None or label == "SELECT set_config('lock_timeout',":
            yield
            return
        try:
            with self.plan.step(label):
                yield
        except psycopg.Error as error:
            if self.breaks and "injected" in str(error):
                self.close()
            raise


class FaultyPostgresCursor(psycopg.Cursor[Any]):
    def execute(self, query: Any, *arguments: Any, **named: Any) -> "FaultyPostgresCursor":
        with self._step(query):
            super().execute(query, *arguments, **named)
        return self

    def executemany(self, query: Any, *arguments: Any, **named: Any) -> None:
        with self._step(query):
            super().executemany(query, *arguments, **named)

    @contextmanager
    def copy(self, statement: Any, *arguments: Any, **named: Any) -> Iterator[psycopg.Copy]:
        with self._step(statement), super().copy(statement, *arguments, **named) as copy:
            yield copy

    @contextmanager
    def _step(self, query: Any) -> Iterator[None]:
        connection = self.connection
        assert isinstance(connection, FaultyPostgres)
        with connection.step(_label(str(query))):
            yield


def _run(plan: Plan, label: str, work: Callable[[], Any]) -> None:
    with plan.step(label):
        work()


def _label(sql: str) -> str:
    words = sql.split()
    verb = words[0].upper()
    after = {"INSERT": "INTO", "SELECT": "FROM", "DELETE": "FROM"}.get(verb)
    if after and after in words:
        return f"{verb} {words[words.index(after) + 1]}"
    return " ".join(words[:2])
