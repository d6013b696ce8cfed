"""An import killed with SIGKILL at any moment: nothing acknowledged is lost, nothing is doubled."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from api.city import City
from api.commands.audit import workdays_after
from api.imports.jobs import DONE, Jobs
from api.licences import Licences
from api.rules.workdays import builtin_calendar
from api.tables import ACTS, LICENCES
from ledger.audit.run import audit
from ledger.readside import LedgerReadSide
from tests.api.service import Clock, open_copy
from tests.imports.helpers import FOOD_HEADER, FOOD_MAP, food, importer, write_csv
from verifier.kinds import LICENCE, LICENCE_STATE
from verifier.statement import parse_statement
from verifier.states import REVOKED

NUMBERS = 600
BATCH = 40
MOMENTS = 7
"""How often the process is killed: after a few batches, plus a moment within one."""


def rows() -> list[list[str]]:
    """Three terms of each number, the last one revoked for some; duplicates and faults between."""
    made = []
    for term in (2020, 2022, 2024):
        for n in range(NUMBERS):
            revoked = term == 2024 and n % 10 == 0
            made.append(food(n, f"{term}-01-01", "REV" if revoked else "AAI"))
            if n % 7 == 0:
                made.append(made[-1])
            if n % 11 == 0:
                made.append(food(n, name=""))
    return made


@pytest.mark.long
def test_killed_again_and_again(folder: Path, tmp_path: Path, repo: Path) -> None:
    file = write_csv(tmp_path / "food.csv", FOOD_HEADER, rows())
    map_file = tmp_path / "map.toml"
    map_file.write_text(FOOD_MAP, encoding="utf-8")
    child = [sys.executable, "-m", "tests.imports.child"]
    command = [*child, str(folder), str(file), str(map_file), str(BATCH)]
    chance = random.Random(20260401)
    acknowledged = licences = kills = 0
    while True:
        wanted = chance.randint(1, 7) if kills < MOMENTS else 1_000
        with subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            text = "".join(process.stdout.readline() for _ in range(wanted))
            if kills < MOMENTS:
                time.sleep(chance.random() * 0.02)
                process.send_signal(signal.SIGKILL)
            text += process.stdout.read()
        said = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
        if said and said[-1][0] != "ready":
            acknowledged, licences = int(said[-1][0]), int(said[-1][1])
        city = open_copy(folder, Clock())
        try:
            check(city, acknowledged, licences)
        finally:
            city.close()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills == MOMENTS

    city = open_copy(folder, Clock())
    try:
        finished(city, file)
    finally:
        city.close()


def check(city: City, acknowledged: int, licences: int) -> None:
    """What a dead process left: the job, the licences and the ledger agree, and audit clean."""
    (job,) = Jobs(city).of_departments(["market"])
    assert job.position >= acknowledged
    with city.store.read() as reader:
        held = reader.connection.execute(select(LICENCES)).all()
        acts = reader.connection.execute(select(ACTS.c.idx)).scalars().all()
    assert len(held) == job.counts.get("issued", 0) + job.counts.get("renewed", 0) >= licences
    assert len(acts) == job.counts.get("ended revoked", 0)
    entries = [parse_statement(city.ledger.entry(i)) for i in range(city.ledger.size)]
    kinds = Counter(entry.content.kind for entry in entries)
    assert kinds[LICENCE] == len(held)
    assert kinds[LICENCE_STATE] == len(acts)
    assert {entries[row.issue_index].subject for row in held} == {row.record_id for row in held}
    report = audit(
        LedgerReadSide(city.ledger),
        workdays_after=workdays_after(builtin_calendar()),
        now=city.now(),
        processes=1,
    )
    assert report.ok, report.totals
    assert report.size == len(entries)


def finished(city: City, file: Path) -> None:
    """As if nothing had ever happened."""
    (job,) = Jobs(city).of_departments(["market"])
    assert (job.state, job.position) == (DONE, len(rows()))
    assert job.counts["issued"] == NUMBERS
    assert job.counts["renewed"] == 2 * NUMBERS
    assert job.counts["ended revoked"] == NUMBERS / 10
    doubled, faulty = len(range(0, NUMBERS, 7)), len(range(0, NUMBERS, 11))
    assert job.counts["duplicates"] == 3 * doubled
    assert job.counts["refused"] == 3 * faulty
    faults = Counter(fault.code for fault in Jobs(city).errors(job.id))
    assert faults == {"import-row-duplicate": 3 * doubled, "field-missing": 3 * faulty}
    licences, type_ = Licences(city), city.catalogue.licence_type("retail-food")
    for n in range(0, NUMBERS, 13):
        versions = licences.by_number(type_, str(n))
        assert [one.version for one in versions] == [1, 2, 3]
        assert (versions[2].state == REVOKED) == (n % 10 == 0)
    size = city.ledger.size
    importer(city, file).run()
    assert city.ledger.size == size
