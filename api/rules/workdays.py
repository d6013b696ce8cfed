"""Deadlines in working days and periods in months.

Working days: 行政许可法 art. 82, 行政处罚法 art. 85; the first day does not count, 民法典 201.
Periods in months: 民法典 art. 202. A year whose holidays are not known is refused, never guessed.
"""

import tomllib
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import MAXYEAR, date, timedelta
from functools import cache
from pathlib import Path
from typing import Literal

from api.errors import ServiceError

PeriodRule = Literal["civil-202", "from-the-day"]
"""How a period of months ends.

`civil-202`: the day it starts from is not counted; the corresponding day of the last month, or
that month's last day, is the last day of the period (民法典 201, 202).
`from-the-day`: the day it starts from counts (a literal reading of 自认定之日起), so the period
ends one day earlier.
"""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Years whose 国务院办公厅 arrangement is known: days off and make-up working days."""

    years: frozenset[int]
    holidays: frozenset[date]
    workdays: frozenset[date]

    def is_workday(self, day: date) -> bool:
        """Raise `calendar-missing` for a year that is not loaded."""
        if day.year not in self.years:
            raise ServiceError("calendar-missing", str(day.year), extra={"year": day.year})
        return day in self.workdays or (day.weekday() < 5 and day not in self.holidays)

    def with_year(
        self, year: int, holidays: Iterable[date], workdays: Iterable[date]
    ) -> "Calendar":
        """Add a year, or replace it when its arrangement was changed."""
        off, on = frozenset(holidays), frozenset(workdays)
        if strangers := sorted(str(day) for day in off | on if day.year != year):
            raise ServiceError("calendar-invalid", f"not in {year}: {', '.join(strangers)}")
        if both := sorted(map(str, off & on)):
            raise ServiceError("calendar-invalid", f"both off and on: {', '.join(both)}")
        if plain := sorted(str(day) for day in on if day.weekday() < 5):
            raise ServiceError("calendar-invalid", f"not a weekend: {', '.join(plain)}")
        if not off:
            raise ServiceError("calendar-invalid", f"{year} has no holidays")
        return Calendar(
            self.years | {year},
            frozenset(day for day in self.holidays if day.year != year) | off,
            frozenset(day for day in self.workdays if day.year != year) | on,
        )


@cache
def builtin_calendar() -> Calendar:
    """The years `chinesecalendar` knows."""
    from chinese_calendar import constants  # a large table, read when first needed

    holidays = frozenset(constants.holidays)
    years = range(min(holidays).year, max(holidays).year + 1)
    return Calendar(frozenset(years), holidays, frozenset(constants.workdays))


def load_calendar(*paths: Path, base: Calendar | None = None) -> Calendar:
    """`base` (the built-in years if absent) and one year from each file.

    A file is TOML: `year = 2027`, `holidays = [2027-01-01, ...]`, `workdays = [...]`, and a
    `source` naming the notice of the State Council.
    """
    calendar = builtin_calendar() if base is None else base
    for path in paths:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
            raise ServiceError("calendar-invalid", f"{path.name}: {fault}") from None
        year = raw.get("year")
        days = (raw.get("holidays"), raw.get("workdays"))
        if set(raw) != {"year", "source", "holidays", "workdays"} or type(year) is not int:
            raise ServiceError(
                "calendar-invalid", f"{path.name}: year, source, holidays, workdays expected"
            )
        if not all(isinstance(some, list) and all(type(d) is date for d in some) for some in days):
            raise ServiceError("calendar-invalid", f"{path.name}: lists of dates expected")
        calendar = calendar.with_year(year, raw["holidays"], raw["workdays"])
    return calendar


def add_workdays(day: date, n: int, calendar: Calendar | None = None) -> date:
    """The `n`-th working day after `day`, `day` itself not counted. `n` 0 is `day` itself."""
    if n < 0:
        raise ValueError("a number of working days is not negative")
    calendar = builtin_calendar() if calendar is None else calendar
    while n:
        day += _DAY
        n -= calendar.is_workday(day)
    return day


def workdays_between(start: date, end: date, calendar: Calendar | None = None) -> int:
    """Working days after `start` up to and including `end`: 0 when `end` is not after `start`."""
    calendar = builtin_calendar() if calendar is None else calendar
    days = (start + timedelta(days=i) for i in range(1, (end - start).days + 1))
    return sum(map(calendar.is_workday, days))


def add_months(day: date, months: int, rule: PeriodRule = "civil-202") -> date:
    """The last day of a period of `months` that starts from `day`.

    What may happen 届满后 may happen on the following day.
    """
    if months < 0:
        raise ValueError("a period of months is not negative")
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    if year > MAXYEAR:
        raise ServiceError("code-date-invalid", "the period ends after the year 9999")
    last = date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
    return last - _DAY if rule == "from-the-day" and months else last
