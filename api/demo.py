"""The demo city: eight departments, a few hundred fictional licences in every state, keys to try.

Everything is invented, and the same on every machine but for keys, salts and record ids. What was
made is written to `<data>/demo.json`; a second start finds it and changes nothing.

The demo plays its officers itself, with keys in `<data>/officers` under the city's passphrase. In
a real city every officer keeps a key of their own, elsewhere. Its witnesses are in
`api.demo_witnesses`.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import delete

from api import change_facts
from api.changes import ChangeDesk
from api.city import City
from api.demo_credit import record_demo_entries
from api.demo_people import DemoLicence, demo_licences
from api.errors import ServiceError
from api.keymaking import make_key
from api.licence_rows import Held, Prepared
from api.licences import Licences
from api.officers import Card, make_card
from api.pages.start import DemoKey, Sample
from api.passphrase import make_passphrase
from api.principals import Principal, Role, create_client
from api.routes.licences import qr_text
from api.settings import Settings
from api.tables import CLIENTS
from keys.custody import Effort, FileCustody
from keys.signer import Signer
from verifier.authorities import OPERATOR
from verifier.codec import base45_decode, base45_encode
from verifier.kinds import DEPARTMENT, KEY
from verifier.qr import PREFIX
from verifier.states import BY_NAME, STATES
from verifier.verdict import Colour

FILE = "demo.json"
TAMPERED = "tampered"
OFFICERS = ("operator-1", "operator-2")
"""Duty names of the demo operator's officers; a department's goes by `<slug>-1`."""
DEMO_EFFORT = Effort(1, 8 << 20)
"""Of opening a key that the demo keeps for somebody; random passphrases need no stretching."""


class _HasLicences(Protocol):
    @property
    def licences(self) -> Licences: ...


@dataclass(frozen=True)
class Demo:
    """What the start page shows of the demo: published keys, and samples by slug."""

    keys: Sequence[DemoKey]
    samples: Sequence[Sample]
    records: Mapping[str, tuple[str, str]]  # slug → record id, profile

    def sample_qr(self, services: _HasLicences) -> Callable[[str], str | None]:
        """QR text of a sample; `tampered` is a valid code with one byte changed."""

        def text(slug: str) -> str | None:
            found = self.records.get(slug)
            if found is None:
                return None
            record_id, profile = found
            row = services.licences.row(record_id)
            code = qr_text(services.licences, row, profile, ["face"])
            return _tamper(code) if slug == TAMPERED else code

        return text


def read_demo(folder: Path) -> Demo | None:
    """The demo made earlier in this data folder, if any."""
    path = folder / FILE
    if not path.exists():
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    return Demo(
        [DemoKey(*each) for each in data["keys"]],
        [Sample(slug, zh, en, Colour(colour)) for slug, zh, en, colour in data["samples"]],
        {slug: (record_id, profile) for slug, (record_id, profile) in data["records"].items()},
    )


def make_demo(city: City, progress: Callable[[str], None]) -> Demo:
    """Enrols the departments, issues the licences and registers the callers; continues if cut off.

    `progress` is told each step in a few words. A demo that is complete is left as it is.
    """
    made = read_demo(city.settings.data)
    if made is not None:
        return made
    _enrol(city, progress)
    licences = Licences(city)
    samples = _issue_all(city, licences, progress)
    progress("记录信用信息 recording credit entries")
    record_demo_entries(city)
    progress("登记演示调用方 registering demo callers")
    keys = _clients(city)
    data = {
        "keys": [list(key) for key in keys],
        "samples": [[slug, *_SAMPLES[slug]] for slug in _SAMPLES],
        "records": samples,
    }
    path, temporary = city.settings.data / FILE, city.settings.data / f".{FILE}.new"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(data, file, ensure_ascii=False, indent=1)
    temporary.replace(path)
    demo = read_demo(city.settings.data)
    if demo is None:
        raise ServiceError("service-unavailable", FILE)
    return demo


_SAMPLES: Mapping[str, tuple[str, str, str]] = {
    "valid": ("有效：营业执照", "valid: business licence", Colour.GREEN),
    "transparent": (
        "有效：自带入账证明的营业执照",
        "valid: business licence that carries its inclusion proof",
        Colour.GREEN,
    ),
    "food": ("有效：食品经营许可证", "valid: food licence", Colour.GREEN),
    "expired": ("已过期：食品经营许可证", "expired: food licence", Colour.RED),
    "suspended": ("暂扣：道路运输经营许可证", "suspended: road transport permit", Colour.RED),
    "revoked": ("吊销：食品经营许可证", "revoked: food licence", Colour.RED),
    TAMPERED: ("被改动：营业执照", "tampered: business licence", Colour.RED),
}


def _enrol(city: City, progress: Callable[[str], None]) -> None:
    officers = DemoOfficers(city.settings)
    for slug, department in city.catalogue.departments.items():
        if department.demo:
            if city.issuer(slug) not in city.authorities.departments:
                progress(f"登记部门 enrolling {department.zh} {department.en}")
            enrol_department(city, officers, slug, "es256" if slug == "health" else "ed25519")


def enrol_department(city: City, officers: "DemoOfficers", slug: str, suite: str) -> None:
    """A department of the catalogue with its officer and a key for all its types, where missing."""
    desk, (first, second) = ChangeDesk(city), [officers.signer(name) for name in OFFICERS]
    department, own = city.catalogue.departments[slug], f"{slug}-1"
    if city.issuer(slug) not in city.authorities.departments:
        names = department.zh, department.en, department.uscc
        facts = change_facts.department(slug, *names, [officers.card(own, slug)])
        desk.decide(DEPARTMENT, facts, proposer=first, approver=second)
    if not city.authorities.keys_of(city.issuer(slug)):
        made, scope = make_key(city, slug, suite), change_facts.catalogue_scope(city, slug)
        facts = change_facts.key(slug, made.key, made.pop, scope, city.now())
        desk.decide(KEY, facts, proposer=officers.signer(own), approver=second)


class DemoOfficers:
    """The officers whom the demo plays: keys made when first asked for."""

    def __init__(self, settings: Settings) -> None:
        folder = settings.data / "officers"
        self._custody = FileCustody(folder, make_passphrase(settings), DEMO_EFFORT)
        self._origin = settings.origin
        self._open: dict[str, Signer] = {}

    def signer(self, name: str) -> Signer:
        if name not in self._open:
            if name not in {entry.name for entry in self._custody.list()}:
                self._custody.create(name, "ed25519")
            self._open[name] = self._custody.open(name)
        return self._open[name]

    def card(self, name: str, of: str) -> Card:
        return make_card(self.signer(name), id=name, of=of, origin=self._origin)


def demo_cards(settings: Settings) -> list[Card]:
    """The operator's officers, for the founding."""
    settings.data.mkdir(parents=True, exist_ok=True)
    officers = DemoOfficers(settings)
    return [officers.card(name, OPERATOR) for name in OFFICERS]


def _issue_all(
    city: City, licences: Licences, progress: Callable[[str], None]
) -> dict[str, tuple[str, str]]:
    batch: list[tuple[DemoLicence, Prepared]] = []
    record_ids: dict[str, str] = {}
    for wanted in demo_licences(city.now()):
        type_ = city.catalogue.licence_type(wanted.type)
        if not city.catalogue.departments[type_.issuer].demo:
            continue
        held = licences.by_number(type_, str(wanted.fields[type_.number_field]))
        if held:
            record_ids[wanted.sample] = held[-1].record_id
            _settle(city, licences, wanted, held[-1])
            continue
        batch.append((wanted, licences.prepare(type_, wanted.fields)))
    if batch:
        progress(f"签发证照 issuing {len(batch)} licences")
        licences.log([prepared for _, prepared in batch], client="demo")
    for wanted, prepared in batch:
        record_ids[wanted.sample] = prepared.record_id
        _settle(city, licences, wanted, licences.held(prepared.record_id))
    return {
        "valid": (record_ids["valid"], "compact"),
        "transparent": (record_ids["valid"], "transparent"),
        "food": (record_ids["food"], "compact"),
        "expired": (record_ids["expired"], "compact"),
        "suspended": (record_ids["suspended"], "compact"),
        "revoked": (record_ids["revoked"], "compact"),
        TAMPERED: (record_ids["valid"], "compact"),
    }


def _settle(city: City, licences: Licences, wanted: DemoLicence, held: Held) -> None:
    """Brings a licence into the state that the demo wants it in."""
    state = BY_NAME[wanted.state].number
    if held.state == state:
        return
    reason = next(
        reason.code
        for reason in city.catalogue.reasons.values()
        if reason.applies == "licence" and reason.state == STATES[state].name
    )
    keeper = Principal("demo", "demo", held.department, frozenset({Role.CLERK, Role.SEAL_KEEPER}))
    licences.change_state(keeper, held.record_id, state, reason)


def _clients(city: City) -> list[DemoKey]:
    departments = city.catalogue.departments
    wanted: list[tuple[str, str, str, tuple[Role, ...], str | None, str | None]] = [
        ("demo-operator", "账本运营者", "ledger operator", (Role.OPERATOR,), None, None),
        ("demo-auditor", "监管审计员", "regulator", (Role.AUDITOR,), None, None),
        ("demo-credit", "信用中心", "credit centre", (Role.CREDIT_CENTRE,), None, None),
        ("demo-counter", "政务服务窗口", "service counter", (Role.VERIFIER,), None, None),
        ("demo-bank", "银行窗口", "bank counter", (Role.PRIVATE_VERIFIER,), None, None),
        ("demo-citizen", "市民（示例）", "a citizen", (Role.SUBJECT,), None, DEMO_CITIZEN),
        ("demo-company", "企业（示例）", "a company", (Role.SUBJECT,), None, DEMO_COMPANY),
    ]
    both = (Role.CLERK, Role.SEAL_KEEPER, Role.VERIFIER)
    for slug, department in departments.items():
        if department.demo:
            wanted.append((f"demo-{slug}", department.zh, department.en, both, slug, None))
    with city.store.write() as writer:
        ids = [client for client, *_ in wanted]
        writer.connection.execute(delete(CLIENTS).where(CLIENTS.c.id.in_(ids)))
        writer.commit()
    keys = []
    for client, zh, en, roles, of_department, subject in wanted:
        nym = None if subject is None else city.vault.pseudonym("subject", subject)
        key = create_client(
            city.store,
            client=client,
            name=zh,
            roles=roles,
            department=of_department,
            subject_nym=nym,
            random=city.random,
            now=city.now(),
        )
        keys.append(DemoKey(zh, en, " · ".join(roles), key))
    return keys


def _tamper(code: str) -> str:
    data = bytearray(base45_decode(code.removeprefix(PREFIX), max_bytes=len(code)))
    data[-8] ^= 0x01
    return PREFIX + base45_encode(bytes(data))


def _first(of: Callable[[DemoLicence], Any]) -> Any:
    return next(value for licence in demo_licences(0) if (value := of(licence)))


DEMO_CITIZEN: str = _first(lambda one: one.fields.get("idno"))
DEMO_COMPANY: str = _first(lambda one: one.fields.get("uscc"))
