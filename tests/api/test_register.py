"""Statements signed elsewhere: what is logged, what is refused, and nothing twice."""

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from starlette.requests import ClientDisconnect

from api import register_bulk
from api.app import seat
from api.principals import Principal, Role
from api.register import MAX_AGE, Logged, Registrar
from api.register_bulk import MAX_LINE, Bulk, statement_of
from api.tables import DOCUMENTS
from keys.errors import ZhenglianError
from ledger.errors import LedgerError
from tests.api.documents import COSE, Software, leaf_of, line_of
from tests.api.service import Clock, Service, Template, open_copy, problem_of
from tests.city import signer
from tests.verifier.helpers import refused
from verifier import kinds
from verifier.judge import CLOCK_SKEW
from verifier.statement import MAX_STATEMENT, parse_statement


@pytest.fixture(scope="module")
def software(
    app: FastAPI, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Software]:
    """One city for all: what is refused changes nothing in it, and what is logged is in nobody's
    way."""
    clock = Clock()
    folder = Path(shutil.copytree(template.folder, tmp_path_factory.mktemp("register") / "var"))
    city = open_copy(folder, clock)
    seat(app, city)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Software(Service(city, client, clock, template.keys))


# --- one ---------------------------------------------------------------------------------------


def test_a_document_is_logged_once(software: Software) -> None:
    city, statement = software.service.city, software.sign()
    size = city.ledger.size
    answer = software.post(statement)
    assert answer.status_code == 201, answer.text
    leaf = leaf_of(statement)
    logged = {"index": size, "leaf": leaf, "finality": "final", "existing": False}
    assert answer.json() == logged
    assert city.ledger.entry(size) == statement
    again = software.post(statement)
    assert (again.status_code, again.json()) == (200, {**logged, "existing": True})
    assert city.ledger.size == size + 1


def test_a_later_version_follows_the_latest(software: Software) -> None:
    first = software.sign()
    subject = parse_statement(first).subject
    second = software.sign(subject=subject, predecessor=bytes.fromhex(leaf_of(first)))
    third = software.sign(subject=subject, predecessor=bytes.fromhex(leaf_of(second)))
    problem_of(software.post(second), "register-predecessor-wrong", 409)
    for statement in (first, second, third):
        assert software.post(statement).status_code == 201
    assert software.post(second).status_code == 200
    mine = DOCUMENTS.c.record_id == subject
    with software.service.city.store.read() as reader:
        row = reader.connection.execute(select(DOCUMENTS).where(mine)).one()
    assert row.head_leaf.hex() == leaf_of(third)
    assert row.department == "market"


# --- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [
        ({"kind": kinds.QUESTION, "rule_set": "x"}, "register-kind-refused", 422),
        ({"kind": kinds.ERASURE, "digests": (), "predecessor": bytes(32), "reason": "x"},
         "register-kind-refused", 422),
        ({"issuer": "test.zhenglian.example/health"}, "department-mismatch", 403),
        ({"issuer": "other.example/market"}, "department-mismatch", 403),
        ({"age": MAX_AGE + 1}, "register-too-old", 422),
        ({"age": -CLOCK_SKEW - 1}, "register-from-future", 422),
        ({"by": signer("nobody")}, "key-not-enrolled", 422),
        ({"type_code": "11100000MB0143028R001"}, "key-out-of-scope", 403),
        ({"type_code": "no such type"}, "key-out-of-scope", 403),
        ({"digests": ()}, "statement-malformed", 422),
        ({"rule_set": "x"}, "statement-malformed", 422),
        ({"valid_from": 21_000, "valid_until": 20_000}, "statement-malformed", 422),
    ],
)  # fmt: skip
def test_refused(software: Software, how: dict[str, Any], code: str, status: int) -> None:
    size = software.service.city.ledger.size
    problem_of(software.post(software.sign(**how)), code, status)
    assert software.service.city.ledger.size == size


def test_malformed_bytes(software: Software) -> None:
    good = software.sign()
    for bad, code in [
        (b"", "cose-malformed"),
        (good[:-1] + bytes((good[-1] ^ 1,)), "statement-bad-signature"),
        (good[:-1], "cbor-malformed"),
        (bytes(MAX_STATEMENT + 1), "too-large"),
    ]:
        problem_of(software.post(bad), code)


def test_who_may_register(software: Software) -> None:
    service, statement = software.service, software.sign()
    service.keys = {
        **service.keys,
        "no-department": software.add_caller("no-department", None),
        "clerk-elsewhere": software.add_caller("clerk-elsewhere", "health", Role.CLERK),
    }
    for who, code, status in [
        ("clerk", "role-missing", 403),
        ("operator", "role-missing", 403),
        ("clerk-elsewhere", "role-missing", 403),
        ("no-department", "department-mismatch", 403),
    ]:
        problem_of(software.post(statement, who), code, status)
    for token in (None, "zl_nobody_AAAA", "Basic"):
        headers = COSE if token is None else {**COSE, "Authorization": f"Bearer {token}"}
        answer = service.call(None, "POST", "/v1/log/entries", content=statement, headers=headers)
        problem_of(answer, "credentials-missing" if token is None else "credentials-invalid", 401)


def test_other_content_types(software: Software) -> None:
    for given in ("application/json", "application/cbor", ""):
        answer = software.post(software.sign(), headers={"Content-Type": given})
        problem_of(answer, "media-type-unsupported", 415)
    for given in ("application/cose; cose-type=cose-sign1", "application/scitt-statement+cose"):
        answer = software.post(software.sign(), headers={"Content-Type": given})
        assert answer.status_code == 201


# --- many at once ------------------------------------------------------------------------------


def test_clients_at_once_share_transactions_and_none_is_doubled(software: Software) -> None:
    """Each statement is sent by two clients."""
    city = software.service.city
    size = city.ledger.size
    statements = [software.sign() for _ in range(40)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(software.post, statements * 2))
    assert {answer.status_code for answer in answers} == {200, 201}
    indices = [answer.json()["index"] for answer in answers]
    assert indices[:40] == indices[40:]
    assert sorted(indices[:40]) == list(range(size, size + 40))
    assert [city.ledger.entry(index) for index in indices[:40]] == statements


# --- bulk --------------------------------------------------------------------------------------


def test_bulk_answers_every_line_in_order(software: Software) -> None:
    size = software.service.city.ledger.size
    statements = [software.sign() for _ in range(5)]
    first = software.post(statements[3]).json()
    *lines, totals = software.bulk(b"".join(map(line_of, statements)))
    assert [line["line"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["leaf"] for line in lines] == list(map(leaf_of, statements))
    assert [line["index"] for line in lines] == [size + n for n in (1, 2, 3, 0, 4)]
    assert lines[3] == {"line": 4, **first, "existing": True}
    assert totals == {"done": True, "lines": 5, "logged": 4, "existing": 1, "refused": 0}


def test_one_bad_line_spoils_no_other(software: Software) -> None:
    taken, good, last = software.sign(), software.sign(), software.sign()
    subject = parse_statement(taken).subject
    assert software.post(taken).status_code == 201
    bad = [
        (b"", "register-line-malformed"),
        (b"null", "register-line-malformed"),
        (b'{"statement": 5}', "register-line-malformed"),
        (b'{"statements": ""}', "register-line-malformed"),
        (b'{"statement": "", "statement": ""}', "register-line-malformed"),
        (b'{"statement": "\xff"}', "register-line-malformed"),
        (b"[" * 5_000, "register-line-malformed"),
        (b'{"statement": ""}', "cose-malformed"),
        (b'{"statement": "AB=="}', "base64-malformed"),
        (b'{"statement": "' + b"A" * MAX_LINE + b'"}', "too-large"),
        (b'{"statement": "' + b"A" * (MAX_LINE - 100) + b'"}', "too-large"),
        (line_of(software.sign(age=MAX_AGE + 1)).strip(), "register-too-old"),
        (line_of(software.sign(subject=subject)).strip(), "register-record-exists"),
        (line_of(software.sign(subject=parse_statement(good).subject)).strip(),
         "register-record-exists"),
        (line_of(software.sign(predecessor=bytes(32))).strip(), "register-predecessor-wrong"),
    ]  # fmt: skip
    body = [line_of(good), *(line + b"\n" for line, _ in bad), line_of(last).strip()]
    first, *lines, logged, totals = software.bulk(b"".join(body))
    assert (first["existing"], logged["existing"]) == (False, False)
    assert [line["code"] for line in lines] == [code for _, code in bad]
    assert all({"line", "zh", "en", "detail"} < line.keys() for line in lines)
    assert totals == {
        "done": True, "lines": len(bad) + 2, "logged": 2, "existing": 0, "refused": len(bad),
    }  # fmt: skip


def test_versions_in_one_group_go_in_order(software: Software) -> None:
    first = software.sign()
    subject, leaf = parse_statement(first).subject, bytes.fromhex(leaf_of(first))
    second = software.sign(subject=subject, predecessor=leaf)
    early, begun, late, totals = software.bulk(b"".join(map(line_of, [second, first, second])))
    assert early["code"] == "register-predecessor-wrong"
    assert late["index"] == begun["index"] + 1
    assert (totals["logged"], totals["refused"]) == (2, 1)


def test_lines_may_be_spelled_as_json_allows(software: Software) -> None:
    statement = software.sign()
    text = base64.b64encode(statement).decode()
    for line in (
        json.dumps({"statement": text}),
        json.dumps({"statement": text}).replace("/", "\\/"),
        f'  {{ "statement" :\t"{text}" }} \r',
        f'{{"\\u0073tatement":"{text}"}}',
    ):
        assert statement_of(line.encode()) == statement
    with refused("too-large"):
        statement_of(line_of(bytes(MAX_STATEMENT + 1)).strip())


def test_groups_are_bounded_and_a_request_too(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register_bulk, "GROUP", 4)
    monkeypatch.setattr(register_bulk, "MAX_LINES", 10)
    statements = [software.sign() for _ in range(12)]
    *lines, end = software.bulk(b"".join(map(line_of, statements)))
    assert [line["line"] for line in lines] == list(range(1, 9))
    assert end["code"] == "register-too-many"
    *lines, end = software.bulk(b"".join(map(line_of, statements[2:])))
    assert [line["existing"] for line in lines] == [True] * 6 + [False] * 4
    assert end["lines"] == 10


async def somebody() -> Principal:
    return Principal("x", "x", "market", frozenset({Role.REGISTRAR}))


def test_lines_are_answered_while_others_are_sent(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body goes on only after the first answer, and is not read far ahead of what is logged."""
    monkeypatch.setattr(register_bulk, "GROUP", 2)
    registrar, city = Registrar(software.service.city), software.service.city
    size, groups = city.ledger.size, 8

    async def conversation() -> list[int]:
        answered, ahead = asyncio.Event(), []

        async def body() -> AsyncIterator[bytes]:
            for number in range(groups):
                if number == 3:
                    await answered.wait()
                ahead.append(number - (city.ledger.size - size) // 2)
                yield line_of(software.sign()) + line_of(software.sign())

        async for part in Bulk(registrar, somebody).run(body()):
            answered.set()
            last = part
        assert json.loads(last)["logged"] == 2 * groups
        return ahead

    assert max(asyncio.run(conversation())) <= 3


def test_a_caller_that_hangs_up_ends_the_work(software: Software) -> None:
    registrar = Registrar(software.service.city)
    statement = software.sign()

    async def cut() -> list[bytes]:
        async def body() -> AsyncIterator[bytes]:
            yield line_of(statement)
            raise ClientDisconnect

        return [part async for part in Bulk(registrar, somebody).run(body())]

    assert asyncio.run(cut()) == []
    assert software.post(statement).status_code == 201


def test_a_line_in_many_pieces(software: Software) -> None:
    whole = line_of(software.sign()) + line_of(software.sign())

    def body() -> Iterator[bytes]:
        yield from (whole[at : at + 7] for at in range(0, len(whole), 7))

    assert software.bulk(body())[-1]["logged"] == 2


def test_nothing_sent(software: Software) -> None:
    totals = {"done": True, "lines": 0, "logged": 0, "existing": 0, "refused": 0}
    assert software.bulk(b"") == [totals]


def test_who_may_send_many(software: Software) -> None:
    first, totals = software.bulk(line_of(software.sign()), "clerk")
    assert first["code"] == "role-missing"
    assert totals["refused"] == 1
    path, headers = "/v1/log/bulk", {"Content-Type": "application/x-ndjson"}
    answer = software.service.call(None, "POST", path, content=b"", headers=headers)
    problem_of(answer, "credentials-missing", 401)
    answer = software.post(b"", path=path, headers=COSE)
    problem_of(answer, "media-type-unsupported", 415)


@pytest.mark.parametrize(
    ("failures", "lines"), [(2, ["logged"]), (99, ["ledger-busy"])], ids=["tried again", "given up"]
)
def test_a_busy_ledger_is_waited_for(
    software: Software, monkeypatch: pytest.MonkeyPatch, failures: int, lines: list[str]
) -> None:
    registrar = software.service.client.app.state.services.registrar  # type: ignore[attr-defined]
    monkeypatch.setattr(register_bulk, "_PAUSES", (0.0, 0.0, 0.0))
    submit, left = registrar._submit, [failures]

    async def busy(group: Any) -> list[Logged]:
        left[0] -= 1
        if left[0] >= 0:
            raise LedgerError("ledger-busy", "for a test")
        return list(await submit(group))

    monkeypatch.setattr(registrar, "_submit", busy)
    first, _ = software.bulk(line_of(software.sign()))
    assert first.get("code", "logged") in lines


def test_what_breaks_is_said_in_the_last_line(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    registrar = software.service.client.app.state.services.registrar  # type: ignore[attr-defined]

    def broken(*_: Any) -> None:
        raise ValueError("personal: never to be told")

    monkeypatch.setattr(registrar, "check_or_find", broken)
    (end,) = software.bulk(line_of(software.sign()))
    assert end["code"] == "internal-error"
    assert "personal" not in json.dumps(end)


def test_a_failing_ledger_fails_all_that_wait_together(
    software: Software, monkeypatch: pytest.MonkeyPatch
) -> None:
    registrar = software.service.client.app.state.services.registrar  # type: ignore[attr-defined]

    async def broken(_: Any) -> list[ZhenglianError]:
        raise RuntimeError("for a test")

    with monkeypatch.context() as patch:
        patch.setattr(registrar, "log_all", broken)
        problem_of(software.post(software.sign()), "internal-error", 500)
    assert software.post(software.sign()).status_code == 201
