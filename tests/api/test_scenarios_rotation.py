"""A rotation at midnight, while two processes issue 200 licences a second over one database."""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from api import change_facts
from api.city import City
from api.commands.audit import workdays_after
from api.founding import open_city
from api.keymaking import make_key
from api.licences import Licences
from api.packs import make_pack
from api.rules.workdays import builtin_calendar
from ledger.audit.findings import Severity
from ledger.audit.run import audit
from ledger.readside import LedgerReadSide
from tests.api.records import at
from tests.api.rotation import ShiftedClock
from tests.api.service import Template, decide, settings_of
from verifier.judge import judge
from verifier.kinds import KEY, LICENCE
from verifier.pack import open_pack
from verifier.qr import format_qr
from verifier.statement import Statement, parse_statement
from verifier.verdict import Colour

MIDNIGHT = at(2026, 9, 24, 0)
"""In China."""
PROCESSES = 2
RATE = 200 // PROCESSES
LEAD = 5.0
"""Seconds of issuing from when the rotation is logged to midnight."""
NUMBERS = 10_000
"""Of licences, kept apart between the processes."""


class Night:
    """What was issued around midnight by processes that knew nothing of each other."""

    def __init__(self, city: City, clock: ShiftedClock, folder: Path, repo: Path) -> None:
        self.city = city
        self.old = city.signer("market").kid
        with ExitStack() as stack:
            children = [
                stack.enter_context(_child(folder, repo, number * NUMBERS))
                for number in range(PROCESSES)
            ]
            for child in children:
                assert _said(child) == "ready"
            _say(children, "begin")
            first = city.ledger.size
            while city.ledger.size < first + 50:  # they are at it
                time.sleep(0.05)
            self.new = self._rotate()
            clock.ahead = MIDNIGHT - LEAD - time.time()
            _say(children, str(clock.ahead))
            answers = [json.loads(_said(child)) for child in children]
        assert [child.returncode for child in children] == [0] * PROCESSES
        self.issued = [index for answer in answers for index in answer["issued"]]
        self.faults = [fault for answer in answers for fault in answer["faults"]]
        self.slowest = max(answer["slowest"] for answer in answers)

    def _rotate(self) -> bytes:
        city = self.city
        made = make_key(city, "market", "ed25519")
        scope = sorted(city.authorities.keys[self.old].scope)
        facts = change_facts.key("market", made.key, made.pop, scope, MIDNIGHT)
        decide(city, KEY, change_facts.rotation(facts, self.old, 900), "market-1")
        return made.kid

    def licences(self) -> list[Statement]:
        """Every licence in the ledger."""
        ledger = self.city.ledger
        entries = [parse_statement(ledger.entry(index)) for index in range(ledger.size)]
        return [entry for entry in entries if entry.content.kind == LICENCE]


def _child(folder: Path, repo: Path, first: int) -> "subprocess.Popen[str]":
    words = [str(folder), str(first), str(RATE), str(MIDNIGHT)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.api.rotation", *words],
        cwd=repo,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _say(children: list["subprocess.Popen[str]"], line: str) -> None:
    for child in children:
        assert child.stdin is not None
        child.stdin.write(f"{line}\n")
        child.stdin.flush()


def _said(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_a_rotation_at_midnight(
    template: Template, tmp_path: Path, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(template.folder, tmp_path / "var"))
    clock = ShiftedClock(MIDNIGHT - 3600 - time.time())
    with closing(open_city(settings_of(folder), clock=clock)) as city:
        night = Night(city, clock, folder, repo)
        licences = night.licences()
        with capsys.disabled():
            print(f"\n{told(night, licences)}")
        no_gap(night, licences)
        each_by_the_key_whose_time_it_is(night, licences)
        all_green_at_a_counter(city, licences)
        the_audit_is_content(city)


def told(night: Night, licences: list[Statement]) -> str:
    near = [each for each in licences if each.issued_at >= MIDNIGHT - LEAD]
    seconds = Counter(each.issued_at - MIDNIGHT for each in near)
    rates = " ".join(f"{second:+d}: {count}" for second, count in sorted(seconds.items()))
    slowest = f"slowest {night.slowest:.2f} s"
    return f"{len(licences)} licences; by second from midnight: {rates}; {slowest}"


def no_gap(night: Night, licences: list[Statement]) -> None:
    """Every licence that was asked for is in the ledger, once, and nothing else is."""
    assert night.faults == []
    assert len(set(night.issued)) == len(night.issued) == len(licences)
    assert len({each.subject for each in licences}) == len(licences)


def each_by_the_key_whose_time_it_is(night: Night, licences: list[Statement]) -> None:
    """By the second that the statement gives; none by both, none by none."""
    kids = Counter((each.kid, each.issued_at >= MIDNIGHT) for each in licences)
    assert kids.keys() == {(night.old, False), (night.new, True)}


def all_green_at_a_counter(city: City, licences: list[Statement]) -> None:
    book = Licences(city)
    trust, now = open_pack(make_pack(city)), city.now()
    wrong = []
    for statement in licences:
        _, disclosures = book.content(book.row(statement.subject))
        verdict = judge(format_qr(statement.raw, disclosures[:1]), trust, now)
        assert verdict.key is not None
        if verdict.colour is not Colour.GREEN or verdict.key.rule != "key-in-force":
            wrong.append((statement.issued_at, verdict.code))
    assert wrong == []


def the_audit_is_content(city: City) -> None:
    report = audit(
        LedgerReadSide(city.ledger),
        workdays_after=workdays_after(builtin_calendar()),
        now=city.now(),
        processes=1,
    )
    assert [each for each in report.findings if each.severity is not Severity.UNCHECKED] == []
