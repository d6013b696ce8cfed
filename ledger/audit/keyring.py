"""Which signature counts at which index: the life of every key, replayed in ledger order."""

from collections.abc import Mapping
from typing import Final

from ledger.audit.errors import AuditError
from ledger.audit.events import KeyEvent, event_of
from ledger.audit.findings import Findings
from ledger.audit.signed import Signed
from ledger.audit.worker import BAD, GOOD, NO_SUITE, UNKNOWN, Act, signature_of
from verifier.authorities import Authorities, EnrolledKey, check_standing, check_use
from verifier.errors import Refused
from verifier.kinds import AUTHORITY_KINDS
from verifier.statement import parse_statement

_CODES: Final[Mapping[str, str]] = {
    "key-out-of-scope": "audit-key-out-of-scope",
    "key-out-of-date": "audit-key-out-of-date",
    "key-not-yet-enrolled": "audit-key-unknown",
    "key-suspended": "audit-key-suspended",
    "key-retired": "audit-key-retired",
    "key-compromised": "audit-key-compromised",
}


class Keyring:
    """`admit` every entry in order; the statements of authority among them decide about those
    that follow.

    Workers check signatures against whatever key a statement names (a key id is a hash of the
    key), also a key that the ledger never enrolled, or enrols later. `admit` accepts their answer
    only for the very key that is enrolled at that index, and asks again itself otherwise.

    `void` are the indices of entries that were admitted and do not count, since their key, in the
    value, is said by now to have been compromised when it signed them. Statements of authority
    never lose their force so: they rest on two officers besides. `leaves` are those that took
    effect, by index.
    """

    def __init__(self, findings: Findings) -> None:
        self.authorities = Authorities()
        self.events: list[KeyEvent] = []
        self.void: dict[int, bytes] = {}
        self.leaves: dict[int, bytes] = {}
        self._signed = Signed()
        self._findings = findings

    def admit(
        self, index: int, leaf: bytes, act: Act, keys: Mapping[bytes, bytes], raw: bytes | None
    ) -> bool:
        """Whether the entry is an act of the issuer it names; findings say why not.

        `keys` are those the worker used, `raw` the entry's bytes where it kept them. An act out
        of its key's scope or dates is admitted after being named: it is the issuer's own. What a
        key signed that was suspended, retired or known to be compromised is not.
        """
        if act.kind in AUTHORITY_KINDS:
            return self._authority(index, leaf, act, keys, raw)
        key = self.authorities.keys.get(act.kid)
        if key is None:
            self._name("audit-key-unknown", index, act, act.kid.hex())
            return False
        signature = _signature(act, key, keys, raw)
        if signature != GOOD:
            bad = signature == BAD
            self._name("audit-bad-signature" if bad else "audit-key-unknown", index, act)
            return False
        self._signed.add(key.kid, index, leaf, act.issued_at)
        if key.issuer != act.issuer:
            self._name("audit-key-of-another", index, act, key.issuer)
            return False
        try:
            check_use(key, act.kind, act.type_code, act.issued_at)
        except Refused as error:
            self._name(_CODES[error.code], index, act, error.detail)
        try:
            check_standing(key, act.issued_at, index=index)
        except Refused as error:
            self._name(_CODES[error.code], index, act, error.detail)
            return False
        return True

    def acts_for(self, act: Act, issuer: str, type_code: str | None) -> bool:
        """Whether the department of `issuer` was merged into the act's issuer by now, and the
        key that signed the act may sign this type."""
        department = self.authorities.departments.get(issuer)
        if department is None or type_code is None:
            return False
        acting = self.authorities.register.issuer(self.authorities.acting(department.slug))
        key = self.authorities.keys[act.kid]
        return acting == act.issuer and type_code in key.scope

    def _authority(
        self, index: int, leaf: bytes, act: Act, keys: Mapping[bytes, bytes], raw: bytes | None
    ) -> bool:
        admitted = raw is not None and self._enrol(index, act, raw)
        if admitted:
            self.leaves[index] = leaf
        key = self.authorities.keys.get(act.kid)
        if key is not None and index > key.index and _signature(act, key, keys, raw) == GOOD:
            self._signed.add(key.kid, index, leaf, act.issued_at)
        return admitted

    def _enrol(self, index: int, act: Act, raw: bytes) -> bool:
        statement = parse_statement(raw)
        try:
            self.authorities.enrol(statement, index)
        except Refused as error:
            if error.code == "suite-missing":
                raise AuditError("audit-suite-missing", error.detail) from error
            bad = error.code == "statement-bad-signature"
            code = "audit-bad-signature" if bad else "audit-change-refused"
            self._name(code, index, act, f"{error.code} {error.detail}".rstrip())
            return False
        event = event_of(statement, index, self.authorities)
        if event is not None:
            self.events.append(event)
            if event.act == "override":
                self._name("audit-witnesses-overridden", index, act, event.detail)
            if event.act == "compromise":
                self._compromised(index, act, self.authorities.keys[event.key or b""])
        return True

    def _compromised(self, index: int, act: Act, key: EnrolledKey) -> None:
        """What the key had signed is as its report says; what it signed since is void."""
        self.void.update(dict.fromkeys(self._signed.void(key), key.kid))
        told = key.compromise
        if told is None:
            return
        listed = self._signed.before(key.kid, told.before)
        if (listed.count, listed.digest) != (told.count, told.signed):
            detail = f"{told.count} {told.signed.hex()} ≠ {listed.count} {listed.digest.hex()}"
            self._name("audit-signed-list-wrong", index, act, detail)

    def _name(self, code: str, index: int, act: Act, detail: str = "") -> None:
        self._findings.add(code, index, record=act.subject, issuer=act.issuer, detail=detail)


def _signature(act: Act, key: EnrolledKey, keys: Mapping[bytes, bytes], raw: bytes | None) -> int:
    """What the worker found under exactly this key, or what is found now."""
    signature = act.signature
    if keys.get(act.kid) != key.public:
        signature = UNKNOWN
        if raw is not None:
            signature = signature_of(parse_statement(raw), {act.kid: key.public})
    if signature == NO_SUITE:
        raise AuditError("audit-suite-missing", key.suite.name)
    return signature
