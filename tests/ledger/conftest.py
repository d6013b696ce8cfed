"""Stores and ledgers of every kind in the table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.ledger import Ledger
from ledger.stores import STORES
from ledger.stores.base import Store
from tests.ledger.helpers import fresh_store, open_ledger


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A fresh store; the test runs once for each engine."""
    store = fresh_store(request.param, tmp_path)
    yield store
    store.close()


@pytest.fixture
def ledger(store: Store) -> Iterator[Ledger]:
    """A fresh ledger over such a store."""
    with open_ledger(store) as ledger:
        yield ledger
