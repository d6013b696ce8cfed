from datetime import date, timedelta
from pathlib import Path

import pytest
from chinese_calendar import find_workday, is_workday
from hypothesis import given
from hypothesis import strategies as st

from api.errors import ServiceError
from api.rules.workdays import (
    add_months,
    add_workdays,
    builtin_calendar,
    load_calendar,
    workdays_between,
)

NEXT_YEAR = """\
year = 2027
source = "invented for this test"
holidays = [2027-01-01, 2027-02-05, 2027-02-08]
workdays = [2027-01-03]
"""


@pytest.mark.parametrize(
    ("day", "n", "expected"),
    [
        (date(2026, 9, 24), 7, date(2026, 10, 12)),
        (date(2026, 2, 12), 7, date(2026, 2, 28)),  # a make-up Saturday
        (date(2025, 9, 30), 7, date(2025, 10, 16)),
        (date(2026, 9, 30), 1, date(2026, 10, 8)),
        (date(2026, 9, 30), 5, date(2026, 10, 13)),
        (date(2026, 12, 28), 3, date(2026, 12, 31)),
        (date(2026, 10, 1), 0, date(2026, 10, 1)),
    ],
)
def test_deadlines(day: date, n: int, expected: date) -> None:
    assert add_workdays(day, n) == expected
    assert workdays_between(day, expected) == n


def test_beyond_the_table_is_refused() -> None:
    with pytest.raises(ServiceError) as caught:
        add_workdays(date(2026, 12, 28), 7)
    assert (caught.value.code, caught.value.status) == ("calendar-missing", 503)
    assert caught.value.extra == {"year": 2027}
    with pytest.raises(ServiceError, match="calendar-missing"):
        workdays_between(date(2026, 12, 30), date(2027, 1, 4))
    with pytest.raises(ServiceError, match="calendar-missing"):
        add_workdays(date(2003, 5, 1), 1)


def test_next_year_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "2027.toml"
    path.write_text(NEXT_YEAR, encoding="utf-8")
    calendar = load_calendar(path)
    # 29 30 31 December, 3 (make-up Sunday) 4 5 6 January
    assert add_workdays(date(2026, 12, 28), 7, calendar) == date(2027, 1, 6)
    assert 2027 not in builtin_calendar().years
    assert load_calendar() is builtin_calendar()


def test_a_changed_year_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "2026.toml"
    path.write_text(
        'year = 2026\nsource = "x"\nholidays = [2026-01-01]\nworkdays = []\n', encoding="utf-8"
    )
    calendar = load_calendar(path)
    assert calendar.is_workday(date(2026, 10, 1))
    assert not calendar.is_workday(date(2026, 2, 28))
    assert not calendar.is_workday(date(2025, 10, 1))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("year = 2027", "expected"),
        (NEXT_YEAR + "more = 1", "expected"),
        (NEXT_YEAR.replace("2027\n", "'2027'\n", 1), "expected"),
        (NEXT_YEAR.replace("[2027-01-03]", "['2027-01-03']"), "lists of dates"),
        (NEXT_YEAR.replace("[2027-01-03]", "2027-01-03"), "lists of dates"),
        (NEXT_YEAR.replace("2027-01-03", "2026-01-03"), "not in 2027"),
        (NEXT_YEAR.replace("2027-01-03", "2027-01-01"), "both off and on"),
        (NEXT_YEAR.replace("2027-01-03", "2027-01-04"), "not a weekend"),
        (NEXT_YEAR.replace("2027-01-01, 2027-02-05, 2027-02-08", ""), "no holidays"),
        ("year = ", "2027.toml"),
    ],
)
def test_a_faulty_year_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "2027.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ServiceError, match=reason) as caught:
        load_calendar(path)
    assert caught.value.code == "calendar-invalid"


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="calendar-invalid"):
        load_calendar(tmp_path / "2027.toml")


@given(st.dates(date(2004, 1, 1), date(2026, 11, 1)), st.integers(1, 20))
def test_agrees_with_the_library(day: date, n: int) -> None:
    assert add_workdays(day, n) == find_workday(n - 1, day + timedelta(days=1))
    assert builtin_calendar().is_workday(day) == is_workday(day)
    assert workdays_between(day, add_workdays(day, n)) == n
    assert workdays_between(day, day) == workdays_between(day, day - timedelta(days=9)) == 0


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 4, 10), 3, date(2026, 7, 10)),
        (date(2026, 4, 10), 12, date(2027, 4, 10)),
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2026, 11, 30), 36, date(2029, 11, 30)),
        (date(2026, 8, 31), 6, date(2027, 2, 28)),
        (date(2026, 4, 10), 0, date(2026, 4, 10)),
    ],
)
def test_months_end_on_the_corresponding_day(day: date, months: int, expected: date) -> None:
    assert add_months(day, months) == expected


def test_months_when_the_first_day_counts() -> None:
    assert add_months(date(2026, 4, 10), 3, "from-the-day") == date(2026, 7, 9)
    assert add_months(date(2026, 4, 10), 0, "from-the-day") == date(2026, 4, 10)


def test_negative_counts_are_programming_errors() -> None:
    with pytest.raises(ValueError, match="not negative"):
        add_workdays(date(2026, 1, 5), -1)
    with pytest.raises(ValueError, match="not negative"):
        add_months(date(2026, 1, 5), -1)


def test_months_beyond_the_last_year() -> None:
    with pytest.raises(ServiceError, match="9999"):
        add_months(date(9999, 12, 1), 1)
