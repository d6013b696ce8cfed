"""What the audit's tests share: what an auditor is shown, and how what he finds is compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from ledger.audit.findings import Severity
from ledger.audit.report import AuditReport
from ledger.audit.run import audit
from tests.ledger.logs import NOW, City, Files, Memory

Found = tuple[str, int | None, str | None]
"""A finding as a test states it: code, ledger index, path of a file."""


def plain_days(day: date, count: int) -> date | None:
    """A calendar in which every day is a working day, and of which 2027 is missing."""
    last = day + timedelta(days=count)
    return last if last.year < 2027 else None


OPTIONS: Mapping[str, Any] = {
    "workdays_after": plain_days,
    "now": NOW,
    "log_vkey": City().log.key.text(),
}


@dataclass(frozen=True)
class Shown:
    """A log as shown, what must be found in it and nothing else, and options of the audit.

    `unchecked` is the one code that must be among what was left unchecked.
    """

    files: Files
    finds: list[Found]
    options: Mapping[str, Any] = field(default_factory=dict)
    unchecked: str | None = None
    detail: str = ""

    def audit(self, **more: Any) -> AuditReport:
        return audit(Memory(self.files), **{**OPTIONS, **self.options, **more})


def found(report: AuditReport) -> list[Found]:
    """All that was found, without what was left unchecked."""
    return [
        (finding.code, finding.index, finding.path)
        for finding in report.findings
        if finding.severity is not Severity.UNCHECKED
    ]
