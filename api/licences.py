"""Issuing licences and changing their state: the use-cases, one transaction each.

`prepare` validates, makes disclosures and signs; `issue` and `issue_many` log what was prepared
together with its rows; `change_state` suspends, restores and ends. A statement is logged in the
same transaction as the row that it changes, and that row is only changed from the state which the
statement names as its predecessor: two clerks at once cannot both succeed.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, func, select

from api.city import City
from api.errors import ServiceError
from api.licence_rows import (
    IN_CHUNK,
    Held,
    Issued,
    Prepared,
    Read,
    StateChanged,
    apply_state,
    check_renewable,
    chunks,
    held_of,
    insert_licences,
    mark_renewed,
    validity_days,
)
from api.principals import Principal, Role
from api.rules.catalogue import LicenceType, Value, disclosure_groups, validate_fields
from api.rules.days import china_day, day_number
from api.status_indices import StatusIndices
from api.tables import ACTS, LICENCES
from ledger.model import Appended, Draft
from verifier.codec import cbor_decode, cbor_encode
from verifier.disclosure import SALT_SIZE, disclosure_digest, make_disclosure
from verifier.kinds import LICENCE, LICENCE_STATE
from verifier.merkle import leaf_hash
from verifier.statement import Content
from verifier.states import LAPSED, STATES, VALID, may_follow

_MAX_BOX = 1 << 20
MAX_MANY = 1_000
"""Licences of one `issue_many`."""
REPLACED = "replaced"
"""Reason of the catalogue: 变更、换发或补发，原证失效."""
MAX_AHEAD_DAYS = 366
"""A licence may be issued for a term that begins this many days from now."""

_IN_FORCE = frozenset(number for number, state in STATES.items() if not state.final)


class Licences:
    """The licence use-cases of one city."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.indices = StatusIndices(city)
        self._ruled = (date.min, "")  # a day, and the rule set in force on it

    # issuing

    def prepare(
        self,
        type_: LicenceType,
        raw: Mapping[str, object],
        *,
        renews: Held | None = None,
        record_id: str | None = None,
    ) -> Prepared:
        """Validates fields and signs; writes nothing but the reservation of a status index.

        Raises `ServiceError`: fields-invalid (with every fault), signer-missing,
        licence-dates-invalid, renewal-of-another.
        """
        return self.make(type_, self.read(type_, raw), renews=renews, record_id=record_id)

    def read(self, type_: LicenceType, raw: Mapping[str, object]) -> Read:
        """Validates fields and dates: fields-invalid, licence-dates-invalid."""
        values = validate_fields(type_, raw)
        start, end = validity_days(type_, values)
        if start > day_number(china_day(self.city.now())) + MAX_AHEAD_DAYS:
            raise ServiceError("licence-dates-invalid", f"{values[type_.from_field]} –")
        return Read(values, start, end)

    def make(
        self,
        type_: LicenceType,
        read: Read,
        *,
        renews: Held | None = None,
        version: int | None = None,
        record_id: str | None = None,
        number_nym: bytes | None = None,
    ) -> Prepared:
        """`prepare` of values that were read. `version` where it does not follow from `renews`;
        `number_nym` where the caller has it already."""
        city, values = self.city, read.values
        now = city.now()
        chosen = city.choose(type_.issuer, type_.code, now)
        department = chosen.department.slug
        if renews is not None and (
            renews.type_code != type_.code or city.acting(renews.department) != department
        ):
            raise ServiceError("renewal-of-another", renews.record_id)
        number_nym = number_nym or self.number_nym(type_, str(values[type_.number_field]))
        record_id = record_id or city.new_record_id()
        holder_nym = self._holder_nym(type_, values, record_id)
        # Without a holder's code, as in old records, the same number says that it is the same.
        known = type_.holder_code_field in values
        if renews is not None and not (
            renews.holder_nym == holder_nym if known else renews.number_nym == number_nym
        ):
            raise ServiceError("renewal-holder-differs", renews.record_id)
        if version is None:
            version = 1 if renews is None else renews.version + 1
        identifier = str(type_.identifier(chosen.department.uscc, values, version))
        disclosures = tuple(
            make_disclosure(group, fields, city.random(SALT_SIZE))
            for group, fields in disclosure_groups(type_, values)
        )
        status = self.indices.take(department)
        content = Content(
            LICENCE,
            type_code=type_.code,
            valid_from=read.valid_from,
            valid_until=read.valid_until,
            status=status,
            predecessor=None if renews is None else renews.head_leaf,
            rule_set=self.rule_set(now),
            digests=[disclosure_digest(disclosure) for disclosure in disclosures],
        )
        statement = city.sign(content, department=department, record_id=record_id, at=now)
        sealed = city.vault.seal(record_id, cbor_encode([identifier, list(disclosures)]))
        leaf = leaf_hash(statement)
        row = {
            "record_id": record_id,
            "department": department,
            "type_code": type_.code,
            "version": version,
            "identifier_nym": city.vault.pseudonym("identifier", identifier),
            "number_nym": number_nym,
            "holder_nym": holder_nym,
            "valid_from": read.valid_from,
            "valid_until": read.valid_until,
            "state": VALID,
            "status_list": status[0],
            "status_index": status[1],
            "issue_leaf": leaf,
            "head_leaf": leaf,
            "renewed_by": None,
            "issued_at": now,
            "wrapped_key": sealed.wrapped_key,
            "box": sealed.box,
        }
        return Prepared(type_, record_id, identifier, statement, disclosures, row, renews)

    def issue(
        self,
        principal: Principal,
        type_: LicenceType,
        raw: Mapping[str, object],
        *,
        renews: str | None = None,
        effects: Callable[[Connection, Sequence[Issued]], None] | None = None,
    ) -> Issued:
        """Issues one licence. Raises as `prepare`, and licence-exists, licence-renewed, …"""
        prepared = self.prepare_for(principal, type_, raw, renews=renews)
        return self.log([prepared], client=principal.client, effects=effects)[0]

    def prepare_for(
        self,
        principal: Principal,
        type_: LicenceType,
        raw: Mapping[str, object],
        *,
        renews: str | None = None,
    ) -> Prepared:
        """`prepare` for a caller, after what it may do and whom it renews are checked."""
        principal.require(Role.CLERK, Role.SEAL_KEEPER)
        self.city.require_department(principal, type_.issuer)
        held = None if renews is None else self.held(renews)
        if held is not None:
            check_renewable(held)
        return self.prepare(type_, raw, renews=held)

    def log(
        self,
        prepared: Sequence[Prepared],
        *,
        client: str,
        effects: Callable[[Connection, Sequence[Issued]], None] | None = None,
    ) -> list[Issued]:
        """Logs prepared licences in one transaction with their rows, all or none.

        A renewal whose term has begun ends the licence it renews, if that is still in force.
        `effects` runs in the same transaction, once the indices are known.
        """
        now = self.city.now()
        today = day_number(china_day(now))
        replaced = [
            item.renews
            for item in prepared
            if item.renews is not None and self.replaces(item, today)
        ]

        def write(connection: Connection, appended: Sequence[Appended]) -> list[Issued]:
            issued = [
                Issued(
                    item.record_id,
                    item.identifier,
                    entry.index,
                    entry.leaf_hash,
                    item.statement,
                    item.disclosures,
                )
                for item, entry in zip(prepared, appended[: len(prepared)], strict=True)
            ]
            self.store(connection, prepared, appended[: len(prepared)])
            for held, entry in zip(replaced, appended[len(prepared) :], strict=True):
                apply_state(connection, held, entry, LAPSED, REPLACED, client, now)
            if effects is not None:
                effects(connection, issued)
            return issued

        drafts = [Draft(item.statement, LICENCE, item.row["department"]) for item in prepared]
        drafts += [
            Draft(
                self.state_statement(held, LAPSED, REPLACED, now),
                LICENCE_STATE,
                self.city.acting(held.department),
            )
            for held in replaced
        ]
        return self.city.append(drafts, write).result

    def replaces(self, item: Prepared, today: int) -> bool:
        """Whether a renewal's term has begun by `today` while the one it renews still runs.

        Days from 1970-01-01. A licence renewed ahead of time keeps its own term to the end.
        """
        held = item.renews
        return (
            held is not None
            and STATES[LAPSED].name in item.type.states
            and item.row["valid_from"] <= today
            and (held.valid_until is None or held.valid_until >= today)
        )

    def store(
        self, connection: Connection, prepared: Sequence[Prepared], appended: Sequence[Appended]
    ) -> None:
        """The rows of licences, and what they renew marked. In the transaction of their entries.

        Raises: licence-holder-has-one, licence-exists, licence-changed-meanwhile.
        """
        self._check_unique(connection, prepared)
        rows = [
            {**item.row, "issue_index": entry.index}
            for item, entry in zip(prepared, appended, strict=True)
        ]
        insert_licences(connection, rows)
        mark_renewed(
            connection,
            [(item.renews, item.record_id) for item in prepared if item.renews is not None],
        )

    def _check_unique(self, connection: Connection, prepared: Sequence[Prepared]) -> None:
        """One valid licence for a holder and type, unless the catalogue says multi-instance."""
        holders: dict[tuple[str, bytes], Prepared] = {}
        renewed = {item.renews.record_id for item in prepared if item.renews is not None}
        for item in prepared:
            if item.type.multi_instance or item.row["state"] not in _IN_FORCE:
                continue
            if item.record_id in renewed:
                continue
            if holders.setdefault((item.type.code, item.row["holder_nym"]), item) is not item:
                raise ServiceError("licence-holder-has-one", item.type.slug)
        for chunk in chunks(list(holders), IN_CHUNK):
            same = (
                select(LICENCES.c.record_id, LICENCES.c.type_code, LICENCES.c.holder_nym)
                .where(LICENCES.c.holder_nym.in_([holder for _, holder in chunk]))
                .where(LICENCES.c.renewed_by.is_(None), LICENCES.c.state.in_(_IN_FORCE))
            )
            for record_id, code, holder in connection.execute(same):
                other = holders.get((code, holder))
                if other is not None and record_id not in renewed:
                    raise ServiceError("licence-holder-has-one", other.type.slug)

    # changing

    def change_state(
        self,
        principal: Principal,
        record_id: str,
        state: int,
        reason: str,
        *,
        effects: Callable[[Connection, StateChanged], None] | None = None,
    ) -> StateChanged:
        """Suspends, restores or ends a licence, with a reason of the catalogue.

        Raises: licence-unknown, department-mismatch, role-missing, reason-does-not-fit,
        transition-forbidden, licence-changed-meanwhile.
        """
        principal.require(Role.CLERK, Role.SEAL_KEEPER)
        held = self.held(record_id)
        self.city.require_department(principal, held.department)
        self.check_reason(held.type_code, state, reason)
        if STATES[state].final or STATES[held.state].final:
            principal.require(Role.SEAL_KEEPER)
        if not may_follow(held.state, state, reason):
            raise ServiceError(
                "transition-forbidden", f"{STATES[held.state].zh} → {STATES[state].zh}"
            )
        now = self.city.now()
        statement = self.state_statement(held, state, reason, now)

        def write(connection: Connection, appended: Sequence[Appended]) -> StateChanged:
            entry = appended[0]
            apply_state(connection, held, entry, state, reason, principal.client, now)
            changed = StateChanged(record_id, state, reason, entry.index, entry.leaf_hash)
            if effects is not None:
                effects(connection, changed)
            return changed

        draft = Draft(statement, LICENCE_STATE, self.city.acting(held.department))
        return self.city.append([draft], write).result

    def check_reason(self, type_code: str, state: int, reason: str) -> None:
        """The type knows this state and the reason leads there; else `reason-does-not-fit`."""
        if state != VALID and STATES[state].name not in (
            self.city.catalogue.licence_type(type_code).states
        ):
            raise ServiceError("reason-does-not-fit", f"{type_code}: {STATES[state].name}")
        entry = self.city.catalogue.reason(reason)
        fits = entry.legal_state
        if entry.applies != "licence" or fits is None or fits.number != state:
            raise ServiceError("reason-does-not-fit", f"{reason} → {STATES[state].name}")

    def state_statement(self, held: Held, state: int, reason: str, now: int) -> bytes:
        """The statement of a change of state that follows the licence's last act."""
        content = Content(
            LICENCE_STATE,
            type_code=held.type_code,
            predecessor=held.head_leaf,
            rule_set=self.rule_set(now),
            state=state,
            reason=reason,
        )
        return self.city.sign(content, department=held.department, record_id=held.record_id, at=now)

    def rule_set(self, now: int) -> str:
        """The rule set in force on the day of `now` in China; the day is looked up once."""
        day = china_day(now)
        if self._ruled[0] != day:
            self._ruled = (day, self.city.catalogue.ruleset_for(day).id)
        return self._ruled[1]

    # looking up

    def held(self, record_id: str) -> Held:
        """The licence of a record id; `licence-unknown`, or `record-erased`: it has ended."""
        row = self.row(record_id)
        if row.wrapped_key is None:
            raise ServiceError("record-erased", record_id)
        return held_of(row)

    def row(self, record_id: str) -> Row[Any]:
        with self.city.store.read() as reader:
            found = reader.connection.execute(
                select(LICENCES).where(LICENCES.c.record_id == record_id)
            ).one_or_none()
        if found is None:
            raise ServiceError("licence-unknown", record_id[:40])
        return found

    def by_number(self, type_: LicenceType, number: str) -> list[Held]:
        """Every version of the licence of this number, oldest first."""
        with self.city.store.read() as reader:
            rows = reader.connection.execute(
                select(LICENCES)
                .where(LICENCES.c.number_nym == self.number_nym(type_, number))
                .order_by(LICENCES.c.version)
            ).all()
        return [held_of(row) for row in rows]

    def by_holder(self, code: str) -> list[Row[Any]]:
        """Every licence of a holder, by its canonical code."""
        return self.by_subject(self.city.vault.pseudonym("subject", code))

    def by_subject(self, subject_nym: bytes) -> list[Row[Any]]:
        with self.city.store.read() as reader:
            found = reader.connection.execute(
                select(LICENCES)
                .where(LICENCES.c.holder_nym == subject_nym)
                .order_by(LICENCES.c.issue_index)
            )
            return list(found.all())

    def content(self, row: Row[Any]) -> tuple[str, list[bytes]]:
        """(identifier, disclosures) of a row; `record-erased` once they are destroyed."""
        return self.open_content(row.record_id, row.wrapped_key, row.box)

    def open_content(
        self, record_id: str, wrapped_key: bytes | None, box: bytes | None
    ) -> tuple[str, list[bytes]]:
        """`content` of a record's sealed columns."""
        opened = self.city.vault.open(record_id, wrapped_key, box)
        identifier, disclosures = cbor_decode(opened, max_bytes=_MAX_BOX)
        return identifier, disclosures

    def acts(self, record_id: str) -> list[Row[Any]]:
        with self.city.store.read() as reader:
            found = reader.connection.execute(
                select(ACTS).where(ACTS.c.record_id == record_id).order_by(ACTS.c.idx)
            )
            return list(found.all())

    def count(self) -> dict[str, int]:
        """Licences by department."""
        with self.city.store.read() as reader:
            rows = reader.connection.execute(
                select(LICENCES.c.department, func.count()).group_by(LICENCES.c.department)
            )
            return {row[0]: row[1] for row in rows}

    def _holder_nym(self, type_: LicenceType, values: Mapping[str, Value], record_id: str) -> bytes:
        """A holder without a code, as old records have, is nobody else's namesake."""
        code = values.get(type_.holder_code_field)
        if code is None:
            return self.city.vault.pseudonym("holder-unknown", record_id)
        return self.city.vault.pseudonym("subject", str(code))

    def number_nym(self, type_: LicenceType, number: str) -> bytes:
        return self.city.vault.pseudonym(f"number/{type_.code}", number)
