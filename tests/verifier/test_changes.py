"""Two officers decide: every way in which a proposal and its approval do not make a change."""

from collections.abc import Callable
from typing import Any
from unicodedata import category

import pytest

from keys.signer import Signer
from tests.city import BUSINESS, ISSUED_AT, ORIGIN, City, seeded, signer
from tests.decided import DAY, decided, officer_facts, possession
from tests.verifier.helpers import refused
from verifier import kinds
from verifier.authority_facts import is_text
from verifier.change import (
    MAX_DAYS_OPEN,
    change_content,
    parse_approval,
    parse_proposal,
    sign_approval,
    sign_proposal,
)
from verifier.codec import cbor_encode
from verifier.cose import sign_sign1
from verifier.judge import CLOCK_SKEW as JUDGES_SKEW
from verifier.statement import Content, parse_statement
from verifier.times import CLOCK_SKEW, MAX_TIME

AT = ISSUED_AT + DAY
FIRST, SECOND, KEEPER = (
    signer(f"officer {n} of {ORIGIN}") for n in ("first", "second", "market-keeper")
)
HEALTH_KEEPER = signer(f"officer health-keeper of {ORIGIN}")
CLOSE = {"id": "health", "act": "close"}


@pytest.fixture
def city() -> City:
    return City()


def proposal_of(
    facts: dict[str, Any] | None = None,
    kind: int = kinds.DEPARTMENT_CHANGED,
    *,
    by: Signer = FIRST,
    origin: str = ORIGIN,
    at: int = AT - 100,
    before: int = AT + DAY,
) -> bytes:
    return sign_proposal(
        kind,
        CLOSE if facts is None else facts,
        origin=origin,
        at=at,
        before=before,
        nonce=seeded("nonce", 16),
        signer=by,
    )


def approval_of(proposal: bytes, *, by: Signer = SECOND, at: int = AT - 50) -> bytes:
    return sign_approval(parse_proposal(proposal), at=at, signer=by)


def log(city: City, content: Content, *, at: int = AT) -> None:
    """As the operator would, without asking whether it may."""
    entry = city.sign(content, "operator", issued_at=at)
    city.authorities.enrol(parse_statement(entry), len(city.entries))
    city.append(entry)


def decide(
    city: City, facts: dict[str, Any], kind: int, proposer: Signer, approver: Signer, at: int = AT
) -> None:
    log(
        city,
        decided(kind, facts, origin=ORIGIN, at=at, proposer=proposer, approver=approver),
        at=at,
    )


def new_key(slug: str = "market", name: str = "new") -> dict[str, Any]:
    key, proof = possession(ORIGIN, slug, signer(name))
    return {"dept": slug, "key": key, "scope": [BUSINESS], "from": ISSUED_AT, "pop": proof}


def test_a_change_takes_effect(city: City) -> None:
    proposal = proposal_of()
    log(city, change_content(proposal, approval_of(proposal)))
    assert city.authorities.departments[f"{ORIGIN}/health"].ended is not None
    assert city.authorities.last.at == AT


def test_nobody_approves_their_own_proposal(city: City) -> None:
    proposal = proposal_of()
    with refused("change-own-approval"):
        log(city, change_content(proposal, approval_of(proposal, by=FIRST)))


def test_a_change_takes_effect_once(city: City) -> None:
    facts = {"id": "market", "act": "rename", "zh": "新名", "en": "New"}
    proposal = proposal_of(facts)
    content = change_content(proposal, approval_of(proposal))
    log(city, content)
    with refused("change-replayed"):
        log(city, content)
    with refused("change-replayed"):  # nor with a fresh approval
        log(city, change_content(proposal, approval_of(proposal, at=AT - 1)))


def test_an_approval_is_of_one_proposal(city: City) -> None:
    approved = proposal_of()
    changed = proposal_of({"id": "market", "act": "close"})
    with refused("change-altered"):
        log(city, change_content(changed, approval_of(approved)))


def test_officers_sign_what_is_logged(city: City) -> None:
    """One byte of either, one forged under an officer's key id: nothing of it counts."""

    class Pretender:
        def __init__(self, kid: bytes) -> None:
            own = signer("pretender")
            self.kid, self.suite, self.public, self.sign = kid, own.suite, own.public, own.sign

    proposal = proposal_of()
    forged = proposal_of(by=Pretender(FIRST.kid))
    for content in (
        change_content(forged, approval_of(forged)),
        change_content(proposal, approval_of(proposal, by=Pretender(SECOND.kid))),
    ):
        with refused("change-bad-signature"):
            log(city, content)
    altered = proposal[:-1] + bytes([proposal[-1] ^ 1])
    with refused("change-altered"):
        log(city, change_content(altered, approval_of(proposal)))
    with refused("change-bad-signature"):
        log(city, change_content(altered, approval_of(altered)))


def test_the_operators_signature_counts_too(city: City) -> None:
    proposal = proposal_of()
    content = change_content(proposal, approval_of(proposal))
    entry = city.sign(content, "operator", issued_at=AT)
    with refused("statement-bad-signature"):
        statement = parse_statement(entry[:-1] + bytes([entry[-1] ^ 1]))
        city.authorities.enrol(statement, len(city.entries))
    for by, slug in [(city.departments["market"], "market"), (signer("x"), "operator")]:
        with refused("enrolment-not-by-operator"):
            entry = city.sign(content, slug, issued_at=AT, by=by)
            city.authorities.enrol(parse_statement(entry), len(city.entries))


def test_officers_are_in_the_ledger_and_in_office(city: City) -> None:
    for proposer, approver in [(signer("nobody"), SECOND), (FIRST, signer("nobody"))]:
        with refused("officer-unknown"):
            decide(city, CLOSE, kinds.DEPARTMENT_CHANGED, proposer, approver)
    with refused("officer-unknown"):  # a department's key is no officer's
        decide(city, CLOSE, kinds.DEPARTMENT_CHANGED, FIRST, city.departments["market"])
    third = signer("officer third")
    key, proof = possession(ORIGIN, "officer/third", third)
    decide(
        city,
        {"id": "third", "of": "operator", "key": key, "pop": proof},
        kinds.OFFICER,
        FIRST,
        SECOND,
    )
    decide(city, {"id": "first"}, kinds.OFFICER_LEFT, third, SECOND)
    for proposer, approver in [(FIRST, third), (third, FIRST)]:
        with refused("officer-not-in-office"):
            decide(city, CLOSE, kinds.DEPARTMENT_CHANGED, proposer, approver)
    with refused("officer-not-in-office"):
        decide(city, {"id": "first"}, kinds.OFFICER_LEFT, third, SECOND)
    with refused("officer-unknown"):
        decide(city, {"id": "fourth"}, kinds.OFFICER_LEFT, third, SECOND)
    with refused("officers-too-few"):
        decide(city, {"id": "second"}, kinds.OFFICER_LEFT, third, SECOND)
    with refused("enrolment-repeated"):  # a duty name is given once
        key, proof = possession(ORIGIN, "officer/first", signer("officer first again"))
        decide(
            city,
            {"id": "first", "of": "operator", "key": key, "pop": proof},
            kinds.OFFICER,
            third,
            SECOND,
        )


def test_an_officer_decides_for_the_own_department(city: City) -> None:
    with refused("officer-not-entitled"):
        decide(city, new_key(), kinds.KEY, FIRST, HEALTH_KEEPER)
    with refused("officer-not-entitled"):
        decide(city, new_key(), kinds.KEY, HEALTH_KEEPER, KEEPER)
    with refused("officer-not-entitled"):
        decide(city, CLOSE, kinds.DEPARTMENT_CHANGED, FIRST, HEALTH_KEEPER)


def test_power_is_given_with_an_officer_of_the_department(city: City) -> None:
    """And taken by any two."""
    with refused("change-needs-own-officer"):
        decide(city, new_key(), kinds.KEY, FIRST, SECOND)
    decide(city, new_key(), kinds.KEY, KEEPER, SECOND)
    decide(city, new_key(name="newer"), kinds.KEY, FIRST, KEEPER, AT + 1)
    kid = city.departments["market"].kid
    decide(city, {"key": kid, "act": "suspend"}, kinds.KEY_CHANGED, FIRST, SECOND, AT + 2)
    with refused("change-needs-own-officer"):
        decide(city, {"key": kid, "act": "resume"}, kinds.KEY_CHANGED, FIRST, SECOND, AT + 3)
    decide(city, {"key": kid, "act": "resume"}, kinds.KEY_CHANGED, FIRST, KEEPER, AT + 3)
    decide(city, {"key": kid, "act": "retire"}, kinds.KEY_CHANGED, SECOND, FIRST, AT + 4)


def test_the_operators_key_is_rotated_by_its_officers(city: City) -> None:
    facts = new_key("operator", "operator two") | {"scope": []}
    old = city.operator.kid
    with refused("officer-not-entitled"):
        decide(city, facts, kinds.KEY, FIRST, KEEPER)
    decide(city, {**facts, "replaces": old, "overlap": AT}, kinds.KEY, FIRST, SECOND)
    with refused("key-out-of-date"):
        decide(city, CLOSE, kinds.DEPARTMENT_CHANGED, FIRST, SECOND, AT + 1)
    city.operator = signer("operator two")
    decide(city, CLOSE, kinds.DEPARTMENT_CHANGED, FIRST, SECOND, AT + 1)


@pytest.mark.parametrize(
    ("at", "before", "approved", "logged", "fine"),
    [
        (AT, AT, AT, AT, True),
        (AT + CLOCK_SKEW, AT + DAY, AT, AT, True),  # an officer's clock is a little ahead
        (AT - 9, AT + 9, AT + CLOCK_SKEW, AT, True),
        (AT + CLOCK_SKEW + 1, AT + DAY, AT + 9, AT, "change-from-future"),
        (AT - 9, AT + 9, AT + CLOCK_SKEW + 1, AT, "change-from-future"),
        (AT, AT + 9, AT - CLOCK_SKEW - 1, AT, "change-too-late"),  # approved before it was proposed
        (AT - 9, AT - 1, AT - 5, AT, "change-too-late"),  # logged after it lapsed
        (AT - 9, AT, AT - 5, AT, True),
    ],
)
def test_a_proposal_lapses(
    city: City, at: int, before: int, approved: int, logged: int, fine: bool | str
) -> None:
    proposal = proposal_of(at=at, before=before)
    content = change_content(proposal, approval_of(proposal, at=approved))
    if isinstance(fine, bool):
        log(city, content, at=logged)
        return
    with refused(fine):
        log(city, content, at=logged)


def test_changes_come_in_order(city: City) -> None:
    decide(city, CLOSE, kinds.DEPARTMENT_CHANGED, FIRST, SECOND)
    rename = {"id": "market", "act": "rename", "zh": "新名", "en": "New"}
    with refused("change-too-late"):
        decide(city, rename, kinds.DEPARTMENT_CHANGED, FIRST, SECOND, AT - 1)
    content = decided(
        kinds.DEPARTMENT_CHANGED, rename, origin=ORIGIN, at=AT, proposer=FIRST, approver=SECOND
    )
    entry = parse_statement(city.sign(content, "operator", issued_at=AT))
    for index in (0, len(city.entries) - 1):
        with refused("enrolment-malformed"):
            city.authorities.enrol(entry, index)
    city.authorities.enrol(entry, len(city.entries))


def test_a_proposal_is_for_one_ledger(city: City) -> None:
    proposal = proposal_of(origin="other.example")
    with refused("change-foreign"):
        log(city, change_content(proposal, approval_of(proposal)))


def _signed(typ: str, payload: object) -> bytes:
    return sign_sign1(None, cbor_encode(payload), typ=typ, signer=FIRST)


GOOD = {1: ORIGIN, 2: 5, 3: CLOSE, 4: AT, 5: AT + 9, 6: bytes(16)}


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {**GOOD, 7: 0},
        *({label: value for label, value in GOOD.items() if label != gone} for gone in GOOD),
        {**GOOD, 1: 5},
        {**GOOD, 2: "5"},
        {**GOOD, 2: kinds.GENESIS},
        {**GOOD, 2: kinds.LICENCE},
        {**GOOD, 3: []},
        {**GOOD, 3: {1: 2}},
        {**GOOD, 4: -1},
        {**GOOD, 4: True},
        {**GOOD, 4: MAX_TIME - 1, 5: MAX_TIME},
        {**GOOD, 5: AT - 1},
        {**GOOD, 5: AT + MAX_DAYS_OPEN * DAY + 1},
        {**GOOD, 6: bytes(15)},
        {**GOOD, 6: "x" * 16},
    ],
)
def test_a_malformed_proposal_is_refused(payload: object) -> None:
    parse_proposal(_signed("zl-c", GOOD))
    with refused("change-malformed"):
        parse_proposal(_signed("zl-c", payload))


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {1: bytes(32)},
        {1: bytes(31), 2: 5},
        {1: "x", 2: 5},
        {1: bytes(32), 2: -1},
        {1: 2, 2: 3, 3: 4},
    ],
)
def test_a_malformed_approval_is_refused(payload: object) -> None:
    parse_approval(_signed("zl-y", {1: bytes(32), 2: AT}))
    with refused("change-malformed"):
        parse_approval(_signed("zl-y", payload))


def test_neither_serves_as_the_other() -> None:
    with refused("cose-wrong-type"):
        parse_proposal(_signed("zl-y", GOOD))
    with refused("cose-wrong-type"):
        parse_approval(_signed("zl-c", {1: bytes(32), 2: AT}))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda facts: {"proposal": facts["proposal"]},
        lambda facts: {**facts, "more": 1},
        lambda facts: {**facts, "proposal": "x"},
        lambda facts: {**facts, "approval": 5},
    ],
)
def test_a_logged_change_is_a_proposal_and_its_approval(
    city: City, spoil: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    proposal = proposal_of()
    good = change_content(proposal, approval_of(proposal))
    with refused("change-malformed"):
        log(city, good._replace(facts=spoil(dict(good.facts))))
    with refused("change-malformed"):  # of another kind than the statement says
        log(city, good._replace(kind=kinds.KEY))
    log(city, good)


def test_the_algorithm_of_the_header_is_that_of_the_key(city: City) -> None:
    """A header that names another suite would be a second spelling of the same act."""

    class Misnamed:
        def __init__(self) -> None:
            self.kid, self.public, self.sign = FIRST.kid, FIRST.public, FIRST.sign
            self.suite = city.departments["health"].suite

    proposal = proposal_of(by=Misnamed())
    with refused("change-bad-signature"):
        log(city, change_content(proposal, approval_of(proposal)))


def test_officers_of_a_department_come_with_it(city: City) -> None:
    chief = signer("officer chief")
    names = {"id": "fire", "zh": "消防救援局", "en": "Fire", "uscc": "1133"}
    facts = {**names, "officers": officer_facts(ORIGIN, {"chief": chief})}
    with refused("officer-not-entitled"):
        decide(city, facts, kinds.DEPARTMENT, FIRST, KEEPER)
    decide(city, facts, kinds.DEPARTMENT, FIRST, SECOND)
    decide(city, new_key("fire"), kinds.KEY, chief, FIRST, AT + 1)
    deputy, proof = possession(ORIGIN, "officer/deputy", signer("officer deputy"))
    enrol = {"id": "deputy", "of": "fire", "key": deputy, "pop": proof}
    with refused("officer-not-entitled"):
        decide(city, enrol, kinds.OFFICER, chief, KEEPER, AT + 1)
    with refused("enrolment-no-possession"):
        decide(city, {**enrol, "id": "other"}, kinds.OFFICER, chief, FIRST, AT + 1)
    with refused("enrolment-unknown-department"):
        decide(city, {**enrol, "of": "navy"}, kinds.OFFICER, chief, FIRST, AT + 1)
    decide(city, enrol, kinds.OFFICER, chief, FIRST, AT + 1)
    assert {each.id for each in city.authorities.register.officers_of("fire")} == {
        "chief",
        "deputy",
    }


def test_a_fact_that_no_rule_reads_is_refused(city: City) -> None:
    """It would be approved, and mean nothing."""
    key, proof = possession(ORIGIN, "officer/third", signer("third"))
    officer = {"id": "third", "of": "operator", "key": key, "pop": proof}
    for kind, facts in (
        (kinds.OFFICER, officer),
        (kinds.OFFICER_LEFT, {"id": "market-keeper"}),
        (kinds.CA, {"cert": b"x", "zh": "一", "en": "One"}),
        (kinds.CA_WITHDRAWN, {"cert": bytes(32)}),
    ):
        with refused("enrolment-malformed") as caught:
            decide(city, {**facts, "more": 1}, kind, FIRST, SECOND)
        assert caught.value.detail == "more"
    with refused("enrolment-malformed"):
        decide(city, {"cert": "x", "zh": "一", "en": "One"}, kinds.CA, FIRST, SECOND)


def test_two_officers_of_a_department_are_two(city: City) -> None:
    """Neither one name with two keys, nor one key under two names."""
    department = {"id": "parks", "zh": "园林", "en": "Parks", "uscc": "x"}
    (one,) = officer_facts(ORIGIN, {"parks-one": signer("one")})
    (same_name,) = officer_facts(ORIGIN, {"parks-one": signer("two")})
    (same_key,) = officer_facts(ORIGIN, {"parks-two": signer("one")})
    for other in (same_name, same_key):
        facts = {**department, "officers": [one, other]}
        with refused("enrolment-repeated"):
            decide(city, facts, kinds.DEPARTMENT, FIRST, SECOND)


def test_an_operators_key_that_is_out_of_date_logs_no_change(city: City) -> None:
    late = signer("a short-lived key of the operator")
    city.enrol(city.key_content("operator", late, [], until=AT), issued_at=AT)
    renamed = {"id": "market", "act": "rename", "zh": "新名", "en": "New"}
    change = Content(kinds.DEPARTMENT_CHANGED, facts=renamed)
    both = ("first", "second")
    city.enrol(change, issued_at=AT, by=both, operator=late)
    with refused("key-out-of-date"):
        city.enrol(change, issued_at=AT + 1, by=both, operator=late)


def test_a_suspended_key_of_the_operator_logs_no_change(city: City) -> None:
    both, spare = ("first", "second"), signer("a spare key of the operator")
    city.enrol(city.key_content("operator", spare, []), issued_at=AT)
    suspend = Content(kinds.KEY_CHANGED, facts={"key": spare.kid, "act": "suspend"})
    city.enrol(suspend, issued_at=AT, by=both)
    close = Content(kinds.DEPARTMENT_CHANGED, facts=CLOSE)
    with refused("key-suspended"):
        city.enrol(close, issued_at=AT, by=both, operator=spare)
    city.enrol(close, issued_at=AT, by=both)


def test_the_last_officer_of_a_department_may_leave(city: City) -> None:
    """The operator's two may not: they enrol the next."""
    decide(city, {"id": "market-keeper"}, kinds.OFFICER_LEFT, FIRST, SECOND)
    assert city.authorities.officers["market-keeper"].left is not None
    with refused("officers-too-few"):
        decide(city, {"id": "first"}, kinds.OFFICER_LEFT, FIRST, SECOND)


# what a fact may be


def test_one_skew_for_all() -> None:
    assert CLOCK_SKEW == JUDGES_SKEW


@pytest.mark.parametrize("name", ["from", "until", "overlap"])
def test_a_time_in_a_fact_is_before_the_year_9000(city: City, name: str) -> None:
    """A later one would be approved, and then nobody could print the register."""
    facts = {**new_key(), "replaces": city.departments["market"].kid, "overlap": AT + DAY}
    last = {**facts, "until": MAX_TIME - 1, name: MAX_TIME - 1, "overlap": MAX_TIME - 1}
    for wrong in (MAX_TIME, -1, 1 << 62, True):
        with refused("enrolment-malformed"):
            decide(city, {**last, name: wrong}, kinds.KEY, KEEPER, SECOND)
    decide(city, last, kinds.KEY, KEEPER, SECOND)


def test_a_compromise_is_dated_within_bounds(city: City) -> None:
    facts = {"key": city.departments["market"].kid, "act": "compromise", "before": 1, "count": 0}
    for since in (-1, MAX_TIME, AT + 1):
        with refused("enrolment-malformed"):
            told = {**facts, "since": since, "signed": bytes(32)}
            decide(city, told, kinds.KEY_CHANGED, KEEPER, SECOND)


UNSEEN = ["\x1b[2J", "a\nb", "a\u202eb", "a\u200bb", "a\u2028b", "a\u2029b", "a\ue000b", "a\x85b"]


@pytest.mark.parametrize("name", [*UNSEEN, " a", "a\u3000", "\u3000", "", "a" * 401])
def test_a_name_holds_nothing_unseen(city: City, name: str) -> None:
    rename = {"id": "market", "act": "rename", "zh": "新\u3000名", "en": "New \U00020000\ufe00"}
    department = {"id": "parks", "zh": "园林", "en": "Parks", "uscc": "x"}
    department |= {"officers": officer_facts(ORIGIN, {"parks-one": signer("one")})}
    anchor = {"cert": b"x", "zh": "机构", "en": "CA"}
    cases = [
        *((kinds.DEPARTMENT_CHANGED, {**rename, fact: name}) for fact in ("zh", "en")),
        *((kinds.DEPARTMENT, {**department, fact: name}) for fact in ("zh", "en", "uscc")),
        *((kinds.CA, {**anchor, fact: name}) for fact in ("zh", "en")),
        (kinds.KEY, {**new_key("operator"), "scope": [BUSINESS, name]}),
        (kinds.OFFICER_LEFT, {"id": name}),
    ]
    for kind, facts in cases:
        with refused("enrolment-malformed"):
            decide(city, facts, kind, FIRST, SECOND)
    decide(city, rename, kinds.DEPARTMENT_CHANGED, FIRST, SECOND)
    assert city.authorities.departments[f"{ORIGIN}/market"].zh == "新\u3000名"


def test_unseen_is_what_unicode_says() -> None:
    """The list is written out so that it stays; all of this Python's Unicode is in it, and of what
    is in it nothing is a letter, a mark or a blank."""
    for char in map(chr, range(0x110000)):
        of = category(char)
        if of in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
            assert not is_text(f"a{char}b"), hex(ord(char))
        elif of != "Cn":
            assert is_text(f"a{char}b"), hex(ord(char))
