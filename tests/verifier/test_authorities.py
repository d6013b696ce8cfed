"""Founding and enrolment: who may sign what follows from the ledger alone. How changes are decided
is in `test_changes`, what becomes of keys in `test_keylife`."""

from typing import Any

import pytest

from keys.errors import KeysError
from keys.names import cose_key_bytes
from keys.signer import Signer
from keys.suites import BY_NAME
from tests.city import BUSINESS, ISSUED_AT, NOW, ORIGIN, City, signer
from tests.decided import decided, officer_facts
from tests.verifier.helpers import refused
from verifier import kinds
from verifier.authorities import (
    Authorities,
    check_scope,
    check_use,
    proof_of_possession_message,
)
from verifier.note import make_vkey
from verifier.statement import Content, parse_statement, sign_statement

OPERATOR = signer("operator tests")
LOG = signer("log tests")
OFFICERS = {name: signer(f"officer {name}") for name in ("first", "second")}
CHIEF = signer("officer chief")
FACTS: dict[str, Any] = {
    "origin": ORIGIN,
    "log": make_vkey(ORIGIN, LOG.public).text(),
    "key": cose_key_bytes(OPERATOR.suite, OPERATOR.public),
    "name_zh": "示例市",
    "name_en": "Sample City",
    "officers": officer_facts(ORIGIN, OFFICERS),
}
DEPARTMENT = {
    "id": "fire",
    "zh": "消防救援局",
    "en": "Fire and Rescue",
    "uscc": "1133",
    "officers": officer_facts(ORIGIN, {"chief": CHIEF}),
}


def enrol(
    authorities: Authorities,
    kind: int,
    facts: dict[str, Any],
    index: int = 0,
    *,
    by: Signer = OPERATOR,
    issuer: str = f"{ORIGIN}/operator",
) -> None:
    """As the two officers of the operator decided it, but for a genesis."""
    content = Content(kind, facts=facts)
    if kind in kinds.CHANGES:
        first, second = OFFICERS.values()
        content = decided(kind, facts, origin=ORIGIN, at=NOW, proposer=first, approver=second)
    raw = sign_statement(content, issuer=issuer, subject="A" * 22, issued_at=NOW, signer=by)
    authorities.enrol(parse_statement(raw), index)


def without(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in names}


@pytest.fixture
def authorities() -> Authorities:
    made = Authorities()
    enrol(made, kinds.GENESIS, FACTS)
    return made


@pytest.fixture
def city() -> City:
    return City()


def test_the_genesis_names_the_ledger_its_key_and_its_operator(authorities: Authorities) -> None:
    assert authorities.origin == ORIGIN
    assert authorities.log_key == make_vkey(ORIGIN, LOG.public)
    (operator,) = authorities.keys_of(f"{ORIGIN}/operator")
    assert operator.public == OPERATOR.public
    assert {each.id: each.public for each in authorities.register.officers_of("operator")} == {
        name: key.public for name, key in OFFICERS.items()
    }
    assert (authorities.name_zh, authorities.name_en) == ("示例市", "Sample City")
    assert list(authorities.departments) == [f"{ORIGIN}/operator"]


@pytest.mark.parametrize("suite", BY_NAME)
def test_a_city_enrols_departments_and_keys_of_every_suite(suite: str) -> None:
    city = City()
    city.add_department("fire", "消防救援局", "Fire and Rescue", ["T"], suite)
    key = city.authorities.keys[city.departments["fire"].kid]
    assert (key.issuer, key.suite.name, key.scope) == (
        f"{ORIGIN}/fire",
        suite,
        frozenset({"T"}),
    )
    assert key.public == city.departments["fire"].public
    assert key.kid == city.departments["fire"].kid
    assert key.index == city.enrolments[-1]


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        *((without(FACTS, name), "enrolment-malformed") for name in FACTS),
        ({**FACTS, "origin": ""}, "enrolment-malformed"),
        ({**FACTS, "origin": 5}, "enrolment-malformed"),
        ({**FACTS, "origin": "other.example"}, "enrolment-malformed"),
        ({**FACTS, "name_zh": "市" * 401}, "enrolment-malformed"),
        ({**FACTS, "key": "text"}, "enrolment-malformed"),
        ({**FACTS, "key": FACTS["key"] + b"\x00"}, "enrolment-malformed"),
        ({**FACTS, "key": cose_key_bytes(LOG.suite, LOG.public)}, "enrolment-malformed"),
        ({**FACTS, "log": "nonsense"}, "note-key-malformed"),
        ({**FACTS, "log": make_vkey("other.example", LOG.public).text()}, "enrolment-malformed"),
        ({**FACTS, "officers": []}, "enrolment-malformed"),
        ({**FACTS, "officers": [["first"]]}, "enrolment-malformed"),
        ({**FACTS, "officers": FACTS["officers"] * 40}, "enrolment-malformed"),
        ({**FACTS, "officers": FACTS["officers"][:1]}, "officers-too-few"),
        ({**FACTS, "officers": FACTS["officers"][:1] * 2}, "enrolment-repeated"),
        (
            {**FACTS, "officers": officer_facts(ORIGIN, {"a": OFFICERS["first"], "b": OPERATOR})},
            "enrolment-repeated",
        ),
        (
            {**FACTS, "officers": officer_facts(ORIGIN, dict.fromkeys("ab", OFFICERS["first"]))},
            "enrolment-repeated",
        ),
        ({**FACTS, "officers": officer_facts("o.example", OFFICERS)}, "enrolment-no-possession"),
        (
            {**FACTS, "officers": officer_facts(ORIGIN, {"A": LOG, "b": CHIEF})},
            "enrolment-malformed",
        ),
    ],
)
def test_a_false_genesis_is_refused(facts: dict[str, Any], code: str) -> None:
    empty = Authorities()
    with refused(code):
        enrol(empty, kinds.GENESIS, facts)
    assert (empty.origin, empty.officers, empty.keys, empty.departments) == ("", {}, {}, {})


def test_a_genesis_is_signed_by_the_key_it_names() -> None:
    with refused("enrolment-malformed"):
        enrol(Authorities(), kinds.GENESIS, FACTS, by=LOG)
    with refused("enrolment-malformed"):
        enrol(Authorities(), kinds.GENESIS, FACTS, issuer=f"{ORIGIN}/market")


def test_the_genesis_is_the_first_entry_and_the_only_one(authorities: Authorities) -> None:
    with refused("enrolment-second-genesis"):
        enrol(authorities, kinds.GENESIS, FACTS)
    with refused("enrolment-second-genesis"):
        enrol(Authorities(), kinds.GENESIS, FACTS, index=1)


@pytest.mark.parametrize("kind", sorted(kinds.CHANGES))
def test_nothing_is_enrolled_before_the_genesis(kind: int) -> None:
    with refused("enrolment-before-genesis"):
        enrol(Authorities(), kind, DEPARTMENT)


def test_only_the_operator_enrols(authorities: Authorities, city: City) -> None:
    for by, issuer in [(LOG, "operator"), (OPERATOR, "market"), (LOG, "market")]:
        with refused("enrolment-not-by-operator"):
            enrol(authorities, kinds.DEPARTMENT, DEPARTMENT, 1, by=by, issuer=f"{ORIGIN}/{issuer}")
    assert len(authorities.departments) == 1


@pytest.mark.parametrize(
    "facts",
    [
        *(without(DEPARTMENT, name) for name in DEPARTMENT),
        *({**DEPARTMENT, name: value} for name in DEPARTMENT for value in ("", 5, "x" * 401)),
        {**DEPARTMENT, "colour": "red"},
        {**DEPARTMENT, "officers": []},
        *({**DEPARTMENT, "id": slug} for slug in ("Fire", "a/operator", "火", "a b", "x" * 33)),
    ],
)
def test_a_malformed_department_is_refused(authorities: Authorities, facts: dict[str, Any]) -> None:
    with refused("enrolment-malformed"):
        enrol(authorities, kinds.DEPARTMENT, facts, 1)


def test_a_department_is_enrolled_once(authorities: Authorities) -> None:
    enrol(authorities, kinds.DEPARTMENT, DEPARTMENT, 1)
    others = officer_facts(ORIGIN, {"other": signer("officer other")})
    for slug in ("fire", "operator"):
        with refused("enrolment-repeated"):
            facts = {**DEPARTMENT, "id": slug, "officers": others}
            enrol(authorities, kinds.DEPARTMENT, facts, 2)
    with refused("enrolment-repeated"):  # its officers are another department's
        enrol(authorities, kinds.DEPARTMENT, {**DEPARTMENT, "id": "water"}, 2)


def test_other_kinds_enrol_nothing(authorities: Authorities) -> None:
    content = Content(kinds.QUESTION, rule_set="2026-04", digests=[bytes(32)])
    raw = sign_statement(
        content, issuer=f"{ORIGIN}/operator", subject="A" * 22, issued_at=NOW, signer=OPERATOR
    )
    with refused("enrolment-malformed"):
        authorities.enrol(parse_statement(raw), 1)


@pytest.mark.parametrize("slug", ["nobody", "Market"])
def test_a_key_belongs_to_an_enrolled_department(city: City, slug: str) -> None:
    with refused("enrolment-unknown-department"):
        city.enrol(city.key_content(slug, signer("new"), [BUSINESS]))


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"scope": None}, "enrolment-malformed"),
        ({"scope": "T"}, "enrolment-malformed"),
        ({"scope": [1]}, "enrolment-malformed"),
        ({"from": "x"}, "enrolment-malformed"),
        ({"from": True}, "enrolment-malformed"),
        ({"from": None}, "enrolment-malformed"),
        ({"from": -1}, "enrolment-malformed"),
        ({"until": "x"}, "enrolment-malformed"),
        ({"from": NOW, "until": NOW - 1}, "enrolment-malformed"),
        ({"colour": "red"}, "enrolment-malformed"),
        ({"replaces": bytes(8)}, "enrolment-malformed"),
        ({"overlap": NOW}, "enrolment-malformed"),
        ({"replaces": bytes(8), "overlap": NOW}, "key-not-enrolled"),
        ({"x5c": b""}, "enrolment-malformed"),
        ({"x5c": ["x"]}, "enrolment-malformed"),
        ({"dept": 5}, "enrolment-malformed"),
        ({"key": b""}, "enrolment-malformed"),
        ({"key": None}, "enrolment-malformed"),
        ({"pop": bytes(64)}, "enrolment-no-possession"),
        ({"pop": b""}, "enrolment-no-possession"),
        ({"pop": "x"}, "enrolment-no-possession"),
        ({"pop": None}, "enrolment-no-possession"),
        ({"dept": "health"}, "enrolment-no-possession"),
        ({"dept": "operator"}, "enrolment-no-possession"),
    ],
)
def test_a_false_key_is_refused(city: City, facts: dict[str, Any], code: str) -> None:
    before = dict(city.authorities.keys)
    with refused(code):
        city.enrol(city.key_content("market", signer("new"), [BUSINESS], **facts))
    assert city.authorities.keys == before


def test_possession_is_proven_for_this_city_department_and_key(city: City) -> None:
    """A proof made for another city, or for another key, does not serve here."""
    key, other = signer("new"), signer("other")
    cose_key = cose_key_bytes(key.suite, key.public)
    messages = [
        proof_of_possession_message("other.example", "market", cose_key),
        proof_of_possession_message(ORIGIN, "health", cose_key),
        proof_of_possession_message(ORIGIN, "market", cose_key_bytes(other.suite, other.public)),
    ]
    for message in messages:
        with refused("enrolment-no-possession"):
            city.enrol(city.key_content("market", key, [BUSINESS], pop=key.sign(message)))
    good = proof_of_possession_message(ORIGIN, "market", cose_key)
    with refused("enrolment-no-possession"):
        city.enrol(city.key_content("market", key, [BUSINESS], pop=other.sign(good)))
    city.enrol(city.key_content("market", key, [BUSINESS]))


def test_a_key_is_enrolled_once(city: City) -> None:
    city.enrol(city.key_content("market", signer("new"), [BUSINESS]))
    for slug in ("market", "health"):
        with refused("enrolment-repeated"):
            city.enrol(city.key_content(slug, signer("new"), [BUSINESS]))


def test_weak_keys_are_not_enrolled(city: City) -> None:
    identity = b"\x01" + bytes(31)
    key = cose_key_bytes(BY_NAME["ed25519"], identity)
    with refused("enrolment-malformed"):
        city.enrol(city.key_content("market", signer("new"), [BUSINESS], key=key))
    with pytest.raises(KeysError):
        BY_NAME["ed25519"].check_public(identity)


def test_scope_in_kind_type_and_time(city: City) -> None:
    market = city.authorities.keys[city.departments["market"].kid]
    (operator,) = city.authorities.keys_of(f"{ORIGIN}/operator")
    check_scope(parse_statement(city.issue().statement), market)
    check_use(market, kinds.LICENCE, BUSINESS, ISSUED_AT)
    check_use(market, kinds.LICENCE, BUSINESS, market.valid_from)
    check_use(operator, kinds.QUESTION, None, 0)
    for key, kind, type_code, time, code in [
        (market, kinds.QUESTION, None, ISSUED_AT, "key-out-of-scope"),
        (market, kinds.GENESIS, None, ISSUED_AT, "key-out-of-scope"),
        (market, kinds.LICENCE, "T", ISSUED_AT, "key-out-of-scope"),
        (operator, kinds.LICENCE, BUSINESS, ISSUED_AT, "key-out-of-scope"),
        (operator, kinds.ERASURE, None, ISSUED_AT, "key-out-of-scope"),
        (market, kinds.LICENCE, BUSINESS, market.valid_from - 1, "key-out-of-date"),
    ]:
        with refused(code):
            check_use(key, kind, type_code, time)


def test_a_key_with_an_end_signs_until_then(city: City) -> None:
    new = signer("new")
    city.enrol(city.key_content("market", new, [BUSINESS], until=ISSUED_AT))
    key = city.authorities.keys[new.kid]
    check_use(key, kinds.LICENCE, BUSINESS, ISSUED_AT)
    with refused("key-out-of-date"):
        check_use(key, kinds.LICENCE, BUSINESS, ISSUED_AT + 1)


def test_the_key_of_a_statement(city: City) -> None:
    statement = parse_statement(city.issue().statement)
    assert city.authorities.key_for(statement).issuer == f"{ORIGIN}/market"
    with refused("key-not-enrolled"):
        Authorities().key_for(statement)
    forged = city.sign(city.issue().content, "health", by=city.departments["market"])
    with refused("key-of-another"):
        city.authorities.key_for(parse_statement(forged))
