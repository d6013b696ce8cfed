"""Claims: who may ask what, the answers, consents, receipts, and who is told of it."""

import threading
from pathlib import Path
from typing import Any

import pytest

from api.claims import QUESTION_GROUP
from api.evaluators import EVALUATORS
from api.principals import Role
from api.routes.claim_models import ClaimAnswer
from api.tables import QUESTIONS
from tests.api.records import (
    CITIZEN,
    CITIZEN_NAME,
    COMPANY,
    act,
    add_caller,
    at,
    audit_findings,
    entries,
    holds_digest,
    listing,
    record,
    statement_at,
    stored_bytes,
)
from tests.api.service import DAY, Service, problem_of, sample
from verifier import kinds
from verifier.codec import b64decode, b64encode
from verifier.cose import parse_sign1
from verifier.disclosure import make_disclosure, parse_disclosure
from verifier.pack import open_pack
from verifier.receipt import TYP as RECEIPT
from verifier.receipt import open_receipt

FOOD = "food-licence"
CASE = "2026-HK-000123"
ADULT = "over-18"
PERSONAL = "no-severe-dishonesty"


def question(predicate: str = ADULT, **changes: Any) -> dict[str, Any]:
    """A question on a statutory basis; a change to None leaves a member out."""
    parameters: dict[str, dict[str, Any]] = {
        ADULT: {"subject": CITIZEN},
        PERSONAL: {"subject": CITIZEN},
        "holds-valid-licence": {"subject": COMPANY, "type": FOOD},
        "licence-number-valid": {"number": str(sample(FOOD)["no"]), "type": FOOD},
        "number-belongs-to-name": {"subject": CITIZEN, "name": CITIZEN_NAME},
        "married-to": {"subject": CITIZEN, "other": str(sample("id-card", 1)["idno"])},
        "resident-here": {"subject": CITIZEN},
    }
    body: dict[str, Any] = {
        "predicate": predicate,
        "parameters": parameters.get(predicate, {}),
        "purpose": "public-service",
        "legal_basis": "statutory-duty",
        "case_number": CASE,
    }
    return {k: v for k, v in {**body, **changes}.items() if v is not None}


def ask(service: Service, who: str = "bank", **changes: Any) -> dict[str, Any]:
    """The answer to a question that must be answered."""
    answer = service.post(who, "/v1/claims", question(**changes))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def says(service: Service, who: str = "bank", **changes: Any) -> str:
    return str(ask(service, who, **changes)["answer"])


def refuse(
    service: Service, code: str, status: int, who: str | None = "bank", **changes: Any
) -> dict[str, Any]:
    """The problem of a question that must be refused, of which nothing is kept."""
    size = service.city.ledger.size
    found = problem_of(service.post(who, "/v1/claims", question(**changes)), code, status)
    assert service.city.ledger.size == size
    return found


def consent(service: Service, who: str = "citizen", **changes: Any) -> str:
    body = {"client": "lender", "predicate": PERSONAL, "purpose": "lending", **changes}
    answer = service.post(who, "/v1/me/consents", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def lender(service: Service) -> Service:
    """The city with a bank that may ask with consent only."""
    add_caller(service, "lender", Role.PRIVATE_VERIFIER)
    return service


def lending(consent_id: str | None, **changes: Any) -> dict[str, Any]:
    return {
        "predicate": PERSONAL,
        "purpose": "lending",
        "legal_basis": "consent",
        "consent": consent_id,
        **changes,
    }


# ---- the catalogue -------------------------------------------------------------------------------


def test_every_predicate_has_an_evaluator(service: Service) -> None:
    assert service.city.catalogue.predicates.keys() == EVALUATORS.keys()


def test_the_catalogue_is_open_to_all(service: Service) -> None:
    shown = service.get(None, "/v1/predicates").json()
    assert {p["id"] for p in shown["predicates"]} == EVALUATORS.keys()
    (adult,) = [p for p in shown["predicates"] if p["id"] == ADULT]
    assert adult["zh"] == "年满十八周岁"
    assert adult["parameters"][0]["personal"] is True
    bases = {basis["id"]: basis for basis in shown["legal_bases"]}
    assert bases["consent"]["consent"] is True
    assert set(adult["legal_bases"]) <= bases.keys()
    assert set(adult["purposes"]) <= {purpose["id"] for purpose in shown["purposes"]}


# ---- answers -------------------------------------------------------------------------------------


def test_holds_a_valid_licence(service: Service) -> None:
    hold: dict[str, Any] = {"predicate": "holds-valid-licence"}
    assert says(service, **hold) == "unknown", "food licences may be held without a code"
    issued = service.issue()
    assert says(service, **hold, case_number="2") == "yes"
    service.set_state(issued["record_id"], "suspended", "ordered-to-stop")
    assert says(service, **hold, case_number="3") == "no"
    service.set_state(issued["record_id"], "valid", "suspension-ended")
    assert says(service, **hold, case_number="4") == "yes"
    service.set_state(issued["record_id"], "revoked", "food-safety-revocation")
    assert says(service, **hold, case_number="5") == "no"
    card = {"subject": CITIZEN, "type": "id-card"}
    assert says(service, **hold, parameters=card) == "no", "a card is never held without its number"


def test_a_licence_counts_from_its_first_day_to_its_last(service: Service) -> None:
    hold: dict[str, Any] = {"predicate": "holds-valid-licence"}
    dates: dict[str, Any] = {"from": "2026-09-24", "until": "2026-09-25"}
    service.issue(**dates)
    answers = {}
    for day in (23, 24, 25, 26):
        service.clock.now = at(2026, 9, day, hour=0)
        answers[day] = says(service, **hold, case_number=str(day))
    assert answers == {23: "no", 24: "yes", 25: "yes", 26: "no"}


def test_a_renewed_licence_counts_until_its_renewal_begins(service: Service) -> None:
    hold: dict[str, Any] = {"predicate": "holds-valid-licence"}
    dates: dict[str, Any] = {"from": "2026-01-01", "until": "2026-12-31"}
    first = service.issue(**dates)
    body = {
        "type": FOOD,
        "fields": {**sample(FOOD), "from": "2026-10-01", "until": "2031-09-30"},
        "renews": first["record_id"],
    }
    renewal = service.post("market", "/v1/licences", body).json()
    assert says(service, **hold) == "yes"
    service.set_state(renewal["record_id"], "revoked", "food-safety-revocation")
    assert says(service, **hold, case_number="2") == "no"


def test_a_licence_number_is_valid(service: Service) -> None:
    numbered = {"predicate": "licence-number-valid"}
    assert says(service, **numbered) == "no"
    issued = service.issue()
    assert says(service, **numbered, case_number="2") == "yes"
    spelt = {"number": f" {str(sample(FOOD)['no']).lower()} ", "type": FOOD}
    assert says(service, **numbered, case_number="3", parameters=spelt) == "yes"
    service.set_state(issued["record_id"], "deregistered", "holder-request")
    assert says(service, **numbered, case_number="4") == "no"


def test_a_number_and_a_name_belong_together(service: Service) -> None:
    pair = {"predicate": "number-belongs-to-name"}
    assert says(service, **pair) == "unknown", "no document, no answer"
    card = service.issue("id-card")
    assert says(service, **pair, case_number="2") == "yes"
    wide = {"subject": CITIZEN, "name": f"  {CITIZEN_NAME}　"}
    assert says(service, **pair, case_number="3", parameters=wide) == "yes"
    other = {"subject": CITIZEN, "name": "钱多多"}
    assert says(service, **pair, case_number="4", parameters=other) == "no"
    company = sample("business-licence")
    service.issue("business-licence")
    named = {"subject": company["uscc"], "name": company["name"]}
    assert says(service, **pair, case_number="5", parameters=named) == "yes"
    erase = f"/v1/licences/{card['record_id']}/erase"
    assert service.post("police", erase, {"reason": "unlawful-processing"}).status_code == 200
    assert says(service, **pair, case_number="6") == "unknown"


@pytest.mark.parametrize(
    ("born", "answer"),
    [("2008-09-20", "yes"), ("2008-09-21", "yes"), ("2008-09-22", "no"), ("2010-01-01", "no")],
)
def test_over_18(service: Service, born: str, answer: str) -> None:
    assert says(service) == "unknown", "without a card nobody's age is known"
    service.issue("id-card", birth=born)
    assert says(service, case_number="2") == answer


def test_the_day_of_birth_is_the_cards_not_the_numbers(service: Service) -> None:
    number = str(sample("id-card", 5)["idno"])
    assert says(service, parameters={"subject": number}) == "unknown"


def test_no_severe_dishonesty_of_a_person(service: Service) -> None:
    severe = {"predicate": PERSONAL, "purpose": "licensing"}
    assert says(service, **severe) == "yes"
    done = record(service, listing(CITIZEN), type_="severe-dishonesty", grade=None)
    record_id = done["record_id"]
    assert says(service, **severe, case_number="2") == "no"
    act(service, record_id, "dispute", "citizen", text="我已履行")
    assert says(service, **severe, case_number="3") == "no", "disputed is never silently yes"
    act(service, record_id, "uphold", reason="dispute-unfounded", text="尚未履行")
    assert says(service, **severe, case_number="4") == "no"
    service.clock.now = at(2027, 9, 19)
    act(
        service, record_id, "repair",
        reason="list-removed", duties_fulfilled=True, commitment_made=True,
    )  # fmt: skip
    repaired = ask(service, **severe, case_number="5")
    never = ask(service, **severe, parameters={"subject": COMPANY}, case_number="6")
    assert repaired["answer"] == never["answer"] == "yes"
    assert repaired.keys() == never.keys(), "no hint that there was an entry"


def test_no_severe_dishonesty_of_a_company_counts_from_publication(service: Service) -> None:
    severe: dict[str, Any] = {
        "predicate": PERSONAL,
        "purpose": "procurement",
        "parameters": {"subject": COMPANY},
        "legal_basis": "public-record",
    }
    done = record(service, listing(COMPANY), type_="severe-dishonesty", grade=None)
    assert says(service, **severe) == "yes", "what is unpublished may not be held against anyone"
    act(service, done["record_id"], "publish")
    assert says(service, **severe, case_number="2") == "no"
    act(service, done["record_id"], "withdraw", reason="decision-annulled")
    assert says(service, **severe, case_number="3") == "yes"


def test_an_entry_past_its_last_day_does_not_count_even_before_the_clock_acts(
    service: Service,
) -> None:
    severe = {"predicate": PERSONAL, "purpose": "licensing"}
    fields = listing(CITIZEN, until="2026-12-31")
    record(service, fields, type_="severe-dishonesty", grade=None)
    service.clock.now = at(2026, 12, 31, hour=23)
    assert says(service, **severe) == "no"
    service.clock.now = at(2027, 1, 1, hour=0)
    assert says(service, **severe, case_number="2") == "yes"


def test_what_no_register_can_say_is_unknown(service: Service) -> None:
    assert says(service, predicate="resident-here") == "unknown"


# ---- what leaves, and what is kept ---------------------------------------------------------------


def test_a_question_is_a_statement_of_the_operator(service: Service) -> None:
    service.issue("id-card")
    size = service.city.ledger.size
    answered = ask(service)
    assert (answered["answer"], answered["answer_zh"], answered["replayed"]) == ("yes", "是", False)
    assert (answered["index"], service.city.ledger.size) == (size, size + 1)
    statement = statement_at(service, answered["index"])
    assert statement.content.kind == kinds.QUESTION
    assert statement.issuer == service.city.issuer("operator")
    assert statement.subject == answered["question_id"]

    disclosure = b64decode(answered["disclosure"], max_bytes=9_999)
    assert holds_digest(statement, disclosure)
    asked = dict(parse_disclosure(disclosure).fields)
    subject = asked.pop("subject")
    assert asked == {
        "asker": "bank",
        "predicate": ADULT,
        "purpose": "public-service",
        "basis": "statutory-duty",
        "case": CASE,
        "answer": "yes",
        "at": service.clock.now,
    }
    assert len(bytes.fromhex(subject)) == 32
    assert parse_disclosure(disclosure).name == QUESTION_GROUP

    salt = b64decode(answered["salt"], max_bytes=16)
    rebuilt = make_disclosure("parameters", {"subject": CITIZEN}, salt)
    assert holds_digest(statement, rebuilt), "who knows the parameters can show what was asked"
    other = make_disclosure("parameters", {"subject": COMPANY}, salt)
    assert not holds_digest(statement, other)
    assert audit_findings(service) == []


def test_no_raw_field_in_reply_log_or_ledger(
    service: Service, folder: Path, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    card = service.issue("id-card")
    fields = sample("id-card")
    before = len(entries(service))
    replies = [
        service.post("bank", "/v1/claims", body, headers={"Idempotency-Key": f"key-{n}"})
        for n, body in enumerate(
            [
                question(),
                question("number-belongs-to-name"),
                question("holds-valid-licence", parameters={"subject": CITIZEN, "type": "id-card"}),
                question(PERSONAL, purpose="licensing"),
            ]
        )
    ]
    assert [reply.json()["answer"] for reply in replies] == ["yes", "yes", "yes", "yes"]
    mine = service.get("citizen", "/v1/me/questions")
    assert len(mine.json()["questions"]) == 4
    printed = capsys.readouterr()
    with service.city.store.read() as reader:
        rows = reader.connection.execute(QUESTIONS.select()).all()
        kept = repr([tuple(row) for row in rows])
        answers = reader.connection.exec_driver_sql("SELECT * FROM idempotency").all()
        kept += repr([tuple(row) for row in answers if "key-" in str(row)])
    assert len(rows) == 4
    places = {
        "replies": b"\n".join(
            reply.content + repr(dict(reply.headers)).encode() for reply in replies
        ),
        "decoded replies": b"\n".join(
            b64decode(reply.json()[name], max_bytes=9_999)
            for reply in replies
            for name in ("receipt", "disclosure", "salt")
        ),
        "log": (printed.out + printed.err + caplog.text).encode(),
        "rows": kept.encode() + b"".join(row.box for row in rows),
        "ledger": b"\n".join(entries(service)[before:]),
        "own log": mine.content,
        "disk": stored_bytes(folder),
    }
    secrets = [str(fields[name]) for name in ("name", "idno", "birth", "addr", "nation")]
    secrets += [card["identifier"], str(fields["birth"]).replace("-", "")]
    for place, data in places.items():
        for secret in secrets:
            assert secret.encode() not in data, place
    assert CASE.encode() in mine.content, "the search would see what is there"
    assert b"/v1/claims" in places["log"]


def test_a_name_in_a_disclosure_is_good_for_one_question(service: Service) -> None:
    names = set()
    for case in ("1", "2"):
        answered = ask(service, case_number=case)
        raw = b64decode(answered["disclosure"], max_bytes=9_999)
        names.add(parse_disclosure(raw).fields["subject"])
    assert len(names) == 2


def test_unknown_and_no_have_the_same_shape(service: Service) -> None:
    unknown = ask(service)
    service.issue("id-card", birth="2015-01-01")
    no = ask(service, case_number=CASE[::-1])
    assert (unknown["answer"], no["answer"]) == ("unknown", "no")
    assert unknown.keys() == no.keys() == ClaimAnswer.model_fields.keys()
    for name in ("receipt", "disclosure", "salt"):
        sizes = {len(b64decode(each[name], max_bytes=9_999)) for each in (unknown, no)}
        assert max(sizes) - min(sizes) <= len("unknown") - len("no") + 1


# ---- repetition ----------------------------------------------------------------------------------


def test_the_same_case_has_the_same_receipt_and_no_second_leaf(service: Service) -> None:
    first = ask(service)
    size = service.city.ledger.size
    service.clock.step(60 * service.city.settings.receipt_minutes)
    again = ask(service)
    assert again == {**first, "replayed": True}
    assert service.city.ledger.size == size
    service.clock.step(1)
    later = ask(service)
    assert later["replayed"] is False
    assert later["receipt"] != first["receipt"]
    assert service.city.ledger.size == size + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"case_number": "another"},
        {"purpose": "licensing"},
        {"parameters": {"subject": str(sample("id-card", 1)["idno"])}},
        {"predicate": "resident-here"},
    ],
)
def test_another_question_has_another_receipt(service: Service, changes: dict[str, Any]) -> None:
    first = ask(service)
    assert ask(service, **changes)["receipt"] != first["receipt"]


def test_another_client_has_another_receipt(service: Service) -> None:
    first = ask(service)
    assert ask(service, "market")["receipt"] != first["receipt"]


def test_spelling_does_not_make_another_question(service: Service) -> None:
    first = ask(service)
    spelt = " ".join(CITIZEN.lower())
    assert ask(service, parameters={"subject": spelt}, case_number=f" {CASE} ")["replayed"]
    assert ask(service)["receipt"] == first["receipt"]


def test_an_idempotency_key_gives_the_same_answer_later_too(service: Service) -> None:
    headers = {"Idempotency-Key": "q-1"}
    first = service.post("bank", "/v1/claims", question(), headers=headers)
    size = service.city.ledger.size
    service.clock.step(DAY)
    again = service.post("bank", "/v1/claims", question(), headers=headers)
    assert again.json() == {**first.json(), "replayed": True}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert service.city.ledger.size == size
    other = question(case_number="other")
    problem_of(
        service.post("bank", "/v1/claims", other, headers=headers), "idempotency-key-reused", 422
    )


def test_two_at_once_share_one_receipt(service: Service) -> None:
    size = service.city.ledger.size
    answers: list[dict[str, Any]] = []
    start = threading.Barrier(4)

    def run() -> None:
        start.wait()
        answers.append(ask(service))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each["receipt"] for each in answers}) == 1
    assert service.city.ledger.size == size + 1


# ---- who may not ask -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"predicate": "no-such"}, "catalogue-unknown-entry", 404),
        ({"purpose": None}, "claim-purpose-missing", 422),
        ({"purpose": "lending"}, "claim-purpose-not-allowed", 403),
        ({"purpose": "curiosity"}, "claim-purpose-not-allowed", 403),
        ({"legal_basis": None}, "claim-basis-missing", 422),
        ({"legal_basis": "public-record"}, "claim-basis-not-allowed", 403),
        ({"legal_basis": "own-request"}, "claim-basis-not-allowed", 403),
        ({"legal_basis": "because"}, "claim-basis-not-allowed", 403),
        ({"legal_basis": "consent"}, "claim-consent-missing", 403),
        ({"consent": "A" * 22}, "claim-consent-unexpected", 422),
        ({"case_number": None}, "claim-case-missing", 422),
        ({"case_number": "   "}, "claim-case-missing", 422),
        ({"case_number": "长" * 65}, "claim-case-invalid", 422),
        ({"case_number": "a\u0007b"}, "claim-case-invalid", 422),
        ({"parameters": {}}, "claim-parameters-invalid", 422),
        ({"parameters": {"subject": "110101199003070000"}}, "claim-parameters-invalid", 422),
        ({"parameters": {"subject": 7}}, "claim-parameters-invalid", 422),
        ({"parameters": {"subject": "9" * 300}}, "claim-parameters-invalid", 422),
        ({"parameters": {"subject": CITIZEN, "more": "x"}}, "claim-parameters-invalid", 422),
        ({"more": 1}, "request-invalid", 422),
    ],
    ids=lambda each: str(each)[:40],
)
def test_questions_that_are_refused(
    service: Service, changes: dict[str, Any], code: str, status: int
) -> None:
    refuse(service, code, status, **changes)


@pytest.mark.parametrize(
    ("predicate", "parameters", "code"),
    [
        ("holds-valid-licence", {"subject": COMPANY, "type": "no-type"}, "catalogue-unknown-type"),
        (
            "holds-valid-licence",
            {"subject": CITIZEN, "type": "marriage-certificate"},
            "claim-predicate-not-for-type",
        ),
        ("licence-number-valid", {"number": "JY1", "type": FOOD}, "code-food-licence-invalid"),
        ("number-belongs-to-name", {"subject": CITIZEN, "name": " "}, "field-missing"),
    ],
)
def test_parameters_that_are_refused(
    service: Service, predicate: str, parameters: dict[str, Any], code: str
) -> None:
    found = refuse(
        service, "claim-parameters-invalid", 422, predicate=predicate, parameters=parameters
    )
    assert [fault["code"] for fault in found["errors"]] == [code]


def test_a_refusal_does_not_repeat_what_was_asked(service: Service) -> None:
    wrong = f"{CITIZEN[:-1]}{'0' if CITIZEN[-1] != '0' else '1'}"
    answer = service.post("bank", "/v1/claims", question(parameters={"subject": wrong}))
    problem_of(answer, "claim-parameters-invalid", 422)
    assert wrong not in answer.text


def test_roles_that_may_not_ask(lender: Service) -> None:
    for who in ("clerk", "keeper", "auditor", "operator"):
        refuse(lender, "role-missing", 403, who)
    refuse(lender, "credentials-missing", 401, None)
    refuse(lender, "claim-predicate-not-allowed", 403, "credit-centre")
    refuse(lender, "claim-basis-not-allowed", 403, "lender")


def test_a_person_is_no_public_record(service: Service) -> None:
    public = {"legal_basis": "public-record", "purpose": "procurement"}
    for predicate, parameters in (
        (PERSONAL, {"subject": CITIZEN}),
        ("holds-valid-licence", {"subject": CITIZEN, "type": "driving-licence"}),
        (
            "licence-number-valid",
            {"number": sample("driving-licence")["fileno"], "type": "driving-licence"},
        ),
    ):
        refuse(
            service, "claim-person-not-public", 403,
            predicate=predicate, parameters=parameters, **public,
        )  # fmt: skip
    numbered = {"predicate": "licence-number-valid", **public}
    assert says(service, **numbered) == "no"


def test_a_subject_asks_about_itself_only(service: Service) -> None:
    own = {"legal_basis": "own-request", "purpose": "self-service"}
    service.issue("id-card")
    assert says(service, "citizen", **own) == "yes"
    refuse(service, "claim-not-own", 403, "company", **own)
    neighbour = {"subject": str(sample("id-card", 1)["idno"])}
    refuse(service, "claim-not-own", 403, "citizen", parameters=neighbour, **own)


# ---- consent -------------------------------------------------------------------------------------


def test_a_consent_is_good_for_one_question(lender: Service) -> None:
    given = consent(lender)
    first = ask(lender, "lender", **lending(given))
    assert first["answer"] == "yes"
    assert ask(lender, "lender", **lending(given))["receipt"] == first["receipt"], "same case"
    found = refuse(lender, "consent-used", 409, "lender", **lending(given, case_number="2"))
    assert found["title"] == "同意已用完"
    lender.clock.step(60 * lender.city.settings.receipt_minutes)
    lender.clock.step(1)
    refuse(lender, "consent-expired", 403, "lender", **lending(given))
    (mine,) = lender.get("citizen", "/v1/me/consents").json()["consents"]
    assert (mine["uses_left"], mine["usable"]) == (0, False)


def test_a_consent_for_several_uses(lender: Service) -> None:
    given = consent(lender, uses=2, minutes=60)
    for case in ("1", "2"):
        ask(lender, "lender", **lending(given, case_number=case))
    refuse(lender, "consent-used", 409, "lender", **lending(given, case_number="3"))


def test_another_purpose_needs_another_consent(lender: Service) -> None:
    given = consent(lender)
    refuse(lender, "consent-purpose-differs", 403, "lender", **lending(given, purpose="employment"))


def test_a_withdrawal_is_effective_at_once_and_past_receipts_stay(lender: Service) -> None:
    given = consent(lender, uses=5)
    receipt = ask(lender, "lender", **lending(given))["receipt"]
    path = f"/v1/me/consents/{given}/withdraw"
    assert lender.post("citizen", path).json()["usable"] is False
    lender.clock.step(1)
    assert lender.post("citizen", path).json()["withdrawn_at"], "repeating is harmless"
    for case in (CASE, "2"):
        changes = lending(given, case_number=case)
        refuse(lender, "consent-withdrawn", 403, "lender", **changes)
    answer = lender.post(None, "/v1/receipts/verify", {"receipt": receipt})
    assert answer.json()["answer"] == "yes"


def test_a_consent_ends_by_itself(lender: Service) -> None:
    given = consent(lender, minutes=10)
    lender.clock.step(601)
    refuse(lender, "consent-expired", 403, "lender", **lending(given))


def test_consents_that_do_not_fit(lender: Service) -> None:
    add_caller(lender, "rival", Role.PRIVATE_VERIFIER)
    given = consent(lender)
    refuse(lender, "consent-unknown", 404, "rival", **lending(given))
    refuse(lender, "consent-unknown", 404, "lender", **lending("A" * 22))
    neighbour = {"subject": str(sample("id-card", 1)["idno"])}
    refuse(lender, "consent-does-not-fit", 403, "lender", **lending(given, parameters=neighbour))
    hold = {
        "predicate": "holds-valid-licence",
        "parameters": {"subject": CITIZEN, "type": "id-card"},
    }
    refuse(lender, "consent-does-not-fit", 403, "lender", **{**lending(given), **hold})


def test_one_consent_cannot_be_used_twice_at_once(lender: Service) -> None:
    given = consent(lender)
    codes: list[str] = []
    start = threading.Barrier(4)

    def run(case: int) -> None:
        start.wait()
        body = question(**lending(given, case_number=str(case)))
        codes.append(lender.post("lender", "/v1/claims", body).json().get("code", "answered"))

    threads = [threading.Thread(target=run, args=(case,)) for case in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == ["answered", "consent-used", "consent-used", "consent-used"]


@pytest.mark.parametrize(
    ("who", "changes", "code"),
    [
        ("market", {}, "role-missing"),
        ("citizen", {"client": "nobody"}, "client-unknown"),
        ("citizen", {"client": "clerk"}, "client-unknown"),
        ("citizen", {"predicate": "no-such"}, "catalogue-unknown-entry"),
        ("citizen", {"predicate": "licence-number-valid"}, "claim-purpose-not-allowed"),
        ("citizen", {"purpose": "curiosity"}, "claim-purpose-not-allowed"),
        ("citizen", {"minutes": 0}, "request-invalid"),
        ("citizen", {"uses": 101}, "request-invalid"),
        (None, {}, "credentials-missing"),
    ],
)
def test_consents_that_are_refused(
    lender: Service, who: str | None, changes: dict[str, Any], code: str
) -> None:
    body = {"client": "lender", "predicate": PERSONAL, "purpose": "lending", **changes}
    problem_of(lender.post(who, "/v1/me/consents", body), code)
    assert lender.get("citizen", "/v1/me/consents").json()["consents"] == []


def test_a_consent_says_what_it_is_for_and_is_its_subjects_alone(lender: Service) -> None:
    given = consent(lender)
    (mine,) = lender.get("citizen", "/v1/me/consents").json()["consents"]
    assert mine["id"] == given
    assert "无严重失信主体名单记录" in mine["text_zh"]
    assert "贷前审查" in mine["text_zh"]
    assert lender.get("company", "/v1/me/consents").json()["consents"] == []
    problem_of(lender.post("company", f"/v1/me/consents/{given}/withdraw"), "consent-unknown", 404)
    problem_of(lender.post("citizen", "/v1/me/consents/short/withdraw"), "request-invalid", 422)


def test_giving_a_consent_again_under_the_same_key_gives_one(lender: Service) -> None:
    body = {"client": "lender", "predicate": PERSONAL, "purpose": "lending"}
    headers = {"Idempotency-Key": "give-1"}
    answers = [lender.post("citizen", "/v1/me/consents", body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(lender.get("citizen", "/v1/me/consents").json()["consents"]) == 1


# ---- receipts ------------------------------------------------------------------------------------


def test_a_receipt_is_checked_online_and_offline(service: Service) -> None:
    service.issue("id-card")
    answered = ask(service)
    read = service.post(None, "/v1/receipts/verify", {"receipt": answered["receipt"]}).json()
    assert (read["answer"], read["predicate"], read["asker"]) == ("yes", ADULT, "bank")
    statement = statement_at(service, answered["index"])
    assert read["question_leaf"] == statement.leaf.hex()
    assert bytes.fromhex(read["asked"]) in statement.content.digests
    pack = service.get(None, "/v1/pack").content
    trust = open_pack(pack)
    raw = b64decode(answered["receipt"], max_bytes=9_999)
    receipt = open_receipt(raw, trust, service.city.now())
    assert (receipt.answer, receipt.question_id) == ("yes", answered["question_id"])
    assert receipt.expires_at - receipt.issued_at == 600
    signed_by = parse_sign1(raw, typ=RECEIPT, max_bytes=9_999).kid
    assert trust.authorities.keys[signed_by].is_operators


def test_receipts_that_are_refused(service: Service) -> None:
    answered = ask(service)
    raw = bytearray(b64decode(answered["receipt"], max_bytes=9_999))
    raw[-1] ^= 1
    statement = statement_at(service, answered["index"]).raw
    for given, code in (
        (b64encode(bytes(raw)), "receipt-wrong-signer"),
        (b64encode(statement), None),
        ("not base64!", "base64-malformed"),
        ("", None),
    ):
        answer = service.post(None, "/v1/receipts/verify", {"receipt": given})
        assert answer.status_code == 422
        problem_of(answer, code or answer.json()["code"], 422)
    service.clock.step(601)
    problem_of(
        service.post(None, "/v1/receipts/verify", {"receipt": answered["receipt"]}),
        "receipt-expired",
        422,
    )


# ---- who asked -----------------------------------------------------------------------------------


def test_the_subject_sees_who_asked(lender: Service) -> None:
    given = consent(lender)
    first = ask(lender)
    second = ask(lender, "lender", **lending(given))
    ask(lender, parameters={"subject": str(sample("id-card", 1)["idno"])}, case_number="other")
    mine = lender.get("citizen", "/v1/me/questions").json()["questions"]
    assert [(q["client"], q["predicate"], q["answer"]) for q in mine] == [
        ("lender", PERSONAL, "yes"),
        ("bank", ADULT, "unknown"),
    ]
    newest = mine[0]
    assert newest["client_name"] == "测试 lender"
    assert (newest["purpose_zh"], newest["legal_basis_zh"]) == ("贷前审查", "个人同意")
    assert (newest["case_number"], newest["consent"]) == (CASE, given)
    assert (newest["index"], newest["proof"]) == (second["index"], second["proof"])
    assert mine[1]["at"] == first["issued_at"]
    assert lender.get(None, newest["proof"]).status_code == 200
    assert lender.get("company", "/v1/me/questions").json()["questions"] == []
    problem_of(lender.get("bank", "/v1/me/questions"), "role-missing", 403)
    problem_of(lender.get(None, "/v1/me/questions"), "credentials-missing", 401)


def test_the_holder_sees_questions_about_its_licence_number(service: Service) -> None:
    service.issue()
    ask(service, predicate="licence-number-valid")
    mine = service.get("company", "/v1/me/questions").json()["questions"]
    assert [q["predicate"] for q in mine] == ["licence-number-valid"]


def test_both_spouses_see_a_question_about_them(service: Service) -> None:
    spouse = str(sample("id-card", 1)["idno"])
    add_caller(service, "spouse", Role.SUBJECT, subject=spouse)
    given = consent(service, client="bank", predicate="married-to", purpose="public-service")
    married = {"predicate": "married-to", "legal_basis": "consent", "consent": given}
    assert says(service, **married) == "unknown", "no register of marriages here"
    for who in ("citizen", "spouse"):
        mine = service.get(who, "/v1/me/questions").json()["questions"]
        assert [q["predicate"] for q in mine] == ["married-to"]


def test_questions_page(service: Service) -> None:
    for case in range(5):
        ask(service, case_number=str(case))
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
        page = service.get("citizen", "/v1/me/questions", params=params).json()
        seen += [q["case_number"] for q in page["questions"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ["4", "3", "2", "1", "0"]
    problem_of(
        service.get("citizen", "/v1/me/questions", params={"cursor": "x"}), "cursor-invalid", 422
    )
