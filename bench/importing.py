"""Importing one licence, all included and durable, against its bare parts.

Ours: `zhenglian import` of a CSV of fictional companies: hashing and planning the file, reading,
mapping, validating, signing, sealing, the ledger and every index, checkpoints, the job. The raw
figure is the sum, for each licence, of one Ed25519 signature over a message of the same size, the
SHA-256 hashes of the same bytes (leaf, disclosures, one node of the tree), and one row of the same
columns by the driver's `executemany`, in batches of 1,000, into SQLite in WAL mode with
`synchronous=FULL`.
"""

import csv
import os
import random
import sqlite3
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from api.city import City
from api.demo import DemoOfficers, demo_cards, enrol_department
from api.founding import found
from api.imports.engine import Importer, open_source
from api.imports.jobs import Jobs
from api.imports.mapfile import read_map
from api.licences import Licences
from api.rules.codes import make_uscc
from api.settings import Settings
from api.tables import LICENCES

BATCH = 1_000
ROUND = 2_000
ROUNDS = 12
"""Short rounds, turn about, and the best of each: a busy machine slows both alike."""
RAW_ROUND = 4 * ROUND
"""So that a round of either takes about as long, and neither is luckier with its moments."""
BOUND = 6.0
_MAP = """
type = "business-licence"
absent = ["N/A"]
fields = [
  { field = "name", column = "企业名称" },
  { field = "uscc", column = "统一社会信用代码" },
  { field = "founded", column = "注册日期" },
  { field = "kind", column = "企业类型" },
  { field = "capital", column = "注册资金", transforms = [["amount"]] },
  { field = "scope", column = "经营范围" },
  { field = "addr", column = "注册地址" },
]
"""
_COLUMNS = (
    "record_id, department, type_code, version, identifier_nym, number_nym, holder_nym, "
    "valid_from, valid_until, state, status_list, status_index, issue_leaf, issue_index, "
    "head_leaf, renewed_by, issued_at, wrapped_key, box"
)


def bench() -> list[dict[str, Any]]:
    chance = random.Random(20260401)
    ours, raw = [], []
    with tempfile.TemporaryDirectory(prefix="zl-bench-") as name:
        folder = Path(name)
        city = _city(folder / "var")
        for number in range(ROUNDS):
            file = folder / f"{number}.csv"
            _write(file, number, chance)
            ours.append(_import(city, file))
            raw.append(_raw(city, folder / f"raw-{number}.db"))
        city.close()
    value, bare = min(ours), min(raw)
    ratio = value / bare
    return [
        {
            "name": "import one licence, durable",
            "value": value * 1e6,
            "unit": "µs",
            "raw": bare * 1e6,
            "raw_name": "one signature, its hashes, one row by executemany",
            "ratio": ratio,
            "bound": f"≤ {BOUND:g} × raw",
            "holds": ratio <= BOUND,
        }
    ]


def _city(folder: Path) -> City:
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, data=folder, database="", passphrase="bench", argon2_mib=64, catalogue=None
    )
    city = found(settings, officers=demo_cards(settings))
    enrol_department(city, DemoOfficers(settings), "market", "ed25519")
    return city


def _write(file: Path, number: int, chance: random.Random) -> None:
    """Companies of the usual sizes; every name, address and code is invented."""
    scope = "信息技术、建筑材料领域内的技术开发，五金交电、日用百货、办公用品的销售，商务咨询。"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        header = "企业名称,统一社会信用代码,注册日期,企业类型,注册资金,经营范围,注册地址"
        writer.writerow(header.split(","))
        for at in range(ROUND):
            organisation = f"M{number * ROUND + at:07d}"
            writer.writerow(
                (
                    f"示例市第{number * ROUND + at}实业发展有限公司",
                    make_uscc("91339900", organisation),
                    f"2004-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}",
                    "N/A",
                    f"{chance.choice((50, 100, 500))}(万元人民币)",
                    scope * chance.randint(1, 3),
                    f"示例市建设路{chance.randint(1, 9999)}号{chance.randint(1, 99)}幢",
                )
            )


def _import(city: City, file: Path) -> float:
    """Seconds for one licence."""
    jobs = Jobs(city)
    checked = read_map(_MAP, city.catalogue)
    started = time.perf_counter()
    source = open_source(file, "csv")
    job = jobs.begin(
        client="bench",
        department="market",
        type_code=checked.type.code,
        file_name=file.name,
        file_hash=source.hash,
        map_text=_MAP,
        map_hash=sha256(_MAP.encode()).digest(),
        dry_run=False,
    )
    done = Importer(Licences(city), jobs, job, checked, source).run()
    took = time.perf_counter() - started
    assert done.counts["issued"] == ROUND, done.counts
    return took / ROUND


def _raw(city: City, path: Path) -> float:
    """Seconds for one licence's signature, hashes and row, of the sizes the city now holds."""
    with city.store.read() as reader:
        row = tuple(
            reader.connection.exec_driver_sql(
                f"SELECT {_COLUMNS} FROM licences ORDER BY issue_index DESC"
            ).first()
            or ()
        )
        statement = reader.entries(int(row[13]), 1)[0]
    assert len(row) == len(LICENCES.columns)
    message, disclosures = statement[:-64], (os.urandom(300), os.urandom(300))
    key = SigningKey(bytes(32))
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(f"CREATE TABLE raw (idx INTEGER PRIMARY KEY, {_COLUMNS}, data)")
    marks = ",".join("?" * (len(row) + 2))
    started = time.perf_counter()
    for first in range(0, RAW_ROUND, BATCH):
        rows = []
        for at in range(first, first + BATCH):
            key.sign(message)
            leaf = sha256(b"\0" + statement).digest()
            sha256(b"\1" + leaf + leaf).digest()
            for disclosure in disclosures:
                sha256(disclosure).digest()
            rows.append((at, *row, statement))
        database.execute("BEGIN IMMEDIATE")
        database.executemany(f"INSERT INTO raw VALUES ({marks})", rows)
        database.execute("COMMIT")
    took = time.perf_counter() - started
    database.close()
    return took / RAW_ROUND
