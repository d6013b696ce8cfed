"""Every way to tamper with the files of a log is detected and named where it is."""

import pytest

from tests.ledger.audited import Shown, found
from tests.ledger.cases_tree import CASES, SIZE, whole
from tests.ledger.logs import log_files


@pytest.mark.parametrize("case", CASES)
def test_tampering_is_named(case: str) -> None:
    shown = CASES[case]()
    report = shown.audit()
    assert sorted(found(report), key=str) == sorted(shown.finds, key=str)
    assert case.partition(" ")[0] in report.totals
    assert not report.ok
    if shown.detail:
        assert shown.detail in {finding.detail for finding in report.findings}


def test_a_whole_log_is_clean() -> None:
    _, files = whole()
    report = Shown(files, []).audit()
    assert found(report) == []
    assert report.ok
    assert report.size == report.signatures == SIZE
    assert report.root == report.signed_root


@pytest.mark.parametrize("size", [1, 5, 255, 256, 257, 511, 512, 600, SIZE - 1, SIZE])
def test_any_older_checkpoint_is_extended(size: int) -> None:
    city, files = whole()
    older = log_files(city.entries[:size], city.log)["checkpoint"]
    report = Shown(files, []).audit(previous=older)
    assert found(report) == []
    assert report.previous_size == size
    assert "audit-previous-unchecked" not in report.totals
