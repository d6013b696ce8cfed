"""The list of what a compromised key signed, and issuing it anew under the new key."""

import csv
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from api import change_facts
from api.affected import Affected, Step, affected, affected_page, compromised_key, count_steps
from api.cli import main
from api.licences import Licences
from api.principals import Role
from api.resign import Outcome, Resigner, issue_again
from api.rules.days import iso_day
from api.tables import ACTS, LICENCES
from tests.api.leaks import (
    FOOD,
    enrol_successor,
    forged_licence,
    forged_state,
    issue_food,
    log_past_the_service,
    report_leak,
)
from tests.api.records import add_caller, audit_findings, penalty, record, statement_at
from tests.api.service import (
    DAY,
    Service,
    decide,
    enrol_key,
    open_copy,
    problem_of,
    sample,
)
from verifier.kinds import CREDIT, DEPARTMENT_CHANGED, LICENCE, LICENCE_STATE
from verifier.states import LAPSED, REVOKED, SUSPENDED, VALID


class Leak:
    """A key stolen on a day, licences from before and after, found out days later."""

    def __init__(self, service: Service, after: int = 3) -> None:
        city = self.city = service.city
        self.service = service
        self.stolen = city.signer("market")
        self.kid = self.stolen.kid
        self.before = [issue_food(service, number) for number in range(2)]
        service.clock.step(DAY)
        self.since = city.now()
        service.clock.step(60)
        self.after = [issue_food(service, number) for number in range(10, 10 + after)]

    def found_out(self) -> bytes:
        """Days later: told, and a new key enrolled, whose kid this is."""
        self.service.clock.step(5 * DAY)
        report_leak(self.city, self.kid, self.since)
        self.service.clock.step(60)
        return enrol_successor(self.city)

    def listed(self) -> list[Affected]:
        return list(affected(self.city, compromised_key(self.city, self.kid)))

    def steps(self) -> dict[Step, int]:
        return count_steps(self.listed())

    def resign(self, **options: Any) -> Outcome:
        return Resigner(Licences(self.city), self.kid, client="test", **options).run()

    def path(self, what: str) -> str:
        return f"/v1/keys/{self.kid.hex()}/{what}"

    def row(self, record_id: str) -> Any:
        return Licences(self.city).row(record_id)


@pytest.fixture
def leak(service: Service) -> Leak:
    return Leak(service)


# the list


def test_what_is_on_the_list(leak: Leak) -> None:
    """Licences, changes of state and credit entries since; nothing from before."""
    service = leak.service
    suspended = service.set_state(leak.before[0]["record_id"], "suspended", "penalty-suspension")
    credit = record(service, penalty())
    leak.found_out()
    listed = leak.listed()
    assert [(each.index, each.kind) for each in listed] == [
        *((each["index"], LICENCE) for each in leak.after),
        (suspended["index"], LICENCE_STATE),
        (credit["index"], CREDIT),
    ]
    assert all(each.own for each in listed)
    assert [each.state for each in listed] == ["valid"] * 3 + ["suspended", "recorded"]
    assert leak.steps() == {Step.RESIGN: 3, Step.CONFIRM: 1, Step.PERSON: 1}


def test_the_list_agrees_with_the_verdicts(leak: Leak) -> None:
    """The slow twin: an entry is listed exactly if its own code is red for the key."""
    leak.service.clock.step(60)
    late, _ = forged_licence(leak.city, leak.stolen, at=leak.city.now())
    log_past_the_service(leak.city, late)
    leak.found_out()
    service = leak.service
    red = [
        each["index"]
        for each in [*leak.before, *leak.after]
        if service.verify(each["qr"])["code"] == "key-compromised"
    ]
    assert [each.index for each in leak.listed() if each.own] == red
    assert [each.step for each in leak.listed()] == [Step.RESIGN] * 3 + [Step.FOREIGN]


def test_late_dates_before_the_index_are_listed(leak: Leak) -> None:
    """A thief may date ahead: logged before the leak's index, dated after its day."""
    city = leak.city
    key = city.authorities.keys[leak.kid]
    early, _ = forged_licence(city, leak.stolen, at=leak.since + 3 * DAY)
    (index,) = log_past_the_service(city, early)
    leak.service.clock.step(DAY)
    report_leak(city, leak.kid, city.now())
    assert city.authorities.keys[leak.kid].compromise.before > index  # type: ignore[union-attr]
    found = affected_page(city, city.authorities.keys[key.kid])
    assert [each.index for each in found.entries] == [index]


def test_what_a_thief_logged_is_told_from_ones_own(leak: Leak) -> None:
    city = leak.city
    licence, _ = forged_licence(city, leak.stolen, at=leak.since - DAY)  # dated back
    state = forged_state(
        city, leak.stolen, leak.before[0], REVOKED, "penalty-revocation", at=city.now()
    )
    indices = log_past_the_service(city, licence)
    indices += log_past_the_service(city, state, kind=LICENCE_STATE)
    leak.found_out()
    foreign = [each for each in leak.listed() if each.index in indices]
    assert [(each.own, each.step) for each in foreign] == [(False, Step.FOREIGN)] * 2
    assert foreign[0].state is None
    assert foreign[1].state == "valid"  # the books know of no revocation


def test_an_entry_that_only_names_the_key_is_not_its_own(leak: Leak) -> None:
    """A signature by somebody else, and bytes that are no statement at all."""
    city = leak.city
    statement, _ = forged_licence(city, leak.stolen, at=city.now())
    forged = statement[:-1] + bytes([statement[-1] ^ 1])
    log_past_the_service(city, forged, b"not a statement " + leak.kid)
    leak.found_out()
    assert leak.steps() == {Step.RESIGN: 3}


def test_pages_are_bounded_and_miss_nothing(leak: Leak) -> None:
    leak.found_out()
    key, found, start, pages = compromised_key(leak.city, leak.kid), list[int](), 0, 0
    following: int | None = start
    while following is not None:
        page = affected_page(leak.city, key, following, limit=2, most=5)
        assert len(page.entries) <= 2
        found += [each.index for each in page.entries]
        following, pages = page.next, pages + 1
    assert found == [each["index"] for each in leak.after]
    assert pages > leak.city.ledger.size // 5 // 2


def test_what_befalls_a_record_changes_what_is_to_be_done(leak: Leak) -> None:
    service = leak.service
    one, two, three = (each["record_id"] for each in leak.after)
    service.set_state(one, "deregistered", "holder-request")
    service.set_state(two, "suspended", "penalty-suspension")
    leak.found_out()
    assert [each.step for each in leak.listed()] == [
        Step.ENDED,
        Step.RESIGN,
        Step.RESIGN,
        Step.CONFIRM,  # who ended it counts no more
        Step.WITH_LICENCE,
    ]
    leak.resign()
    assert [each.step for each in leak.listed()] == [
        Step.ENDED,
        Step.DONE,
        Step.DONE,
        Step.FOLLOWED,
        Step.FOLLOWED,
    ]
    assert leak.row(three).state == LAPSED


def test_an_expired_licence_is_left_alone(service: Service) -> None:
    leak = Leak(service, after=1)
    day = service.city.now() // DAY
    fields = {"from": iso_day(day - 100), "until": iso_day(day + 2)}
    issue_food(service, 50, **fields)
    leak.found_out()
    assert leak.steps() == {Step.RESIGN: 1, Step.EXPIRED: 1}
    assert len(leak.resign().resigned) == 1


def test_a_key_that_is_not_compromised_has_no_list(service: Service) -> None:
    kid = service.city.signer("market").kid.hex()
    problem_of(service.get("operator", f"/v1/keys/{kid}/affected"), "key-not-compromised", 409)
    problem_of(service.post("market", f"/v1/keys/{kid}/resign", {}), "key-not-compromised", 409)
    unknown = f"/v1/keys/{'00' * 8}/affected"
    problem_of(service.get("operator", unknown), "key-not-enrolled", 422)


# over HTTP


def test_who_may_look(leak: Leak) -> None:
    leak.found_out()
    service, path = leak.service, leak.path("affected")
    for who in ("operator", "auditor", "clerk", "keeper"):
        assert service.get(who, path).status_code == 200
    problem_of(service.get("health", path), "department-mismatch", 403)
    problem_of(service.get("bank", path), "role-missing", 403)
    problem_of(service.get("company", path), "role-missing", 403)
    problem_of(service.get(None, path), "credentials-missing", 401)


def test_who_may_issue_anew(leak: Leak) -> None:
    leak.found_out()
    service, path, size = leak.service, leak.path("resign"), leak.city.ledger.size
    for who in ("operator", "auditor", "clerk"):
        problem_of(service.post(who, path, {}), "role-missing", 403)
    problem_of(service.post("health", path, {}), "department-mismatch", 403)
    assert leak.city.ledger.size == size
    assert service.post("keeper", path, {}).status_code == 200


def test_the_list_over_http(leak: Leak) -> None:
    leak.found_out()
    found, cursor = list[dict[str, Any]](), ""
    while cursor is not None:
        options = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = leak.service.get("auditor", leak.path("affected"), params=options).json()
        found += page["entries"]
        cursor = page["next"]
    assert [each["record_id"] for each in found] == [each["record_id"] for each in leak.after]
    assert {(each["step"], each["step_zh"], each["own"]) for each in found} == {
        ("resign", "待换发新证", True)
    }
    problem_of(
        leak.service.get("auditor", leak.path("affected") + "?cursor=x"), "cursor-invalid", 422
    )


def test_issuing_anew_over_http(leak: Leak) -> None:
    leak.found_out()
    service, path = leak.service, leak.path("resign")
    size = leak.city.ledger.size
    dry = service.post("keeper", path, {"dry_run": True}).json()
    assert (dry["found"], dry["resigned"], leak.city.ledger.size) == ({"resign": 3}, [], size)
    chosen = leak.after[1]["record_id"]
    answer = service.post("keeper", path, {"records": [chosen]}).json()
    assert [each["old"] for each in answer["resigned"]] == [chosen]
    resigned, cursor = list[dict[str, Any]](), None
    while True:
        body = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        answer = service.post("keeper", path, body).json()
        resigned += answer["resigned"]
        cursor = answer["next"]
        if cursor is None:
            break
    others = {each["record_id"] for each in leak.after} - {chosen}
    assert {each["old"] for each in resigned} == others
    again = service.post("keeper", path, {}).json()
    assert (again["resigned"], again["found"]) == ([], {"done": 3})
    problem_of(service.post("keeper", path, {"limit": 0}), "request-invalid", 422)
    problem_of(service.post("keeper", path, {"records": ["x"]}), "request-invalid", 422)


# issuing anew


def test_the_new_licence_and_the_old_one(leak: Leak) -> None:
    new_kid = leak.found_out()
    old = leak.after[0]
    outcome = leak.resign()
    assert [each.old for each in outcome.resigned] == [each["record_id"] for each in leak.after]
    done = outcome.resigned[0]
    service, city = leak.service, leak.city
    before, after = statement_at(service, old["index"]), statement_at(service, done.index)
    assert (before.kid, after.kid) == (leak.kid, new_kid)
    assert after.content.predecessor == bytes.fromhex(old["leaf"])
    for name in ("kind", "type_code", "valid_from", "valid_until", "digests"):
        assert getattr(after.content, name) == getattr(before.content, name)
    assert after.content.status != before.content.status
    ended = statement_at(service, _last_act(leak, old["record_id"]))
    assert (ended.content.state, ended.content.reason) == (LAPSED, "key-compromised")
    assert (ended.kid, ended.content.predecessor) == (new_kid, before.leaf)
    # the answers name each other
    shown_old = service.get("market", f"/v1/licences/{old['record_id']}").json()
    shown_new = service.get("market", f"/v1/licences/{done.new}").json()
    assert (shown_old["renewed_by"], shown_new["renews"]) == (done.new, old["record_id"])
    assert (shown_old["renews"], shown_new["renewed_by"]) == (None, None)
    assert (shown_old["state"], shown_new["state"]) == ("lapsed", "valid")
    assert shown_new["version"] == shown_old["version"] + 1
    assert shown_new["identifier"] != shown_old["identifier"]
    assert shown_new["fields"] == shown_old["fields"]
    # what the holder has stays good
    assert shown_new["disclosures"] == shown_old["disclosures"]
    assert service.verify(old["qr"])["code"] == "key-compromised"
    code = service.get("market", f"/v1/licences/{done.new}/qr?format=text").text
    assert service.verify(code)["colour"] == "green"
    assert audit_findings(service) == []
    assert city.acting("market") == "market"


def _last_act(leak: Leak, record_id: str) -> int:
    return int(Licences(leak.city).acts(record_id)[-1].idx)


def test_the_holder_is_told_where_the_new_one_is(leak: Leak) -> None:
    service = leak.service
    mine = service.issue("business-licence", uscc=sample(FOOD)["uscc"])
    leak.found_out()
    leak.resign()
    found = service.get("company", "/v1/me/licences").json()["licences"]
    by_id = {each["record_id"]: each for each in found}
    successor = by_id[by_id[mine["record_id"]]["renewed_by"]]
    assert (successor["state"], by_id[mine["record_id"]]["state"]) == ("valid", "lapsed")


def test_a_suspended_licence_stays_suspended(leak: Leak) -> None:
    service = leak.service
    old = leak.after[0]["record_id"]
    service.set_state(old, "suspended", "penalty-suspension")
    leak.found_out()
    done = next(each for each in leak.resign().resigned if each.old == old)
    row = leak.row(done.new)
    assert row.state == SUSPENDED
    acts = Licences(leak.city).acts(done.new)
    assert [(act.state, act.reason) for act in acts] == [(SUSPENDED, "penalty-suspension")]
    code = service.get("market", f"/v1/licences/{done.new}/qr?format=text").text
    assert service.verify(code)["code"] == "status-suspended"
    service.set_state(done.new, "valid", "suspension-ended")
    assert service.verify(code)["colour"] == "green"
    assert audit_findings(service) == []


def test_an_act_on_a_licence_that_counts_is_signed_again(leak: Leak) -> None:
    service, (one, two) = leak.service, (each["record_id"] for each in leak.before)
    service.set_state(one, "suspended", "penalty-suspension")
    service.set_state(two, "revoked", "penalty-revocation")
    new_kid = leak.found_out()
    assert {code for code, _ in audit_findings(service)} == {"audit-signed-while-compromised"}
    outcome = leak.resign()
    assert outcome.confirmed == [one, two]
    for record_id, state in ((one, SUSPENDED), (two, REVOKED)):
        act = statement_at(service, _last_act(leak, record_id))
        assert (act.kid, act.content.state, act.content.reason) == (new_kid, state, "signed-again")
        assert leak.row(record_id).state == state
    assert audit_findings(service) == []
    assert leak.resign().confirmed == []


def test_a_licence_that_the_key_issued_and_ended(leak: Leak) -> None:
    """It stays ended; the act that ended it is signed again, and the audit is content."""
    leak.service.set_state(leak.after[0]["record_id"], "revoked", "penalty-revocation")
    leak.found_out()
    outcome = leak.resign()
    assert (len(outcome.resigned), len(outcome.confirmed)) == (2, 1)
    assert leak.row(leak.after[0]["record_id"]).state == REVOKED
    assert audit_findings(leak.service) == []


def test_nobody_asks_for_signed_again_by_hand(leak: Leak) -> None:
    body = {"state": "valid", "reason": "signed-again"}
    path = f"/v1/licences/{leak.before[0]['record_id']}/state"
    problem_of(leak.service.post("market", path, body), "reason-does-not-fit", 422)


def test_a_type_that_does_not_lapse_is_renewed_all_the_same(leak: Leak) -> None:
    """A degree does not lapse: the old certificate is not ended, only followed by the new one."""
    city, service = leak.city, leak.service
    type_ = city.catalogue.licence_type("degree")
    stolen = city.signer(type_.issuer)
    if type_.issuer not in ("market", "health", "police"):
        roles = (Role.CLERK, Role.SEAL_KEEPER)
        add_caller(service, type_.issuer, *roles, department=type_.issuer)
    old = service.issue("degree")
    report_leak(city, stolen.kid, city.now(), type_.issuer)
    service.clock.step(60)
    enrol_successor(city, type_.issuer)
    (done,) = Resigner(Licences(city), stolen.kid, client="test").run().resigned
    assert (done.old, leak.row(done.old).state) == (old["record_id"], VALID)
    assert leak.row(done.old).renewed_by == done.new
    assert Resigner(Licences(city), stolen.kid, client="test").run().resigned == []
    assert service.verify(old["qr"])["code"] == "key-compromised"


def test_without_a_new_key_nothing_is_signed(leak: Leak) -> None:
    report_leak(leak.city, leak.kid, leak.since)
    size = leak.city.ledger.size
    problem_of(leak.service.post("keeper", leak.path("resign"), {}), "resign-key-missing", 409)
    assert leak.city.ledger.size == size


def test_a_new_key_without_the_type_leaves_it(leak: Leak) -> None:
    city = leak.city
    report_leak(city, leak.kid, leak.since)
    other = city.catalogue.licence_type("business-licence").code
    enrol_key(city, "market", [other])
    outcome = leak.resign()
    assert [left.code for left in outcome.left] == ["key-out-of-scope"] * 3
    assert outcome.resigned == []
    assert leak.steps() == {Step.RESIGN: 3}


def test_the_successor_of_a_merged_department_issues_anew(leak: Leak) -> None:
    city, service = leak.city, leak.service
    service.clock.step(DAY)
    report_leak(city, leak.kid, leak.since)
    enrol_key(city, "health", sorted(city.authorities.keys[leak.kid].scope))
    decide(city, DEPARTMENT_CHANGED, change_facts.merged("market", "health"))
    problem_of(service.post("keeper", leak.path("resign"), {}), "department-mismatch", 403)
    answer = service.post("health", leak.path("resign"), {})
    assert len(answer.json()["resigned"]) == 3
    for each in answer.json()["resigned"]:
        code = service.get("health", f"/v1/licences/{each['new']}/qr?format=text").text
        assert service.verify(code)["colour"] == "green"
    assert audit_findings(service) == []


# erasure: the old and the new licence hold the same digests and salts


def erase(leak: Leak, record_id: str, reason: str) -> Any:
    return leak.service.post("keeper", f"/v1/licences/{record_id}/erase", {"reason": reason})


def test_the_old_one_is_not_erased_while_the_new_one_is_in_force(leak: Leak) -> None:
    leak.found_out()
    done = leak.resign().resigned[0]
    size = leak.city.ledger.size
    problem_of(erase(leak, done.old, "purpose-ended"), "erasure-too-early", 409)
    assert leak.city.ledger.size == size
    assert leak.row(done.old).wrapped_key is not None


@pytest.mark.parametrize("which", ["old", "new"])
def test_the_erasure_of_one_is_that_of_both(leak: Leak, which: str) -> None:
    leak.found_out()
    done = leak.resign().resigned[0]
    answer = erase(leak, getattr(done, which), "unlawful-processing")
    assert answer.status_code == 200, answer.text
    for record_id in (done.old, done.new):
        row = leak.row(record_id)
        assert (row.wrapped_key, row.box) == (None, None)
        problem_of(leak.service.get("market", f"/v1/licences/{record_id}"), "record-erased", 410)
    assert answer.json()["record_id"] == getattr(done, which)
    assert leak.steps() == {Step.DONE: 2, Step.ERASED: 1}
    assert audit_findings(leak.service) == []


def test_one_that_was_issued_anew_twice(leak: Leak) -> None:
    """The second key leaks as well: three licences hold the same, and go together."""
    leak.found_out()
    first = leak.resign().resigned[0]
    second = leak.city.signer("market")
    leak.service.clock.step(DAY)
    report_leak(leak.city, second.kid, leak.row(first.new).issued_at)
    leak.service.clock.step(60)
    enrol_successor(leak.city)
    again = Resigner(Licences(leak.city), second.kid, client="test").run().resigned
    (last,) = (each for each in again if each.old == first.new)
    assert leak.row(last.new).version == 3
    assert erase(leak, first.new, "unlawful-processing").status_code == 200
    assert all(leak.row(each).box is None for each in (first.old, first.new, last.new))
    assert audit_findings(leak.service) == []


# killed, repeated, at once


def test_killed_after_any_commit_and_run_again(leak: Leak, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies when the transaction is durable and nobody has been told."""
    leak.found_out()
    submit = leak.city.ledger.submit

    def dies(*args: Any) -> Any:
        submit(*args).result()
        raise KeyboardInterrupt

    for _ in leak.after:
        with monkeypatch.context() as patch:
            patch.setattr(leak.city.ledger, "submit", dies)
            with pytest.raises(KeyboardInterrupt):
                _one_by_one(leak)
    assert leak.resign().resigned == []
    assert leak.steps() == {Step.DONE: 3}
    _none_twice(leak, 3)


def _one_by_one(leak: Leak) -> None:
    resigner = Resigner(Licences(leak.city), leak.kid, client="test")
    following: int | None = 0
    while following is not None:
        following = resigner.page(following, limit=1).next


def _none_twice(leak: Leak, count: int) -> None:
    """Every affected licence has exactly one successor, and the ledger no other."""
    with leak.city.store.read() as reader:
        rows = reader.connection.execute(select(LICENCES)).all()
        acts = reader.connection.execute(select(ACTS)).all()
    successors = [row.renewed_by for row in rows if row.renewed_by is not None]
    assert len(successors) == len(set(successors)) == count
    assert len(rows) == len(leak.before) + 2 * count
    assert len(acts) == count
    assert audit_findings(leak.service) == []


def test_two_at_once(leak: Leak, folder: Path) -> None:
    """Two processes: what one was faster with, the other leaves."""
    leak.found_out()
    other = open_copy(folder, leak.service.clock)
    resigners = [Resigner(Licences(city), leak.kid, client="test") for city in (leak.city, other)]
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(Resigner.run, resigners))
    other.close()
    assert sum(len(outcome.resigned) for outcome in outcomes) == 3
    _none_twice(leak, 3)


def test_changed_between_the_look_and_the_commit(
    leak: Leak, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is deregistered meanwhile: it is left and said so, the others are done."""
    leak.found_out()
    victim, size = leak.after[1]["record_id"], leak.city.ledger.size
    submit, done = leak.city.ledger.submit, list[int]()

    def late(*args: Any) -> Any:
        if not done:
            done.append(1)
            leak.service.set_state(victim, "deregistered", "holder-request")
        return submit(*args)

    monkeypatch.setattr(leak.city.ledger, "submit", late)
    outcome = leak.resign()
    assert [(left.entry.record_id, left.code) for left in outcome.left] == [
        (victim, "licence-changed-meanwhile")
    ]
    assert len(outcome.resigned) == 2
    assert leak.city.ledger.size == size + 1 + 4
    assert leak.row(victim).renewed_by is None


def test_a_batch_with_one_that_collides(leak: Leak) -> None:
    """The identifier of its next version is taken: the others are not held up."""
    leak.found_out()
    taken = Licences(leak.city).row(leak.after[1]["record_id"])
    wanted = issue_again(Licences(leak.city), taken).row["identifier_nym"]
    with leak.city.store.write() as writer:
        first = leak.before[0]["record_id"]
        writer.connection.execute(
            LICENCES.update().where(LICENCES.c.record_id == first).values(identifier_nym=wanted)
        )
        writer.commit()
    outcome = leak.resign()
    assert [left.code for left in outcome.left] == ["licence-exists"]
    assert len(outcome.resigned) == 2


def test_a_stop_is_asked_for_before_each_page(leak: Leak) -> None:
    leak.found_out()
    size = leak.city.ledger.size
    outcome = Resigner(Licences(leak.city), leak.kid, client="test").run(stop=lambda: True)
    assert (outcome.next, outcome.resigned, leak.city.ledger.size) == (0, [], size)


# the commands


@pytest.fixture
def zhenglian(leak: Leak, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command over the same city, as a second process would run it; its exit status."""

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["zhenglian", *words])
        monkeypatch.setattr(
            "api.commands.compromise.opened", lambda: open_copy(folder, leak.service.clock)
        )
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    monkeypatch.setenv("COLUMNS", "110")
    return run


def test_the_printed_list(
    leak: Leak, zhenglian: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    leak.service.set_state(leak.before[0]["record_id"], "suspended", "penalty-suspension")
    leak.found_out()
    table, array = tmp_path / "list.csv", tmp_path / "list.json"
    kid = leak.kid.hex()
    files = ("--csv", str(table), "--json", str(array))
    assert zhenglian("key", "affected", kid, "--rows", "2", *files) == 0
    printed = capsys.readouterr().out
    for text in (kid, "市场监督管理局", "2026-09-23 10:20 起", "食品经营许可证", "待换发新证"):
        assert text in printed
    assert leak.after[0]["record_id"] in printed
    assert leak.after[2]["record_id"] not in printed
    assert "另有 2 条未列出" in printed
    assert "共 4 条" in printed
    assert f"zhenglian key resign {kid}" in printed
    text = table.read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    listed = [*leak.after, leak.before[0]]
    assert [row["record_id"] for row in rows] == [each["record_id"] for each in listed]
    assert [row["step"] for row in rows] == ["resign"] * 3 + ["confirm"]
    found = json.loads(array.read_text(encoding="utf-8"))
    assert [each["index"] for each in found] == [int(row["index"]) for row in rows]
    assert table.stat().st_mode & 0o077 == 0


def test_issuing_anew_by_command(
    leak: Leak, zhenglian: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    leak.found_out()
    kid, size = leak.kid.hex(), leak.city.ledger.size
    assert zhenglian("key", "resign", kid, "--dry-run") == 0
    assert "试运行" in capsys.readouterr().out
    assert leak.city.ledger.size == size
    listed, pairs = tmp_path / "list.csv", tmp_path / "pairs.csv"
    zhenglian("key", "affected", kid, "--csv", str(listed))
    lines = listed.read_text(encoding="utf-8").splitlines(keepends=True)
    listed.write_text("".join(lines[:3]), encoding="utf-8")  # the head and two of three
    assert zhenglian("key", "resign", kid, "--records", str(listed), "--csv", str(pairs)) == 0
    rows = list(csv.DictReader(pairs.read_text(encoding="utf-8-sig").splitlines()))
    assert [row["old"] for row in rows] == [each["record_id"] for each in leak.after[:2]]
    assert all(leak.row(row["old"]).renewed_by == row["new"] for row in rows)
    capsys.readouterr()
    assert zhenglian("key", "resign", kid) == 0
    printed = capsys.readouterr().out
    assert "1  已换发新证" in printed
    assert "2  已有新证" in printed
    assert audit_findings(leak.service) == []


def test_what_the_commands_refuse(
    leak: Leak, zhenglian: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_text("record_id\nnot a record\n", encoding="utf-8")
    leak.found_out()
    for words, code in (
        (("affected", "xyz"), "request-invalid"),
        (("affected", "00" * 8), "key-not-enrolled"),
        (("resign", enrol_successor(leak.city).hex()), "key-not-compromised"),
        (("resign", leak.kid.hex(), "--records", str(bad)), "resign-list-malformed"),
    ):
        assert zhenglian("key", *words) == 2
        assert f"[{code}]" in capsys.readouterr().err


def test_what_could_not_be_done_is_said(
    leak: Leak, zhenglian: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    city = leak.city
    report_leak(city, leak.kid, leak.since)
    enrol_key(city, "market", [city.catalogue.licence_type("business-licence").code])
    assert zhenglian("key", "resign", leak.kid.hex()) == 1
    printed = capsys.readouterr().out
    assert "3  未能办理" in printed
    assert "[key-out-of-scope]" in printed
