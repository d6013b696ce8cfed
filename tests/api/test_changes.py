"""Changes of authority at the desk and over HTTP: two officers, one statement, each refusal."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api import change_facts, change_words
from api.changes import ChangeDesk
from api.city import City
from api.keymaking import make_key
from keys.signer import Signer
from ledger.errors import LedgerError
from tests.api.service import (
    CHIEFS,
    DAY,
    ORIGIN,
    Clock,
    Service,
    card,
    decide,
    enrol_department,
    officer,
    open_copy,
    problem_of,
)
from verifier import kinds
from verifier.change import parse_change, parse_proposal, sign_approval, sign_proposal
from verifier.codec import b64decode, b64encode
from verifier.errors import Refused
from verifier.statement import parse_statement
from verifier.times import CLOCK_SKEW, MAX_TIME

USCC = "11339900MB9900902P"
ONE, TWO = CHIEFS


def department_facts(slug: str = "archives") -> dict[str, Any]:
    return change_facts.department(slug, "档案局", "Archives", USCC, [card(f"{slug}-1", slug)])


def key_facts(city: City, slug: str = "market", **changes: Any) -> dict[str, Any]:
    made = make_key(city, slug, "es256")
    scope = change_facts.catalogue_scope(city, slug)
    return {**change_facts.key(slug, made.key, made.pop, scope, city.now()), **changes}


def draft(service: Service, kind: int, facts: dict[str, Any], by: str = ONE) -> bytes:
    return ChangeDesk(service.city).draft(kind, facts, officer(by))


def approval(service: Service, proposal: bytes, by: str = TWO) -> bytes:
    return sign_approval(parse_proposal(proposal), at=service.city.now(), signer=officer(by))


def propose(service: Service, raw: bytes, who: str = "operator", **options: Any) -> Any:
    return service.post(who, "/v1/changes", {"cose": b64encode(raw)}, **options)


def approve(
    service: Service, change_id: str, raw: bytes, who: str = "operator", **options: Any
) -> Any:
    path = f"/v1/changes/{change_id}/approval"
    return service.post(who, path, {"cose": b64encode(raw)}, **options)


def proposed(service: Service, kind: int, facts: dict[str, Any], by: str = ONE) -> Any:
    answer = propose(service, draft(service, kind, facts, by))
    assert answer.status_code == 201, answer.text
    return answer.json()


def suspend(service: Service, slug: str = "market") -> dict[str, Any]:
    return change_facts.key_changed(service.city.signer(slug).kid, "suspend")


# the ordinary way


def test_a_change_from_proposal_to_ledger(service: Service) -> None:
    size = service.city.ledger.size
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    shown = propose(service, raw).json()
    assert (shown["state"], shown["kind"], shown["concerns"]) == ("open", "department", "operator")
    assert (shown["proposer"], shown["approver"], shown["index"]) == (ONE, None, None)
    assert "档案局" in shown["summary_zh"]
    assert "Archives" in shown["summary_en"]
    assert b64decode(shown["proposal"], max_bytes=99_999) == raw
    assert service.city.ledger.size == size
    assert f"{ORIGIN}/archives" not in service.city.authorities.departments
    second = approval(service, raw)
    answer = approve(service, shown["id"], second)
    assert answer.status_code == 200, answer.text
    logged = answer.json()
    assert (logged["state"], logged["approver"], logged["index"]) == ("logged", TWO, size)
    statement = parse_statement(service.city.ledger.entry(size))
    parsed = parse_change(statement.content)
    assert [part.raw for part in parsed] == [raw, second]
    assert f"{ORIGIN}/archives" in service.city.authorities.departments
    assert service.get("auditor", f"/v1/changes/{shown['id']}").json() == logged


def test_bytes_instead_of_json(service: Service) -> None:
    headers = {"Content-Type": "application/cose"}
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    answer = service.call("operator", "POST", "/v1/changes", content=raw, headers=headers)
    assert answer.status_code == 201, answer.text
    path = f"/v1/changes/{answer.json()['id']}/approval"
    second = approval(service, raw)
    assert service.call("keeper", "POST", path, content=second, headers=headers).is_success
    plain = {"Content-Type": "text/plain"}
    answer = service.call("operator", "POST", "/v1/changes", content=raw, headers=plain)
    problem_of(answer, "media-type-unsupported", 415)
    problem_of(service.post("operator", "/v1/changes", {"other": ""}), "request-invalid", 422)
    problem_of(service.post("operator", "/v1/changes", {"cose": "!"}), "base64-malformed", 422)
    problem_of(service.post("operator", "/v1/changes", {"cose": "AAAA"}), "cose-malformed", 422)


def test_the_same_proposal_again_is_the_same_change(service: Service) -> None:
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    first, second = propose(service, raw).json(), propose(service, raw).json()
    assert first == second
    assert len(service.get("operator", "/v1/changes?state=open").json()["changes"]) == 1


def test_a_repeated_request_gets_the_same_answer(service: Service) -> None:
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    key = {"Idempotency-Key": "one"}
    shown = propose(service, raw, headers=key).json()
    second = approval(service, raw)
    key = {"Idempotency-Key": "two"}
    answers = [approve(service, shown["id"], second, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert [each.headers["idempotency-replayed"] for each in answers] == ["false", "true"]
    other = approve(service, shown["id"], approval(service, raw, "market-1"), headers=key)
    problem_of(other, "idempotency-key-reused", 422)
    again = propose(service, raw, headers={"Idempotency-Key": "one"})
    assert (again.json(), again.headers["idempotency-replayed"]) == (shown, "true")


def test_lists_are_paged_and_filtered(service: Service) -> None:
    ids = [
        proposed(service, kinds.DEPARTMENT, department_facts(f"office-{number}"))["id"]
        for number in range(5)
    ]
    path, seen = "/v1/changes?state=open&limit=2", list[str]()
    cursor: str | None = ""
    while cursor is not None:
        page = service.get("operator", path + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [change["id"] for change in page["changes"]]
        cursor = page["next"]
    assert seen == ids[::-1]
    logged = service.get("operator", "/v1/changes?state=logged&limit=200").json()["changes"]
    assert len(logged) == 28  # fourteen departments with a key each
    assert {each["state_zh"] for each in logged} == {"已入账"}
    problem_of(service.get("operator", "/v1/changes?cursor=x"), "cursor-invalid", 422)
    problem_of(service.get("operator", "/v1/changes?state=lost"), "request-invalid", 422)


@pytest.mark.parametrize("who", ["bank", "company", "credit-centre"])
def test_who_has_no_business_here(service: Service, who: str) -> None:
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    problem_of(propose(service, raw, who), "role-missing", 403)
    problem_of(service.get(who, "/v1/changes"), "role-missing", 403)
    shown = propose(service, raw).json()
    path = f"/v1/changes/{shown['id']}"
    problem_of(service.get(who, path), "role-missing", 403)
    problem_of(approve(service, shown["id"], approval(service, raw), who), "role-missing", 403)
    problem_of(service.call(who, "DELETE", path), "role-missing", 403)
    problem_of(service.get(None, path), "credentials-missing", 401)


def test_officers_are_listed(service: Service) -> None:
    officers = {each["id"]: each for each in service.get(None, "/v1/officers").json()["officers"]}
    assert {ONE, TWO, "market-1", "market-2"} <= officers.keys()
    assert officers["market-1"]["of"] == "market"
    assert officers["market-1"]["kid"] == officer("market-1").kid.hex()
    index = decide(service.city, kinds.OFFICER_LEFT, {"id": "market-2"})
    officers = {each["id"]: each for each in service.get(None, "/v1/officers").json()["officers"]}
    assert officers["market-2"]["left"]["index"] == index
    assert officers["market-1"]["left"] is None


# what is refused when it is proposed


def foreign(service: Service) -> bytes:
    at = service.city.now()
    return sign_proposal(
        kinds.DEPARTMENT,
        department_facts(),
        origin="other.example",
        at=at,
        before=at + DAY,
        nonce=bytes(16),
        signer=officer(ONE),
    )


def forged(service: Service) -> bytes:
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    return raw[:-1] + bytes([raw[-1] ^ 1])


def of_one_who_left(service: Service) -> bytes:
    decide(service.city, kinds.OFFICER_LEFT, {"id": "market-2"})
    return draft(service, kinds.KEY_CHANGED, suspend(service), "market-2")


def early(service: Service) -> bytes:
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    service.clock.step(-CLOCK_SKEW - 1)
    return raw


def late(service: Service) -> bytes:
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    service.clock.step(7 * DAY + 1)
    return raw


def same_names(service: Service) -> bytes:
    known = service.city.authorities.departments[f"{ORIGIN}/market"]
    facts = change_facts.renamed("market", known.zh, known.en)
    return draft(service, kinds.DEPARTMENT_CHANGED, facts)


def taken_code(service: Service) -> bytes:
    known = service.city.authorities.departments[f"{ORIGIN}/market"]
    return draft(service, kinds.DEPARTMENT, {**department_facts(), "uscc": known.uscc})


def into_none(service: Service) -> bytes:
    decide(service.city, kinds.DEPARTMENT, department_facts())
    return draft(service, kinds.DEPARTMENT_CHANGED, change_facts.merged("market", "archives"))


def far_away(service: Service) -> bytes:
    facts = change_facts.rotation(key_facts(service.city), officer_key(service), 900)
    return draft(service, kinds.KEY, {**facts, "overlap": MAX_TIME}, "market-1")


def with_stolen_key(service: Service) -> bytes:
    """The proof of possession is for another department."""
    facts = key_facts(service.city, "health")
    return draft(service, kinds.KEY, {**facts, "dept": "market"}, "market-1")


def resume_what_runs(service: Service) -> bytes:
    facts = change_facts.key_changed(service.city.signer("market").kid, "resume")
    return draft(service, kinds.KEY_CHANGED, facts, "market-1")


def key_for_nobody(service: Service) -> bytes:
    facts = {**key_facts(service.city), "dept": "navy"}
    return draft(service, kinds.KEY, facts)


def unknown_type(service: Service) -> bytes:
    return draft(service, kinds.KEY, key_facts(service.city, scope=["dog"]), "market-1")


def wrong_list(service: Service) -> bytes:
    facts = {
        "key": service.city.signer("market").kid,
        "act": "compromise",
        "since": service.city.now(),
        "before": service.city.ledger.size,
        "count": 1,
        "signed": bytes(32),
    }
    return draft(service, kinds.KEY_CHANGED, facts, "market-1")


def last_of_two(service: Service) -> bytes:
    return draft(service, kinds.OFFICER_LEFT, {"id": ONE}, TWO)


@pytest.mark.parametrize(
    ("make", "code", "status"),
    [
        (foreign, "change-foreign", 422),
        (forged, "change-bad-signature", 422),
        (
            lambda s: draft(s, kinds.DEPARTMENT, department_facts(), "stranger"),
            "officer-unknown",
            403,
        ),
        (of_one_who_left, "officer-not-in-office", 403),
        (
            lambda s: draft(s, kinds.DEPARTMENT, department_facts(), "market-1"),
            "officer-not-entitled",
            403,
        ),
        (
            lambda s: draft(s, kinds.KEY_CHANGED, suspend(s), "health-1"),
            "officer-not-entitled",
            403,
        ),
        (early, "change-from-future", 409),
        (same_names, "department-names-unchanged", 409),
        (taken_code, "department-uscc-taken", 409),
        (into_none, "merge-key-missing", 409),
        (far_away, "enrolment-malformed", 422),
        (late, "change-too-late", 409),
        (with_stolen_key, "enrolment-no-possession", 422),
        (resume_what_runs, "key-change-impossible", 409),
        (key_for_nobody, "enrolment-unknown-department", 404),
        (unknown_type, "catalogue-unknown-type", 404),
        (wrong_list, "change-list-differs", 409),
        (last_of_two, "officers-too-few", 409),
        (
            lambda s: draft(s, kinds.DEPARTMENT, department_facts("market")),
            "enrolment-repeated",
            409,
        ),
        (
            lambda s: draft(s, kinds.DEPARTMENT, {**department_facts(), "uscc": "1"}),
            "code-uscc-invalid",
            422,
        ),
        (
            lambda s: draft(s, kinds.DEPARTMENT, {**department_facts(), "uscc": USCC.lower()}),
            "code-uscc-invalid",
            422,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_not_even_proposed(
    service: Service, make: Callable[[Service], bytes], code: str, status: int
) -> None:
    raw, size = make(service), service.city.ledger.size
    problem_of(propose(service, raw), code, status)
    assert ChangeDesk(service.city).changes(state="open") == []
    assert service.city.ledger.size == size


# what is refused when it is approved


def test_nobody_approves_their_own_proposal(service: Service) -> None:
    shown = proposed(service, kinds.DEPARTMENT, department_facts())
    raw = b64decode(shown["proposal"], max_bytes=99_999)
    size = service.city.ledger.size
    own = approve(service, shown["id"], approval(service, raw, ONE))
    problem_of(own, "change-own-approval", 403)
    assert service.city.ledger.size == size
    assert approve(service, shown["id"], approval(service, raw)).json()["state"] == "logged"


def test_a_replayed_approval(service: Service) -> None:
    """Of a suspension that was lifted since: it must not take effect a second time."""
    shown = proposed(service, kinds.KEY_CHANGED, suspend(service), "market-1")
    second = approval(service, b64decode(shown["proposal"], max_bytes=99_999))
    assert approve(service, shown["id"], second).json()["state"] == "logged"
    kid = officer_key(service)
    decide(service.city, kinds.KEY_CHANGED, change_facts.key_changed(kid, "resume"), "market-1")
    size = service.city.ledger.size
    problem_of(approve(service, shown["id"], second), "change-replayed", 409)
    other = approval(service, b64decode(shown["proposal"], max_bytes=99_999), "market-2")
    problem_of(approve(service, shown["id"], other), "change-replayed", 409)
    assert service.city.ledger.size == size
    assert not service.city.authorities.keys[kid].is_suspended


def officer_key(service: Service, slug: str = "market") -> bytes:
    (key,) = service.city.authorities.keys_of(f"{ORIGIN}/{slug}")
    return key.kid


def test_a_proposal_that_took_effect_cannot_come_again_through_another_desk(
    service: Service,
) -> None:
    """The row of the first was lost with a table: the ledger still knows."""
    shown = proposed(service, kinds.KEY_CHANGED, suspend(service), "market-1")
    raw = b64decode(shown["proposal"], max_bytes=99_999)
    approve(service, shown["id"], approval(service, raw))
    with service.city.store.write() as writer:
        writer.connection.exec_driver_sql("DELETE FROM changes")
        writer.commit()
    problem_of(propose(service, raw), "change-replayed", 409)


def test_an_approval_of_another_proposal(service: Service) -> None:
    """The proposal was changed after the approval, or the approval is of another one."""
    first = draft(service, kinds.DEPARTMENT, department_facts())
    changed = draft(service, kinds.DEPARTMENT, {**department_facts(), "zh": "档案总局"})
    shown = propose(service, changed).json()
    size = service.city.ledger.size
    answer = approve(service, shown["id"], approval(service, first))
    problem_of(answer, "change-altered", 409)
    assert service.city.ledger.size == size


@pytest.mark.parametrize(
    ("by", "code"),
    [
        ("stranger", "officer-unknown"),
        ("health-1", "officer-not-entitled"),
        ("market-1", "officer-not-entitled"),
    ],
)
def test_who_may_not_approve_a_department(service: Service, by: str, code: str) -> None:
    shown = proposed(service, kinds.DEPARTMENT, department_facts())
    raw = b64decode(shown["proposal"], max_bytes=99_999)
    problem_of(approve(service, shown["id"], approval(service, raw, by)), code, 403)


def test_power_for_a_key_takes_an_officer_of_the_department(service: Service) -> None:
    shown = proposed(service, kinds.KEY, key_facts(service.city))
    raw = b64decode(shown["proposal"], max_bytes=99_999)
    answer = approve(service, shown["id"], approval(service, raw))
    problem_of(answer, "change-needs-own-officer", 403)
    assert approve(service, shown["id"], approval(service, raw, "market-2")).is_success


def test_an_approval_that_is_none(service: Service) -> None:
    shown = proposed(service, kinds.DEPARTMENT, department_facts())
    raw = b64decode(shown["proposal"], max_bytes=99_999)
    second = approval(service, raw)
    broken = second[:-1] + bytes([second[-1] ^ 1])
    problem_of(approve(service, shown["id"], broken), "change-bad-signature", 422)
    problem_of(approve(service, shown["id"], raw), "cose-wrong-type", 422)
    problem_of(approve(service, "0" * 64, second), "change-unknown", 404)
    problem_of(approve(service, "0" * 63, second), "request-invalid", 422)
    problem_of(service.get("operator", f"/v1/changes/{'0' * 64}"), "change-unknown", 404)


def test_a_proposal_lapses(service: Service) -> None:
    shown = proposed(service, kinds.DEPARTMENT, department_facts())
    raw = b64decode(shown["proposal"], max_bytes=99_999)
    in_time = approval(service, raw)
    service.clock.step(7 * DAY)
    assert service.get("operator", f"/v1/changes/{shown['id']}").json()["state"] == "open"
    service.clock.step(1)
    seen = service.get("operator", f"/v1/changes/{shown['id']}").json()
    assert (seen["state"], seen["state_zh"]) == ("lapsed", "已失效")
    for state, count in (("lapsed", 1), ("open", 0)):
        listed = service.get("operator", f"/v1/changes?state={state}").json()["changes"]
        assert len(listed) == count
    problem_of(approve(service, shown["id"], in_time), "change-too-late", 409)
    problem_of(propose(service, raw), "change-too-late", 409)


def test_an_officers_clock_is_a_little_ahead(service: Service) -> None:
    """Of who proposes and of who approves: both count at once; further ahead, each is told why."""
    service.clock.step(CLOCK_SKEW)
    raw = draft(service, kinds.DEPARTMENT, department_facts())
    service.clock.step(1)
    far = approval(service, raw)
    service.clock.step(-CLOCK_SKEW - 1)
    shown = propose(service, raw).json()
    problem_of(approve(service, shown["id"], far), "change-from-future", 409)
    assert approve(service, shown["id"], approval(service, raw)).json()["state"] == "logged"


def test_what_another_change_overtook_is_not_logged(service: Service) -> None:
    """Both were fine when they were proposed."""
    pair = [department_facts(slug) for slug in ("archives", "museum")]
    twins = [draft(service, kinds.DEPARTMENT, facts) for facts in pair]
    merge = draft(service, kinds.DEPARTMENT_CHANGED, change_facts.merged("health", "market"))
    rename = change_facts.renamed("health", "新名", "New")
    renames = [draft(service, kinds.DEPARTMENT_CHANGED, rename) for _ in range(2)]
    ids = [propose(service, raw).json()["id"] for raw in (*twins, merge, *renames)]
    retire = change_facts.key_changed(officer_key(service), "retire")
    decide(service.city, kinds.KEY_CHANGED, retire, "market-1")
    for index in (0, 3):
        raw = (*twins, merge, *renames)[index]
        assert approve(service, ids[index], approval(service, raw)).is_success
    size = service.city.ledger.size
    for index, code in (
        (1, "department-uscc-taken"),
        (2, "merge-key-missing"),
        (4, "department-names-unchanged"),
    ):
        raw = (*twins, merge, *renames)[index]
        problem_of(approve(service, ids[index], approval(service, raw)), code, 409)
    assert service.city.ledger.size == size


def test_the_code_of_a_department_that_ended_may_be_used_again(service: Service) -> None:
    uscc = service.city.authorities.departments[f"{ORIGIN}/health"].uscc
    facts = {**department_facts(), "uscc": uscc}
    problem_of(
        propose(service, draft(service, kinds.DEPARTMENT, facts)), "department-uscc-taken", 409
    )
    decide(service.city, kinds.DEPARTMENT_CHANGED, change_facts.closed("health"))
    assert proposed(service, kinds.DEPARTMENT, facts)["state"] == "open"


def test_what_cannot_be_put_into_words_is_not_offered(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither facts that the words stumble over nor a letter that this Unicode does not know."""
    unknown = change_facts.renamed("health", "\U000323b0局", "New")
    answer = propose(service, draft(service, kinds.DEPARTMENT_CHANGED, unknown))
    problem_of(answer, "change-unreadable", 422)
    raw = draft(service, kinds.DEPARTMENT_CHANGED, change_facts.renamed("health", "新名", "New"))

    def stumble(*_: object) -> tuple[str, str]:
        raise OverflowError

    with monkeypatch.context() as patched:
        patched.setitem(change_words._WORDS, kinds.DEPARTMENT_CHANGED, stumble)
        problem_of(propose(service, raw), "change-unreadable", 422)
    assert propose(service, raw).status_code == 201


def test_a_key_over_types_of_others_says_so(service: Service) -> None:
    city = service.city
    food, own = (
        city.catalogue.licence_type(name).code for name in ("food-licence", "birth-certificate")
    )
    for scope, said in (([food, own], True), ([own], False)):
        shown = proposed(service, kinds.KEY, key_facts(city, "health", scope=scope), "health-1")
        assert ("食品经营许可证按目录属于市场监督管理局" in shown["summary_zh"]) is said
        assert ("NOTE, types of other departments" in shown["summary_en"]) is said
        assert shown["summary_zh"].count("按目录属于") == said
    decide(city, kinds.DEPARTMENT_CHANGED, change_facts.merged("market", "health"))
    shown = proposed(service, kinds.KEY, key_facts(city, "health", scope=[food]), "health-1")
    assert "NOTE" not in shown["summary_en"]  # they are its own now


# withdrawing


def test_a_proposal_is_withdrawn(service: Service) -> None:
    shown = proposed(service, kinds.KEY_CHANGED, suspend(service), "market-1")
    raw = b64decode(shown["proposal"], max_bytes=99_999)
    path = f"/v1/changes/{shown['id']}"
    problem_of(service.call("health", "DELETE", path), "department-mismatch", 403)
    problem_of(service.call("clerk", "DELETE", path), "role-missing", 403)
    for _ in range(2):
        assert service.call("keeper", "DELETE", path).status_code == 204
    assert service.get("operator", path).json()["state"] == "withdrawn"
    problem_of(approve(service, shown["id"], approval(service, raw)), "change-not-open", 409)
    problem_of(propose(service, raw), "change-not-open", 409)


def test_what_is_logged_is_not_withdrawn(service: Service) -> None:
    shown = proposed(service, kinds.DEPARTMENT, department_facts())
    raw = b64decode(shown["proposal"], max_bytes=99_999)
    approve(service, shown["id"], approval(service, raw))
    path = f"/v1/changes/{shown['id']}"
    problem_of(service.call("operator", "DELETE", path), "change-not-open", 409)


# two at once, and cut off


def approve_at_once(cities: list[City], change_id: str, by: list[bytes]) -> list[str]:
    """The outcome of each, after both have looked and before either writes."""
    both, outcomes = threading.Barrier(2), list[str]()

    def run(city: City, raw: bytes) -> None:
        append, waited = city.ledger.append, []

        def late(*args: Any) -> Any:
            if not waited:
                waited.append(both.wait(timeout=10))
            return append(*args)

        city.ledger.append = late  # type: ignore[method-assign, assignment]
        try:
            outcomes.append(ChangeDesk(city).approve(change_id, raw).state)
        except Refused as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=run, args=pair) for pair in zip(cities, by, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes)


def test_two_processes_approve_the_same_change(folder: Path) -> None:
    """Two officers in two processes: one statement, and the second is told."""
    cities = [open_copy(folder, Clock()) for _ in range(2)]
    desk, size = ChangeDesk(cities[0]), cities[0].ledger.size
    facts = change_facts.key_changed(cities[0].signer("market").kid, "suspend")
    change = desk.propose(desk.draft(kinds.KEY_CHANGED, facts, officer(ONE)))
    by: list[Signer] = [officer(TWO), officer("market-1")]
    raws = [
        sign_approval(parse_proposal(change.proposal), at=cities[0].now(), signer=signer)
        for signer in by
    ]
    assert approve_at_once(cities, change.id, raws) == ["change-replayed", "logged"]
    assert cities[0].ledger.size == size + 1
    for city in cities:
        assert city.authorities.keys[facts["key"]].is_suspended
        city.close()
    open_copy(folder, Clock()).close()


def test_a_failed_write_leaves_the_proposal_open(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = proposed(service, kinds.DEPARTMENT, department_facts())
    second = approval(service, b64decode(shown["proposal"], max_bytes=99_999))

    def failing(*_: object) -> None:
        raise LedgerError("ledger-store-failed", "disk full")

    with monkeypatch.context() as patch:
        patch.setattr(service.city.ledger, "append", failing)
        problem_of(approve(service, shown["id"], second), "ledger-store-failed", 500)
    assert service.get("operator", f"/v1/changes/{shown['id']}").json()["state"] == "open"
    assert approve(service, shown["id"], second).json()["state"] == "logged"


def test_a_proposal_survives_a_restart(folder: Path) -> None:
    city = open_copy(folder, Clock())
    enrol_department(city, "archives", "档案局", "Archives", USCC)
    desk = ChangeDesk(city)
    made = make_key(city, "archives", "ed25519")
    facts = change_facts.key("archives", made.key, made.pop, [], city.now())
    change = desk.propose(desk.draft(kinds.KEY, facts, officer("archives-1")))
    city.close()
    city = open_copy(folder, Clock())
    raw = sign_approval(parse_proposal(change.proposal), at=city.now(), signer=officer(TWO))
    assert ChangeDesk(city).approve(change.id, raw).state == "logged"
    assert city.signer("archives").kid == made.kid
    city.close()
