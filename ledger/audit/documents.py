"""The life of every document that a department's own software logged, version by version.

A document is a record of its own kind: a statement without a predecessor begins it, each later
version names the one before. It is never ended, only followed. Kept of each are 52 bytes.
"""

from struct import Struct
from typing import Final, NamedTuple

from ledger.audit.findings import Findings
from ledger.audit.keys import Keys
from ledger.audit.worker import Act
from verifier.kinds import DOCUMENT_SCOPE

_PACKED: Final = Struct(">32sIQQI")
_LAST_DAY: Final = (1 << 32) - 1


class _State(NamedTuple):
    """A document now: leaf hash, profile, time and index of its last version, and the last day of
    that version's validity, in days since 1970-01-01."""

    last: bytes
    profile: int
    issued_at: int
    latest: int
    until: int


class Documents:
    """`apply` every document whose signature counts, in order; `finish` when there are no more."""

    def __init__(self, findings: Findings, keys: Keys) -> None:
        self._findings = findings
        self._keys = keys
        self._states: dict[str, bytes] = {}
        self._profiles: list[tuple[str, str | None]] = []  # issuer and type
        self._numbers: dict[tuple[str, str | None], int] = {}

    def apply(self, index: int, leaf: bytes, act: Act) -> None:
        """Applies one version, whatever is wrong with it, after naming that."""
        known = self._states.get(act.subject)
        if act.predecessor is None:
            if known is not None:
                self._name("audit-record-repeated", index, act)
                return
        elif known is None:
            self._name("audit-record-unknown", index, act)
            return
        else:
            self._check(index, act, _State(*_PACKED.unpack(known)))
        profile = (act.issuer, act.type_code)
        number = self._numbers.setdefault(profile, len(self._profiles))
        if number == len(self._profiles):
            self._profiles.append(profile)
        until = _LAST_DAY if act.valid_until is None else act.valid_until
        state = _State(leaf, number, act.issued_at, index, until)
        self._states[act.subject] = _PACKED.pack(*state)

    def _check(self, index: int, act: Act, before: _State) -> None:
        issuer, type_code = self._profiles[before.profile]
        if act.predecessor != before.last:
            self._name("audit-predecessor-wrong", index, act)
        if act.issuer != issuer and not self._keys.acts_for(act, issuer, DOCUMENT_SCOPE):
            self._name("audit-issuer-differs", index, act, issuer)
        if act.type_code != type_code:
            self._name("audit-type-differs", index, act, type_code or "")
        if act.issued_at < before.issued_at:
            detail = f"{act.issued_at} < {before.issued_at}"
            self._name("audit-time-backwards", index, act, detail)

    def finish(self, today: int) -> None:
        """Names documents whose last version a compromised key signed; `today` as `until`."""
        void = self._keys.void
        for subject, packed in self._states.items() if void else ():
            state = _State(*_PACKED.unpack(packed))
            if state.latest in void and state.until >= today:
                self._findings.add(
                    "audit-signed-while-compromised",
                    state.latest,
                    record=subject,
                    issuer=self._profiles[state.profile][0],
                    detail=void[state.latest].hex(),
                )

    def _name(self, code: str, index: int, act: Act, detail: str = "") -> None:
        self._findings.add(code, index, record=act.subject, issuer=act.issuer, detail=detail)
