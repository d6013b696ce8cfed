"""Credit entries: every act as a statement, what each reader sees, every refusal."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from api.credit_rows import Step
from api.errors import ServiceError
from api.principals import Role
from api.rules.days import day_number
from api.rules.rulesets import Transition
from tests.api.records import (
    CITIZEN,
    COMPANY,
    REP_ID,
    SECRET_FACTS,
    act,
    add_caller,
    at,
    audit_findings,
    entries,
    holds_digest,
    listing,
    penalty,
    personal_penalty,
    public,
    published,
    record,
    shown_values,
    statement_at,
    stored_bytes,
)
from tests.api.service import (
    DAY,
    NOW,
    Service,
    enrol_department,
    enrol_key,
    lose_keys,
    problem_of,
    sample,
)
from verifier import kinds
from verifier.codec import b64decode
from verifier.proof import check_proof

REASON_OF = {
    "uphold": "dispute-unfounded",
    "correct": "content-wrong",
    "withdraw": "recorded-in-error",
    "repair": "duties-fulfilled",
}


def body_of(what: str, **changes: Any) -> dict[str, Any]:
    """A body that an act accepts."""
    bodies: dict[str, dict[str, Any]] = {
        "publish": {},
        "dispute": {"text": "罚款金额有误"},
        "uphold": {"text": "经核查无误"},
        "correct": {"fields": penalty(fine=0.1)},
        "withdraw": {},
        "repair": {"duties_fulfilled": True, "commitment_made": True},
    }
    reason = {"reason": REASON_OF[what]} if what in REASON_OF else {}
    return {**bodies[what], **reason, **changes}


def refuse(
    service: Service, record_id: str, what: str, code: str, who: str = "market", **changes: Any
) -> dict[str, Any]:
    """The problem of an act that must be refused, and that leaves nothing in the ledger."""
    size = service.city.ledger.size
    answer = service.post(who, f"/v1/credits/{record_id}/{what}", body_of(what, **changes))
    found = problem_of(answer, code)
    assert service.city.ledger.size == size
    return found


def refuse_record(service: Service, code: str, who: str = "market", **body: Any) -> dict[str, Any]:
    size = service.city.ledger.size
    request = {"type": "penalty", "fields": penalty(), "grade": 2, **body}
    found = problem_of(service.post(who, "/v1/credits", request), code)
    assert service.city.ledger.size == size
    return found


# ---- acts as statements --------------------------------------------------------------------------


def test_every_act_is_a_statement_that_names_the_one_before(service: Service) -> None:
    done = [record(service)]
    record_id = done[0]["record_id"]
    done.append(act(service, record_id, "publish"))
    done.append(act(service, record_id, "dispute", "company", **body_of("dispute")))
    done.append(act(service, record_id, "uphold", **body_of("uphold")))
    done.append(act(service, record_id, "dispute", "credit-centre", **body_of("dispute")))
    done.append(act(service, record_id, "correct", **body_of("correct")))
    done.append(act(service, record_id, "withdraw", **body_of("withdraw")))

    statements = [statement_at(service, each["index"]) for each in done]
    assert [s.content.kind for s in statements] == [
        kinds.CREDIT,
        kinds.CREDIT_PUBLISHED,
        kinds.CREDIT_DISPUTED,
        kinds.CREDIT_UPHELD,
        kinds.CREDIT_DISPUTED,
        kinds.CREDIT_CORRECTED,
        kinds.CREDIT_WITHDRAWN,
    ]
    assert [s.content.predecessor for s in statements] == [
        None,
        *(before.leaf for before in statements[:-1]),
    ]
    assert {s.subject for s in statements} == {record_id}
    assert {s.issuer for s in statements} == {service.city.issuer("market")}
    assert {s.content.type_code for s in statements} == {"XZCF"}
    assert {s.content.rule_set for s in statements} == {"order-36"}
    assert statements[0].content.facts == {"org": True, "grade": 2}
    assert [statements[i].content.facts["by"] for i in (2, 4)] == ["subject", "department"]
    assert [s.content.reason for s in statements[3:]] == [
        "dispute-unfounded",
        None,
        "content-wrong",
        "recorded-in-error",
    ]
    assert [each["leaf"] for each in done] == [s.leaf.hex() for s in statements]
    assert audit_findings(service) == []


def test_repair_and_expiry_are_statements_too(service: Service) -> None:
    fields = penalty(date="2026-06-18", docno="甲1号")
    repaired, over = record(service, fields), record(service, penalty(docno="乙2号"), grade=2)
    act(service, repaired["record_id"], "publish")
    act(service, over["record_id"], "publish")
    last = act(service, repaired["record_id"], "repair", **body_of("repair"))
    assert statement_at(service, last["index"]).content.reason == "duties-fulfilled"
    service.clock.now = at(2027, 9, 19, hour=0)
    assert service.city.ledger.size == last["index"] + 1
    assert service.post("credit-centre", "/v1/credits/expire").json() == {"expired": 1}
    expiry = statement_at(service, last["index"] + 1)
    assert expiry.content.kind == kinds.CREDIT_EXPIRED
    assert expiry.subject == over["record_id"]
    assert [code for code, _ in audit_findings(service)] == ["audit-publication-late"]


def test_every_proof_verifies(service: Service) -> None:
    record_id = published(service)
    done = act(service, record_id, "dispute", "company", **body_of("dispute"))
    trust = service.city.trust()
    proof = service.city.ledger.proof(done["index"])
    entry = service.city.ledger.entry(done["index"])
    assert check_proof(proof, entry, trust.log_key, None).size == service.city.ledger.size
    assert service.get(None, done["proof"]).status_code == 200


def test_disclosures_are_those_the_statements_hold(service: Service) -> None:
    record_id = published(service)
    act(service, record_id, "correct", **body_of("correct"))
    whole = service.get("company", f"/v1/credits/{record_id}").json()
    assert len(whole["versions"]) == 2
    salts = set()
    for version in whole["versions"]:
        statement = statement_at(service, version["index"])
        raws = [b64decode(raw, max_bytes=9_999) for raw in version["disclosures"]]
        assert statement.raw == b64decode(version["statement"], max_bytes=9_999)
        assert len(raws) == len(statement.content.digests)
        assert all(holds_digest(statement, raw) for raw in raws)
        salts |= {raw[2:18] for raw in raws}
    assert len(salts) == 2 * len(raws), "no salt is used twice"


def test_nothing_of_an_entry_is_in_the_ledger_or_readable_on_disk(
    service: Service, folder: Path
) -> None:
    record_id = published(service)
    record(service, personal_penalty())
    act(service, record_id, "dispute", "company", text="罚款金额写错了，应为一千元")
    for stored in (b"\n".join(entries(service)), stored_bytes(folder)):
        for secret in (COMPANY, CITIZEN, REP_ID, SECRET_FACTS, "云杉餐饮", "应为一千元"):
            assert secret.encode() not in stored
    assert record_id.encode() in stored_bytes(folder), "the search would see what is there"


# ---- publication ---------------------------------------------------------------------------------


def test_publication_in_time(service: Service) -> None:
    done = record(service)
    assert public(service)["credits"] == []
    told = act(service, done["record_id"], "publish")
    assert (told["due"], told["late"]) == ("2026-09-29", False)
    assert told["until"] == "2027-09-18"
    assert statement_at(service, told["index"]).content.facts == {
        "until": day_number(date(2027, 9, 18))
    }
    (entry,) = public(service)["credits"]
    assert (entry["until"], entry["disputed"], entry["grade"]) == ("2027-09-18", False, 2)
    values = shown_values(entry["versions"][0])
    assert values["fine"] == "0.2"
    assert "repid" not in values, "sensitive fields are never public"
    assert REP_ID not in service.get(None, f"/v1/public/credits?uscc={COMPANY}").text


@pytest.mark.parametrize(
    ("decided", "due"),
    [
        ((2026, 9, 24), "2026-10-12"),
        ((2026, 2, 12), "2026-02-28"),
        ((2025, 9, 30), "2025-10-16"),
    ],
    ids=lambda each: str(each),
)
def test_being_late_is_recorded_not_refused(
    service: Service, decided: tuple[int, int, int], due: str
) -> None:
    year, month, day = (int(part) for part in due.split("-"))
    service.clock.now = at(*decided)
    decision = date(*decided).isoformat()
    in_time = record(service, penalty(date=decision, docno="1号"))["record_id"]
    late = record(service, penalty(date=decision, docno="2号"))["record_id"]
    service.clock.now = at(year, month, day, hour=23)
    told = act(service, in_time, "publish")
    assert (told["due"], told["late"]) == (due, False)
    service.clock.now += 3600
    told = act(service, late, "publish")
    assert (told["due"], told["late"]) == (due, True)
    listed = service.get("market", "/v1/credits").json()["credits"]
    assert [each["late"] for each in listed] == [True, False]


def test_a_missing_calendar_is_not_guessed(service: Service) -> None:
    service.clock.now = at(2026, 12, 28)
    done = record(service, penalty(date="2026-12-28"))
    found = refuse(service, done["record_id"], "publish", "calendar-missing")
    assert (found["status"], found["year"]) == (503, 2027)


def test_persons_are_never_published(service: Service) -> None:
    done = record(service, personal_penalty())
    refuse(service, done["record_id"], "publish", "credit-person-not-published")
    refuse(service, done["record_id"], "publish", "credit-person-not-published", "credit-centre")
    problem_of(
        service.get(None, "/v1/public/credits", params={"uscc": CITIZEN}), "code-uscc-invalid"
    )


def test_minor_entries_are_published_only_on_purpose(service: Service) -> None:
    done = record(service, grade=1)
    refuse(service, done["record_id"], "publish", "credit-minor-not-published")
    told = act(service, done["record_id"], "publish", even_if_minor=True)
    assert told["until"] == "2026-12-18", "three months at most"


def test_publication_after_its_end_is_refused(service: Service) -> None:
    done = record(service, penalty(date="2025-09-21"))
    assert done["until"] == "2028-09-21", "a document of 2025 follows the order of its day"
    old = record(service, penalty(date="2026-05-01", until="2026-09-21", docno="旧1号"))
    refuse(service, old["record_id"], "publish", "credit-publication-over")


def test_types_without_grades_follow_their_own_end(service: Service) -> None:
    inspection = {
        "name": "证链市云杉餐饮有限公司",
        "uscc": COMPANY,
        "no": "检2026-1",
        "kind": "日常检查",
        "date": "2026-09-18",
        "result": "合格",
        "officers": ["钱思远", "孙若溪"],
        "by": "市场监督管理局",
    }
    done = record(service, inspection, type_="inspection", grade=None)
    assert statement_at(service, done["index"]).content.facts == {"org": True}
    assert done["until"] == "2031-09-18", "kept for the years of its type"
    act(service, done["record_id"], "publish")
    assert "钱思远" not in service.get(None, f"/v1/public/credits?uscc={COMPANY}").text
    promise = {
        "name": "证链市云杉餐饮有限公司",
        "uscc": COMPANY,
        "no": "诺1",
        "kind": "主动型",
        "matter": "食品安全",
        "content": "按期整改",
        "date": "2026-09-18",
        "due": "2026-12-31",
        "status": "未到期",
        "by": "市场监督管理局",
    }
    done = record(service, promise, type_="commitment", grade=None)
    assert done["until"] == "2031-12-31", "the years of its type, from the day it is due"
    licence = {
        "name": "证链市云杉餐饮有限公司",
        "date": "2026-09-18",
        "uscc": COMPANY,
    }
    dictionary = service.city.catalogue.credit_type("administrative-licence")
    for field in dictionary.fields:
        if field.required and field.code not in licence:
            licence[field.code] = (
                field.choices[0]
                if field.choices
                else ("2026-09-18" if field.json == "date" else "食品经营许可")
            )
    done = record(service, licence, type_="administrative-licence", grade=None)
    assert done["until"] == "2099-12-31", "as long as the licence stands"


# ---- disputes and corrections --------------------------------------------------------------------


def test_a_disputed_entry_stays_visible_with_its_mark(service: Service) -> None:
    record_id = published(service)
    act(service, record_id, "dispute", "company", **body_of("dispute"))
    (entry,) = public(service)["credits"]
    assert entry["disputed"] is True
    assert "罚款金额有误" not in str(entry), "what is argued is not public"
    whole = service.get("company", f"/v1/credits/{record_id}").json()
    assert (whole["state"], whole["acts"][-1]["text"]) == ("published-disputed", "罚款金额有误")
    act(service, record_id, "uphold", **body_of("uphold"))
    (entry,) = public(service)["credits"]
    assert entry["disputed"] is False


def test_an_unpublished_entry_may_be_disputed_and_then_published_with_the_mark(
    service: Service,
) -> None:
    record_id = record(service)["record_id"]
    act(service, record_id, "dispute", "company", **body_of("dispute"))
    act(service, record_id, "publish")
    (entry,) = public(service)["credits"]
    assert entry["disputed"] is True
    assert audit_findings(service) == []


def test_before_and_after_a_correction_stand_together(service: Service) -> None:
    record_id = published(service)
    act(service, record_id, "correct", **body_of("correct"))
    (entry,) = public(service)["credits"]
    assert [shown_values(each)["fine"] for each in entry["versions"]] == ["0.2", "0.1"]
    assert [each["reason"] for each in entry["versions"]] == [None, "content-wrong"]


def test_what_was_corrected_before_publication_was_never_public(service: Service) -> None:
    record_id = record(service)["record_id"]
    act(service, record_id, "correct", **body_of("correct"))
    act(service, record_id, "publish")
    (entry,) = public(service)["credits"]
    assert [shown_values(each)["fine"] for each in entry["versions"]] == ["0.1"]
    whole = service.get("market", f"/v1/credits/{record_id}").json()
    assert len(whole["versions"]) == 2


def test_a_correction_may_change_grade_and_end_but_not_the_subject(service: Service) -> None:
    record_id = published(service)
    told = act(service, record_id, "correct", **body_of("correct", grade=3))
    assert (told["until"], told["rule_set"]) == ("2029-09-18", "order-36")
    assert statement_at(service, told["index"]).content.facts == {"org": True, "grade": 3}
    refuse(service, record_id, "correct", "credit-subject-differs", fields=personal_penalty())
    refuse(service, record_id, "correct", "fields-invalid", fields=penalty(fine="很多"))
    refuse(service, record_id, "correct", "credit-reason-does-not-fit", reason="cured")


# ---- endings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["withdraw", "repair"])
def test_what_ended_is_gone_without_a_hint(service: Service, what: str) -> None:
    kept = published(service, fields=penalty(docno="留1号"))
    gone = published(service, fields=penalty(docno="去1号", date="2026-06-01"))
    alone = public(service)
    act(service, gone, what, **body_of(what))
    left = public(service)
    assert len(alone["credits"]) == 2
    assert left["credits"] == [e for e in alone["credits"] if "留1号" in str(e)]
    mine = service.get("company", "/v1/me/credits").json()["credits"]
    assert {each["record_id"]: each["state"] for each in mine} == {
        kept: "published",
        gone: {"withdraw": "withdrawn", "repair": "repaired"}[what],
    }
    for after in ("publish", "dispute", "correct", "withdraw", "repair"):
        refuse(service, gone, after, "credit-transition-forbidden")


@pytest.mark.parametrize(
    ("day", "accepted"),
    [((2026, 7, 9), False), ((2026, 7, 10), False), ((2026, 7, 11), True)],
)
def test_repair_opens_after_the_minimum(
    service: Service, day: tuple[int, int, int], accepted: bool
) -> None:
    service.clock.now = at(2026, 4, 10)
    record_id = published(service, fields=penalty(date="2026-04-10"))
    service.clock.now = at(*day)
    if accepted:
        act(service, record_id, "repair", **body_of("repair"))
        assert public(service)["credits"] == []
    else:
        found = refuse(service, record_id, "repair", "credit-repair-too-early")
        assert (found["status"], found["first_day"]) == (409, "2026-07-11")
        assert len(public(service)["credits"]) == 1


def test_the_other_reading_of_a_period_opens_repair_a_day_earlier(service: Service) -> None:
    object.__setattr__(service.city.catalogue, "period_rule", "from-the-day")
    try:
        service.clock.now = at(2026, 4, 10)
        record_id = published(service, fields=penalty(date="2026-04-10"))
        service.clock.now = at(2026, 7, 9, hour=23)
        refuse(service, record_id, "repair", "credit-repair-too-early")
        service.clock.now = at(2026, 7, 10, hour=0)
        act(service, record_id, "repair", **body_of("repair"))
    finally:
        object.__setattr__(service.city.catalogue, "period_rule", "civil-202")


def test_shown_on_the_last_day_and_gone_on_the_next(service: Service) -> None:
    service.clock.now = at(2026, 4, 10)
    record_id = published(service, fields=penalty(date="2026-04-10"))
    service.clock.now = at(2027, 4, 10, hour=23)
    assert len(public(service)["credits"]) == 1
    size = service.city.ledger.size
    service.clock.now = at(2027, 4, 11, hour=0)
    assert public(service)["credits"] == [], "gone even before the clock's act is logged"
    assert service.post("operator", "/v1/credits/expire").json() == {"expired": 1}
    assert service.post("operator", "/v1/credits/expire").json() == {"expired": 0}
    assert service.city.ledger.size == size + 1
    mine = service.get("company", "/v1/me/credits").json()["credits"]
    assert [(each["record_id"], each["state"]) for each in mine] == [(record_id, "expired")]


@pytest.mark.parametrize(
    ("transition", "rule_set", "until"),
    [("by-document", "order-58", "2029-03-20"), ("by-publication", "order-36", "2027-03-20")],
)
def test_an_entry_between_two_orders_says_which_it_follows(
    service: Service, transition: Transition, rule_set: str, until: str
) -> None:
    object.__setattr__(service.city.catalogue, "transition", transition)
    try:
        service.clock.now = at(2026, 3, 25)
        record_id = record(service, penalty(date="2026-03-20"))["record_id"]
        service.clock.now = at(2026, 4, 1)
        told = act(service, record_id, "publish")
        assert (told["rule_set"], told["until"]) == (rule_set, until)
        assert statement_at(service, told["index"]).content.rule_set == rule_set
        told = act(service, record_id, "dispute", "company", **body_of("dispute"))
        assert told["rule_set"] == rule_set, "it keeps the rule set it was published under"
    finally:
        object.__setattr__(service.city.catalogue, "transition", "by-document")


def test_repair_needs_duties_and_commitment(service: Service) -> None:
    record_id = published(service, fields=penalty(date="2026-06-01"))
    refuse(service, record_id, "repair", "credit-duties-open", duties_fulfilled=False)
    refuse(service, record_id, "repair", "credit-duties-open", commitment_made=False)
    refuse(service, record_id, "repair", "credit-reason-does-not-fit", reason="decision-annulled")
    refuse(service, record_id, "repair", "catalogue-unknown-entry", reason="no-such-reason")


def test_a_disputed_entry_is_not_repaired_but_expires(service: Service) -> None:
    record_id = published(service, fields=penalty(date="2026-06-01"))
    act(service, record_id, "dispute", "company", **body_of("dispute"))
    refuse(service, record_id, "repair", "credit-transition-forbidden")
    service.clock.now = at(2027, 6, 2)
    assert service.post("operator", "/v1/credits/expire").json() == {"expired": 1}


def test_expiry_waits_for_a_department_whose_key_is_not_here(
    service: Service, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = published(service)
    record(service, penalty(docno="警1号"), who="police")
    elsewhere = lose_keys(service.city, "police")
    service.clock.now = at(2027, 9, 19)
    assert service.post("operator", "/v1/credits/expire").json() == {"expired": 1}
    assert "signer-missing" in caplog.text
    for path in elsewhere.iterdir():
        path.rename(folder / "custody" / path.name)
    assert service.post("operator", "/v1/credits/expire").json() == {"expired": 1}
    assert service.get("market", f"/v1/credits/{mine}").json()["state"] == "expired"


# ---- refusals ------------------------------------------------------------------------------------


def test_who_may_not_record(service: Service) -> None:
    refuse_record(service, "role-missing", "company")
    refuse_record(service, "role-missing", "credit-centre")
    refuse_record(service, "role-missing", "auditor")
    refuse_record(service, "credentials-missing", None)  # type: ignore[arg-type]
    add_caller(service, "homeless", Role.CLERK)
    refuse_record(service, "department-mismatch", "homeless")
    abnormal: dict[str, Any] = {"type": "abnormal-operation", "fields": {}, "grade": None}
    refuse_record(service, "department-mismatch", "police", **abnormal)
    severe = {"type": "severe-dishonesty", "fields": listing(COMPANY), "grade": None}
    refuse_record(service, "role-missing", "clerk", **severe)
    assert record(service, listing(COMPANY), type_="severe-dishonesty", grade=None, who="keeper")


def test_a_key_signs_only_what_its_scope_has(service: Service) -> None:
    city = service.city
    enrol_department(city, "narrow", "窄局", "Narrow Bureau", COMPANY)
    enrol_key(city, "narrow", ["YZSX"])
    add_caller(service, "narrow", Role.CLERK, Role.SEAL_KEEPER, department="narrow")
    found = refuse_record(service, "credit-type-out-of-scope", "narrow")
    assert found["status"] == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"type": "no-such-type"}, "catalogue-unknown-type"),
        ({"fields": penalty(uscc="91110000000000000X")}, "fields-invalid"),
        ({"fields": penalty(docno=None)}, "fields-invalid"),
        ({"fields": penalty(unheard="of")}, "fields-invalid"),
        ({"fields": penalty(uscc=None)}, "fields-invalid"),
        ({"grade": None}, "credit-grade-missing"),
        ({"grade": 4}, "request-invalid"),
        ({"fields": penalty(date="2026-09-23")}, "credit-date-invalid"),
        ({"fields": penalty(until="2026-09-17")}, "credit-date-invalid"),
        ({"fields": penalty(until="2027-09-19")}, "credit-until-over-maximum"),
        ({"fields": penalty(date="2020-01-02")}, "ruleset-missing"),
        ({"more": 1}, "request-invalid"),
    ],
)
def test_entries_that_are_refused(service: Service, body: dict[str, Any], code: str) -> None:
    refuse_record(service, code, **body)


def test_grades_that_a_type_does_not_have(service: Service) -> None:
    severe: dict[str, Any] = {"type": "severe-dishonesty", "fields": listing(COMPANY), "grade": 2}
    refuse_record(service, "credit-grade-unexpected", **severe)
    fields = {
        "name": "某公司", "uscc": COMPANY, "no": "1", "kind": "复查", "date": "2026-09-18",
        "result": "合格", "by": "市场监督管理局",
    }  # fmt: skip
    refuse_record(service, "credit-grade-unexpected", type="inspection", fields=fields, grade=1)


def test_the_longest_end_is_named(service: Service) -> None:
    found = refuse_record(service, "credit-until-over-maximum", fields=penalty(until="2027-09-19"))
    assert found["last_day"] == "2027-09-18"


def test_nothing_is_recorded_twice_until_it_is_withdrawn(service: Service) -> None:
    record_id = record(service)["record_id"]
    assert refuse_record(service, "credit-exists")["status"] == 409
    other = record(service, penalty(docno="另1号"))["record_id"]
    refuse(service, other, "correct", "credit-exists", fields=penalty())
    record(service, who="police")
    act(service, record_id, "withdraw", **body_of("withdraw"))
    record(service)


@pytest.mark.parametrize("what", ["publish", "uphold", "correct", "withdraw", "repair"])
def test_other_departments_and_strangers_may_not_act(service: Service, what: str) -> None:
    record_id = published(service, fields=penalty(date="2026-06-01"))
    if what == "uphold":
        act(service, record_id, "dispute", "company", **body_of("dispute"))
    refuse(service, record_id, what, "department-mismatch", "police")
    refuse(service, record_id, what, "role-missing", "company")
    refuse(service, record_id, what, "role-missing", "auditor")
    if what != "publish":
        refuse(service, record_id, what, "role-missing", "credit-centre")
    if what in ("withdraw", "repair"):
        refuse(service, record_id, what, "role-missing", "clerk")


def test_who_may_not_dispute(service: Service) -> None:
    record_id = published(service)
    refuse(service, record_id, "dispute", "role-missing", "citizen")
    refuse(service, record_id, "dispute", "department-mismatch", "police")
    refuse(service, record_id, "dispute", "request-invalid", "company", text="")
    refuse(service, record_id, "dispute", "request-invalid", "company", text="长" * 2_001)
    refuse(service, "A" * 22, "dispute", "credit-unknown", "company")
    refuse(service, record_id, "uphold", "credit-transition-forbidden")
    act(service, record_id, "dispute", "clerk", **body_of("dispute"))
    refuse(service, record_id, "dispute", "credit-transition-forbidden", "company")
    refuse(service, record_id, "uphold", "credit-reason-does-not-fit", reason="performed")


def test_publishing_twice_is_refused(service: Service) -> None:
    record_id = published(service)
    refuse(service, record_id, "publish", "credit-transition-forbidden")
    refuse(service, record_id, "withdraw", "credit-reason-does-not-fit", reason="content-wrong")


def test_two_clerks_at_once_cannot_both_succeed(service: Service) -> None:
    record_id = published(service)
    seen = service.city.ledger.size
    row = service.get("market", f"/v1/credits/{record_id}").json()
    assert row["state"] == "published"
    credit_book = service.client.app.state.services.credits  # type: ignore[attr-defined]
    stale = credit_book.row(record_id)
    act(service, record_id, "withdraw", **body_of("withdraw"))
    with pytest.raises(ServiceError, match="credit-changed-meanwhile"):
        credit_book.act("market", stale, Step(kinds.CREDIT_REPAIRED, "duties-fulfilled"), NOW, None)
    assert service.city.ledger.size == seen + 1


def test_who_may_expire(service: Service) -> None:
    for who in ("market", "company", "auditor"):
        problem_of(service.post(who, "/v1/credits/expire"), "role-missing", 403)


# ---- reading -------------------------------------------------------------------------------------


def test_who_sees_what_of_one_entry(service: Service) -> None:
    record_id = record(service)["record_id"]
    path = f"/v1/credits/{record_id}"
    assert REP_ID in service.get("clerk", path).text
    assert REP_ID in service.get("company", path).text
    centre = service.get("credit-centre", path)
    assert SECRET_FACTS in centre.text
    assert REP_ID not in centre.text
    assert centre.json()["versions"][0]["disclosures"] == []
    problem_of(service.get("police", path), "department-mismatch", 403)
    problem_of(service.get("citizen", path), "role-missing", 403)
    problem_of(service.get(None, path), "credentials-missing", 401)
    problem_of(service.get("market", f"/v1/credits/{'A' * 22}"), "credit-unknown", 404)
    problem_of(service.get("market", "/v1/credits/short"), "request-invalid", 422)


def test_lists_page_and_hold_no_content(service: Service) -> None:
    ids = [record(service, penalty(docno=f"{n}号"))["record_id"] for n in range(5)]
    for record_id in ids:
        act(service, record_id, "publish")
    record(service, penalty(), who="police")
    pages: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        answer = service.get("market", "/v1/credits", params=params)
        assert COMPANY not in answer.text
        page = answer.json()
        pages += [each["record_id"] for each in page["credits"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert pages == ids[::-1]
    assert len(service.get("credit-centre", "/v1/credits").json()["credits"]) == 6
    problem_of(service.get("company", "/v1/credits"), "role-missing", 403)
    problem_of(service.get("market", "/v1/credits", params={"cursor": "-1"}), "cursor-invalid")
    first = public(service, limit=3)
    second = public(service, limit=3, cursor=first["next"])
    assert [len(first["credits"]), len(second["credits"]), second["next"]] == [3, 2, None]
    own = service.get("company", "/v1/me/credits", params={"limit": 4}).json()
    rest = service.get("company", "/v1/me/credits", params={"cursor": own["next"]}).json()
    assert len(own["credits"]) + len(rest["credits"]) == 6


def test_the_own_file_is_the_subjects_alone(service: Service) -> None:
    record(service, personal_penalty())
    record(service)
    mine = service.get("citizen", "/v1/me/credits").json()["credits"]
    assert [each["organisation"] for each in mine] == [False]
    assert mine[0]["repairable_from"] == "2026-12-19"
    problem_of(service.get("market", "/v1/me/credits"), "role-missing", 403)
    problem_of(service.get(None, "/v1/me/credits"), "credentials-missing", 401)


def test_public_search_takes_any_spelling_of_a_code(service: Service) -> None:
    published(service)
    assert public(service, f" {COMPANY.lower()} ")["uscc"] == COMPANY
    assert len(public(service, COMPANY.lower())["credits"]) == 1
    problem_of(
        service.get(None, "/v1/public/credits", params={"uscc": "123"}), "code-uscc-invalid", 422
    )


# ---- repetition ----------------------------------------------------------------------------------


def test_the_same_key_and_request_have_one_effect(service: Service) -> None:
    request = {"type": "penalty", "fields": penalty(), "grade": 2}
    headers = {"Idempotency-Key": "k-1"}
    first = service.post("market", "/v1/credits", request, headers=headers)
    again = service.post("market", "/v1/credits", request, headers=headers)
    assert first.json() == again.json()
    assert (first.headers["Idempotency-Replayed"], again.headers["Idempotency-Replayed"]) == (
        "false",
        "true",
    )
    changed = {**request, "grade": 3}
    problem_of(
        service.post("market", "/v1/credits", changed, headers=headers), "idempotency-key-reused"
    )
    path = f"/v1/credits/{first.json()['record_id']}/publish"
    headers = {"Idempotency-Key": "k-2"}
    size = service.city.ledger.size
    told = [service.post("market", path, {}, headers=headers).json() for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert service.city.ledger.size == size + 1


def test_stored_answers_are_sealed(service: Service, folder: Path) -> None:
    headers = {"Idempotency-Key": "sealed"}
    body = {"type": "food-licence", "fields": sample("food-licence")}
    issued = service.post("market", "/v1/licences", body, headers=headers).json()
    again = service.post("market", "/v1/licences", body, headers=headers).json()
    assert again == issued
    stored = stored_bytes(folder)
    for secret in (*issued["disclosures"], issued["identifier"], issued["qr"][:80], COMPANY):
        assert secret.encode() not in stored
    assert b"zl-s" in stored, "the search would see what is there"


def test_broken_text_is_refused_not_crashed_on(service: Service) -> None:
    raw = b'{"type": "penalty", "grade": 2, "fields": {"name": "\\ud800", "docno": "\\u0000"}}'
    answer = service.call(
        "market",
        "POST",
        "/v1/credits",
        content=raw,
        headers={"Content-Type": "application/json", "Idempotency-Key": "broken"},
    )
    problem_of(answer, "fields-invalid", 422)


# ---- erasure -------------------------------------------------------------------------------------


def test_an_erased_entry_is_gone_and_its_proofs_still_verify(
    service: Service, folder: Path
) -> None:
    keyed = {"Idempotency-Key": "kept-answer"}
    request = {"type": "penalty", "fields": penalty(), "grade": 2}
    done = service.post("market", "/v1/credits", request, headers=keyed).json()
    record_id = done["record_id"]
    path = f"/v1/credits/{record_id}"
    last = act(service, record_id, "withdraw", **body_of("withdraw"))
    told = service.post("keeper", f"{path}/erase", {"reason": "purpose-ended"}).json()
    erasure = statement_at(service, told["index"])
    assert erasure.content.kind == kinds.ERASURE
    assert erasure.content.predecessor == bytes.fromhex(last["leaf"])
    assert erasure.content.reason == "purpose-ended"
    problem_of(service.get("market", path), "record-erased", 410)
    problem_of(service.get("company", path), "role-missing", 403)
    assert service.get("company", "/v1/me/credits").json()["credits"] == []
    listed = service.get("market", "/v1/credits").json()["credits"]
    assert [each["state"] for each in listed] == ["erased"]
    trust = service.city.trust()
    for index in (done["index"], last["index"], told["index"]):
        proof = service.city.ledger.proof(index)
        check_proof(proof, service.city.ledger.entry(index), trust.log_key, None)
    assert audit_findings(service) == []
    for what in ("publish", "dispute", "correct", "withdraw", "repair"):
        refuse(service, record_id, what, "record-erased")
    problem_of(
        service.post("keeper", f"{path}/erase", {"reason": "purpose-ended"}), "record-erased", 410
    )
    record(service)  # the same decision may be recorded anew


def test_erasures_that_are_refused(service: Service) -> None:
    record_id = published(service)
    path = f"/v1/credits/{record_id}/erase"
    for who, code in (("clerk", "role-missing"), ("police", "department-mismatch")):
        problem_of(service.post(who, path, {"reason": "purpose-ended"}), code, 403)
    for reason in ("purpose-ended", "unlawful-processing"):
        problem_of(service.post("keeper", path, {"reason": reason}), "erasure-too-early", 409)
    problem_of(
        service.post("keeper", path, {"reason": "holder-request"}), "erasure-reason-does-not-fit"
    )
    act(service, record_id, "withdraw", **body_of("withdraw"))
    found = problem_of(
        service.post("keeper", path, {"reason": "retention-ended"}), "erasure-too-early", 409
    )
    assert found["kept_until"] == "2031-09-18"
    service.clock.now = at(2031, 9, 18, hour=23)
    problem_of(
        service.post("keeper", path, {"reason": "retention-ended"}), "erasure-too-early", 409
    )
    service.clock.now += 3600
    assert service.post("keeper", path, {"reason": "retention-ended"}).status_code == 200


def test_an_erased_licence_is_gone_and_its_proofs_still_verify(service: Service) -> None:
    issued = service.issue()
    path = f"/v1/licences/{issued['record_id']}"
    problem_of(
        service.post("market", f"{path}/erase", {"reason": "purpose-ended"}),
        "erasure-too-early",
        409,
    )
    changed = service.set_state(issued["record_id"], "deregistered", "holder-request")
    problem_of(
        service.post("clerk", f"{path}/erase", {"reason": "purpose-ended"}), "role-missing", 403
    )
    problem_of(
        service.post("police", f"{path}/erase", {"reason": "purpose-ended"}),
        "department-mismatch",
        403,
    )
    problem_of(
        service.post("market", f"{path}/erase", {"reason": "replaced"}),
        "erasure-reason-does-not-fit",
    )
    found = problem_of(
        service.post("market", f"{path}/erase", {"reason": "retention-ended"}),
        "erasure-too-early",
        409,
    )
    assert found["kept_until"].startswith("20")
    told = service.post("market", f"{path}/erase", {"reason": "purpose-ended"}).json()
    erasure = statement_at(service, told["index"])
    assert erasure.content.predecessor == bytes.fromhex(changed["leaf"])
    problem_of(service.get("market", path), "record-erased", 410)
    problem_of(
        service.post("market", f"{path}/state", {"state": "valid", "reason": "revoked-in-error"}),
        "record-erased",
        410,
    )
    problem_of(
        service.post("market", f"{path}/erase", {"reason": "purpose-ended"}), "record-erased", 410
    )
    holder = {"holder": COMPANY}
    assert service.post("market", "/v1/licences/search", holder).json()["licences"] == []
    proof = service.city.ledger.proof(issued["index"])
    entry = service.city.ledger.entry(issued["index"])
    check_proof(proof, entry, service.city.trust().log_key, None)
    assert audit_findings(service) == []


def test_unlawful_processing_waits_for_no_end(service: Service) -> None:
    issued = service.issue()
    path = f"/v1/licences/{issued['record_id']}/erase"
    answer = service.post("market", path, {"reason": "unlawful-processing"})
    assert answer.status_code == 200
    assert audit_findings(service) == []


def test_expired_licences_may_be_erased_and_answers_about_them_go_too(
    service: Service, folder: Path
) -> None:
    body = {"type": "food-licence", "fields": {**sample("food-licence"), "until": "2026-09-23"}}
    headers = {"Idempotency-Key": "licence-answer"}
    issued = service.post("market", "/v1/licences", body, headers=headers).json()
    path = f"/v1/licences/{issued['record_id']}/erase"
    problem_of(service.post("market", path, {"reason": "purpose-ended"}), "erasure-too-early")
    service.clock.step(2 * DAY)
    assert service.post("market", path, {"reason": "purpose-ended"}).status_code == 200
    again = service.post("market", "/v1/licences", body, headers=headers)
    assert again.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "false", "the stored answer went with it"
