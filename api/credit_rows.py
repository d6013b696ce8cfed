"""The rows of credit entries: how an act moves one on, and how they are found and opened.

An act is signed, logged and applied to its row in one transaction, and only from the act that it
names as its predecessor. Which act may follow is one table, `verifier.credit`. What an entry says
is sealed per record; each act that brings text along seals the whole history anew.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.city import City
from api.errors import ServiceError
from api.rules.credit import rules_named, term
from api.rules.days import china_day, day_number, day_of
from api.tables import ACTS, CREDITS
from ledger.model import Appended, Committed, Draft
from verifier.codec import cbor_decode, cbor_encode
from verifier.credit import CREDIT_STEPS, SHOWN, Phase
from verifier.disclosure import MAX_DISCLOSURE, disclosure_digest, parse_disclosure
from verifier.kinds import CREDIT, CREDIT_CORRECTED, KINDS
from verifier.statement import Content

MAX_BOX = 1 << 20
"""Bytes of all that one entry holds: its versions, disputes and answers."""
VERSIONS = frozenset({CREDIT, CREDIT_CORRECTED})
"""Acts that bring the fields of the entry along; the others bring a text."""


@dataclass(frozen=True, slots=True)
class Acted:
    """A logged act. `due_day` and `late` are told of a publication."""

    record_id: str
    kind: int
    phase: Phase
    index: int
    leaf: bytes
    rule_set: str
    until_day: int
    due_day: int | None = None
    late: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one act brought along: the entry's fields, or the text of a dispute or answer."""

    kind: int
    disclosures: Sequence[bytes]

    @property
    def fields(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for raw in self.disclosures:
            values.update(parse_disclosure(raw).fields)
        return values


@dataclass(frozen=True, slots=True)
class Step:
    """An act about to be signed: its payload beside what every act has, and the row's changes."""

    kind: int
    reason: str | None = None
    disclosures: Sequence[bytes] = ()
    valid_from: int | None = None
    valid_until: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    due_day: int | None = None


Remember = Callable[[Connection, Acted], None]
"""Runs in the transaction of the act, once its ledger index is known."""


class CreditRows:
    """The credit entries of one city, as rows."""

    def __init__(self, city: City) -> None:
        self.city = city

    # looking up

    def row(self, record_id: str) -> Row[Any]:
        """The entry of a record id, or `credit-unknown`."""
        rows = self._rows(CREDITS.c.record_id == record_id, limit=1)
        if not rows:
            raise ServiceError("credit-unknown", record_id[:40])
        return rows[0]

    def of_subject(
        self, nym: bytes, *, before: int | None = None, limit: int | None = None
    ) -> list[Row[Any]]:
        """Every entry about a subject, newest first; those older than ledger index `before`."""
        return self._rows(CREDITS.c.subject_nym == nym, before=before, limit=limit)

    def shown(
        self, nym: bytes, *, before: int | None = None, limit: int | None = None
    ) -> list[Row[Any]]:
        """What the public sees now of an organisation's entries."""
        today = day_number(china_day(self.city.now()))
        return self._rows(
            CREDITS.c.subject_nym == nym,
            CREDITS.c.organisation,
            CREDITS.c.phase.in_(SHOWN),
            CREDITS.c.until_day >= today,
            before=before,
            limit=limit,
        )

    def of_departments(
        self,
        departments: Sequence[str] | None,
        *,
        before: int | None = None,
        limit: int | None = None,
    ) -> list[Row[Any]]:
        """Entries of these departments, or everybody's, newest first."""
        own = [] if departments is None else [CREDITS.c.department.in_(departments)]
        return self._rows(*own, before=before, limit=limit)

    def in_force(self, nym: bytes, types: Sequence[str]) -> list[Row[Any]]:
        """Entries of these types that count against a subject today, disputed ones included.

        An organisation's counts from its publication (an unpublished measure may not be applied),
        a person's, which is never published, from its record.
        """
        today = day_number(china_day(self.city.now()))
        rows = self._rows(
            CREDITS.c.subject_nym == nym,
            CREDITS.c.type_code.in_(types),
            CREDITS.c.phase != Phase.ENDED,
            CREDITS.c.until_day >= today,
        )
        return [row for row in rows if row.phase in SHOWN or not row.organisation]

    def parts(self, row: Row[Any]) -> list[Part]:
        """What the entry's acts brought along, in order; `record-erased` once destroyed."""
        opened = self.city.vault.open(row.record_id, row.wrapped_key, row.box)
        return [Part(kind, raws) for kind, raws in cbor_decode(opened, max_bytes=MAX_BOX)]

    def acts(self, record_ids: Sequence[str]) -> dict[str, list[Row[Any]]]:
        """Acts after the first, by record id, in ledger order."""
        found: dict[str, list[Row[Any]]] = {record_id: [] for record_id in record_ids}
        query = select(ACTS).where(ACTS.c.record_id.in_(record_ids)).order_by(ACTS.c.idx)
        with self.city.store.read() as reader:
            for act in reader.connection.execute(query):
                found[act.record_id].append(act)
        return found

    def repairable_from(self, row: Row[Any]) -> date:
        """First day on which the entry may be repaired."""
        catalogue = self.city.catalogue
        type_ = catalogue.credit_type(row.type_code)
        rules = rules_named(catalogue, row.rule_set)
        document = day_of(row.document_day)
        return term(catalogue, rules, type_, row.grade, document, None).repairable_from

    def _rows(
        self, *where: ColumnElement[bool], before: int | None = None, limit: int | None = None
    ) -> list[Row[Any]]:
        query = select(CREDITS).where(*where).order_by(CREDITS.c.record_index.desc())
        if before is not None:
            query = query.where(CREDITS.c.record_index < before)
        with self.city.store.read() as reader:
            return list(reader.connection.execute(query.limit(limit)).all())

    # moving on

    def act(
        self, client: str, row: Row[Any], step: Step, now: int, effects: Remember | None
    ) -> Acted:
        return self.submit(client, row, step, now, effects).result().result

    def submit(
        self, client: str, row: Row[Any], step: Step, now: int, effects: Remember | None
    ) -> "Future[Committed[Acted]]":
        """Signs the act and queues it with the row's changes, under compare-and-swap."""
        phase = next_phase(row, step.kind)
        rule_set = step.changes.get("rule_set", row.rule_set)
        content = Content(
            step.kind,
            type_code=row.type_code,
            valid_from=step.valid_from,
            valid_until=step.valid_until,
            predecessor=row.head_leaf,
            rule_set=rule_set,
            digests=[disclosure_digest(raw) for raw in step.disclosures],
            reason=step.reason,
            facts=step.facts,
        )
        statement = self.city.sign(
            content, department=row.department, record_id=row.record_id, at=now
        )
        changes = {**step.changes, "phase": phase, "last_kind": step.kind}
        if step.disclosures:
            packed = pack([*self.parts(row), Part(step.kind, step.disclosures)])
            sealed = self.city.vault.seal(row.record_id, packed)
            changes |= {"wrapped_key": sealed.wrapped_key, "box": sealed.box}

        def write(connection: Connection, appended: Sequence[Appended]) -> Acted:
            (entry,) = appended
            move_on(connection, row, entry, step.kind, changes)
            remember_act(connection, row.record_id, entry, step.kind, step.reason, client, now)
            acted = Acted(
                row.record_id,
                step.kind,
                phase,
                entry.index,
                entry.leaf_hash,
                rule_set,
                changes.get("until_day", row.until_day),
                step.due_day,
                changes.get("late"),
            )
            if effects is not None:
                effects(connection, acted)
            return acted

        draft = Draft(statement, step.kind, self.city.acting(row.department))
        return self.city.submit([draft], write)


def move_on(
    connection: Connection,
    row: Row[Any],
    entry: Appended,
    kind: int,
    changes: Mapping[str, Any],
) -> None:
    """Compare-and-swap on the entry's last act; `credit-changed-meanwhile`, `credit-exists`."""
    change = (
        update(CREDITS)
        .where(CREDITS.c.record_id == row.record_id, CREDITS.c.head_leaf == row.head_leaf)
        .values(head_leaf=entry.leaf_hash, **changes)
    )
    try:
        moved = connection.execute(change)
    except IntegrityError as error:
        raise ServiceError("credit-exists", row.record_id) from error
    if moved.rowcount != 1:
        raise ServiceError("credit-changed-meanwhile", KINDS[kind].name)


def remember_act(
    connection: Connection,
    record_id: str,
    entry: Appended,
    kind: int,
    reason: str | None,
    client: str,
    now: int,
) -> None:
    """Keeps who did what in the history of a record."""
    act = {
        "idx": entry.index,
        "record_id": record_id,
        "kind": kind,
        "state": None,
        "reason": reason,
        "client": client,
        "at": now,
    }
    connection.execute(insert(ACTS), act)


def next_phase(row: Row[Any], kind: int) -> Phase:
    """Where an act leads; `record-erased`, or `credit-transition-forbidden`."""
    if row.wrapped_key is None:
        raise ServiceError("record-erased", row.record_id)
    before = Phase(row.phase)
    after = CREDIT_STEPS[before].get(kind)
    if after is None:
        detail = f"{before.name.lower()} → {KINDS[kind].name}"
        raise ServiceError("credit-transition-forbidden", detail)
    return after


def pack(parts: Sequence[Part]) -> bytes:
    """What is sealed of an entry; `request-too-large` beyond `MAX_BOX`."""
    for part in parts:
        if any(len(raw) > MAX_DISCLOSURE for raw in part.disclosures):
            raise ServiceError("request-too-large", "one disclosure")
    packed = cbor_encode([[part.kind, list(part.disclosures)] for part in parts])
    if len(packed) > MAX_BOX:
        raise ServiceError("request-too-large", "the entry's history")
    return packed
