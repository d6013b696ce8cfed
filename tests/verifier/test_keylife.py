"""What becomes of a key, and what that says about each of its signatures."""

from typing import Any

import pytest

from keys.suites import BY_NAME
from tests.city import BUSINESS, FOOD, HOSPITAL, ISSUED_AT, NOW, ORIGIN, City, signer
from tests.decided import DAY, possession
from tests.verifier.helpers import refused
from verifier import kinds
from verifier.authorities import Authorities, EnrolledKey
from verifier.judge import judge
from verifier.keylife import (
    BEFORE_COMPROMISE,
    BEFORE_RETIREMENT,
    BEFORE_SUSPENSION,
    IN_FORCE,
    Compromise,
    Moment,
    check_outside,
    check_standing,
)
from verifier.statement import Content, parse_statement

AT = ISSUED_AT + DAY
TOLD = Moment(90, 900)
LEAK = Compromise(600, 60, TOLD, 3, bytes(32))


def key(**life: Any) -> EnrolledKey:
    """Enrolled at index 10, in force from 100 to 1000; `life` is what became of it."""
    suite = BY_NAME["ed25519"]
    basis = (bytes(8), f"{ORIGIN}/market", suite, bytes(32), frozenset({"T"}), 100, 1000, 10)
    return EnrolledKey(*basis, **life)


STANDING = [
    # the key's life, time, index (None: no proof), in the signed list → rule or code
    ({}, 500, 11, False, IN_FORCE),
    ({}, 500, None, False, IN_FORCE),
    ({}, 500, 10, False, "key-not-yet-enrolled"),
    ({}, 500, 9, False, "key-not-yet-enrolled"),
    # suspended at index 50 and time 500, and again from 70 and 700
    ({"suspended": (50,), "suspended_at": (500,)}, 499, 49, False, BEFORE_SUSPENSION),
    ({"suspended": (50,), "suspended_at": (500,)}, 499, 51, False, "key-suspended"),
    ({"suspended": (50,), "suspended_at": (500,)}, 501, 49, False, BEFORE_SUSPENSION),
    ({"suspended": (50,), "suspended_at": (500,)}, 499, None, False, BEFORE_SUSPENSION),
    # in the second of the suspension: it may stand before it, as hundreds may
    ({"suspended": (50,), "suspended_at": (500,)}, 500, None, False, BEFORE_SUSPENSION),
    ({"suspended": (50,), "suspended_at": (500,)}, 501, None, False, "key-suspended"),
    ({"suspended": (50,), "suspended_at": (500,)}, 500, 51, False, "key-suspended"),
    ({"suspended": (50, 60), "suspended_at": (500, 600)}, 550, 59, False, "key-suspended"),
    ({"suspended": (50, 60), "suspended_at": (500, 600)}, 550, 61, False, IN_FORCE),
    ({"suspended": (50, 60), "suspended_at": (500, 600)}, 599, None, False, "key-suspended"),
    ({"suspended": (50, 60), "suspended_at": (500, 600)}, 600, None, False, IN_FORCE),
    ({"suspended": (50, 60), "suspended_at": (500, 500)}, 500, None, False, IN_FORCE),
    ({"suspended": (50, 60, 70), "suspended_at": (500, 600, 700)}, 650, 65, False,
     BEFORE_SUSPENSION),
    ({"suspended": (50, 60, 70), "suspended_at": (500, 600, 700)}, 650, 71, False,
     "key-suspended"),
    # retired at index 50 and time 500
    ({"retired": Moment(50, 500)}, 600, 49, False, BEFORE_RETIREMENT),
    ({"retired": Moment(50, 500)}, 400, 50, False, "key-retired"),
    ({"retired": Moment(50, 500)}, 500, None, False, BEFORE_RETIREMENT),
    ({"retired": Moment(50, 500)}, 501, None, False, "key-retired"),
    # compromised since 600 and index 60, told at index 90
    ({"compromise": LEAK}, 599, 59, None, BEFORE_COMPROMISE),
    ({"compromise": LEAK}, 599, 59, True, BEFORE_COMPROMISE),
    ({"compromise": LEAK}, 599, 59, False, "key-compromised"),  # proven by a forked log
    ({"compromise": LEAK}, 599, 60, None, "key-compromised"),
    ({"compromise": LEAK}, 600, 59, None, "key-compromised"),
    ({"compromise": LEAK}, 599, None, None, "key-compromised"),
    ({"compromise": LEAK}, 599, None, False, "key-compromised"),
    ({"compromise": LEAK}, 599, None, True, BEFORE_COMPROMISE),
    ({"compromise": LEAK}, 600, None, True, "key-compromised"),
    ({"compromise": LEAK}, 599, 61, True, "key-compromised"),
    ({"compromise": LEAK, "retired": Moment(50, 500)}, 400, 49, None, BEFORE_COMPROMISE),
    ({"compromise": LEAK, "retired": Moment(50, 500)}, 400, 51, None, "key-retired"),
    ({"compromise": LEAK, "suspended": (50,), "suspended_at": (500,)}, 400, 51, None,
     "key-suspended"),
]  # fmt: skip


@pytest.mark.parametrize(("life", "at", "index", "listed", "wanted"), STANDING)
def test_standing(
    life: dict[str, Any], at: int, index: int | None, listed: bool | None, wanted: str
) -> None:
    if wanted in (IN_FORCE, BEFORE_COMPROMISE, BEFORE_RETIREMENT, BEFORE_SUSPENSION):
        assert check_standing(key(**life), at, index=index, signed_before=listed) == wanted
        return
    with refused(wanted):
        check_standing(key(**life), at, index=index, signed_before=listed)


@pytest.mark.parametrize(
    ("life", "at", "code"),
    [
        ({}, 99, "key-out-of-date"),
        ({}, 1001, "key-out-of-date"),
        ({"suspended": (50,), "suspended_at": (500,)}, 501, "key-suspended"),
        ({"retired": Moment(50, 500)}, 501, "key-retired"),
        ({"compromise": LEAK}, 101, "key-compromised"),
    ],
)
def test_documents_outside_the_ledger(life: dict[str, Any], at: int, code: str) -> None:
    with refused(code):
        check_outside(key(**life), at)
    check_outside(key(), at if 100 <= at <= 1000 else 100)
    if code not in ("key-compromised", "key-out-of-date"):
        check_outside(key(**life), at - 1)


# --- the statements that make a life -----------------------------------------------------------


@pytest.fixture
def city() -> City:
    return City()


def life_of(city: City, slug: str = "market") -> EnrolledKey:
    found = city.authorities.key(city.departments[slug].kid)
    assert found is not None
    return found


def test_suspended_and_resumed(city: City) -> None:
    mine = city.departments["market"]
    first = city.change_key(mine, "suspend", AT)
    assert life_of(city).is_suspended
    with refused("key-change-impossible"):
        city.change_key(mine, "suspend", AT)
    second = city.change_key(mine, "resume", AT + 5)
    assert (life_of(city).suspended, life_of(city).suspended_at) == ((first, second), (AT, AT + 5))
    assert not life_of(city).is_suspended
    with refused("key-change-impossible"):
        city.change_key(mine, "resume", AT + 5)
    assert not life_of(city, "health").suspended


def test_retired_for_good(city: City) -> None:
    mine = city.departments["market"]
    index = city.change_key(mine, "retire", AT)
    assert life_of(city).retired == Moment(index, AT)
    for act in ("suspend", "resume", "retire"):
        with refused("key-change-impossible"):
            city.change_key(mine, act, AT)
    city.compromise(mine, since=AT, told=AT)  # what is found out later can still be told
    assert life_of(city).compromise is not None


def test_a_compromise_only_moves_earlier(city: City) -> None:
    mine = city.departments["market"]
    facts = {"count": 0, "signed": bytes(32)}
    first = city.change_key(mine, "compromise", AT, since=AT - 50, before=3, **facts)
    assert life_of(city).compromise == Compromise(AT - 50, 3, Moment(first, AT), 0, bytes(32))
    for since, before in [(AT - 49, 3), (AT - 50, 4), (AT - 60, 4)]:
        with refused("key-change-impossible"):
            city.change_key(mine, "compromise", AT, since=since, before=before, **facts)
    city.change_key(mine, "compromise", AT, since=AT - 60, before=2, **facts)
    found = life_of(city).compromise
    assert found is not None
    assert (found.since, found.before) == (AT - 60, 2)
    for act in ("suspend", "resume", "retire"):
        with refused("key-change-impossible"):
            city.change_key(mine, act, AT)


def test_what_did_not_count_never_counts_again(city: City) -> None:
    """A second telling with a longer list would let the thief's own statements count."""
    mine = city.departments["market"]
    facts = {"since": AT - 50, "before": 3, "count": 1, "signed": bytes(32)}
    city.change_key(mine, "compromise", AT, **facts)
    for other in (
        {"count": 2},
        {"count": 0},
        {"signed": bytes(31) + b"1"},
        {"before": 2, "count": 2},
        {"since": AT - 60, "count": 2},
        {"since": AT - 60, "signed": bytes(31) + b"1"},
    ):
        with refused("key-change-impossible"):
            city.change_key(mine, "compromise", AT, **{**facts, **other})
    city.change_key(mine, "compromise", AT, **facts)
    city.change_key(mine, "compromise", AT, **{**facts, "since": AT - 60})
    city.change_key(mine, "compromise", AT, **{**facts, "since": AT - 60, "before": 2, "count": 0})


GOOD = {"since": AT, "before": 0, "count": 0, "signed": bytes(32)}


@pytest.mark.parametrize(
    ("act", "facts", "code"),
    [
        ("burn", {}, "enrolment-malformed"),
        ("suspend", {"since": AT}, "enrolment-malformed"),
        ("suspend", {"reason": "x"}, "enrolment-malformed"),
        ("compromise", {}, "enrolment-malformed"),
        *(
            ("compromise", {name: value for name, value in GOOD.items() if name != gone},
             "enrolment-malformed")
            for gone in GOOD
        ),
        ("compromise", {**GOOD, "since": AT + 1}, "enrolment-malformed"),
        ("compromise", {**GOOD, "before": 1000}, "enrolment-malformed"),
        ("compromise", {**GOOD, "count": 1}, "enrolment-malformed"),
        ("compromise", {**GOOD, "signed": bytes(31)}, "enrolment-malformed"),
        ("compromise", {**GOOD, "signed": "x"}, "enrolment-malformed"),
        ("suspend", {"key": bytes(8)}, "key-not-enrolled"),
        ("suspend", {"key": "x"}, "key-not-enrolled"),
    ],
)  # fmt: skip
def test_a_false_change_of_a_key_is_refused(
    city: City, act: str, facts: dict[str, Any], code: str
) -> None:
    before = dict(city.authorities.keys)
    with refused(code):
        city.change_key(city.departments["market"], act, AT, **facts)
    assert city.authorities.keys == before
    assert city.authorities.last.at < AT


def test_rotation_ends_the_old_key_with_the_overlap(city: City) -> None:
    old, new = city.departments["market"], signer("new")
    facts = {"from": AT, "replaces": old.kid, "overlap": AT + 600}
    with refused("enrolment-malformed"):
        city.enrol(city.key_content("market", new, [BUSINESS], **{**facts, "overlap": AT - 1}))
    with refused("key-of-another"):
        other = city.departments["health"].kid
        city.enrol(city.key_content("market", new, [BUSINESS], **{**facts, "replaces": other}))
    city.enrol(city.key_content("market", new, [BUSINESS], **facts))
    assert (life_of(city).valid_until, life_of(city).replaced_by) == (AT + 600, new.kid)
    assert city.authorities.keys[new.kid].replaces == old.kid
    with refused("key-change-impossible"):
        again = city.key_content("market", signer("newer"), [BUSINESS], **facts)
        city.enrol(again)
    third = {**facts, "replaces": new.kid, "overlap": AT + 9}
    city.enrol(city.key_content("market", signer("third"), [BUSINESS], **third))
    assert city.authorities.keys[new.kid].valid_until == AT + 9


@pytest.mark.parametrize("act", ["retire", "compromise"])
def test_a_key_that_has_ended_is_not_rotated(city: City, act: str) -> None:
    old = city.departments["market"]
    city.change_key(old, act, AT, **(GOOD if act == "compromise" else {}))
    facts = {"from": AT, "replaces": old.kid, "overlap": AT}
    with refused("key-change-impossible"):
        city.enrol(city.key_content("market", signer("new"), [BUSINESS], **facts), issued_at=AT)


def test_a_rotation_does_not_reach_back(city: City) -> None:
    """What the old key signed after an overlap that is over would count no more."""
    old = city.departments["market"]
    facts = {"from": AT - 600, "replaces": old.kid, "overlap": AT - 1}
    with refused("enrolment-malformed"):
        city.enrol(city.key_content("market", signer("new"), [BUSINESS], **facts), issued_at=AT)
    facts["overlap"] = AT
    city.enrol(city.key_content("market", signer("new"), [BUSINESS], **facts), issued_at=AT)
    told = city.enrolments[-1]
    assert life_of(city).acts[-1] == told


def test_an_earlier_end_outlives_a_later_overlap(city: City) -> None:
    brief = signer("brief")
    city.enrol(city.key_content("market", brief, [BUSINESS], until=AT + 5))
    facts = {"from": AT, "replaces": brief.kid, "overlap": AT + 600}
    city.enrol(city.key_content("market", signer("next"), [BUSINESS], **facts))
    assert city.authorities.keys[brief.kid].valid_until == AT + 5


# --- departments -------------------------------------------------------------------------------


def change(city: City, at: int = AT, **facts: Any) -> None:
    content = Content(kinds.DEPARTMENT_CHANGED, facts=facts)
    city.enrol(content, issued_at=at, by=("first", "second"))


def test_a_department_is_shown_by_its_name_at_the_time(city: City) -> None:
    early = city.issue()
    change(city, id="market", act="rename", zh="市场监管委", en="Market Commission")
    late = city.issue(issued_at=AT)
    verdict = judge(early.qr(), city.trust(), NOW)
    assert verdict.subject is not None
    assert verdict.subject.issuer_zh == "市场监督管理局"
    assert verdict.subject.successor == ("市场监管委", "Market Commission")
    subject = judge(late.qr(), city.trust(), NOW).subject
    assert subject is not None
    assert (subject.issuer_zh, subject.successor) == ("市场监管委", None)
    department = city.authorities.departments[f"{ORIGIN}/market"]
    assert department.name_at(AT - 1)[0] == "市场监督管理局"
    assert department.name_at(AT)[0] == "市场监管委"


def test_a_merged_department_is_acted_for(city: City) -> None:
    old = city.departments["market"]
    early = city.issue()
    change(city, id="market", act="merge", into="health")
    assert city.authorities.acting("market") == "health"
    assert city.authorities.acting("health") == "health"
    assert life_of(city).retired is not None
    heir = city.renew_key("health", "heir", [HOSPITAL, BUSINESS, FOOD], at=AT)
    city.departments["market"] = heir  # signs the lists of those it acts for
    verdict = judge(early.qr(), city.trust(), NOW)
    assert (verdict.colour, verdict.code) == ("green", "valid")
    assert verdict.subject is not None
    assert verdict.subject.successor == ("卫生健康委", "Health Commission")
    verdict = judge(city.issue(by=old, issued_at=AT + 1).qr(), city.trust(), NOW)
    assert verdict.code == "key-retired"
    with refused("department-ended"):
        city.enrol(city.key_content("market", signer("late"), [BUSINESS]), issued_at=AT)
    with refused("department-ended"):
        change(city, id="market", act="close")
    with refused("department-ended"):
        change(city, id="health", act="merge", into="market")


def test_a_closed_department_signs_no_more(city: City) -> None:
    change(city, id="health", act="close")
    assert life_of(city, "health").retired is not None
    assert city.authorities.acting("health") == "health"


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"id": "market", "act": "paint"}, "enrolment-malformed"),
        ({"id": "market", "act": "rename", "zh": "新"}, "enrolment-malformed"),
        ({"id": "market", "act": "rename", "zh": "", "en": "x"}, "enrolment-malformed"),
        ({"id": "market", "act": "rename", "zh": "新", "en": "x", "into": "y"},
         "enrolment-malformed"),
        ({"id": "market", "act": "merge"}, "enrolment-malformed"),
        ({"id": "market", "act": "merge", "into": "market"}, "enrolment-malformed"),
        ({"id": "market", "act": "merge", "into": "operator"}, "enrolment-malformed"),
        ({"id": "market", "act": "merge", "into": "navy"}, "enrolment-unknown-department"),
        ({"id": "market", "act": "close", "zh": "x"}, "enrolment-malformed"),
        ({"id": "operator", "act": "close"}, "enrolment-malformed"),
        ({"id": "operator", "act": "merge", "into": "market"}, "enrolment-malformed"),
        ({"id": "navy", "act": "close"}, "enrolment-unknown-department"),
    ],
)  # fmt: skip
def test_a_false_change_of_a_department_is_refused(
    city: City, facts: dict[str, Any], code: str
) -> None:
    before = dict(city.authorities.departments)
    with refused(code):
        change(city, **facts)
    assert city.authorities.departments == before


# --- deferred and copied -----------------------------------------------------------------------


def replay(city: City, spoiled: int, *, deferred: bool) -> Authorities:
    """The city's statements; in the one at `spoiled` the last bit of the signature is flipped."""
    authorities = Authorities(deferred=deferred)
    for index in city.enrolments:
        raw = city.entries[index]
        if index == spoiled:
            raw = raw[:-1] + bytes([raw[-1] ^ 1])
        authorities.enrol(parse_statement(raw), index)
    return authorities


def test_what_is_put_off_is_refused_when_it_is_relied_on(city: City) -> None:
    """And again, and for each key that rests on it; keys that do not rest on it are fine."""
    market = city.enrolments[2]
    with refused("statement-bad-signature"):
        replay(city, market, deferred=False)
    authorities = replay(city, market, deferred=True)
    for _ in range(2):
        with refused("statement-bad-signature"):
            authorities.key(city.departments["market"].kid)
        assert authorities.key(city.departments["health"].kid) is not None
        with refused("statement-bad-signature"):
            authorities.copy().settle_all()
    authorities = replay(city, 0, deferred=True)
    for slug in ("market", "health", "market"):  # every officer's power comes from the genesis
        with refused("statement-bad-signature"):
            authorities.key(city.departments[slug].kid)
    replay(city, -1, deferred=True).settle_all()


def test_a_copy_goes_its_own_way(city: City) -> None:
    twin = city.authorities.copy()
    city.change_key(city.departments["market"], "retire", AT)
    city.add_department("fire", "消防救援局", "Fire", ["T"], issued_at=AT)
    found = twin.key(city.departments["market"].kid)
    assert found is not None
    assert found.retired is None
    assert f"{ORIGIN}/fire" not in twin.departments
    assert "fire-keeper" not in twin.officers
    assert twin.last.at < AT


def test_what_is_put_off_later_is_refused_too(city: City) -> None:
    """A key was relied on before the statement that changed it came."""
    mine = city.departments["market"]
    city.change_key(mine, "suspend", AT)
    city.change_key(mine, "resume", AT)
    authorities = Authorities(deferred=True)
    for index in city.enrolments:
        entry = city.entries[index]
        if index == city.enrolments[-1]:
            assert authorities.key(mine.kid) is not None
            entry = entry[:-1] + bytes([entry[-1] ^ 1])
        authorities.enrol(parse_statement(entry), index)
    with refused("statement-bad-signature"):
        authorities.key(mine.kid)


def test_every_name_of_a_department_is_kept(city: City) -> None:
    for at, en in ((AT, "Second"), (AT + 10, "Third")):
        facts = {"id": "market", "act": "rename", "zh": "局", "en": en}
        city.enrol(Content(kinds.DEPARTMENT_CHANGED, facts=facts), issued_at=at)
    market = city.authorities.departments[f"{ORIGIN}/market"]
    names = [market.name_at(at)[1] for at in (AT - 1, AT, AT + 9, AT + 10)]
    assert names == ["Market Supervision", "Second", "Second", "Third"]


def test_a_compromise_may_be_told_of_all_that_the_ledger_holds(city: City) -> None:
    mine, index = city.departments["market"], len(city.entries)
    facts = {"since": AT, "count": 0, "signed": bytes(32)}
    with refused("enrolment-malformed"):
        city.change_key(mine, "compromise", AT, before=index + 1, **facts)
    assert city.change_key(mine, "compromise", AT, before=index, **facts) == index


def test_a_key_may_be_for_one_second(city: City) -> None:
    with refused("enrolment-malformed"):
        city.enrol(city.key_content("market", signer("k"), [], **{"from": AT, "until": AT - 1}))
    city.enrol(city.key_content("market", signer("k"), [], **{"from": AT, "until": AT}))


def test_a_key_rests_on_its_officers_and_on_the_operators_key(city: City) -> None:
    """Each was enrolled by a statement that nobody signed; the key itself by a good one."""
    third, spare = signer("officer third"), signer("a spare key of the operator")
    key, proof = possession(ORIGIN, "officer/third", third)
    facts = {"id": "third", "of": "market", "key": key, "pop": proof}
    city.officers["third"] = third
    city.enrol(Content(kinds.OFFICER, facts=facts), issued_at=AT, by=("first", "second"))
    officer = city.enrolments[-1]
    city.enrol(city.key_content("operator", spare, []), issued_at=AT)
    operator = city.enrolments[-1]
    one, two, three = (signer(name) for name in ("one", "two", "three"))
    city.enrol(city.key_content("market", one, [BUSINESS]), issued_at=AT, by=("third", "first"))
    city.enrol(city.key_content("market", two, [BUSINESS]), issued_at=AT, by=("first", "third"))
    city.enrol(city.key_content("market", three, [BUSINESS]), issued_at=AT, operator=spare)
    for forged, resting in ((officer, {one, two}), (operator, {three})):
        authorities = replay(city, forged, deferred=True)
        for each in (one, two, three):
            if each in resting:
                with refused("statement-bad-signature"):
                    authorities.key(each.kid)
            else:
                assert authorities.key(each.kid) is not None
