"""Issuing anew what a compromised key signed: the licences in force, under the new key.

For each affected licence that is in the department's books and in force, in one transaction:

    1  a new licence (a renewal: it names the last act of the old one) of the same term and type,
       which holds the digests of the same disclosures
    2  where the old one is suspended, the suspension of the new one, for the same reason
    3  the end of the old one, with the reason `key-compromised`

The disclosures stay, salts included: the holder has them, printed or in a wallet, and need only
fetch the new statement. A salt hides a value from those who have the digest alone; the signing key
never protected it, so its theft gives none away. Since two entries then hold one digest, an
erasure of one of the two records is one of both (`api.erasure`).

An act that only changed the state of a licence which counts is signed again by an act that changes
nothing (`signed-again`). What to do comes from the rows as they are (`api.affected`), and every
write is conditional on them: killed and run again, or run twice at once, nothing is done twice.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row

from api.affected import Affected, Page, Step, affected_page, compromised_key
from api.city import City
from api.errors import ServiceError
from api.imports.batch import Batch
from api.licence_rows import Prepared, held_of
from api.licences import Licences
from api.principals import Principal, Role
from verifier.authorities import EnrolledKey
from verifier.codec import cbor_encode
from verifier.disclosure import disclosure_digest, parse_disclosure
from verifier.errors import Refused
from verifier.kinds import LICENCE
from verifier.merkle import leaf_hash
from verifier.statement import Content, parse_statement
from verifier.states import LAPSED, SIGNED_AGAIN, STATES, SUSPENDED, VALID

KEY_COMPROMISED: Final = "key-compromised"
"""Reason of the catalogue: 签发密钥泄露，换发新证."""
MOST: Final = 500
"""Entries of one transaction."""
_COLLISIONS: Final = frozenset(
    {"licence-exists", "licence-changed-meanwhile", "licence-holder-has-one"}
)
"""What one entry is to blame for, or another client who was faster."""
_TODO: Final = frozenset({Step.RESIGN, Step.CONFIRM})


@dataclass(frozen=True, slots=True)
class Resigned:
    """A licence issued anew: record ids of the old and of the new one, index of the new one."""

    old: str
    new: str
    index: int


@dataclass(frozen=True, slots=True)
class Left:
    """An entry that could not be dealt with, and why."""

    entry: Affected
    code: str


@dataclass
class Outcome:
    """What was done about some entries. `confirmed` are records whose last act was signed again;
    `counts` says of all entries looked at what was found. In a dry run `resigned` is empty."""

    resigned: list[Resigned] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    counts: Counter[Step] = field(default_factory=Counter)
    next: int | None = None

    def add(self, other: "Outcome") -> None:
        self.resigned += other.resigned
        self.confirmed += other.confirmed
        self.left += other.left
        self.counts += other.counts
        self.next = other.next


class Resigner:
    """Issues anew what one key signed. `records` limits it to the acts on these records."""

    def __init__(
        self,
        licences: Licences,
        kid: bytes,
        *,
        client: str,
        records: Collection[str] | None = None,
        dry_run: bool = False,
    ) -> None:
        """Raises `Refused` key-not-enrolled; `ServiceError` key-not-compromised."""
        self.key = compromised_key(licences.city, kid)
        self._licences = licences
        self._client = client
        self._records = None if records is None else frozenset(records)
        self._dry_run = dry_run

    def run(
        self,
        progress: Callable[[Outcome], None] = lambda _outcome: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """To the end of the ledger, page by page; `progress` is told after each what was done so
        far, and `stop` asked. Raises as `page`."""
        whole = Outcome(next=0)
        while whole.next is not None and not stop():
            whole.add(self.page(whole.next))
            progress(whole)
        return whole

    def page(self, start: int = 0, *, limit: int = MOST) -> Outcome:
        """Deals with the next entries from index `start`, in one transaction where it can be.

        Raises `ServiceError` resign-key-missing, and what an append raises.
        """
        check_successor_key(self._licences.city, self.key)
        found = affected_page(self._licences.city, self.key, start, limit=limit)
        wanted = self._wanted(found)
        outcome = Outcome(counts=Counter(entry.step for entry in wanted), next=found.next)
        todo = [entry for entry in wanted if entry.step in _TODO]
        if not todo or self._dry_run:
            return outcome
        try:
            self._log(todo, outcome)
        except ServiceError as error:
            if error.code not in _COLLISIONS:
                raise
            for entry in todo:
                self._alone(entry, outcome)
        return outcome

    def _wanted(self, found: Page) -> list[Affected]:
        records = self._records
        return [entry for entry in found.entries if records is None or entry.record_id in records]

    def _alone(self, entry: Affected, outcome: Outcome) -> None:
        try:
            self._log([entry], outcome)
        except ServiceError as error:
            if error.code not in _COLLISIONS:
                raise
            outcome.left.append(Left(entry, error.code))

    def _log(self, entries: Sequence[Affected], outcome: Outcome) -> None:
        """One transaction. Nothing of it is in `outcome` unless all of it is in the ledger."""
        licences = self._licences
        batch = Batch(licences, self._client, 0, licences.city.now())
        confirmed, left, renewed = list[str](), list[Left](), list[tuple[str, Prepared]]()
        for entry, row in _rows(entries):
            if entry.step is Step.CONFIRM:
                batch.end(held_of(row), row.state, SIGNED_AGAIN, None)
                confirmed.append(row.record_id)
                continue
            try:
                prepared = issue_again(licences, row)
            except (ServiceError, Refused) as error:
                if isinstance(error, ServiceError) and error.status >= 500:
                    raise  # the service's own trouble
                left.append(Left(entry, error.code))
                continue
            batch.issue(prepared)
            if row.state == SUSPENDED:
                reason = _reason_of(licences, row)
                batch.end(prepared.held(), SUSPENDED, reason, prepared.row)
            if STATES[LAPSED].name in prepared.type.states:
                batch.end(held_of(row), LAPSED, KEY_COMPROMISED, None)
            renewed.append((row.record_id, prepared))
        if batch.drafts:
            appended = licences.city.append(batch.drafts, batch.write).appended
            places = {entry.leaf_hash: entry.index for entry in appended}
            outcome.resigned += [
                Resigned(old, new.record_id, places[new.row["issue_leaf"]]) for old, new in renewed
            ]
        outcome.confirmed += confirmed
        outcome.left += left


def issue_again(licences: Licences, row: Row[Any]) -> Prepared:
    """A licence signed anew by its department's key of today: the same term and disclosures, the
    next version. Raises as `Licences.make`."""
    city = licences.city
    type_, department = city.catalogue.licence_type(row.type_code), city.acting(row.department)
    _, disclosures = licences.content(row)
    values: dict[str, Any] = {}
    for raw in disclosures:
        values.update(parse_disclosure(raw).fields)
    version, record_id, now = row.version + 1, city.new_record_id(), city.now()
    identifier = str(type_.identifier(city.uscc(department), values, version))
    status = licences.indices.take(department)
    content = Content(
        LICENCE,
        type_code=row.type_code,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        status=status,
        predecessor=row.head_leaf,
        rule_set=licences.rule_set(now),
        digests=[disclosure_digest(disclosure) for disclosure in disclosures],
    )
    statement = city.sign(content, department=department, record_id=record_id, at=now)
    sealed = city.vault.seal(record_id, cbor_encode([identifier, list(disclosures)]))
    leaf = leaf_hash(statement)
    new = {
        **row._mapping,
        "record_id": record_id,
        "department": department,
        "version": version,
        "identifier_nym": city.vault.pseudonym("identifier", identifier),
        "status_list": status[0],
        "status_index": status[1],
        "issue_leaf": leaf,
        "head_leaf": leaf,
        "renewed_by": None,
        "state": VALID,
        "issued_at": now,
        "wrapped_key": sealed.wrapped_key,
        "box": sealed.box,
    }
    del new["issue_index"]  # known once it is logged
    return Prepared(type_, record_id, identifier, statement, disclosures, new, held_of(row))


def same_content(licences: Licences, row: Row[Any]) -> list[Row[Any]]:
    """The other licences that hold what this one does, salts included: those it was issued anew
    from and as. Erased ones are not among them."""
    found, seen, todo = list[Row[Any]](), {row.record_id}, [row]
    while todo:
        for other in _linked(licences, todo.pop()):
            if other.record_id not in seen and other.wrapped_key is not None:
                seen.add(other.record_id)
                found.append(other)
                todo.append(other)
    return found


def _linked(licences: Licences, row: Row[Any]) -> Iterator[Row[Any]]:
    """Its successor and what it renewed, where the digests are the same."""
    content = _content_of(licences, row)
    others = [row.renewed_by, renewed_record(licences, row)]
    for record_id in others:
        if record_id is None:
            continue
        other = licences.row(record_id)
        if set(_content_of(licences, other).digests) == set(content.digests):
            yield other


def renewed_record(licences: Licences, row: Row[Any]) -> str | None:
    """The record whose last act a renewal follows: the ledger holds that act."""
    leaf = _content_of(licences, row).predecessor
    if leaf is None:
        return None
    ledger = licences.city.ledger
    return parse_statement(ledger.entry(ledger.index_of(leaf))).subject


def _content_of(licences: Licences, row: Row[Any]) -> Content:
    return parse_statement(licences.city.ledger.entry(row.issue_index)).content


def check_successor_key(city: City, key: EnrolledKey) -> None:
    """The department has another key by now that signs; else `resign-key-missing`.

    Raises `Refused` department-ended, `ServiceError` signer-missing.
    """
    department = city.acting(key.issuer.rpartition("/")[2])
    try:
        city.choose(department)
    except Refused as error:
        if error.code == "department-ended":
            raise
        raise ServiceError("resign-key-missing", department) from error


def require_keeper(city: City, caller: Principal, key: EnrolledKey) -> None:
    """A seal-keeper of the key's department, or of the one that acts for it."""
    caller.require(Role.SEAL_KEEPER)
    city.require_department(caller, key.issuer.rpartition("/")[2])


def _rows(entries: Sequence[Affected]) -> Iterator[tuple[Affected, Row[Any]]]:
    for entry in entries:
        if entry.licence is not None:
            yield entry, entry.licence


def _reason_of(licences: Licences, row: Row[Any]) -> str:
    """Why a suspended licence is suspended."""
    reasons = [act.reason for act in licences.acts(row.record_id) if act.state == SUSPENDED]
    return str(reasons[-1])
