"""Trust packs: whole, by the operator, of the ledger one expects; each false part is refused."""

from typing import Any

import pytest

from tests.city import (
    BUSINESS,
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
from verifier.pack import MAX_PACK, Enrolment, open_pack, sign_pack
from verifier.status import pack_states, sign_status_token


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
    assert trust.types == dict(TYPES)
    assert list(trust.types[BUSINESS].fields) == list(TYPES[BUSINESS].fields)
    assert trust.policy == city.policy()
    answer = trust.statuses.lookup(f"{city.origin}/market", 0, 0)
    assert answer is not None
    assert answer.state == 0


def test_a_pack_without_policy_types_and_statuses(city: City) -> None:
    trust = open_pack(city.pack(policy="", types=(), statuses=()))
    assert trust.policy is None
    assert trust.types == {}
    assert trust.statuses.lookup(f"{city.origin}/market", 0, 0) is None


@pytest.mark.parametrize(
    "changes",
    [
        {1: 2},
        {1: "1"},
        {1: None},
        *({label: None} for label in range(2, 10)),
        {10: 1},
        {2: -1},
        {2: "x"},
        {2: True},
        {3: SYNCED_AT - 1},
        {4: -1},
        {5: 5},
        {6: "x"},
        {7: {}},
        {7: [5]},
        {7: [[0, b"x"]]},
        {7: [["0", b"x", []]]},
        {7: [[0, "x", []]]},
        {7: [[0, b"x", {}]]},
        {7: [[0, b"x", [b"short"]]]},
        {7: [[0, b"x", ["text"]]]},
        {7: []},
        {8: {}},
        {8: ["x"]},
        {9: []},
        {9: {1: ["a", "b", []]}},
        {9: {"T": "x"}},
        {9: {"T": ["a", "b"]}},
        {9: {"T": ["a", 5, []]}},
        {9: {"T": [5, "b", []]}},
        {9: {"T": ["a", "b", {}]}},
        {9: {"T": ["a", "b", ["x"]]}},
        {9: {"T": ["a", "b", [["f", "x"]]]}},
        {9: {"T": ["a", "b", [["f", "x", 5]]]}},
        {9: {"T": ["a", "b", [["f", "x", "y"], ["f", "z", "w"]]]}},
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
    for other in (city.entries[0], city.status_token("market")):
        with refused("cose-wrong-type"):
            open_pack(other)


def test_a_pack_of_another_ledger_is_refused(city: City) -> None:
    with refused("pack-other-ledger"):
        open_pack(City("other.example").pack(), log_key=city.log.key.text())


def test_enrolments_are_in_the_ledger_of_the_checkpoint(city: City) -> None:
    content = city.pack_content()
    first, *others = content.enrolments
    moved = Enrolment(first.index, first.statement, others[0].proof)
    with refused("merkle-root-mismatch"):
        open_pack(city.pack(enrolments=[moved, *others]))
    longer = Enrolment(first.index, first.statement, [*first.proof, bytes(32)])
    with refused("merkle-proof-length"):
        open_pack(city.pack(enrolments=[longer, *others]))
    beyond = Enrolment(len(city.entries), others[-1].statement, others[-1].proof)
    with refused("merkle-out-of-range"):
        open_pack(city.pack(enrolments=[first, *others[:-1], beyond]))


def test_an_enrolment_outside_the_ledger_is_refused(city: City) -> None:
    """The operator signed it, but it is in no tree: a key nobody can audit."""
    key = signer("hidden")
    hidden = city.sign(city.key_content("market", key, [BUSINESS]), "operator")
    content = city.pack_content()
    last = content.enrolments[-1]
    added = Enrolment(last.index + 1, hidden, last.proof)
    with refused("merkle-root-mismatch", "merkle-proof-length"):
        open_pack(city.pack(enrolments=[*content.enrolments, added]))


def test_enrolments_are_in_order_genesis_first(city: City) -> None:
    enrolments = city.pack_content().enrolments
    with refused("pack-malformed"):
        open_pack(city.pack(enrolments=[enrolments[1], enrolments[0], *enrolments[2:]]))
    with refused("pack-malformed"):
        open_pack(city.pack(enrolments=[*enrolments, enrolments[-1]]))
    with refused("enrolment-before-genesis"):
        open_pack(city.pack(enrolments=enrolments[1:]))
    with refused("enrolment-unknown-department"):
        open_pack(city.pack(enrolments=[enrolments[0], *enrolments[2:]]))


def test_the_checkpoint_is_the_logs(city: City) -> None:
    for checkpoint, code in [
        (City("other.example").checkpoint(), "note-unsigned"),
        (b"", "note-malformed"),
        (city.checkpoint().replace(b"\n6\n", b"\n7\n"), "note-bad-signature"),
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
    token = city.status_token("market")
    with refused("status-wrong-signer"):
        open_pack(city.pack(statuses=[token[:-1] + bytes([token[-1] ^ 1])]))
    with refused("cose-malformed", "cbor-malformed"):
        open_pack(city.pack(statuses=[b"\xd2"]))


def test_the_policy_is_parsed(city: City) -> None:
    with refused("policy-malformed"):
        open_pack(city.pack(policy="quorum nobody\n"))


def test_a_pack_is_bounded() -> None:
    with refused("too-large"):
        open_pack(b"\xd2" + bytes(MAX_PACK))


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
