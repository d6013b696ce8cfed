"""What operators look at: alive, ready, metrics, the request log."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from api.app import create_app
from api.founding import open_city
from keys.custody import FileCustody
from ledger.errors import LedgerError
from tests.api.service import Clock, Service, Template, problem_of, sample, settings_of


def metrics(service: Service) -> dict[tuple[str, ...], float]:
    """(name, label values …) → value, of everything that is ours."""
    answer = service.get(None, "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (
            each.name,
            *(each.labels[name] for name in sorted(each.labels) if name != "le"),
        ): each.value
        for family in text_string_to_metric_families(answer.text)
        for each in family.samples
        if each.name.startswith("zhenglian_") and not each.name.endswith("_bucket")
    }


def requests(service: Service, method: str, route: str, status: int) -> float:
    name = "zhenglian_http_requests_total"
    return metrics(service).get((name, method, route, str(status)), 0)


# alive and ready


def test_a_city_is_alive_and_ready(service: Service) -> None:
    assert service.get(None, "/healthz").json() == {"status": "ok"}
    answer = service.get(None, "/readyz")
    assert answer.status_code == 200, answer.text
    size = service.city.ledger.size
    assert answer.json() == {
        "status": "ready",
        "checks": {
            "file": "in place",
            "database": f"size {size}",
            "checkpoint": "current",
            "keys": "15 open",
            "witnesses": "none",
        },
    }


def not_ready(service: Service) -> str:
    assert service.get(None, "/healthz").status_code == 200
    answer = service.get(None, "/readyz")
    assert answer.status_code == 503, answer.text
    assert answer.json()["status"] == "not-ready"
    return str(answer.json()["checks"]["failed"])


def database(service: Service) -> Path:
    path = service.city.database_file
    assert path is not None
    return path


def test_a_database_that_is_gone(service: Service) -> None:
    database(service).unlink()
    assert not_ready(service) == "FileNotFoundError"
    nothing_is_acknowledged(service)


def nothing_is_acknowledged(service: Service) -> None:
    """SQLite itself would write on into the file that nobody will find again."""
    body = {"type": "food-licence", "fields": sample("food-licence")}
    problem_of(service.post("market", "/v1/licences", body), "ledger-store-failed", 500)


def test_a_database_that_was_replaced(service: Service) -> None:
    """The process still has the old file open: what it writes now would be lost."""
    path = database(service)
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    assert not_ready(service) == "FileNotFoundError"
    nothing_is_acknowledged(service)


def test_a_database_that_cannot_be_written(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    assert not_ready(service) == "PermissionError"


def test_a_database_that_does_not_answer(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> Any:
        raise LedgerError("ledger-store-failed", "disk I/O error")

    monkeypatch.setattr(service.city.store, "read", failing)
    assert "ledger-store-failed" in not_ready(service)
    problem_of(service.get(None, "/log/checkpoint"), "ledger-store-failed", 500)
    assert {name for name, *_ in metrics(service)} >= {"zhenglian_open_keys"}


def test_a_city_whose_founding_was_cut_short(tmp_path: Path, template: Template) -> None:
    """Keys and tables, and no genesis."""
    settings = settings_of(tmp_path / "var")
    custody = FileCustody(tmp_path / "var" / "custody", settings.passphrase)
    for name, kind in (("log", "ed25519"), ("log-pq", "ml-dsa-44"), ("operator", "ed25519")):
        custody.create(name, kind)
    for name in ("kek", "pseudonym"):
        custody.create_secret(name)
    city = open_city(settings, clock=Clock())
    with TestClient(create_app(city), raise_server_exceptions=False) as client:
        service = Service(city, client, Clock(), template.keys)
        assert "city-not-founded" in not_ready(service)
        for path in ("/v1/pack", "/v1/log/key"):
            problem_of(service.get(None, path), "city-not-founded", 503)
        answer = service.post(None, "/v1/verify", {"text": "ZL1:00"})
        problem_of(answer, "city-not-founded", 503)
        assert service.get(None, "/v1/departments").json()["departments"] == []


# metrics


def test_requests_are_counted_by_route_not_by_address(service: Service) -> None:
    issued = service.issue()
    for record_id in (issued["record_id"], "A" * 22):
        service.get("market", f"/v1/licences/{record_id}")
    service.get(None, "/nothing/here")
    assert requests(service, "POST", "/v1/licences", 201) == 1
    assert requests(service, "GET", "/v1/licences/{record_id}", 200) == 1
    assert requests(service, "GET", "/v1/licences/{record_id}", 404) == 1
    assert requests(service, "GET", "-", 404) == 1
    text = service.get(None, "/metrics").text
    assert issued["record_id"] not in text
    assert "nothing" not in text


def test_what_the_limit_refuses_and_what_crashes_is_counted(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Content-Length": str(1 << 40)}
    service.call(None, "POST", "/v1/verify", content=b"", headers=headers)
    assert requests(service, "POST", "-", 413) == 1

    def crash(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(service.city, "now", crash)
    problem_of(service.get(None, "/v1/pack"), "internal-error", 500)
    assert requests(service, "GET", "/v1/pack", 500) == 1


def test_methods_nobody_knows_are_one(service: Service) -> None:
    for method in ("BREW", "WHEN"):
        service.call(None, method, "/healthz")
    assert requests(service, "-", "/healthz", 405) == 2


def test_the_tree_and_the_keys_are_measured(service: Service) -> None:
    before = metrics(service)
    size = service.city.ledger.size
    assert before[("zhenglian_tree_size",)] == size
    assert before[("zhenglian_appended_entries_total",)] == 0
    assert before[("zhenglian_open_keys",)] == 15
    service.issue()
    service.issue(number=1)
    after = metrics(service)
    assert after[("zhenglian_tree_size",)] == size + 2
    assert after[("zhenglian_appended_entries_total",)] == 2


def test_two_cities_in_one_process_count_apart(service: Service) -> None:
    other = create_app(service.city)
    service.get(None, "/healthz")
    assert b"/healthz" not in other.state.metrics.text()


# the request log


def test_each_request_is_one_line_with_nothing_personal(service: Service) -> None:
    holder = sample("food-licence")["uscc"]
    with capture_logs() as lines:
        issued = service.issue()
        service.get("market", f"/v1/licences/{issued['record_id']}")
        service.get("market", "/v1/licences", params={"cursor": "33010219900101123X"})
        service.post("market", "/v1/licences/search", {"holder": holder})
        service.get(None, "/v1/me")
        service.post(None, "/v1/verify", {"text": issued["qr"]})
    assert all(
        set(line) >= {"event", "method", "route", "status", "ms", "client"} for line in lines
    )
    assert [(line["method"], line["route"], line["status"], line["client"]) for line in lines] == [
        ("POST", "/v1/licences", 201, "market"),
        ("GET", "/v1/licences/{record_id}", 200, "market"),
        ("GET", "/v1/licences", 422, "market"),
        ("POST", "/v1/licences/search", 200, "market"),
        ("GET", "/v1/me", 401, None),
        ("POST", "/v1/verify", 200, None),
    ]
    assert all(isinstance(line["ms"], float) and line["ms"] >= 0 for line in lines)
    logged = json.dumps(lines, ensure_ascii=False)
    for secret in (
        holder,
        issued["record_id"],
        "330102",
        *map(str, sample("food-licence").values()),
    ):
        assert secret not in logged


def test_lines_are_json_of_one_form_for_every_library() -> None:
    """In a process of its own: logging is set up once."""
    program = (
        "import logging, structlog\n"
        "from api.observe import log_as_json\n"
        "log_as_json()\n"
        "structlog.get_logger('a').info('request', route='/v1/licences', status=201)\n"
        "logging.getLogger('zhenglian.city').warning('key of %s', '市场')\n"
        "try:\n    1 / 0\n"
        "except ZeroDivisionError:\n    logging.getLogger('x').exception('crash')\n"
        "logging.getLogger('uvicorn.access').info('GET /?idno=1')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["request", "key of 市场", "crash"]
    assert [line["level"] for line in lines] == ["info", "warning", "error"]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "ZeroDivisionError" in lines[2]["exception"]
    assert "市场" in done.stderr
    assert done.stdout == ""


def test_head_is_counted_and_logged_by_its_route(service: Service) -> None:
    with capture_logs() as lines:
        answer = service.call("market", "HEAD", "/v1/licences")
    assert (answer.status_code, answer.content) == (200, b"")
    assert [(line["method"], line["route"], line["client"]) for line in lines] == [
        ("HEAD", "/v1/licences", "market")
    ]
