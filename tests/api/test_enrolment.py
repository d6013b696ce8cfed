"""Departments and their keys: enrolled in the ledger, replayed at start, seen by every process."""

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api import change_facts, founding
from api.changes import ChangeDesk
from api.city import City
from api.errors import ServiceError
from api.founding import found
from api.keymaking import make_key, spare_keys
from keys.custody import FileCustody
from keys.errors import KeysError
from ledger.errors import LedgerError
from tests.api.service import (
    CHIEFS,
    ORIGIN,
    PASSPHRASE,
    Clock,
    Service,
    Template,
    card,
    decide,
    enrol_department,
    enrol_key,
    found_city,
    lose_keys,
    open_copy,
    problem_of,
    sample,
    settings_of,
)
from verifier.authorities import Authorities
from verifier.errors import Refused
from verifier.kinds import DEPARTMENT, GENESIS, KEY
from verifier.statement import parse_statement

USCC = "11339900MB9900902P"
ARCHIVES = ("archives", "档案局", "Archives", USCC)
MUSEUM = ("museum", "博物馆", "Museum", "11339900MB9900910J")


def make(service: Service, slug: str, who: str = "operator", **body: Any) -> Any:
    return service.post(who, f"/v1/departments/{slug}/keys", body)


def departments(service: Service) -> dict[str, Any]:
    listed = service.get(None, "/v1/departments").json()
    assert listed["origin"] == ORIGIN
    return {each["issuer"].rpartition("/")[2]: each for each in listed["departments"]}


def food_scope(city: City) -> list[str]:
    return [city.catalogue.licence_type("food-licence").code]


def custody_of(city: City) -> list[str]:
    return [entry.name for entry in city.custody.list()]


def test_a_department_and_its_key(service: Service) -> None:
    city = service.city
    size = city.ledger.size
    assert enrol_department(city, *ARCHIVES) == size
    assert enrol_key(city, "archives", food_scope(city), suite="es256") == size + 1
    kinds = [parse_statement(city.ledger.entry(size + n)).content.kind for n in (0, 1)]
    assert kinds == [DEPARTMENT, KEY]
    (key,) = departments(service)["archives"]["keys"]
    assert (key["suite"], key["index"], key["state"]) == ("es256", size + 1, "in-force")
    assert city.signer("archives").kid.hex() == key["kid"]


def test_nobody_enrols_alone(service: Service) -> None:
    problem_of(service.post("operator", "/v1/departments", {}), "method-not-allowed", 405)


@pytest.mark.parametrize("who", ["market", "auditor", "bank", "company", "police"])
def test_who_may_not_make_a_key(service: Service, who: str) -> None:
    code = "department-mismatch" if who in ("market", "police") else "role-missing"
    before = custody_of(service.city)
    problem_of(make(service, "health", who), code, 403)
    problem_of(make(service, "operator", who), code, 403)
    problem_of(service.post(None, "/v1/departments/health/keys", {}), "credentials-missing", 401)
    assert custody_of(service.city) == before


def test_a_seal_keeper_makes_a_key_for_its_own_department(service: Service) -> None:
    size = service.city.ledger.size
    problem_of(make(service, "market", "clerk"), "role-missing", 403)
    made = make(service, "market", "keeper", suite="es256")
    assert made.status_code == 201, made.text
    assert made.json()["name"] == "dept-market.2"
    assert service.city.ledger.size == size
    assert made.json()["kid"] not in {key["kid"] for key in departments(service)["market"]["keys"]}
    assert make(service, "market", "operator", suite="es256").json()["kid"] == made.json()["kid"]
    assert make(service, "operator").json()["name"] == "operator.2"


def test_keys_that_cannot_be_made(service: Service) -> None:
    before = custody_of(service.city)
    problem_of(make(service, "navy"), "enrolment-unknown-department", 404)
    problem_of(make(service, "market", suite="rsa"), "request-invalid", 422)
    assert custody_of(service.city) == before


def test_a_start_replays_the_authorities(folder: Path, template: Template) -> None:
    before = None
    for _ in range(2):
        city = open_copy(folder, Clock())
        seen = (city.authorities.departments, city.authorities.keys, len(city.signers))
        city.close()
        assert before is None or seen == before
        before = seen
    assert before is not None
    assert len(before[0]) == 15  # fourteen departments and the operator
    assert before[2] == 15


def test_a_key_made_but_not_enrolled_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process died between the two: the next start does not sign with it, says so, and the
    key serves a later proposal."""
    city = open_copy(folder, Clock())
    enrol_department(city, *ARCHIVES)

    def cut(*_: object) -> None:
        raise LedgerError("ledger-store-failed")

    monkeypatch.setattr(city.ledger, "append", cut)
    with pytest.raises(LedgerError):
        enrol_key(city, "archives", food_scope(city))
    with pytest.raises(ServiceError, match="signer-missing"):
        city.signer("archives")
    city.close()
    caplog.clear()
    again = open_copy(folder, Clock())
    assert "dept-archives is in custody but not enrolled" in caplog.text
    assert [entry.name for entry in spare_keys(again)] == ["dept-archives"]
    with pytest.raises(ServiceError, match="signer-missing"):
        again.signer("archives")
    made = make_key(again, "archives", "ed25519")
    assert made.name == "dept-archives"
    assert make_key(again, "archives", "es256").name == "dept-archives.2"
    enrol_key(again, "archives", food_scope(again))
    assert again.signer("archives").kid == made.kid
    assert [entry.name for entry in spare_keys(again)] == ["dept-archives.2"]
    again.close()


def test_another_process_of_the_same_city(folder: Path, service: Service) -> None:
    """It enrols: this one sees it, and signs with the key that the other made."""
    other = open_copy(folder, service.clock)
    try:
        enrol_department(other, *ARCHIVES)
        assert departments(service)["archives"]["keys"] == []
        enrol_key(other, "archives", food_scope(other))
        assert len(departments(service)["archives"]["keys"]) == 1
        assert service.city.signer("archives").kid == other.signer("archives").kid
    finally:
        other.close()


def test_a_key_enrolled_elsewhere_counts_here(folder: Path) -> None:
    """This process opened before the other made the key that signed."""
    first, second = open_copy(folder, Clock()), open_copy(folder, Clock())
    enrol_department(second, *ARCHIVES)
    index = enrol_key(second, "archives", food_scope(second))
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
            outcomes.append(enrol_department(city, *ARCHIVES))
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
    """The second looks again, and both are in; what was followed is what a start replays."""
    cities = [open_copy(folder, Clock()) for _ in range(2)]
    enrol_department(cities[0], *ARCHIVES)
    enrol_department(cities[1], *MUSEUM)
    for city in cities:
        assert {f"{ORIGIN}/archives", f"{ORIGIN}/museum"} <= city.authorities.departments.keys()
        replayed = Authorities()
        for index, raw in city.enrolled.items():
            replayed.enrol(parse_statement(raw), index)
        assert replayed.register == city.authorities.register
        assert list(city.enrolled) == sorted(city.enrolled)
        city.close()


def test_founding_is_continued_where_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after each key in turn: the next founding makes the rest, and one genesis."""
    settings = settings_of(tmp_path / "var")
    for made in range(4):
        left = [1 if made else 0]

        def limited(whole: Any, left: list[int] = left) -> Any:
            def create(self: FileCustody, *args: Any) -> Any:
                if not left[0]:
                    raise RuntimeError("cut off")
                left[0] -= 1
                return whole(self, *args)

            return create

        with monkeypatch.context() as patch:
            for name in ("create", "create_secret"):
                patch.setattr(FileCustody, name, limited(getattr(FileCustody, name)))
            with pytest.raises(RuntimeError, match="cut off"):
                found_city(settings, Clock())
        custody = FileCustody(tmp_path / "var" / "custody", PASSPHRASE)
        assert len(list(custody.list())) == made
    for _ in range(2):
        city = found_city(settings, Clock())
        assert custody_of(city) == ["kek", "log", "log-pq", "operator", "pseudonym"]
        assert parse_statement(city.ledger.entry(0)).content.kind == GENESIS
        assert city.ledger.size == 1
        assert set(city.authorities.officers) == set(CHIEFS)
        city.close()


def test_a_founding_without_two_officers_can_be_done_again(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "var")
    one = card("chief-1")
    cases: list[tuple[list[Any], str]] = [
        ([], "found-officers-missing"),
        ([one], "found-officers-missing"),
        ([one, one], "enrolment-repeated"),
        ([one, card("chief-2", origin="other.example")], "officer-card-foreign"),
        ([one, card("market-1", "market")], "officer-card-foreign"),
    ]
    for cards, code in cases:
        with pytest.raises((ServiceError, Refused)) as caught:
            found(settings, officers=cards, clock=Clock())
        assert caught.value.code == code
        assert not settings.data.exists()
    with pytest.raises(KeysError, match="key-unknown-suite"):
        found(settings, officers=[one, card("chief-2")], suite="rsa", clock=Clock())
    assert not settings.data.exists()
    city = found_city(settings, Clock())
    assert city.ledger.size == 1
    city.close()


def test_a_city_whose_database_is_gone_is_not_founded_again(folder: Path) -> None:
    """The log's key is in custody still: a second genesis would be a second history."""
    for file in folder.glob("zhenglian.db*"):
        file.unlink()
    before = sorted(folder.rglob("*"))
    with pytest.raises(ServiceError) as caught:
        found_city(settings_of(folder), Clock())
    assert caught.value.code == "found-custody-used"
    assert sorted(folder.rglob("*")) == before


def test_two_processes_found_one_city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither has seen the other's genesis when it writes its own."""
    settings, genesis = settings_of(tmp_path / "var"), founding._genesis
    other: list[City] = []

    def late(*args: Any) -> None:
        monkeypatch.undo()
        other.append(found_city(settings, Clock()))
        genesis(*args)

    monkeypatch.setattr(founding, "_genesis", late)
    city = found_city(settings, Clock())
    assert city.ledger.size == 1
    assert city.enrolled == other[0].enrolled
    for each in (city, *other):
        each.close()


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


def test_a_database_of_an_older_version_does_not_open(folder: Path) -> None:
    city = open_copy(folder, Clock())
    with city.store.write() as writer:
        writer.connection.execute(text("ALTER TABLE enrolments DROP COLUMN statement"))
        writer.commit()
    city.close()
    with pytest.raises(ServiceError, match="city-of-another-version"):
        open_copy(folder, Clock())


def test_a_passphrase_file_is_made_private_and_must_stay_so(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "var", passphrase="")
    found_city(settings, Clock()).close()
    path = tmp_path / "var" / "passphrase"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().strip()) >= 32
    open_copy(tmp_path / "var", Clock(), passphrase="").close()
    path.chmod(0o640)
    with pytest.raises(ServiceError, match=rf"passphrase-exposed.*\({path}\)"):
        open_copy(tmp_path / "var", Clock(), passphrase="")


def test_nothing_secret_is_in_the_reprs(city: City) -> None:
    text = repr(city) + repr(city.settings)
    assert PASSPHRASE not in text


def test_a_new_keys_first_licence(service: Service) -> None:
    """A department without a key here signs nothing; a moment after its enrolment it does."""
    lose_keys(service.city, "market")
    body = {"type": "food-licence", "fields": sample("food-licence")}
    answer = service.post("market", "/v1/licences", body)
    problem_of(answer, "signer-missing", 503)
    assert answer.headers["retry-after"] == "1"
    rows = {"licences": [body]}
    problem_of(service.post("market", "/v1/licences/batch", rows), "signer-missing", 503)
    enrol_key(service.city, "market", change_facts.catalogue_scope(service.city, "market"))
    issued = service.post("market", "/v1/licences", body)
    assert issued.status_code == 201, issued.text
    assert service.verify(issued.json()["qr"])["colour"] == "green"


def test_a_key_signs_what_its_scope_holds_and_nothing_else(service: Service) -> None:
    """The narrower key of a department: what it may not sign is refused, not logged and red."""
    lose_keys(service.city, "market")
    enrol_key(service.city, "market", food_scope(service.city))
    service.issue("food-licence")
    size = service.city.ledger.size
    body = {"type": "business-licence", "fields": sample("business-licence")}
    problem_of(service.post("market", "/v1/licences", body), "key-out-of-scope", 403)
    rows = {"licences": [body]}
    problem_of(service.post("market", "/v1/licences/batch", rows), "key-out-of-scope", 403)
    assert service.city.ledger.size == size


def test_of_two_keys_the_one_signs_whose_scope_it_is(service: Service) -> None:
    """The newest is for food licences alone; the older goes on with the rest."""
    city = service.city
    old = city.signer("market").kid
    service.clock.step(60)
    enrol_key(city, "market", food_scope(city))
    new = city.signer("market").kid
    assert new != old
    signed = {
        type_: parse_statement(city.ledger.entry(service.issue(type_)["index"])).kid
        for type_ in ("food-licence", "business-licence")
    }
    assert signed == {"food-licence": new, "business-licence": old}


def test_a_clock_before_the_keys_enrolment_signs_nothing(service: Service) -> None:
    service.clock.step(-1_100 * 86_400)
    fields = {**sample("food-licence"), "from": "2023-07-01", "until": "2028-06-30"}
    body = {"type": "food-licence", "fields": fields}
    problem_of(service.post("market", "/v1/licences", body), "key-out-of-date", 403)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"slug": "market"}, "enrolment-repeated"),
        ({"slug": "operator"}, "enrolment-repeated"),
        ({"slug": "A"}, "enrolment-malformed"),
        ({"slug": "a/b"}, "enrolment-malformed"),
        ({"zh": ""}, "enrolment-malformed"),
        ({"uscc": "11339900MB9900013X"}, "code-uscc-invalid"),
        ({"uscc": "1"}, "code-uscc-invalid"),
    ],
)
def test_departments_that_cannot_be(city: City, changes: dict[str, str], code: str) -> None:
    size = city.ledger.size
    names = {"slug": "archives", "zh": "档案局", "en": "Archives", "uscc": USCC, **changes}
    facts = change_facts.department(**names, officers=[card("archives-1", "archives")])
    with pytest.raises((Refused, ServiceError)) as caught:
        decide(city, DEPARTMENT, facts)
    assert caught.value.code == code
    assert city.ledger.size == size
    assert ChangeDesk(city).changes() == ChangeDesk(city).changes(state="logged")
