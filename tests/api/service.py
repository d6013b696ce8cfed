"""What the tests of the service share: a clock that is stepped, and a small city behind a client.

A city is founded once a session, with every department of the catalogue and a caller for each
role; each test gets a copy of its folder.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from api import change_facts
from api.changes import ChangeDesk
from api.city import City
from api.demo_people import demo_licences
from api.founding import found, open_city
from api.keymaking import make_key
from api.officers import Card, make_card
from api.principals import Role, create_client
from api.settings import Settings
from keys.signer import SoftwareSigner
from tests.city import signer as seeded_signer
from verifier.authorities import OPERATOR
from verifier.kinds import DEPARTMENT, KEY

ORIGIN = "test.zhenglian.example"
NOW = 1_790_043_600
"""2026-09-22 10:20 in China, a Tuesday."""
DAY = 86_400
PASSPHRASE = "the test city's passphrase"
DATABASE = "database.url"
"""A file in a city's folder that says where its database is, if not in the folder itself."""

CALLERS: Mapping[str, tuple[tuple[Role, ...], str | None]] = {
    "operator": ((Role.OPERATOR,), None),
    "auditor": ((Role.AUDITOR,), None),
    "credit-centre": ((Role.CREDIT_CENTRE,), None),
    "bank": ((Role.VERIFIER,), None),
    "clerk": ((Role.CLERK,), "market"),
    "keeper": ((Role.SEAL_KEEPER,), "market"),
    "market": ((Role.CLERK, Role.SEAL_KEEPER, Role.VERIFIER), "market"),
    "police": ((Role.CLERK, Role.SEAL_KEEPER, Role.VERIFIER), "police"),
    "health": ((Role.CLERK, Role.SEAL_KEEPER, Role.VERIFIER), "health"),
}
"""Client id → roles and department. `company` and `citizen` are the holders of sample 0."""

CHIEFS = ("chief-1", "chief-2")
"""The operator's officers. Those of a department go by `<slug>-1` and `<slug>-2`."""


class Clock:
    """Unix seconds that move when told to."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def step(self, seconds: int) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Template:
    """A founded city's folder, never opened again, and the API keys of its callers."""

    folder: Path
    keys: Mapping[str, str]


@dataclass
class Service:
    """A running city: `call` makes a request as one of its callers, or as nobody."""

    city: City
    client: TestClient
    clock: Clock
    keys: Mapping[str, str]

    def call(self, who: str | None, method: str, path: str, **options: Any) -> Response:
        headers = dict(options.pop("headers", {}))
        if who is not None:
            headers["Authorization"] = f"Bearer {self.keys[who]}"
        return self.client.request(method, path, headers=headers, **options)

    def get(self, who: str | None, path: str, **options: Any) -> Response:
        return self.call(who, "GET", path, **options)

    def post(self, who: str | None, path: str, json: Any = None, **options: Any) -> Response:
        return self.call(who, "POST", path, json=json, **options)

    def issue(
        self, type_: str = "food-licence", number: int = 0, who: str | None = None, **changes: Any
    ) -> dict[str, Any]:
        """The answer to issuing sample `number` of a type; `changes` replace its fields."""
        issuer = self.city.catalogue.licence_type(type_).issuer
        body = {"type": type_, "fields": {**sample(type_, number), **changes}}
        answer = self.post(who or issuer, "/v1/licences", body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def set_state(
        self, record_id: str, state: str, reason: str, who: str = "market"
    ) -> dict[str, Any]:
        body = {"state": state, "reason": reason}
        answer = self.post(who, f"/v1/licences/{record_id}/state", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def verify(self, text: str) -> dict[str, Any]:
        answer = self.post(None, "/v1/verify", {"text": text})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def problem_of(answer: Response, code: str, status: int | None = None) -> dict[str, Any]:
    """The problem document of a refusal, of which every member is checked (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == answer.status_code == (status or answer.status_code), body
    assert body["type"] == f"urn:zhenglian:error:{code}"
    assert all(isinstance(body[name], str) for name in ("title", "title_en", "detail", "instance"))
    assert any("一" <= char <= "鿿" for char in body["title"])
    assert body["title_en"].isascii()
    return body


@cache
def _samples() -> Mapping[str, list[Mapping[str, object]]]:
    found_: dict[str, list[Mapping[str, object]]] = {}
    for licence in demo_licences(NOW):
        found_.setdefault(licence.type, []).append(licence.fields)
    return found_


def sample(type_: str, number: int = 0) -> dict[str, Any]:
    """Fields of an invented licence: `number` counts those of one type."""
    return dict(_samples()[type_][number])


def settings_of(folder: Path, **changes: Any) -> Settings:
    """Settings of a city in `folder`, whatever the environment says."""
    address = folder / DATABASE
    values: dict[str, Any] = {
        "data": folder,
        "database": address.read_text(encoding="utf-8") if address.exists() else "",
        "origin": ORIGIN,
        "passphrase": PASSPHRASE,
        "argon2_mib": 64,
        "name_zh": "试验市",
        "name_en": "Test City",
        "catalogue": None,
        "public_url": "",
        "demo": False,
    }
    return Settings(_env_file=None, **{**values, **changes})  # type: ignore[call-arg]


def officer(name: str) -> SoftwareSigner:
    """The key of an officer, the same in every test."""
    return seeded_signer(f"officer {name}")


def card(name: str, of: str = OPERATOR, origin: str = ORIGIN) -> Card:
    return make_card(officer(name), id=name, of=of, origin=origin)


def found_city(settings: Settings, clock: Callable[[], float] = time.time) -> City:
    """A city with the operator's two officers and nothing else."""
    cards = [card(name, origin=settings.origin) for name in CHIEFS]
    return found(settings, officers=cards, clock=clock)


def decide(
    city: City,
    kind: int,
    facts: Mapping[str, Any],
    proposer: str = CHIEFS[0],
    approver: str = CHIEFS[1],
) -> int:
    """A change proposed by one officer and approved by another; its ledger index."""
    return ChangeDesk(city).decide(
        kind, facts, proposer=officer(proposer), approver=officer(approver)
    )


def enrol_department(city: City, slug: str, zh: str, en: str, uscc: str) -> int:
    """Enrols a department with two officers; its ledger index."""
    cards = [card(f"{slug}-{number}", slug, city.origin) for number in (1, 2)]
    return decide(city, DEPARTMENT, change_facts.department(slug, zh, en, uscc, cards))


def enrol_key(city: City, slug: str, scope: Sequence[str], suite: str = "ed25519") -> int:
    """Makes a key for a department in the city's custody and enrols it; its ledger index."""
    made = make_key(city, slug, suite)
    facts = change_facts.key(slug, made.key, made.pop, scope, city.now())
    return decide(city, KEY, facts, f"{slug}-1")


def lose_keys(city: City, slug: str) -> Path:
    """Takes a department's keys out of custody; returns the folder they are now in."""
    custody = city.settings.data / "custody"
    elsewhere = custody.parent / f"elsewhere-{slug}"
    elsewhere.mkdir()
    for path in custody.glob(f"dept-{slug}.*"):
        path.rename(elsewhere / path.name)
    city.signers.look()
    return elsewhere


def found_template(folder: Path) -> Template:
    """Founds the city that the tests copy."""
    city = found_city(settings_of(folder), Clock(NOW - 1_000 * DAY))
    for slug, department in city.catalogue.departments.items():
        enrol_department(city, slug, department.zh, department.en, department.uscc)
        scope = change_facts.catalogue_scope(city, slug)
        enrol_key(city, slug, scope, suite="es256" if slug == "health" else "ed25519")
    keys = {}
    subjects = {
        "company": str(sample("food-licence")["uscc"]),
        "citizen": str(sample("id-card")["idno"]),
    }
    callers = {**CALLERS, **dict.fromkeys(subjects, ((Role.SUBJECT,), None))}
    for name, (roles, department_of) in callers.items():
        subject = subjects.get(name)
        keys[name] = create_client(
            city.store,
            client=name,
            name=f"测试 {name}",
            roles=roles,
            department=department_of,
            subject_nym=None if subject is None else city.vault.pseudonym("subject", subject),
            random=city.random,
            now=city.now(),
        )
    city.close()
    return Template(folder, keys)


def open_copy(folder: Path, clock: Clock, **changes: Any) -> City:
    return open_city(settings_of(folder, **changes), clock=clock)
