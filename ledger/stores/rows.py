"""Whole tables, whatever they hold: read in pages by primary key, emptied, filled.

Used by backups. Values are those of the tables' own types: integers, texts, bytes, booleans, None,
and for JSON lists and mappings.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    delete,
    func,
    inspect,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.schema import DropTable

from ledger.errors import LedgerError
from ledger.stores.base import Writer
from ledger.stores.migrate import (
    Series,
    forward,
    missing,
    series_name,
    step_of,
    version_table,
)
from ledger.stores.sql import translated

PAGE_ROWS = 512
PAGE_BYTES = 1 << 20
"""A page has at most so many rows, and fewer where the rows of the page before were large."""

Page = list[tuple[Any, ...]]


def pages(connection: Connection, table: Table) -> Iterator[Page]:
    """The rows of a table in the order of its primary key, from one snapshot, a page at a time.

    What is in memory is one page, however large the table.
    """
    keys = list(table.primary_key.columns)
    places = [table.columns.keys().index(key.name) for key in keys]
    in_order, last, count = select(table).order_by(*keys), None, PAGE_ROWS // 8
    while True:
        page = in_order.limit(count)
        if last is not None:
            pairs = zip(places, keys, strict=True)
            after = [literal(last[place], key.type) for place, key in pairs]
            page = page.where(
                keys[0] > after[0] if len(keys) == 1 else tuple_(*keys) > tuple_(*after)
            )
        with translated():
            rows: Page = [tuple(row) for row in connection.execute(page)]
        if not rows:
            return
        yield rows
        if len(rows) < count:
            return
        last = rows[-1]
        count = max(1, min(PAGE_ROWS, PAGE_BYTES // _largest(rows)))


@translated()
def as_named(
    connection: Connection, series: Sequence[Series], wanted: Mapping[str, Sequence[str]]
) -> dict[str, Table]:
    """The tables of these names with their columns in the order given; `backup-damaged` unless
    just these are there. Of a series at an older step the database is asked what they are."""
    found: dict[str, Table] = {}
    there = set(inspect(connection).get_table_names())
    for tables in series:
        older = bool(missing(connection, tables))
        for name in there & (set(wanted) if older else set(tables.tables)):
            found[name] = _as_it_is(connection, name) if older else tables.tables[name]
    if found.keys() != wanted.keys():
        raise LedgerError("backup-damaged", f"tables {sorted(found.keys() ^ wanted.keys())}")
    return {name: _ordered(found[name], columns) for name, columns in wanted.items()}


def _as_it_is(connection: Connection, name: str) -> Table:
    """A table's columns and their types, as the database has them."""
    columns = inspect(connection).get_columns(name)
    return Table(name, MetaData(), *[Column(each["name"], each["type"]) for each in columns])


def _ordered(table: Table, columns: Sequence[str]) -> Table:
    if sorted(table.columns.keys()) != sorted(columns):
        raise LedgerError("backup-damaged", f"columns of {table.name}")
    return Table(
        table.name, MetaData(), *[Column(name, table.columns[name].type) for name in columns]
    )


@translated()
def make_room(writer: Writer, series: Sequence[Series], at: Mapping[str, str]) -> None:
    """Tables without a row, at the step that `at` names for each series, in a transaction of
    `Store.creating`; writers wait until it ends.

    Raises `backup-target-used` where a row is there that an empty log does not begin with, and
    then has changed nothing.
    """
    connection = writer.connection
    there = set(inspect(connection).get_table_names())
    steps = {series_name(tables): step_of(connection, tables) for tables in series}
    if "head" in there:
        writer.head()
    named = [name for tables in series for name in tables.tables if name in there]
    tables_there = {name: _as_it_is(connection, name) for name in named}
    for name, table in tables_there.items():
        rows = select(func.count()).select_from(table)
        if "size" in table.columns:  # an empty log has a head, and may have a checkpoint
            rows = rows.where(table.columns["size"] != 0)
        if connection.execute(rows).scalar_one():
            raise LedgerError("backup-target-used", name)
    if steps == at:
        for table in tables_there.values():
            connection.execute(delete(table))
        return
    for name in [*named, *(version_table(tables) for tables in series)]:
        if name in there:
            connection.execute(DropTable(Table(name, MetaData())))
    for tables in series:
        forward(connection, tables, at[series_name(tables)])
        for name in tables.tables:
            if inspect(connection).has_table(name):
                connection.execute(delete(Table(name, MetaData())))


@translated()
def count_on(connection: Connection, tables: Series) -> None:
    """Let generated keys go on after the largest that is there. SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    own = text("SELECT pg_get_serial_sequence(:table, :column)")
    for table in tables.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        names = {"table": table.name, "column": column.name}
        sequence = connection.execute(own, names).scalar_one()
        largest = connection.execute(select(func.max(column))).scalar_one()
        if sequence is not None and largest is not None:
            connection.execute(select(func.setval(sequence, largest)))


def _largest(page: Page) -> int:
    """Bytes that no row of a page exceeds, roughly."""
    size = 1
    for values in zip(*page, strict=True):
        if isinstance(next((v for v in values if v is not None), None), bytes | str):
            size += max(map(len, filter(None, values)), default=0)
    return size
