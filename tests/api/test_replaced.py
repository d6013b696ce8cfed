"""A renewal whose term has begun ends the licence it renews; another's licence is not renewed."""

from typing import Any

from api.rules.days import iso_day
from api.tables import LICENCES
from tests.api.records import audit_findings
from tests.api.service import Service, problem_of, sample
from verifier.judge import judge
from verifier.pack import open_pack
from verifier.statement import parse_statement


def business(**changes: Any) -> dict[str, Any]:
    return {**sample("business-licence", 5), **changes}


def renew(service: Service, old: str, type_: str, fields: dict[str, Any]) -> Any:
    return service.post("market", "/v1/licences", {"type": type_, "fields": fields, "renews": old})


def test_the_replaced_licence_is_red_everywhere_and_the_new_one_green(service: Service) -> None:
    old = service.issue("business-licence", 5, rep="旧代表")
    answer = renew(service, old["record_id"], "business-licence", business(rep="新代表"))
    assert answer.status_code == 201, answer.text
    new = answer.json()
    assert service.verify(old["qr"])["code"] == "status-lapsed"
    assert service.verify(new["qr"])["code"] == "valid"
    trust = open_pack(service.get(None, "/v1/pack").content)
    now = service.city.now()
    assert judge(old["qr"], trust, now).code == "status-lapsed"
    assert judge(new["qr"], trust, now).code == "valid"
    ended = parse_statement(service.city.ledger.entry(new["index"] + 1)).content
    assert (ended.state, ended.reason) == (1, "replaced")
    assert ended.predecessor == bytes.fromhex(old["leaf"])
    shown = service.get("market", f"/v1/licences/{old['record_id']}").json()
    assert [act["reason"] for act in shown["acts"]] == ["replaced"]
    assert audit_findings(service) == []


def test_a_licence_renewed_ahead_of_time_keeps_its_own_term(service: Service) -> None:
    today = service.city.now() // 86_400 * 86_400
    fields = {**sample("food-licence", 3), **term(today - 300 * 86_400, today + 60 * 86_400)}
    old = service.issue("food-licence", 3, **fields)
    later = {**fields, **term(today + 61 * 86_400, today + 900 * 86_400)}
    answer = renew(service, old["record_id"], "food-licence", later)
    assert answer.status_code == 201, answer.text
    assert service.verify(old["qr"])["code"] == "valid"
    assert service.verify(answer.json()["qr"])["code"] == "not-yet-valid"
    service.clock.step(61 * 86_400)
    assert service.verify(old["qr"])["code"] == "expired"
    assert service.verify(answer.json()["qr"])["code"] == "valid"


def test_a_term_that_begins_years_ahead_is_refused(service: Service) -> None:
    ahead = service.city.now() + 400 * 86_400
    fields = {**sample("food-licence", 3), **term(ahead, ahead + 86_400)}
    body = {"type": "food-licence", "fields": fields}
    problem_of(service.post("market", "/v1/licences", body), "licence-dates-invalid", 422)


def test_another_holders_licence_cannot_be_renewed(service: Service) -> None:
    victim = service.issue("business-licence", 5)
    stranger = dict(sample("business-licence", 6))
    answer = renew(service, victim["record_id"], "business-licence", stranger)
    problem_of(answer, "renewal-holder-differs", 422)
    with service.city.store.read() as reader:
        rows = reader.connection.execute(LICENCES.select()).all()
    assert [row.renewed_by for row in rows] == [None]


def term(start: int, end: int) -> dict[str, str]:
    first, last = iso_day(start // 86_400), iso_day(end // 86_400)
    assert first is not None
    assert last is not None
    return {"from": first, "until": last}
