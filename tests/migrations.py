"""The next migration, by comparison: `python -m tests.migrations ledger|api "what changes"`.

A database in memory is brought to the newest step, compared with the tables as the code has them,
and the difference written as `rNNNN_what_changes.py`, to be read and corrected by its author. With
`--again` the newest step is written anew, for one that no release has.
"""

import re
import sys
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from sqlmodel import AutoString

from api import tables
from ledger.stores import leaves, sql
from ledger.stores.memory import MemoryStore
from ledger.stores.migrate import steps, version_table

SERIES = {"ledger": sql.METADATA, "api": tables.METADATA}


def compared(connection: Connection, series: MetaData) -> MigrationContext:
    """A context that looks at the tables of one series alone."""

    def ours(thing: object, name: str | None, kind: str, reflected: bool, _other: object) -> bool:
        if kind == "table":
            return name in series.tables
        return name != leaves.INDEX  # engines differ in it, and Alembic compares no expressions

    return MigrationContext.configure(
        connection,
        opts={
            "version_table": version_table(series),
            "target_metadata": series,
            "include_object": ours,
            "render_item": _render,
            "compare_server_default": True,
        },
    )


def _render(kind: str, item: object, _context: AutogenContext) -> str | bool:
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


def written(series: MetaData, what: str, number: int) -> str:
    store = MemoryStore()
    store.create()
    if number > 1:
        store.create(series)
    with store.read() as reader:
        context = compared(reader.connection, series)
        operations = produce_migrations(context, series).upgrade_ops
        assert operations is not None
        body = render_python_code(operations, render_item=_render, migration_context=context)
    store.close()
    before = f'"{number - 1:04d}"' if number > 1 else "None"
    body = "\n".join(line for line in body.splitlines() if not line.lstrip().startswith("#"))
    return (
        f'"""{what}."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        f'revision = "{number:04d}"\ndown_revision = {before}\n\n\n'
        f"def upgrade() -> None:\n    {body.strip()}\n"
    )


def main(name: str, what: str, again: str = "") -> None:
    series = SERIES[name]
    folder: Path = series.info["steps"]
    number = len(steps(series)) + (again != "--again")
    slug = "_".join(re.findall(r"[a-z0-9]+", what.lower()))
    for old in folder.glob(f"r{number:04d}_*.py"):
        old.unlink()
    file = folder / f"r{number:04d}_{slug}.py"
    file.write_text(written(series, what, number), encoding="utf-8")
    sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
