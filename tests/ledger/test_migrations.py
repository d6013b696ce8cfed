"""Tables come from migrations: complete, harmless when repeated, safe at once, never backwards."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, inspect, select, update

from ledger.stores import open_store, sql
from ledger.stores.base import Store
from ledger.stores.leaves import EXPRESSION
from ledger.stores.memory import MemoryStore
from ledger.stores.migrate import is_current, steps, versioned
from tests.ledger.helpers import check_log, drafts, open_ledger, refused
from tests.migrations import SERIES, compared

SECOND = '''"""A second step, which has data to carry over."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("entries", sa.Column("size", sa.Integer(), nullable=True))
    op.execute("UPDATE entries SET size = length(data)")
'''
THIRD = '''"""A third step, which fails after it has changed something."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table("half", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("SELECT nonsense")
'''
CREATE = """
import sys
from api.tables import METADATA
from ledger.stores import open_store
store = open_store(sys.argv[1])
sys.stdin.readline()
store.create(METADATA)
store.close()
"""


@pytest.fixture
def next_release(tmp_path: Path) -> MetaData:
    """The ledger's tables as a later release might have them."""
    folder = tmp_path / "later steps"
    shutil.copytree(sql.METADATA.info["steps"], folder)
    (folder / "r0002_size.py").write_text(SECOND, encoding="utf-8")
    later = versioned("ledger", folder)
    for table in sql.METADATA.tables.values():
        table.to_metadata(later)
    later.tables["entries"].append_column(Column("size", Integer))
    return later


@pytest.mark.parametrize("name", sorted(SERIES))
def test_migrated_tables_are_the_tables_of_the_code(store: Store, name: str) -> None:
    store.create(SERIES[name])
    with store.read() as reader:
        assert compare_metadata(compared(reader.connection, SERIES[name]), SERIES[name]) == []


def test_the_index_over_leaf_hashes_is_that_of_the_code() -> None:
    """Which the comparison above leaves out."""
    query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    migrated, made = MemoryStore(), MemoryStore()
    migrated.create()
    with made.creating() as writer:
        sql.METADATA.create_all(writer.connection)
        (code,) = writer.connection.exec_driver_sql(query).scalars()
    with migrated.read() as reader:
        assert list(reader.connection.exec_driver_sql(query).scalars()) == [code]
    assert EXPRESSION in code
    migrated.close()
    made.close()


def test_a_difference_would_be_seen(store: Store, next_release: MetaData) -> None:
    with store.read() as reader:
        found = compare_metadata(compared(reader.connection, next_release), next_release)
    assert [difference[0] for difference in found] == ["add_column"]


@pytest.mark.parametrize("name", sorted(SERIES))
def test_the_numbers_of_the_files_are_the_order_of_the_steps(name: str) -> None:
    series = SERIES[name]
    config = Config()
    config.set_main_option("path_separator", "newline")
    runner = Path(sql.__file__).parent.parent / "migrations"
    config.set_main_option("script_location", str(runner))
    config.set_main_option("version_locations", str(series.info["steps"]))
    script = ScriptDirectory.from_config(config)
    in_order = [step.revision for step in reversed(list(script.walk_revisions()))]
    assert in_order == steps(series) == [f"{n + 1:04d}" for n in range(len(in_order))]


@pytest.mark.parametrize("scheme", ["sqlite", "postgresql"])
def test_what_is_current_is_left_alone(store: Store) -> None:
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 300))
    with store.read() as reader:
        assert is_current(reader.connection, [sql.METADATA])
    with store.write():  # nobody needs the lock for that
        store.create()
    with open_ledger(store) as ledger:
        assert check_log(ledger)[0].size == 300


def test_data_survive_a_step(
    store: Store, next_release: MetaData, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 300))
    with monkeypatch.context() as later:
        later.setattr(sql, "METADATA", next_release)
        with store.read() as reader:
            assert not is_current(reader.connection, [next_release])
        store.create()
        store.create()
        with store.read() as reader:
            size = next_release.tables["entries"].c.size
            ask = reader.connection.execute
            assert ask(select(func.count()).where(size == 9)).scalar_one() == 200  # "entry 100"…
            assert compare_metadata(compared(reader.connection, next_release), next_release) == []
        with open_ledger(store) as ledger:
            ledger.append(drafts(300, 10))
            assert check_log(ledger)[0].size == 310

    # The program of before finds a database that is ahead of it.
    with refused("ledger-schema-newer"):
        store.create()


def test_a_step_that_fails_leaves_nothing(
    store: Store, next_release: MetaData, monkeypatch: pytest.MonkeyPatch
) -> None:
    (next_release.info["steps"] / "r0003_fails.py").write_text(THIRD, encoding="utf-8")
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 3))
    with monkeypatch.context() as later:
        later.setattr(sql, "METADATA", next_release)
        with refused("ledger-store-failed"):
            store.create()
    with store.read() as reader:
        there = inspect(reader.connection)
        assert not there.has_table("half")
        assert "size" not in [column["name"] for column in there.get_columns("entries")]
    store.create()
    with open_ledger(store) as ledger:
        assert check_log(ledger)[0].size == 3


def test_a_version_nobody_knows_is_refused(store: Store) -> None:
    with store.write() as writer:
        writer.connection.exec_driver_sql("UPDATE ledger_version SET version_num = '9999'")
        writer.commit()
    with refused("ledger-schema-newer") as caught:
        store.create()
    assert "9999" in caught.value.detail


def test_tables_without_a_version_are_refused(store: Store) -> None:
    with store.write() as writer:
        writer.connection.exec_driver_sql("DROP TABLE ledger_version")
        writer.commit()
    with refused("ledger-schema-unknown"):
        store.create()


@pytest.mark.parametrize("scheme", ["sqlite", "postgresql"])
def test_processes_that_migrate_at_once(repo: Path, url: str) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", CREATE, url], cwd=repo, stdin=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
    assert [process.wait() for process in started] == [0, 0, 0]
    store = open_store(url)
    with store.read() as reader:
        assert reader.head().size == 0
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 3))
    store.close()


def test_tables_that_are_not_versioned_are_created(store: Store) -> None:
    plain = MetaData()

    notes = Table("notes", plain, Column("id", Integer, primary_key=True), Column("text", Text))
    store.create(plain)
    with store.write() as writer:
        writer.connection.execute(insert(notes), {"id": 1, "text": "甲"})
        writer.connection.execute(update(notes).values(text="乙"))
        writer.commit()
    store.create(plain)
    with store.read() as reader:
        assert reader.connection.execute(select(notes.c.text)).scalar_one() == "乙"
