"""docs/formats.md is held against real bytes: every structure, and every kind of statement."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cddl_verifier import Validator
from sqlalchemy import select

from api.demo_credit import record_demo_entries
from api.packs import make_pack
from api.tables import CREDITS, LICENCES, QUESTIONS
from keys.names import cose_key_bytes
from keys.suites import SUITES
from tests.api.service import Service
from tests.api.test_claims import question
from tests.city import BUSINESS, ISSUED_AT, signer
from tests.city import City as SampleCity
from tests.decided import possession
from tests.verifier import twin
from verifier import kinds
from verifier.codec import b64decode, base45_decode, cbor_encode
from verifier.cose_receipt import ConsistencyProof, make_receipt, parse_receipt
from verifier.kinds import KINDS
from verifier.pack_update import make_update
from verifier.proof import proof_to_cbor
from verifier.qr import PREFIX
from verifier.statement import Content, parse_statement
from verifier.transparent import attach_receipts

_BLOCK = re.compile(r"```cddl\n(.*?)```", re.DOTALL)
_ROW = re.compile(r"^\| (\d+) \| ([a-z-]+) \| (\S+) \| ([\d ]*) \| ?([\d ]*) ?\|$", re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> str:
    path = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def fits(page: str) -> Callable[[bytes, str], bool]:
    """`fits(data, rule)`: whether the bytes are what the page's rule says."""
    validator = Validator("\n".join(_BLOCK.findall(page)))
    return lambda data, rule: bool(validator.validate(data, rule).valid)


def test_the_table_of_kinds_is_the_grammar(page: str) -> None:
    listed = {
        int(number): (name, zh, set(map(int, must.split())), set(map(int, may.split())))
        for number, name, zh, must, may in _ROW.findall(page)
    }
    assert listed == {
        kind.number: (
            kind.name,
            kind.zh,
            set(kind.required),
            set(kind.allowed - kind.required - {1}),
        )
        for kind in KINDS.values()
    }


def test_keys_of_every_suite(fits: Callable[[bytes, str], bool]) -> None:
    for suite in SUITES.values():
        public = suite.public_from_private(suite.generate())
        assert fits(cose_key_bytes(suite, public), "cose-key")
        assert not fits(cose_key_bytes(suite, public)[:-1] + b"", "cose-key")


def test_changes_of_the_register(fits: Callable[[bytes, str], bool]) -> None:
    """One of each kind, as two officers decided it."""
    city = SampleCity()
    market, at = city.departments["market"], ISSUED_AT
    city.renew_key("market", "next", ["T"], at=at)
    for act in ("suspend", "resume", "retire"):
        city.change_key(market, act, at)
    city.compromise(market, since=at, told=at)
    rotated = {"replaces": city.departments["market"].kid, "overlap": at, "until": at + 9}
    city.enrol(city.key_content("market", signer("rotated"), ["T"], **rotated), issued_at=at)
    key, proof = possession(city.origin, "officer/third", signer("third"))
    operators = ("first", "second")
    names = {"zh": "新名", "en": "New"}
    for kind, facts in [
        (kinds.OFFICER, {"id": "third", "of": "operator", "key": key, "pop": proof}),
        (kinds.OFFICER_LEFT, {"id": "third"}),
        (kinds.DEPARTMENT_CHANGED, {"id": "market", "act": "rename", **names}),
        (kinds.DEPARTMENT_CHANGED, {"id": "market", "act": "merge", "into": "health"}),
        (kinds.DEPARTMENT_CHANGED, {"id": "health", "act": "close"}),
        (kinds.WITNESSES, {"policy": "quorum none\n", "override": "断电"}),
    ]:
        city.enrol(Content(kind, facts=facts), issued_at=at, by=operators)
    contents = [parse_statement(city.entries[index]).content for index in city.enrolments]
    assert fits(cbor_encode(dict(contents[0].facts)), "genesis-facts")
    assert not fits(cbor_encode(dict(contents[0].facts)), "change-facts")
    seen = set()
    for content in contents[1:]:
        facts = dict(content.facts)
        assert fits(cbor_encode(facts), "change-facts"), content.kind
        assert not fits(cbor_encode({**facts, "more": 1}), "change-facts")
        seen.add(content.kind)
    assert seen == kinds.CHANGES - {kinds.CA, kinds.CA_WITHDRAWN}  # need certificates


def test_codes_proofs_status_and_pack(fits: Callable[[bytes, str], bool]) -> None:
    city = SampleCity()
    licence = city.issue()
    for text, rule in ((licence.qr(), "qr-compact"), (city.transparent(licence), "qr-transparent")):
        data = base45_decode(text.removeprefix(PREFIX), max_bytes=4_096)
        assert fits(data, rule)
        other = "qr-transparent" if rule == "qr-compact" else "qr-compact"
        assert not fits(data, other)
    assert fits(cbor_encode(proof_to_cbor(city.proof(licence.index))), "tlog-proof")
    assert fits(city.status_token("market"), "status-token")
    for disclosure in licence.disclosures:
        assert fits(disclosure, "disclosure")
        assert not fits(disclosure.replace(b"\x50", b"\x4f", 1), "disclosure")


def test_packs_of_compromised_keys_and_updates(fits: Callable[[bytes, str], bool]) -> None:
    city = SampleCity()
    city.issue()
    held, size = city.pack(), len(city.entries)
    stolen = city.departments["market"]
    city.departments["market"] = signer("the market's next key")
    city.enrol(city.key_content("market", city.departments["market"], [BUSINESS]))
    listed = city.compromise(stolen, since=ISSUED_AT + 1, told=ISSUED_AT + 2)
    new = city.pack()
    assert fits(held, "trust-pack")
    assert fits(new, "trust-pack")
    assert fits(cbor_encode(listed.data), "signed-list")
    update = make_update(held, new, twin.proof(size, city.entries))
    assert fits(update, "pack-update")
    assert not fits(update.replace(b"zl-u", b"zl-p"), "pack-update")
    assert not fits(update, "trust-pack")


def test_receipts_and_transparent_statements(fits: Callable[[bytes, str], bool]) -> None:
    city = SampleCity()
    licence = city.issue()
    receipt, size = city.receipt(licence.index), len(city.entries)
    assert fits(receipt, "cose-receipt")
    key, signature = city.log.key, parse_receipt(receipt).signature
    path = twin.proof(4, city.entries)
    append = make_receipt(ConsistencyProof(4, size, tuple(path)), key, signature)
    assert fits(append, "cose-receipt")
    assert not fits(append.replace(b"\xa1\x21", b"\xa1\x22", 1), "cose-receipt")
    whole = attach_receipts(licence.statement, [receipt, append])
    assert fits(whole, "transparent-statement")
    assert not fits(licence.statement, "transparent-statement")
    assert not fits(receipt, "statement")


def test_every_entry_of_a_lived_in_ledger(
    service: Service, fits: Callable[[bytes, str], bool]
) -> None:
    """Genesis, departments, keys and credit entries by the use-cases; each fits, none altered."""
    city = service.city
    record_demo_entries(city)
    entries = [city.ledger.entry(index) for index in range(city.ledger.size)]
    kinds = {parse_statement(entry).content.kind for entry in entries}
    assert {1, 2, 3, 32, 33, 34, 36, 37} <= kinds
    facts_rules = {1: "genesis-facts", 2: "change-facts", 3: "change-facts"}
    for entry in entries:
        assert fits(entry, "statement")
        content = parse_statement(entry).content
        if content.kind in facts_rules:
            facts = cbor_encode(dict(content.facts))
            assert fits(facts, facts_rules[content.kind])
    assert not fits(entries[0].replace(b"zl-s", b"zl-x"), "statement")
    assert fits(make_pack(city), "trust-pack")
    assert not fits(make_pack(city), "receipt")
    with city.store.read() as reader:
        rows = reader.connection.execute(select(CREDITS)).all()
    for row in rows:
        sealed = city.vault.open(row.record_id, row.wrapped_key, row.box)
        assert fits(sealed, "sealed-credit")


def test_a_licence_a_question_and_its_receipt(
    service: Service, fits: Callable[[bytes, str], bool]
) -> None:
    city = service.city
    service.issue("id-card")
    answer = service.post("bank", "/v1/claims", question())
    assert answer.status_code == 200, answer.text
    receipt = b64decode(answer.json()["receipt"], max_bytes=8_192)
    assert fits(receipt, "receipt")
    assert not fits(receipt.replace(b"zl-r", b"zl-s"), "receipt")
    with city.store.read() as reader:
        licence = reader.connection.execute(select(LICENCES)).first()
        asked = reader.connection.execute(select(QUESTIONS)).first()
    assert licence is not None
    assert asked is not None
    opened = city.vault.open(licence.record_id, licence.wrapped_key, licence.box)
    assert fits(opened, "sealed-licence")
    sealed = city.vault.open(asked.id, asked.wrapped_key, asked.box)
    assert fits(sealed, "sealed-question")
    cut: Any = cbor2.loads(sealed)[:3]
    assert not fits(cbor_encode(cut), "sealed-question")
