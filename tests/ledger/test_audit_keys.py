"""Keys over their whole life: lawful lives are clean, what was done to keys is reported."""

import json

import pytest

from ledger.audit.errors import AuditError
from ledger.audit.report import render
from ledger.audit.signed import Signed
from tests.ledger.audited import Shown, found
from tests.ledger.cases_keys import healed, leaked, merge
from tests.ledger.cases_rules import DECIDED
from tests.ledger.logs import DAY, FOOD, PENALTY, City, signer
from verifier import kinds
from verifier.merkle import leaf_hash
from verifier.statement import Content
from verifier.states import SUSPENDED, VALID
from verifier.times import MAX_TIME


def clean(city: City) -> None:
    report = Shown(city.files(), []).audit()
    assert found(report) == []
    assert report.signatures == len(city.entries)


def test_a_rotation_with_overlap() -> None:
    """In the overlap both keys sign; the old one may be retired later."""
    city = City()
    first = city.licence()
    old, new = city.signers["market"], signer("new", "es256")
    facts = {"from": city.clock + 60, "replaces": old.kid, "overlap": city.clock + 600}
    city.key("market", new, [FOOD], **facts)
    city.licence(how={"by": new})
    city.licence(how={"by": old})
    city.state(first, SUSPENDED, by=new)
    city.key_act(old, "retire")
    city.licence(how={"by": new})
    clean(city)


def test_suspensions_and_their_ends() -> None:
    city = City()
    key = city.signers["market"]
    for _ in range(3):
        city.licence()
        city.key_act(key, "suspend")
        city.key_act(key, "resume")
    city.licence()
    city.key_act(key, "suspend")
    city.key_act(key, "retire")
    clean(city)


def test_mergers_names_and_officers() -> None:
    """The successor acts on what the market issued, renews it, and is merged in turn."""
    city = City()
    act, renewed, entry = city.licence(), city.licence(), city.credit(day=DECIDED, grade=1)
    city.change(kinds.DEPARTMENT_CHANGED, {"id": "market", "act": "rename", "zh": "新", "en": "N"})
    city.department("centre", [FOOD, PENALTY])
    merge(city, "market", "centre")
    act = city.state(act, SUSPENDED, slug="centre")
    city.licence("centre", predecessor=renewed.leaf)
    city.follow(entry, kinds.CREDIT_CORRECTED, slug="centre")
    city.department("bureau", [FOOD])
    third = dict(zip(("id", "key", "pop"), city.officer_facts("third")[0], strict=True))
    city.change(kinds.OFFICER, {"of": "operator", **third})
    city.change(kinds.OFFICER_LEFT, {"id": "second"})
    facts = {"id": "centre", "act": "merge", "into": "bureau"}
    city.change(kinds.DEPARTMENT_CHANGED, facts, ("first", "third"))
    act = city.state(act, VALID, "suspension-ended", slug="bureau")
    city.follow(act, kinds.ERASURE, slug="bureau")
    clean(city)


def test_a_leak_of_which_nothing_is_left() -> None:
    city = City()
    healed(city)
    clean(city)


def test_questions_and_changes_outlive_a_leaked_key_of_the_operator() -> None:
    """A question asked is over; what officers decided rests on their signatures besides."""
    city = City()
    before = len(city.entries)
    city.add(Content(kinds.QUESTION, rule_set="order-36", digests=[bytes(32)]), "operator")
    old, new = city.signers["operator"], signer("new operator")
    city.key("operator", new, [])
    city.signers["operator"] = new
    city.compromise(old, before=before, slug="operator")
    city.licence()
    clean(city)


def test_what_was_signed_before_a_leak_stays() -> None:
    city = City()
    act = city.licence()
    leaked(city, len(city.entries))
    city.state(act, SUSPENDED)
    city.licence()
    clean(city)


def test_keys_of_departments_are_found_in_every_process() -> None:
    """Workers learn a key from the proposal inside the change."""
    city = City()
    key = signer("new", "es256")
    city.key("market", key, [FOOD])
    city.fill(17 * 256)
    city.licence(how={"by": key})
    report = Shown(city.files(), []).audit(processes=2)
    assert found(report) == []
    assert report.signatures == len(city.entries)


# --- the report ----------------------------------------------------------------------------------


def test_what_was_done_to_keys_and_who_decided_it() -> None:
    city = City()
    old, new = city.signers["market"], signer("new", "es256")
    made = city.clock + 60
    facts = {"from": made, "replaces": old.kid, "overlap": made + 600}
    city.key("market", new, [FOOD], **facts)
    for act in ("suspend", "resume"):
        city.key_act(new, act)
    city.compromise(old, before=len(city.entries))
    city.change(kinds.DEPARTMENT_CHANGED, {"id": "market", "act": "close"})
    report = Shown(city.files(), []).audit()
    assert report.ok
    events = json.loads(json.dumps(report.to_json()))["keys"]
    assert events.keys() == {f"{city.origin}/{slug}" for slug in ("operator", "market", "health")}
    assert events[f"{city.origin}/operator"][0]["by"] == []
    market = events[f"{city.origin}/market"]
    assert [event["act"] for event in market] == [
        "enrolled",
        "rotated",
        "suspend",
        "resume",
        "compromise",
        "close",
    ]
    assert market[1] == {
        "index": 5,
        "time": made,
        "act": "rotated",
        "key": new.kid.hex(),
        "by": ["first", "market-keeper"],
        "detail": old.kid.hex(),
    }
    assert market[4]["detail"] == f"since {city.clock - 119}, #8"
    assert market[5]["by"] == ["first", "second"]
    assert market[5]["key"] is None
    text = "\n".join(render(report))
    assert f"#5  2025-12-11  {new.kid.hex()}  轮换 enrolled in place of another" in text
    assert "first + market-keeper" in text
    assert "创立 genesis" in text


def test_refused_changes_are_no_events() -> None:
    city = City()
    city.key_act(city.signers["market"], "resume")
    report = Shown(city.files(), []).audit()
    assert [code for code, _, _ in found(report)] == ["audit-change-refused"]
    assert len(report.events) == 3


def test_long_lives_are_cut_in_text() -> None:
    city = City()
    for _ in range(6):
        for act in ("suspend", "resume"):
            city.key_act(city.signers["market"], act)
    text = "\n".join(render(Shown(city.files(), []).audit()))
    assert "3 before these" in text
    assert text.count("suspended") == 5


def test_the_latest_time_of_all_is_shown_as_a_day() -> None:
    city = City()
    city.clock = MAX_TIME - 1 - 2 * DAY
    city.change(kinds.DEPARTMENT_CHANGED, {"id": "market", "act": "close"})
    report = Shown(city.files(), []).audit()
    assert "8999-12-30" in "\n".join(render(report))


# --- what keys signed ----------------------------------------------------------------------------


def test_what_is_kept_of_what_keys_signed() -> None:
    signed = Signed()
    leaves = [leaf_hash(bytes((n,))) for n in range(9)]
    for index, leaf in enumerate(leaves):
        signed.add(b"ab"[index % 2 : index % 2 + 1], index, leaf, (1 << 40) - 9 + index)
    assert signed.before(b"a", 5).data == b"".join(sorted(leaf[:12] for leaf in leaves[0:5:2]))
    assert signed.before(b"a", 4).count == signed.before(b"a", 3).count == 2
    assert signed.before(b"a", 0).count == signed.before(b"c", 9).count == 0


# --- suites --------------------------------------------------------------------------------------


def sm2_city() -> City:
    pytest.importorskip("gmssl_pyx", reason="the extra sm2 is not installed")
    city = City()
    city.key("market", signer("national", "sm2"), [FOOD])
    city.licence(how={"by": signer("national", "sm2")})
    return city


def test_signatures_of_a_suite_that_is_here() -> None:
    clean(sm2_city())


def test_signatures_that_cannot_be_checked_are_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    city = sm2_city()
    files = city.files()
    monkeypatch.setattr("keys.suites.sm2_wheel.gmssl_pyx", None)
    with pytest.raises(AuditError) as caught:
        Shown(files, []).audit()
    assert caught.value.code == "audit-suite-missing"
