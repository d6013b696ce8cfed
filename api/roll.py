"""The roll: who may sign what, by every statement of authority logged so far.

Kept in memory and followed: only what was logged since, here or by another process, is read and
applied to a copy, which then takes the old one's place. Whoever holds a `Standing` holds what was
true when it was looked up.

Every signature is checked. Those that this machine cannot check, for want of a suite's wheel, stop
nobody but the keys that rest on them: asking for such a key is `suite-missing`.
"""

import threading
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from api.tables import ENROLMENTS
from ledger.stores.base import Store
from verifier.authorities import Authorities
from verifier.statement import parse_statement

_NEWEST = select(func.max(ENROLMENTS.c.idx))


class Standing(NamedTuple):
    """The authorities after the statement at index `newest` (-1: none), and all of these
    statements by ledger index."""

    newest: int
    enrolled: Mapping[int, bytes]
    authorities: Authorities


class Roll:
    """The standing of one city's ledger. Safe for use by many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.known = Standing(-1, {}, Authorities())
        """What was read last; no look at the database."""

    def current(self) -> Standing:
        """What the database holds now."""
        with self._store.read() as reader:
            known = self.known
            if newest_of(reader.connection) == known.newest:
                return known
            with self._lock:
                self.known = self.as_of(reader.connection)
                return self.known

    def as_of(self, connection: Connection) -> Standing:
        """What a transaction sees, its own statements included; it is not kept.

        Statements are logged one transaction after another, so their indices only rise.
        """
        known = self.known
        rows = connection.execute(
            select(ENROLMENTS.c.idx, ENROLMENTS.c.statement)
            .where(ENROLMENTS.c.idx > known.newest)
            .order_by(ENROLMENTS.c.idx)
        ).all()
        if not rows:
            return known
        authorities = known.authorities.copy(deferred=True)
        for row in rows:
            authorities.enrol(parse_statement(row.statement), row.idx)
        authorities.settle_all()
        enrolled = {**known.enrolled, **{row.idx: row.statement for row in rows}}
        return Standing(rows[-1].idx, enrolled, authorities)


def newest_of(connection: Connection) -> int:
    """The ledger index of the latest statement of authority, -1 before the genesis."""
    newest: int | None = connection.execute(_NEWEST).scalar()
    return -1 if newest is None else newest
