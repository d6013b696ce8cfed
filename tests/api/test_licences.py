"""Licences over HTTP: issue, renew, change, look up, hand out."""

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from api.checking import verify
from api.errors import ServiceError
from api.licence_rows import Issued, StateChanged
from api.licences import Licences
from api.principals import authenticate
from api.tables import LICENCES
from ledger.errors import LedgerError
from tests.api.records import stored_bytes
from tests.api.service import DAY, Clock, Service, open_copy, problem_of, sample
from verifier.disclosure import check_disclosures, parse_disclosure
from verifier.image import read_code
from verifier.kinds import LICENCE, LICENCE_STATE
from verifier.merkle import leaf_hash
from verifier.proof import check_proof, parse_proof
from verifier.qr import format_qr, parse_qr
from verifier.statement import parse_statement
from verifier.states import BY_NAME, STATES, SUSPENDED, may_follow

REASONS = {
    "valid": "suspension-ended",
    "suspended": "penalty-suspension",
    "lapsed": "expired-without-renewal",
    "recalled": "public-interest",
    "rescinded": "obtained-by-deceit",
    "deregistered": "holder-request",
    "revoked": "penalty-revocation",
    "transferred": "transferred-out",
}


def entries_of(service: Service) -> list[bytes]:
    ledger = service.city.ledger
    return [ledger.entry(index) for index in range(ledger.size)]


# issuing


@pytest.mark.parametrize("type_", ["business-licence", "food-licence", "id-card", "hygiene-permit"])
def test_an_issued_licence_is_in_the_ledger_and_green(service: Service, type_: str) -> None:
    issued = service.issue(type_)
    statement = parse_statement(b64decode(issued["statement"]))
    issuer = service.city.catalogue.licence_type(type_).issuer
    assert statement.content.kind == LICENCE
    assert statement.issuer == f"{service.city.origin}/{issuer}"
    assert statement.subject == issued["record_id"]
    assert service.city.ledger.entry(issued["index"]) == statement.raw
    assert leaf_hash(statement.raw).hex() == issued["leaf"]
    disclosures = [b64decode(raw) for raw in issued["disclosures"]]
    assert len(check_disclosures(disclosures, statement.content.digests)) == len(
        statement.content.digests
    )
    proof = parse_proof(service.get(None, issued["proof"]).content)
    log_key = service.city.trust().log_key
    assert check_proof(proof, statement.raw, log_key, None).size == service.city.ledger.size
    verdict = service.verify(issued["qr"])
    assert (verdict["colour"], verdict["code"]) == ("green", "valid")
    assert verdict["record"]["index"] == issued["index"]


def test_the_compact_code_shows_the_face_alone(service: Service) -> None:
    issued = service.issue("id-card")
    shown = [parse_disclosure(raw) for raw in parse_qr(issued["qr"]).disclosures]
    assert [each.name for each in shown] == ["face"]
    assert sample("id-card")["idno"] not in str(shown)
    assert service.verify(issued["qr"])["licence"]["undisclosed"] == 3


def test_every_fault_of_the_fields_is_told(service: Service) -> None:
    fields = {**sample("food-licence"), "no": "JY1", "colour": "red", "premises": "  "}
    answer = service.post("market", "/v1/licences", {"type": "food-licence", "fields": fields})
    errors = problem_of(answer, "fields-invalid", 422)["errors"]
    assert {(each["field"], each["code"]) for each in errors} == {
        ("no", "code-food-licence-invalid"),
        ("colour", "field-unknown"),
        ("premises", "field-missing"),
    }
    assert all(each["zh"] and each["en"] for each in errors)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"from": "2026-09-01", "until": "2026-08-31"}, "licence-dates-invalid"),
        ({"from": "2026-02-30"}, "fields-invalid"),
        ({"name": "\ud800"}, "fields-invalid"),
        ({"name": float("nan")}, "fields-invalid"),
        ({"name": ["a"]}, "fields-invalid"),
        ({"name": "长" * 101}, "fields-invalid"),
        ({"name": None}, "fields-invalid"),
    ],
)
def test_impossible_fields_are_refused(service: Service, changes: Any, code: str) -> None:
    size = service.city.ledger.size
    fields = {**sample("food-licence"), **changes}
    text = json.dumps({"type": "food-licence", "fields": fields})
    headers = {"Content-Type": "application/json"}
    answer = service.call("market", "POST", "/v1/licences", content=text, headers=headers)
    problem_of(answer, code, 422)
    assert service.city.ledger.size == size


@pytest.mark.parametrize(
    ("who", "code", "status"),
    [
        (None, "credentials-missing", 401),
        ("police", "department-mismatch", 403),
        ("bank", "role-missing", 403),
        ("operator", "role-missing", 403),
        ("company", "role-missing", 403),
    ],
)
def test_only_the_issuing_department_issues(
    service: Service, who: str | None, code: str, status: int
) -> None:
    body = {"type": "food-licence", "fields": sample("food-licence")}
    problem_of(service.post(who, "/v1/licences", body), code, status)
    problem_of(service.post(who, "/v1/licences/batch", {"licences": [body]}), code, status)


def test_an_unknown_type_is_refused(service: Service) -> None:
    answer = service.post("market", "/v1/licences", {"type": "dog-licence", "fields": {}})
    problem_of(answer, "catalogue-unknown-type", 404)


def test_the_same_licence_twice(service: Service) -> None:
    service.issue()
    body = {"type": "food-licence", "fields": sample("food-licence")}
    problem_of(service.post("market", "/v1/licences", body), "licence-exists", 409)


def test_a_holder_has_one_licence_of_a_type_until_it_ends(service: Service) -> None:
    first = service.issue("driving-licence")
    other = {**sample("driving-licence"), "fileno": sample("driving-licence", 1)["fileno"]}
    body = {"type": "driving-licence", "fields": other}
    problem_of(service.post("police", "/v1/licences", body), "licence-holder-has-one", 409)
    service.set_state(first["record_id"], "suspended", "penalty-suspension", "police")
    problem_of(service.post("police", "/v1/licences", body), "licence-holder-has-one", 409)
    service.set_state(first["record_id"], "deregistered", "holder-deceased", "police")
    assert service.post("police", "/v1/licences", body).status_code == 201


def test_a_food_licence_is_for_each_premises(service: Service) -> None:
    service.issue()
    service.issue(no=sample("food-licence", 1)["no"], premises="证链市示例区二号店")


# many


def test_many_are_logged_in_order(service: Service) -> None:
    wanted = [{"type": "food-licence", "fields": sample("food-licence", n)} for n in range(40)]
    size = service.city.ledger.size
    answer = service.post("market", "/v1/licences/batch", {"licences": wanted})
    assert answer.status_code == 201, answer.text
    issued = answer.json()["licences"]
    assert [each["index"] for each in issued] == list(range(size, size + 40))
    for request, each in zip(wanted, issued, strict=True):
        shown = service.get("market", f"/v1/licences/{each['record_id']}").json()
        assert shown["fields"]["no"] == request["fields"]["no"]
    assert len({each["record_id"] for each in issued}) == 40
    assert service.verify(issued[-1]["qr"])["colour"] == "green"


def test_many_are_all_or_none_and_every_fault_is_told(service: Service) -> None:
    size = service.city.ledger.size
    good = {"type": "food-licence", "fields": sample("food-licence")}
    broken = {"type": "food-licence", "fields": {**sample("food-licence", 1), "no": "X", "a": 1}}
    unknown = {"type": "dog-licence", "fields": {}}
    dates = {
        "type": "food-licence",
        "fields": {**sample("food-licence", 2), "until": "2001-01-01"},
    }
    body = {"licences": [good, broken, unknown, dates]}
    problem = problem_of(service.post("market", "/v1/licences/batch", body), "fields-invalid", 422)
    assert [(each["row"], each["code"]) for each in problem["errors"]] == [
        (1, "code-food-licence-invalid"),
        (1, "field-unknown"),
        (2, "catalogue-unknown-type"),
        (3, "licence-dates-invalid"),
    ]
    assert service.city.ledger.size == size
    service.issue()  # the good row took nothing


@pytest.mark.parametrize("again", ["inside", "before"])
def test_a_repeated_row_leaves_nothing(service: Service, again: str) -> None:
    if again == "before":
        service.issue(number=2)
    size = service.city.ledger.size
    rows = [sample("food-licence", n) for n in ([0, 1, 0] if again == "inside" else [0, 1, 2])]
    body = {"licences": [{"type": "food-licence", "fields": row} for row in rows]}
    problem_of(service.post("market", "/v1/licences/batch", body), "licence-exists", 409)
    assert service.city.ledger.size == size
    service.issue(number=0)


def test_many_are_at_most_a_thousand(service: Service) -> None:
    row = {"type": "food-licence", "fields": {}}
    answer = service.post("market", "/v1/licences/batch", {"licences": [row] * 1001})
    problem_of(answer, "request-invalid", 422)
    problem_of(
        service.post("market", "/v1/licences/batch", {"licences": []}), "request-invalid", 422
    )


def test_many_of_another_department_are_refused_whole(service: Service) -> None:
    rows = [
        {"type": "food-licence", "fields": sample("food-licence")},
        {"type": "id-card", "fields": sample("id-card")},
    ]
    answer = service.post("market", "/v1/licences/batch", {"licences": rows})
    problem_of(answer, "department-mismatch", 403)


# renewing


def renewal(service: Service, record_id: str, **changes: Any) -> Any:
    fields = {**sample("food-licence"), "from": "2026-09-22", "until": "2031-09-21", **changes}
    body = {"type": "food-licence", "fields": fields, "renews": record_id}
    return service.post("market", "/v1/licences", body)


def test_a_renewal_names_its_predecessor(service: Service) -> None:
    first = service.issue()
    answer = renewal(service, first["record_id"])
    assert answer.status_code == 201, answer.text
    second = answer.json()
    content = parse_statement(b64decode(second["statement"])).content
    assert content.predecessor is not None
    assert content.predecessor.hex() == first["leaf"]
    shown = service.get("market", f"/v1/licences/{second['record_id']}").json()
    assert (shown["version"], shown["valid_until"]) == (2, "2031-09-21")
    assert first["identifier"].split(".")[:-2] == second["identifier"].split(".")[:-2]
    assert ".001." in first["identifier"]
    assert ".002." in second["identifier"]
    old = service.get("market", f"/v1/licences/{first['record_id']}").json()
    assert old["renewed_by"] == second["record_id"]
    assert service.verify(second["qr"])["colour"] == "green"


def test_a_renewal_follows_the_last_act(service: Service) -> None:
    first = service.issue()
    service.set_state(first["record_id"], "suspended", "penalty-suspension")
    changed = service.set_state(first["record_id"], "valid", "suspension-ended")
    second = renewal(service, first["record_id"]).json()
    content = parse_statement(b64decode(second["statement"])).content
    assert content.predecessor is not None
    assert content.predecessor.hex() == changed["leaf"]


def test_what_cannot_be_renewed(service: Service) -> None:
    first = service.issue()
    assert renewal(service, first["record_id"]).status_code == 201
    problem_of(renewal(service, first["record_id"]), "licence-renewed", 409)
    problem_of(renewal(service, "A" * 22), "licence-unknown", 404)
    ended = service.issue(number=1)
    service.set_state(ended["record_id"], "deregistered", "holder-request")
    problem_of(renewal(service, ended["record_id"]), "licence-ended", 409)
    other = service.issue("business-licence", 2)
    problem_of(renewal(service, other["record_id"]), "renewal-of-another", 422)


def test_a_holder_with_one_licence_may_renew_it(service: Service) -> None:
    first = service.issue("id-card")
    body = {
        "type": "id-card",
        "fields": {**sample("id-card"), "from": "2026-09-22", "until": "2046-09-22"},
        "renews": first["record_id"],
    }
    assert service.post("police", "/v1/licences", body).status_code == 201


def test_one_of_two_renewals_in_a_batch_is_too_many(service: Service) -> None:
    first = service.issue()
    rows = [
        {
            "type": "food-licence",
            "fields": {
                **sample("food-licence"),
                "no": sample("food-licence", number)["no"],
                "until": "2031-09-21",
            },
            "renews": first["record_id"],
        }
        for number in (0, 1)
    ]
    size = service.city.ledger.size
    answer = service.post("market", "/v1/licences/batch", {"licences": rows})
    problem_of(answer, "licence-changed-meanwhile", 409)
    assert service.city.ledger.size == size


# changing the state


def test_a_change_of_state_is_a_statement(service: Service) -> None:
    issued = service.issue()
    changed = service.set_state(issued["record_id"], "suspended", "penalty-suspension")
    statement = parse_statement(service.city.ledger.entry(changed["index"]))
    content = statement.content
    assert (content.kind, content.state) == (LICENCE_STATE, BY_NAME["suspended"].number)
    assert content.reason == "penalty-suspension"
    assert statement.subject == issued["record_id"]
    assert content.predecessor is not None
    assert content.predecessor.hex() == issued["leaf"]
    back = service.set_state(issued["record_id"], "valid", "suspension-ended")
    content = parse_statement(service.city.ledger.entry(back["index"])).content
    assert content.predecessor is not None
    assert content.predecessor.hex() == changed["leaf"]
    acts = service.get("market", f"/v1/licences/{issued['record_id']}").json()["acts"]
    assert [(act["state"], act["index"]) for act in acts] == [
        ("suspended", changed["index"]),
        ("valid", back["index"]),
    ]


def test_transitions_are_those_of_the_law(service: Service) -> None:
    names = [name for name in BY_NAME if name != "transferred"]
    for number, (before, after) in enumerate(product(names, names)):
        record_id = service.issue(number=number)["record_id"]
        if before != "valid":
            service.set_state(record_id, before, REASONS[before])
        body = {"state": after, "reason": REASONS[after]}
        size = service.city.ledger.size
        answer = service.post("market", f"/v1/licences/{record_id}/state", body)
        if may_follow(BY_NAME[before].number, BY_NAME[after].number, REASONS[after]):
            assert answer.status_code == 200, (before, after)
            assert answer.json()["zh"] == BY_NAME[after].zh
        else:
            problem_of(answer, "transition-forbidden", 409)
            assert service.city.ledger.size == size


def test_only_an_error_leads_back_from_an_end(service: Service) -> None:
    record_id = service.issue()["record_id"]
    service.set_state(record_id, "revoked", "penalty-revocation")
    service.set_state(record_id, "valid", "revoked-in-error")
    service.set_state(record_id, "revoked", "food-safety-revocation")


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ({"state": "revoked", "reason": "suspension-ended"}, "reason-does-not-fit", 422),
        ({"state": "revoked", "reason": "duties-fulfilled"}, "reason-does-not-fit", 422),
        ({"state": "transferred", "reason": "transferred-out"}, "reason-does-not-fit", 422),
        ({"state": "revoked", "reason": "no-such-reason"}, "catalogue-unknown-entry", 404),
        ({"state": "gone", "reason": "penalty-revocation"}, "request-invalid", 422),
        ({"state": "revoked"}, "request-invalid", 422),
        ({"state": "valid", "reason": "suspension-ended"}, "transition-forbidden", 409),
    ],
)
def test_wrong_changes_are_refused(
    service: Service, body: dict[str, str], code: str, status: int
) -> None:
    record_id = service.issue()["record_id"]
    problem_of(service.post("market", f"/v1/licences/{record_id}/state", body), code, status)


@pytest.mark.parametrize(
    ("who", "state", "code"),
    [
        ("clerk", "suspended", None),
        ("keeper", "suspended", None),
        ("clerk", "revoked", "role-missing"),
        ("keeper", "revoked", None),
        ("police", "suspended", "department-mismatch"),
        ("operator", "suspended", "role-missing"),
        ("company", "suspended", "role-missing"),
    ],
)
def test_who_may_change_a_state(service: Service, who: str, state: str, code: str | None) -> None:
    record_id = service.issue()["record_id"]
    body = {"state": state, "reason": REASONS[state]}
    answer = service.post(who, f"/v1/licences/{record_id}/state", body)
    if code is None:
        assert answer.status_code == 200, answer.text
    else:
        problem_of(answer, code, 403)


def test_a_clerk_does_not_restore_what_has_ended(service: Service) -> None:
    record_id = service.issue()["record_id"]
    service.set_state(record_id, "revoked", "penalty-revocation", "keeper")
    body = {"state": "valid", "reason": "revoked-in-error"}
    path = f"/v1/licences/{record_id}/state"
    problem_of(service.post("clerk", path, body), "role-missing", 403)
    assert service.post("keeper", path, body).status_code == 200


def test_unknown_and_impossible_record_ids(service: Service) -> None:
    problem_of(service.get("market", f"/v1/licences/{'A' * 22}"), "licence-unknown", 404)
    problem_of(service.get("market", "/v1/licences/short"), "request-invalid", 422)


@pytest.mark.parametrize("what", ["state", "renewal"])
def test_of_two_clerks_at_once_one_wins(service: Service, what: str) -> None:
    """Both have read the licence before either writes."""
    use = service.client.app.state.services  # type: ignore[attr-defined]
    record_id = service.issue()["record_id"]
    caller = authenticate(service.city.store, service.keys["market"])
    type_ = service.city.catalogue.licence_type("food-licence")
    held, both_read = use.licences.held, threading.Barrier(2)

    def read_then_wait(record: str) -> Any:
        found = held(record)
        both_read.wait(timeout=10)
        return found

    use.licences.held = read_then_wait
    outcomes: list[object] = []

    def act(number: int) -> None:
        fields = {**sample("food-licence"), "until": f"2031-01-0{number + 1}"}
        try:
            if what == "state":
                reason = ("penalty-suspension", "ordered-to-stop")[number]
                outcomes.append(use.licences.change_state(caller, record_id, 2, reason))
            else:
                outcomes.append(use.licences.issue(caller, type_, fields, renews=record_id))
        except Exception as error:  # noqa: BLE001 - the loser's refusal is looked at below
            outcomes.append(error)

    clerks = [threading.Thread(target=act, args=(number,)) for number in range(2)]
    size = service.city.ledger.size
    for clerk in clerks:
        clerk.start()
    for clerk in clerks:
        clerk.join()
    # A renewal is two entries: the new licence, and the end of the one it replaces.
    assert service.city.ledger.size == size + (1 if what == "state" else 2)
    codes = sorted(getattr(outcome, "code", "won") for outcome in outcomes)
    assert codes == ["licence-changed-meanwhile" if what == "state" else codes[0], "won"]
    assert codes[0] in ("licence-changed-meanwhile", "licence-exists")
    if what == "state":
        won = next(each for each in outcomes if isinstance(each, StateChanged))
        shown = service.get("market", f"/v1/licences/{record_id}")
        use.licences.held = held
        assert [act["reason"] for act in shown.json()["acts"]] == [won.reason]


# looking up


def test_the_holder_sees_its_own_alone(service: Service) -> None:
    own, other = service.issue(), service.issue(number=1)
    assert service.get("company", f"/v1/licences/{own['record_id']}").status_code == 200
    path = f"/v1/licences/{own['record_id']}/qr"
    assert service.get("company", path).status_code == 200
    for who, record_id in [
        ("company", other["record_id"]),
        ("citizen", own["record_id"]),
        ("police", own["record_id"]),
        ("bank", own["record_id"]),
        ("operator", own["record_id"]),
        ("auditor", own["record_id"]),
    ]:
        for path in (f"/v1/licences/{record_id}", f"/v1/licences/{record_id}/qr"):
            answer = service.get(who, path)
            assert answer.status_code == 403, (who, answer.text)
            assert "name" not in answer.text


def test_content_that_was_erased_is_gone(service: Service) -> None:
    issued = service.issue()
    with service.city.store.write() as writer:
        row = LICENCES.c.record_id == issued["record_id"]
        writer.connection.execute(update(LICENCES).where(row).values(wrapped_key=None, box=None))
        writer.commit()
    problem_of(service.get("market", f"/v1/licences/{issued['record_id']}"), "record-erased", 410)
    path = f"/v1/licences/{issued['record_id']}/qr"
    problem_of(service.get("market", path), "record-erased", 410)


def test_content_that_was_swapped_is_noticed(service: Service) -> None:
    """The box of one record is bound to it: another record's row does not open it."""
    first, second = service.issue(), service.issue(number=1)
    use = service.client.app.state.services  # type: ignore[attr-defined]
    other = use.licences.row(second["record_id"])
    with service.city.store.write() as writer:
        row = LICENCES.c.record_id == first["record_id"]
        values = {"wrapped_key": other.wrapped_key, "box": other.box}
        writer.connection.execute(update(LICENCES).where(row).values(**values))
        writer.commit()
    problem_of(service.get("market", f"/v1/licences/{first['record_id']}"), "record-damaged", 500)


def pages(service: Service, who: str = "market", **query: Any) -> list[list[dict[str, Any]]]:
    found, cursor = [], None
    while True:
        params = {**query, **({} if cursor is None else {"cursor": cursor})}
        answer = service.get(who, "/v1/licences", params=params)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["licences"])
        cursor = answer.json()["next"]
        if cursor is None:
            return found


def test_a_list_goes_by_pages(service: Service) -> None:
    issued = [service.issue(number=n)["record_id"] for n in range(7)]
    listed = pages(service, limit=3)
    assert [len(page) for page in listed] == [3, 3, 1]
    assert [each["record_id"] for page in listed for each in page] == issued[::-1]
    assert [len(page) for page in pages(service, limit=7)] == [7]
    assert pages(service, "police") == [[]]
    assert "name" not in listed[0][0]


def test_new_licences_do_not_disturb_a_list(service: Service) -> None:
    issued = [service.issue(number=n)["record_id"] for n in range(4)]
    first = service.get("market", "/v1/licences", params={"limit": 2}).json()
    service.issue(number=4)
    rest = service.get("market", "/v1/licences", params={"cursor": first["next"]}).json()
    both = first["licences"] + rest["licences"]
    assert [each["record_id"] for each in both] == issued[::-1]


def test_a_list_is_filtered(service: Service) -> None:
    food, business = service.issue(), service.issue("business-licence", 1)
    service.set_state(food["record_id"], "suspended", "penalty-suspension")

    def ids(**query: Any) -> list[str]:
        return [each["record_id"] for page in pages(service, **query) for each in page]

    code = service.city.catalogue.licence_type("food-licence").code
    assert ids(type="food-licence") == ids(type=code) == [food["record_id"]]
    assert ids(state="valid") == [business["record_id"]]
    assert ids(state="suspended", type="business-licence") == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"cursor": "+1"}, "cursor-invalid"),
        ({"cursor": "９"}, "cursor-invalid"),
        ({"cursor": "1" * 19}, "cursor-invalid"),
        ({"cursor": ""}, "cursor-invalid"),
        ({"limit": 0}, "request-invalid"),
        ({"limit": 501}, "request-invalid"),
        ({"state": "gone"}, "request-invalid"),
        ({"type": "dog"}, "catalogue-unknown-type"),
    ],
)
def test_wrong_lists_are_refused(service: Service, query: dict[str, Any], code: str) -> None:
    problem_of(service.get("market", "/v1/licences", params=query), code)


def test_search_by_number_and_by_holder(service: Service) -> None:
    first = service.issue()
    second = renewal(service, first["record_id"]).json()
    other = service.issue("business-licence", 0)
    number, holder = sample("food-licence")["no"], sample("food-licence")["uscc"]

    def ids(body: dict[str, str], who: str = "market") -> list[str]:
        answer = service.post(who, "/v1/licences/search", body)
        assert answer.status_code == 200, answer.text
        return [each["record_id"] for each in answer.json()["licences"]]

    both = [first["record_id"], second["record_id"]]
    assert ids({"type": "food-licence", "number": number}) == both
    assert ids({"type": "food-licence", "number": f" {number.lower()} "}) == both
    assert ids({"type": "business-licence", "number": number}) == []
    assert ids({"holder": holder.lower()}) == [*both, other["record_id"]]
    assert ids({"holder": holder}, "police") == []
    for body in ({}, {"number": number}, {"holder": holder, "type": "food-licence"}):
        answer = service.post("market", "/v1/licences/search", body)
        problem_of(answer, "request-invalid", 422)
    problem_of(service.post("company", "/v1/licences/search", {"holder": holder}), "role-missing")


def test_no_route_takes_a_number_or_name_in_its_address(service: Service) -> None:
    document = service.get(None, "/openapi.json").json()
    names = {
        parameter["name"]
        for path, operations in document["paths"].items()
        if path != "/v1/public/credits"  # companies alone, by a code that is public
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] in ("path", "query")
    }
    assert names.isdisjoint({"number", "holder", "idno", "uscc", "name", "subject", "code"})


# codes


@pytest.mark.parametrize("profile", ["compact", "transparent"])
def test_a_code_as_text_and_picture(service: Service, profile: str) -> None:
    path = f"/v1/licences/{service.issue()['record_id']}/qr"
    text = service.get("market", path, params={"profile": profile, "format": "text"}).text
    png = service.get("market", path, params={"profile": profile})
    assert png.headers["content-type"] == "image/png"
    shown = [parse_qr(each) for each in (text, read_code(png.content))]
    assert shown[0].statement.raw == shown[1].statement.raw
    assert (shown[0].proof is not None) == (profile == "transparent")
    svg = service.get("market", path, params={"profile": profile, "format": "svg"})
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert svg.text.startswith("<svg ")
    verdict = service.verify(text)
    assert verdict["colour"] == "green"


def test_a_code_shows_the_groups_that_were_asked_for(service: Service) -> None:
    record_id = service.issue("id-card")["record_id"]
    path = f"/v1/licences/{record_id}/qr"
    params = {"format": "text", "groups": ["face", "idno"]}
    shown = service.verify(service.get("citizen", path, params=params).text)["licence"]
    codes = [field["code"] for field in shown["fields"]]
    assert "idno" in codes
    assert "birth" not in codes
    for groups in (["face", "photo"], ["photo"]):
        answer = service.get("citizen", path, params={"groups": groups})
        problem_of(answer, "disclosure-group-unknown", 422)
    problem_of(service.get("citizen", path, params={"profile": "large"}), "request-invalid", 422)


# what is kept


def personal(values: Mapping[str, Any]) -> set[str]:
    """Values that say something about somebody: names, numbers, addresses; dates are public."""
    texts = {value for value in values.values() if isinstance(value, str)}
    return {text for text in texts if len(text.encode()) > 5 and text[4:5] + text[7:8] != "--"}


def forms(text: str) -> list[bytes]:
    """A text as it might be stored: encoded, escaped, in base64 at each of three offsets."""
    raw = text.encode()
    shifted = [b64encode(bytes(pad) + raw)[4:-4] for pad in range(3)] if len(raw) > 8 else []
    return [raw, text.encode("utf-16-le"), json.dumps(text)[1:-1].encode(), *shifted]


def test_the_database_holds_nothing_personal_in_the_clear(service: Service) -> None:
    secrets: set[str] = set()
    for type_ in ("id-card", "food-licence", "business-licence", "driving-licence"):
        issued = service.issue(type_)
        secrets |= personal(sample(type_)) | {issued["identifier"]}
    number = sample("food-licence", 1)
    renewed = service.issue(number=1)
    second = renewal(service, renewed["record_id"], **{**number, "until": "2031-09-21"})
    secrets |= personal(number) | {second.json()["identifier"]}
    body = {"type": "food-licence", "number": number["no"]}
    assert len(service.post("market", "/v1/licences/search", body).json()["licences"]) == 2
    assert len(secrets) > 25
    kept = stored_bytes(service.city.settings.data)
    assert b"zl-s" in kept  # the statements are there
    for secret in secrets:
        for form in forms(secret):
            assert form not in kept, secret


def test_a_store_that_fails_leaves_nothing(service: Service) -> None:
    """What the ledger cannot store is not acknowledged, and the licence can be issued later."""
    ledger = service.city.ledger
    submit = ledger.submit

    def failing(*_: object, **__: object) -> None:
        raise LedgerError("ledger-store-failed", "disk full")

    ledger.submit = failing  # type: ignore[assignment,method-assign]
    body = {"type": "food-licence", "fields": sample("food-licence")}
    problem_of(service.post("market", "/v1/licences", body), "ledger-store-failed", 500)
    ledger.submit = submit  # type: ignore[method-assign]
    service.issue()


def test_validity_is_counted_in_days_of_the_city(service: Service) -> None:
    """A licence is good through its last day in China, and not a second longer."""
    qr = service.issue(**{"from": "2026-09-01", "until": "2026-09-22"})["qr"]
    assert service.verify(qr)["colour"] == "green"
    beijing_midnight = (service.clock.now + 8 * 3600) // DAY * DAY + DAY - 8 * 3600
    service.clock.now = beijing_midnight - 1
    assert service.verify(qr)["colour"] == "green"
    service.clock.now = beijing_midnight
    assert service.verify(qr)["code"] == "expired"


def test_states_of_the_law_have_their_words(service: Service) -> None:
    for number, state in STATES.items():
        if state.name in ("valid", "transferred"):
            continue
        issued = service.issue(number=number)
        service.set_state(issued["record_id"], state.name, REASONS[state.name])
        verdict = service.verify(issued["qr"])
        assert (verdict["colour"], verdict["code"]) == ("red", f"status-{state.name}")
        assert state.zh in verdict["zh"]
        assert verdict["status"]["state"] == number


def test_the_rules_change_at_midnight_in_china(service: Service) -> None:
    """The orders change on 2026-04-01: four in the morning there is still March in UTC."""
    found = []
    for at in (1_774_972_799, 1_774_972_800, 1_774_987_200):  # 23:59:59, 00:00:00, 04:00:00
        use = service.client.app.state.services  # type: ignore[attr-defined]
        found.append(use.licences.rule_set(at))
    assert found == ["order-58", "order-36", "order-36"]


def test_two_servers_share_one_database(service: Service, folder: Path, clock: Clock) -> None:
    """Each issues and changes what the other sees; no place of a status list is given twice."""
    other = open_copy(folder, clock)
    books = [Licences(service.city), Licences(other)]
    caller = authenticate(service.city.store, service.keys["market"])
    type_ = service.city.catalogue.licence_type("food-licence")
    issued: list[Issued] = []
    refused: list[str] = []

    def work(book: Licences) -> None:
        for number in range(20):
            try:
                issued.append(book.issue(caller, type_, sample("food-licence", number)))
            except ServiceError as error:
                refused.append(error.code)

    workers = [threading.Thread(target=work, args=(book,)) for book in books]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (len(issued), set(refused), len(refused)) == (20, {"licence-exists"}, 20)
    assert len({one.index for one in issued}) == 20
    places = {parse_statement(one.statement).content.status for one in issued}
    assert len(places) == 20
    for one, book in zip(issued, (books * 10), strict=True):
        book.change_state(caller, one.record_id, SUSPENDED, "penalty-suspension")
        code = format_qr(one.statement, one.disclosures)
        assert {verify(city, code).code for city in (service.city, other)} == {"status-suspended"}
    assert service.city.ledger.checkpoint() == other.ledger.checkpoint()
    other.close()
