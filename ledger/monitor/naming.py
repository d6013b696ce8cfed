"""What is wrong with what is new, named as an audit names it: dropped, swapped, altered entries."""

from ledger.audit.errors import AuditError
from ledger.audit.findings import Finding, Severity
from ledger.audit.run import audit
from ledger.monitor.compare import Signed
from ledger.monitor.history import History
from ledger.readside import CHECKPOINT, ReadSide, locate
from verifier.note import VerifierKey
from verifier.tiles import FULL_WIDTH


class _Overlay:
    """The log as it is served, but for what was read before: that is in the copy."""

    def __init__(self, source: ReadSide, history: History, note: bytes) -> None:
        self._source, self._copy, self._note = source, history.mirror, note
        self._full = history.size // FULL_WIDTH

    def read(self, path: str) -> bytes:
        where = locate(path)
        if where is None:
            return self._note
        ours = not where.level and where.n < self._full
        return (self._copy if ours else self._source).read(path)


def named(
    source: ReadSide, shown: Signed, history: History, log_key: VerifierKey, now: int
) -> list[Finding]:
    """Why the entries served do not give the root of `shown`; at least one finding."""
    previous = None if history.head is None else history.head.note
    try:
        report = audit(
            _Overlay(source, history, shown.note),
            workdays_after=lambda day, count: None,
            now=now,
            log_vkey=log_key.text(),
            previous=previous,
            tree_only=True,
        )
    except AuditError as error:
        return [Finding("audit-root-unknown", path=CHECKPOINT, detail=error.code)]
    found = [one for one in report.findings if one.severity is Severity.BROKEN]
    return found or [Finding("audit-root-unknown", path=CHECKPOINT)]
