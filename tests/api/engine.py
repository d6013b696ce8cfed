"""On which engine the service is tested: SQLite, and PostgreSQL where a module or a run says so.

A module says so by `ENGINE = POSTGRESQL`; a run by `ZHENGLIAN_TEST_ENGINE=postgresql pytest
tests/api`, which takes every test that asks for the fixture `folder`, `city` or `service` there.
Tests that look at the file of SQLite itself are then out of place.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from api.backup import make_backup, restore_backup
from tests.api.service import DATABASE, NOW, settings_of
from tests.postgres import Server

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_NUMBERS = count(1)
_templates: dict[int, str] = {}  # by server, the database that is copied


def engine_of(request: pytest.FixtureRequest) -> str:
    """The engine of the test that asks."""
    chosen = os.environ.get("ZHENGLIAN_TEST_ENGINE", SQLITE)
    return str(getattr(request.module, "ENGINE", chosen))


@contextmanager
def postgres_copy(server: Server, founded: Path, folder: Path) -> Iterator[None]:
    """A database with what the SQLite file of `founded` holds, for the city in `folder`, which
    from now on has no file of its own."""
    template = _templates.get(id(server)) or _template(server, founded)
    _templates[id(server)] = template
    name = f"copy_{next(_NUMBERS)}"
    server.ask(f"CREATE DATABASE {name} TEMPLATE {template}")
    for file in folder.glob("zhenglian.db*"):
        file.unlink()
    (folder / DATABASE).write_text(server.url(name), encoding="utf-8")
    yield
    server.ask(f"DROP DATABASE {name} WITH (FORCE)")


def _template(server: Server, founded: Path) -> str:
    """Moved there as an operator would."""
    name, file = f"template_{next(_NUMBERS)}", founded.with_suffix(".backup")
    server.ask(f"CREATE DATABASE {name}")
    if not file.exists():
        make_backup(settings_of(founded), file, made_at=NOW)
    restore_backup(settings_of(founded, database=server.url(name)), file)
    return name
