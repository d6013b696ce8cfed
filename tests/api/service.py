"""What the tests of the service share: a clock that is stepped, and a small city behind a client.

A city is founded once a session, with every department of the catalogue and a caller for each
role; each test gets a copy of its folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from api.city import City, found, open_city
from api.demo_people import demo_licences
from api.principals import Role, create_client
from api.settings import Settings

ORIGIN = "test.zhenglian.example"
NOW = 1_790_043_600
"""2026-09-22 10:20 in China, a Tuesday."""
DAY = 86_400
PASSPHRASE = "the test city's passphrase"
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
    values: dict[str, Any] = {
        "data": folder,
        "database": "",
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


def found_template(folder: Path) -> Template:
    """Founds the city that the tests copy."""
    settings, clock = settings_of(folder), Clock(NOW - 1_000 * DAY)
    city = found(settings, clock=clock)
    for slug, department in city.catalogue.departments.items():
        city.enrol_department(slug, department.zh, department.en, department.uscc)
        scope = [kind.code for kind in city.catalogue.licence_types.values() if kind.issuer == slug]
        scope += [
            kind.code
            for kind in city.catalogue.credit_types.values()
            if not kind.issuers or slug in kind.issuers
        ]
        city.enrol_key(slug, scope, suite="es256" if slug == "health" else "ed25519")
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
