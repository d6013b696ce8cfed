"""The published data sets, end to end: two files, one ledger, every licence checked, an export
audited with nothing but the command, the export and the trust pack, and tampering named.

`make test` takes the first rows of each file, `make test-long` both files whole.
"""

import csv
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, select

from api import change_facts
from api.city import City
from api.imports.jobs import RowFault
from api.imports.report import error_csv
from api.licences import Licences
from api.packs import make_pack
from api.tables import ACTS, LICENCES
from ledger.export import export
from tests.api.service import enrol_department, enrol_key, found_city, settings_of
from tests.imports.helpers import COMPANY_MAP, Outcome, run
from verifier.judge import judge
from verifier.pack import open_pack
from verifier.qr import format_qr
from verifier.statement import parse_statement
from verifier.states import DEREGISTERED, REVOKED, STATES, VALID
from verifier.tiles import entries_path, parse_bundle

COMMAND = Path(sys.executable).parent / "zhenglian"
Shared = Callable[[str], Path]


@dataclass
class Imported:
    """The city after both imports, its pack, its export, and the files' own rows."""

    city: City
    shanghai: Outcome
    chicago: Outcome
    companies: list[dict[str, str]]
    inspections: list[dict[str, str]]
    pack: Path
    exported: Path

    @property
    def licensed(self) -> dict[str, dict[str, str]]:
        """Chicago's licences by the city's own id of a term."""
        return {row["ID"]: row for row in self.inspections if row["LICENSE_NUMBER"]}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(2_500, id="prefix"),
        pytest.param(None, id="whole", marks=pytest.mark.long),
    ],
)
def imported(
    request: pytest.FixtureRequest,
    _remembered: None,
    shared: Shared,
    repo: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Imported]:
    folder = tmp_path_factory.mktemp("real")
    city = found_city(settings_of(folder / "var"))
    market = city.catalogue.departments["market"]
    enrol_department(city, market.slug, market.zh, market.en, market.uscc)
    enrol_key(city, market.slug, change_facts.catalogue_scope(city, market.slug))
    outcomes, rows = [], []
    for name, map_name in (
        ("shanghai_2004.csv", "shanghai_2004.toml"),
        ("chicago_food_licences.csv", "chicago_food.toml"),
    ):
        file = _first_rows(shared(f"data/{name}"), folder / name, request.param)
        with file.open(encoding="utf-8", newline="") as opened:
            rows.append(list(csv.DictReader(opened)))
        outcomes.append(run(city, file, (repo / "maps" / map_name).read_text(encoding="utf-8")))
    pack = folder / "trust.pack"
    pack.write_bytes(make_pack(city))
    export(city.ledger, folder / "log")
    shanghai, chicago = outcomes
    yield Imported(city, shanghai, chicago, rows[0], rows[1], pack, folder / "log")
    city.close()


def _first_rows(file: Path, copy: Path, count: int | None) -> Path:
    """The file, or a copy of its beginning; no cell of these files holds a line break."""
    if count is None:
        return file
    with file.open("rb") as opened:
        copy.write_bytes(b"".join(islice(opened, count + 1)))
    return copy


def test_what_the_import_counts_is_in_the_files(imported: Imported) -> None:
    """Counted without the importer. All codes of Shanghai are right."""
    companies = len(imported.companies)
    assert imported.shanghai.counts == {"read": companies, "issued": companies}
    assert imported.shanghai.faults == []
    rows, licensed = imported.inspections, imported.licensed
    terms: dict[str, list[dict[str, str]]] = {}
    for row in sorted(licensed.values(), key=lambda row: row["LICENSE_TERM_START_DATE"]):
        terms.setdefault(row["LICENSE_NUMBER"], []).append(row)
    renewals = sum(
        before["LICENSE_STATUS"] == "AAI" for each in terms.values() for before in each[:-1]
    )
    states = Counter(row["LICENSE_STATUS"] for row in licensed.values())
    blank = sum(not row["LICENSE_NUMBER"] for row in rows)
    repeated = len(rows) - blank - len(licensed)
    if len(rows) > 20_000:
        assert (companies, len(rows), len(licensed)) == (11_023, 27_600, 17_430)
    assert imported.chicago.counts == {
        "read": len(rows),
        "skipped": blank,
        "issued": len(licensed) - renewals,
        "renewed": renewals,
        "ended deregistered": states["AAC"],
        "ended revoked": states["REV"] + states["REA"],
        "duplicates": repeated,
        "refused import-row-duplicate": repeated,
    }
    assert {code for _, _, code in imported.chicago.codes} == {"import-row-duplicate"}
    assert len(imported.chicago.faults) == repeated > 0


def test_every_licence_is_verifiable_and_what_ended_is_red(imported: Imported) -> None:
    """All of them, offline: the code that shows everything, the pack, now."""
    licences, entries = Licences(imported.city), entries_of(imported.city)
    trust, now = open_pack(imported.pack.read_bytes()), int(time.time())
    verdicts: Counter[tuple[str, str]] = Counter()
    for row in rows_of(imported.city):
        _, disclosures = licences.content(row)
        verdict = judge(format_qr(entries[row.issue_index], disclosures), trust, now)
        verdicts[(STATES[row.state].name, f"{verdict.colour.value} {verdict.code}")] += 1
        if row.state != VALID:
            assert STATES[row.state].zh in verdict.zh
    states = Counter(row["LICENSE_STATUS"] for row in imported.licensed.values())
    assert verdicts == {
        ("valid", "green valid"): len(imported.companies),
        ("valid", "red expired"): states["AAI"],  # terms that ended by 2019
        ("deregistered", "red status-deregistered"): states["AAC"],
        ("revoked", "red status-revoked"): states["REV"] + states["REA"],
    }


def rows_of(city: City) -> Sequence[Row[Any]]:
    with city.store.read() as reader:
        query = select(LICENCES).order_by(LICENCES.c.issue_index)
        return reader.connection.execute(query).all()


def entries_of(city: City) -> list[bytes]:
    with city.store.read() as reader:
        return reader.entries(0, city.ledger.size)


def test_renewals_and_ends_name_their_predecessor(imported: Imported) -> None:
    city = imported.city
    rows, entries = rows_of(city), entries_of(city)
    with city.store.read() as reader:
        acts = {row.record_id: row for row in reader.connection.execute(select(ACTS))}
    renewed = {row.renewed_by: row for row in rows if row.renewed_by is not None}
    linked = 0
    for row in rows:
        content = parse_statement(entries[row.issue_index]).content
        before = renewed.get(row.record_id)
        assert content.predecessor == (None if before is None else before.head_leaf)
        linked += before is not None
        if before is not None:
            assert row.version == before.version + 1
            assert row.number_nym == before.number_nym
            assert row.valid_from > before.valid_from
            assert before.state == VALID
        if row.state != VALID:
            ended = parse_statement(entries[acts[row.record_id].idx])
            assert ended.content.predecessor == row.issue_leaf
            assert ended.leaf == row.head_leaf
            assert (ended.content.state, ended.subject) == (row.state, row.record_id)
    assert linked == imported.chicago.counts["renewed"]
    assert set(acts) == {row.record_id for row in rows if row.state in (DEREGISTERED, REVOKED)}
    assert len(rows) == len({row.record_id for row in rows})
    assert len(rows) == len(imported.licensed) + len(imported.companies)


def test_invalid_codes_are_in_the_error_file(imported: Imported, shared: Shared) -> None:
    """4,799 published codes that are not valid as they stand; 207 are in capital letters."""
    path = shared("data/uscc_invalid_all.csv")
    text = COMPANY_MAP.replace("企业名称", "enterprise").replace("注册日期", "reg_date")
    text = text.replace("统一社会信用代码", "code_as_published")
    text = "\n".join(line for line in text.splitlines() if "capital" not in line)
    done = run(imported.city, path, text)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    upper = {at for at, row in enumerate(rows, 2) if row["valid_after_uppercase"] == "Y"}
    faults: dict[int, list[RowFault]] = {}
    for fault in done.faults:
        faults.setdefault(fault.line, []).append(fault)
    for line, row in enumerate(rows, 2):
        of_code = [fault.code for fault in faults.get(line, ()) if fault.field == "uscc"]
        assert (of_code == []) == (line in upper), row
    codes = Counter(fault.code for fault in done.faults if fault.field == "uscc")
    assert codes["import-old-number"] > 3_000
    assert codes["code-uscc-invalid"] > 100
    assert 0 < done.counts["issued"] <= len(upper) == 207
    page = error_csv(done.faults)
    assert not any(row["enterprise"] in page for row in rows if len(row["enterprise"]) > 6)
    assert not any(row["code_as_published"] in page for row in rows if int(row["length"]) > 6)


# --- the export -----------------------------------------------------------------------------------


@pytest.fixture
def empty(imported: Imported, tmp_path: Path) -> Path:
    """A folder with the export and the trust pack, and nothing else."""
    shutil.copytree(imported.exported, tmp_path / "log")
    shutil.copy(imported.pack, tmp_path / "trust.pack")
    return tmp_path


def audited(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [COMMAND, "audit", "log", "--trust", "trust.pack", "--json", *options],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def codes_of(report: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in report["findings"]}


def test_the_export_audits_clean(empty: Path, imported: Imported) -> None:
    status, report = audited(empty)
    assert status == 0, report
    ended = sum(count for name, count in imported.chicago.counts.items() if "ended" in name)
    licences = len(imported.licensed) + len(imported.companies)
    assert report["size"] == 3 + licences + ended
    assert codes_of(report) <= {"audit-witnesses-unchecked", "audit-previous-unchecked"}


def rewrite(folder: Path, n: int, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Changes the entries of one full bundle of the export."""
    path = folder / "log" / entries_path(n)
    entries = change(parse_bundle(path.read_bytes(), 256))
    path.chmod(0o644)
    path.write_bytes(b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries))


def flip(entries: list[bytes]) -> list[bytes]:
    entry = entries[77]
    entries[77] = entry[:-1] + bytes([entry[-1] ^ 1])
    return entries


def swap(entries: list[bytes]) -> list[bytes]:
    entries[10], entries[11] = entries[11], entries[10]
    return entries


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (flip, "audit-leaf-differs"),
        (swap, "audit-leaves-swapped"),
        (lambda entries: entries[:50] + entries[51:], "audit-leaf-dropped"),
    ],
    ids=["one-bit", "two-swapped", "one-dropped"],
)
def test_a_change_of_the_export_is_named(
    empty: Path, change: Callable[[list[bytes]], list[bytes]], code: str
) -> None:
    rewrite(empty, 7, change)
    status, report = audited(empty)
    assert status == 1
    assert code in codes_of(report)


def test_an_older_checkpoint_is_named(empty: Path, imported: Imported, tmp_path: Path) -> None:
    """The log shows the head of yesterday to one who has seen today's."""
    health = imported.city.catalogue.departments["health"]
    enrol_department(imported.city, health.slug, health.zh, health.en, health.uscc)
    export(imported.city.ledger, tmp_path / "newer")
    shutil.copy(tmp_path / "newer" / "checkpoint", empty / "seen")
    status, report = audited(empty, "--since", "seen")
    assert status == 1
    assert "audit-checkpoint-older" in codes_of(report)
