"""One case for each rule that a statement can break: see `CASES` at the end.

Each function does one wrong thing in a city and says at which index it must be named.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tests.ledger.audited import Shown
from tests.ledger.logs import CLINIC, DAY, FOOD, NOW, PENALTY, TODAY, City, signer
from verifier import kinds
from verifier.statement import Content
from verifier.states import DEREGISTERED, REVOKED, SUSPENDED

DECIDED = TODAY - 100
"""2026-10-07: seven days later is still in a year whose calendar is known."""
LATE = DECIDED + 8


def at_end(city: City, *codes: str, **more: Any) -> Shown:
    """The last entry is what must be named."""
    last = len(city.entries) - 1
    return Shown(city.files(), [(code, last, None) for code in codes], **more)


# --- entries and keys ----------------------------------------------------------------------------


def not_a_statement() -> Shown:
    city = City()
    city.entries.append(b"what is this")
    return at_end(city, "audit-not-a-statement")


def no_genesis() -> Shown:
    city = City()
    city.entries = [b"\xd2\x84 something else"]
    finds = [("audit-not-a-statement", 0, None), ("audit-no-genesis", 0, None)]
    return Shown(city.files(), finds)  # type: ignore[arg-type]


def second_genesis() -> Shown:
    city = City()
    city.entries.append(city.entries[0])
    return at_end(city, "audit-change-refused")


def enrolled_by_a_department() -> Shown:
    city = City()
    facts = {"id": "tax", "zh": "税务局", "en": "Tax", "uscc": "11330000MB0EXMPL0X"}
    city.add(Content(kinds.DEPARTMENT, facts=facts), "market")
    return at_end(city, "audit-change-refused")


def bad_signature() -> Shown:
    city = City()
    city.licence()
    city.entries[-1] = city.entries[-1][:-1] + bytes((city.entries[-1][-1] ^ 1,))
    return at_end(city, "audit-bad-signature")


def bad_signature_of_enrolment() -> Shown:
    city = City()
    city.key("market", signer("new"), [FOOD])
    city.entries[-1] = city.entries[-1][:-1] + bytes((city.entries[-1][-1] ^ 1,))
    return at_end(city, "audit-bad-signature")


def key_unknown() -> Shown:
    city = City()
    city.licence(how={"by": signer("nobody")})
    return at_end(city, "audit-key-unknown")


def key_enrolled_later() -> Shown:
    """The key is in the log, a line further down."""
    city = City()
    new = signer("new")
    city.licence(how={"by": new})
    index = len(city.entries) - 1
    city.key("market", new, [FOOD])
    return Shown(city.files(), [("audit-key-unknown", index, None)])


def key_never_in_force() -> Shown:
    """The operator's statement that enrols it does not hold, so the key counts for nothing."""
    city = City()
    new = signer("new")
    city.key("market", new, [FOOD], pop=bytes(64))
    city.licence(how={"by": new})
    index = len(city.entries) - 1
    finds = [("audit-change-refused", index - 1, None), ("audit-key-unknown", index, None)]
    return Shown(city.files(), finds)  # type: ignore[arg-type]


def key_of_another() -> Shown:
    city = City()
    city.licence("market", how={"by": city.signers["health"]})
    return at_end(city, "audit-key-of-another")


def out_of_scope_type() -> Shown:
    city = City()
    city.licence("market", CLINIC)
    return at_end(city, "audit-key-out-of-scope")


def out_of_scope_kind() -> Shown:
    """A department asks a question, which only the operator logs."""
    city = City()
    city.add(Content(kinds.QUESTION, rule_set="order-36", digests=[bytes(32)]), "market")
    return at_end(city, "audit-key-out-of-scope")


def out_of_date() -> Shown:
    city = City()
    new = signer("new")
    city.key("market", new, [FOOD], until=city.clock + 600)
    city.licence(how={"by": new})
    city.licence(how={"by": new, "at": city.clock + 1200})
    return at_end(city, "audit-key-out-of-date")


def in_future() -> Shown:
    city = City()
    city.licence(how={"at": NOW + 301})
    return at_end(city, "audit-issued-in-future")


# --- licences ------------------------------------------------------------------------------------


def time_backwards() -> Shown:
    city = City()
    first = city.licence()
    city.state(first, SUSPENDED, at=first.at - 1)
    return at_end(city, "audit-time-backwards")


def record_repeated() -> Shown:
    city = City()
    first = city.licence()
    city.licence(how={"subject": first.subject})
    return at_end(city, "audit-record-repeated")


def record_unknown() -> Shown:
    city = City()
    first = city.licence()
    city.entries.pop()
    city.state(first, SUSPENDED)
    return at_end(city, "audit-record-unknown")


def predecessor_wrong() -> Shown:
    city = City()
    first = city.licence()
    city.state(first, SUSPENDED)
    city.state(first, REVOKED)
    return at_end(city, "audit-predecessor-wrong")


def predecessor_of_another() -> Shown:
    city = City()
    first, second = city.licence(), city.licence()
    city.state(first, SUSPENDED, predecessor=second.leaf)
    return at_end(city, "audit-predecessor-wrong")


def family_differs() -> Shown:
    city = City()
    entry = city.credit(day=DECIDED)
    city.state(entry, REVOKED, type_code=PENALTY, at=NOW)
    missing = ("audit-publication-missing", len(city.entries) - 2, None)
    shown = at_end(city, "audit-family-differs")
    return Shown(shown.files, [*shown.finds, missing])


def family_differs_other_way() -> Shown:
    city = City()
    city.follow(city.licence(), kinds.CREDIT_WITHDRAWN, type_code=FOOD)
    return at_end(city, "audit-family-differs")


def type_differs() -> Shown:
    city = City()
    city.state(city.licence(), SUSPENDED, type_code=PENALTY)
    return at_end(city, "audit-type-differs")


def issuer_differs() -> Shown:
    city = City()
    city.department("transport", [FOOD])
    city.state(city.licence(), SUSPENDED, slug="transport")
    return at_end(city, "audit-issuer-differs")


def after_erasure() -> Shown:
    city = City()
    erased = city.follow(city.licence(), kinds.ERASURE)
    city.state(erased, SUSPENDED)
    return at_end(city, "audit-after-erasure")


def licence_step() -> Shown:
    city = City()
    revoked = city.state(city.licence(), REVOKED)
    city.state(revoked, SUSPENDED)
    return at_end(city, "audit-licence-step", detail="吊销 → 暂扣 (penalty-revocation)")


def same_state_again() -> Shown:
    city = City()
    suspended = city.state(city.licence(), SUSPENDED)
    city.state(suspended, SUSPENDED)
    return at_end(city, "audit-licence-step")


def renewal_unknown() -> Shown:
    city = City()
    first = city.licence()
    city.state(first, SUSPENDED)
    city.licence(predecessor=first.leaf)
    return at_end(city, "audit-renewal-unknown")


def renewal_of_credit() -> Shown:
    city = City()
    entry = city.credit(day=DECIDED, grade=1)
    city.licence(predecessor=entry.leaf, how={"at": NOW})
    return at_end(city, "audit-renewal-unknown")


def renewal_differs() -> Shown:
    city = City()
    city.licence("health", CLINIC, predecessor=city.licence().leaf)
    return at_end(city, "audit-renewal-differs")


def renewal_of_ended() -> Shown:
    city = City()
    ended = city.state(city.licence(), DEREGISTERED)
    city.licence(predecessor=ended.leaf)
    return at_end(city, "audit-renewal-of-ended")


def renewal_of_erased() -> Shown:
    city = City()
    erased = city.follow(city.licence(), kinds.ERASURE)
    city.licence(predecessor=erased.leaf)
    return at_end(city, "audit-renewal-of-ended")


def renewed_twice() -> Shown:
    city = City()
    first = city.licence()
    city.licence(predecessor=first.leaf)
    city.licence(predecessor=first.leaf)
    return at_end(city, "audit-renewed-twice")


def renewal_backwards() -> Shown:
    city = City()
    first = city.licence()
    city.licence(predecessor=first.leaf, how={"at": first.at - 1})
    return at_end(city, "audit-time-backwards")


def status_reused(index: int) -> Shown:
    city = City()
    city.licence(status=(3, index))
    city.licence(status=(4, index))
    city.licence("health", CLINIC, status=(3, index))
    city.licence(status=(3, index))
    return at_end(city, "audit-status-index-reused", detail=f"3/{index}")


# --- credit --------------------------------------------------------------------------------------


def credit_acts(*acts: int) -> Shown:
    """A penalty and acts upon it; the last one is forbidden."""
    city = City()
    made = city.credit(day=DECIDED)
    for kind in acts:
        made = city.follow(made, kind)
    return at_end(city, "audit-credit-step")


def published_late() -> Shown:
    city = City()
    city.follow(city.credit(day=DECIDED), kinds.CREDIT_PUBLISHED, at=LATE * DAY)
    return at_end(city, "audit-publication-late", detail="2026-10-07 + 7 = 2026-10-14 < 2026-10-15")


def published_late_in_china() -> Shown:
    """Late by the day it is in China, though not yet in Greenwich."""
    city = City()
    city.follow(city.credit(day=DECIDED), kinds.CREDIT_PUBLISHED, at=LATE * DAY - 8 * 3600)
    return at_end(city, "audit-publication-late")


def not_published() -> Shown:
    city = City()
    city.credit(day=DECIDED)
    return at_end(city, "audit-publication-missing")


def person_published(**facts: Any) -> Shown:
    city = City()
    city.follow(city.credit(day=DECIDED, **facts), kinds.CREDIT_PUBLISHED)
    return at_end(city, "audit-person-published")


def corrected_by_another() -> Shown:
    city = City()
    city.department("centre", [PENALTY])
    published = city.follow(city.credit(day=DECIDED), kinds.CREDIT_PUBLISHED, slug="centre")
    city.follow(published, kinds.CREDIT_CORRECTED, slug="centre")
    return at_end(city, "audit-issuer-differs")


def calendar_missing() -> Shown:
    city = City()
    city.follow(city.credit(day=TODAY - 15), kinds.CREDIT_PUBLISHED)
    return Shown(
        city.files(), [], unchecked="audit-calendar-missing", detail="decisions of 2026: 1"
    )


# --- documents -----------------------------------------------------------------------------------


def document_out_of_scope() -> Shown:
    """A key for licences alone."""
    city = City()
    city.document(how={"by": city.signers["market"]})
    return at_end(city, "audit-key-out-of-scope")


def document_of_a_type_out_of_scope() -> Shown:
    city = City()
    city.document(type_code=PENALTY)
    return at_end(city, "audit-key-out-of-scope")


def document_repeated() -> Shown:
    city = City()
    first = city.document()
    city.document(how={"subject": first.subject})
    return at_end(city, "audit-record-repeated")


def document_unknown() -> Shown:
    """A licence is no document's first version, though it is the predecessor named."""
    city = City()
    city.document(city.licence())
    return at_end(city, "audit-record-unknown")


def document_not_the_last_version() -> Shown:
    city = City()
    first = city.document()
    city.document(first)
    city.document(first)
    return at_end(city, "audit-predecessor-wrong")


def document_of_another_issuer() -> Shown:
    city = City()
    city.document(city.document(), "health")
    return at_end(city, "audit-issuer-differs")


def document_of_another_type() -> Shown:
    city = City()
    city.document(city.document(type_code=FOOD))
    return at_end(city, "audit-type-differs")


def document_backwards() -> Shown:
    city = City()
    first = city.document()
    city.document(first, how={"at": first.at - 1})
    return at_end(city, "audit-time-backwards")


CASES: Mapping[str, Callable[[], Shown]] = {
    "audit-not-a-statement": not_a_statement,
    "audit-no-genesis": no_genesis,
    "audit-change-refused second genesis": second_genesis,
    "audit-change-refused": enrolled_by_a_department,
    "audit-bad-signature": bad_signature,
    "audit-bad-signature of an enrolment": bad_signature_of_enrolment,
    "audit-key-unknown": key_unknown,
    "audit-key-unknown yet": key_enrolled_later,
    "audit-key-unknown for want of possession": key_never_in_force,
    "audit-key-of-another": key_of_another,
    "audit-key-out-of-scope type": out_of_scope_type,
    "audit-key-out-of-scope kind": out_of_scope_kind,
    "audit-key-out-of-date": out_of_date,
    "audit-issued-in-future": in_future,
    "audit-time-backwards": time_backwards,
    "audit-time-backwards in a renewal": renewal_backwards,
    "audit-record-repeated": record_repeated,
    "audit-record-unknown": record_unknown,
    "audit-predecessor-wrong": predecessor_wrong,
    "audit-predecessor-wrong of another record": predecessor_of_another,
    "audit-family-differs": family_differs,
    "audit-family-differs the other way": family_differs_other_way,
    "audit-type-differs": type_differs,
    "audit-issuer-differs": issuer_differs,
    "audit-issuer-differs in a correction": corrected_by_another,
    "audit-after-erasure": after_erasure,
    "audit-licence-step": licence_step,
    "audit-licence-step to the same state": same_state_again,
    "audit-renewal-unknown": renewal_unknown,
    "audit-renewal-unknown of a credit entry": renewal_of_credit,
    "audit-renewal-differs": renewal_differs,
    "audit-renewal-of-ended": renewal_of_ended,
    "audit-renewal-of-ended by erasure": renewal_of_erased,
    "audit-renewed-twice": renewed_twice,
    "audit-status-index-reused": lambda: status_reused(7),
    "audit-status-index-reused far out": lambda: status_reused((1 << 32) - 1),
    "audit-credit-step repaired after withdrawal": lambda: credit_acts(
        kinds.CREDIT_PUBLISHED, kinds.CREDIT_WITHDRAWN, kinds.CREDIT_REPAIRED
    ),
    "audit-credit-step published twice": lambda: credit_acts(
        kinds.CREDIT_PUBLISHED, kinds.CREDIT_PUBLISHED
    ),
    "audit-credit-step upheld without dispute": lambda: credit_acts(
        kinds.CREDIT_PUBLISHED, kinds.CREDIT_UPHELD
    ),
    "audit-credit-step repaired in dispute": lambda: credit_acts(
        kinds.CREDIT_PUBLISHED, kinds.CREDIT_DISPUTED, kinds.CREDIT_REPAIRED
    ),
    "audit-credit-step erased before its end": lambda: credit_acts(
        kinds.CREDIT_PUBLISHED, kinds.ERASURE
    ),
    "audit-publication-late": published_late,
    "audit-publication-late in China": published_late_in_china,
    "audit-publication-missing": not_published,
    "audit-person-published": lambda: person_published(org=False),
    "audit-person-published for all one can tell": lambda: person_published(org="yes"),
    "audit-calendar-missing": calendar_missing,
    "audit-key-out-of-scope documents": document_out_of_scope,
    "audit-key-out-of-scope type of a document": document_of_a_type_out_of_scope,
    "audit-record-repeated of a document": document_repeated,
    "audit-record-unknown of a document": document_unknown,
    "audit-predecessor-wrong of a document": document_not_the_last_version,
    "audit-issuer-differs of a document": document_of_another_issuer,
    "audit-type-differs of a document": document_of_another_type,
    "audit-time-backwards of a document": document_backwards,
}
"""The first word is the code of the finding that the case is about."""
