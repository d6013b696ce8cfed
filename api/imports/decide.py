"""What a mapped row does to the ledger, given what there is of its number.

nothing of its number                     issued, first version
the same first day and content            a duplicate; or, where the row tells an end that the
                                          ledger does not know yet, that end alone
the same first day, other content         refused
a later first day, the term before in     issued as a renewal linked to it, version + 1
  force or lapsed by time
a later first day, the term before ended  issued anew with the next version and no link: what
                                          has ended cannot be renewed (行政许可法第五十、七十条)
an earlier first day                      refused
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from api.errors import ServiceError
from api.imports.mapping import Mapped
from api.licence_rows import IN_CHUNK, Held, Read, chunks
from api.licences import Licences
from api.rules.catalogue import LicenceType, Value
from api.tables import LICENCES
from verifier.disclosure import parse_disclosure
from verifier.states import LAPSED, STATES, VALID, may_follow

Fingerprint = int
"""Of the canonical values of a licence, within one process."""


class Term(NamedTuple):
    """One licence of a number, in the ledger or in a batch on its way there.

    `content` is the values or their fingerprint, or `None` for one in the database; `sealed` is
    then its wrapped key and its box, opened only when a row is to be compared with it.
    """

    held: Held
    valid_from: int
    holder: bytes
    content: Mapping[str, Value] | Fingerprint | None
    sealed: tuple[bytes | None, bytes | None] = (None, None)


class Issue(NamedTuple):
    """Issue the row's licence, perhaps as a renewal of `renews`."""

    renews: Held | None
    version: int


class Change(NamedTuple):
    """Change the state of a licence that is there."""

    term: Term


def fingerprint(values: Mapping[str, Value]) -> Fingerprint:
    return hash(str(sorted(values.items())))


def known_terms(
    connection: Connection, type_: LicenceType, numbers: Sequence[bytes]
) -> Iterator[tuple[bytes, Term]]:
    """(number nym, term) of every licence of these numbers that the database holds."""
    c = LICENCES.c
    for chunk in chunks(numbers, IN_CHUNK):
        query = (
            select(
                c.number_nym,
                c.record_id,
                c.version,
                c.state,
                c.head_leaf,
                c.renewed_by,
                c.valid_from,
                c.valid_until,
                c.holder_nym,
                c.wrapped_key,
                c.box,
            )
            .where(c.number_nym.in_(chunk))
            .order_by(c.version)
        )
        for row in connection.execute(query):
            nym, record_id, version, state, head, renewed_by, start, end, holder, key, box = row
            held = Held(
                record_id,
                type_.issuer,
                type_.code,
                version,
                state,
                head,
                renewed_by,
                end,
                nym,
                holder,
            )
            yield nym, Term(held, start, holder, None, (key, box))


def decide(
    licences: Licences, type_: LicenceType, row: Mapped, read: Read, terms: Sequence[Term]
) -> Issue | Change:
    """Raises: import-row-duplicate, import-row-conflict, import-state-differs,
    import-term-earlier, import-not-renewal, import-holder-changed, licence-renewed."""
    if not terms:
        return Issue(None, 1)
    same = next((term for term in terms if term.valid_from == read.valid_from), None)
    if same is not None:
        return _again(licences, row, read, same)
    latest = max(terms, key=lambda term: term.valid_from)
    if read.valid_from < latest.valid_from:
        raise ServiceError("import-term-earlier")
    if not row.renews:
        raise ServiceError("import-not-renewal")
    code = read.values.get(type_.holder_code_field)
    if code is not None and latest.holder != licences.city.vault.pseudonym("subject", str(code)):
        raise ServiceError("import-holder-changed")
    version = max(term.held.version for term in terms) + 1
    if STATES[latest.held.state].final:
        return Issue(None, version)
    if latest.held.renewed_by is not None:
        raise ServiceError("licence-renewed")
    return Issue(latest.held, version)


def _again(licences: Licences, row: Mapped, read: Read, term: Term) -> Change:
    content = term.content
    if content is None:
        _, disclosures = licences.open_content(term.held.record_id, *term.sealed)
        values: dict[str, Value] = {}
        for raw in disclosures:
            values.update(parse_disclosure(raw).fields)
        content = values
    if content != (fingerprint(read.values) if isinstance(content, int) else read.values):
        raise ServiceError("import-row-conflict")
    before = term.held.state
    replaced = before == LAPSED and term.held.renewed_by is not None
    if row.state == (VALID if replaced else before):
        raise ServiceError("import-row-duplicate")
    if STATES[row.state].final and may_follow(before, row.state, row.reason):
        return Change(term)
    raise ServiceError("import-state-differs", STATES[before].zh)
