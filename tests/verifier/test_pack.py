"""Trust packs: whole, by the operator, of the ledger one expects; each false part is refused."""

from dataclasses import replace
from typing import Any

import pytest

from tests.city import (
    BUSINESS,
    FOOD,
    HOSPITAL,
    ISSUED_AT,
    MAX_STATUS_AGE,
    NOW,
    SYNCED_AT,
    TYPES,
    USE_UNTIL,
    City,
    signer,
)
from tests.verifier.helpers import refused
from verifier.codec import cbor_decode, cbor_encode
from verifier.cose import parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.judge import judge
from verifier.kinds import DEPARTMENT_CHANGED, KEY
from verifier.pack import MAX_PACK, Enrolment, open_pack, read_pack, sign_pack
from verifier.pack_update import make_update
from verifier.signedlist import SignedList
from verifier.statement import Content
from verifier.status import TYP as STATUS
from verifier.status import StatusBook, pack_states, sign_status_token
from verifier.verdict import Colour


@pytest.fixture(scope="module")
def city() -> City:
    made = City()
    made.issue()
    return made


def payload_of(pack: bytes) -> dict[int, Any]:
    payload = cbor_decode(parse_sign1(pack, typ="zl-p", max_bytes=MAX_PACK).payload, max_bytes=9**9)
    assert isinstance(payload, dict)
    return payload


def resigned(city: City, changes: dict[int, Any]) -> bytes:
    """The city's pack with these members, signed anew by the operator; None takes one out."""
    payload = {**payload_of(city.pack()), **changes}
    kept = {label: value for label, value in payload.items() if value is not None}
    return sign_sign1(None, cbor_encode(kept), typ="zl-p", signer=city.operator)


def test_a_pack_brings_the_whole_trust(city: City) -> None:
    trust = open_pack(city.pack(), log_key=city.log.key.text())
    assert trust.origin == city.origin
    assert trust.log_key == city.log.key
    assert (trust.made_at, trust.use_until) == (SYNCED_AT, USE_UNTIL)
    assert trust.max_status_age == MAX_STATUS_AGE
    assert trust.authorities.keys.keys() == city.authorities.keys.keys()
    assert trust.authorities.departments == city.authorities.departments
    assert trust.signed_lists == {}
    assert trust.types == dict(TYPES)
    assert list(trust.types[BUSINESS].fields) == list(TYPES[BUSINESS].fields)
    assert trust.policy == city.policy()
    answer = trust.statuses.lookup(f"{city.origin}/market", 0, 0)
    assert answer is not None
    assert answer.state == 0


def test_a_pack_without_policy_types_and_statuses() -> None:
    city = City(quorum=None)
    trust = open_pack(city.pack(types=(), statuses=(), checkpoint=city.checkpoint(witnesses=0)))
    assert trust.policy is None
    assert trust.types == {}
    assert trust.statuses.lookup(f"{city.origin}/market", 0, 0) is None


@pytest.mark.parametrize(
    "changes",
    [
        {1: 2},
        {1: "1"},
        {1: True},
        {1: None},
        *({label: None} for label in range(2, 11)),
        {11: 1},
        {2: -1},
        {2: "x"},
        {2: True},
        {3: SYNCED_AT - 1},
        {4: -1},
        {5: "x"},
        {6: {}},
        {6: [5]},
        {6: [[0]]},
        {6: [["0", b"x"]]},
        {6: [[True, b"x"]]},
        {6: [[0, "x"]]},
        {6: [[0, b"x", []]]},
        {6: [[0, b"x"], [0, b"x"]]},
        {6: []},
        {7: {}},
        {7: ["x"]},
        {8: []},
        {8: {0: ["a", "b", []]}},
        {8: {"T": "x"}},
        {8: {"T": ["a", "b"]}},
        {8: {"T": ["a", 5, []]}},
        {8: {"T": [5, "b", []]}},
        {8: {"T": ["a", "b", {}]}},
        {8: {"T": ["a", "b", ["x"]]}},
        {8: {"T": ["a", "b", [["f", "x"]]]}},
        {8: {"T": ["a", "b", [["f", "x", 5]]]}},
        {8: {"T": ["a", "b", [["f", "x", "y"], ["f", "z", "w"]]]}},
        {9: []},
        {9: "x"},
        {10: {}},
        {10: [5]},
        {10: [[bytes(8)]]},
        {10: [[bytes(8), "x"]]},
        {10: [["12345678", b""]]},
        {10: [[bytes(7), b""]]},
        {10: [[bytes(8), b""], [bytes(8), b""]]},
        {10: [[b"2" * 8, b""], [b"1" * 8, b""]]},
    ],
)
def test_other_members_are_refused(city: City, changes: dict[int, Any]) -> None:
    with refused("pack-malformed"):
        open_pack(resigned(city, changes))


def test_what_is_no_map_is_refused(city: City) -> None:
    payloads: list[object] = [[], 5, "x"]
    for payload in payloads:
        data = sign_sign1(None, cbor_encode(payload), typ="zl-p", signer=city.operator)
        with refused("pack-malformed"):
            open_pack(data)


def test_only_the_operator_signs_packs(city: City) -> None:
    for other in (signer("nobody"), city.departments["market"]):
        with refused("pack-wrong-signer"):
            open_pack(sign_pack(city.pack_content(), other))


class Misnamed:
    """The operator's power to sign, under another key id."""

    def __init__(self, city: City) -> None:
        self.suite, self.public = city.operator.suite, city.operator.public
        self.sign = city.operator.sign
        self.kid = b"\x00" * 8


def test_a_key_that_is_no_longer_the_operators_signs_no_pack() -> None:
    city = City()
    retired = signer("the operator's first key")
    city.enrol(city.key_content("operator", retired, []))
    city.change_key(retired, "retire", ISSUED_AT)
    content = city.pack_content()
    open_pack(sign_pack(replace(content, made_at=ISSUED_AT), retired))
    with refused("pack-wrong-signer") as caught:
        open_pack(sign_pack(content, retired))
    assert caught.value.detail == "key-retired"


def test_a_pack_names_the_key_that_signed_it(city: City) -> None:
    with refused("pack-wrong-signer"):
        open_pack(sign_pack(city.pack_content(), Misnamed(city)))


def test_an_altered_pack_is_refused(city: City) -> None:
    pack = city.pack()
    for at in range(0, len(pack), 11):
        with pytest.raises(Refused):
            open_pack(pack[:at] + bytes([pack[at] ^ 1]) + pack[at + 1 :])
    later = cbor_encode({3: USE_UNTIL})[1:]
    assert pack.count(later) == 1
    with refused("pack-wrong-signer"):
        open_pack(pack.replace(later, cbor_encode({3: USE_UNTIL + 10**6})[1:]))


def test_another_signed_document_is_no_pack(city: City) -> None:
    for other in (city.entries[0], city.status_token("market"), b"no pack at all"):
        with refused("pack-not-a-pack"):
            open_pack(other)


def test_what_a_file_lacks_is_said(city: City) -> None:
    """Empty, cut short at any byte, or only an update; a document cut short is still no pack."""
    pack = city.pack()
    cases = [(b"", "pack-empty"), (make_update(pack, pack, []), "pack-is-an-update")]
    cases += [(pack[:at], "pack-cut-short") for at in (*range(1, 60), *range(60, len(pack), 97))]
    cases += [(city.entries[0][:-1], "pack-not-a-pack"), (b"\xd2\x84\xff", "cbor-malformed")]
    for data, code in [*cases, (pack[:-1], "pack-cut-short")]:
        with refused(code):
            open_pack(data)


def test_a_pack_of_another_ledger_is_refused(city: City) -> None:
    with refused("pack-other-ledger"):
        open_pack(City("other.example").pack(), log_key=city.log.key.text())


def test_enrolments_are_in_the_ledger_of_the_checkpoint(city: City) -> None:
    content = city.pack_content()
    hashes = content.hashes
    for wrong in (hashes[:-32], hashes + bytes(32), b""):
        with refused("merkle-proof-length"):
            open_pack(city.pack(hashes=wrong))
    with refused("merkle-hash-size"):
        open_pack(city.pack(hashes=hashes[:-1]))
    with refused("merkle-root-mismatch"):
        open_pack(city.pack(hashes=bytes([hashes[0] ^ 1]) + hashes[1:]))
    *others, last = content.enrolments
    moved = Enrolment(len(city.entries), last.statement)
    with refused("merkle-out-of-range"):
        open_pack(city.pack(enrolments=[*others, moved]))


def test_an_enrolment_outside_the_ledger_is_refused(city: City) -> None:
    """Officers decided it and the operator signed it, but it is in no tree: nobody can audit it."""
    content = city.decided(
        city.key_content("market", signer("hidden"), [BUSINESS]), issued_at=ISSUED_AT
    )
    hidden = city.sign(content, "operator")
    size = len(city.entries)
    city.issue()
    added = [*city.pack_content().enrolments, Enrolment(size, hidden)]
    with refused("merkle-root-mismatch"):
        open_pack(city.pack(enrolments=added, hashes=city.multiproof([e.index for e in added])))


def test_no_statement_of_authority_can_be_left_out_of_the_proof() -> None:
    """The hashes prove what is there; that nothing is missing is for `check_successor`."""
    bare, used = City(quorum=None), City(quorum=None)
    used.issue()  # one hash before and after, of another range
    for made, code in ((bare, "merkle-proof-length"), (used, "merkle-root-mismatch")):
        enrolments = made.pack_content().enrolments[:-1]
        with refused(code):
            open_pack(made.pack(enrolments=enrolments))


def test_enrolments_are_in_order_genesis_first(city: City) -> None:
    enrolments = city.pack_content().enrolments
    with refused("pack-malformed"):
        open_pack(city.pack(enrolments=[enrolments[1], enrolments[0], *enrolments[2:]]))
    with refused("pack-malformed"):
        open_pack(city.pack(enrolments=[*enrolments, enrolments[-1]]))
    with refused("enrolment-before-genesis"):
        open_pack(city.pack(enrolments=enrolments[1:]))
    with refused("officer-unknown"):  # the market's, who came with the department
        open_pack(city.pack(enrolments=[enrolments[0], *enrolments[2:]]))


def test_the_checkpoint_is_the_logs(city: City) -> None:
    size = len(city.entries)
    for checkpoint, code in [
        (City("other.example").checkpoint(), "note-unsigned"),
        (b"", "note-malformed"),
        (city.checkpoint().replace(b"\n%d\n" % size, b"\n9\n"), "note-bad-signature"),
    ]:
        with refused(code):
            open_pack(city.pack(checkpoint=checkpoint))


@pytest.mark.parametrize(
    ("issued_at", "fine"), [(NOW - 101, False), (NOW - 100, True), (NOW, True), (NOW + 1, False)]
)
def test_statuses_are_signed_while_their_key_is_in_force(issued_at: int, fine: bool) -> None:
    city = City()
    key = signer("a key for a while")
    wanted = {"from": NOW - 100, "until": NOW}
    city.enrol(city.key_content("market", key, ["x"], **wanted))
    token = sign_status_token(
        pack_states([0]),
        issuer=f"{city.origin}/market",
        list_number=0,
        issued_at=issued_at,
        expires_at=NOW + 9,
        ttl=1,
        signer=key,
    )
    if fine:
        open_pack(city.pack(statuses=[token]))
    else:
        with refused("status-wrong-signer"):
            open_pack(city.pack(statuses=[token]))


def test_statuses_are_signed_by_their_departments(city: City) -> None:
    market, health = city.departments["market"], city.departments["health"]
    for issuer, by in [("market", health), ("market", signer("nobody")), ("operator", market)]:
        token = sign_status_token(
            pack_states([0]),
            issuer=f"{city.origin}/{issuer}",
            list_number=0,
            issued_at=NOW,
            expires_at=NOW,
            ttl=1,
            signer=by,
        )
        with refused("status-wrong-signer"):
            open_pack(city.pack(statuses=[token]))
    with refused("cose-malformed", "cbor-malformed"):
        open_pack(city.pack(statuses=[b"\xd2"]))
    token = city.status_token("market")
    with refused("pack-malformed"):
        open_pack(city.pack(statuses=[token, token]))


# --- what loading puts off -----------------------------------------------------------------------


def test_a_forged_status_is_refused_when_it_is_asked_for(city: City) -> None:
    token, other = city.status_token("market"), city.status_token("health")
    forged = city.pack(statuses=[token[:-1] + bytes([token[-1] ^ 1]), other])
    with refused("status-wrong-signer"):
        open_pack(forged, thorough=True)
    trust = open_pack(forged)
    for _ in range(2):
        with refused("status-wrong-signer"):
            trust.statuses.lookup(f"{city.origin}/market", 0, 0)
    trust.statuses.lookup(f"{city.origin}/health", 0, 0)
    shown = judge(city.issue().qr(), trust, NOW)
    assert (shown.colour, shown.code) == (Colour.RED, "status-wrong-signer")


def test_a_list_that_cannot_be_read_is_seen_at_once_where_all_is_checked(city: City) -> None:
    claims = cbor_decode(
        parse_sign1(city.status_token("market"), typ=STATUS, max_bytes=9**6).payload,
        max_bytes=9**6,
    )
    claims[65533]["lst"] = b"not zlib"
    by = city.departments["market"]
    token = sign_sign1(None, cbor_encode(claims), typ=STATUS, signer=by)
    open_pack(city.pack(statuses=[token]))
    with refused("status-malformed"):
        open_pack(city.pack(statuses=[token]), thorough=True)


def test_lists_stay_compressed_until_they_are_asked_for() -> None:
    city = City()
    for slug, type_code in [("market", BUSINESS), ("health", HOSPITAL)]:
        for _ in range(3):
            city.issue(slug, type_code)
    statuses = open_pack(city.pack()).statuses
    assert isinstance(statuses, StatusBook)
    market, health = statuses.tokens()
    assert not {"entries"} & (vars(market).keys() | vars(health).keys())
    statuses.lookup(market.issuer, 0, 1)
    assert "entries" in vars(market)
    assert "entries" not in vars(health)
    thorough = open_pack(city.pack(), thorough=True).statuses
    assert isinstance(thorough, StatusBook)
    assert all("entries" not in vars(token) for token in thorough.tokens())


def test_a_forged_approval_is_refused_when_a_key_rests_on_it() -> None:
    """It is in the ledger, as a hostile replica may have forced it there."""
    city = City()
    key = signer("nobody approved")
    facts = city.decided(city.key_content("market", key, [BUSINESS]), issued_at=ISSUED_AT).facts
    approval = facts["approval"]
    altered = {**facts, "approval": approval[:-1] + bytes([approval[-1] ^ 1])}
    forced = city.sign(Content(KEY, facts=altered), "operator", issued_at=ISSUED_AT)
    city.enrolments.append(city.append(forced))
    good, licence = city.issue(), city.issue(by=key)
    with refused("change-bad-signature"):
        open_pack(city.pack(), thorough=True)
    trust = open_pack(city.pack())
    assert judge(good.qr(), trust, NOW).code == "valid"
    shown = judge(licence.qr(), trust, NOW)
    assert (shown.colour, shown.code) == (Colour.RED, "change-bad-signature")


def test_a_forged_merger_lets_nobody_sign_the_states_of_another() -> None:
    city = City()
    licence = city.issue()
    merged = {"id": "market", "act": "merge", "into": "health"}
    facts = city.decided(
        Content(DEPARTMENT_CHANGED, facts=merged), issued_at=ISSUED_AT, by=("first", "second")
    ).facts
    approval = facts["approval"]
    altered = {**facts, "approval": approval[:-1] + bytes([approval[-1] ^ 1])}
    forced = city.sign(Content(DEPARTMENT_CHANGED, facts=altered), "operator")
    city.enrolments.append(city.append(forced))
    token = sign_status_token(
        pack_states([0]),
        issuer=f"{city.origin}/market",
        list_number=0,
        issued_at=SYNCED_AT,
        expires_at=NOW,
        ttl=1,
        signer=city.departments["health"],
    )
    trust = open_pack(city.pack(statuses=[token]))
    with refused("status-wrong-signer"):
        trust.statuses.lookup(f"{city.origin}/market", 0, 0)
    assert judge(licence.qr(), trust, NOW).code == "change-bad-signature"


def test_a_signature_that_nobody_here_can_check_is_not_called_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pack of an operator, and the list of a department, that sign with SM2."""
    city = City()
    old, city.operator = city.operator, signer("the operator's new key", "sm2")
    key = city.key_content("operator", city.operator, [])
    city.enrol(key, operator=old)
    ours = city.pack()
    city.departments["market"] = signer("the market's new key", "sm2")
    city.enrol(city.key_content("market", city.departments["market"], [BUSINESS]), operator=old)
    by_old = sign_pack(city.pack_content(), old)
    monkeypatch.setattr("keys.suites.sm2_wheel.gmssl_pyx", None)
    with refused("suite-missing") as caught:
        open_pack(ours)
    assert "zhenglian[sm2]" in caught.value.detail
    statuses = open_pack(by_old).statuses
    with refused("suite-missing"):
        statuses.lookup(f"{city.origin}/market", 0, 0)


def test_a_machine_without_a_suite_checks_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """One department signs with SM2: the others' licences are judged, its own never green."""
    city = City()
    city.add_department("fire", "消防救援局", "Fire", [FOOD], "sm2")
    ours, theirs = city.issue(), city.issue("fire", FOOD)
    pack = city.pack()
    assert not read_pack(pack, thorough=True).missing
    tokens = city.pack_content().statuses
    spoiled = [tokens[0][:-1] + bytes([tokens[0][-1] ^ 1]), *tokens[1:]]
    forged = city.pack(statuses=spoiled)
    monkeypatch.setattr("keys.suites.sm2_wheel.gmssl_pyx", None)
    found = read_pack(pack, thorough=True)
    assert list(found.missing) == ["pip install zhenglian[sm2]"]
    assert judge(ours.qr(), found.trust, NOW).code == "valid"
    for _ in range(2):
        verdict = judge(theirs.qr(), found.trust, NOW)
        assert (verdict.colour, verdict.code) == ("amber", "suite-missing")
        assert [check.outcome for check in verdict.checks].count("failed") == 0
    with refused("status-wrong-signer"):  # what can be checked still is
        read_pack(forged, thorough=True)


# --- lists of what compromised keys had signed ---------------------------------------------------


@pytest.fixture
def leaked() -> tuple[City, SignedList]:
    """The market's key leaked ten days ago; it had signed three licences before, one since."""
    city = City()
    for _ in range(3):
        city.issue()
    stolen = city.departments["market"]
    city.departments["market"] = signer("the market's next key")
    city.enrol(city.key_content("market", city.departments["market"], [BUSINESS]))
    since = NOW - 10 * 86_400
    city.issue(issued_at=since, by=stolen)
    return city, city.compromise(stolen, since=since, told=NOW - 86_400)


def test_what_was_signed_before_a_compromise_stays_green() -> None:
    """Not what a thief dates back. A pack without the list lets nothing pass by a compact code."""
    city = City()
    before, stolen = city.issue(), city.departments["market"]
    since = NOW - 10 * 86_400
    after = city.issue(issued_at=since)
    thief = city.issue(by=stolen)
    city.entries.pop()
    city.departments["market"] = signer("the market's next key")
    city.enrol(city.key_content("market", city.departments["market"], [BUSINESS]))
    city.compromise(stolen, since=since, told=NOW - 86_400)
    pack = open_pack(city.pack(), thorough=True)
    assert judge(before.qr(), pack, NOW).code == "valid"
    for red in (after, thief):
        assert judge(red.qr(), pack, NOW).code == "key-compromised"
    without = open_pack(city.pack(signed_lists={}), thorough=True)
    assert judge(before.qr(), without, NOW).code == "key-compromised"
    assert judge(city.transparent(before), without, NOW).code == "valid"


def test_the_list_is_the_one_that_the_ledger_names(leaked: tuple[City, SignedList]) -> None:
    city, listed = leaked
    (kid,) = city.signed_lists
    trust = open_pack(city.pack())
    assert trust.signed_lists[kid].data == listed.data
    for wrong in (listed.data[:-12], listed.data + b"\xff" * 12, b"", bytes(len(listed.data))):
        with refused("pack-signed-list-wrong"):
            open_pack(city.pack(signed_lists={kid: wrong}))
    with refused("signed-list-malformed"):
        open_pack(city.pack(signed_lists={kid: listed.data[:-1]}))


def test_a_list_of_a_key_that_did_not_leak_is_refused(leaked: tuple[City, SignedList]) -> None:
    city, listed = leaked
    for kid in (city.departments["health"].kid, bytes(8)):
        with refused("pack-signed-list-wrong"):
            open_pack(city.pack(signed_lists={kid: listed.data}))


def test_the_checkpoint_meets_the_policy(city: City) -> None:
    open_pack(city.pack(checkpoint=city.checkpoint(witnesses=2)))
    with refused("policy-quorum-not-met"):
        open_pack(city.pack(checkpoint=city.checkpoint(witnesses=1)))


def test_a_pack_is_bounded() -> None:
    with refused("too-large"):
        open_pack(b"\xd2" + bytes(MAX_PACK))


def test_what_is_in_a_pack_is_bounded(city: City) -> None:
    """Two million empty lists are two megabytes, and a hundred once they are read."""
    many = b"\xa1\x08\x9a" + (2 << 20).to_bytes(4, "big") + b"\x80" * (2 << 20)
    data = sign_sign1(None, many, typ="zl-p", signer=city.operator)
    with refused("too-large"):
        open_pack(data)


def test_every_truncation_is_refused(city: City) -> None:
    pack = city.pack()
    for size in [*range(0, len(pack), 101), len(pack) - 1]:
        with pytest.raises(Refused):
            open_pack(pack[:size])


def test_a_counter_judges_by_the_pack_alone(city: City) -> None:
    licence = city.issue()
    trust = open_pack(city.pack())
    assert judge(licence.qr(), trust, NOW).code == "valid"
    assert judge(City("other.example").issue().qr(), trust, NOW).code == "statement-foreign"
