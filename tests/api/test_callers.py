"""Who calls: API keys, their registration, their end, and that no secret is kept or logged."""

import logging
from typing import Any

import pytest
import structlog

from api.tables import CLIENTS
from tests.api.records import stored_bytes
from tests.api.service import Service, problem_of


def with_key(service: Service, value: str | None) -> Any:
    headers = {} if value is None else {"Authorization": value}
    return service.client.get("/v1/me", headers=headers)


def test_a_caller_is_told_who_it_is(service: Service) -> None:
    assert service.get("clerk", "/v1/me").json() == {
        "client": "clerk",
        "name": "测试 clerk",
        "department": "market",
        "roles": ["clerk"],
    }


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer ", "Basic YTpi", "zl_clerk_abc"])
def test_missing_credentials(service: Service, value: str | None) -> None:
    answer = with_key(service, value)
    problem_of(answer, "credentials-missing", 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "key",
    [
        "x",
        "zl_",
        "zl_clerk",
        "zl_clerk_",
        "zl_clerk_" + "A" * 42,
        "zl_clerk_" + "A" * 43,
        "zl_clerk_" + "A" * 4000,
        "zl_nobody_" + "A" * 43,
        "zl__" + "A" * 43,
        "zl_clerk_" + "A" * 42 + "=",
        "zl_clerk'--_" + "A" * 43,
        "clerk " + "A" * 43,
    ],
)
def test_wrong_credentials(service: Service, key: str) -> None:
    problem_of(with_key(service, f"Bearer {key}"), "credentials-invalid", 401)


def test_another_prefix_or_spelling_of_a_right_key_is_wrong(service: Service) -> None:
    key = service.keys["clerk"]
    assert with_key(service, f"bearer {key}").status_code == 200
    secret = key.split("_", 2)[2]
    for wrong in (
        key.replace("zl_", "ZL_"),
        key.replace("clerk", "Clerk"),
        key.replace("clerk", "keeper"),
        key + "=",
        key[:-1],
        f"zl_clerk_{secret}_{secret}",
    ):
        problem_of(with_key(service, f"Bearer {wrong}"), "credentials-invalid", 401)


def test_the_operator_registers_and_ends_callers(service: Service) -> None:
    body = {"id": "counter-7", "name": "七号窗口", "roles": ["clerk"], "department": "market"}
    answer = service.post("operator", "/v1/clients", body)
    assert answer.status_code == 201, answer.text
    bearer = f"Bearer {answer.json()['api_key']}"
    assert with_key(service, bearer).json()["client"] == "counter-7"
    problem_of(service.post("operator", "/v1/clients", body), "client-exists", 409)
    ended = service.call("operator", "DELETE", "/v1/clients/counter-7")
    assert (ended.status_code, ended.content) == (204, b"")
    problem_of(with_key(service, bearer), "credentials-revoked", 401)
    assert service.call("operator", "DELETE", "/v1/clients/counter-7").status_code == 204
    problem_of(service.post("operator", "/v1/clients", body), "client-exists", 409)
    answer = service.call("operator", "DELETE", "/v1/clients/nobody")
    problem_of(answer, "client-unknown", 404)


def test_a_holder_is_found_by_any_spelling_of_its_code(service: Service) -> None:
    issued = service.issue(number=3)
    code = service.get("market", f"/v1/licences/{issued['record_id']}").json()["fields"]["uscc"]
    body = {
        "id": "firm",
        "name": "某公司",
        "roles": ["subject"],
        "subject_code": f" {code.lower()}",
    }
    key = service.post("operator", "/v1/clients", body).json()["api_key"]
    headers = {"Authorization": f"Bearer {key}"}
    answer = service.client.get(f"/v1/licences/{issued['record_id']}", headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"id": "a b"}, "request-invalid", 422),
        ({"id": "窗口"}, "request-invalid", 422),
        ({"roles": []}, "request-invalid", 422),
        ({"roles": ["king"]}, "request-invalid", 422),
        ({"roles": ["clerk"], "department": None}, "client-department-missing", 422),
        ({"roles": ["seal-keeper"], "department": None}, "client-department-missing", 422),
        ({"roles": ["registrar"], "department": None}, "client-department-missing", 422),
        ({"roles": ["auditor", "registrar"], "department": None}, "client-department-missing", 422),
        ({"roles": ["subject"]}, "request-invalid", 422),
        ({"subject_code": "91"}, "request-invalid", 422),
        ({"department": "navy"}, "catalogue-unknown-entry", 404),
        ({"secret": "x"}, "request-invalid", 422),
    ],
)
def test_callers_that_make_no_sense(
    service: Service, changes: dict[str, Any], code: str, status: int
) -> None:
    body = {"id": "new", "name": "新", "roles": ["verifier"], "department": "market", **changes}
    problem_of(service.post("operator", "/v1/clients", body), code, status)


@pytest.mark.parametrize("who", ["clerk", "keeper", "auditor", "bank", "company"])
def test_only_the_operator_registers(service: Service, who: str) -> None:
    body = {"id": "new", "name": "新", "roles": ["operator"]}
    problem_of(service.post(who, "/v1/clients", body), "role-missing", 403)
    problem_of(service.call(who, "DELETE", "/v1/clients/clerk"), "role-missing", 403)


def test_secrets_are_neither_stored_nor_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    body = {"id": "new", "name": "新", "roles": ["verifier"]}
    with structlog.testing.capture_logs() as lines:
        key = service.post("operator", "/v1/clients", body).json()["api_key"]
        assert with_key(service, f"Bearer {key}").status_code == 200
        problem_of(with_key(service, f"Bearer {key[:-3]}AAA"), "credentials-invalid")
    secrets = [each.split("_", 2)[2] for each in (*service.keys.values(), key)]
    kept = stored_bytes(service.city.settings.data)
    assert b"zl-s" in kept
    logged = caplog.text + repr(lines)
    assert "/v1/me" in logged
    for secret in secrets:
        assert len(secret) == 43
        assert secret.encode() not in kept
        assert secret[:20] not in logged


def test_a_secret_is_kept_as_its_hash(service: Service) -> None:
    with service.city.store.read() as reader:
        rows = reader.connection.execute(CLIENTS.select()).all()
    assert {len(row.secret_hash) for row in rows} == {32}
    assert len({row.secret_hash for row in rows}) == len(service.keys)
