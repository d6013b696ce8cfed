"""Which signature counts at which index: the key history, replayed in ledger order."""

from ledger.audit.findings import Findings
from ledger.audit.worker import BAD, ENROLMENTS, UNKNOWN, Act, signature_of
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
        where = {"record": act.subject, "issuer": act.issuer}
        if key is None:
            self._findings.add("audit-key-unknown", index, detail=act.kid.hex(), **where)
            return False
        signature = act.signature
        if keys.get(act.kid) != key.public:
            signature = UNKNOWN
            if raw is not None:
                signature = signature_of(parse_statement(raw), {act.kid: key.public})
        if signature != 0:
            code = "audit-bad-signature" if signature == BAD else "audit-key-unknown"
            self._findings.add(code, index, **where)
            return False
        if key.issuer != act.issuer:
            self._findings.add("audit-key-of-another", index, detail=key.issuer, **where)
            return False
        try:
            check_use(key, act.kind, act.type_code, act.issued_at)
        except Refused as error:
            self._findings.add(_USE_CODES[error.code], index, detail=error.detail, **where)
        return True

    def _enrol(self, index: int, act: Act, raw: bytes) -> bool:
        try:
            self.authorities.enrol(parse_statement(raw), index)
        except Refused as error:
            bad = error.code == "statement-bad-signature"
            code = "audit-bad-signature" if bad else "audit-enrolment-refused"
            detail = f"{error.code} {error.detail}".rstrip()
            self._findings.add(code, index, record=act.subject, issuer=act.issuer, detail=detail)
            return False
        return True
