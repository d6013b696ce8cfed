"""The grammar of statements: every label missing, extra or of a wrong type is refused."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.signer import SoftwareSigner
from keys.suites import BY_NAME
from tests.city import NOW, ORIGIN, City, seeded, signer
from tests.verifier.helpers import refused
from verifier.codec import byte_string, cbor_encode
from verifier.cose import (
    ALG,
    CWT_CLAIMS,
    IAT,
    ISS,
    KID,
    SUB,
    TYP,
    _template,
    parse_sign1,
    sign_sign1,
    to_be_signed,
    typ_of,
)
from verifier.errors import Refused
from verifier.kinds import KIND, KINDS
from verifier.merkle import leaf_hash
from verifier.statement import (
    MAX_DAY,
    MAX_STATEMENT,
    Content,
    check_statement,
    new_subject,
    parse_statement,
    sign_statement,
)
from verifier.states import STATES, VALID, may_follow
from verifier.times import MAX_TIME

KEY = signer("statement tests")
CLAIMS = {ISS: f"{ORIGIN}/market", SUB: "A" * 22, IAT: NOW}
GOOD: Mapping[int, Any] = {
    1: 16,
    2: "11100000MB0143028R001",
    3: 20_000,
    4: 21_000,
    5: [0, 17],
    6: b"\x06" * 32,
    7: "2026-04",
    8: [b"\x08" * 32, b"\x09" * 32],
    9: 14,
    10: "penalty",
    11: {"by": "subject"},
}
WRONG: Mapping[int, list[Any]] = {
    2: ["", "x" * 65, 5, b"x", None, ["x"]],
    3: [-1, MAX_DAY + 1, "1", True, None, [1]],
    4: [-1, MAX_DAY + 1, "1", False, None, 19_999],
    5: [[0], [0, 1, 2], [-1, 0], [0, -1], [0, 2**32], [2**32, 0], [True, 1], ["0", 1], 5, {0: 1}],
    6: [b"", b"\x06" * 31, b"\x06" * 33, "x" * 32, 6, None],
    7: ["", "x" * 65, 7, None],
    8: [
        [],
        b"\x08" * 32,
        [b"\x08" * 31],
        [b"\x08" * 32, "x"],
        [b"\x08" * 32, b"\x08" * 32],
        [bytes([i, 1]) * 16 for i in range(65)],
        {0: b"\x08" * 32},
        None,
    ],
    9: [-1, 4, 11, 16, "14", True, None, [14], {14: 14}],
    10: ["", "x" * 65, 10, None],
    11: [{}, [], "x", {1: 2}, None, 7],
}
every_kind = pytest.mark.parametrize("number", KINDS, ids=[kind.name for kind in KINDS.values()])


def sealed(payload: object, **parts: Any) -> bytes:
    """A signed statement with this payload; `claims`, `typ` and `by` may be other than good."""
    claims = parts.get("claims", CLAIMS)
    return sign_sign1(
        claims,
        payload if isinstance(payload, bytes) else cbor_encode(payload),
        typ=parts.get("typ", "zl-s"),
        signer=parts.get("by", KEY),
    )


def whole(number: int) -> dict[int, Any]:
    """A payload of a kind with all that it may carry."""
    return {label: GOOD[label] for label in KINDS[number].allowed if label != KIND} | {KIND: number}


@every_kind
class TestEveryKind:
    def test_with_all_labels_and_with_the_required_ones(self, number: int) -> None:
        kind = KINDS[number]
        for payload in (
            whole(number),
            {KIND: number, **{label: GOOD[label] for label in kind.required}},
        ):
            raw = sealed(payload)
            statement = parse_statement(raw)
            assert statement.content.to_map() == payload
            assert statement.content.kind == number
            assert (statement.issuer, statement.subject) == (CLAIMS[ISS], CLAIMS[SUB])
            assert statement.issued_at == NOW
            assert statement.raw == raw
            assert statement.leaf == leaf_hash(raw)
            check_statement(statement, KEY.public)

    def test_every_required_label_is_needed(self, number: int) -> None:
        for label in KINDS[number].required:
            payload = whole(number)
            del payload[label]
            with refused("statement-malformed"):
                parse_statement(sealed(payload))

    def test_no_other_label_is_allowed(self, number: int) -> None:
        for label in {*GOOD, 0, 12, 99} - KINDS[number].allowed:
            with refused("statement-malformed"):
                parse_statement(sealed({**whole(number), label: GOOD.get(label, 1)}))

    def test_every_label_has_its_type(self, number: int) -> None:
        for label in KINDS[number].allowed - {KIND}:
            for value in WRONG[label]:
                if label == 4 and value == 19_999 and 3 not in KINDS[number].allowed:
                    continue
                with refused("statement-malformed"):
                    parse_statement(sealed({**whole(number), label: value}))

    def test_the_grammar_names_known_labels_only(self, number: int) -> None:
        kind = KINDS[number]
        assert kind.required < kind.allowed <= set(GOOD)
        assert kind.number == number


@pytest.mark.parametrize(
    "payload", [{}, {1: 0}, {1: 11}, {1: "16"}, {1: True}, {2: "x"}, [], 16, "x"]
)
def test_unknown_kinds_are_refused(payload: object) -> None:
    with refused("statement-unknown-kind"):
        parse_statement(sealed(payload))


@given(at=st.integers(0, 200), byte=st.integers(0, 255), more=st.binary(max_size=3))
@pytest.mark.parametrize("number", [16, 17, 34])
def test_a_changed_byte_of_a_payload_is_refused_or_read_as_it_is(
    number: int, at: int, byte: int, more: bytes
) -> None:
    good = cbor_encode(whole(number))
    at %= len(good)
    bad = good[:at] + bytes([byte]) + more + good[at + 1 :]
    try:
        statement = parse_statement(sealed(bad))
    except Refused:
        return
    assert cbor_encode(statement.content.to_map()) == bad


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a3 01 18 30", "cbor-malformed"),
        ("a3 01 18 30 07 61 31 08 81 58 20", "cbor-malformed"),
        ("bf 01 18 30 07 61 31 08 81 58 20 {hash} ff", "cbor-malformed"),
        ("a3 f5 18 30 07 61 31 08 81 58 20 {hash}", "cbor-malformed"),
        ("a3 01 18 30 07 61 31 61 38 81 58 20 {hash}", "cbor-malformed"),
        ("a3 f9 3c 00 18 30 07 61 31 08 81 58 20 {hash}", "cbor-not-deterministic"),
        ("a3 01 18 30 07 c1 01 08 81 58 20 {hash}", "cbor-not-deterministic"),
        ("a3 01 19 00 30 07 61 31 08 81 58 20 {hash}", "cbor-not-deterministic"),
        ("a3 01 18 30 07 78 01 31 08 81 58 20 {hash}", "cbor-not-deterministic"),
        ("a3 01 18 30 07 61 31 08 98 01 58 20 {hash}", "cbor-not-deterministic"),
        ("b8 03 01 18 30 07 61 31 08 81 58 20 {hash}", "cbor-not-deterministic"),
        ("a4 01 18 30 07 61 31 07 61 31 08 81 58 20 {hash}", "cbor-not-deterministic"),
        ("a3 07 61 31 01 18 30 08 81 58 20 {hash}", "cbor-not-deterministic"),
        ("a3 01 18 30 07 61 31 08 81 58 20 {hash} 00", "cbor-not-deterministic"),
        ("a3 01 c2 41 30 07 61 31 08 81 58 20 {hash}", "cbor-not-deterministic"),
        ("a3 01 18 30 07 61 31 08 81 58 20 {hash}", None),
    ],
)
def test_other_spellings_of_a_payload_have_the_codecs_codes(text: str, code: str | None) -> None:
    data = sealed(bytes.fromhex(text.format(hash="08" * 32)))
    if code is None:
        assert parse_statement(data).content.rule_set == "1"
    else:
        with refused(code):
            parse_statement(data)


@pytest.mark.parametrize(
    "facts", [{"a": 1.5}, {"a": [1, {"b": 0.5}]}, {"a": 2**64}, {"a": {1: 1, "b": 2}}]
)
def test_facts_hold_plain_values_only(facts: dict[str, Any]) -> None:
    with refused("cbor-malformed", "cbor-not-deterministic"):
        parse_statement(sealed({**whole(34), 11: facts}))


@pytest.mark.parametrize(
    "claims",
    [
        None,
        {},
        {ISS: CLAIMS[ISS], SUB: CLAIMS[SUB]},
        {**CLAIMS, 4: NOW},
        {**CLAIMS, 7: b"id"},
        {**CLAIMS, ISS: 1},
        {**CLAIMS, ISS: ""},
        {**CLAIMS, ISS: "no-slash"},
        {**CLAIMS, ISS: "demo.example/"},
        {**CLAIMS, ISS: "demo.example/Market"},
        {**CLAIMS, ISS: "demo.example/market "},
        {**CLAIMS, ISS: "demo.example/market\n"},
        {**CLAIMS, ISS: "demo.example/市场"},
        {**CLAIMS, ISS: "demo.example//market"},
        {**CLAIMS, ISS: "demo.example/" + "a" * 33},
        {**CLAIMS, ISS: "x/" * 5 + "market"},
        {**CLAIMS, SUB: "A" * 21},
        {**CLAIMS, SUB: "A" * 23},
        {**CLAIMS, SUB: "A" * 21 + "="},
        {**CLAIMS, SUB: "A" * 21 + "\n"},
        {**CLAIMS, SUB: "A" * 21 + "é"},
        {**CLAIMS, SUB: b"A" * 22},
        {**CLAIMS, IAT: -1},
        {**CLAIMS, IAT: 1 << 40},
        {**CLAIMS, IAT: str(NOW)},
        {**CLAIMS, IAT: True},
    ],
)
def test_claims_of_another_form_are_refused(claims: dict[int, Any] | None) -> None:
    with refused("statement-malformed", "cose-malformed"):
        parse_statement(sealed(whole(16), claims=claims))


@pytest.mark.parametrize(
    "iat", [0, 23, 24, 255, 65_535, 65_536, 2**31, 2**32 - 1, 2**32, MAX_TIME - 1]
)
@pytest.mark.parametrize("sub", ["A" * 22, "-_zZ09" * 3 + "abcd"])
@pytest.mark.parametrize("iss", ["a.b/c", f"{ORIGIN}/some/path/market"])
def test_header_by_template_says_what_the_decoder_says(iat: int, sub: str, iss: str) -> None:
    claims = {ISS: iss, SUB: sub, IAT: iat}
    for _ in range(2):
        sign1 = parse_statement(sealed(whole(48), claims=claims)).sign1
        assert sign1.header == {ALG: -19, KID: KEY.kid, CWT_CLAIMS: claims, TYP: "zl-s"}


HEADER = cbor_encode({ALG: -19, KID: KEY.kid, CWT_CLAIMS: CLAIMS, TYP: "zl-s"})


@given(at=st.integers(0, len(HEADER) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_of_the_header_is_refused_or_read_as_it_is(at: int, byte: int) -> None:
    header = HEADER[:at] + bytes([byte]) + HEADER[at + 1 :]
    _refused_or_spelled_so(header)


@given(cut=st.integers(0, len(HEADER)), more=st.binary(max_size=40), back=st.integers(0, 40))
def test_a_spliced_header_is_refused_or_read_as_it_is(cut: int, more: bytes, back: int) -> None:
    _refused_or_spelled_so(HEADER[:cut] + more + HEADER[len(HEADER) - back :])


def _refused_or_spelled_so(header: bytes) -> None:
    raw = b"\xd2\x84" + byte_string(header) + b"\xa0" + byte_string(b"\xa0") + byte_string(b"s")
    try:
        sign1 = parse_sign1(raw, typ="zl-s", max_bytes=MAX_STATEMENT)
    except Refused:
        return
    assert cbor_encode(sign1.header) == header


@pytest.mark.parametrize("text", ["x", "x" * 23, "x" * 24, "x" * 64, "证" * 64, "\U0001f600" * 64])
def test_texts_of_every_length_of_head(text: str) -> None:
    content = parse_statement(sealed({**whole(16), 2: text, 7: text})).content
    assert (content.type_code, content.rule_set) == (text, text)


@pytest.mark.parametrize("day", [0, 23, 24, 255, 256, 65_535, 65_536, MAX_DAY])
@pytest.mark.parametrize("number", [0, 24, 256, 65_536, 2**32 - 1])
def test_numbers_of_every_length_of_head(day: int, number: int) -> None:
    payload = {**whole(16), 3: day, 4: MAX_DAY, 5: [number, number]}
    content = parse_statement(sealed(payload)).content
    assert (content.valid_from, content.status) == (day, (number, number))


@pytest.mark.parametrize("count", [1, 23, 24, 64])
def test_digests_of_every_length_of_head(count: int) -> None:
    digests = [bytes([number]) * 32 for number in range(count)]
    assert parse_statement(sealed({**whole(16), 8: digests})).content.digests == digests


def test_a_huge_header_is_refused_and_not_remembered() -> None:
    before = _template.cache_info().currsize
    data = b"\xd2" + cbor_encode([HEADER + b"x" * 20_000, {}, b"\xa0", b"s"])
    with refused("too-large"):
        parse_statement(data)
    assert _template.cache_info().currsize == before


@pytest.mark.parametrize("time", [0, 23, 255, 65_535])
def test_a_long_form_of_an_early_time_is_refused(time: int) -> None:
    late = (1 << 31).to_bytes(4, "big")
    header = cbor_encode(
        {ALG: -19, KID: KEY.kid, CWT_CLAIMS: {**CLAIMS, IAT: 1 << 31}, TYP: "zl-s"}
    )
    assert header.count(late) == 1
    long = header.replace(late, time.to_bytes(4, "big"))
    with refused("cbor-not-deterministic"):
        parse_statement(b"\xd2" + cbor_encode([long, {}, b"\xa0", b"s"]))


def test_a_validity_that_ends_before_it_begins_is_refused() -> None:
    with refused("statement-malformed"):
        parse_statement(sealed({**whole(16), 4: 19_999}))
    parse_statement(sealed({**whole(16), 4: 20_000}))


# --- the envelope ------------------------------------------------------------------------------

RAW = sealed({1: 48, 7: "2026-04", 8: [b"\x08" * 32]})
PARTS = [HEADER, {}, b"\xa0", b"\x00" * 64]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "cose-malformed"),
        (RAW[1:], "cose-malformed"),
        (b"\xd3" + RAW[1:], "cose-malformed"),
        (b"\xd8\x12" + RAW[1:], "cose-malformed"),
        (b"\xd2\x80", "cose-malformed"),
        (b"\xd2" + cbor_encode(PARTS[:3]), "cose-malformed"),
        (b"\xd2" + cbor_encode([*PARTS, b""]), "cose-malformed"),
        (b"\xd2" + cbor_encode([HEADER, {4: b"kid"}, b"\xa0", b""]), "cose-malformed"),
        (b"\xd2" + cbor_encode([HEADER, None, b"\xa0", b""]), "cose-malformed"),
        (b"\xd2" + cbor_encode([HEADER, {}, None, b""]), "cose-malformed"),
        (b"\xd2" + cbor_encode(["x", {}, b"\xa0", b""]), "cose-malformed"),
        (b"\xd2" + cbor_encode([HEADER, {}, b"\xa0", "s"]), "cose-malformed"),
        (b"\xd2" + cbor_encode({1: 2}), "cose-malformed"),
        (b"\xd2" + cbor_encode([b"", {}, b"\xa0", b""]), "cbor-malformed"),
        (b"\xd2" + cbor_encode([b"\x80", {}, b"\xa0", b""]), "cose-wrong-type"),
        (b"\xd2" + cbor_encode([b"\xa0", {}, b"\xa0", b""]), "cose-wrong-type"),
        (RAW + b"\x00", "cbor-not-deterministic"),
        (RAW + RAW, "cbor-not-deterministic"),
        (RAW[:2] + b"\x59\x00" + RAW[3:], "cbor-not-deterministic"),
        (b"\xd2\x9f" + RAW[2:] + b"\xff", "cbor-malformed"),
        (b"\xd2" + cbor_encode([HEADER, {}, b"\xa0", b"s" * 9000]), "too-large"),
        (b"\xd2" + cbor_encode([HEADER, {}, b"\xa0" * 66_000, b"s"]), "too-large"),
        (b"\xd2" + cbor_encode([b"\xa0" + b"x" * 1024, {}, b"\xa0", b"s"]), "too-large"),
    ],
)
def test_envelopes_of_another_form_are_refused(data: bytes, code: str) -> None:
    with refused(code):
        parse_statement(data)


def test_every_truncation_is_refused() -> None:
    for size in range(len(RAW)):
        with refused("cose-malformed", "cbor-malformed", "cbor-not-deterministic"):
            parse_statement(RAW[:size])


@pytest.mark.parametrize(
    "header",
    [
        {KID: KEY.kid, CWT_CLAIMS: CLAIMS, TYP: "zl-s"},
        {ALG: -19, CWT_CLAIMS: CLAIMS, TYP: "zl-s"},
        {ALG: "x", KID: KEY.kid, CWT_CLAIMS: CLAIMS, TYP: "zl-s"},
        {ALG: True, KID: KEY.kid, CWT_CLAIMS: CLAIMS, TYP: "zl-s"},
        {ALG: -19, KID: KEY.kid[:7], CWT_CLAIMS: CLAIMS, TYP: "zl-s"},
        {ALG: -19, KID: KEY.kid + b"x", CWT_CLAIMS: CLAIMS, TYP: "zl-s"},
        {ALG: -19, KID: "12345678", CWT_CLAIMS: CLAIMS, TYP: "zl-s"},
        {ALG: -19, KID: KEY.kid, CWT_CLAIMS: [1], TYP: "zl-s"},
        {ALG: -19, KID: KEY.kid, CWT_CLAIMS: CLAIMS, TYP: "zl-s", 2: [4]},
        {ALG: -19, KID: KEY.kid, 3: 0, CWT_CLAIMS: CLAIMS, TYP: "zl-s"},
    ],
)
def test_protected_headers_of_another_form_are_refused(header: dict[int, Any]) -> None:
    data = b"\xd2" + cbor_encode([cbor_encode(header), {}, b"\xa0", b"s"])
    with refused("cose-malformed"):
        parse_statement(data)


@pytest.mark.parametrize("typ", ["zl-p", "zl-r", "application/statuslist+cwt", "", "zl-s ", "ZL-S"])
def test_a_signature_for_another_purpose_is_refused(typ: str) -> None:
    data = sealed(whole(48), typ=typ)
    assert typ_of(data) == typ
    with refused("cose-wrong-type"):
        parse_statement(data)


@pytest.mark.parametrize(
    "data", [b"", b"\xd2", b"\xd2\x80", b"\xd2\x84", RAW[1:], b"\xd2" + cbor_encode([b"\x01"]),
             b"\xd2" + cbor_encode([cbor_encode({16: 5})]), b"\xd2\x01", b"\xd2\xf7"],
)  # fmt: skip
def test_what_is_no_signed_document_has_no_type(data: bytes) -> None:
    assert typ_of(data) is None


# --- the signature -----------------------------------------------------------------------------


def test_every_changed_byte_is_refused_in_form_or_signature() -> None:
    for at in range(len(RAW)):
        for flip in (1, 0x20, 0x80):
            data = RAW[:at] + bytes([RAW[at] ^ flip]) + RAW[at + 1 :]
            try:
                statement = parse_statement(data)
            except Refused:
                continue
            with refused("statement-bad-signature"):
                check_statement(statement, KEY.public)


def test_another_key_is_refused() -> None:
    with refused("statement-bad-signature"):
        check_statement(parse_statement(RAW), signer("somebody else").public)


def test_the_algorithm_of_the_header_is_the_keys() -> None:
    """An Ed25519 key under an ECDSA header, and one of no suite, are refused."""
    for alg in (-9, -7, 99):
        header = cbor_encode({ALG: alg, KID: KEY.kid, CWT_CLAIMS: CLAIMS, TYP: "zl-s"})
        payload = cbor_encode({1: 48, 7: "2026-04", 8: [b"\x08" * 32]})
        signature = KEY.sign(to_be_signed(header, payload))
        data = b"\xd2" + cbor_encode([header, {}, payload, signature])
        with refused("statement-bad-signature"):
            check_statement(parse_statement(data), KEY.public)


@pytest.mark.parametrize("suite", BY_NAME)
def test_every_suite_signs_statements(suite: str) -> None:
    key: SoftwareSigner = signer(f"statements by {suite}", suite)
    statement = parse_statement(sealed(whole(16), by=key))
    assert statement.kid == key.kid
    assert check_statement(statement, key.public).statement is statement


def test_the_signed_bytes_are_the_sig_structure_of_rfc_9052() -> None:
    assert to_be_signed(b"\xa0", b"x") == cbor_encode(["Signature1", b"\xa0", b"", b"x"])
    big = b"x" * 70_000
    assert to_be_signed(big, big) == cbor_encode(["Signature1", big, b"", big])


# --- building ----------------------------------------------------------------------------------


def test_a_statement_is_deterministic_and_made_of_its_content() -> None:
    content = Content(48, rule_set="2026-04", digests=[b"\x08" * 32])
    made = [
        sign_statement(
            content, issuer=f"{ORIGIN}/market", subject="A" * 22, issued_at=NOW, signer=KEY
        )
        for _ in range(2)
    ]
    assert made == [RAW, RAW]


def test_record_ids_come_from_16_bytes() -> None:
    assert new_subject(bytes(16)) == "A" * 22
    assert new_subject(seeded("x", 16)) != new_subject(seeded("y", 16))
    for size in (0, 15, 17):
        with pytest.raises(ValueError, match="16 random bytes"):
            new_subject(bytes(size))


def test_two_cities_of_the_same_seed_are_the_same() -> None:
    assert City().entries[:4] == City().entries[:4]  # the fifth enrols a P-256 key


# --- legal states ------------------------------------------------------------------------------


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_the_lifecycle_of_a_licence(before: int, after: int) -> None:
    for reason in (None, "penalty", "revoked-in-error", "signed-again"):
        ended = STATES[before].final
        allowed = before != after and (
            not ended or (after == VALID and reason == "revoked-in-error")
        )
        if reason == "signed-again":
            allowed = before == after
        assert may_follow(before, after, reason) is allowed
