"""One case for each rule that a key can break in its life: see `CASES` at the end."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.city import City as Trusted
from tests.ledger.audited import Shown
from tests.ledger.cases_rules import DECIDED, at_end
from tests.ledger.logs import (
    CLINIC,
    DAY,
    FOOD,
    NOW,
    PENALTY,
    TODAY,
    City,
    Made,
    log_files,
    seeded,
    signer,
)
from verifier import kinds
from verifier.change import (
    change_content,
    parse_change,
    parse_proposal,
    sign_approval,
    sign_proposal,
)
from verifier.note import COSIGNATURE, make_vkey
from verifier.pack import read_pack
from verifier.statement import Content, parse_statement
from verifier.states import DEREGISTERED, REVOKED, SIGNED_AGAIN, SUSPENDED, VALID

# --- keys that may not sign now ------------------------------------------------------------------


def suspended() -> Shown:
    city = City()
    city.licence()
    city.key_act(city.signers["market"], "suspend")
    city.licence()
    index = len(city.entries) - 1
    city.key_act(city.signers["market"], "resume")
    city.licence()
    return Shown(city.files(), [("audit-key-suspended", index, None)])


def retired() -> Shown:
    city = City()
    city.key_act(city.signers["market"], "retire")
    city.licence()
    return at_end(city, "audit-key-retired")


def retired_operator() -> Shown:
    """A question under it is named as an entry, a statement of authority as refused."""
    city = City()
    old, new = city.signers["operator"], signer("new operator")
    city.key("operator", new, [])
    city.signers["operator"] = new
    city.key_act(old, "retire", "operator")
    city.signers["operator"] = old
    question = Content(kinds.QUESTION, rule_set="order-36", digests=[bytes(32)])
    city.add(question, "operator")
    index = len(city.entries) - 1
    city.key("market", signer("one more"), [FOOD])
    finds = [("audit-key-retired", index, None), ("audit-change-refused", index + 1, None)]
    detail = f"key-retired {old.kid.hex()}"
    return Shown(city.files(), finds, detail=detail)  # type: ignore[arg-type]


def retired_by_merger() -> Shown:
    city = City()
    merge(city, "market", "health")
    city.licence()
    return at_end(city, "audit-key-retired")


def retired_by_closing() -> Shown:
    city = City()
    city.change(kinds.DEPARTMENT_CHANGED, {"id": "market", "act": "close"})
    city.licence()
    return at_end(city, "audit-key-retired")


def after_the_overlap() -> Shown:
    city = City()
    end = city.clock + 1000
    old = city.signers["market"]
    city.key("market", signer("new"), [FOOD], **{"from": city.clock}, replaces=old.kid, overlap=end)
    city.licence(how={"at": end})
    city.licence(how={"at": end + 1})
    return at_end(city, "audit-key-out-of-date")


def compromised() -> Shown:
    city = City()
    city.licence()
    city.compromise(city.signers["market"], before=len(city.entries))
    city.licence()
    return at_end(city, "audit-key-compromised")


def compromised_dated_back() -> Shown:
    """Whatever time the thief writes: it was logged after the report."""
    city = City()
    city.licence()
    at = city.clock
    city.compromise(city.signers["market"], before=len(city.entries))
    city.licence(how={"at": at})
    return at_end(city, "audit-key-compromised")


# --- what a compromised key signed ---------------------------------------------------------------


def leaked(city: City, before: int, **facts: Any) -> None:
    """The market's key leaked; from now on another one signs."""
    old, new = city.signers["market"], signer("market after the leak", "es256")
    city.key("market", new, [FOOD, PENALTY])
    city.compromise(old, before=before, **facts)
    city.signers["market"] = new


def not_signed_again() -> Shown:
    """Of four licences since the leak one is renewed, one ended and one erased."""
    city = City()
    city.licence()
    before = len(city.entries)
    renewed, ended, erased = city.licence(), city.licence(), city.licence()
    city.licence()
    leaked(city, before)
    city.licence(predecessor=renewed.leaf)
    city.state(renewed, 1, "replaced")
    city.state(ended, DEREGISTERED)
    city.follow(erased, kinds.ERASURE)
    finds = [("audit-signed-while-compromised", before + 3, None)]
    detail = signer(f"market of {city.origin}").kid.hex()
    return Shown(city.files(), finds, detail=detail)  # type: ignore[arg-type]


def valid_until_today() -> Shown:
    city = City()
    before = len(city.entries)
    city.licence(valid_until=TODAY)
    leaked(city, before)
    return Shown(city.files(), [("audit-signed-while-compromised", before, None)])


def ended_by_the_thief() -> Shown:
    """A licence that the key ended and one that it renewed: neither was settled by that."""
    city = City()
    first, second = city.licence(), city.licence()
    before = len(city.entries)
    third = city.licence()
    city.state(first, DEREGISTERED)
    city.licence(predecessor=second.leaf)
    city.licence(predecessor=third.leaf)
    leaked(city, before)
    named = (before, before + 1, before + 2, before + 3)
    return Shown(city.files(), [("audit-signed-while-compromised", index, None) for index in named])


def state_of_the_thief() -> Shown:
    city = City()
    first = city.licence()
    before = len(city.entries)
    city.state(first, SUSPENDED)
    leaked(city, before)
    return Shown(city.files(), [("audit-signed-while-compromised", before, None)])


def suspended_is_not_signed_again() -> Shown:
    """A later act under a good key says nothing about what the licence itself says."""
    city = City()
    before = len(city.entries)
    made = city.licence()
    leaked(city, before)
    city.state(made, SUSPENDED)
    return Shown(city.files(), [("audit-signed-while-compromised", before, None)])


def restored_by_the_thief() -> Shown:
    city = City()
    ended = city.state(city.licence(), DEREGISTERED)
    before = len(city.entries)
    city.state(ended, VALID, "revoked-in-error")
    leaked(city, before)
    return Shown(city.files(), [("audit-signed-while-compromised", before, None)])


def ended_before_the_thief() -> Shown:
    """What had ended stays so: the thief's act is a forbidden step and nothing rests on it."""
    city = City()
    ended = city.state(city.licence(), DEREGISTERED)
    before = len(city.entries)
    city.state(ended, REVOKED)
    leaked(city, before)
    return Shown(city.files(), [("audit-licence-step", before, None)])


def credit_of_the_thief() -> Shown:
    """Two entries and a correction; one entry is corrected again."""
    city = City()
    old = city.credit(day=DECIDED, grade=1)
    before = len(city.entries)
    since = {"since": old.at + 1}
    city.credit(day=DECIDED, grade=1)
    entry = city.credit(day=DECIDED, grade=1)
    city.follow(old, kinds.CREDIT_CORRECTED)
    city.clock = NOW - 50 * DAY
    leaked(city, before, **since)
    city.follow(entry, kinds.CREDIT_CORRECTED)
    named = (before, before + 2)
    return Shown(city.files(), [("audit-signed-while-compromised", index, None) for index in named])


def documents_of_the_thief() -> Shown:
    """Three documents: one is signed again, one is over, one stays."""
    city = City()
    city.document()
    key = city.signers["market documents"]
    before = len(city.entries)
    again = city.document()
    city.document(valid_until=TODAY - 1)
    city.document(valid_until=TODAY)
    city.compromise(key, before=before)
    new = signer("new document key")
    city.key("market", new, [kinds.DOCUMENT_SCOPE])
    city.document(again, how={"by": new})
    return Shown(city.files(), [("audit-signed-while-compromised", before + 2, None)])


def dated_ahead() -> Shown:
    """It stands before the leak and says that it was signed after."""
    city = City()
    made = city.licence(how={"at": city.clock + DAY})
    index = len(city.entries) - 1
    city.clock += DAY
    leaked(city, len(city.entries), since=made.at)
    return Shown(city.files(), [("audit-signed-while-compromised", index, None)])


def moved_earlier() -> Shown:
    """The second report reaches further back than the first."""
    city = City()
    key = city.signers["market"]
    for _ in range(3):
        city.licence()
    first = len(city.entries) - 3
    leaked(city, first + 2)
    city.compromise(key, before=first + 1)
    named = (first + 1, first + 2)
    return Shown(city.files(), [("audit-signed-while-compromised", index, None) for index in named])


def signed_list(**facts: Any) -> Shown:
    city = City()
    city.licence()
    city.compromise(city.signers["market"], before=len(city.entries), **facts)
    return at_end(city, "audit-signed-list-wrong")


def signed_list_of_another() -> Shown:
    """The list leaves out a licence of the department, so that counters will refuse it."""
    city = City()
    city.licence()
    city.licence()
    made = city.compromise(city.signers["market"], before=len(city.entries) - 1)
    facts = parse_change(parse_statement(made.entry).content)[0].facts
    city.entries.pop()
    kept = {name: facts[name] for name in ("count", "signed")}
    city.compromise(city.signers["market"], before=len(city.entries), **kept)
    return at_end(city, "audit-signed-list-wrong")


# --- two officers --------------------------------------------------------------------------------


def proposal(city: City, by: str = "first", **facts: Any) -> bytes:
    """To close the department of health, unless `facts` say otherwise."""
    return sign_proposal(
        kinds.DEPARTMENT_CHANGED,
        {"id": "health", "act": "close", **facts},
        origin=city.origin,
        at=city.clock,
        before=city.clock + DAY,
        nonce=seeded(f"nonce {facts}", 16),
        signer=city.officers[by],
    )


def approval(city: City, of: bytes, by: str = "second") -> bytes:
    return sign_approval(parse_proposal(of), at=city.clock, signer=city.officers[by])


def decided_by(proposer: str, approver: str, detail: str) -> Shown:
    city = City()
    raw = proposal(city, proposer)
    city.add(change_content(raw, approval(city, raw, approver)), "operator")
    return at_end(city, "audit-change-refused", detail=detail)


def replayed() -> Shown:
    city = City()
    raw = proposal(city, act="rename", zh="卫健委", en="Health")
    content = change_content(raw, approval(city, raw))
    city.add(content, "operator")
    city.add(content, "operator")
    digest = parse_proposal(raw).digest.hex()[:16]
    return at_end(city, "audit-change-refused", detail=f"change-replayed {digest}")


def altered() -> Shown:
    city = City()
    approved = approval(city, proposal(city))
    city.add(change_content(proposal(city, id="market"), approved), "operator")
    return at_end(city, "audit-change-refused", detail="change-altered")


def forged_approval() -> Shown:
    city = City()
    raw = proposal(city)
    approved = approval(city, raw)
    forged = approved[:-1] + bytes((approved[-1] ^ 1,))
    city.add(change_content(raw, forged), "operator")
    return at_end(city, "audit-change-refused")


def approved_after_leaving() -> Shown:
    city = City()
    third = dict(zip(("id", "key", "pop"), city.officer_facts("third")[0], strict=True))
    city.change(kinds.OFFICER, {"of": "operator", **third})
    city.change(kinds.OFFICER_LEFT, {"id": "second"})
    raw = proposal(city)
    city.add(change_content(raw, approval(city, raw)), "operator")
    return at_end(city, "audit-change-refused", detail="officer-not-in-office second")


def key_without_its_department() -> Shown:
    """Two officers of the operator cannot give a department's key power."""
    city = City()
    made = city.key("market", signer("new"), [FOOD])
    city.entries.pop()
    facts = parse_change(parse_statement(made.entry).content)[0].facts
    city.change(kinds.KEY, facts)
    return at_end(city, "audit-change-refused", detail="change-needs-own-officer market")


# --- departments that act for another ------------------------------------------------------------


def merge(city: City, slug: str, into: str) -> None:
    city.change(kinds.DEPARTMENT_CHANGED, {"id": slug, "act": "merge", "into": into})


def successor(city: City, scope: list[str]) -> Made:
    """A licence of the market, which is then merged into another department."""
    city.department("centre", scope)
    made = city.licence()
    merge(city, "market", "centre")
    return made


def successor_out_of_scope() -> Shown:
    city = City()
    city.state(successor(city, [CLINIC]), SUSPENDED, slug="centre")
    return at_end(city, "audit-key-out-of-scope", "audit-issuer-differs")


def successor_erases_out_of_scope() -> Shown:
    """An erasure names no type, so the record's own is asked for."""
    city = City()
    city.follow(successor(city, [CLINIC]), kinds.ERASURE, slug="centre")
    return at_end(city, "audit-issuer-differs")


def renewed_before_the_merger() -> Shown:
    city = City()
    city.department("centre", [FOOD])
    city.licence("centre", predecessor=city.licence().leaf)
    index = len(city.entries) - 1
    merge(city, "market", "centre")
    return Shown(city.files(), [("audit-renewal-differs", index, None)])


def closed_and_not_succeeded() -> Shown:
    city = City()
    city.department("centre", [FOOD])
    made = city.licence()
    city.change(kinds.DEPARTMENT_CHANGED, {"id": "market", "act": "close"})
    city.state(made, SUSPENDED, slug="centre")
    return at_end(city, "audit-issuer-differs")


def renewed_twice_after_all() -> Shown:
    """The key that renewed it first was reported, but only since later."""
    city = City()
    made = city.licence()
    city.licence(predecessor=made.leaf)
    leaked(city, len(city.entries))
    city.licence(predecessor=made.leaf)
    return at_end(city, "audit-renewed-twice")


def healed(city: City) -> None:
    """A leak of which nothing is left: every record since is ended or signed again."""
    first, second = city.licence(), city.licence()
    entry = city.credit(day=DECIDED, grade=1)
    before = len(city.entries)
    stolen = city.licence(predecessor=first.leaf)
    state = city.state(second, DEREGISTERED)
    forged, renewed, confirmed = city.licence(), city.licence(), city.licence()
    confirmed = city.state(confirmed, REVOKED)
    city.follow(city.licence(), kinds.ERASURE)
    city.licence(valid_until=TODAY - 1)
    leaked(city, before)
    city.state(confirmed, REVOKED, SIGNED_AGAIN)
    city.state(stolen, DEREGISTERED, "issued-in-error")
    city.licence(predecessor=first.leaf)
    city.state(state, VALID, "revoked-in-error")
    new = city.licence(predecessor=forged.leaf)
    city.state(forged, 1, "replaced")
    city.state(new, SUSPENDED)
    city.licence(predecessor=renewed.leaf)
    city.follow(entry, kinds.CREDIT_CORRECTED)


# --- witnesses -----------------------------------------------------------------------------------


def overridden() -> Shown:
    """Nobody has to cosign: no rule is broken, and the auditor is told."""
    city = City()
    vkey = make_vkey("w.example", signer("witness").public, COSIGNATURE).text()
    policy = f"witness w {vkey} https://w.example\nquorum w\n"
    city.change(kinds.WITNESSES, {"policy": policy})
    city.change(kinds.WITNESSES, {"policy": "quorum none\n", "override": "断电"})
    return Shown(city.files(), [], detail="≥ 0: 断电")


def forgetful_pack() -> Shown:
    city = Trusted()
    city.issue()
    files = log_files(city.entries, city.log) | {"checkpoint": city.checkpoint()}
    policy = city.enrolments.pop()
    options = {"pack": read_pack(city.pack()), "log_vkey": city.log.key.text()}
    return Shown(files, [("audit-pack-forgetful", policy, None)], options)


CASES: Mapping[str, Callable[[], Shown]] = {
    "audit-pack-forgetful": forgetful_pack,
    "audit-witnesses-overridden": overridden,
    "audit-key-suspended": suspended,
    "audit-key-retired": retired,
    "audit-key-retired of the operator": retired_operator,
    "audit-key-retired by a merger": retired_by_merger,
    "audit-key-retired by closing": retired_by_closing,
    "audit-key-out-of-date after the overlap": after_the_overlap,
    "audit-key-compromised": compromised,
    "audit-key-compromised dated back": compromised_dated_back,
    "audit-signed-while-compromised": not_signed_again,
    "audit-signed-while-compromised to its last day": valid_until_today,
    "audit-signed-while-compromised ended so": ended_by_the_thief,
    "audit-signed-while-compromised state": state_of_the_thief,
    "audit-signed-while-compromised and suspended since": suspended_is_not_signed_again,
    "audit-signed-while-compromised restored so": restored_by_the_thief,
    "audit-licence-step by the thief": ended_before_the_thief,
    "audit-signed-while-compromised credit": credit_of_the_thief,
    "audit-signed-while-compromised documents": documents_of_the_thief,
    "audit-signed-while-compromised dated ahead": dated_ahead,
    "audit-signed-while-compromised moved earlier": moved_earlier,
    "audit-signed-list-wrong count": lambda: signed_list(count=2),
    "audit-signed-list-wrong hash": lambda: signed_list(signed=bytes(32)),
    "audit-signed-list-wrong too short": signed_list_of_another,
    "audit-change-refused own approval": lambda: decided_by(
        "first", "first", "change-own-approval first"
    ),
    "audit-change-refused not entitled": lambda: decided_by(
        "first", "market-keeper", "officer-not-entitled market-keeper → operator"
    ),
    "audit-change-refused replayed": replayed,
    "audit-change-refused altered": altered,
    "audit-change-refused forged": forged_approval,
    "audit-change-refused by one who left": approved_after_leaving,
    "audit-change-refused without its own": key_without_its_department,
    "audit-issuer-differs out of its scope": successor_out_of_scope,
    "audit-issuer-differs erased out of its scope": successor_erases_out_of_scope,
    "audit-issuer-differs after closing": closed_and_not_succeeded,
    "audit-renewal-differs before the merger": renewed_before_the_merger,
    "audit-renewed-twice after all": renewed_twice_after_all,
}
"""The first word is the code of the finding that the case is about."""
