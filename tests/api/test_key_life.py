"""Keys over their whole life in a running city: which one signs, and what is refused."""

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import change_facts
from api.changes import ChangeDesk
from api.city import City
from api.demo_people import _food_number
from api.errors import ServiceError
from api.keymaking import make_key
from api.licences import Licences
from api.principals import Principal, Role
from api.rules.codes import make_uscc
from api.signed_lists import compromise_facts, first_entry_at, signed_list
from api.signers import pick
from keys.errors import ZhenglianError
from keys.suites import suite_named
from tests.api.service import (
    CHIEFS,
    DAY,
    NOW,
    ORIGIN,
    Clock,
    Service,
    decide,
    enrol_key,
    lose_keys,
    officer,
    open_copy,
    problem_of,
    sample,
)
from verifier import kinds
from verifier.authorities import EnrolledKey
from verifier.change import parse_proposal, sign_approval
from verifier.errors import Refused
from verifier.keylife import Moment
from verifier.merkle import leaf_hash
from verifier.qr import format_qr
from verifier.statement import Statement, parse_statement

FOOD = {"type": "food-licence", "fields": sample("food-licence")}


def issue(service: Service, number: int, **options: Any) -> dict[str, Any]:
    """A food licence in force; the samples are of all ages."""
    return service.issue(number=number, until="2031-06-30", **options)


def change_key(city: City, kid: bytes, act: str, proposer: str = "market-1") -> int:
    return decide(city, kinds.KEY_CHANGED, change_facts.key_changed(kid, act), proposer)


def rotate(city: City, slug: str, start: int, overlap: int = 900) -> tuple[bytes, bytes]:
    """(old key id, new key id); the new one signs from `start`."""
    old, made = change_facts.signing_key(city, slug), make_key(city, slug, "ed25519")
    scope = sorted(city.authorities.keys[old].scope)
    facts = change_facts.key(slug, made.key, made.pop, scope, start)
    proposer = CHIEFS[0] if slug == "operator" else f"{slug}-1"
    decide(city, kinds.KEY, change_facts.rotation(facts, old, overlap), proposer)
    return old, made.kid


def statement(city: City, index: int) -> Statement:
    return parse_statement(city.ledger.entry(index))


def shown_key(service: Service, kid: bytes) -> dict[str, Any]:
    listed = service.get(None, "/v1/departments").json()["departments"]
    (key,) = [key for each in listed for key in each["keys"] if key["kid"] == kid.hex()]
    return dict(key)


# suspended, retired


def test_a_suspended_key_signs_nothing_until_it_is_resumed(service: Service) -> None:
    city, kid = service.city, service.city.signer("market").kid
    before = service.issue()
    first = change_key(city, kid, "suspend")
    size = city.ledger.size
    problem_of(service.post("market", "/v1/licences", FOOD), "key-suspended", 403)
    path = f"/v1/licences/{before['record_id']}/state"
    body = {"state": "suspended", "reason": "ordered-to-stop"}
    problem_of(service.post("market", path, body), "key-suspended", 403)
    assert city.ledger.size == size
    assert shown_key(service, kid)["state"] == "suspended"
    assert service.verify(before["qr"])["colour"] == "green"
    last = change_key(city, kid, "resume")
    assert service.verify(issue(service, 1)["qr"])["colour"] == "green"
    shown = shown_key(service, kid)
    (span,) = shown["suspended"]
    assert (span["since"]["index"], span["until"]["index"]) == (first, last)
    assert (shown["state"], shown["state_zh"]) == ("in-force", "有效")


def test_a_retired_key_is_followed_by_another(service: Service) -> None:
    city, kid = service.city, service.city.signer("market").kid
    before = service.issue()
    index = change_key(city, kid, "retire")
    problem_of(service.post("market", "/v1/licences", FOOD), "key-retired", 403)
    assert shown_key(service, kid)["retired"]["index"] == index
    enrol_key(city, "market", change_facts.catalogue_scope(city, "market"))
    after = issue(service, 1)
    assert statement(city, after["index"]).kid != kid
    for issued in (before, after):
        assert service.verify(issued["qr"])["colour"] == "green"


def test_resuming_takes_an_officer_of_the_department(service: Service) -> None:
    kid = service.city.signer("market").kid
    change_key(service.city, kid, "suspend", CHIEFS[0])
    with pytest.raises(Refused, match="change-needs-own-officer"):
        change_key(service.city, kid, "resume", CHIEFS[0])
    change_key(service.city, kid, "resume")


def test_the_operators_last_key_keeps_its_power(service: Service) -> None:
    """Nobody could ever log that it is resumed."""
    city = service.city
    kid, size = city.signer("operator").kid, city.ledger.size
    for act in ("suspend", "retire"):
        with pytest.raises(ServiceError, match="operator-key-last"):
            change_key(city, kid, act, CHIEFS[0])
    assert city.ledger.size == size
    service.clock.step(1)
    old, new = rotate(city, "operator", city.now())
    assert statement(city, change_key(city, old, "retire", CHIEFS[0])).kid == new


def test_between_proposal_and_approval_the_operators_other_key_goes(service: Service) -> None:
    """Each of two retirements could be done; both could not."""
    city, desk = service.city, ChangeDesk(service.city)
    _, new = rotate(city, "operator", city.now())
    changes = []
    for kid in (city.authorities.keys_of(f"{ORIGIN}/operator")[0].kid, new):
        facts = change_facts.key_changed(kid, "retire")
        changes.append(desk.propose(desk.draft(kinds.KEY_CHANGED, facts, officer("chief-1"))))
    first, second = (
        sign_approval(parse_proposal(each.proposal), at=city.now(), signer=officer("chief-2"))
        for each in changes
    )
    desk.approve(changes[0].id, first)
    with pytest.raises(ServiceError, match="operator-key-last"):
        desk.approve(changes[1].id, second)


# rotation


def test_a_rotation_takes_place_at_its_time(service: Service) -> None:
    city, midnight = service.city, NOW + 3_600
    old, new = rotate(city, "market", midnight)
    signed = []
    for number, at in enumerate((midnight - 1, midnight, midnight + 900, midnight + 901)):
        service.clock.now = at
        issued = issue(service, number)
        signed.append(statement(city, issued["index"]).kid)
        assert service.verify(issued["qr"])["colour"] == "green"
    assert signed == [old, new, new, new]
    shown = shown_key(service, old)
    assert (shown["state"], shown["replaced_by"]) == ("expired", new.hex())
    assert shown_key(service, new)["replaces"] == old.hex()


def test_a_new_key_that_is_lost_leaves_the_old_one_signing_through_the_overlap(
    service: Service,
) -> None:
    city = service.city
    old, _ = rotate(city, "market", NOW + 60, overlap=600)
    (city.settings.data / "custody" / "dept-market.2.zlkey").unlink()
    city.signers.look()
    service.clock.step(600)
    assert city.signer("market").kid == old
    service.clock.step(61)
    with pytest.raises(Refused, match="key-out-of-date"):
        city.signer("market")


def test_a_rotation_at_midnight_while_licences_are_being_issued(folder: Path) -> None:
    """Four threads in two processes; one of them learns of the rotation only by looking. No gap:
    every licence is issued, each by the key whose time it is."""
    midnight, clock = NOW + 3_600, Clock()
    cities = [open_copy(folder, clock) for _ in range(2)]
    old, new = rotate(cities[0], "market", midnight)
    clock.now = midnight - 5
    caller = Principal("test", "test", "market", frozenset({Role.CLERK}))
    type_ = cities[0].catalogue.licence_type("food-licence")
    indices: list[int] = []
    faults: list[ZhenglianError] = []
    each, numbers = 25, iter(range(1_000))
    names = [f"示例餐馆{number}" for number in range(4 * each)]

    def issue(city: City) -> None:
        licences = Licences(city)
        for _ in range(each):
            number = next(numbers)
            fields = {
                **sample("food-licence"),
                "name": names[number],
                "no": _food_number(10_000 + number),
            }
            fields["uscc"] = make_uscc("91339900", f"MB{number:06d}")
            try:
                indices.append(licences.issue(caller, type_, fields).index)
            except ZhenglianError as error:
                faults.append(error)
            if number % 10 == 9:
                clock.step(1)

    threads = [threading.Thread(target=issue, args=(cities[n % 2],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(set(indices)) == 4 * each
    signed = [statement(cities[0], index) for index in indices]
    assert {each.kid: each.issued_at < midnight for each in signed} == {old: True, new: False}
    assert all((each.kid == new) == (each.issued_at >= midnight) for each in signed)
    for city in cities:
        city.close()


# what another process did


def test_what_another_process_suspended_does_not_get_into_the_ledger(
    folder: Path, service: Service
) -> None:
    """Within the same second, before this process has looked again."""
    other, kid = open_copy(folder, service.clock), service.city.signer("market").kid
    service.issue()
    change_key(other, kid, "suspend")
    size = service.city.ledger.size
    for _ in range(2):
        problem_of(service.post("market", "/v1/licences", FOOD), "key-suspended", 403)
    assert service.city.ledger.size == size
    change_key(other, kid, "resume")
    service.clock.step(1)
    issue(service, 1)
    other.close()


@pytest.mark.parametrize("act", ["suspend", "retire"])
def test_a_change_between_signing_and_commit(
    folder: Path, service: Service, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """It is logged after this process asked the key for the last time outside a transaction."""
    other, kid = open_copy(folder, service.clock), service.city.signer("market").kid
    submit, done = service.city.ledger.submit, list[int]()

    def late(*args: Any) -> Any:
        if not done:
            done.append(change_key(other, kid, act))
        return submit(*args)

    monkeypatch.setattr(service.city.ledger, "submit", late)
    code = {"suspend": "key-suspended", "retire": "key-retired"}[act]
    problem_of(service.post("market", "/v1/licences", FOOD), code, 403)
    assert service.city.ledger.size == done[0] + 1
    other.close()


def test_a_change_that_does_not_touch_the_key_does_not_matter(
    folder: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, kid = open_copy(folder, service.clock), service.city.signer("health").kid
    submit, done = service.city.ledger.submit, list[int]()

    def late(*args: Any) -> Any:
        if not done:
            done.append(change_key(other, kid, "suspend", "health-1"))
        return submit(*args)

    monkeypatch.setattr(service.city.ledger, "submit", late)
    assert service.issue()["index"] == done[0] + 1
    other.close()


def test_signed_before_a_change_and_submitted_after_it(service: Service) -> None:
    """In the same process: what was prepared under a key that has lost its power is not logged."""
    licences, type_ = Licences(service.city), service.city.catalogue.licence_type("food-licence")
    prepared = licences.prepare(type_, sample("food-licence"))
    change_key(service.city, service.city.signer("market").kid, "suspend")
    size = service.city.ledger.size
    with pytest.raises(Refused, match="key-suspended"):
        licences.log([prepared], client="test")
    assert service.city.ledger.size == size


def test_an_overlap_that_is_over_is_not_agreed_upon(service: Service) -> None:
    """What the old key signed since would lose its force without anybody reporting the key."""
    licences, type_ = Licences(service.city), service.city.catalogue.licence_type("food-licence")
    prepared = licences.prepare(type_, sample("food-licence"))
    with pytest.raises(Refused, match="enrolment-malformed"):
        rotate(service.city, "market", NOW - 60, overlap=30)
    licences.log([prepared], client="test")


def test_signed_before_a_rotation_without_overlap_and_submitted_after_it(service: Service) -> None:
    """The key may not sign any more; what it signed in its time counts."""
    licences, type_ = Licences(service.city), service.city.catalogue.licence_type("food-licence")
    prepared = licences.prepare(type_, sample("food-licence"))
    service.clock.step(5)
    old, new = rotate(service.city, "market", service.city.now(), overlap=0)
    service.clock.step(1)
    (issued,) = licences.log([prepared], client="test")
    assert statement(service.city, issued.index).kid == old
    assert statement(service.city, issue(service, 1)["index"]).kid == new
    code = format_qr(issued.statement, issued.disclosures)
    assert service.verify(code)["colour"] == "green"


def test_signed_after_the_overlap_by_a_process_that_looks_no_more(
    folder: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look is the transaction's own."""
    other, kid = open_copy(folder, service.clock), service.city.signer("market").kid
    rotate(other, "market", NOW, overlap=10)
    service.clock.step(11)
    known = service.city.roll.known
    with monkeypatch.context() as patch:
        patch.setattr(service.city.roll, "current", lambda: known)
        problem_of(service.post("market", "/v1/licences", FOOD), "key-out-of-date", 403)
    assert statement(service.city, issue(service, 1)["index"]).kid != kid
    other.close()


# compromised


def test_a_compromise_and_what_it_leaves(service: Service) -> None:
    city, kid = service.city, service.city.signer("market").kid
    before = [issue(service, number) for number in range(3)]
    service.clock.step(DAY)
    since = city.now()
    assert first_entry_at(city, since) == city.ledger.size
    after = issue(service, 3)
    service.clock.step(DAY)
    facts = compromise_facts(city, kid, since)
    assert (facts["before"], facts["count"]) == (after["index"], 3)
    listed = signed_list(city, city.authorities.keys[kid], facts["before"])
    for issued in before:
        assert listed.holds(leaf_hash(city.ledger.entry(issued["index"])))
    assert not listed.holds(leaf_hash(city.ledger.entry(after["index"])))
    decide(city, kinds.KEY_CHANGED, facts, "market-1")
    colours = [service.verify(issued["qr"])["colour"] for issued in [*before, after]]
    assert colours == ["green", "green", "green", "red"]
    problem_of(service.post("market", "/v1/licences", FOOD), "key-compromised", 403)
    shown = shown_key(service, kid)
    assert (shown["state"], shown["compromise"]["count"]) == ("compromised", 3)
    with pytest.raises(Refused, match="key-not-enrolled"):
        compromise_facts(city, bytes(8), since)


# departments renamed, merged, closed


def test_a_renamed_department(service: Service) -> None:
    decide(service.city, kinds.DEPARTMENT_CHANGED, change_facts.renamed("market", "市监局", "SAMR"))
    listed = service.get(None, "/v1/departments").json()["departments"]
    (market,) = [each for each in listed if each["issuer"] == f"{ORIGIN}/market"]
    assert (market["zh"], market["en"]) == ("市监局", "SAMR")
    assert len(market["former_names"]) == 1
    service.issue()


def test_the_successor_of_a_merged_department(service: Service) -> None:
    """It signs what its predecessor signed, and acts on its records; its predecessor does not."""
    city = service.city
    old = service.issue()
    enrol_key(city, "health", change_facts.catalogue_scope(city, "market"))
    decide(city, kinds.DEPARTMENT_CHANGED, change_facts.merged("market", "health"))
    assert city.acting("market") == "health"
    problem_of(service.post("market", "/v1/licences", FOOD), "department-mismatch", 403)
    new = issue(service, 1, who="health")
    signed = statement(city, new["index"])
    assert signed.issuer == f"{ORIGIN}/health"
    assert service.verify(new["qr"])["colour"] == "green"
    assert service.verify(old["qr"])["colour"] == "green"
    body = {"state": "suspended", "reason": "ordered-to-stop"}
    path = f"/v1/licences/{old['record_id']}"
    problem_of(service.post("market", f"{path}/state", body), "department-mismatch", 403)
    changed = service.set_state(old["record_id"], "suspended", "ordered-to-stop", who="health")
    assert statement(city, changed["index"]).issuer == f"{ORIGIN}/health"
    assert service.verify(old["qr"])["colour"] == "red"
    assert service.get("health", path).status_code == 200
    problem_of(service.get("market", path), "department-mismatch", 403)
    listed = service.get("health", "/v1/licences").json()["licences"]
    assert {each["record_id"] for each in listed} >= {old["record_id"], new["record_id"]}
    assert service.get("market", "/v1/licences").json()["licences"] == []


def test_the_successor_renews_what_its_predecessor_issued(service: Service) -> None:
    city = service.city
    old = service.issue()
    enrol_key(city, "health", change_facts.catalogue_scope(city, "market"))
    decide(city, kinds.DEPARTMENT_CHANGED, change_facts.merged("market", "health"))
    body = {**FOOD, "renews": old["record_id"]}
    renewed = service.post("health", "/v1/licences", body)
    assert renewed.status_code == 201, renewed.text
    assert service.verify(renewed.json()["qr"])["colour"] == "green"


def test_a_closed_department_signs_nothing(service: Service) -> None:
    decide(service.city, kinds.DEPARTMENT_CHANGED, change_facts.closed("market"))
    problem_of(service.post("market", "/v1/licences", FOOD), "department-ended", 409)
    answer = service.post("operator", "/v1/departments/market/keys", {})
    problem_of(answer, "department-ended", 409)
    body = {"id": "late", "name": "迟到", "roles": ["clerk"], "department": "market"}
    problem_of(service.post("operator", "/v1/clients", body), "department-ended", 409)


# keys that this server holds, and which of them signs


def test_keys_elsewhere_are_left_alone(service: Service) -> None:
    """The newest key is on another server: this one goes on with its own while it may."""
    city = service.city
    lost, new = rotate(city, "market", city.now(), overlap=DAY)
    assert city.signer("market").kid == new
    (city.settings.data / "custody" / "dept-market.2.zlkey").unlink()
    city.signers.look()
    assert city.signer("market").kid == lost
    lose_keys(city, "market")
    with pytest.raises(ServiceError, match="signer-missing"):
        city.signer("market")


def test_a_start_opens_what_may_still_sign(folder: Path) -> None:
    city = open_copy(folder, Clock())
    count = len(city.signers)
    old, _ = rotate(city, "market", NOW, overlap=60)
    change_key(city, old, "retire")
    city.close()
    again = open_copy(folder, Clock())
    assert len(again.signers) == count
    again.close()


ED25519 = suite_named("ed25519")


@st.composite
def held_keys(draw: st.DrawFn) -> list[EnrolledKey]:
    keys = []
    for number in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, 30))
        keys.append(
            EnrolledKey(
                bytes([number]) * 8,
                f"{ORIGIN}/market",
                ED25519,
                bytes(32),
                frozenset(draw(st.sets(st.sampled_from("AB")))),
                start,
                draw(st.none() | st.integers(start, 40)),
                number,
                suspended=tuple(range(draw(st.integers(0, 2)))),
                retired=draw(st.sampled_from([None, None, None, Moment(9, 9)])),
            )
        )
    return keys


def signs(keys: list[EnrolledKey], type_code: str | None, at: int) -> EnrolledKey | None:
    """The slow twin: the rule in words, for one moment."""
    able = [key for key in keys if key.retired is None and len(key.suspended) != 1]
    able = [key for key in able if key.valid_from <= at]
    able = [key for key in able if key.valid_until is None or at <= key.valid_until]
    fit = [key for key in able if type_code in key.scope]
    best = None
    for key in fit if type_code is not None and fit else able:
        if best is None or (key.valid_from, key.index) > (best.valid_from, best.index):
            best = key
    return best


@given(held_keys(), st.sampled_from([None, "A", "B"]), st.integers(0, 45))
def test_which_key_signs_and_for_how_long(
    keys: list[EnrolledKey], type_code: str | None, at: int
) -> None:
    key, start, end = pick(keys, type_code, at)
    assert start <= at < end
    assert key == signs(keys, type_code, at)
    for moment in range(start, min(end, 50)):
        assert signs(keys, type_code, moment) == key
