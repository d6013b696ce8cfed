"""Imports over HTTP: jobs of a department, with progress, stop, resume, and after a restart."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from api.app import create_app
from api.city import City
from api.imports import engine
from api.imports.engine import Importer
from tests.api.service import Clock, Service, Template, open_copy, problem_of
from tests.imports.helpers import (
    COMPANY_HEADER,
    COMPANY_MAP,
    FOOD_HEADER,
    FOOD_MAP,
    company,
    food,
    write_csv,
)


@pytest.fixture
def food_file(tmp_path: Path) -> Path:
    rows = [food(n, f"{year}-01-01") for year in (2024, 2026) for n in range(20)]
    return write_csv(tmp_path / "food.csv", FOOD_HEADER, [*rows, food(99, name=""), rows[0]])


def send(
    service: Service, who: str | None, file: Path, map_text: str = FOOD_MAP, **form: str
) -> Response:
    files = {"file": (file.name, file.read_bytes())}
    return service.call(who, "POST", "/v1/imports", files=files, data={"map": map_text, **form})


def until(service: Service, job_id: str, *states: str) -> dict[str, Any]:
    """The job, once it is in one of `states`."""
    for _ in range(2_000):
        job: dict[str, Any] = service.get("market", f"/v1/imports/{job_id}").json()
        if job["state"] in states:
            return job
        time.sleep(0.01)
    raise AssertionError(job)


class Gate:
    """Holds an import after each batch until it is let on."""

    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def pass_through(self) -> None:
        self.reached.release()
        assert self.open.acquire(timeout=30)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setattr(engine, "BATCH", 10)
    made, settle = Gate(), Importer._settle

    def held(self: Importer, *arguments: Any) -> None:
        settle(self, *arguments)
        made.pass_through()

    monkeypatch.setattr(Importer, "_settle", held)
    return made


def test_a_file_is_imported(service: Service, food_file: Path) -> None:
    answer = send(service, "market", food_file, type="retail-food")
    assert answer.status_code == 202, answer.text
    job = until(service, answer.json()["id"], "done")
    assert (job["issued"], job["renewed"], job["duplicates"], job["refused"]) == (20, 20, 1, 1)
    assert job["rows"] == {"total": 42, "taken": 42, "read": 42}
    assert job["refused_by_code"] == {"field-missing": 1}
    path = f"/v1/imports/{job['id']}"
    errors = service.get("market", f"{path}/errors")
    assert errors.headers["content-type"].startswith("text/csv")
    assert "42,name,field-missing," in errors.text
    assert "43,,import-row-duplicate," in errors.text
    assert service.get("market", f"{path}/report").json() == job
    text = service.get("market", f"{path}/report?format=text").text
    assert "延续 renewed" in text
    listed = service.get("market", "/v1/imports").json()["imports"]
    assert [one["id"] for one in listed] == [job["id"]]
    assert list((service.city.settings.data / "imports").iterdir()) == []


def test_the_same_file_again_is_the_same_job(service: Service, food_file: Path) -> None:
    first = send(service, "market", food_file).json()
    done = until(service, first["id"], "done")
    size = service.city.ledger.size
    again = send(service, "market", food_file).json()
    assert again == done
    assert service.city.ledger.size == size


def test_a_dry_run_writes_nothing_to_the_ledger(service: Service, food_file: Path) -> None:
    size = service.city.ledger.size
    first = send(service, "market", food_file, dry_run="true").json()
    job = until(service, first["id"], "done")
    assert (job["dry_run"], job["issued"], job["renewed"]) == (True, 20, 20)
    assert service.city.ledger.size == size


def test_a_clerk_imports_what_ends_nothing(service: Service, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "x.csv", COMPANY_HEADER, [company(1)])
    answer = send(service, "clerk", file, COMPANY_MAP)
    assert answer.status_code == 202
    assert until(service, answer.json()["id"], "done")["issued"] == 1


@pytest.mark.parametrize(
    ("who", "code", "status"),
    [
        (None, "credentials-missing", 401),
        ("clerk", "role-missing", 403),  # the map revokes
        ("police", "department-mismatch", 403),
        ("auditor", "role-missing", 403),
    ],
)
def test_who_may_not(
    service: Service, food_file: Path, who: str | None, code: str, status: int
) -> None:
    problem_of(send(service, who, food_file), code, status)
    assert not (service.city.settings.data / "imports").exists()


def test_nothing_is_read_from_a_stranger(service: Service) -> None:
    """A form that cannot be read is not what is told."""
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = service.call("auditor", "POST", "/v1/imports", content=b"", headers=headers)
    problem_of(answer, "role-missing", 403)


@pytest.mark.parametrize(
    ("files", "data", "code"),
    [
        ({}, {"map": FOOD_MAP}, "request-invalid"),
        ({"file": ("x.csv", b"a")}, {}, "request-invalid"),
        ({"file": ("x.csv", b"a")}, {"map": FOOD_MAP, "dry_run": "yes"}, "request-invalid"),
        ({"file": ("x.csv", b"a")}, {"map": FOOD_MAP, "other": "1"}, "request-invalid"),
        ({"file": ("x.xlsx", b"a")}, {"map": FOOD_MAP}, "import-format-unknown"),
        ({"file": ("x.csv", b"a")}, {"map": "type ="}, "import-map-invalid"),
        ({"file": ("x.csv", b"a"), "map": ("m", b"\xff")}, {}, "import-map-invalid"),
        ({"file": ("x.csv", b"a")}, {"map": FOOD_MAP, "type": "id-card"}, "import-map-invalid"),
        ({"file": ("x.csv", b"a")}, {"map": "x" * (300 << 10)}, "request-invalid"),
    ],
)  # fmt: skip
def test_forms_that_do_not_fit(
    service: Service, files: dict[str, Any], data: dict[str, str], code: str
) -> None:
    if not files:
        files = {"nothing": ("", b"")}
    problem_of(service.call("market", "POST", "/v1/imports", files=files, data=data), code, 422)


def test_a_file_that_cannot_be_read_fails_its_job(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(b"other,columns\n1,2\n")
    job = until(service, send(service, "market", file).json()["id"], "failed")
    assert job["fault"] == "import-column-missing"


def test_too_large_a_file_is_refused_while_it_comes(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.city.settings, "max_import_mib", 1)
    file = tmp_path / "x.csv"
    file.write_bytes(b"x" * (2 << 20))
    problem_of(send(service, "market", file), "request-too-large", 413)


def test_an_upload_larger_than_other_bodies_is_taken(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.client.app.state, "most_bytes", 10_000)  # type: ignore[attr-defined]
    rows = [company(n, name=f"示例{n}" + "长" * 50) for n in range(200)]
    file = write_csv(tmp_path / "x.csv", COMPANY_HEADER, rows)
    assert file.stat().st_size > 20_000
    job = until(service, send(service, "market", file, COMPANY_MAP).json()["id"], "done")
    assert job["issued"] == 200


def test_another_department_does_not_see_it(service: Service, food_file: Path) -> None:
    job_id = send(service, "market", food_file).json()["id"]
    for path in ("", "/errors", "/report"):
        answer = service.get("police", f"/v1/imports/{job_id}{path}")
        problem_of(answer, "department-mismatch", 403)
    for path in ("/stop", "/resume"):
        answer = service.post("police", f"/v1/imports/{job_id}{path}")
        problem_of(answer, "department-mismatch", 403)
    problem_of(service.get("market", f"/v1/imports/{'x' * 16}"), "import-unknown", 404)
    until(service, job_id, "done")


def test_progress_stop_and_resume(service: Service, food_file: Path, gate: Gate) -> None:
    job_id = send(service, "market", food_file).json()["id"]
    assert gate.reached.acquire(timeout=30)
    job = service.get("market", f"/v1/imports/{job_id}").json()
    assert (job["state"], job["rows"]["total"]) == ("running", 42)
    assert job["rows"]["taken"] >= 10
    path = f"/v1/imports/{job_id}"
    problem_of(service.post("market", f"{path}/resume"), "import-running", 409)
    assert service.post("market", f"{path}/stop").status_code == 200
    for _ in range(5):
        gate.open.release()
    stopped = until(service, job_id, "stopped")
    assert stopped["rows"]["taken"] < 42
    assert service.post("market", f"{path}/stop").json()["state"] == "stopped"
    for _ in range(20):
        gate.open.release()
    assert service.post("market", f"{path}/resume").status_code == 202
    done = until(service, job_id, "done")
    assert (done["issued"], done["renewed"], done["duplicates"]) == (20, 20, 1)
    problem_of(service.post("market", f"{path}/resume"), "import-over", 409)
    problem_of(service.post("market", f"{path}/stop"), "import-over", 409)


def test_a_queued_job_may_be_stopped(
    service: Service, food_file: Path, gate: Gate, tmp_path: Path
) -> None:
    first = send(service, "market", food_file).json()["id"]
    assert gate.reached.acquire(timeout=30)
    file = write_csv(tmp_path / "x.csv", COMPANY_HEADER, [company(1)])
    second = send(service, "market", file, COMPANY_MAP).json()["id"]
    assert service.post("market", f"/v1/imports/{second}/stop").json()["state"] == "stopped"
    for _ in range(30):
        gate.open.release()
    until(service, first, "done")
    assert service.get("market", f"/v1/imports/{second}").json()["issued"] == 0
    service.post("market", f"/v1/imports/{second}/resume")
    assert until(service, second, "done")["issued"] == 1


@contextmanager
def served(folder: Path, clock: Clock, template: Template) -> Iterator[Service]:
    city: City = open_copy(folder, clock)
    with TestClient(create_app(city), raise_server_exceptions=False) as client:
        yield Service(city, client, clock, template.keys)


def test_a_server_that_stops_goes_on_at_its_next_start(
    folder: Path, clock: Clock, template: Template, food_file: Path, gate: Gate
) -> None:
    with served(folder, clock, template) as service:
        job_id = send(service, "market", food_file).json()["id"]
        assert gate.reached.acquire(timeout=30)
        threading.Timer(0.2, gate.open.release, [2]).start()
    for _ in range(20):
        gate.open.release()
    with served(folder, clock, template) as service:
        job = until(service, job_id, "done")
        assert (job["issued"], job["renewed"], job["duplicates"]) == (20, 20, 1)
        type_ = service.city.catalogue.licence_type("retail-food")
        licences = service.client.app.state.services.licences  # type: ignore[attr-defined]
        for n in range(20):
            assert [one.version for one in licences.by_number(type_, str(n))] == [1, 2]


def test_what_the_command_line_left_is_not_taken_over(
    folder: Path, clock: Clock, template: Template, food_file: Path
) -> None:
    """Its file is elsewhere, and it may still run in a process of its own."""
    from tests.imports.helpers import importer

    city = open_copy(folder, clock)
    made = importer(city, food_file)
    made.jobs.set(made.job.id, state="running")
    city.close()
    with served(folder, clock, template) as service:
        job = service.get("market", f"/v1/imports/{made.job.id}").json()
        assert (job["state"], job["rows"]["taken"]) == ("running", 0)
        path = f"/v1/imports/{made.job.id}"
        problem_of(service.post("market", f"{path}/stop"), "import-running", 409)
        problem_of(service.post("market", f"{path}/resume"), "import-file-missing", 409)


def test_the_page_names_every_route(repo: Path) -> None:
    page = (repo / "docs" / "importing.md").read_text(encoding="utf-8")
    for words in ("POST …/stop", "POST …/resume", "GET …/errors", "GET …/report"):
        assert words.split(" ")[1] in page
