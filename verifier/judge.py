"""The judge: one pure function from a payload, a trust and a time to a verdict.

What must be true, in order; a failure ends the judgement, the rest is then "not checked":

     1  form        the payload is ours, strictly encoded, complete
     2  city        its issuer belongs to the ledger we trust
     3  key         an enrolled key of that issuer is named
     4  signature   that key signed exactly these bytes
     5  scope       the key could sign this type at the entry's own time and place in the ledger
     6  content     every disclosure shown is one the statement holds a digest of
     7  validity    not issued in the future; today lies within its dates
     8  ledger      the entry is included in the tree of a checkpoint the log signed
     9  witnesses   that checkpoint meets the policy in force at its size
    10  status      a signed status says: valid
    11  freshness   that status and the trust itself are recent enough

Checks 8 and 9 need a proof, in the payload or beside it; so does the entry's place, which check 5
is completed with once 8 has passed (`verifier.keylife`). Green needs 1–7, 10 and 11 passed and
8, 9 not failed. A good signature with unknown or stale status is amber: never green. So is a
licence that shows nothing: its statement is public in the ledger, and says nobody's name; and one
by a key that this machine lacks the suite for, of which nothing is decided.
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Final

from keys.errors import KeysError
from verifier.authorities import Department, EnrolledKey, check_scope, check_standing
from verifier.cose_receipt import (
    CoseReceipt,
    InclusionProof,
    check_inclusion_receipt,
    parse_receipt,
)
from verifier.disclosure import Disclosure, check_disclosures
from verifier.errors import Refused
from verifier.evidence import NOT_HERE
from verifier.keylife import BEFORE_COMPROMISE, BEFORE_RETIREMENT, BEFORE_SUSPENSION, IN_FORCE
from verifier.kinds import LICENCE
from verifier.merkle import leaf_hash
from verifier.note import MLDSA44, parse_note
from verifier.proof import TlogProof, check_proof
from verifier.qr import Presented, parse_payload
from verifier.statement import Statement, check_statement
from verifier.states import STATES, VALID
from verifier.times import CLOCK_SKEW as CLOCK_SKEW
from verifier.transparent import detach_receipts, is_transparent
from verifier.trust import Trust
from verifier.verdict import (
    Check,
    Colour,
    Outcome,
    Record,
    Shown,
    SigningKey,
    Subject,
    Verdict,
)
from verifier.words import (
    CHECKS,
    CITY,
    CONTENT,
    FORM,
    FRESHNESS,
    KEY,
    LEDGER,
    SCOPE,
    SIGNATURE,
    STATUS,
    VALIDITY,
    WITNESSES,
)

_EPOCH: Final = date(1970, 1, 1).toordinal()
_PASSED: Final = {number: Check(number, Outcome.PASSED, "passed") for number in CHECKS}
_NOT_REACHED: Final = {n: Check(n, Outcome.UNCHECKED, "not-reached") for n in CHECKS}
_BY_RULE: Final = {
    rule: Check(SCOPE, Outcome.PASSED, rule)
    for rule in (IN_FORCE, BEFORE_COMPROMISE, BEFORE_RETIREMENT, BEFORE_SUSPENSION)
}
_NEVER: Final = 1 << 63
_BEIJING: Final = 8 * 3600
"""Days of validity are counted in China Standard Time, which has no daylight saving."""


def judge(
    payload: str | bytes,
    trust: Trust,
    now: int,
    *,
    proof: TlogProof | None = None,
    absent: bool = False,
    pending: bool = False,
    receipt: bytes | None = None,
) -> Verdict:
    """Judges QR text, a statement or a transparent statement at Unix time `now`. Never raises for
    what the payload holds.

    `proof` is an inclusion proof found elsewhere, for a payload that brings none; `absent` says
    that the ledger was asked and does not hold the entry, `pending` that witnesses are still being
    asked about the checkpoint of `proof`. `receipt` is a COSE receipt that lay beside the payload.
    Of receipts the first counts that names our log; those of other services say nothing to us. A
    tlog-proof, which shows its witnesses, is preferred to a receipt.
    """
    judgement = _Judgement(trust, now, pending=pending)
    if receipt is not None:
        judgement.receipts = (receipt,)
    try:
        judgement.run(payload, proof, absent)
    except _Ended:
        return judgement.verdict()
    return judgement.verdict()


class _Ended(Exception):
    """A check failed, and the judgement is over."""


class _Judgement:
    def __init__(self, trust: Trust, now: int, *, pending: bool) -> None:
        self.trust = trust
        self.pending = pending
        self.now = now
        self.receipts: tuple[bytes, ...] = ()
        self.checks = dict(_NOT_REACHED)
        self.colour = Colour.GREEN
        self.code = "valid"
        self.subject: Subject | None = None
        self.record: Record | None = None
        self.key: EnrolledKey | None = None
        self.rule: str | None = None
        self.state: int | None = None
        self.as_of: int | None = None
        self.until = _NEVER

    def run(self, payload: str | bytes, proof: TlogProof | None, absent: bool) -> None:
        presented = self._form(payload)
        statement = presented.statement
        self.record = Record(leaf_hash(statement.raw), None, None, ())
        self._city(statement)
        key = self._signed(statement)
        self._scope(statement, key)
        self._content(presented)
        self._validity(statement)
        if absent:
            raise self._fail(LEDGER, "not-in-ledger")
        index = self._ledger(statement, presented.proof, proof)
        self._standing(statement, key, index)
        self._status(statement)
        if not presented.disclosures:
            self._amber("no-disclosure")

    def verdict(self) -> Verdict:
        return Verdict(
            self.colour,
            self.code,
            list(self.checks.values()),
            self.subject,
            self.record,
            self.state,
            self.as_of,
            self.now,
            None if self.key is None else _signing_key(self.key, self.rule, self.trust),
        )

    def _pass(self, number: int, detail: str = "") -> None:
        self.checks[number] = (
            Check(number, Outcome.PASSED, "passed", detail) if detail else _PASSED[number]
        )

    def _skip(self, number: int, code: str) -> None:
        self.checks[number] = Check(number, Outcome.UNCHECKED, code)

    def _amber(self, code: str) -> None:
        if self.colour is Colour.GREEN:
            self.colour, self.code = Colour.AMBER, code

    def _fail(self, number: int, code: str, detail: str = "") -> _Ended:
        decided = code not in NOT_HERE
        outcome = Outcome.FAILED if decided else Outcome.UNCHECKED
        self.checks[number] = Check(number, outcome, code, detail)
        self.colour, self.code = Colour.RED if decided else Colour.AMBER, code
        return _Ended()

    def _form(self, payload: str | bytes) -> Presented:
        try:
            if isinstance(payload, bytes) and is_transparent(payload):
                payload, attached = detach_receipts(payload)
                self.receipts += attached
            presented = parse_payload(payload)
        except (Refused, KeysError) as error:
            raise self._fail(FORM, error.code, error.detail) from error
        self._pass(FORM)
        return presented

    def _city(self, statement: Statement) -> None:
        if not statement.issuer.startswith(self.trust.origin + "/"):
            raise self._fail(CITY, "statement-foreign", statement.issuer)
        self._pass(CITY)

    def _signed(self, statement: Statement) -> EnrolledKey:
        try:
            key = self.trust.authorities.key_for(statement)
        except Refused as error:
            raise self._fail(KEY, error.code, error.detail) from error
        self._pass(KEY, detail=statement.kid.hex())
        self.key = key
        try:
            check_statement(statement, key.public)
        except Refused as error:
            raise self._fail(SIGNATURE, error.code) from error
        self._pass(SIGNATURE)
        return key

    def _scope(self, statement: Statement, key: EnrolledKey) -> None:
        try:
            check_scope(statement, key)
        except Refused as error:
            raise self._fail(SCOPE, error.code, error.detail) from error
        self._pass(SCOPE)

    def _standing(self, statement: Statement, key: EnrolledKey, index: int | None) -> None:
        """What the life of the key says; the place in the ledger is known by now, if ever."""
        try:
            before = None if key.compromise is None else self._signed_before(key)
            rule = check_standing(key, statement.issued_at, index=index, signed_before=before)
        except Refused as error:
            raise self._fail(SCOPE, error.code, error.detail) from error
        self.rule = rule
        self.checks[SCOPE] = _BY_RULE[rule]

    def _signed_before(self, key: EnrolledKey) -> bool | None:
        listed = self.trust.signed_lists.get(key.kid)
        if listed is None or self.record is None:
            return None
        return listed.holds(self.record.leaf)

    def _content(self, presented: Presented) -> None:
        statement = presented.statement
        try:
            disclosures = check_disclosures(presented.disclosures, statement.content.digests)
        except Refused as error:
            raise self._fail(CONTENT, error.code, error.detail) from error
        if disclosures:
            self._pass(CONTENT)
        else:
            self._skip(CONTENT, "no-disclosure")
        self.subject = self._describe(statement, disclosures)

    def _describe(self, statement: Statement, disclosures: tuple[Disclosure, ...]) -> Subject:
        content = statement.content
        code = content.type_code or ""
        names = self.trust.types.get(code)
        labels = {} if names is None else names.fields
        department = self.trust.authorities.departments[statement.issuer]
        name = department.name_at(statement.issued_at)
        values = _values(disclosures)
        fields = [
            Shown(name, zh, en, values[name]) for name, (zh, en) in labels.items() if name in values
        ]
        if len(fields) < len(values):
            others = [name for name in values if name not in labels]
            fields += [Shown(name, name, name, values[name]) for name in others]
        return Subject(
            code,
            code if names is None else names.zh,
            code if names is None else names.en,
            statement.issuer,
            *name,
            statement.issued_at,
            _iso(content.valid_from),
            _iso(content.valid_until),
            fields,
            len(content.digests) - len(disclosures),
            self._issuer_now(department, name),
        )

    def _issuer_now(self, department: Department, name: tuple[str, str]) -> tuple[str, str] | None:
        if department.ended is None and not department.former:
            return None
        authorities = self.trust.authorities
        acting = authorities.departments[
            authorities.register.issuer(authorities.acting(department.slug))
        ]
        now = (acting.zh, acting.en)
        return None if now == name else now

    def _validity(self, statement: Statement) -> None:
        if statement.issued_at > self.now + CLOCK_SKEW:
            raise self._fail(VALIDITY, "issued-in-future")
        content = statement.content
        if content.kind != LICENCE or content.valid_from is None:
            self._skip(VALIDITY, "no-validity")
            return
        today = (self.now + _BEIJING) // 86_400
        if content.valid_until is not None and today > content.valid_until:
            # Not the end: a licence revoked before it expired is still said to be revoked.
            self._fail(VALIDITY, "expired", _iso(content.valid_until) or "")
        elif today < content.valid_from:
            self._fail(VALIDITY, "not-yet-valid", _iso(content.valid_from) or "")
        else:
            self._pass(VALIDITY)

    def _ledger(
        self, statement: Statement, shown: TlogProof | None, found: TlogProof | None
    ) -> int | None:
        """The entry's place in the ledger, if it is proven, in the code or beside it."""
        proof = shown or found
        if proof is None and self.receipts:
            return self._receipt(statement)
        if proof is None:
            self._skip(LEDGER, "no-proof")
            self._skip(WITNESSES, "no-proof")
            return None
        try:
            checkpoint = check_proof(proof, statement.raw, self.trust.log_key, None)
        except (Refused, KeysError) as error:
            raise self._fail(LEDGER, error.code, error.detail) from error
        self._pass(LEDGER, detail=f"{proof.index} / {checkpoint.size}")
        witnesses = self._witnesses(proof, checkpoint.size, in_code=shown is not None)
        leaf = leaf_hash(statement.raw)
        self.record = Record(leaf, proof.index, checkpoint.size, witnesses)
        return proof.index

    def _receipt(self, statement: Statement) -> int | None:
        """As `_ledger`, by a COSE receipt, which shows no witnesses."""
        receipt = self._own_receipt()
        if receipt is None or not isinstance(receipt.proof, InclusionProof):
            self._skip(LEDGER, "cose-receipt-other-log")
            self._skip(WITNESSES, "no-proof")
            return None
        size, index, _ = receipt.proof
        leaf = leaf_hash(statement.raw)
        try:
            check_inclusion_receipt(receipt, leaf, self.trust.log_key)
            logged = self.trust.authorities.policy_at(size)
        except (Refused, KeysError) as error:
            raise self._fail(LEDGER, error.code, error.detail) from error
        self._pass(LEDGER, detail=f"{index} / {size}")
        needed = logged is not None and logged.policy.least()
        self._skip(WITNESSES, "receipt-shows-none" if needed else "no-policy")
        self.record = Record(leaf, index, size, ())
        return index

    def _own_receipt(self) -> CoseReceipt | None:
        for data in self.receipts:
            try:
                receipt = parse_receipt(data)
            except Refused:
                continue  # of a form that is not ours
            if receipt.issuer == self.trust.origin:
                return receipt
        return None

    def _witnesses(self, proof: TlogProof, size: int, *, in_code: bool) -> tuple[str, ...]:
        """Who cosigned, by the policy that was in force at that size of the ledger.

        A QR code leaves out signatures as long as those of ML-DSA: where they may make up what is
        missing, nothing is decided.
        """
        try:
            logged = self.trust.authorities.policy_at(size)
            if logged is None or not logged.policy.least():
                overridden = logged is not None and logged.override
                self._skip(WITNESSES, "witnesses-overridden" if overridden else "no-policy")
                return ()
            policy = logged.policy
            names = set(policy.cosigned(parse_note(proof.checkpoint)))
        except (Refused, KeysError) as error:
            raise self._fail(WITNESSES, error.code, error.detail) from error
        witnesses = tuple(name for name in policy.witnesses if name in names)
        long = {name for name, each in policy.witnesses.items() if each.key.type == MLDSA44}
        if policy.is_met_by(names):
            self._pass(WITNESSES, detail=", ".join(witnesses))
        elif self.pending and not in_code:
            self._skip(WITNESSES, "witnesses-pending")
        elif in_code and policy.is_met_by(names | long):
            self._skip(WITNESSES, "witnesses-not-shown")
        else:
            detail = f"{len(names)} of {len(policy.witnesses)}"
            raise self._fail(WITNESSES, "policy-quorum-not-met", detail)
        return witnesses

    def _status(self, statement: Statement) -> None:
        content = statement.content
        if content.kind != LICENCE or content.status is None:
            self._skip(STATUS, "no-status")
            self._skip(FRESHNESS, "no-status")
            self._amber("not-a-licence")
            return
        try:
            answer = self.trust.statuses.lookup(statement.issuer, *content.status)
        except Refused as error:
            raise self._fail(STATUS, error.code, error.detail) from error
        if answer is None or answer.state not in STATES:
            self._skip(STATUS, "status-unknown")
        else:
            self.state, self.as_of = answer.state, answer.as_of
            self.until = _NEVER if answer.until is None else answer.until
            if answer.state != VALID:
                raise self._fail(STATUS, f"status-{STATES[answer.state].name}")
            self._pass(STATUS)
        self._freshness()

    def _freshness(self) -> None:
        if self.now > self.trust.use_until:
            code = "trust-expired"
        elif self.as_of is None:
            code = "status-unknown"
        elif self.as_of > self.now + CLOCK_SKEW:
            code = "status-from-future"
        elif self.now > min(self.as_of + self.trust.max_status_age, self.until):
            code = "status-stale"
        else:
            self._pass(FRESHNESS)
            return
        failed = Outcome.UNCHECKED if code == "status-unknown" else Outcome.FAILED
        self.checks[FRESHNESS] = Check(FRESHNESS, failed, code)
        self._amber(code)


def _signing_key(key: EnrolledKey, rule: str | None, trust: Trust) -> SigningKey:
    certificate, ca = key.certificate, None
    if certificate is not None:
        anchor = trust.authorities.anchors.get(certificate.anchor)
        ca = None if anchor is None else (anchor.zh, anchor.en)
    return SigningKey(key.kid, key.suite.name, rule, certificate, ca)


def _values(disclosures: tuple[Disclosure, ...]) -> Mapping[str, Any]:
    """All fields shown; no two disclosures share one."""
    if len(disclosures) == 1:
        return disclosures[0].fields
    return {name: value for shown in disclosures for name, value in shown.fields.items()}


@lru_cache(maxsize=4096)
def _iso(day: int | None) -> str | None:
    return None if day is None else date.fromordinal(_EPOCH + day).isoformat()
