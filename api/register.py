"""Registering statements signed elsewhere: a department's own software signs, the ledger logs.

Only documents (kind 80) come so; whatever else the ledger holds has rows of the city beside it.
What must be true of a statement, in this order, before it is logged:

    1  it is a statement of ours, strictly encoded, and a document
    2  its issuer is the caller's own department
    3  it was signed lately: not in the future, at most `MAX_AGE` ago
    4  a key of that department is named, which had this power at that time and has it now
    5  that key signed exactly these bytes
    6  it begins a document, or names the latest version of the one that it follows

1 to 5 are checked as it comes, 6 in the transaction that logs it, where `City.submit` asks for the
key's power once more. The same bytes have the same leaf: whoever sends a statement again is told
where it stands.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.city import City
from api.errors import ServiceError
from api.licence_rows import IN_CHUNK, chunks
from api.principals import Principal, Role
from api.signers import NEXT
from api.tables import DOCUMENTS
from keys.errors import ZhenglianError
from ledger.errors import LedgerError
from ledger.model import Appended, Draft
from verifier.authorities import check_outside, check_scope, check_standing
from verifier.errors import Refused
from verifier.judge import CLOCK_SKEW
from verifier.kinds import DOCUMENT
from verifier.merkle import leaf_hash
from verifier.statement import Statement, check_statement, parse_statement

MAX_AGE: Final = 10 * 86_400
"""Seconds. The longest holidays last eight days, and an outbox may wait for them to end."""
GROUP: Final = 1_000
"""Most statements of one transaction."""
MAX_WAITING: Final = 8_192
"""Most single statements that may wait for theirs; beyond, `ledger-busy`."""
_ATTEMPTS: Final = 4


class Checked(NamedTuple):
    """A statement that may be logged, and the slug of the department that signed it."""

    statement: Statement
    department: str


class Logged(NamedTuple):
    """Where a statement stands. `existing`: it stood there before; `final`: witnesses enough have
    cosigned a checkpoint that covers it."""

    index: int  # type: ignore[assignment]  # not tuple.index
    leaf: bytes
    existing: bool
    final: bool


Outcome = Logged | ZhenglianError
"""What became of one statement of several."""


class _Taken(Exception):
    """A record that the group would begin is there already; the transaction left nothing."""


class _Spoilt(Exception):
    """Statements of a group, by position, that cannot be logged; the transaction left nothing."""

    def __init__(self, refusals: dict[int, ServiceError]) -> None:
        super().__init__(f"{len(refusals)} of the group")
        self.refusals = refusals


class Registrar:
    """Checks and logs statements signed elsewhere. `check` is safe in any thread; the coroutines
    belong to one event loop at a time, which never waits for the database: what may ask it is done
    in threads."""

    def __init__(self, city: City) -> None:
        self.city = city
        self._waiting: list[tuple[Checked, asyncio.Future[Outcome]]] = []
        self._draining: asyncio.Task[None] | None = None
        self._second = -1  # of the clock, up to which the authorities are known to be looked up

    # --- checking --------------------------------------------------------------------------------

    def check(self, raw: bytes, caller: Principal, now: int) -> Checked:
        """Checks 1 to 5 at Unix time `now`.

        Raises `ServiceError`: role-missing, register-kind-refused, department-mismatch,
        register-too-old, register-from-future; `Refused`: those of `parse_statement`, key-…,
        statement-bad-signature, suite-missing.
        """
        caller.require(Role.REGISTRAR)
        statement = parse_statement(raw)  # 1
        if statement.content.kind != DOCUMENT:
            raise ServiceError("register-kind-refused", str(statement.content.kind))
        department = caller.department or ""
        if statement.issuer != self.city.issuer(department):  # 2
            raise ServiceError("department-mismatch", statement.issuer)
        at = statement.issued_at  # 3
        if at > now + CLOCK_SKEW:
            raise ServiceError("register-from-future", str(at))
        if at < now - MAX_AGE:
            raise ServiceError("register-too-old", str(at))
        key = self.city.key_of(statement, now)  # 4
        check_scope(statement, key)
        check_standing(key, at, index=NEXT)
        check_outside(key, now)
        check_statement(statement, key.public)  # 5
        return Checked(statement, department)

    def find(self, raw: bytes) -> Logged | None:
        """Where these bytes stand already, if they do and are published."""
        leaf, ledger = leaf_hash(raw), self.city.ledger
        try:
            index = ledger.index_of(leaf)
        except LedgerError as error:
            if error.code != "ledger-not-found":
                raise
            return None
        return Logged(index, leaf, True, ledger.finality(index) == "final")

    def check_or_find(self, raw: bytes, caller: Principal, now: int) -> Checked | Logged:
        """`check`, but what is in the ledger already is found there, whatever it is."""
        try:
            return self.check(raw, caller, now)
        except (Refused, ServiceError):
            found = self.find(raw)
            if found is None:
                raise
            return found

    async def look(self, raw: bytes, caller: Principal, now: int) -> Checked | Logged:
        """`check_or_find` for the event loop: in no thread, where all that is asked is known."""
        try:
            if now == self._second:
                return self.check(raw, caller, now)
            checked = await asyncio.to_thread(self.check, raw, caller, now)
        except (Refused, ServiceError):
            found = await asyncio.to_thread(self.find, raw)
            if found is None:
                raise
            return found
        self._second = now
        return checked

    # --- logging ---------------------------------------------------------------------------------

    async def log(self, checked: Checked) -> Logged:
        """Logs one statement, in one transaction with whatever others come meanwhile.

        Raises `ServiceError`: register-record-exists, register-predecessor-wrong; the `Refused`
        of a key that lost its power; `LedgerError`.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise LedgerError("ledger-busy", f"{len(self._waiting)} statements are waiting")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting.append((checked, future))
        if self._draining is None:
            self._draining = loop.create_task(self._drain())
        outcome = await future
        if isinstance(outcome, ZhenglianError):
            raise outcome
        return outcome

    async def _drain(self) -> None:
        group: list[tuple[Checked, asyncio.Future[Outcome]]] = []
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                outcomes = await self.log_all([checked for checked, _ in group])
                for (_, future), outcome in zip(group, outcomes, strict=True):
                    if not future.done():  # whose caller has gone
                        future.set_result(outcome)
        except BaseException as error:
            for _, future in (*group, *self._waiting):
                if not future.done():
                    future.set_exception(error)
            self._waiting = []
            raise
        finally:
            self._draining = None

    async def log_all(self, group: Sequence[Checked]) -> list[Outcome]:
        """Logs up to `GROUP` statements in one transaction, and says of each what became of it.

        One that cannot be logged does not spoil the others: they go again without it.
        """
        outcomes: dict[int, Outcome] = {}
        left = list(range(len(group)))
        failure: ZhenglianError = LedgerError("ledger-busy", "others came first")
        for _ in range(_ATTEMPTS):
            if not left:
                break
            now = [group[position] for position in left]
            try:
                outcomes.update(zip(left, await self._submit(now), strict=True))
                left = []
            except _Spoilt as spoilt:
                outcomes |= {left[at]: error for at, error in spoilt.refusals.items()}
                left = [position for position in left if position not in outcomes]
            except _Taken:
                taken = await asyncio.to_thread(self._taken, now)
                outcomes |= {left[at]: error for at, error in taken.items()}
                left = [position for position in left if position not in outcomes]
            except Refused as error:  # a key lost its power: whose?
                failure = error
                for position in left:
                    refusal = await asyncio.to_thread(self._refusal, group[position])
                    if refusal is not None:
                        outcomes[position] = refusal
                left = [position for position in left if position not in outcomes]
            except LedgerError as error:
                failure = error
                break
        outcomes |= dict.fromkeys(left, failure)
        return [outcomes[position] for position in range(len(group))]

    async def _submit(self, group: Sequence[Checked]) -> list[Logged]:
        city = self.city
        acting = city.roll.known.authorities.acting
        drafts = [Draft(each.statement.raw, DOCUMENT, each.department) for each in group]

        def rows(connection: Connection, appended: Sequence[Appended]) -> None:
            _write_rows(connection, group, appended, acting)

        submitted = await asyncio.to_thread(city.submit, drafts, rows)
        committed = await asyncio.wrap_future(submitted)
        final = city.ledger.final_seen
        if any(each.index >= final for each in committed.appended):
            final = await asyncio.to_thread(lambda: city.ledger.final_size)
        return [
            Logged(each.index, each.leaf_hash, each.existing, each.index < final)
            for each in committed.appended
        ]

    def _refusal(self, checked: Checked) -> Refused | None:
        """What is wrong by now with the key of a statement that was found good."""
        statement, now = checked.statement, self.city.now()
        try:
            key = self.city.authorities.key_for(statement)
            check_scope(statement, key)
            check_standing(key, statement.issued_at, index=NEXT)
            check_outside(key, now)
        except Refused as error:
            return error
        return None

    def _taken(self, group: Sequence[Checked]) -> dict[int, ServiceError]:
        """By position: those of a group that would begin a record that is there."""
        begun = {
            each.statement.subject: position
            for position, each in enumerate(group)
            if each.statement.content.predecessor is None
        }
        found: dict[int, ServiceError] = {}
        with self.city.store.read() as reader:
            for chunk in chunks(list(begun), IN_CHUNK):
                column = DOCUMENTS.c.record_id
                query = select(column).where(column.in_(chunk))
                for subject in reader.connection.execute(query).scalars():
                    found[begun[subject]] = ServiceError("register-record-exists", subject)
            logged = reader.indices_of([group[position].statement.leaf for position in found])
        return {at: error for at, error in found.items() if group[at].statement.leaf not in logged}


def _write_rows(
    connection: Connection,
    group: Sequence[Checked],
    appended: Sequence[Appended],
    acting: Callable[[str], str],
) -> None:
    """Check 6, and the rows of documents begun or followed. Raises `_Spoilt`, `_Taken`."""
    begun: dict[str, dict[str, Any]] = {}
    followed: list[int] = []
    spoilt: dict[int, ServiceError] = {}
    for position, (each, entry) in enumerate(zip(group, appended, strict=True)):
        statement = each.statement
        if entry.existing:
            continue
        if statement.content.predecessor is not None:
            followed.append(position)
        elif statement.subject in begun:
            spoilt[position] = ServiceError("register-record-exists", statement.subject)
        else:
            begun[statement.subject] = {
                "record_id": statement.subject,
                "department": each.department,
                "type_code": statement.content.type_code,
                "head_leaf": entry.leaf_hash,
                "head_index": entry.index,
                "issued_at": statement.issued_at,
            }
    if spoilt:
        raise _Spoilt(spoilt)
    if begun:
        try:
            connection.execute(insert(DOCUMENTS), list(begun.values()))
        except IntegrityError as error:
            raise _Taken from error
    for position in followed:
        wrong = _follow(connection, group[position], appended[position], acting)
        if wrong:
            spoilt[position] = ServiceError("register-predecessor-wrong", wrong)
    if spoilt:
        raise _Spoilt(spoilt)


def _follow(
    connection: Connection, checked: Checked, entry: Appended, acting: Callable[[str], str]
) -> str:
    """Puts a later version in the place of the one that it names; else what is wrong with it."""
    statement, content = checked.statement, checked.statement.content
    mine = DOCUMENTS.c.record_id == statement.subject
    row = connection.execute(select(DOCUMENTS).where(mine)).one_or_none()
    if row is None or row.head_index >= entry.index:
        return "no such document"
    if row.head_leaf != content.predecessor:
        return "not the latest version"
    if checked.department not in (row.department, acting(row.department)):
        return "the document is of another department"
    if row.type_code != content.type_code:
        return "the document is of another type"
    if statement.issued_at < row.issued_at:
        return "older than the version that it follows"
    connection.execute(
        update(DOCUMENTS)
        .where(mine)
        .values(
            department=checked.department,
            head_leaf=entry.leaf_hash,
            head_index=entry.index,
            issued_at=statement.issued_at,
        )
    )
    return ""
