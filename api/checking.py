"""Checking a code on the server: the judge, with the live state and the ledger's own proof."""

from dataclasses import dataclass

from sqlalchemy import select

from api.city import City
from api.tables import LICENCES
from keys.errors import KeysError
from ledger.errors import LedgerError
from ledger.ledger import FINAL, Proven
from verifier.errors import Refused
from verifier.judge import judge
from verifier.qr import parse_payload
from verifier.statement import Statement
from verifier.status import StatusAnswer, StatusBook, StatusSource
from verifier.verdict import Verdict


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """The one state that was just read from the database."""

    answer: StatusAnswer

    def lookup(self, issuer: str, list_number: int, index: int) -> StatusAnswer | None:
        return self.answer


def verify(city: City, payload: str | bytes) -> Verdict:
    """Judges QR text or a statement now. An entry that is not in the ledger is never valid."""
    now, trust = city.now(), city.trust()
    try:
        statement = parse_payload(payload).statement
    except (Refused, KeysError):
        return judge(payload, trust, now)
    proven = _proof(city, statement)
    trust = trust.with_statuses(_status(city, statement, now))
    if proven is None:
        return judge(payload, trust, now, absent=True)
    pending = proven.finality != FINAL
    return judge(payload, trust, now, proof=proven.proof, pending=pending)


def _proof(city: City, statement: Statement) -> Proven | None:
    try:
        return city.ledger.prove(city.ledger.index_of(statement.leaf))
    except LedgerError as error:
        if error.code != "ledger-not-found":
            raise
        return None


def _status(city: City, statement: Statement, now: int) -> StatusSource:
    columns = (LICENCES.c.state, LICENCES.c.issue_leaf)
    query = select(*columns).where(LICENCES.c.record_id == statement.subject)
    with city.store.read() as reader:
        row = reader.connection.execute(query).one_or_none()
    if row is None or row.issue_leaf != statement.leaf:
        return StatusBook()
    return LiveStatus(StatusAnswer(row.state, now))
