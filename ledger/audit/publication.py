"""双公示: entries about organisations are published within seven working days of the decision.

发改办财金〔2018〕424号; 行政处罚法 art. 85 (working days), 民法典 art. 201 (the first day is not
counted). Entries about persons are never published. A minor entry (轻微, grade 1) need not be.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from ledger.audit.findings import Findings
from ledger.audit.worker import Act

WORKDAYS: Final = 7
MINOR: Final = 1
CHINA: Final = 8 * 3600
"""Days are those of China Standard Time, which has no daylight saving."""
_EPOCH: Final = date(1970, 1, 1)

WorkdaysAfter = Callable[[date, int], date | None]
"""The n-th working day after a day; None where the calendar of a year is missing."""


class Publication:
    """Follows entries from record to publication; keeps only those that are due."""

    def __init__(self, findings: Findings, workdays_after: WorkdaysAfter) -> None:
        self._findings = findings
        self._workdays_after = workdays_after
        self._deadlines: dict[int, int | None] = {}
        self._about: dict[str, bool | None] = {}
        self._due: dict[str, tuple[int, int]] = {}
        self._unknown_years: dict[int, int] = {}

    def recorded(self, index: int, act: Act) -> None:
        """An entry of kind 32; `valid_from` is the day of the decision."""
        if act.about_organisation is not True:
            self._about[act.subject] = act.about_organisation
        elif act.grade != MINOR and act.valid_from is not None:
            self._due[act.subject] = (index, act.valid_from)

    def corrected(self, act: Act) -> None:
        """A correction before publication may find that none is due."""
        if act.grade == MINOR or act.about_organisation is False:
            self._due.pop(act.subject, None)
        if act.about_organisation is not None:
            self._about.pop(act.subject, None)
            if not act.about_organisation:
                self._about[act.subject] = False

    def published(self, index: int, act: Act) -> None:
        if act.subject in self._about:
            self._name("audit-person-published", index, act.subject, act.issuer, "")
            return
        due = self._due.pop(act.subject, None)
        if due is None:
            return
        deadline = self._deadline(due[1])
        day = (act.issued_at + CHINA) // 86_400
        if deadline is not None and day > deadline:
            detail = f"{_iso(due[1])} + {WORKDAYS} = {_iso(deadline)} < {_iso(day)}"
            self._name("audit-publication-late", index, act.subject, act.issuer, detail)

    def ended(self, subject: str) -> None:
        """Withdrawn, repaired or expired: nothing is due any more."""
        self._due.pop(subject, None)

    def finish(self, today: int, issuer_of: Callable[[str], str]) -> None:
        """`today` in days since 1970-01-01, China time."""
        for subject, (index, decision) in self._due.items():
            deadline = self._deadline(decision)
            if deadline is not None and today > deadline:
                detail = f"{_iso(decision)} + {WORKDAYS} = {_iso(deadline)}"
                issuer = issuer_of(subject)
                self._name("audit-publication-missing", index, subject, issuer, detail)
        for year, count in sorted(self._unknown_years.items()):
            self._findings.add("audit-calendar-missing", detail=f"decisions of {year}: {count}")

    def _deadline(self, decision: int) -> int | None:
        if decision not in self._deadlines:
            day = _EPOCH + timedelta(days=decision)
            last = self._workdays_after(day, WORKDAYS)
            self._deadlines[decision] = None if last is None else (last - _EPOCH).days
        deadline = self._deadlines[decision]
        if deadline is None:
            year = (_EPOCH + timedelta(days=decision)).year
            self._unknown_years[year] = self._unknown_years.get(year, 0) + 1
        return deadline

    def _name(self, code: str, index: int, subject: str, issuer: str, detail: str) -> None:
        self._findings.add(code, index, record=subject, issuer=issuer, detail=detail)


def _iso(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()
