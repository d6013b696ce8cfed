"""Days and times: counted from 1970-01-01 in the ledger, read as ISO 8601 by people.

Days are those of China Standard Time, which has no daylight saving.
"""

from datetime import UTC, date, datetime, timedelta, timezone

CHINA = timedelta(hours=8)
EPOCH = date(1970, 1, 1)
_FIRST, _LAST = "0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59+08:00"


def china_day(now: float) -> date:
    """The day in China at a Unix time."""
    return (datetime.fromtimestamp(now, UTC) + CHINA).date()


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def day_of(number: int) -> date:
    """Inverse of `day_number`."""
    return EPOCH + timedelta(days=number)


def iso_day(number: int | None) -> str | None:
    """Days since 1970-01-01 as an ISO date."""
    return None if number is None else day_of(number).isoformat()


def iso_time(seconds: int) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def china_time(seconds: int) -> str:
    """Unix seconds as ISO 8601 in China: what people are shown, and may type again.

    Of any integer: a time that no calendar here holds is after the last one, or before the first.
    """
    try:
        return datetime.fromtimestamp(seconds, timezone(CHINA)).isoformat()
    except (OverflowError, ValueError, OSError):
        return f">{_LAST}" if seconds > 0 else f"<{_FIRST}"
