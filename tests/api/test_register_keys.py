"""Statements signed elsewhere: what a key and a caller may do, and what becomes of them later."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from api.affected import Step, affected
from api.change_facts import scope_codes
from api.change_words import describe
from api.principals import revoke_client
from api.register import MAX_AGE
from keys.names import cose_key_bytes
from ledger.errors import LedgerError
from ledger.model import Draft
from tests.api.documents import Software, leaf_of, line_of
from tests.api.leaks import report_leak
from tests.api.records import audit_findings
from tests.api.service import DAY, Service, problem_of
from tests.city import signer
from verifier import kinds
from verifier.judge import CLOCK_SKEW
from verifier.kinds import DOCUMENT_SCOPE
from verifier.statement import parse_statement

FOOD = "food-licence"


@pytest.fixture
def software(service: Service) -> Software:
    return Software(service)


def typed(service: Service) -> str:
    return service.city.catalogue.licence_type(FOOD).code


def test_every_suite_and_every_label(service: Service) -> None:
    software = Software(service, suite="es256", scope=[DOCUMENT_SCOPE, typed(service)])
    for content in (
        {"type_code": typed(service)},
        {"valid_from": 20_000, "valid_until": 21_000},
        {"digests": [bytes([n]) * 32 for n in range(64)]},
    ):
        assert software.post(software.sign(**content)).status_code == 201


def test_what_follows_wrongly_is_refused(software: Software) -> None:
    first = software.sign(type_code=None)
    subject, leaf = parse_statement(first).subject, bytes.fromhex(leaf_of(first))
    assert software.post(first).status_code == 201
    software.service.clock.step(60)
    health = Software(software.service, "health")
    size = software.service.city.ledger.size
    for how in (
        {"subject": "B" * 22, "predecessor": leaf},
        {"subject": subject, "predecessor": bytes(32)},
        {"subject": subject, "predecessor": leaf, "age": 120},
    ):
        problem_of(software.post(software.sign(**how)), "register-predecessor-wrong", 409)
    foreign = health.sign(subject=subject, predecessor=leaf)
    problem_of(health.post(foreign), "register-predecessor-wrong", 409)
    problem_of(software.post(software.sign(subject=subject)), "register-record-exists", 409)
    assert software.service.city.ledger.size == size


def test_a_version_of_another_type_is_refused(service: Service) -> None:
    software = Software(service, scope=[DOCUMENT_SCOPE, typed(service)])
    first = software.sign(type_code=typed(service))
    assert software.post(first).status_code == 201
    how = {"subject": parse_statement(first).subject, "predecessor": bytes.fromhex(leaf_of(first))}
    problem_of(software.post(software.sign(**how)), "register-predecessor-wrong", 409)
    assert software.post(software.sign(type_code=typed(service), **how)).status_code == 201


def test_signed_at_the_very_edges_it_is_logged(software: Software) -> None:
    software.enrol(signer("older"), [DOCUMENT_SCOPE], **{"from": 0})
    for how in ({"age": -CLOCK_SKEW}, {"age": MAX_AGE, "by": signer("older")}):
        assert software.post(software.sign(**how)).status_code == 201


def test_a_key_for_licences_alone(service: Service) -> None:
    software = Software(service, scope=[typed(service)])
    problem_of(software.post(software.sign()), "key-out-of-scope", 403)
    problem_of(software.post(software.sign(type_code=typed(service))), "key-out-of-scope", 403)


def test_the_key_of_another_department(software: Software) -> None:
    health = Software(software.service, "health")
    problem_of(software.post(software.sign(by=health.key)), "key-of-another", 422)


def test_who_was_revoked_is_out_within_a_second(software: Software) -> None:
    city = software.service.city
    assert software.post(software.sign()).status_code == 201
    revoke_client(city.store, software.who, city.now())
    software.service.clock.step(1)
    problem_of(software.post(software.sign()), "credentials-revoked", 401)


@pytest.mark.parametrize(("act", "code"), [("suspend", "key-suspended"), ("retire", "key-retired")])
def test_a_key_without_power(software: Software, act: str, code: str) -> None:
    """Also for what it signed before: nothing proves when that was."""
    before = software.sign()
    software.service.clock.step(60)
    software.change_key(act)
    for statement in (before, software.sign()):
        problem_of(software.post(statement), code, 403)


def test_a_key_whose_time_is_over(software: Software) -> None:
    key, now = signer("short"), software.service.city.now()
    software.enrol(key, [DOCUMENT_SCOPE], until=now + 60)
    signed = software.sign(by=key)
    software.service.clock.step(61)
    problem_of(software.post(signed), "key-out-of-date", 403)


def test_what_is_there_is_answered_whatever_became_of_its_key(software: Software) -> None:
    """Of any kind, and however long ago."""
    statement, city = software.sign(), software.service.city
    index = software.post(statement).json()["index"]
    software.service.clock.step(MAX_AGE + DAY)
    software.change_key("retire")
    for entry, where in [(statement, index), (city.ledger.entry(0), 0)]:
        answer = software.post(entry)
        assert answer.status_code == 200
        assert (answer.json()["index"], answer.json()["existing"]) == (where, True)


def overtaken(
    software: Software, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]
) -> None:
    """`change` happens after the check of the next statements, and before they are logged."""
    registrar = software.service.client.app.state.services.registrar  # type: ignore[attr-defined]
    log_all = registrar.log_all
    done = threading.Event()

    async def late(group: Any) -> Any:
        if not done.is_set():
            done.set()
            thread = threading.Thread(target=change)
            thread.start()
            thread.join()
        return await log_all(group)

    monkeypatch.setattr(registrar, "log_all", late)


def test_a_key_suspended_between_check_and_commit(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = software.service.city
    overtaken(software, monkeypatch, lambda: software.change_key("suspend"))
    statement = software.sign()
    problem_of(software.post(statement), "key-suspended", 403)
    with pytest.raises(LedgerError) as caught:
        city.ledger.index_of(bytes.fromhex(leaf_of(statement)))
    assert caught.value.code == "ledger-not-found"


def test_one_key_suspended_meanwhile_spoils_no_other_line(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = signer("another of the same department")
    software.enrol(other, [DOCUMENT_SCOPE])
    overtaken(software, monkeypatch, lambda: software.change_key("suspend"))
    body = [line_of(software.sign()), line_of(software.sign(by=other))] * 2
    first, second, third, fourth, totals = software.bulk(b"".join(body))
    assert (first["code"], third["code"]) == ("key-suspended", "key-suspended")
    assert (second["existing"], fourth["existing"]) == (False, True)
    assert totals == {"done": True, "lines": 4, "logged": 1, "existing": 1, "refused": 2}


def test_the_power_is_given_by_name(software: Software) -> None:
    city = software.service.city
    assert scope_codes(city, "market", [FOOD, DOCUMENT_SCOPE]) == [
        typed(software.service),
        DOCUMENT_SCOPE,
    ]
    assert DOCUMENT_SCOPE not in scope_codes(city, "market", None)
    facts = {"dept": "market", "scope": [DOCUMENT_SCOPE], "from": 0, "key": b""}
    zh, en = describe(kinds.KEY, {**facts, "key": cose_key_bytes(software.key.suite, bytes(32))})
    assert "自行签发的文件" in zh
    assert "documents of its own" in en


def test_what_a_stolen_key_registered_is_listed(software: Software) -> None:
    service = software.service
    service.clock.step(DAY)
    since = service.city.now()
    followed, left = software.sign(), software.sign()
    for statement in (followed, left):
        assert software.post(statement).status_code == 201
    forged = software.sign(subject="A" * 22)
    service.city.ledger.append([Draft(forged, kinds.DOCUMENT, "market")])
    report_leak(service.city, software.key.kid, since)
    software.key = signer("after the leak")
    software.enrol(software.key, [DOCUMENT_SCOPE])
    how = {"subject": parse_statement(followed).subject}
    again = software.sign(predecessor=bytes.fromhex(leaf_of(followed)), **how)
    assert software.post(again).status_code == 201
    key = service.city.authorities.keys[signer("software of market").kid]
    listed = {entry.leaf.hex(): entry.step for entry in affected(service.city, key)}
    assert listed == {
        leaf_of(followed): Step.FOLLOWED,
        leaf_of(left): Step.PERSON,
        leaf_of(forged): Step.FOREIGN,
    }


def test_what_is_registered_breaks_no_rule(software: Software) -> None:
    first = software.sign()
    how = {"subject": parse_statement(first).subject}
    second = software.sign(predecessor=bytes.fromhex(leaf_of(first)), **how)
    body = [line_of(each) for each in (first, second, software.sign(), software.sign(**how))]
    assert software.bulk(b"".join(body))[-1]["logged"] == 3
    assert audit_findings(software.service) == []
