"""Departments and their keys: enrolled in the ledger, replayed at start, seen by every process."""

import threading
from pathlib import Path
from typing import Any

import pytest

from api.city import City, found, replay
from api.errors import ServiceError
from keys.custody import FileCustody
from keys.errors import KeysError
from ledger.errors import LedgerError
from tests.api.service import (
    ORIGIN,
    PASSPHRASE,
    Clock,
    Service,
    Template,
    open_copy,
    problem_of,
    sample,
    settings_of,
)
from verifier.errors import Refused
from verifier.kinds import DEPARTMENT, GENESIS, KEY
from verifier.statement import parse_statement

USCC = "11339900MB9900013Q"
NEW = {"id": "archives", "zh": "档案局", "en": "Archives", "uscc": USCC}


def enrol(service: Service, who: str = "operator", **changes: Any) -> Any:
    return service.post(who, "/v1/departments", {**NEW, **changes})


def enrol_key(service: Service, slug: str = "archives", who: str = "operator", **body: Any) -> Any:
    scope = {"scope": [service.city.catalogue.licence_type("food-licence").code]}
    return service.post(who, f"/v1/departments/{slug}/keys", {**scope, **body})


def departments(service: Service) -> dict[str, Any]:
    listed = service.get(None, "/v1/departments").json()
    assert listed["origin"] == ORIGIN
    return {each["issuer"].rpartition("/")[2]: each for each in listed["departments"]}


def test_a_department_and_its_key(service: Service) -> None:
    size = service.city.ledger.size
    answer = enrol(service)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"issuer": f"{ORIGIN}/archives", "index": size}
    answer = enrol_key(service, suite="es256")
    assert answer.status_code == 201, answer.text
    assert answer.json()["index"] == size + 1
    kinds = [parse_statement(service.city.ledger.entry(size + n)).content.kind for n in (0, 1)]
    assert kinds == [DEPARTMENT, KEY]
    (key,) = departments(service)["archives"]["keys"]
    assert (key["kid"], key["suite"]) == (answer.json()["kid"], "es256")
    assert key["index"] == size + 1
    assert service.city.signer("archives").kid.hex() == key["kid"]


@pytest.mark.parametrize("who", ["market", "auditor", "bank", "company"])
def test_only_the_operator_enrols(service: Service, who: str) -> None:
    problem_of(enrol(service, who), "role-missing", 403)
    problem_of(enrol_key(service, "market", who), "role-missing", 403)
    problem_of(service.post(None, "/v1/departments", NEW), "credentials-missing", 401)


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({"id": "market"}, "enrolment-repeated", 409),
        ({"id": "operator"}, "request-invalid", 422),
        ({"id": "A"}, "request-invalid", 422),
        ({"id": "a/b"}, "request-invalid", 422),
        ({"zh": ""}, "request-invalid", 422),
        ({"uscc": "11339900MB9900013X"}, "code-uscc-invalid", 422),
        ({"uscc": "1"}, "request-invalid", 422),
    ],
)
def test_departments_that_cannot_be(
    service: Service, changes: dict[str, str], code: str, status: int
) -> None:
    size = service.city.ledger.size
    problem_of(enrol(service, **changes), code, status)
    assert service.city.ledger.size == size


def test_keys_that_cannot_be(service: Service) -> None:
    size, before = service.city.ledger.size, custody_of(service.city)
    problem_of(enrol_key(service, "navy"), "enrolment-unknown-department", 404)
    problem_of(enrol_key(service, "operator"), "enrolment-unknown-department", 404)
    problem_of(enrol_key(service, "market", scope=["dog"]), "catalogue-unknown-type", 404)
    problem_of(enrol_key(service, "market", scope=[]), "request-invalid", 422)
    problem_of(enrol_key(service, "market", suite="rsa"), "request-invalid", 422)
    problem_of(enrol_key(service, "market"), "enrolment-repeated", 409)
    problem_of(enrol_key(service, "market", suite="es256"), "key-exists", 409)
    assert service.city.ledger.size == size
    assert custody_of(service.city) == before


def custody_of(city: City) -> list[str]:
    return [entry.name for entry in city.custody.list()]


def test_a_start_replays_the_authorities(folder: Path, template: Template) -> None:
    before = None
    for _ in range(2):
        city = open_copy(folder, Clock())
        seen = (city.authorities.departments, city.authorities.keys, set(city.signers))
        city.close()
        assert before is None or seen == before
        before = seen
    assert before is not None
    assert len(before[0]) == 15  # fourteen departments and the operator
    assert "market" in before[2]


def test_a_key_made_but_not_enrolled_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between the two: the next start does not sign with it, and can enrol it."""
    city = open_copy(folder, Clock())
    city.enrol_department("archives", "档案局", "Archives", USCC)

    def cut(*_: object) -> None:
        raise LedgerError("ledger-store-failed")

    monkeypatch.setattr(city.ledger, "append", cut)
    with pytest.raises(LedgerError):
        city.enrol_key("archives", ["X"], suite="ed25519")
    with pytest.raises(ServiceError, match="signer-missing"):
        city.signer("archives")
    city.close()
    again = open_copy(folder, Clock())
    assert "dept-archives" in custody_of(again)
    assert "archives" not in again.signers
    with pytest.raises(ServiceError, match="signer-missing"):
        again.signer("archives")
    with pytest.raises(KeysError, match="key-exists"):
        again.enrol_key("archives", ["X"], suite="es256")
    again.enrol_key("archives", ["X"], suite="ed25519")
    assert again.signer("archives").kid in again.authorities.keys
    again.close()


def test_an_enrolment_by_another_process_is_seen(folder: Path, service: Service) -> None:
    other = open_copy(folder, service.clock)
    try:
        other.enrol_department("archives", "档案局", "Archives", USCC)
        assert "archives" in departments(service)
        other.enrol_key("archives", ["X"], suite="ed25519")
        assert len(departments(service)["archives"]["keys"]) == 1
        assert service.city.signer("archives").kid == other.signer("archives").kid
    finally:
        other.close()


def test_a_key_enrolled_elsewhere_counts_here(folder: Path) -> None:
    """This process opened before the other made the key that signed."""
    first, second = open_copy(folder, Clock()), open_copy(folder, Clock())
    second.enrol_department("archives", "档案局", "Archives", USCC)
    index = second.enrol_key("archives", ["X"], suite="ed25519")
    assert first.trust().authorities.keys[second.signer("archives").kid].index == index
    first.close()
    second.close()


def test_two_processes_enrol_the_same_department_once(folder: Path) -> None:
    """Both have looked before either writes; a repeated enrolment could never be replayed."""
    cities = [open_copy(folder, Clock()) for _ in range(2)]
    size = cities[0].ledger.size
    both = threading.Barrier(2)
    outcomes: list[object] = []

    def enrol_in(city: City) -> None:
        append, waited = city.ledger.append, []

        def late(*args: Any) -> Any:
            if not waited:
                waited.append(both.wait(timeout=10))
            return append(*args)

        city.ledger.append = late  # type: ignore[method-assign, assignment]
        try:
            outcomes.append(city.enrol_department("archives", "档案局", "Archives", USCC))
        except Refused as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=enrol_in, args=(city,)) for city in cities]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == [str(size), "enrolment-repeated"]
    assert cities[0].ledger.size == size + 1
    for city in cities:
        assert f"{ORIGIN}/archives" in city.authorities.departments
        city.close()
    open_copy(folder, Clock()).close()


def test_two_processes_enrol_different_departments(folder: Path) -> None:
    """The second looks again, and both are in."""
    cities = [open_copy(folder, Clock()) for _ in range(2)]
    cities[0].enrol_department("archives", "档案局", "Archives", USCC)
    cities[1].enrol_department("museum", "博物馆", "Museum", USCC)
    for city in cities:
        assert {f"{ORIGIN}/archives", f"{ORIGIN}/museum"} <= city.authorities.departments.keys()
        assert replay(city.enrolled).keys == city.authorities.keys
        city.close()


def test_founding_is_continued_where_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after each key in turn: the next founding makes the rest, and one genesis."""
    settings = settings_of(tmp_path / "var")
    add = FileCustody._add
    for made in range(4):
        left = [1 if made else 0]

        def limited(self: FileCustody, *args: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise RuntimeError("cut off")
            left[0] -= 1
            add(self, *args)

        monkeypatch.setattr(FileCustody, "_add", limited)
        with pytest.raises(RuntimeError, match="cut off"):
            found(settings, clock=Clock())
        assert len(list(FileCustody(tmp_path / "var" / "custody", PASSPHRASE).list())) == made
    monkeypatch.undo()
    for _ in range(2):
        city = found(settings, clock=Clock())
        assert custody_of(city) == ["kek", "log", "operator", "pseudonym"]
        assert parse_statement(city.ledger.entry(0)).content.kind == GENESIS
        assert city.ledger.size == 1
        city.close()


def test_cities_that_do_not_open(folder: Path, tmp_path: Path) -> None:
    clock = Clock()
    cases: list[tuple[Any, type[Exception], str]] = [
        ({"passphrase": "wrong"}, KeysError, "key-wrong-passphrase"),
        ({"passphrase": ""}, ServiceError, "passphrase-missing"),
        ({"data": tmp_path / "nowhere"}, KeysError, "key-not-found"),
        ({"origin": "other.example"}, LedgerError, "ledger-origin-mismatch"),
        ({"catalogue": tmp_path}, ServiceError, "catalogue-invalid"),
    ]
    for changes, kind, code in cases:
        with pytest.raises(kind) as caught:
            open_copy(folder, clock, **changes)
        assert getattr(caught.value, "code", None) == code


def test_a_passphrase_file_is_made_private_and_must_stay_so(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "var", passphrase="")
    found(settings, clock=Clock()).close()
    path = tmp_path / "var" / "passphrase"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().strip()) >= 32
    open_copy(tmp_path / "var", Clock(), passphrase="").close()
    path.chmod(0o640)
    with pytest.raises(ServiceError, match="passphrase-exposed"):
        open_copy(tmp_path / "var", Clock(), passphrase="")


def test_nothing_secret_is_in_the_reprs(city: City) -> None:
    text = repr(city) + repr(city.settings)
    assert PASSPHRASE not in text


def test_a_new_keys_first_licence(service: Service) -> None:
    """A department without a key signs nothing; a moment after its enrolment it does."""
    del service.city.signers["market"]
    service.city.custody._path("dept-market").unlink()
    body = {"type": "food-licence", "fields": sample("food-licence")}
    answer = service.post("market", "/v1/licences", body)
    problem_of(answer, "signer-missing", 503)
    assert answer.headers["retry-after"] == "1"
    rows = {"licences": [body]}
    problem_of(service.post("market", "/v1/licences/batch", rows), "signer-missing", 503)
    scope = [kind.code for kind in service.city.catalogue.licence_types.values()]
    assert enrol_key(service, "market", scope=scope).status_code == 201
    issued = service.post("market", "/v1/licences", body)
    assert issued.status_code == 201, issued.text
    assert service.verify(issued.json()["qr"])["colour"] == "green"


def test_a_key_signs_what_its_scope_holds_and_nothing_else(folder: Path, service: Service) -> None:
    """The narrower key of a department: what it may not sign is refused, not logged and red."""
    service.city.custody._path("dept-market").unlink()
    del service.city.signers["market"]
    food = service.city.catalogue.licence_type("food-licence").code
    assert enrol_key(service, "market", scope=[food]).status_code == 201
    service.issue("food-licence")
    size = service.city.ledger.size
    body = {"type": "business-licence", "fields": sample("business-licence")}
    problem_of(service.post("market", "/v1/licences", body), "key-out-of-scope", 403)
    rows = {"licences": [body]}
    problem_of(service.post("market", "/v1/licences/batch", rows), "key-out-of-scope", 403)
    assert service.city.ledger.size == size


def test_a_clock_before_the_keys_enrolment_signs_nothing(service: Service) -> None:
    service.clock.step(-1_100 * 86_400)
    fields = {**sample("food-licence"), "from": "2023-07-01", "until": "2028-06-30"}
    body = {"type": "food-licence", "fields": fields}
    problem_of(service.post("market", "/v1/licences", body), "key-out-of-date", 403)
