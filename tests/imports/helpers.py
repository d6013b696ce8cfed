"""Small files of fictional licences, and importing them into a city."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from api.city import City
from api.imports.engine import Importer, open_source
from api.imports.jobs import Job, Jobs, RowFault
from api.imports.mapfile import read_map
from api.imports.reader import Row, format_of
from api.licences import Licences
from api.rules.codes import make_uscc

FOOD_MAP = """
type = "retail-food"
absent = ["N/A"]
fields = [
  { field = "no", column = "number" },
  { field = "name", column = "name" },
  { field = "account", column = "account" },
  { field = "premises", columns = ["street", "city"], join = ", " },
  { field = "from", column = "from" },
  { field = "until", column = "until" },
  { field = "items", column = "items", values = { food = "食品" } },
]

[[skip]]
column = "number"
values = [""]

[state]
column = "status"
[state.values]
AAI = {}
AAC = { state = "deregistered", reason = "holder-request" }
REV = { state = "revoked", reason = "penalty-revocation" }

[renewal]
"""
FOOD_HEADER = ["number", "name", "account", "street", "city", "from", "until", "items", "status"]

COMPANY_MAP = """
type = "business-licence"
absent = ["N/A"]
fields = [
  { field = "name", column = "企业名称" },
  { field = "uscc", column = "统一社会信用代码" },
  { field = "founded", column = "注册日期" },
  { field = "capital", column = "注册资金", transforms = [["amount"]] },
]
"""
COMPANY_HEADER = ["企业名称", "统一社会信用代码", "注册日期", "注册资金"]


def food(n: object, start: str = "2024-01-01", status: str = "AAI", **changes: str) -> list[str]:
    """A row of a food licence with a term of two years."""
    year = int(start[:4])
    row = {
        "number": str(n),
        "name": f"示例餐馆{n}",
        "account": f"A{n}",
        "street": f"建设路{n}号",
        "city": "示例市",
        "from": start,
        "until": f"{year + 1}-12-31",
        "items": "food",
        "status": status,
    }
    return list({**row, **changes}.values())


def code(number: int) -> str:
    """A valid unified social credit code."""
    return make_uscc("91339900", f"MA{number:06d}")


def company(number: int, **changes: str) -> list[str]:
    row = {"name": f"示例{number}有限公司", "uscc": code(number), "founded": "2004-01-02"}
    return list({**row, "capital": "50(万美元)", **changes}.values())


def write_csv(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], encoding: str = "utf-8"
) -> Path:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    path.write_bytes(out.getvalue().encode(encoding))
    return path


@dataclass
class Outcome:
    """What an import did. `faults` are (line, field, code)."""

    job: Job
    faults: list[RowFault]

    @property
    def counts(self) -> Mapping[str, int]:
        return self.job.counts

    @property
    def codes(self) -> list[tuple[int, str, str]]:
        return [(fault.line, fault.field, fault.code) for fault in self.faults]


def importer(
    city: City, path: Path, map_text: str = FOOD_MAP, *, dry_run: bool = False
) -> Importer:
    """An import that is ready to run, of a new job or of the one that there is."""
    checked = read_map(map_text, city.catalogue)
    source = open_source(path, format_of(path))
    jobs = Jobs(city)
    job = jobs.begin(
        client="test",
        department=checked.type.issuer,
        type_code=checked.type.code,
        file_name=path.name,
        file_hash=source.hash,
        map_text=map_text,
        map_hash=sha256(map_text.encode()).digest(),
        dry_run=dry_run,
    )
    return Importer(Licences(city), jobs, job, checked, source)


def run(city: City, path: Path, map_text: str = FOOD_MAP, *, dry_run: bool = False) -> Outcome:
    made = importer(city, path, map_text, dry_run=dry_run)
    job = made.run()
    return Outcome(job, made.jobs.errors(job.id))


def run_rows(
    city: City, folder: Path, rows: Sequence[Sequence[str]], *, dry_run: bool = False
) -> Outcome:
    """Imports food rows from a file of their own."""
    path = folder / f"{sha256(repr(rows).encode()).hexdigest()[:8]}.csv"
    return run(city, write_csv(path, FOOD_HEADER, rows), dry_run=dry_run)


def row_of(cells: Mapping[str, str], line: int = 2) -> Row:
    return Row(line, cells)


def stop_after(batches: int) -> Callable[[], bool]:
    """A `stop` that is true from its n-th question on."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= batches

    return stop
