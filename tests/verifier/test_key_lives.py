"""Random lives of keys: the register answers as a twin does that walks the list of all events."""

import sys
from dataclasses import replace
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.city import BUSINESS, ISSUED_AT, NOW, City, seeded
from tests.city import signer as city_signer
from tests.verifier import certificates
from tests.verifier.helpers import refused
from tests.verifier.key_lives import ORIGIN, START, Drawer, beginning, signer, statement_of
from tests.verifier.long_life import long_lived
from tests.verifier.twin_keys import Event, Twin
from verifier import kinds
from verifier.authorities import Authorities, check_standing, check_use
from verifier.errors import Refused
from verifier.judge import judge
from verifier.keylife import Moment
from verifier.statement import Content, parse_statement
from verifier.trust import Trust
from verifier.verdict import Colour


def code_of(call: Any, *args: Any, **options: Any) -> tuple[Any, str]:
    """(what it returned, "") or (None, the code of its refusal)."""
    try:
        return call(*args, **options), ""
    except Refused as error:
        return None, error.code


def begun(**options: bool) -> tuple[Twin, Authorities]:
    twin, authorities = Twin(), Authorities(**options)
    for event in beginning():
        authorities.enrol(statement_of(event), event.index)
        twin.events.append(event)
    return twin, authorities


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[Event, set[str]]]:
    """Events, lawful and not, each with the codes that the twin would refuse it with."""
    twin = Twin()
    twin.events += beginning()
    drawer, life = Drawer(draw, twin), []
    for _ in range(draw(st.integers(4, 26))):
        event = drawer.event()
        if drawer.rarely(20):
            event = drawer.forged(event)
        codes = twin.wrong(event)
        life.append((event, codes))
        if not codes:
            twin.events.append(event)
    return life


def same_answers(twin: Twin, authorities: Authorities, times: set[int], indices: set[int]) -> None:
    """About every key, at all times and places at which something happened, and next to them."""
    assert {key.kid for key in authorities.keys.values()} == {
        signer(name).kid for name in twin.all_keys()
    }
    for size in indices:
        logged, event = authorities.policy_at(size), twin.quorum(size)
        assert (logged is None) == (event is None)
        if logged is not None and event is not None:
            assert logged.policy.least() == event.facts["quorum"]
            assert logged.override == event.facts.get("override", "")
            assert logged.told == Moment(event.index, event.at)
    ends = (0, max(times))
    for name in twin.all_keys():
        key = authorities.key(signer(name).kid)
        assert key is not None
        assert key.issuer == f"{ORIGIN}/{twin.department_of(name)}"
        leaks = [e.facts["since"] for e in twin.key_events(name) if "since" in e.facts]
        by_time = [(at, None, listed) for at in times for listed in (None, False, True)]
        by_index = [
            (at, index, listed)
            for listed in (None, False)
            for index in indices
            for at in (*ends, *leaks, *(since - 1 for since in leaks))
        ]
        for at in times:
            for kind, type_code in ((kinds.LICENCE, "T"), (kinds.CREDIT, "V"), (kinds.KEY, None)):
                _, code = code_of(check_use, key, kind, type_code, at)
                codes = twin.use(name, kind, type_code, at)
                assert code in codes if codes else not code, (name, kind, at)
        for at, index, listed in by_time + by_index:
            found = code_of(check_standing, key, at, index=index, signed_before=listed)
            rule, codes = twin.standing(name, at, index, listed)
            if codes:
                assert found[1] in codes, (name, at, index, listed)
            else:
                assert found == (rule, ""), (name, at, index, listed)


@settings(max_examples=50, deadline=None)
@given(lives())
def test_the_register_answers_as_its_twin(life: list[tuple[Event, set[str]]]) -> None:
    """A wrong event is refused with a code of the twin's, and nothing is changed by it."""
    twin, authorities = begun()
    _, lazy = begun(deferred=True)
    times, indices = {0, START - 1, START, START + 1}, {0, 1, 2, 4}
    for event, codes in life:
        statement = statement_of(event)
        before = authorities.register.copy()
        _, code = code_of(authorities.enrol, statement, event.index)
        if codes:
            assert code in codes, event
            assert authorities.register == before
            if event.forged is None:
                assert code_of(lazy.enrol, statement, event.index)[1] == code
        else:
            assert code == "", event
            lazy.enrol(statement, event.index)
            twin.events.append(event)
            assert authorities.last.index == event.index
        facts = event.facts
        times |= {event.at, event.at + 1, event.at - 1}
        times |= {facts[n] + d for n in ("since", "overlap", "until") if n in facts for d in (0, 1)}
        indices |= {event.index, event.index + 1, facts.get("before", 0)}
    same_answers(twin, authorities, times, indices)
    for slug in ("operator", "a", "b", "c"):
        if twin.department(slug):
            department = authorities.departments[f"{ORIGIN}/{slug}"]
            assert authorities.acting(slug) == twin.acting(slug)
            for at in times:
                assert department.name_at(at)[1] == twin.names(slug, at)
    lazy.settle_all()
    assert lazy.register == authorities.register


@st.composite
def forgeries(draw: st.DrawFn) -> list[Event]:
    """Events that would all be lawful, but for one signature of one of them."""
    twin = Twin()
    twin.events += beginning()
    drawer, lawful = Drawer(draw, twin), beginning()
    for _ in range(draw(st.integers(8, 26))):
        event = drawer.event(wrong=False)
        if not twin.wrong(event):
            twin.events.append(event)
            lawful.append(event)
    at = draw(st.integers(0, len(lawful) - 1))
    if lawful[at].kind == kinds.GENESIS:
        lawful[at] = lawful[at]._replace(forged=drawer.pick(("operator", "possession")))
    else:
        lawful[at] = drawer.forged(lawful[at])
    return lawful


@settings(max_examples=50, deadline=None)
@given(forgeries())
def test_what_is_put_off_is_refused_all_the_same(events: list[Event]) -> None:
    """Whatever is refused at once is refused when it is first relied on, and ever after."""
    (forged,) = (event for event in events if event.forged)
    strict, lazy, twin = Authorities(), Authorities(deferred=True), Twin()
    statements = [(event, statement_of(event)) for event in events]
    for event, statement in statements:
        twin.events.append(event)
        lazy.enrol(statement, event.index)
    for event, statement in statements:
        _, code = code_of(strict.enrol, statement, event.index)
        if event is forged:
            break
        assert code == ""
    assert code
    relied = 0
    for name in twin.all_keys():
        rests = forged.index in twin.rests_on(name)
        relied += rests
        for asked in (lazy, lazy, lazy.copy()):
            assert code_of(asked.key, signer(name).kid)[1] == (code if rests else ""), name
    for asked in (lazy, lazy, lazy.copy()):
        assert code_of(asked.settle_all)[1] == code
    assert (
        code_of(lazy.key, signer("op1").kid)[1] == (code if forged is events[0] else "") or relied
    )


# --- lives that chance seldom leads --------------------------------------------------------------

Change = tuple[int, dict[str, Any], str, str]
KEY_OF_A = {"dept": "a", "key": "k1", "scope": ("T",), "from": START}
MERGED: list[Change] = [
    (kinds.KEY, KEY_OF_A, "first", "a-1"),
    (kinds.DEPARTMENT_CHANGED, {"id": "a", "act": "merge", "into": "b"}, "first", "second"),
]
ROTATED = {"dept": "a", "key": "k2", "scope": ("T",), "from": START, "replaces": "k1"}
LEAK = {"act": "compromise", "since": START, "before": 5, "count": 0, "signed": bytes(32)}


def told(change: Change, index: int, forged: str | None = None) -> Event:
    kind, facts, proposer, approver = change
    return Event(index, START + index, kind, facts, "op1", proposer, approver, forged=forged)


def scripted(*changes: Change, **options: bool) -> tuple[Twin, Authorities]:
    twin, authorities = begun(**options)
    for change in changes:
        event = told(change, twin.events[-1].index + 1)
        assert not twin.wrong(event)
        authorities.enrol(statement_of(event), event.index)
        twin.events.append(event)
    return twin, authorities


@pytest.mark.parametrize(
    ("lived", "change", "code"),
    [
        (MERGED, (kinds.KEY_CHANGED, {**LEAK, "key": "k1"}, "first", "b-1"), ""),
        (
            MERGED,
            (kinds.KEY_CHANGED, {**LEAK, "key": "k1"}, "first", "a-1"),
            "officer-not-entitled",
        ),
        (MERGED, (kinds.OFFICER_LEFT, {"id": "a-1"}, "first", "b-1"), ""),
        (MERGED, (kinds.OFFICER_LEFT, {"id": "a-1"}, "a-1", "first"), "officer-not-entitled"),
    ],
)
def test_who_decides_for_a_department_that_was_merged(
    lived: list[Change], change: Change, code: str
) -> None:
    twin, authorities = scripted(*lived)
    event = told(change, 6)
    assert twin.wrong(event) == ({code} if code else set())
    assert code_of(authorities.enrol, statement_of(event), 6)[1] == code


@pytest.mark.parametrize(
    ("since", "before", "code"),
    [
        (0, 0, ""),
        (0, -1, ""),
        (-1, 0, ""),
        (1, 0, "key-change-impossible"),
        (0, 1, "key-change-impossible"),
        (-1, 1, "key-change-impossible"),
    ],
)
def test_a_compromise_moves_earlier_only(since: int, before: int, code: str) -> None:
    first = {**LEAK, "key": "k1"}
    again = {**first, "since": START + since, "before": 5 + before}
    twin, authorities = scripted(
        (kinds.KEY, KEY_OF_A, "first", "a-1"), (kinds.KEY_CHANGED, first, "first", "a-1")
    )
    event = told((kinds.KEY_CHANGED, again, "first", "second"), 6)
    assert twin.wrong(event) == ({code} if code else set())
    assert code_of(authorities.enrol, statement_of(event), 6)[1] == code


@pytest.mark.parametrize(
    ("lived", "change"),
    [
        # a forged rotation would end the old key, a forged name show under it
        (MERGED[:1], (kinds.KEY, {**ROTATED, "overlap": START + 9}, "first", "a-1")),
        (MERGED[:1], (kinds.DEPARTMENT_CHANGED, {"id": "a", "act": "rename", "en": "X"}, "first",
                      "second")),
        (MERGED, (kinds.DEPARTMENT_CHANGED, {"id": "b", "act": "rename", "en": "X"}, "first",
                  "second")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("slot", ["operator", "proposer", "approver"])
def test_what_a_key_rests_on_besides_its_enrolment(
    lived: list[Change], change: Change, slot: str
) -> None:
    twin, lazy = scripted(*lived, deferred=True)
    assert lazy.key(signer("k1").kid) is not None
    event = told(change, twin.events[-1].index + 1, slot)
    (code,) = twin.wrong(event)
    lazy.enrol(statement_of(event), event.index)
    for _ in range(2):
        with refused(code):
            lazy.key(signer("k1").kid)
    assert lazy.key(signer("op1").kid) is not None


@pytest.mark.parametrize("deciders", [("first", "a-2"), ("a-2", "first")])
def test_a_key_rests_on_what_enrolled_its_officers(deciders: tuple[str, str]) -> None:
    twin, lazy = scripted(deferred=True)
    officer = told((kinds.OFFICER, {"of": "a", "id": "a-2"}, "first", "a-1"), 4, "possession")
    key = told((kinds.KEY, KEY_OF_A, *deciders), 5)
    for event in (officer, key):
        lazy.enrol(statement_of(event), event.index)
        twin.events.append(event)
    assert officer.index in twin.rests_on("k1")
    for _ in range(2):
        with refused("enrolment-no-possession"):
            lazy.key(signer("k1").kid)


# --- what a long life costs --------------------------------------------------------------------


def steps(call: Any) -> int:
    """How many instructions of the interpreter a call takes; the same on any machine."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    usual = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(usual)
    return count


def judged(city: City, trust: Trust, code: str) -> int:
    """Steps of the second judgement: the first checks what the pack rests on."""
    assert judge(code, trust, NOW).colour is Colour.GREEN
    assert trust.authorities._evidence.is_open, "nothing is put off, so nothing is shown"
    return steps(lambda: judge(code, trust, NOW))


def test_judging_takes_no_more_steps_after_many_events() -> None:
    young, old = City(), long_lived(200)
    trusts = [(city, city.issue(), city.trust()) for city in (young, old)]
    for code_of_licence in (City.transparent, lambda _city, licence: licence.qr()):
        one, many = (
            judged(city, city.trust(), code_of_licence(city, licence))
            for city, licence, _ in trusts
        )
        assert one < many <= 1.02 * one


def test_judging_takes_no_more_steps_after_ten_thousand_events() -> None:
    """As a pack with ten thousand suspensions and ends of them would leave the key."""
    city = City()
    code, trust = city.issue().qr(), city.trust()
    one = judged(city, trust, code)
    key = city.departments["market"].kid
    keys = trust.authorities.keys
    keys[key] = replace(
        keys[key],
        suspended=tuple(range(100, 10_100)),
        suspended_at=tuple(range(ISSUED_AT - 10_000, ISSUED_AT)),
        acts=tuple(range(10_100)),
    )
    assert judged(city, trust, code) <= 1.02 * one


def test_a_key_with_a_certificate_rests_on_the_recognition_of_its_ca() -> None:
    """Whoever forges what recognises a CA gives no key the CA's word."""
    city, true = City(), city_signer("certified")
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seeded("key certified"))
    ca = certificates.root(ed25519.Ed25519PrivateKey.generate())
    chain = [ca.issue(private, "行政审批局").der]
    forged = SimpleNamespace(suite=city.operator.suite, kid=city.operator.kid, sign=true.sign)
    contents = (
        (Content(kinds.CA, facts={"cert": ca.der, "zh": "认证", "en": "CA"}), forged),
        (city.key_content("market", true, [BUSINESS], x5c=chain), city.operator),
    )
    lazy = Authorities(deferred=True)
    for index, entry in enumerate(city.entries):
        lazy.enrol(parse_statement(entry), index)
    for index, (content, operator) in enumerate(contents, len(city.entries)):
        content = city.decided(content, issued_at=ISSUED_AT)
        entry = city.sign(content, "operator", issued_at=ISSUED_AT, by=operator)
        lazy.enrol(parse_statement(entry), index)
    assert lazy.keys[true.kid].certificate is not None
    for _ in range(2):
        with refused("statement-bad-signature"):
            lazy.key(true.kid)
    assert lazy.key(city.departments["market"].kid) is not None
