"""The same key and request: the same answer, and one effect."""

import json
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import func, select

from api.app import create_app
from api.tables import IDEMPOTENCY
from tests.api.records import stored_bytes
from tests.api.service import Clock, Service, Template, open_copy, problem_of, sample
from verifier.codec import cbor_encode


def issue(service: Service, number: int = 0, key: str | None = "case-1", **kw: Any) -> Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"type": "food-licence", "fields": sample("food-licence", number)}
    return service.post(kw.get("who", "market"), "/v1/licences", body, headers=headers)


def test_a_repetition_gets_the_same_answer_and_does_nothing(service: Service) -> None:
    first = issue(service)
    size = service.city.ledger.size
    second = issue(service)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert first.headers["Idempotency-Replayed"] == "false"
    assert second.headers["Idempotency-Replayed"] == "true"
    assert service.city.ledger.size == size


def test_a_batch_and_a_change_of_state_are_repeated_too(service: Service) -> None:
    rows = [{"type": "food-licence", "fields": sample("food-licence", n)} for n in range(3)]
    body, headers = {"licences": rows}, {"Idempotency-Key": "batch"}
    many = [service.post("market", "/v1/licences/batch", body, headers=headers) for _ in range(2)]
    assert many[0].json() == many[1].json()
    record_id = many[0].json()["licences"][0]["record_id"]
    change = {"state": "suspended", "reason": "penalty-suspension"}
    path, headers = f"/v1/licences/{record_id}/state", {"Idempotency-Key": "state"}
    size = service.city.ledger.size
    changes = [service.post("clerk", path, change, headers=headers) for _ in range(3)]
    assert changes[0].status_code == 200
    assert [each.json() for each in changes] == [changes[0].json()] * 3
    assert service.city.ledger.size == size + 1


def test_the_key_of_another_request_is_refused(service: Service) -> None:
    first = issue(service)
    size = service.city.ledger.size
    problem_of(issue(service, number=1), "idempotency-key-reused", 422)
    headers = {"Idempotency-Key": "case-1"}
    change = {"state": "suspended", "reason": "penalty-suspension"}
    path = f"/v1/licences/{first.json()['record_id']}/state"
    problem_of(service.post("market", path, change, headers=headers), "idempotency-key-reused", 422)
    assert service.city.ledger.size == size


def test_keys_of_different_callers_are_different(service: Service) -> None:
    assert issue(service).status_code == 201
    assert issue(service, number=1, who="clerk").status_code == 201


def test_without_a_key_the_identifier_guards(service: Service) -> None:
    assert issue(service, key=None).status_code == 201
    problem_of(issue(service, key=None), "licence-exists", 409)
    problem_of(issue(service, key="late"), "licence-exists", 409)


def test_a_refused_request_may_be_corrected_under_its_key(service: Service) -> None:
    fields = {**sample("food-licence"), "no": "wrong"}
    headers = {"Idempotency-Key": "case-1"}
    body = {"type": "food-licence", "fields": fields}
    problem_of(service.post("market", "/v1/licences", body, headers=headers), "fields-invalid")
    assert issue(service).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "a b", "a" * 129, "a\tb", "\x7f"])
def test_malformed_keys_are_refused(service: Service, key: str) -> None:
    size = service.city.ledger.size
    problem_of(issue(service, key=key), "idempotency-key-invalid", 422)
    assert service.city.ledger.size == size


@pytest.mark.parametrize("key", ["a", "!~", "a" * 128, "2026-HK-000123"])
def test_well_formed_keys(service: Service, key: str) -> None:
    assert issue(service, key=key).status_code == 201


def test_eight_at_once_have_one_effect(service: Service) -> None:
    size = service.city.ledger.size
    answers: list[Response] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait(timeout=10)
        answers.append(issue(service))

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [answer.status_code for answer in answers] == [201] * 8
    # One that finds the answer between commit and checkpoint is told "pending", rightly.
    told = [{**answer.json(), "finality": None} for answer in answers]
    assert all(each == told[0] for each in told)
    assert service.city.ledger.size == size + 1
    replayed = sorted(answer.headers["Idempotency-Replayed"] for answer in answers)
    assert replayed == ["false"] + ["true"] * 7


def test_a_restart_remembers(folder: Path, template: Template) -> None:
    answers = []
    for _ in range(2):
        clock = Clock()
        city = open_copy(folder, clock)
        with TestClient(create_app(city)) as client:
            service = Service(city, client, clock, template.keys)
            answers.append(issue(service))
            size = city.ledger.size
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert answers[0].json()["index"] == size - 1


def test_what_is_remembered_says_nothing_about_anybody(service: Service) -> None:
    """Neither keys nor requests nor answers lie in the open, nor hashes to be guessed at."""
    number = str(sample("id-card")["idno"])
    body = {"type": "id-card", "fields": sample("id-card")}
    headers = {"Idempotency-Key": f"case-{number}"}
    answer = service.post("police", "/v1/licences", body, headers=headers)
    assert answer.status_code == 201
    request = [json.dumps({**body, "renews": None}, sort_keys=True)]
    kept = stored_bytes(service.city.settings.data)
    for hashed in (cbor_encode(request), number.encode(), headers["Idempotency-Key"].encode()):
        assert sha256(hashed).digest() not in kept
        assert sha256(hashed).hexdigest().encode() not in kept
    for secret in (number, *answer.json()["disclosures"], answer.json()["qr"]):
        assert secret.encode() not in kept


def test_the_answer_is_durable_with_the_write_or_not_at_all(service: Service) -> None:
    """The answer cannot be stored: then nothing was issued, and the key is free."""
    use = service.client.app.state.services  # type: ignore[attr-defined]
    size, log = service.city.ledger.size, use.licences.log

    def failing(prepared: Any, *, effects: Any, **options: Any) -> Any:
        def crash(connection: Any, issued: Any) -> None:
            effects(connection, issued)
            raise RuntimeError("cut off")

        return log(prepared, effects=crash, **options)

    use.licences.log = failing
    problem_of(issue(service), "internal-error", 500)
    use.licences.log = log
    assert service.city.ledger.size == size
    with service.city.store.read() as reader:
        assert (
            reader.connection.execute(select(func.count()).select_from(IDEMPOTENCY)).scalar() == 0
        )
    assert issue(service).status_code == 201
