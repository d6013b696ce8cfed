"""The trust pack: the one file that a counter syncs to verify without a network.

A COSE_Sign1 of type `zl-p` by the ledger operator's key over the CBOR map

    {1: version 1, 2: made-at, 3: use-until, 4: max status age in seconds, 5: policy text or "",
     6: checkpoint (signed note), 7: [[index, statement, [hash, …]], …], 8: [status token, …],
     9: {type code: [zh, en, [[field, zh, en], …]]}}

Nothing in it is taken on the operator's word alone: 7 holds the statements that enrolled the
departments and their keys, genesis first, each with its inclusion proof in the tree of 6; the
status tokens of 8 carry the departments' own signatures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keys.signer import Signer
from verifier.authorities import Authorities
from verifier.checkpoint import open_checkpoint
from verifier.codec import cbor_decode, cbor_encode
from verifier.cose import parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, check_inclusion
from verifier.policy import Policy, parse_policy
from verifier.statement import parse_statement
from verifier.status import StatusBook, StatusToken, parse_status_token
from verifier.trust import Trust, TypeName

TYP: Final = "zl-p"
VERSION: Final = 1
MAX_PACK: Final = 64 << 20
(_VERSION, _MADE_AT, _USE_UNTIL, _MAX_AGE, _POLICY) = range(1, 6)
(_CHECKPOINT, _ENROLMENTS, _STATUSES, _TYPES) = range(6, 10)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An enrolling statement at its ledger index, with the proof that it is there."""

    index: int
    statement: bytes
    proof: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class PackContent:
    """What goes into a pack; times in Unix seconds, the age in seconds."""

    made_at: int
    use_until: int
    max_status_age: int
    policy: str
    checkpoint: bytes
    enrolments: Sequence[Enrolment]
    statuses: Sequence[bytes]
    types: Iterable[TypeName]


def sign_pack(content: PackContent, signer: Signer) -> bytes:
    """Encodes and signs a pack with the operator's key."""
    payload = {
        _VERSION: VERSION,
        _MADE_AT: content.made_at,
        _USE_UNTIL: content.use_until,
        _MAX_AGE: content.max_status_age,
        _POLICY: content.policy,
        _CHECKPOINT: content.checkpoint,
        _ENROLMENTS: [[e.index, e.statement, list(e.proof)] for e in content.enrolments],
        _STATUSES: list(content.statuses),
        _TYPES: {
            name.code: [
                name.zh,
                name.en,
                [[field, *pair] for field, pair in name.fields.items()],
            ]
            for name in content.types
        },
    }
    return sign_sign1(None, cbor_encode(payload), typ=TYP, signer=signer)


def open_pack(data: bytes, *, log_key: str | None = None) -> Trust:
    """Checks a pack whole and returns the trust it carries; age is for the judge to weigh.

    `log_key` is the vkey already trusted: a pack of another ledger is refused with
    `pack-other-ledger`. Without it the pack is trusted on first use.
    Raises `Refused`: pack-…, enrolment-…, status-…, merkle-…, or a codec's code.
    """
    sign1 = parse_sign1(data, typ=TYP, max_bytes=MAX_PACK)
    content = _parse(cbor_decode(sign1.payload, max_bytes=MAX_PACK))
    authorities = _authorities(content, log_key)
    try:
        authorities.signer_of(sign1, authorities.register.operator_issuer(), content.made_at)
    except Refused as error:
        raise Refused("pack-wrong-signer", error.code) from error
    policy: Policy | None = parse_policy(content.policy) if content.policy else None
    return Trust(
        authorities,
        {name.code: name for name in content.types},
        policy,
        StatusBook(_statuses(content.statuses, authorities)),
        content.made_at,
        content.use_until,
        content.max_status_age,
        content.checkpoint,
    )


def _authorities(content: PackContent, log_key: str | None) -> Authorities:
    indexes = [enrolment.index for enrolment in content.enrolments]
    if indexes != sorted(set(indexes)):
        raise Refused("pack-malformed", "enrolments out of order")
    authorities = Authorities()
    proofs: list[tuple[bytes, Enrolment]] = []
    for enrolment in content.enrolments:
        statement = parse_statement(enrolment.statement)
        authorities.enrol(statement, enrolment.index)
        proofs.append((statement.leaf, enrolment))
    if authorities.log_key is None:
        raise Refused("pack-malformed", "no genesis")
    if log_key is not None and authorities.log_key.text() != log_key:
        raise Refused("pack-other-ledger", authorities.origin)
    checkpoint = open_checkpoint(content.checkpoint, authorities.log_key)
    for leaf, enrolment in proofs:
        check_inclusion(
            index=enrolment.index,
            size=checkpoint.size,
            leaf=leaf,
            proof=enrolment.proof,
            root=checkpoint.root,
        )
    return authorities


def _statuses(tokens: Iterable[bytes], authorities: Authorities) -> Iterable[StatusToken]:
    for raw in tokens:
        token = parse_status_token(raw)
        acting = authorities.acting(token.issuer.rpartition("/")[2])
        try:
            authorities.signer_of(
                token.sign1, authorities.register.issuer(acting), token.issued_at
            )
        except Refused as error:
            raise Refused("status-wrong-signer", f"{token.issuer}: {error.code}") from error
        yield token


def _parse(payload: Any) -> PackContent:
    if not isinstance(payload, dict) or payload.get(_VERSION) != VERSION:
        raise Refused("pack-malformed", "version")
    if payload.keys() != set(range(_VERSION, _TYPES + 1)):
        raise Refused("pack-malformed", "members")
    times = [payload[label] for label in (_MADE_AT, _USE_UNTIL, _MAX_AGE)]
    if any(type(value) is not int or value < 0 for value in times) or times[1] < times[0]:
        raise Refused("pack-malformed", "times")
    if type(payload[_POLICY]) is not str or type(payload[_CHECKPOINT]) is not bytes:
        raise Refused("pack-malformed", "policy or checkpoint")
    enrolments, statuses = payload[_ENROLMENTS], payload[_STATUSES]
    if not isinstance(enrolments, list) or not isinstance(statuses, list):
        raise Refused("pack-malformed", "lists")
    if not all(type(token) is bytes for token in statuses):
        raise Refused("pack-malformed", "statuses")
    return PackContent(
        times[0],
        times[1],
        times[2],
        payload[_POLICY],
        payload[_CHECKPOINT],
        [_enrolment(item) for item in enrolments],
        statuses,
        _type_names(payload[_TYPES]),
    )


def _enrolment(item: Any) -> Enrolment:
    if not isinstance(item, list) or len(item) != 3:
        raise Refused("pack-malformed", "enrolment")
    index, statement, proof = item
    if type(index) is not int or type(statement) is not bytes or not isinstance(proof, list):
        raise Refused("pack-malformed", "enrolment")
    if not all(type(hash_) is bytes and len(hash_) == HASH_SIZE for hash_ in proof):
        raise Refused("pack-malformed", "enrolment proof")
    return Enrolment(index, statement, proof)


def _type_names(types: Any) -> list[TypeName]:
    if not isinstance(types, dict):
        raise Refused("pack-malformed", "types")
    names = []
    for code, entry in types.items():
        if type(code) is not str or not isinstance(entry, list) or len(entry) != 3:
            raise Refused("pack-malformed", "type")
        zh, en, fields = entry
        if type(zh) is not str or type(en) is not str or not isinstance(fields, list):
            raise Refused("pack-malformed", "type names")
        for field in fields:
            if not isinstance(field, list) or list(map(type, field)) != [str, str, str]:
                raise Refused("pack-malformed", "type fields")
        if len({name for name, _, _ in fields}) != len(fields):
            raise Refused("pack-malformed", "a field twice")
        names.append(TypeName(code, zh, en, {name: (one, two) for name, one, two in fields}))
    return names
