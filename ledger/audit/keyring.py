"""Which signature counts at which index: the key history, replayed in ledger order."""

from ledger.audit.findings import Findings
from ledger.audit.worker import BAD, ENROLMENTS, GOOD, UNKNOWN, Act, signature_of
from verifier.authorities import Authorities, check_use
from verifier.errors import Refused
from verifier.statement import parse_statement

_USE_CODES = {
    "key-out-of-scope": "audit-key-out-of-scope",
    "key-out-of-date": "audit-key-out-of-date",
}


class Keyring:
    """`admit` every entry in order; the enrolments among them decide about those that follow.

    Workers check signatures against whatever key a statement names (a key id is a hash of the
    key), also a key that the ledger never enrolled, or enrols later. `admit` accepts their answer
    only for the very key that is enrolled at that index, and asks again itself otherwise.
    """

    def __init__(self, findings: Findings) -> None:
        self.authorities = Authorities()
        self._findings = findings

    def admit(self, index: int, act: Act, keys: dict[bytes, bytes], raw: bytes | None) -> bool:
        """Whether the entry is an act of the issuer it names; findings say why not.

        `keys` are those the worker used, `raw` the entry's bytes where it kept them.
        """
        if act.kind in ENROLMENTS:
            return raw is not None and self._enrol(index, act, raw)
        key = self.authorities.keys.get(act.kid)
        if key is None:
            self._name("audit-key-unknown", index, act, act.kid.hex())
            return False
        signature = act.signature
        if keys.get(act.kid) != key.public:
            signature = UNKNOWN
            if raw is not None:
                signature = signature_of(parse_statement(raw), {act.kid: key.public})
        if signature != GOOD:
            bad = signature == BAD
            self._name("audit-bad-signature" if bad else "audit-key-unknown", index, act)
            return False
        if key.issuer != act.issuer:
            self._name("audit-key-of-another", index, act, key.issuer)
            return False
        try:
            check_use(key, act.kind, act.type_code, act.issued_at)
        except Refused as error:
            self._name(_USE_CODES[error.code], index, act, error.detail)
        return True

    def _enrol(self, index: int, act: Act, raw: bytes) -> bool:
        try:
            self.authorities.enrol(parse_statement(raw), index)
        except Refused as error:
            bad = error.code == "statement-bad-signature"
            code = "audit-bad-signature" if bad else "audit-enrolment-refused"
            self._name(code, index, act, f"{error.code} {error.detail}".rstrip())
            return False
        return True

    def _name(self, code: str, index: int, act: Act, detail: str = "") -> None:
        self._findings.add(code, index, record=act.subject, issuer=act.issuer, detail=detail)
