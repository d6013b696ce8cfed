"""The city's clock set back: what is signed afterwards still makes sense to an auditor."""

from datetime import date

from ledger.audit.findings import Severity
from ledger.audit.run import audit
from ledger.readside import LedgerReadSide
from tests.api.service import NOW, Service
from verifier.statement import parse_statement


def test_an_act_is_never_issued_before_the_one_it_follows(service: Service) -> None:
    licence = service.issue()
    service.clock.step(-3 * 3600)
    service.set_state(licence["record_id"], "suspended", "penalty-suspension")
    service.clock.step(-60)
    service.set_state(licence["record_id"], "valid", "suspension-ended")
    service.issue(number=1)
    ledger = service.city.ledger
    times = [parse_statement(ledger.entry(ledger.size - n)).issued_at for n in (4, 3, 2, 1)]
    assert times == [NOW, NOW, NOW, NOW - 3 * 3600 - 60]
    report = audit(LedgerReadSide(ledger), workdays_after=_never, now=NOW)
    assert [f.code for f in report.findings if f.severity is not Severity.UNCHECKED] == []


def _never(_day: date, _count: int) -> None:
    return None
