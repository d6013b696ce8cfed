"""A SQLite driver connection that breaks on command: any one step, in one of three ways."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

FAILED, PERSISTED, DEAD = "failed", "failed but persisted", "failed, and all after it"


@dataclass
class Plan:
    """Counts the steps of the driver; breaks the one numbered `at`, from 0, in the way `mode`."""

    at: int | None = None
    mode: str = FAILED
    steps: list[str] = field(default_factory=list)

    def run(self, step: str, work: Callable[[], Any]) -> Any:
        number = len(self.steps)
        self.steps.append(step)
        if self.at is None or number < self.at or (number > self.at and self.mode != DEAD):
            return work()
        if self.mode == PERSISTED:
            work()
        raise sqlite3.OperationalError(f"injected: {self.mode} at {step}")


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


def _step(label: str, work: Callable[[], Any]) -> Any:
    plan = FaultyConnection.plan
    if plan is None or label.startswith("PRAGMA"):
        return work()
    return plan.run(label, work)


def _label(sql: str) -> str:
    words = sql.split()
    verb = words[0].upper()
    after = {"INSERT": "INTO", "SELECT": "FROM", "DELETE": "FROM"}.get(verb)
    if after:
        return f"{verb} {words[words.index(after) + 1]}"
    return " ".join(words[:2])
