"""A key leaked on 1 May is discovered on 20 May: what every counter shows, day by day."""

import sys
from pathlib import Path
from typing import Any

import pytest

from api.affected import Step, affected, compromised_key, count_steps
from api.cli import main
from api.commands.audit import workdays_after
from api.rules.workdays import builtin_calendar
from ledger.audit.findings import Severity
from ledger.audit.report import AuditReport
from ledger.audit.run import audit
from ledger.export import export
from ledger.readside import DirectoryReadSide
from tests.api.counters import Counter, compact, transparent
from tests.api.leaks import (
    enrol_successor,
    food,
    forged_code,
    forged_licence,
    log_past_the_service,
    report_leak,
)
from tests.api.records import at, statement_at
from tests.api.service import DAY, Service, open_copy
from verifier.qr import format_qr
from verifier.verdict import Colour

TERM = {"from": "2026-01-05", "until": "2030-01-04"}
BEFORE, AFTER = "key-before-compromise", "key-compromised"


class Spring:
    """From 28 April to 20 May 2026."""

    def __init__(self, service: Service) -> None:
        self.service, self.city = service, service.city
        self.at(4, 28)
        self.stolen = self.city.signer("market")
        self.april = [self.issue(number) for number in range(3)]
        self.april_proven = [self.proven(each) for each in self.april]
        self.leaked = at(2026, 5, 1, 0)
        self.at(5, 6)
        self.may = [self.issue(number) for number in range(10, 14)]
        self.at(5, 12)
        # What the thief makes of it: one licence dated back and shown to counters only, one that
        # a hostile replica put into the ledger.
        self.dated_back = forged_code(self.city, self.stolen, at=at(2026, 4, 20))
        self.thiefs, face = forged_licence(self.city, self.stolen, at=at(2026, 5, 12))
        (self.thiefs_index,) = log_past_the_service(self.city, self.thiefs)
        self.thiefs_proven = format_qr(self.thiefs, face, self.city.ledger.proof(self.thiefs_index))
        self.may_proven = [self.proven(each) for each in self.may]

    def at(self, month: int, day: int, hour: int = 10) -> None:
        self.service.clock.now = at(2026, month, day, hour)

    def issue(self, number: int) -> dict[str, Any]:
        return self.service.issue("food-licence", **{**food(number), **TERM})

    def proven(self, issued: dict[str, Any]) -> str:
        return transparent(self.service, issued["record_id"])

    def found_out(self) -> bytes:
        """A new key first, so that somebody can sign the lists of states, then the report."""
        self.at(5, 20, 14)
        new_kid = enrol_successor(self.city)
        report_leak(self.city, self.stolen.kid, self.leaked)
        return new_kid

    def audited(self, folder: Path) -> AuditReport:
        """Of the exported ledger, as somebody else would."""
        export(self.city.ledger, folder)
        return audit(
            DirectoryReadSide(folder),
            workdays_after=workdays_after(builtin_calendar()),
            now=self.city.now(),
            log_vkey=self.city.trust().log_key.text(),
            processes=1,
        )


@pytest.fixture
def spring(service: Service) -> Spring:
    return Spring(service)


def findings(report: AuditReport) -> set[tuple[str, int | None]]:
    return {
        (each.code, each.index)
        for each in report.findings
        if each.severity is not Severity.UNCHECKED
    }


def qr(issued: list[dict[str, Any]]) -> list[str]:
    return [each["qr"] for each in issued]


def test_until_it_is_found_out_nobody_can_tell(spring: Spring) -> None:
    """Not even the licence dated back: whoever has the key is the department, to a counter."""
    spring.at(5, 20, 9)
    counter = Counter(spring.service).sync()
    codes = [*qr(spring.april), *qr(spring.may), *spring.may_proven, spring.dated_back]
    assert counter.codes(*codes) == ["valid"] * len(codes)


def test_after_the_next_sync(spring: Spring) -> None:
    """From before: green, compact and with a proof. Since: red, and so is what is dated back."""
    spring.at(5, 20, 9)
    synced_by_update, synced_anew = Counter(spring.service).sync(), Counter(spring.service)
    spring.found_out()
    for counter in (synced_by_update.sync(), synced_anew.sync()):
        for code in [*qr(spring.april), *spring.april_proven]:
            verdict = counter.judge(code)
            assert (verdict.colour, verdict.code) == (Colour.GREEN, "valid")
            assert verdict.key is not None
            assert verdict.key.rule == BEFORE
        red = [*qr(spring.may), *spring.may_proven, spring.thiefs_proven, spring.dated_back]
        assert counter.codes(*red) == [AFTER] * len(red)
    online = [spring.service.verify(code) for code in qr(spring.april)]
    assert [each["key"]["rule"] for each in online] == [BEFORE] * 3
    for code in [*qr(spring.may), spring.thiefs_proven]:
        answer = spring.service.verify(code)
        assert (answer["colour"], answer["code"]) == ("red", AFTER)
        assert "泄露" in answer["zh"]
    assert spring.service.verify(spring.dated_back)["code"] == "not-in-ledger"


def test_a_counter_that_has_not_synced(spring: Spring, tmp_path: Path) -> None:
    """It cannot know. It shows green still, and how old its knowledge is; after three days it
    shows no green at all."""
    spring.at(5, 20, 9)
    counter, code = Counter(spring.service).sync(), spring.may[0]["qr"]
    spring.found_out()
    verdict = counter.judge(code)
    assert (verdict.colour, verdict.to_json()["status"]["age_seconds"]) == ("green", 5 * 3600)
    status, text = counter.command(tmp_path, code)
    assert status == 0
    assert "2026-05-20 09:00" in text
    assert "5 小时" in text
    spring.at(5, 23, 10)
    assert counter.codes(code) == ["trust-expired"]
    status, _ = counter.command(tmp_path, code)
    assert status == 3
    assert counter.sync().codes(code) == [AFTER]


def test_at_the_counter_by_command(spring: Spring, tmp_path: Path) -> None:
    """Exit status and sentence of `zhenglian verify`, for the clerk who reads no code."""
    spring.found_out()
    counter = Counter(spring.service).sync()
    status, text = counter.command(tmp_path, spring.april[0]["qr"])
    assert (status, "泄露之前" in text) == (0, True)
    status, text = counter.command(tmp_path, spring.may[0]["qr"])
    assert (status, "密钥已泄露" in text) == (1, True)
    shown = counter.command_json(tmp_path, spring.dated_back)
    assert (shown["colour"], shown["code"]) == ("red", AFTER)


def test_listed_issued_anew_and_audited(
    spring: Spring,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service, city, kid = spring.service, spring.city, spring.stolen.kid
    # the thief's licence sits on another's place in the list of states: that is all there is to see
    before = spring.audited(tmp_path / "before")
    assert findings(before) == {("audit-status-index-reused", spring.thiefs_index)}
    counter = Counter(service).sync()
    new_kid = spring.found_out()
    # the audit names every licence that rests on the key, until it is dealt with
    rests = {spring.thiefs_index, *(each["index"] for each in spring.may)}
    assert findings(spring.audited(tmp_path / "told")) - findings(before) == {
        ("audit-signed-while-compromised", index) for index in rests
    }
    # the list
    monkeypatch.setattr(sys, "argv", ["zhenglian", "key", "affected", kid.hex()])
    monkeypatch.setattr("api.commands.compromise.opened", lambda: open_copy(folder, service.clock))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    for issued in spring.may:
        assert issued["record_id"] in printed
    assert "2026-05-01 00:00" in printed
    for issued in spring.april:
        assert issued["record_id"] not in printed
    steps = count_steps(affected(city, compromised_key(city, kid)))
    assert steps == {Step.RESIGN: 4, Step.FOREIGN: 1}
    # under the new key
    spring.at(5, 21)
    answer = service.post("keeper", f"/v1/keys/{kid.hex()}/resign", {})
    assert answer.status_code == 200, answer.text
    pairs = {each["old"]: each["new"] for each in answer.json()["resigned"]}
    assert list(pairs) == [each["record_id"] for each in spring.may]
    counter.sync()
    for old in spring.may:
        new = pairs[old["record_id"]]
        for code in (compact(service, new), transparent(service, new)):
            verdict = counter.judge(code)
            assert (verdict.colour, verdict.code) == (Colour.GREEN, "valid")
            assert verdict.key is not None
            assert (verdict.key.kid, verdict.key.rule) == (new_kid, "key-in-force")
            assert service.verify(code)["colour"] == "green"
        assert counter.codes(old["qr"]) == [AFTER]
        shown_old = service.get("market", f"/v1/licences/{old['record_id']}").json()
        shown_new = service.get("market", f"/v1/licences/{new}").json()
        assert (shown_old["renewed_by"], shown_new["renews"]) == (new, old["record_id"])
        assert [act["reason"] for act in shown_old["acts"]] == ["key-compromised"]
        entry = statement_at(service, shown_new["index"])
        assert entry.content.predecessor == bytes.fromhex(old["leaf"])
    assert counter.codes(*qr(spring.april)) == ["valid"] * 3
    # what is left is the thief's, and the audit says so
    assert findings(spring.audited(tmp_path / "settled")) - findings(before) == {
        ("audit-signed-while-compromised", spring.thiefs_index)
    }


def test_dated_into_the_time_before_and_logged_after(spring: Spring) -> None:
    """A thief with a hostile replica, after the leak is known: neither date nor place helps."""
    spring.found_out()
    city = spring.city
    for day in (at(2026, 4, 20), at(2026, 5, 20)):
        forged, face = forged_licence(city, spring.stolen, at=day)
        (index,) = log_past_the_service(city, forged)
        counter = Counter(spring.service).sync()
        compact_code = format_qr(forged, face)
        proven = format_qr(forged, face, city.ledger.proof(index))
        assert counter.codes(compact_code, proven) == [AFTER, AFTER]
        assert spring.service.verify(compact_code)["code"] == AFTER


def test_between_the_report_and_the_new_key(spring: Spring) -> None:
    """Nobody can sign the department's list of states: what counts is amber, never green."""
    spring.at(5, 20, 14)
    report_leak(spring.city, spring.stolen.kid, spring.leaked)
    counter = Counter(spring.service).sync()
    assert counter.codes(*qr(spring.april)) == ["status-unknown"] * 3
    assert counter.codes(*qr(spring.may)) == [AFTER] * 4
    spring.service.clock.step(60)
    enrol_successor(spring.city)
    assert counter.sync().codes(*qr(spring.april)) == ["valid"] * 3


def test_the_first_second_of_the_leak(spring: Spring) -> None:
    """The second before its date counts, that second itself does not."""
    service = spring.service
    spring.at(5, 13)
    edge = service.city.now()
    last = service.issue("food-licence", **{**food(30), **TERM})
    service.clock.step(1)
    first = service.issue("food-licence", **{**food(31), **TERM})
    service.clock.step(DAY)
    enrol_successor(service.city)
    report_leak(service.city, spring.stolen.kid, edge + 1)
    counter = Counter(service).sync()
    assert counter.codes(last["qr"], first["qr"]) == ["valid", AFTER]
