"""What the tests of backups share: a ledger, and an application with tables of every type."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    select,
)

from ledger.backup.inspection import Backup
from ledger.backup.make import Progress, make
from ledger.backup.restore import restore
from ledger.stores import sql
from ledger.stores.base import Store
from ledger.stores.migrate import versioned
from tests.ledger.helpers import ORIGIN, SIGNER, drafts, open_ledger
from verifier.note import VerifierKey

MADE_AT = 1_790_043_600
ENTRIES = 700
"""More than a page, and a tile of level 1."""

_WORDS = "an entry of the town, " * 12
"""Together more than a pipe holds."""

FIRST = '''"""Houses and marks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "houses",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("deed", sa.LargeBinary(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("empty", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "marks",
        sa.Column("street", sa.Text(), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=True),
    )
'''
SECOND = '''"""Houses have floors."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("houses", sa.Column("floors", sa.Integer(), nullable=True))
    op.execute("UPDATE houses SET floors = length(name)")
'''


def town(folder: Path, *, later: bool = False) -> MetaData:
    """The application's tables, or those of its second release."""
    folder.mkdir()
    (folder / "r0001_houses.py").write_text(FIRST, encoding="utf-8")
    tables = versioned("town", folder)
    number = BigInteger().with_variant(Integer(), "sqlite")
    houses = Table(
        "houses", tables,
        Column("number", number, primary_key=True), Column("name", Text, nullable=False),
        Column("deed", LargeBinary), Column("tags", JSON, nullable=False),
        Column("empty", Boolean, nullable=False),
    )  # fmt: skip
    Table(
        "marks", tables,
        Column("street", Text, primary_key=True), Column("place", Integer, primary_key=True),
        Column("at", BigInteger),
    )  # fmt: skip
    if later:
        (folder / "r0002_floors.py").write_text(SECOND, encoding="utf-8")
        houses.append_column(Column("floors", Integer))
    return tables


def build(store: Store, tables: MetaData, houses: int = 90) -> None:
    """Put the town into the tables."""
    rows: list[dict[str, Any]] = [
        {
            "number": n + 1,
            "name": f"{'楼' * (n % 5)}\t'\\N house {n}",
            "deed": None if n % 3 else bytes([n % 256]) * n,
            "tags": {"b": [n, "é"], "a": None} if n % 2 else [],
            "empty": n % 7 == 0,
        }
        for n in range(houses)
    ]
    marks = [
        {"street": f"路{n % 3}", "place": n, "at": None if n % 2 else n << 40} for n in range(80)
    ]
    with store.write() as writer:
        writer.connection.execute(insert(tables.tables["houses"]), rows)
        writer.connection.execute(insert(tables.tables["marks"]), marks)
        writer.commit()


def founded(store: Store, tables: MetaData, entries: int = ENTRIES) -> Store:
    """The same store, with a log and the town in it."""
    store.create(tables)
    with open_ledger(store) as ledger:
        for start in range(0, entries, 300):
            ledger.append(drafts(start, min(300, entries - start), _WORDS))
    build(store, tables)
    return store


RESTORED = ("checkpoint", 3)


def all_rows(store: Store, tables: MetaData) -> Mapping[str, Sequence[str]]:
    """Every value of every table, but for the mark of a restore; rows, and members in JSON, in no
    order of an engine's own."""

    def ordered(value: Any) -> Any:
        return sorted(value.items()) if isinstance(value, dict) else value

    with store.read() as reader:
        read = reader.connection.execute
        return {
            table.name: sorted(
                repr([ordered(value) for value in row])
                for row in read(select(table))
                if (table.name, row[0]) != RESTORED
            )
            for table in (*sql.METADATA.sorted_tables, *tables.sorted_tables)
        }


def log_keys(_genesis: bytes) -> tuple[VerifierKey, None]:
    return SIGNER.key, None


def backup_of(store: Store, tables: MetaData, progress: Progress | None = None) -> bytes:
    file = io.BytesIO()
    made = make(store, [tables], file, log_keys=log_keys, made_at=MADE_AT, progress=progress)
    assert made.size == len(file.getvalue())
    assert made.digest == file.getvalue()[-32:]
    return file.getvalue()


def restored(store: Store, tables: MetaData, data: bytes, origin: str = ORIGIN) -> Backup:
    return restore(store, [tables], io.BytesIO(data), origin=origin, log_keys=log_keys)
