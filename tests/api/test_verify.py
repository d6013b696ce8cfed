"""Checking codes over HTTP: every way to hand one in, every way it can be wrong."""

import asyncio
import io
import json
from base64 import b64decode
from typing import Any

import pytest
from PIL import Image

from api.app import create_app
from api.qrimage import qr_png
from keys.signer import SoftwareSigner
from keys.suites import suite_named
from tests.api.service import Service, problem_of, sample
from tests.city import City as OtherCity
from verifier.codec import base45_decode, base45_encode
from verifier.qr import PREFIX, format_qr, parse_qr
from verifier.statement import sign_statement


def post(service: Service, content: Any, media_type: str) -> Any:
    headers = {"Content-Type": media_type}
    return service.call(None, "POST", "/v1/verify", content=content, headers=headers)


def picture(text: str, format_: str) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(qr_png(text))).convert("RGB").save(out, format_)
    return out.getvalue()


# ways in


def test_every_way_in_gives_the_same_verdict(service: Service) -> None:
    issued = service.issue()
    qr = issued["qr"]
    answers = [
        service.post(None, "/v1/verify", {"text": qr}),
        service.post(None, "/v1/verify", {"text": f"\n {qr} "}),
        service.call(None, "POST", "/v1/verify", data={"text": qr}, files={"x": b""}),
        service.call(None, "POST", "/v1/verify", files={"image": ("a.png", qr_png(qr))}),
        post(service, qr_png(qr), "image/png"),
        post(service, picture(qr, "JPEG"), "image/jpeg"),
        post(service, picture(qr, "WEBP"), "IMAGE/WEBP; q=1"),
        post(service, qr.encode(), "application/octet-stream"),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json() == answers[0].json()
    verdict = answers[0].json()
    assert (verdict["colour"], verdict["code"]) == ("green", "valid")
    names = [field["value"] for field in verdict["licence"]["fields"] if field["code"] == "name"]
    assert names == [sample("food-licence")["name"]]
    outcomes = {check["number"]: check["outcome"] for check in verdict["checks"]}
    assert {n for n, outcome in outcomes.items() if outcome != "passed"} == {9}  # no witnesses yet


@pytest.mark.parametrize("media_type", ["application/cbor", "application/cose"])
def test_a_bare_statement_is_checked(service: Service, media_type: str) -> None:
    issued = service.issue()
    verdict = post(service, b64decode(issued["statement"]), media_type).json()
    assert (verdict["colour"], verdict["code"]) == ("amber", "no-disclosure")
    assert verdict["licence"]["fields"] == []
    assert verdict["licence"]["undisclosed"] == 1


# refused before there is a verdict


@pytest.mark.parametrize(
    ("content", "media_type", "code", "status"),
    [
        (b"", "application/json", "request-invalid", 422),
        (b"{}", "application/json", "request-invalid", 422),
        (b"[]", "application/json", "request-invalid", 422),
        (b'{"text": 1}', "application/json", "request-invalid", 422),
        (b'{"text": "a", "now": 0}', "application/json", "request-invalid", 422),
        (b'{"text": "\\ud800"}', "application/json", "request-invalid", 422),
        (b'{"text": "\xff"}', "application/json", "request-invalid", 422),
        (b'{"text": "' + b"A" * 16_385 + b'"}', "application/json", "request-invalid", 422),
        (b"[" * 100_000, "application/json", "request-invalid", 422),
        (b"ZL1:", "text/plain", "media-type-unsupported", 415),
        (b"ZL1:", "", "media-type-unsupported", 415),
        (b"", "image/png", "image-malformed", 422),
        (b"\x89PNG\r\n\x1a\n", "image/png", "image-malformed", 422),
        (b"GIF89a", "image/png", "image-malformed", 422),
        (b"x", "multipart/form-data", "request-invalid", 400),
        (b"--b--", "multipart/form-data; boundary=b", "request-invalid", 422),
    ],
)
def test_what_cannot_be_read(
    service: Service, content: bytes, media_type: str, code: str, status: int
) -> None:
    problem_of(post(service, content, media_type), code, status)


def test_pictures_without_one_code(service: Service) -> None:
    blank = io.BytesIO()
    Image.new("L", (300, 300), 255).save(blank, "PNG")
    problem_of(post(service, blank.getvalue(), "image/png"), "image-no-code", 422)
    two = Image.new("L", (1400, 700), 255)
    for number in range(2):
        one = Image.open(io.BytesIO(qr_png(service.issue(number=number)["qr"], scale=3)))
        two.paste(one, (number * 700, 0))
    both = io.BytesIO()
    two.save(both, "PNG")
    problem_of(post(service, both.getvalue(), "image/png"), "image-several-codes", 422)


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    service: Service, declared: bool
) -> None:
    most, piece = service.city.settings.max_body_mib << 20, 1 << 20
    headers = [(b"content-type", b"image/png")]
    if declared:
        headers.append((b"content-length", str(most + 1).encode()))
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/verify",
        "raw_path": b"/v1/verify",
        "query_string": b"",
        "headers": headers,
        "app": service.client.app,
    }
    taken, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += piece
        return {"type": "http.request", "body": bytes(piece), "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(service.client.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    body = json.loads(sent[1]["body"])
    assert (body["code"], body["status"]) == ("request-too-large", 413)
    assert body["instance"] == "/v1/verify"
    assert taken == (0 if declared else most + piece)


# red and amber


def verdict_of(service: Service, text: str) -> tuple[str, str]:
    verdict = service.verify(text)
    return verdict["colour"], verdict["code"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "qr-not-ours"),
        ("https://example.org/", "qr-not-ours"),
        ("HC1:6BF", "qr-not-ours"),
        ("ZL1:", "qr-truncated"),
        ("ZL1:00", "cbor-malformed"),
        ("ZL1:::::", "qr-truncated"),
        ("ZL1::::", "base45-malformed"),
        ("zl1:00", "qr-not-ours"),
        ("A" * 9_000, "too-large"),
    ],
)
def test_what_is_no_code_of_ours(service: Service, text: str, code: str) -> None:
    colour, found = verdict_of(service, text)
    assert colour == "red"
    assert found == code or (code, found) == ("cbor-malformed", "qr-malformed"), found


def test_a_damaged_code_is_red(service: Service) -> None:
    qr = service.issue()["qr"]
    assert verdict_of(service, qr[: len(qr) // 2])[0] == "red"
    assert verdict_of(service, qr + qr) == ("red", "qr-doubled")
    data = bytearray(base45_decode(qr[len(PREFIX) :], max_bytes=4000))
    data[len(data) // 2] ^= 1
    assert verdict_of(service, PREFIX + base45_encode(bytes(data)))[0] == "red"


def test_another_disclosure_is_not_this_licences(service: Service) -> None:
    first, second = service.issue(), service.issue(number=1)
    forged = format_qr(
        parse_qr(first["qr"]).statement.raw, [b64decode(raw) for raw in second["disclosures"]]
    )
    assert verdict_of(service, forged) == ("red", "disclosure-not-signed")


def test_signed_but_not_in_the_ledger_is_red(service: Service) -> None:
    """A stolen key is not enough: what the ledger does not hold is never valid here."""
    use = service.client.app.state.services  # type: ignore[attr-defined]
    type_ = service.city.catalogue.licence_type("food-licence")
    prepared = use.licences.prepare(type_, sample("food-licence"))
    text = format_qr(prepared.statement, prepared.disclosures)
    assert verdict_of(service, text) == ("red", "not-in-ledger")
    assert service.verify(text)["record"]["index"] is None
    use.licences.log([prepared], client="test")
    assert verdict_of(service, text) == ("green", "valid")


def test_a_later_statement_about_the_same_record_does_not_inherit_its_state(
    service: Service,
) -> None:
    """Same record id, other statement: signed by the right key, and not in the ledger."""
    issued = service.issue()
    statement = parse_qr(issued["qr"]).statement
    forged = sign_statement(
        statement.content,
        issuer=statement.issuer,
        subject=statement.subject,
        issued_at=statement.issued_at + 1,
        signer=service.city.signer("market"),
    )
    disclosures = [b64decode(raw) for raw in issued["disclosures"]]
    assert verdict_of(service, format_qr(forged, disclosures)) == ("red", "not-in-ledger")


def test_another_citys_code_is_red(service: Service) -> None:
    other = OtherCity()
    assert verdict_of(service, other.issue().qr()) == ("red", "statement-foreign")


def test_a_key_nobody_enrolled_is_red(service: Service) -> None:
    statement = parse_qr(service.issue()["qr"]).statement
    ed25519 = suite_named("ed25519")
    forged = sign_statement(
        statement.content,
        issuer=statement.issuer,
        subject=statement.subject,
        issued_at=statement.issued_at,
        signer=SoftwareSigner(ed25519, ed25519.generate()),
    )
    assert verdict_of(service, format_qr(forged, [])) == ("red", "key-not-enrolled")


def test_a_state_is_live(service: Service) -> None:
    """D5: revoked at one counter, red at the other a second later; undone, green again."""
    issued = service.issue()
    qr, record_id = issued["qr"], issued["record_id"]
    assert verdict_of(service, qr) == ("green", "valid")
    service.set_state(record_id, "suspended", "penalty-suspension")
    assert verdict_of(service, qr) == ("red", "status-suspended")
    service.set_state(record_id, "valid", "suspension-ended")
    assert verdict_of(service, qr) == ("green", "valid")
    service.set_state(record_id, "revoked", "penalty-revocation")
    verdict = service.verify(qr)
    assert (verdict["colour"], verdict["code"]) == ("red", "status-revoked")
    assert "吊销" in verdict["zh"]
    assert verdict["status"] == {"state": 14, "as_of": service.clock.now, "age_seconds": 0}
    service.set_state(record_id, "valid", "revoked-in-error")
    assert verdict_of(service, qr) == ("green", "valid")


def test_expired_and_not_yet_valid(service: Service) -> None:
    past = service.issue(**{"from": "2020-01-01", "until": "2026-09-21"})
    future = service.issue(
        no=sample("food-licence", 1)["no"], **{"from": "2026-09-23", "until": "2031-09-22"}
    )
    assert verdict_of(service, past["qr"]) == ("red", "expired")
    assert verdict_of(service, future["qr"]) == ("red", "not-yet-valid")


def test_a_statement_that_is_no_licence_is_amber(service: Service) -> None:
    changed = service.set_state(service.issue()["record_id"], "suspended", "penalty-suspension")
    raw = service.city.ledger.entry(changed["index"])
    verdict = post(service, raw, "application/cbor").json()
    assert (verdict["colour"], verdict["code"]) == ("amber", "not-a-licence")


def test_a_restarted_city_still_knows(service: Service) -> None:
    """Nothing of a verdict depends on what this process has done."""
    qr = service.issue()["qr"]
    app = create_app(service.city)
    assert app.state.verify(qr).to_json()["colour"] == "green"
