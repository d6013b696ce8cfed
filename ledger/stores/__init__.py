"""Storage engines, by the scheme of their address. Every line of the product's ledger SQL is here.

An engine is one module and one line in `STORES`; the contract of `ledger.stores.base` is tested
over the whole table.
"""

from collections.abc import Callable, Mapping

from ledger.errors import LedgerError
from ledger.stores import memory, postgres, sqlite
from ledger.stores.base import Store

STORES: Mapping[str, Callable[[str], Store]] = {
    "sqlite": sqlite.open_url,
    "memory": memory.open_url,
    "postgresql": postgres.open_url,
}


def open_store(url: str) -> Store:
    """The store at `url`, such as `sqlite:///var/city/ledger.db`. Error: `ledger-store-url`.

    A SQLite file is created when absent, a PostgreSQL database is not; the tables of both by
    `Store.create`.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in STORES:
        raise LedgerError("ledger-store-url", f"one of: {', '.join(STORES)}")
    return STORES[scheme](url)
