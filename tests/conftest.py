"""Fixtures every test may use, and the rule that a skip is seen.

A test which needs something this machine lacks skips and says what is missing; the end of the run
lists each reason. With `ZHENGLIAN_NO_SKIP=1` (continuous integration) a skip is a failure.
"""

import os
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault of the code: nothing here depends on how long an example takes.
settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("unhurried")

REPO = Path(__file__).resolve().parent.parent
SHARED = REPO.parent / "shared"

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The project's root folder."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """`shared("vectors/notes")` is that path in the test data beside the project, or a skip."""

    def find(path: str) -> Path:
        found = SHARED / path
        if not found.exists():
            pytest.skip(f"test data ../shared/{path} is not on this machine")
        return found

    return find


def _skips_fail() -> bool:
    return os.environ.get("ZHENGLIAN_NO_SKIP", "") not in {"", "0"}


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _refuse_skip(report: Report) -> Report:
    if report.skipped and not hasattr(report, "wasxfail") and _skips_fail():
        reason = _reason(report)
        report.outcome = "failed"
        report.longrepr = f"skipped, and a skip is a failure here: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        cells
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, cells in report.user_properties
        if name == "broken"
    ]
    if rows:
        terminalreporter.section("broken on purpose")
        for cells in rows:
            terminalreporter.write_line(" · ".join(cells))
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("skipped on this machine")
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"{count:4d}  {reason}")
