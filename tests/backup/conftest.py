"""Stores of both engines, a town, and the founded city of `tests.api`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from ledger.stores import open_store
from ledger.stores.base import Store
from tests.api.conftest import _remembered, app, city, clock, folder, service, template
from tests.backup.town import backup_of, founded
from tests.backup.town import town as make_town
from tests.postgres import Server, postgres

__all__ = [
    "_remembered", "app", "city", "clock", "folder", "postgres", "service", "template",
]  # fmt: skip

ENGINES = ("sqlite", "postgresql")
_NUMBERS = count(1)

Fresh = Callable[[str], Store]


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> MetaData:
    return make_town(tmp_path_factory.mktemp("town") / "steps")


@pytest.fixture
def address(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """`address(engine)`: where nothing is stored yet."""
    with ExitStack() as stack:

        def make(engine: str) -> str:
            if engine == "sqlite":
                return f"sqlite:///{tmp_path / f'{next(_NUMBERS)}.db'}"
            server: Server = request.getfixturevalue("postgres")
            return stack.enter_context(server.database())

        yield make


@pytest.fixture
def fresh(address: Callable[[str], str]) -> Iterator[Fresh]:
    """`fresh(engine)`: an empty store, without tables; closed after the test."""
    opened: list[Store] = []

    def make(engine: str) -> Store:
        opened.append(open_store(address(engine)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture(scope="session")
def backup(town: MetaData, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of a town in SQLite."""
    store = founded(open_store(f"sqlite:///{tmp_path_factory.mktemp('whole') / 'town.db'}"), town)
    data = backup_of(store, town)
    store.close()
    return data
