"""A batch of rows on its way into the ledger: what is signed, and the rows that go with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert

from api.imports.jobs import RowFault
from api.licence_rows import Held, Prepared, apply_state
from api.licences import Licences
from api.tables import ACTS
from ledger.model import Appended, Draft
from verifier.kinds import LICENCE, LICENCE_STATE
from verifier.merkle import leaf_hash


@dataclass(frozen=True, slots=True)
class _Act:
    """A change of state: of a licence in the batch (`held` None: its row says it already)."""

    position: int  # of its draft
    record_id: str
    held: Held | None
    state: int
    reason: str


@dataclass
class Batch:
    """Drafts in ledger order, and what `write` stores beside them."""

    licences: Licences
    client: str
    before: int
    """Position of the job before this batch; `after` counts up from there."""
    now: int
    after: int = 0
    drafts: list[Draft] = field(default_factory=list)
    prepared: list[Prepared] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    acts: list[_Act] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def issue(self, prepared: Prepared) -> None:
        self.positions.append(len(self.drafts))
        self.prepared.append(prepared)
        self.drafts.append(Draft(prepared.statement, LICENCE, prepared.row["department"]))

    def end(self, held: Held, state: int, reason: str, row: dict[str, Any] | None) -> bytes:
        """Adds a change of state; returns its leaf. `row`: that of a licence of this batch."""
        # Its own time: what it follows may have been signed later than the batch was begun.
        now = self.licences.city.now()
        statement = self.licences.state_statement(held, state, reason, now)
        leaf = leaf_hash(statement)
        if row is not None:
            row.update(state=state, head_leaf=leaf)
        self.acts.append(
            _Act(len(self.drafts), held.record_id, None if row else held, state, reason)
        )
        department = self.licences.city.acting(held.department)
        self.drafts.append(Draft(statement, LICENCE_STATE, department))
        return leaf

    def write(self, connection: Connection, appended: Sequence[Appended]) -> None:
        """The rows of the batch. Raises as `Licences.store` and `apply_state`."""
        if self.prepared:
            entries = [appended[position] for position in self.positions]
            self.licences.store(connection, self.prepared, entries)
        rows = []
        for act in self.acts:
            entry = appended[act.position]
            if act.held is not None:
                apply_state(
                    connection, act.held, entry, act.state, act.reason, self.client, self.now
                )
                continue
            rows.append(
                {
                    "idx": entry.index,
                    "record_id": act.record_id,
                    "kind": LICENCE_STATE,
                    "state": act.state,
                    "reason": act.reason,
                    "client": self.client,
                    "at": self.now,
                }
            )
        if rows:
            connection.execute(insert(ACTS), rows)
