"""The witness over HTTP: paths, methods, sizes, types. What it decides is tested without."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from starlette.testclient import TestClient
from starlette.types import Message
from structlog.testing import capture_logs

from api.witness_app import app_of, witness_app
from ledger.stores.witness import WitnessState
from ledger.witness import Witness, format_sign_subtree, origin_hash
from ledger.witness.errors import WitnessError, WitnessSetupError
from ledger.witness.wire import MAX_REQUEST
from tests.witness.logs import Clock, GrowingLog, new_state, new_witness, witness_signers
from verifier.note import parse_note, verify_signatures

TEXT = "text/plain; charset=utf-8"


@pytest.fixture
def log() -> GrowingLog:
    return GrowingLog().grow(4)


@pytest.fixture
def witness(tmp_path: Path, log: GrowingLog) -> Witness:
    return new_witness(tmp_path, log)


@pytest.fixture
def client(witness: Witness) -> Iterator[TestClient]:
    with TestClient(app_of(witness), raise_server_exceptions=False) as client:
        yield client


def test_cosigns_and_shows_it(client: TestClient, witness: Witness, log: GrowingLog) -> None:
    answer = client.post("/add-checkpoint", content=log.request(0))
    assert (answer.status_code, answer.headers["content-type"]) == (200, TEXT)
    note = log.checkpoint() + answer.content
    verify_signatures(parse_note(note), witness.keys, at_least=2)
    shown = client.get(f"/{origin_hash(log.origin)}/checkpoint")
    assert (shown.status_code, shown.content) == (200, note)
    assert shown.headers["cache-control"] == "no-cache"
    assert shown.headers["access-control-allow-origin"] == "*"
    assert client.head(f"/{origin_hash(log.origin)}/checkpoint").content == b""
    body = format_sign_subtree(0, 4, log.root(), [], note)
    signed = client.post("/sign-subtree", content=body)
    assert (signed.status_code, signed.headers["content-type"]) == (200, TEXT)


def test_says_the_size_on_record(client: TestClient, log: GrowingLog) -> None:
    client.post("/add-checkpoint", content=log.request(0))
    answer = client.post("/add-checkpoint", content=log.request(2))
    assert (answer.status_code, answer.text) == (409, "4\n")
    assert answer.headers["content-type"] == "text/x.tlog.size"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/add-checkpoint", 400, "witness-request"),
        ("POST", "/sign-subtree", 400, "witness-request"),
        ("GET", "/add-checkpoint", 405, "witness-method"),
        ("DELETE", f"/{'ab' * 32}/checkpoint", 405, "witness-method"),
        ("GET", f"/{'ab' * 32}/checkpoint", 404, "witness-never-cosigned"),
        ("GET", f"/{'AB' * 32}/checkpoint", 404, "witness-never-cosigned"),
        ("GET", "/%ff/checkpoint", 404, "witness-never-cosigned"),
        ("GET", "/", 404, "witness-path"),
        ("POST", "/add-checkpoint/", 404, "witness-path"),
        ("GET", "/checkpoint", 404, "witness-path"),
    ],
)
def test_refusals_are_plain_text_with_their_code_at_the_head(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path, follow_redirects=False)
    assert (answer.status_code, answer.headers["content-type"]) == (status, TEXT)
    assert answer.text.startswith(f"{code}: ")
    assert answer.text.endswith("\n")
    if status == 405:
        assert answer.headers["allow"]


def test_a_hash_in_upper_case_is_another_name(client: TestClient, log: GrowingLog) -> None:
    client.post("/add-checkpoint", content=log.request(0))
    assert client.get(f"/{origin_hash(log.origin).upper()}/checkpoint").status_code == 404


def test_a_body_is_read_no_further_than_allowed(witness: Witness) -> None:
    """Spoken to in ASGI: the client of the other tests reads its own body to the end first."""
    piece, read = 1 << 14, 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal read
        read += piece
        assert read <= 2 * MAX_REQUEST
        return {"type": "http.request", "body": bytes(piece), "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/add-checkpoint", "headers": []}
    anyio.run(app_of(witness), scope, receive, send)
    assert read == MAX_REQUEST + piece
    assert sent[0]["status"] == 400
    assert sent[1]["body"].startswith(b"witness-request-too-large: ")


def test_health_and_metrics(client: TestClient, witness: Witness, log: GrowingLog) -> None:
    fork = log.fork(1).grow(3, b"f")
    for body in (log.request(0), log.request(0), fork.request(4)):
        client.post("/add-checkpoint", content=body)
    assert client.get("/healthz").text == "ok\n"
    text = client.get("/metrics").text
    for line in (
        'answers_total{request="add-checkpoint",code="ok"} 1',
        'answers_total{request="add-checkpoint",code="witness-conflict"} 2',
        'log_size{log="log.example/l1"} 4',
        'evidence{kind="fork"} 1',
        'evidence{kind="unproven"} 0',
    ):
        assert f"zhenglian_witness_{line}\n" in text


def test_tells_of_evidence_once(tmp_path: Path, log: GrowingLog) -> None:
    fork = log.fork(1).grow(3, b"f")
    app = witness_app(new_state(tmp_path, log), witness_signers(), Clock())
    with capture_logs() as logged, TestClient(app) as client:
        for body in (log.request(0), fork.request(4), fork.request(4)):
            client.post("/add-checkpoint", content=body)
    told = [line for line in logged if line["event"] == "evidence"]
    assert told == [
        {"event": "evidence", "log_level": "warning", "log": log.origin, "kind": "fork", "size": 4}
    ]


class Failing:
    """A state whose every method raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> object:
        def fail(*_arguments: object) -> object:
            raise self._error

        return fail


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (WitnessError("witness-busy", "locked"), 503, "witness-busy"),
        (WitnessError("witness-state-failed", "disk I/O error"), 500, "witness-state-failed"),
        (ZeroDivisionError(), 500, "witness-failed"),
    ],
)
def test_a_failing_state(log: GrowingLog, error: Exception, status: int, code: str) -> None:
    app = witness_app(Failing(error), witness_signers(), Clock())  # type: ignore[arg-type]
    with capture_logs(), TestClient(app, raise_server_exceptions=False) as client:
        for answer in (
            client.post("/add-checkpoint", content=log.request(0)),
            client.get("/healthz"),
        ):
            assert (answer.status_code, answer.text.partition(":")[0]) == (status, code)
            assert "disk" not in answer.text
        metrics = client.get("/metrics")
        assert metrics.status_code == (500 if code == "witness-failed" else 200)


def test_every_refusal_of_the_web_has_its_status() -> None:
    """No code without one, none that is not an error."""
    assert set(WitnessError.STATUS) == set(WitnessError.WORDS)
    assert {status // 100 for status in WitnessError.STATUS.values()} == {4, 5}
    assert not set(WitnessSetupError.WORDS) & set(WitnessError.WORDS)


def test_two_witnesses_of_one_state(tmp_path: Path, log: GrowingLog) -> None:
    state: WitnessState = new_state(tmp_path, log)
    with (
        TestClient(witness_app(state, witness_signers(), Clock())) as one,
        TestClient(witness_app(state, witness_signers(), Clock())) as two,
    ):
        assert one.post("/add-checkpoint", content=log.request(0)).status_code == 200
        assert two.post("/add-checkpoint", content=log.request(0)).text == "4\n"
