"""What a citizen or company sees of itself; and what machines ask with HEAD."""

import pytest

from api.packs import make_pack
from tests.api.records import entries
from tests.api.service import Service, problem_of, sample
from verifier.pack import open_pack
from verifier.statement import parse_statement
from verifier.states import UNASSIGNED, VALID


def test_a_holder_sees_its_licences_with_their_content(service: Service) -> None:
    service.issue("food-licence")
    service.issue("food-licence", 1)
    (mine,) = service.get("company", "/v1/me/licences").json()["licences"]
    assert mine["fields"] == sample("food-licence")
    assert mine["identifier"].startswith("1.2.156.3005.2.")
    qr = service.get("company", f"/v1/licences/{mine['record_id']}/qr?format=text")
    assert qr.text.startswith("ZL1:")
    assert service.get("citizen", "/v1/me/licences").json() == {"licences": []}
    problem_of(service.get("market", "/v1/me/licences"), "role-missing", 403)
    problem_of(service.get(None, "/v1/me/licences"), "credentials-missing", 401)


def test_an_erased_licence_is_linked_to_nobody(service: Service) -> None:
    issued = service.issue("food-licence")
    service.set_state(issued["record_id"], "deregistered", "organisation-ended")
    path = f"/v1/licences/{issued['record_id']}/erase"
    answer = service.post("keeper", path, {"reason": "purpose-ended"})
    assert answer.status_code == 200, answer.text
    assert service.get("company", "/v1/me/licences").json() == {"licences": []}


@pytest.mark.parametrize("path", ["/", "/log/checkpoint", "/healthz", "/v1/pack"])
def test_head_is_get_without_the_body(service: Service, path: str) -> None:
    head, got = service.call(None, "HEAD", path), service.get(None, path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    assert got.content


def test_positions_that_no_licence_has_are_not_valid(service: Service) -> None:
    issued = service.issue("food-licence")
    list_number, index = _status_of(service, issued["index"])
    statuses = open_pack(make_pack(service.city)).statuses
    issuer = service.city.issuer("market")
    taken = statuses.lookup(issuer, list_number, index)
    free = statuses.lookup(issuer, list_number, index + 1)
    assert taken is not None
    assert free is not None
    assert (taken.state, free.state) == (VALID, UNASSIGNED)


def _status_of(service: Service, index: int) -> tuple[int, int]:
    status = parse_statement(entries(service)[index]).content.status
    assert status is not None
    return status
