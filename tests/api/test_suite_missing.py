"""A city with SM2 keys, on a machine without the wheel for SM2: everybody else goes on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import change_facts
from api.app import seat
from tests.api.counters import compact
from tests.api.service import Service, enrol_key, open_copy, problem_of, sample
from verifier.errors import Refused

NAMED = "pip install zhenglian[sm2]"


@pytest.fixture
def without(
    service: Service, app: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, str]]:
    """The service on that machine, and a code signed with SM2."""
    scope = change_facts.catalogue_scope(service.city, "health")
    enrol_key(service.city, "health", scope, "sm2")
    signed = compact(service, service.issue("hygiene-permit")["record_id"], "health")
    folder = tmp_path / "elsewhere"
    with service.city.store.write():  # nothing is half written while it is copied
        shutil.copytree(service.city.settings.data, folder)
    monkeypatch.setattr("keys.suites.sm2_wheel.gmssl_pyx", None)
    city = open_copy(folder, service.clock)
    seat(app, city)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(city, client, service.clock, service.keys), signed


def test_the_others_go_on(without: tuple[Service, str]) -> None:
    service, signed = without
    assert service.get(None, "/readyz").status_code == 200
    issued = service.issue(number=3)
    assert service.verify(compact(service, issued["record_id"]))["colour"] == "green"
    assert service.get(None, "/v1/pack").status_code == 200
    verdict = service.verify(signed)
    assert (verdict["colour"], verdict["code"]) == ("amber", "suite-missing")
    assert "真伪未定" in service.call(None, "POST", "/check", data={"text": signed}).text
    body = {"type": "hygiene-permit", "fields": sample("hygiene-permit", 1)}
    answer = service.post("health", "/v1/licences", body)
    assert NAMED in problem_of(answer, "suite-missing")["detail"]


def test_changes_go_on(without: tuple[Service, str]) -> None:
    city = without[0].city
    enrol_key(city, "market", change_facts.catalogue_scope(city, "market"))
    (kid,) = [kid for kid, key in city.authorities.keys.items() if key.suite.name == "sm2"]
    with pytest.raises(Refused, match="suite-missing") as caught:
        city.authorities.key(kid)
    assert NAMED in str(caught.value)
