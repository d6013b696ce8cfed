"""What a compromised key signed that does not count: found in the ledger, looked up in the books.

An entry is affected if the key signed it and it stands at or after the index of the compromise, or
gives a time at or after its date. Statements of authority are not: two officers' signatures stand
behind them. What is to be done about an entry follows from the record as it is now, so a list made
again later says what is left.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from api.city import City
from api.errors import ServiceError
from api.licence_rows import IN_CHUNK, chunks
from api.rules.days import china_day, day_number, iso_time
from api.tables import ACTS, CREDITS, DOCUMENTS, LICENCES, QUESTIONS
from ledger.stores.sql import ENTRIES
from verifier.authorities import EnrolledKey
from verifier.cose import IAT, parse_sign1
from verifier.credit import Phase
from verifier.errors import Refused
from verifier.keylife import Compromise
from verifier.kinds import (
    AUTHORITY_KINDS,
    CREDIT,
    DOCUMENT,
    ERASURE,
    KINDS,
    LICENCE,
    LICENCE_STATE,
    QUESTION,
)
from verifier.statement import (
    MAX_STATEMENT,
    TYP,
    Statement,
    check_statement,
    parse_statement,
)
from verifier.states import STATES

_BATCH: Final = 4_096
AT_ONCE: Final = 65_536
"""Entries of the ledger that one page looks through."""


class Step(StrEnum):
    """What is to be done about an affected entry."""

    RESIGN = "resign"
    CONFIRM = "confirm"
    WITH_LICENCE = "with-licence"
    PERSON = "person"
    AHEAD = "ahead"
    FOREIGN = "foreign"
    DONE = "done"
    FOLLOWED = "followed"
    ENDED = "ended"
    EXPIRED = "expired"
    ERASED = "erased"
    NOTHING = "nothing"


STEPS: Final[Mapping[Step, tuple[str, str]]] = {
    Step.RESIGN: ("待换发新证", "to be issued again under the new key"),
    Step.CONFIRM: ("待重新签署", "the act is to be signed again"),
    Step.WITH_LICENCE: ("随证照换发处理", "settled with its licence"),
    Step.PERSON: ("待人工办理", "for a person to decide"),
    Step.AHEAD: ("已提前延续，待人工办理", "renewed ahead of time: for a person to decide"),
    Step.FOREIGN: ("台账中没有，疑为盗用签发", "not in the books: signed by a thief"),
    Step.DONE: ("已有新证", "there is a new licence"),
    Step.FOLLOWED: ("已有后续文书", "a later act follows it"),
    Step.ENDED: ("证照已终止", "the licence has ended"),
    Step.EXPIRED: ("证照已过有效期", "the licence has expired"),
    Step.ERASED: ("内容已销毁", "the content is erased"),
    Step.NOTHING: ("无须办理", "nothing to do"),
}
"""In the order in which people want to read them."""


@dataclass(frozen=True, slots=True)
class Affected:
    """An entry that does not count. `own`: it is in the department's books, where `licence` is
    the row of the licence that it is about. `state` is the present one of the record, and
    `successor` the record id of the licence that renewed it."""

    index: int
    leaf: bytes
    kind: int
    record_id: str
    type_code: str | None
    issued_at: int
    own: bool
    state: str | None
    successor: str | None
    step: Step
    licence: Row[Any] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Affected entries in ledger order. `next` is the index to go on from, None at the end; a
    page may be empty and not the last."""

    entries: Sequence[Affected]
    next: int | None


def compromised_key(city: City, kid: bytes) -> EnrolledKey:
    """Raises `Refused` key-not-enrolled, `ServiceError` key-not-compromised."""
    key = city.authorities.keys.get(kid)
    if key is None:
        raise Refused("key-not-enrolled", kid.hex())
    if key.compromise is None:
        raise ServiceError("key-not-compromised", kid.hex())
    return key


def affected_page(
    city: City, key: EnrolledKey, start: int = 0, *, limit: int = 500, most: int = AT_ONCE
) -> Page:
    """The affected entries from index `start`, at most `limit` and of the next `most` entries."""
    found, after = _scan(city, key, _compromise(key), start, limit, most)
    return Page(_look_up(city, key, found), after)


def affected(
    city: City, key: EnrolledKey, looked: Callable[[int], None] = lambda _index: None
) -> Iterator[Affected]:
    """All of them, in ledger order. `looked` is told up to which index the ledger was read."""
    start: int | None = 0
    while start is not None:
        page = affected_page(city, key, start)
        yield from page.entries
        start = page.next
        if start is not None:
            looked(start)


def count_steps(entries: Iterable[Affected]) -> dict[Step, int]:
    """How many there are of each, in the order of `STEPS`."""
    counts = Counter(entry.step for entry in entries)
    return {step: counts[step] for step in STEPS if counts[step]}


def when(seconds: int) -> str:
    """A time that an entry gives; seconds as they are where no calendar reaches."""
    try:
        return iso_time(seconds)
    except (OverflowError, ValueError, OSError):
        return str(seconds)


# the ledger


def _scan(
    city: City, key: EnrolledKey, compromise: Compromise, start: int, limit: int, most: int
) -> tuple[list[tuple[int, Statement]], int | None]:
    """Reads entries in batches, and none twice."""
    at = max(start, key.index + 1)
    end = at + most
    found: list[tuple[int, Statement]] = []
    while at < end:
        with city.store.read() as reader:
            entries = reader.entries(at, min(_BATCH, end - at))
        if not entries:
            return found, None
        for index, raw in enumerate(entries, at):
            statement = _void(raw, key, compromise, index) if key.kid in raw else None
            if statement is not None:
                found.append((index, statement))
                if len(found) == limit:
                    return found, index + 1
        at += len(entries)
    return found, at


def _void(raw: bytes, key: EnrolledKey, compromise: Compromise, index: int) -> Statement | None:
    """The statement, if it names this key and would not count."""
    try:
        sign1 = parse_sign1(raw, typ=TYP, max_bytes=MAX_STATEMENT)
        at = sign1.claims.get(IAT)
        late = isinstance(at, int) and at >= compromise.since
        if sign1.kid != key.kid or not (late or index >= compromise.before):
            return None
        statement = parse_statement(raw)
        if statement.content.kind in AUTHORITY_KINDS:
            return None
    except Refused:
        return None  # the audit names what is malformed
    return statement


def _is_signed(statement: Statement, key: EnrolledKey) -> bool:
    """Not only names the key. What is in the books was signed here."""
    try:
        check_statement(statement, key.public)
    except Refused:
        return False
    return True


# the books


def _look_up(
    city: City, key: EnrolledKey, found: Sequence[tuple[int, Statement]]
) -> list[Affected]:
    with city.store.read() as reader:
        books = _Books(reader.connection, found, key, day_number(china_day(city.now())))
    listed = [(books.affected(index, statement), statement) for index, statement in found]
    return [entry for entry, statement in listed if entry.own or _is_signed(statement, key)]


class _Books:
    """The rows that some entries are about."""

    def __init__(
        self,
        connection: Connection,
        found: Sequence[tuple[int, Statement]],
        key: EnrolledKey,
        today: int,
    ) -> None:
        self._key, self._today = key, today
        subjects = sorted({statement.subject for _, statement in found})
        self._licences = _rows(connection, LICENCES, "record_id", subjects)
        self._credits = _rows(connection, CREDITS, "record_id", subjects)
        self._questions = _rows(connection, QUESTIONS, "id", subjects)
        self._documents = _rows(connection, DOCUMENTS, "record_id", subjects)
        self._acts = _rows(connection, ACTS, "idx", [index for index, _ in found])
        rows = self._licences.values()
        successors = sorted({row.renewed_by for row in rows if row.renewed_by is not None})
        self._successors = _rows(connection, LICENCES, "record_id", successors)
        places = sorted({row.issue_index for row in rows})
        self._entries = _rows(connection, ENTRIES, "idx", places)

    def affected(self, index: int, statement: Statement) -> Affected:
        subject, kind, leaf = statement.subject, statement.content.kind, statement.leaf
        licence, credit = self._licences.get(subject), self._credits.get(subject)
        act = self._acts.get(index)
        if kind == LICENCE:
            own = licence is not None and licence.issue_leaf == leaf
        elif kind == CREDIT:
            own = credit is not None and credit.record_leaf == leaf
        elif kind == QUESTION:
            own = subject in self._questions
        elif kind == DOCUMENT:
            own, licence, credit = subject in self._documents, None, None
        else:
            own = act is not None and act.record_id == subject
        state = None
        if licence is not None:
            state = STATES[licence.state].name
        elif credit is not None:
            state = Phase(credit.phase).name.lower().replace("_", "-")
        if kind == DOCUMENT and own:
            latest = self._documents[subject].head_leaf == leaf
            step = Step.PERSON if latest else Step.FOLLOWED
        else:
            step = Step.FOREIGN if not own else self._step(kind, leaf, licence, credit)
        return Affected(
            index,
            leaf,
            kind,
            subject,
            statement.content.type_code,
            statement.issued_at,
            own,
            state,
            licence.renewed_by if licence is not None else None,
            step,
            licence if own else None,
        )

    def _step(
        self, kind: int, leaf: bytes, licence: Row[Any] | None, credit: Row[Any] | None
    ) -> Step:
        if kind in (QUESTION, ERASURE):
            return Step.NOTHING
        if licence is not None and kind == LICENCE:
            return self._licence_step(licence)
        if licence is not None and kind == LICENCE_STATE:
            if licence.head_leaf != leaf:
                return Step.FOLLOWED
            again = self._issue_is_void(licence) and self._licence_step(licence) is Step.RESIGN
            return Step.WITH_LICENCE if again else Step.CONFIRM
        if credit is not None and credit.wrapped_key is None:
            return Step.ERASED
        if credit is not None and kind != CREDIT and credit.head_leaf != leaf:
            return Step.FOLLOWED
        return Step.PERSON

    def _licence_step(self, licence: Row[Any]) -> Step:
        if licence.wrapped_key is None:
            return Step.ERASED
        if licence.renewed_by is not None:
            return Step.AHEAD if self._is_ahead(licence) else Step.DONE
        if STATES[licence.state].final:
            return Step.ENDED
        if licence.valid_until is not None and licence.valid_until < self._today:
            return Step.EXPIRED
        return Step.RESIGN

    def _is_ahead(self, licence: Row[Any]) -> bool:
        """In force still, and renewed for a term that has not begun."""
        successor = self._successors.get(licence.renewed_by)
        return (
            not STATES[licence.state].final
            and (licence.valid_until is None or licence.valid_until >= self._today)
            and successor is not None
            and successor.valid_from > self._today
        )

    def _issue_is_void(self, licence: Row[Any]) -> bool:
        index = licence.issue_index
        entry = self._entries[index].data
        return _void(entry, self._key, _compromise(self._key), index) is not None


def _compromise(key: EnrolledKey) -> Compromise:
    if key.compromise is None:
        raise ServiceError("key-not-compromised", key.kid.hex())
    return key.compromise


def _rows(
    connection: Connection, table: Any, column: str, values: Sequence[Any]
) -> dict[Any, Row[Any]]:
    """Rows by the value of a unique column."""
    found: dict[Any, Row[Any]] = {}
    for chunk in chunks(values, IN_CHUNK):
        query = select(table).where(table.c[column].in_(chunk))
        for row in connection.execute(query):
            found[row._mapping[column]] = row
    return found


def affected_json(entry: Affected) -> dict[str, Any]:
    """As it is told over HTTP and in files."""
    kind, (zh, en) = KINDS[entry.kind], STEPS[entry.step]
    return {
        "index": entry.index,
        "leaf": entry.leaf.hex(),
        "kind": kind.name,
        "kind_zh": kind.zh,
        "record_id": entry.record_id,
        "type": entry.type_code,
        "issued_at": when(entry.issued_at),
        "own": entry.own,
        "state": entry.state,
        "successor": entry.successor,
        "step": entry.step.value,
        "step_zh": zh,
        "step_en": en,
    }
