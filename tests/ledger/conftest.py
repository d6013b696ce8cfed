"""Stores and ledgers of every kind in the table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.ledger import Ledger
from ledger.stores import STORES, open_store
from ledger.stores.base import Store
from tests.ledger.helpers import open_ledger
from tests.postgres import Server, postgres

__all__ = ["postgres"]


@pytest.fixture(params=sorted(STORES))
def scheme(request: pytest.FixtureRequest) -> str:
    """Each engine of the table."""
    return str(request.param)


@pytest.fixture
def url(scheme: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An address of that engine at which nothing is stored yet."""
    if scheme == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        with server.database() as address:
            yield address
    else:
        yield {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path / 'ledger.db'}"}[scheme]


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A fresh store with the ledger's tables; the test runs once for each engine."""
    store = open_store(url)
    store.create()
    yield store
    store.close()


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    """A fresh ledger over such a store."""
    with open_ledger(store) as ledger:
        yield ledger
