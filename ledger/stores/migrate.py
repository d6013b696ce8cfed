"""Bringing a database's tables forward to what this program expects, step by step.

Tables that are released belong to a *versioned* `MetaData`: it names a folder of steps (Alembic
revisions, `r0001_….py` and so on, each following the one before), and the database remembers in a
table of its own which step it has. The ledger and the application have a series each, so that
neither floor knows the other's. All steps that are missing run in one transaction, under the lock
of `Store.create`; both engines undo it whole if one fails.

A database is never brought back. One that is ahead of this program is refused, and so is one that
has such tables but no version: it is older than the first release.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection, MetaData, column, inspect, select, table

from ledger.errors import LedgerError

Series = MetaData
"""The tables of one floor: those that `versioned` made have steps."""

_NAME, _FOLDER = "versioned", "steps"
_RUNNER = Path(__file__).parent.parent / "migrations"
_one_at_a_time = threading.Lock()  # Alembic keeps what it is doing in its module


def versioned(name: str, folder: Path) -> MetaData:
    """A `MetaData` whose tables come from the steps in `folder`; `name` tells its series apart."""
    return MetaData(info={_NAME: name, _FOLDER: folder})


def is_current(connection: Connection, series: Sequence[MetaData]) -> bool:
    """Whether nothing is to be done; False if any of these is not versioned.

    Raises `ledger-schema-newer`, `ledger-schema-unknown`.
    """
    return all(_NAME in tables.info and not missing(connection, tables) for tables in series)


def forward(connection: Connection, tables: MetaData, upto: str | None = None) -> None:
    """Runs the steps that are missing, all or those up to `upto`; tables that are not versioned
    are created where absent.

    Raises `ledger-schema-newer`, `ledger-schema-unknown`, and then has changed nothing.
    """
    if _NAME not in tables.info:
        tables.create_all(connection)
        return
    lacking = missing(connection, tables)
    if lacking and (upto is None or upto in lacking):
        _run(connection, tables, upto or lacking[-1])


def step_of(connection: Connection, tables: MetaData) -> str | None:
    """The step that a versioned database has; None before the first. Errors as `is_current`."""
    known, lacking = steps(tables), missing(connection, tables)
    return known[-len(lacking) - 1] if len(lacking) < len(known) else None


def series_name(tables: MetaData) -> str:
    """What tells this series apart."""
    name: str = tables.info[_NAME]
    return name


def missing(connection: Connection, tables: MetaData) -> list[str]:
    """The steps that a versioned database lacks, oldest first. Errors as `is_current`."""
    there = inspect(connection)
    version, known = version_table(tables), steps(tables)
    if not there.has_table(version):
        strays = [name for name in tables.tables if there.has_table(name)]
        if strays:
            raise LedgerError("ledger-schema-unknown", ", ".join(sorted(strays)))
        return known
    at: str = connection.execute(
        select(column("version_num")).select_from(table(version))
    ).scalar_one()
    if at not in known:
        raise LedgerError("ledger-schema-newer", f"{tables.info[_NAME]} {at}, here {known[-1]}")
    return known[known.index(at) + 1 :]


def steps(tables: MetaData) -> list[str]:
    """The steps this program has, oldest first: the number in the name of each file."""
    folder: Path = tables.info[_FOLDER]
    return sorted(path.name[1:5] for path in folder.glob("r[0-9][0-9][0-9][0-9]_*.py"))


def version_table(tables: MetaData) -> str:
    """Where the database remembers the step it has."""
    return f"{tables.info[_NAME]}_version"


def _run(connection: Connection, tables: MetaData, upto: str) -> None:
    # Imported when there is something to do: it takes a fifth of the time of a start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("path_separator", "newline")
    for option, folder in (
        ("script_location", _RUNNER),
        ("version_locations", tables.info[_FOLDER]),
    ):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.attributes.update(connection=connection, tables=tables, version=version_table(tables))
    with _one_at_a_time:
        command.upgrade(config, upto)
