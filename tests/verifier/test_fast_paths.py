"""What is read by hand is read as the general decoder would, and refused where it would refuse."""

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import KeysError
from keys.names import cose_key_bytes, parse_cose_key
from keys.suites import BY_NAME
from tests.city import BUSINESS, ISSUED_AT, ORIGIN, City, signer
from tests.decided import possession
from tests.verifier.helpers import refused
from verifier.authorities import Authorities
from verifier.change import parse_approval
from verifier.codec import byte_string, cbor_decode, cbor_encode
from verifier.cose import _plain_header, parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.kinds import KEY
from verifier.statement import TYP, Content, parse_statement

KEY_ = signer("fast paths")


@given(st.integers(-70_000, 30), st.binary(min_size=7, max_size=9), st.text(max_size=40))
def test_plain_headers(alg: int, kid: bytes, typ: str) -> None:
    header = {1: alg, 4: kid, 16: typ}
    data = cbor_encode(header)
    assert _plain_header(data) in (header, None)
    if -24 <= alg < 0 and len(kid) == 8:
        assert _plain_header(data) == header
    for at in range(len(data)):
        for other in (data[:at], data[:at] + b"\xff" + data[at + 1 :], data + b"x"):
            found = _plain_header(other)
            if found is not None:
                assert cbor_decode(other, max_bytes=1_024) == found


@pytest.mark.parametrize(
    "payload",
    [
        cbor_encode({1: bytes(32), 2: 5}),
        cbor_encode({1: bytes(32), 2: 70_000}),
        cbor_encode({1: bytes(32), 2: 1 << 33}),
        cbor_encode({1: bytes(32), 2: 1 << 41}),
        cbor_encode({1: bytes(31), 2: 70_000}),
        b"\xa2\x01\x58\x20" + bytes(32) + b"\x02\x1a\x00\x00\xff\xff",
        b"\xa2\x01\x58\x20" + bytes(32) + b"\x02\x1a\x00\x01\x00\x00\x00",
        b"\xa2\x01\x58\x20" + bytes(32) + b"\x03\x1a\x00\x01\x00\x00",
    ],
)
def test_approvals(payload: bytes) -> None:
    data = sign_sign1(None, payload, typ="zl-y", signer=KEY_)
    try:
        body = cbor_decode(payload, max_bytes=100)
        fine = set(body) == {1, 2} and len(body[1]) == 32 and body[2] < 1 << 40
    except Refused:
        fine = False
    if fine:
        assert parse_approval(data)[2:] == (body[1], body[2])
    else:
        with pytest.raises(Refused):
            parse_approval(data)


def statement(facts: bytes) -> bytes:
    """A statement whose facts are these bytes of CBOR."""
    claims = {1: f"{ORIGIN}/operator", 2: "A" * 22, 6: ISSUED_AT}
    return sign_sign1(claims, b"\xa2\x01\x01\x0b" + facts, typ=TYP, signer=KEY_)


@pytest.mark.parametrize(
    "facts",
    [
        b"\xa2\x62zh\x61a\x62id\x61b",
        b"\xa2\x62id\x61a\x62id\x61b",
        b"\xa1\x62id\xa2\x61b\x01\x61a\x01",
        b"\xa1\x62id\x81\xa2\x61b\x01\x61a\x01",
    ],
    ids=["out of order", "twice", "a map within", "a map in a list"],
)
def test_facts_have_one_spelling(facts: bytes) -> None:
    with refused("cbor-not-deterministic"):
        parse_statement(statement(facts))


def test_facts_in_order_are_read() -> None:
    facts = {"id": "x", "zh": b"y" * 300, "list": [{"a": 1, "b": [True, None]}]}
    assert parse_statement(statement(cbor_encode(facts))).content.facts == facts


def test_ed25519_keys() -> None:
    suite = BY_NAME["ed25519"]
    data = cose_key_bytes(suite, KEY_.public)
    assert parse_cose_key(data) == (suite, KEY_.public)
    assert cbor2.loads(data) == suite.cose_key(KEY_.public)
    for wrong in (data[:-1], data + b"x", data[:-32] + bytes(32)):
        with pytest.raises(KeysError):
            parse_cose_key(wrong)


def test_a_weak_key_is_seen_before_it_is_used() -> None:
    """A pack puts off whether the point is a proper one, with the signatures; nothing rests on it
    before that was seen."""
    city = City()
    weak = b"\x01" + bytes(31)
    cose_key = cose_key_bytes(BY_NAME["ed25519"], weak)
    _, proof = possession(ORIGIN, "market", KEY_)
    facts: dict[str, Any] = dict(city.key_content("market", KEY_, [BUSINESS]).facts)
    content = Content(KEY, facts={**facts, "key": cose_key, "pop": proof})
    entry = city.sign(city.decided(content, issued_at=ISSUED_AT), "operator", issued_at=ISSUED_AT)
    for deferred in (False, True):
        authorities = Authorities(deferred=deferred)
        for index in city.enrolments:
            authorities.enrol(parse_statement(city.entries[index]), index)
        if not deferred:
            with refused("enrolment-malformed"):
                authorities.enrol(parse_statement(entry), 90)
            continue
        authorities.enrol(parse_statement(entry), 90)
        (kid,) = authorities.keys.keys() - city.authorities.keys.keys()
        with refused("enrolment-malformed"):
            authorities.key(kid)
        with refused("enrolment-malformed"):
            authorities.settle_all()


def test_an_envelope_with_any_plain_header_is_the_same() -> None:
    for typ in ("zl-c", "zl-y", "zl-p", "x" * 30):
        data = sign_sign1(None, b"payload", typ=typ, signer=KEY_)
        found = parse_sign1(data, typ=typ, max_bytes=1_000)
        assert found.header == {1: -19, 4: KEY_.kid, 16: typ}
        assert byte_string(found.protected) in data
