"""Credit entries: recorded, published, disputed, corrected, repaired; one transaction each.

Every act is a statement that names the act before it, logged in the same transaction as the row it
moves on; the row moves only from that act, so two clerks at once cannot both succeed. Which act
may follow is one table, `verifier.credit`. What an entry says is sealed per record; the ledger
sees salted digests.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import IntegrityError

from api.credit_rows import VERSIONS, Acted, CreditRows, Part, Remember, Step, next_phase, pack
from api.errors import ServiceError
from api.principals import Principal, Role
from api.rules.catalogue import CreditType, Value, disclosure_groups, validate_fields
from api.rules.credit import (
    REASONS,
    Subject,
    Term,
    choose_rules,
    dates_of,
    grade_of,
    rules_named,
    subject_of,
    term,
)
from api.rules.days import china_day, day_number, day_of
from api.rules.workdays import add_workdays
from api.tables import CREDITS
from ledger.model import Appended, Draft
from verifier.credit import Phase
from verifier.disclosure import (
    SALT_SIZE,
    disclosure_digest,
    make_disclosure,
)
from verifier.errors import Refused
from verifier.kinds import (
    CREDIT,
    CREDIT_CORRECTED,
    CREDIT_DISPUTED,
    CREDIT_EXPIRED,
    CREDIT_PUBLISHED,
    CREDIT_REPAIRED,
    CREDIT_UPHELD,
    CREDIT_WITHDRAWN,
    KINDS,
)
from verifier.statement import Content

MAX_TEXT = 2_000
"""Characters of a dispute or of the answer to it."""
BY_SYSTEM = "system"
"""The client that acts done by the clock are kept under."""
_BATCH = 500
_log = logging.getLogger("zhenglian.credits")


class Credits(CreditRows):
    """The credit use-cases of one city."""

    # recording

    def record(
        self,
        principal: Principal,
        type_: CreditType,
        raw: Mapping[str, object],
        *,
        grade: int | None = None,
        effects: Remember | None = None,
    ) -> Acted:
        """Records an entry of the caller's department; it is not published yet.

        Raises: role-missing, department-mismatch, credit-type-out-of-scope, fields-invalid,
        credit-subject-kind, credit-grade-…, credit-date-invalid, credit-until-over-maximum,
        ruleset-missing, credit-exists.
        """
        city = self.city
        principal.require(*([Role.SEAL_KEEPER] if type_.two_person else _CLERKS))
        department = principal.department
        issuers = {city.acting(issuer) for issuer in type_.issuers}
        if department is None or (issuers and department not in issuers):
            raise ServiceError("department-mismatch", ", ".join(type_.issuers))
        if city.acting(department) != department:
            raise ServiceError("department-mismatch", city.acting(department))
        self._check_scope(department, type_)
        values = validate_fields(type_, raw)
        subject, grade = subject_of(type_, values), grade_of(type_, grade)
        now, record_id = city.now(), city.new_record_id()
        document, frame = self._frame(type_, values, grade, now)
        disclosures = self._disclose(type_, values)
        content = Content(
            CREDIT,
            type_code=type_.code,
            valid_from=day_number(document),
            valid_until=day_number(frame.until),
            rule_set=frame.rule_set,
            digests=[disclosure_digest(raw) for raw in disclosures],
            facts=_facts(subject, grade),
        )
        statement = city.sign(content, department=department, record_id=record_id, at=now)
        sealed = city.vault.seal(record_id, pack([Part(CREDIT, disclosures)]))
        row = {
            "record_id": record_id,
            "department": department,
            "type_code": type_.code,
            "subject_nym": city.vault.pseudonym("subject", subject.code),
            "key_nym": self._key_nym(department, type_, values, subject),
            "organisation": subject.organisation,
            "grade": grade,
            "rule_set": frame.rule_set,
            "document_day": day_number(document),
            "until_day": day_number(frame.until),
            "phase": Phase.RECORDED,
            "last_kind": CREDIT,
            "recorded_at": now,
            "wrapped_key": sealed.wrapped_key,
            "box": sealed.box,
        }

        def write(connection: Connection, appended: Sequence[Appended]) -> Acted:
            (entry,) = appended
            leaf = entry.leaf_hash
            places = {"record_leaf": leaf, "head_leaf": leaf, "record_index": entry.index}
            try:
                connection.execute(insert(CREDITS), {**row, **places})
            except IntegrityError as error:
                raise ServiceError("credit-exists", type_.slug) from error
            until = day_number(frame.until)
            acted = Acted(
                record_id, CREDIT, Phase.RECORDED, entry.index, leaf, frame.rule_set, until
            )
            if effects is not None:
                effects(connection, acted)
            return acted

        return city.append([Draft(statement, CREDIT, department)], write).result

    # publishing

    def publish(
        self,
        principal: Principal,
        record_id: str,
        *,
        minor: bool = False,
        effects: Remember | None = None,
    ) -> Acted:
        """Publishes an organisation's entry. Being late is recorded, not refused.

        `minor`: publish although the rules leave entries of this grade unpublished. Raises:
        credit-person-not-published, credit-type-not-published, credit-minor-not-published,
        credit-publication-over, credit-transition-forbidden, calendar-missing.
        """
        row = self.row(record_id)
        self._require_clerk(principal, row, Role.CREDIT_CENTRE)
        type_ = self.city.catalogue.credit_type(row.type_code)
        if not row.organisation:
            raise ServiceError("credit-person-not-published", record_id)
        if not type_.publish.organisations:
            raise ServiceError("credit-type-not-published", type_.slug)
        now = self.city.now()
        today = china_day(now)
        document, frame = self._term_at_publication(row, type_, today)
        if not frame.published and not minor:
            raise ServiceError("credit-minor-not-published", frame.rule_set)
        if today > frame.until:
            raise ServiceError("credit-publication-over", frame.until.isoformat())
        due = add_workdays(document, type_.publish.within_workdays, self.city.calendar)
        until, late = day_number(frame.until), today > due
        first = row.published_at is None
        step = Step(
            CREDIT_PUBLISHED,
            facts={"until": until},
            changes={
                "rule_set": frame.rule_set,
                "until_day": until,
                "published_at": now if first else row.published_at,
                "late": late if first else row.late,
            },
            due_day=day_number(due),
        )
        return self.act(principal.client, row, step, now, effects)

    # disputing

    def dispute(
        self,
        principal: Principal,
        record_id: str,
        text: str,
        *,
        effects: Remember | None = None,
    ) -> Acted:
        """Marks an entry as disputed: by its subject, or on its behalf. It stays visible."""
        row = self.row(record_id)
        own = principal.subject_nym is not None and principal.subject_nym == row.subject_nym
        if not own:
            self._require_clerk(principal, row, Role.CREDIT_CENTRE)
        step = Step(
            CREDIT_DISPUTED,
            disclosures=[self._text("dispute", text)],
            facts={"by": "subject" if own else "department"},
        )
        return self.act(principal.client, row, step, self.city.now(), effects)

    def uphold(
        self,
        principal: Principal,
        record_id: str,
        reason: str,
        text: str,
        *,
        effects: Remember | None = None,
    ) -> Acted:
        """The dispute is unfounded: the mark goes, the entry stands. `text` is the answer."""
        row = self.row(record_id)
        self._require_clerk(principal, row)
        self._check_reason(CREDIT_UPHELD, reason)
        step = Step(CREDIT_UPHELD, reason, [self._text("answer", text)])
        return self.act(principal.client, row, step, self.city.now(), effects)

    # ending and correcting

    def correct(
        self,
        principal: Principal,
        record_id: str,
        raw: Mapping[str, object],
        reason: str,
        *,
        grade: int | None = None,
        effects: Remember | None = None,
    ) -> Acted:
        """A new version under the same rule set; the version before stays beside it."""
        row = self.row(record_id)
        self._require_clerk(principal, row)
        self._check_reason(CREDIT_CORRECTED, reason)
        next_phase(row, CREDIT_CORRECTED)
        type_ = self.city.catalogue.credit_type(row.type_code)
        values = validate_fields(type_, raw)
        subject = subject_of(type_, values)
        if self.city.vault.pseudonym("subject", subject.code) != row.subject_nym:
            raise ServiceError("credit-subject-differs", record_id)
        grade = grade_of(type_, row.grade if grade is None else grade)
        now = self.city.now()
        document, frame = self._frame(type_, values, grade, now, rule_set=row.rule_set)
        changes = {
            "grade": grade,
            "document_day": day_number(document),
            "until_day": day_number(frame.until),
            "key_nym": self._key_nym(row.department, type_, values, subject),
        }
        step = Step(
            CREDIT_CORRECTED,
            reason,
            self._disclose(type_, values),
            day_number(document),
            day_number(frame.until),
            _facts(subject, grade),
            changes,
        )
        return self.act(principal.client, row, step, now, effects)

    def withdraw(
        self, principal: Principal, record_id: str, reason: str, *, effects: Remember | None = None
    ) -> Acted:
        """The entry should not have been, or its ground is gone. The reason is public."""
        row = self.row(record_id)
        self._require_keeper(principal, row)
        self._check_reason(CREDIT_WITHDRAWN, reason)
        step = Step(CREDIT_WITHDRAWN, reason, changes={"key_nym": None})
        return self.act(principal.client, row, step, self.city.now(), effects)

    def repair(
        self,
        principal: Principal,
        record_id: str,
        reason: str,
        *,
        duties_fulfilled: bool,
        commitment_made: bool,
        effects: Remember | None = None,
    ) -> Acted:
        """信用修复: publication, sharing and use stop. Who recorded it repairs it.

        Raises `credit-repair-too-early` with `first_day`, and `credit-duties-open`.
        """
        row = self.row(record_id)
        self._require_keeper(principal, row)
        self._check_reason(CREDIT_REPAIRED, reason)
        next_phase(row, CREDIT_REPAIRED)
        now = self.city.now()
        opens = self.repairable_from(row)
        if china_day(now) < opens:
            first = opens.isoformat()
            raise ServiceError("credit-repair-too-early", first, extra={"first_day": first})
        if not (duties_fulfilled and commitment_made):
            raise ServiceError("credit-duties-open", record_id)
        return self.act(principal.client, row, Step(CREDIT_REPAIRED, reason), now, effects)

    def expire_due(self, now: int | None = None) -> int:
        """Ends every entry whose last day is over, by statements of the departments.

        Run at start and daily; repeating is harmless. Returns how many were ended. An entry that
        changed meanwhile, or whose department's key is not on this server, is left and logged.
        """
        now = self.city.now() if now is None else now
        open_phases = [phase for phase in Phase if phase is not Phase.ENDED]
        query = (
            select(CREDITS)
            .where(CREDITS.c.phase.in_(open_phases))
            .where(CREDITS.c.until_day < day_number(china_day(now)))
            .order_by(CREDITS.c.record_index)
            .limit(_BATCH)
        )
        done, after = 0, -1
        while True:
            with self.city.store.read() as reader:
                rows = reader.connection.execute(query.where(CREDITS.c.record_index > after)).all()
            if not rows:
                return done
            after = rows[-1].record_index
            done += self._expire(rows, now)

    def _expire(self, rows: Sequence[Row[Any]], now: int) -> int:
        done, waiting = 0, []
        for row in rows:
            try:
                waiting.append(self.submit(BY_SYSTEM, row, Step(CREDIT_EXPIRED), now, None))
            except (ServiceError, Refused) as error:
                _log.warning("entry %s does not expire: %s", row.record_id, error.code)
        for future in waiting:
            try:
                future.result()
                done += 1
            except (ServiceError, Refused) as error:
                _log.warning("an entry does not expire: %s", error.code)
        return done

    # the pieces

    def _frame(
        self,
        type_: CreditType,
        values: Mapping[str, Value],
        grade: int | None,
        now: int,
        *,
        rule_set: str | None = None,
    ) -> tuple[date, Term]:
        """(day of the document, what the rules give it)."""
        catalogue, today = self.city.catalogue, china_day(now)
        document, declared = dates_of(type_, values, today)
        if rule_set is None:
            rules = choose_rules(catalogue, grade, document, today)
        else:
            rules = rules_named(catalogue, rule_set)
        return document, term(catalogue, rules, type_, grade, document, declared)

    def _term_at_publication(
        self, row: Row[Any], type_: CreditType, today: date
    ) -> tuple[date, Term]:
        """As `_frame`, but a last day declared earlier is cut to what the rules now allow."""
        catalogue, document = self.city.catalogue, day_of(row.document_day)
        if row.published_at is None:
            rules = choose_rules(catalogue, row.grade, document, today)
        else:
            rules = rules_named(catalogue, row.rule_set)
        if row.grade is None:
            return document, Term(rules.id, True, document, day_of(row.until_day))
        most = term(catalogue, rules, type_, row.grade, document, None)
        current = [part for part in self.parts(row) if part.kind in VERSIONS][-1].fields
        declared = current.get(type_.until_field) if type_.until_field else None
        until = min(most.until, date.fromisoformat(declared)) if declared else most.until
        return document, Term(rules.id, most.published, most.repairable_from, until)

    def _disclose(self, type_: CreditType, values: Mapping[str, Value]) -> list[bytes]:
        return [
            make_disclosure(group, fields, self.city.random(SALT_SIZE))
            for group, fields in disclosure_groups(type_, values)
        ]

    def _text(self, name: str, text: str) -> bytes:
        return make_disclosure(name, {"text": text}, self.city.random(SALT_SIZE))

    def _key_nym(
        self, department: str, type_: CreditType, values: Mapping[str, Value], subject: Subject
    ) -> bytes:
        number = str(values[type_.number_field])
        parts = [department, type_.code, number, subject.code]
        return self.city.vault.pseudonym("credit", "\x00".join(parts))

    def _check_scope(self, department: str, type_: CreditType) -> None:
        if type_.code not in self.city.choose(department, type_.code).key.scope:
            raise ServiceError("credit-type-out-of-scope", f"{department}: {type_.code}")

    def _check_reason(self, kind: int, reason: str) -> None:
        entry = self.city.catalogue.reason(reason)
        if entry.applies != "credit" or reason not in REASONS[kind]:
            raise ServiceError("credit-reason-does-not-fit", f"{reason}: {KINDS[kind].name}")

    def _require_clerk(self, principal: Principal, row: Row[Any], *others: Role) -> None:
        """One of the entry's department, or somebody with one of the other roles."""
        if principal.roles.isdisjoint(others):
            principal.require(*_CLERKS)
            self.city.require_department(principal, row.department)

    def _require_keeper(self, principal: Principal, row: Row[Any]) -> None:
        principal.require(Role.SEAL_KEEPER)
        self.city.require_department(principal, row.department)


_CLERKS = (Role.CLERK, Role.SEAL_KEEPER)


def _facts(subject: Subject, grade: int | None) -> dict[str, Any]:
    return {"org": subject.organisation} | ({} if grade is None else {"grade": grade})
