"""Times that the ledger says, in Unix seconds: their bound, and how far clocks may differ."""

from typing import Final

MAX_TIME: Final = 221_845_392_000
"""9000-01-01T00:00Z: a time in the ledger is before it. ISO 8601 writes a year in four digits, and
so do calendars in software; the thousand years to spare are for offsets from UTC and durations that
are added. What is logged stays, so a time that nobody can print would stop whoever reads it."""
CLOCK_SKEW: Final = 300
"""Seconds by which a time may lie ahead of the clock of whoever reads it: officer, city, counter or
auditor."""
