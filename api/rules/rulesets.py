"""Publication periods of credit entries under the rule set that applies to them.

公示 periods and retention periods are two clocks; this is the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from api.errors import ServiceError
from api.rules.workdays import PeriodRule, add_months

Transition = Literal["by-document", "by-publication"]
"""Which day picks the rule set of an entry that straddles a change of rules: the day of its
document, or the day of its publication."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Grade:
    """How long an entry of one grade (1 轻微, 2 一般, 3 严重) is shown, in months."""

    grade: int
    zh: str
    en: str
    published: bool
    min_months: int
    max_months: int


@dataclass(frozen=True)
class RuleSet:
    """One order in force from a day, until a day (inclusive) or open. `id` is signed (label 7)."""

    id: str
    zh: str
    en: str
    source: str
    grades: tuple[Grade, ...]
    in_force_from: date
    in_force_until: date | None = None
    note: str | None = None

    def in_force_on(self, day: date) -> bool:
        return self.in_force_from <= day and (
            self.in_force_until is None or day <= self.in_force_until
        )

    def grade(self, grade: int) -> Grade:
        for row in self.grades:
            if row.grade == grade:
                return row
        raise ServiceError("ruleset-grade-unknown", f"{self.id}: {grade}")


@dataclass(frozen=True)
class Window:
    """What the rules say of one entry. Days are inclusive.

    `published` is what the grade says by default; an entry of a grade that is not published may
    still be, and then no longer than `last_day`.
    """

    ruleset: str
    published: bool
    repairable_from: date
    last_day: date

    def may_repair_on(self, day: date) -> bool:
        return day >= self.repairable_from

    def may_show_on(self, day: date) -> bool:
        return day <= self.last_day


def window(
    ruleset: RuleSet, grade: int, document_day: date, rule: PeriodRule = "civil-202"
) -> Window:
    """Publication window of an entry whose clock starts on the day of its document.

    Repair opens on the day after the minimum (届满后); publication stops by itself after the
    maximum's last day, which `rule` does not shorten: it decides the minimum alone.
    """
    row = ruleset.grade(grade)
    opens = document_day
    if row.min_months:
        opens = add_months(document_day, row.min_months, rule) + _DAY
    return Window(ruleset.id, row.published, opens, add_months(document_day, row.max_months))


def pick(
    rulesets: Sequence[RuleSet], transition: Transition, document_day: date, publish_day: date
) -> RuleSet:
    """The rule set an entry is published under; it keeps it."""
    day = document_day if transition == "by-document" else publish_day
    return in_force(rulesets, day)


def in_force(rulesets: Sequence[RuleSet], day: date) -> RuleSet:
    """The rule set in force on `day`; `ruleset-missing` when there is none."""
    for ruleset in rulesets:
        if ruleset.in_force_on(day):
            return ruleset
    raise ServiceError("ruleset-missing", day.isoformat())
