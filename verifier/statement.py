"""Statements: what a department signs, and byte for byte what the ledger holds.

A statement is a SCITT Signed Statement (RFC 9943): a COSE_Sign1 whose payload is a deterministic
CBOR map of non-personal facts and salted digests. Three types keep apart what is known of it:
`bytes`, a parsed `Statement`, and a `VerifiedStatement`, which only `check_statement` makes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import cbor2

from keys.errors import KeysError
from keys.signer import Signer
from verifier.codec import (
    b64url_encode,
    cbor_decode,
    cbor_encode,
    cbor_read,
    check_shape,
    head_size,
)
from verifier.cose import IAT, ISS, SUB, Sign1, parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.kinds import (
    DIGESTS,
    FACTS,
    FROM,
    KIND,
    KINDS,
    PREDECESSOR,
    REASON,
    RULE_SET,
    STATE,
    STATUS,
    TYPE,
    UNTIL,
    Kind,
)
from verifier.merkle import HASH_SIZE, leaf_hash
from verifier.states import STATES
from verifier.times import MAX_TIME

TYP: Final = "zl-s"
MAX_STATEMENT: Final = 65_535
"""An entry bundle writes the length of an entry in 16 bits (C2SP tlog-tiles)."""
MAX_DIGESTS: Final = 64
SUBJECT_BYTES: Final = 16
MAX_DAY: Final = 2_932_896
"""9999-12-31 as days since 1970-01-01."""
_ISSUER = re.compile(r"[a-z0-9.-]{1,120}(?:/[a-z0-9-]{1,60}){0,3}/[a-z0-9-]{1,32}", re.ASCII)
_SUBJECT = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_CLAIMS = frozenset({ISS, SUB, IAT})


class Content(NamedTuple):
    """The payload of a statement. Days count from 1970-01-01; both ends of validity are inclusive.

    `valid_until` None means 长期. `status` is (list number, index in the list). `predecessor` is
    the leaf hash of the act that this one follows.
    """

    kind: int
    type_code: str | None = None
    valid_from: int | None = None
    valid_until: int | None = None
    status: tuple[int, int] | None = None
    predecessor: bytes | None = None
    rule_set: str | None = None
    digests: Sequence[bytes] = ()
    state: int | None = None
    reason: str | None = None
    facts: Mapping[str, Any] = MappingProxyType({})

    def to_map(self) -> dict[int, Any]:
        pairs: list[tuple[int, Any]] = [
            (KIND, self.kind),
            (TYPE, self.type_code),
            (FROM, self.valid_from),
            (UNTIL, self.valid_until),
            (STATUS, None if self.status is None else list(self.status)),
            (PREDECESSOR, self.predecessor),
            (RULE_SET, self.rule_set),
            (DIGESTS, list(self.digests) or None),
            (STATE, self.state),
            (REASON, self.reason),
            (FACTS, dict(self.facts) or None),
        ]
        return {label: value for label, value in pairs if value is not None}


class Statement(NamedTuple):
    """A well-formed statement of which nothing has been verified yet."""

    raw: bytes
    sign1: Sign1
    issuer: str
    subject: str
    issued_at: int
    content: Content

    @property
    def kid(self) -> bytes:
        return self.sign1.kid

    @property
    def leaf(self) -> bytes:
        """RFC 6962 leaf hash of the entry that this statement is."""
        return leaf_hash(self.raw)


class VerifiedStatement(NamedTuple):
    """A statement whose signature was checked against `public`; made by `check_statement` only."""

    statement: Statement
    public: bytes


def check_statement(statement: Statement, public: bytes) -> VerifiedStatement:
    """Raises `statement-bad-signature` unless `public` signed exactly these bytes."""
    try:
        statement.sign1.check_signature(public)
    except KeysError as error:
        raise Refused("statement-bad-signature", error.code) from error
    return VerifiedStatement(statement, public)


def new_subject(random: bytes) -> str:
    """A record id from 16 bytes of randomness: unguessable, the same for all acts of a record."""
    if len(random) != SUBJECT_BYTES:
        raise ValueError("a record id takes 16 random bytes")
    return b64url_encode(random)


def sign_statement(
    content: Content, *, issuer: str, subject: str, issued_at: int, signer: Signer
) -> bytes:
    """Signs a statement. Its grammar is the caller's duty; `parse_statement` tells."""
    claims = {ISS: issuer, SUB: subject, IAT: issued_at}
    # The labels are in order, so the map is sorted only where facts are.
    encode = cbor_encode if content.facts else cbor2.dumps
    return sign_sign1(claims, encode(content.to_map()), typ=TYP, signer=signer)


def parse_statement(data: bytes) -> Statement:
    """Strict parse of a statement's form: envelope, claims, grammar of its kind. No trust yet."""
    sign1 = parse_sign1(data, typ=TYP, max_bytes=MAX_STATEMENT)
    claims = sign1.claims
    if claims.keys() != _CLAIMS:
        raise Refused("statement-malformed", "claims")
    issuer, subject, issued_at = claims[ISS], claims[SUB], claims[IAT]
    if type(issuer) is not str or not _is_issuer(issuer):
        raise Refused("statement-malformed", "issuer")
    if type(subject) is not str or not _SUBJECT.fullmatch(subject):
        raise Refused("statement-malformed", "subject")
    if type(issued_at) is not int or not 0 <= issued_at < MAX_TIME:
        raise Refused("statement-malformed", "issued-at")
    return Statement(data, sign1, issuer, subject, issued_at, _parse_content(sign1.payload))


def _parse_content(data: bytes) -> Content:
    """Strict parse of a payload, without encoding it again.

    Nothing is shorter than its deterministic encoding. So if the sizes of the parts, as they would
    be encoded, add up to the size there is, every part is encoded so.
    """
    try:
        payload = cbor_read(data, max_bytes=MAX_STATEMENT)
        kind, size = _check_grammar(payload)
        if size != len(data):
            raise Refused("cbor-not-deterministic")
    except Refused:
        cbor_decode(data, max_bytes=MAX_STATEMENT)  # says so first if the spelling is at fault
        raise
    valid_from, valid_until = payload.get(FROM), payload.get(UNTIL)
    if valid_until is not None and valid_from is not None and valid_until < valid_from:
        raise Refused("statement-malformed", "validity ends before it begins")
    status = payload.get(STATUS)
    return Content(
        kind.number,
        payload.get(TYPE),
        valid_from,
        valid_until,
        None if status is None else (status[0], status[1]),
        payload.get(PREDECESSOR),
        payload.get(RULE_SET),
        payload.get(DIGESTS, ()),
        payload.get(STATE),
        payload.get(REASON),
        payload.get(FACTS, {}),
    )


def _check_grammar(payload: Any) -> tuple[Kind, int]:
    """The kind of a payload that obeys its grammar, and the size of its encoding."""
    number = payload.get(KIND) if isinstance(payload, dict) else None
    kind = KINDS.get(number) if type(number) is int else None
    if kind is None:
        raise Refused("statement-unknown-kind")
    labels = list(payload)
    if set(map(type, labels)) != {int} or labels != sorted(labels):
        raise Refused("cbor-not-deterministic", "labels out of order")
    if not kind.required <= payload.keys() <= kind.allowed:
        raise Refused("statement-malformed", f"labels of {kind.name}: {labels}")
    total = 1 + len(labels)
    for label, value in payload.items():
        size = _SIZES[label](value)
        if not size:
            raise Refused("statement-malformed", f"label {label}")
        total += size
    return kind, total


@lru_cache(maxsize=1024)
def _is_issuer(text: str) -> bool:
    return _ISSUER.fullmatch(text) is not None


def _integer(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        return 0
    return 3 if 255 < value < 65_536 else head_size(value)


def _day(value: Any) -> int:
    return _integer(value, MAX_DAY)


def _text(value: Any) -> int:
    if type(value) is not str or not 0 < len(value) <= 64:
        return 0
    size = len(value.encode())
    return size + (1 if size < 24 else head_size(size))


def _hash(value: Any) -> int:
    return _HASH if type(value) is bytes and len(value) == HASH_SIZE else 0


def _status(value: Any) -> int:
    if type(value) is not list or len(value) != 2:
        return 0
    number, index = _integer(value[0], _MAX_UINT32), _integer(value[1], _MAX_UINT32)
    return 1 + number + index if number and index else 0


def _digests(value: Any) -> int:
    if type(value) is not list or not 0 < len(value) <= MAX_DIGESTS:
        return 0
    if set(map(type, value)) != {bytes} or set(map(len, value)) != {HASH_SIZE}:
        return 0
    if len(set(value)) != len(value):
        return 0
    return head_size(len(value)) + _HASH * len(value)


def _facts(value: Any) -> int:
    if type(value) is not dict or set(map(type, value)) != {str}:
        return 0
    check_shape(value)
    return len(cbor2.dumps(value))


_HASH: Final = 2 + HASH_SIZE
_MAX_UINT32: Final = (1 << 32) - 1
_SIZES: Final[Mapping[int, Callable[[Any], int]]] = {
    KIND: head_size,
    TYPE: _text,
    FROM: _day,
    UNTIL: _day,
    STATUS: _status,
    PREDECESSOR: _hash,
    RULE_SET: _text,
    DIGESTS: _digests,
    STATE: lambda value: head_size(value) if type(value) is int and value in STATES else 0,
    REASON: _text,
    FACTS: _facts,
}
"""By label: the size of the encoding of a value that obeys the grammar, 0 for one that does not."""
