"""The desk for changes of authority: proposed by one officer, approved by another, then logged.

A proposal is checked when it comes, as far as one signature allows, so that nobody is asked to
approve what cannot be. An approval is checked together with it, against every statement of
authority there is at the moment of writing: what cannot be replayed would close the city for ever.
The statement, the row's new state and the enrolment are one transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.change_words import check_readable
from api.city import City
from api.city_keys import operator_is_lost
from api.errors import ServiceError
from api.principals import Principal, Role
from api.roll import newest_of
from api.rules.codes import uscc
from api.rules.days import iso_time
from api.signed_lists import check_signed_list
from api.signers import NEXT, pick
from api.tables import CHANGES, ENROLMENTS
from keys.signer import Signer
from ledger.model import Appended, Draft
from verifier.authorities import OPERATOR
from verifier.authority_rules import RULES, Effect
from verifier.change import (
    NONCE_SIZE,
    Proposal,
    change_content,
    parse_approval,
    parse_change,
    parse_proposal,
    sign_approval,
    sign_proposal,
)
from verifier.cose import to_be_signed
from verifier.errors import Refused
from verifier.evidence import SignatureCheck
from verifier.keylife import EnrolledKey, Moment, check_outside, check_standing
from verifier.kinds import DEPARTMENT, DEPARTMENT_CHANGED, DOCUMENT_SCOPE, KEY, KEY_CHANGED
from verifier.register import Officer, Register
from verifier.statement import Content, parse_statement
from verifier.times import CLOCK_SKEW

OPEN, LOGGED, WITHDRAWN, LAPSED = "open", "logged", "withdrawn", "lapsed"
STATE_ZH = {OPEN: "待批准", LOGGED: "已入账", WITHDRAWN: "已撤回", LAPSED: "已失效"}
STATES = tuple(STATE_ZH)
DAYS_OPEN = 7
"""A proposal drafted here lapses after so many days."""

Change = Row[Any]
"""A row of the table `changes`."""
Remember = Callable[[Connection, Change], None]
"""What else is written in the transaction; the row as it will be."""


class ChangeDesk:
    """The use-cases of one city."""

    def __init__(self, city: City) -> None:
        self.city = city

    # proposing

    def draft(
        self, kind: int, facts: Mapping[str, Any], signer: Signer, *, days: int = DAYS_OPEN
    ) -> bytes:
        """A proposal by an officer whose key is at hand."""
        now = self.city.now()
        return sign_proposal(
            kind,
            facts,
            origin=self.city.origin,
            at=now,
            before=now + days * 86_400,
            nonce=self.city.random(NONCE_SIZE),
            signer=signer,
        )

    def propose(self, raw: bytes, remember: Remember | None = None) -> Change:
        """Takes a proposal that could take effect now; the same again is the same change.

        Raises as `check`, change-not-open where it was withdrawn, and change-malformed or a
        codec's code.
        """
        proposal = parse_proposal(raw)
        known = self._find(proposal.digest.hex())
        if known is not None:
            return self._standing(known)
        effect, proposer = self.check(proposal)
        change_id = proposal.digest.hex()
        row = {
            "id": change_id,
            "kind": proposal.kind,
            "concerns": effect.concerns,
            "proposal": raw,
            "state": OPEN,
            "proposer": proposer.id,
            "proposed_at": proposal.proposed_at,
            "before": proposal.before,
        }
        try:
            with self.city.store.write() as writer:
                writer.connection.execute(insert(CHANGES), row)
                change = _row(writer.connection, change_id)
                if remember is not None:
                    remember(writer.connection, change)
                writer.commit()
        except IntegrityError:
            known = self._find(change_id)
            if known is None:
                raise
            return self._standing(known)
        return change

    def _standing(self, change: Change) -> Change:
        """One that was withdrawn or has lapsed is over: the same again does not open it."""
        state = self.state_of(change)
        if state == WITHDRAWN:
            raise ServiceError("change-not-open", str(change.id)[:16])
        if state == LAPSED:
            raise Refused("change-too-late")
        return change

    def check(self, proposal: Proposal) -> tuple[Effect, Officer]:
        """What a proposal would do if it were approved now, and who made it.

        Raises `Refused` as `Authorities.enrol`; `ServiceError` code-uscc-invalid,
        catalogue-unknown-type, change-list-differs, operator-key-last, change-unreadable, and
        those of `_check_fits`.
        """
        city, register = self.city, self.city.authorities.register
        if proposal.origin != city.origin:
            raise Refused("change-foreign", proposal.origin)
        officer = register.officer_of(proposal.kid)
        if officer is None:
            raise Refused("officer-unknown", proposal.kid.hex())
        if officer.left is not None:
            raise Refused("officer-not-in-office", officer.id)
        _check_signature(proposal, officer)
        if proposal.digest in register.done:
            raise Refused("change-replayed", proposal.digest.hex()[:16])
        now = city.now()
        if now > proposal.before:
            raise Refused("change-too-late")
        if proposal.proposed_at > now + CLOCK_SKEW:
            raise Refused("change-from-future", iso_time(proposal.proposed_at))
        at = Moment(max(register.last.index + 1, city.ledger.size), now)
        effect = RULES[proposal.kind](register, proposal.facts, at)
        if officer.of not in (effect.concerns, OPERATOR):
            raise Refused("officer-not-entitled", f"{officer.id} → {effect.concerns}")
        for check in effect.checks:
            check.run()
        self._check_catalogue(proposal, register)
        self._check_fits(proposal, register, now)
        check_readable(proposal.kind, proposal.facts, authorities=city.authorities)
        after = register.copy()
        effect.apply(after)
        self._check_operator(after, now)
        return effect, officer

    def _check_catalogue(self, proposal: Proposal, register: Register) -> None:
        """What the ledger's rules leave to the city: codes, types, its own entries."""
        facts = proposal.facts
        if proposal.kind == DEPARTMENT:
            if uscc(facts["uscc"]) != facts["uscc"]:
                raise ServiceError("code-uscc-invalid", "blanks, small or wide letters")
        elif proposal.kind == KEY:
            known = {*self.city.type_names, DOCUMENT_SCOPE}
            unknown = [code for code in facts["scope"] if code not in known]
            if unknown:
                raise ServiceError("catalogue-unknown-type", ", ".join(unknown)[:200])
        elif proposal.kind == KEY_CHANGED and facts["act"] == "compromise":
            check_signed_list(self.city, register.keys[facts["key"]], facts)

    def _check_fits(self, proposal: Proposal, register: Register, now: int) -> None:
        """What the ledger's rules would let pass, and nobody can mean; asked again when it is
        approved, since another change may have come between.

        Raises `ServiceError`: department-uscc-taken, department-names-unchanged, merge-key-missing.
        """
        facts, departments = proposal.facts, register.departments
        if proposal.kind == DEPARTMENT:
            for each in departments.values():
                if each.ended is None and each.uscc == facts["uscc"]:
                    raise ServiceError("department-uscc-taken", each.slug)
        elif proposal.kind == DEPARTMENT_CHANGED and facts["act"] == "rename":
            named = departments[register.issuer(facts["id"])]
            if (named.zh, named.en) == (facts["zh"], facts["en"]):
                raise ServiceError("department-names-unchanged", named.slug)
        elif proposal.kind == DEPARTMENT_CHANGED and facts["act"] == "merge":
            into = register.issuer(facts["into"])
            if not any(_in_force(key, now) for key in register.keys_of(into)):
                raise ServiceError("merge-key-missing", facts["into"])

    def _check_operator(self, after: Register, now: int) -> None:
        """The operator can still sign the next change; else nobody could ever undo this one."""
        names = self.city.signers.look()
        keys = [key for key in after.keys_of(after.operator_issuer()) if key.kid in names]
        if pick(keys, None, now)[0] is None:
            if operator_is_lost(self.city):
                raise ServiceError("city-key-lost", OPERATOR)
            raise ServiceError("operator-key-last")

    # deciding

    def approve(self, change_id: str, raw: bytes, remember: Remember | None = None) -> Change:
        """Logs the change that another officer proposed and this approval is for.

        Raises `Refused` as `Authorities.enrol`: change-own-approval, change-altered,
        change-replayed, change-too-late, officer-…; `ServiceError` change-unknown,
        change-not-open.
        """
        change = self.change(change_id)
        if change.state == LOGGED:
            raise Refused("change-replayed", change_id[:16])
        if change.state == WITHDRAWN:
            raise ServiceError("change-not-open", change_id[:16])
        approval = parse_approval(raw)

        def write(connection: Connection, entry: Appended) -> None:
            approver = self.city.roll.known.authorities.register.officer_of(approval.kid)
            values = {
                "state": LOGGED,
                "approver": None if approver is None else approver.id,
                "approval": raw,
                "idx": entry.index,
                "decided_at": self.city.now(),
            }
            _move(connection, change_id, values)
            if remember is not None:
                remember(connection, _row(connection, change_id))

        self._log(change_content(change.proposal, raw), write)
        return self.change(change_id)

    def decide(
        self, kind: int, facts: Mapping[str, Any], *, proposer: Signer, approver: Signer
    ) -> int:
        """Both at once, where both officers' keys are at hand: the ledger index."""
        change = self.propose(self.draft(kind, facts, proposer))
        proposal = parse_proposal(change.proposal)
        approval = sign_approval(proposal, at=self.city.now(), signer=approver)
        return int(self.approve(change.id, approval).idx)

    def withdraw(self, caller: Principal, change_id: str) -> None:
        """By the operator, or a seal-keeper of the department concerned. Repeating is harmless.

        Raises: change-unknown, role-missing, department-mismatch, change-not-open.
        """
        change = self.change(change_id)
        if Role.OPERATOR not in caller.roles:
            caller.require(Role.SEAL_KEEPER)
            caller.require_department(change.concerns)
        if change.state == WITHDRAWN:
            return
        with self.city.store.write() as writer:
            _move(
                writer.connection,
                change_id,
                {"state": WITHDRAWN, "decided_at": self.city.now()},
            )
            writer.commit()

    def _log(self, content: Content, write: Callable[[Connection, Appended], None]) -> None:
        """Signs, checks, logs and applies a statement of authority."""
        city = self.city
        while True:
            standing = city.roll.current()
            raw = city.sign(
                content, department=OPERATOR, record_id=city.new_record_id(), at=city.now()
            )
            index = max(standing.newest + 1, city.ledger.size)
            after = standing.authorities.copy()
            after.enrol(parse_statement(raw), index)
            proposal, _ = parse_change(content)
            self._check_fits(proposal, standing.authorities.register, city.now())
            self._check_operator(after.register, city.now())

            def remember(
                connection: Connection, appended: Sequence[Appended], newest: int = standing.newest
            ) -> None:
                if newest_of(connection) != newest:
                    raise _ChangedMeanwhile
                (entry,) = appended
                row = {"idx": entry.index, "statement": entry.entry}
                connection.execute(insert(ENROLMENTS), row)
                write(connection, entry)

            try:
                city.ledger.append([Draft(raw, content.kind, OPERATOR)], remember)
            except _ChangedMeanwhile:
                continue
            city.roll.current()
            return

    # looking up

    def change(self, change_id: str) -> Change:
        """The change of an id; `change-unknown`."""
        change = self._find(change_id)
        if change is None:
            raise ServiceError("change-unknown", change_id[:64])
        return change

    def state_of(self, change: Change) -> str:
        """Its state now: an open one whose time is over has lapsed."""
        late = change.state == OPEN and self.city.now() > change.before
        return LAPSED if late else str(change.state)

    def changes(
        self, *, state: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[Change]:
        """The newest first, of one of `STATES` if it is named, with numbers below `before`."""
        query = select(CHANGES).order_by(CHANGES.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(CHANGES.c.number < before)
        lapsed = and_(CHANGES.c.state == OPEN, CHANGES.c.before < self.city.now())
        if state == LAPSED:
            query = query.where(lapsed)
        elif state is not None:
            query = query.where(CHANGES.c.state == state)
            if state == OPEN:
                query = query.where(~lapsed)
        with self.city.store.read() as reader:
            return list(reader.connection.execute(query).all())

    def _find(self, change_id: str) -> Change | None:
        with self.city.store.read() as reader:
            return reader.connection.execute(
                select(CHANGES).where(CHANGES.c.id == change_id)
            ).one_or_none()


class _ChangedMeanwhile(Exception):
    """Another change was logged first; nothing was written."""


def _in_force(key: EnrolledKey, now: int) -> bool:
    try:
        check_outside(key, now)
        check_standing(key, now, index=NEXT)
    except Refused:
        return False
    return True


def _check_signature(proposal: Proposal, officer: Officer) -> None:
    sign1 = proposal.sign1
    message = to_be_signed(sign1.protected, sign1.payload)
    code = "change-bad-signature"
    SignatureCheck(officer.suite, officer.public, message, sign1.signature, code).run()


def _row(connection: Connection, change_id: str) -> Change:
    return connection.execute(select(CHANGES).where(CHANGES.c.id == change_id)).one()


def _move(connection: Connection, change_id: str, values: Mapping[str, Any]) -> None:
    """From open to another state, once; `change-not-open`."""
    moved = connection.execute(
        update(CHANGES).where(CHANGES.c.id == change_id, CHANGES.c.state == OPEN).values(**values)
    )
    if moved.rowcount != 1:
        raise ServiceError("change-not-open", change_id[:16])
