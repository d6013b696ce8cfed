"""The witness policy in the ledger: two officers of the operator, a reason for asking fewer, and
packs that rest on it."""

from contextlib import nullcontext
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.city import ISSUED_AT, ORIGIN, City, signer
from tests.verifier import twin
from tests.verifier.helpers import refused, witness
from verifier import kinds
from verifier.logged_policy import MAX_LOGGED, parse_logged_policy
from verifier.note import MLDSA44, NoteSigner, make_vkey
from verifier.pack import read_pack
from verifier.pack_update import check_successor
from verifier.policy import Policy, parse_policy
from verifier.statement import Content, parse_statement

AT = ISSUED_AT - 86_400
W = {f"w{number}": witness(30 + number).key.text() for number in range(6)}
ONE = f"witness w0 {W['w0']} https://w0.example/\nquorum w0\n"


def policy(quorum: int, *names: str) -> str:
    lines = [f"witness {name} {W[name]} https://{name}.example/zl" for name in names]
    return "\n".join([*lines, f"group all-of {quorum} {' '.join(names)}", "quorum all-of", ""])


@pytest.fixture
def city() -> City:
    return City(quorum=None)


def set_policy(city: City, text: Any, by: tuple[str, str] | None = None, **more: Any) -> None:
    city.enrol(Content(kinds.WITNESSES, facts={"policy": text, **more}), issued_at=AT, by=by)


# --- the rule ------------------------------------------------------------------------------------


def test_a_city_begins_without_witnesses(city: City) -> None:
    authorities = city.authorities
    assert authorities.policy is None
    assert (authorities.policy_override, authorities.policy_index) == ("", None)


def test_the_latest_policy_is_in_force_and_earlier_ones_govern_smaller_trees(city: City) -> None:
    earlier = city.authorities.copy()
    set_policy(city, policy(2, "w0", "w1", "w2"))
    first = city.enrolments[-1]
    set_policy(city, policy(3, "w1", "w2", "w3"))
    second = city.enrolments[-1]
    authorities = city.authorities
    assert authorities.policy == parse_policy(policy(3, "w1", "w2", "w3"))
    assert (authorities.policy_override, authorities.policy_index) == ("", second)
    assert authorities.policy_at(first) is None
    for size, least in ((first + 1, 2), (second, 2), (second + 1, 3), (1 << 40, 3)):
        logged = authorities.policy_at(size)
        assert logged is not None
        assert logged.policy.least() == least
    assert earlier.policy is None


def test_two_officers_of_the_operator_decide(city: City) -> None:
    for by, code in (
        (("first", "first"), "change-own-approval"),
        (("first", "market-keeper"), "officer-not-entitled"),
        (("market-keeper", "second"), "officer-not-entitled"),
    ):
        with refused(code):
            set_policy(city, ONE, by)
    assert city.authorities.policy is None
    set_policy(city, ONE, ("second", "first"))
    statement = parse_statement(city.entries[-1])
    assert city.authorities.decided_by(statement) == ("second", "first")
    assert city.authorities.decided_by(parse_statement(city.entries[0])) == ()


def test_asking_fewer_witnesses_takes_a_reason(city: City) -> None:
    set_policy(city, policy(2, "w0", "w1", "w2"))
    for weaker in (policy(1, "w0", "w1", "w2"), ONE, "quorum none\n"):
        with refused("witnesses-override-missing"):
            set_policy(city, weaker)
    set_policy(city, "quorum none\n", override="两家见证方机房断电")
    assert city.authorities.policy_override == "两家见证方机房断电"
    with refused("witnesses-override-missing"):  # nobody is asked in passing
        set_policy(city, "quorum none\n")
    set_policy(city, policy(2, "w3", "w4"))  # it ends with the next policy
    assert city.authorities.policy_override == ""


def test_other_witnesses_as_many_take_no_reason(city: City) -> None:
    set_policy(city, policy(2, "w0", "w1", "w2"))
    set_policy(city, policy(2, "w3", "w4", "w5"))
    assert city.authorities.policy_override == ""


def test_a_reason_for_asking_no_fewer_is_no_override(city: City) -> None:
    set_policy(city, policy(2, "w0", "w1", "w2"))
    for as_much in (policy(2, "w0", "w1", "w2"), policy(2, "w3", "w4", "w5"), policy(3, *W)):
        with refused("witnesses-override-needless"):
            set_policy(city, as_much, override="一家见证方停办")
    assert city.authorities.policy_index == city.enrolments[-1]
    assert len(city.authorities.register.policies) == 1


def test_an_override_may_follow_another_until_as_many_are_asked_as_before_them(city: City) -> None:
    set_policy(city, policy(3, "w0", "w1", "w2"))
    set_policy(city, policy(1, "w0", "w1"), override="两家断电")
    for least in (1, 2):
        set_policy(city, policy(least, "w2", "w3"), override="另一家也断电")
        assert city.authorities.policy_override == "另一家也断电"
    with refused("witnesses-override-needless"):
        set_policy(city, policy(3, "w2", "w3", "w4"), override="已恢复")
    set_policy(city, policy(2, "w2", "w3"))  # what is asked from now on
    with refused("witnesses-override-needless"):
        set_policy(city, policy(2, "w0", "w1"), override="换一家")


def test_nothing_is_no_policy_and_of_nothing_there_is_no_override(city: City) -> None:
    with refused("witnesses-override-missing"):
        set_policy(city, "quorum none\n")
    for text in ("quorum none\n", ONE):
        with refused("witnesses-override-of-nothing"):
            set_policy(city, text, override="理由")


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, "witnesses-malformed"),
        ({"policy": ONE.encode()}, "witnesses-malformed"),
        ({"policy": ONE, "since": 1}, "enrolment-malformed"),
        ({"policy": ONE, "override": ""}, "enrolment-malformed"),
        ({"policy": ONE, "override": 1}, "enrolment-malformed"),
        ({"policy": ONE, "override": "字" * 401}, "enrolment-malformed"),
        ({"policy": ONE, "override": "  "}, "enrolment-malformed"),
        ({"policy": ONE, "override": "a\nb"}, "enrolment-malformed"),
        ({"policy": ONE, "override": "a\u202eb"}, "enrolment-malformed"),
    ],
)
def test_facts_that_are_no_policy(city: City, facts: dict[str, Any], code: str) -> None:
    set_policy(city, ONE)
    with refused(code):
        city.enrol(Content(kinds.WITNESSES, facts=facts), issued_at=AT)


SHARED = (  # two keys of one address, and another's
    f"witness w0 {W['w0']} https://w0.example/\n"
    f"witness w1 {W['w1']} https://W0.example\n"
    f"witness w2 {W['w2']} https://w2.example\n"
)
LOG = NoteSigner(ORIGIN, signer(f"log of {ORIGIN}"))
MANY = "".join(
    f"witness m{n} {NoteSigner(f'm{n}.example', signer(f'm{n}'), 4).key.text()} http://m{n}.example\n"
    for n in range(49)
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"log {LOG.key.text()}\n{ONE}", "witnesses-malformed"),
        (ONE.replace(" https://w0.example/", ""), "witnesses-malformed"),
        (ONE.replace("https:", "ftp:"), "witnesses-malformed"),
        (ONE.replace("https://w0.example/", "https://"), "witnesses-malformed"),
        (ONE.replace("w0.example/", "user@w0.example/"), "witnesses-malformed"),
        (ONE.replace("w0.example/", "w0.example/?a=b"), "witnesses-malformed"),
        (ONE.replace("w0.example/", "w0.example/#a"), "witnesses-malformed"),
        (ONE.replace("w0.example", "见证.example"), "witnesses-malformed"),
        (f"{SHARED}group g 2 w0 w1 w2\nquorum g\n", "witnesses-malformed"),
        (f"{SHARED}group p 1 w0 w1\ngroup g 2 p w2\nquorum g\n", ""),
        (f"{SHARED}group p 2 w0 w1\ngroup g 2 p w2\nquorum w0\n", ""),
        (f"{SHARED}group p 1 w0\ngroup g 2 p w1 w2\nquorum g\n", "witnesses-malformed"),
        (f"# a comment\n{ONE}", "witnesses-malformed"),
        (ONE.replace(" ", "  "), "witnesses-malformed"),
        (ONE.replace("\n", "\n\n"), "witnesses-malformed"),
        (ONE.replace(" w0", " w\u202e0"), "witnesses-malformed"),
        (ONE.replace(" w0", " w\x1b0"), "witnesses-malformed"),
        (ONE.replace("\n", "\r\n"), "witnesses-malformed"),
        (ONE.replace(" w0", " w\ud8000"), "witnesses-malformed"),
        (ONE[:-1], "policy-malformed"),
        ("", "policy-malformed"),
        ("quorum w0\n", "policy-malformed"),
        (f"{ONE}quorum none\n", "policy-malformed"),
        (ONE.replace(W["w0"], LOG.key.text()), "policy-malformed"),
        (f"{MANY}group all-of any {' '.join(f'm{n}' for n in range(49))}\nquorum all-of\n",
         "too-large"),
        (f"{ONE}{'# filled '.ljust(MAX_LOGGED)}\n", "witnesses-malformed"),
        (ONE.replace("w0.example/", f"w0.example/{'a' * MAX_LOGGED}"), "witnesses-malformed"),
    ],
)  # fmt: skip
def test_a_hostile_policy_is_refused(text: str, code: str) -> None:
    with refused(code) if code else nullcontext():
        parse_logged_policy(text)


def test_forty_eight_witnesses_fit(city: City) -> None:
    names = [f"m{n}" for n in range(48)]
    lines = "".join(MANY.splitlines(keepends=True)[:48])
    set_policy(city, f"{lines}group all-of 40 {' '.join(names)}\nquorum all-of\n")
    assert city.authorities.policy is not None
    assert city.authorities.policy.least() == 40


def test_long_keys_fit_up_to_the_limit(city: City) -> None:
    """A dozen witnesses with ML-DSA-44, and the statement is still an entry."""
    keys = [
        make_vkey(f"l{n}.example", signer(f"l{n}", "ml-dsa-44").public, MLDSA44) for n in range(13)
    ]
    lines = [f"witness l{n} {key.text()} https://l{n}.example\n" for n, key in enumerate(keys)]
    end = f"group g 7 {' '.join(f'l{n}' for n in range(13))}\nquorum g\n"
    assert len("".join(lines)) + len(end) < MAX_LOGGED
    set_policy(city, "".join(lines) + end)
    with refused("witnesses-malformed"):
        parse_logged_policy("".join([*lines, *lines]) + end)


def test_the_log_is_no_witness_of_itself(city: City) -> None:
    for key in (city.log, city.log_pq):
        kind = MLDSA44 if key is city.log_pq else 0x04
        own = make_vkey("other.example", key.key.public, kind).text()
        with refused("witnesses-malformed"):
            set_policy(city, ONE.replace(W["w0"], own))


# --- how few are enough: a slow twin -------------------------------------------------------------


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Nested groups over five witnesses; some of them in no group, two perhaps of one address."""
    free = [f"w{number}" for number in range(5)]
    hosts = {name: f"{name}.example" for name in free}
    pair = draw(st.sampled_from((0, 1, 2)))
    if pair:
        hosts["w4"] = hosts["w3"]
    lines = [f"witness {name} {W[name]} https://{hosts[name]}\n" for name in free]
    if pair:
        free = [*free[:3], "pair"]
        lines.append(f"group pair {pair} w3 w4\n")
    for number in range(draw(st.integers(0, 4))):
        members = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        least = draw(st.integers(1, len(members)))
        free = [name for name in free if name not in members] + [f"g{number}"]
        lines.append(f"group g{number} {least} {' '.join(members)}\n")
    return parse_logged_policy(
        "".join(lines) + f"quorum {draw(st.sampled_from(['none', *free]))}\n"
    )


@given(policies())
def test_the_fewest_that_meet_a_policy(found: Policy) -> None:
    """Counted by their addresses."""
    names = list(found.witnesses)
    fewest = min(
        len({found.witnesses[name].url for name in some})
        for count in range(len(names) + 1)
        for some in combinations(names, count)
        if found.is_met_by(set(some))
    )
    assert found.least() == fewest


# --- packs ---------------------------------------------------------------------------------------


def test_a_pack_meets_the_policy_in_its_own_statements() -> None:
    city = City(quorum=2)
    city.set_witnesses(city.policy_text(3), issued_at=AT)
    assert read_pack(city.pack()).trust.policy == city.policy(3)
    with refused("policy-quorum-not-met"):
        read_pack(city.pack(checkpoint=city.checkpoint(witnesses=2)))
    city.set_witnesses(city.policy_text(1), override="一家停电", issued_at=AT)
    pack = read_pack(city.pack(checkpoint=city.checkpoint(witnesses=1)), thorough=True)
    assert pack.trust.authorities.policy_override == "一家停电"
    assert [(each.logged.policy.least(), each.by) for each in pack.policies] == [
        (2, ("first", "second")),
        (3, ("first", "second")),
        (1, ("first", "second")),
    ]


def test_a_policy_that_nobody_decided_is_not_relied_on() -> None:
    """Signatures are put off when a pack is opened, but never those of its policy."""
    city = City(quorum=2)
    city.set_witnesses("quorum none\n", override="假的", issued_at=AT)
    raw = city.entries[-1]
    city.entries[-1] = raw[:-1] + bytes([raw[-1] ^ 1])
    with refused("statement-bad-signature"):
        read_pack(city.pack(checkpoint=city.checkpoint(witnesses=0)))


def test_no_pack_drops_the_policy_of_the_one_held() -> None:
    """Neither by leaving its statement out nor by telling another history."""
    city = City(quorum=2)
    held = read_pack(city.pack())
    city.issue()
    city.enrolments.remove(held.policies[0].logged.told.index)
    dropped = read_pack(city.pack(checkpoint=city.checkpoint(witnesses=0)))
    assert dropped.trust.policy is None
    proof = twin.proof(6, city.entries)
    with refused("pack-inconsistent") as caught:
        check_successor(held, dropped, proof)
    assert "left out" in caught.value.detail
    forked = City(quorum=None)
    forked.issue()
    with refused("pack-inconsistent"):
        check_successor(held, read_pack(forked.pack(checkpoint=forked.checkpoint())), ())


def test_a_held_pack_is_followed_over_an_override() -> None:
    city = City(quorum=2)
    held = read_pack(city.pack())
    city.set_witnesses("quorum none\n", override="断电", issued_at=AT)
    new = read_pack(city.pack(checkpoint=city.checkpoint(witnesses=0)), thorough=True)
    check_successor(held, new, twin.proof(6, city.entries))
    assert [each.logged.override for each in new.policies] == ["", "断电"]
