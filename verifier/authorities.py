"""Who may sign what: departments and their keys, replayed from the statements that enrolled them.

One mechanism serves the server at start, the audit, and a counter loading its trust pack: each
hands the enrolling statements to `Authorities.enrol` in ledger order. Nothing else adds a key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keys.errors import KeysError
from keys.names import kid, parse_cose_key
from keys.suites.base import Suite
from verifier.errors import Refused
from verifier.kinds import DEPARTMENT, GENESIS, KEY, OPERATOR_KINDS
from verifier.note import VerifierKey, parse_vkey
from verifier.statement import Statement, VerifiedStatement, check_statement

OPERATOR = "operator"
_SLUG = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Department:
    issuer: str
    zh: str
    en: str
    uscc: str


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """A key that may sign for `issuer`: which types, from and until when (Unix seconds).

    `index` is the ledger index of the statement that enrolled it: the key counts for entries
    after that one.
    """

    issuer: str
    suite: Suite
    public: bytes
    scope: frozenset[str]
    valid_from: int
    valid_until: int | None
    index: int

    @property
    def kid(self) -> bytes:
        return kid(self.suite, self.public)


def proof_of_possession_message(origin: str, department: str, cose_key: bytes) -> bytes:
    """What a new key signs to show that its private half is in the department's hands."""
    return f"zl-pop\n{origin}\n{department}\n".encode() + cose_key


class Authorities:
    """The state of enrolment after the statements applied so far. Starts empty, before genesis."""

    def __init__(self) -> None:
        self.origin = ""
        self.name_zh = ""
        self.name_en = ""
        self.log_key: VerifierKey | None = None
        self.operator: EnrolledKey | None = None
        self.departments: dict[str, Department] = {}
        self.keys: dict[bytes, EnrolledKey] = {}

    def enrol(self, statement: Statement, index: int) -> VerifiedStatement:
        """Applies a genesis, department or key statement after checking its signature.

        Raises `Refused`: enrolment-…, statement-bad-signature.
        """
        kind = statement.content.kind
        if kind == GENESIS:
            return self._genesis(statement, index)
        if self.operator is None:
            raise Refused("enrolment-before-genesis")
        if statement.kid != self.operator.kid or statement.issuer != self.operator.issuer:
            raise Refused("enrolment-not-by-operator")
        if kind not in (DEPARTMENT, KEY):
            raise Refused("enrolment-malformed", "kind")
        verified = check_statement(statement, self.operator.public)
        if kind == DEPARTMENT:
            self._department(statement.content.facts)
        else:
            self._key(statement.content.facts, index)
        return verified

    def key_for(self, statement: Statement) -> EnrolledKey:
        """The enrolled key a statement names, or `Refused`: see `check_scope` for what it may do.

        key-not-enrolled: nobody enrolled this key; key-of-another: it is another issuer's.
        """
        key = self.keys.get(statement.kid)
        if key is None:
            raise Refused("key-not-enrolled", statement.kid.hex())
        if key.issuer != statement.issuer:
            raise Refused("key-of-another", key.issuer)
        return key

    def _genesis(self, statement: Statement, index: int) -> VerifiedStatement:
        if self.operator is not None or index != 0:
            raise Refused("enrolment-second-genesis")
        facts = statement.content.facts
        origin, vkey = _text(facts, "origin"), _text(facts, "log")
        suite, public = _public(facts)
        if statement.issuer != f"{origin}/{OPERATOR}" or kid(suite, public) != statement.kid:
            raise Refused("enrolment-malformed", "the genesis names another key or issuer")
        log_key = parse_vkey(vkey)
        if log_key.name != origin:
            raise Refused("enrolment-malformed", "log key of another origin")
        name_zh, name_en = _text(facts, "name_zh"), _text(facts, "name_en")
        verified = check_statement(statement, public)
        self.origin, self.log_key = origin, log_key
        self.name_zh, self.name_en = name_zh, name_en
        issuer = statement.issuer
        self.operator = EnrolledKey(issuer, suite, public, frozenset(), 0, None, index)
        self.keys[statement.kid] = self.operator
        self.departments[issuer] = Department(issuer, self.name_zh, self.name_en, "")
        return verified

    def _department(self, facts: Mapping[str, Any]) -> None:
        slug = _text(facts, "id")
        if not _SLUG.fullmatch(slug):
            raise Refused("enrolment-malformed", "id")
        issuer = f"{self.origin}/{slug}"
        if issuer in self.departments:
            raise Refused("enrolment-repeated", issuer)
        self.departments[issuer] = Department(
            issuer, _text(facts, "zh"), _text(facts, "en"), _text(facts, "uscc")
        )

    def _key(self, facts: Mapping[str, Any], index: int) -> None:
        slug = _text(facts, "dept")
        issuer = f"{self.origin}/{slug}"
        if issuer not in self.departments or slug == OPERATOR:
            raise Refused("enrolment-unknown-department", slug)
        suite, public = _public(facts)
        possession = facts.get("pop")
        message = proof_of_possession_message(self.origin, slug, facts["key"])
        try:
            suite.verify(public, message, possession if isinstance(possession, bytes) else b"")
        except KeysError as error:
            raise Refused("enrolment-no-possession", slug) from error
        scope, start, end = facts.get("scope"), facts.get("from"), facts.get("until")
        if not isinstance(scope, list) or not all(type(code) is str for code in scope):
            raise Refused("enrolment-malformed", "scope")
        if type(start) is not int or not (end is None or type(end) is int):
            raise Refused("enrolment-malformed", "from or until")
        if kid(suite, public) in self.keys:
            raise Refused("enrolment-repeated", kid(suite, public).hex())
        key = EnrolledKey(issuer, suite, public, frozenset(scope), start, end, index)
        self.keys[key.kid] = key


def check_scope(statement: Statement, key: EnrolledKey) -> None:
    """The key may sign this kind and type at the time the statement gives; else `Refused`."""
    content = statement.content
    check_use(key, content.kind, content.type_code, statement.issued_at)


def check_use(key: EnrolledKey, kind: int, type_code: str | None, issued_at: int) -> None:
    """The key may sign an act of this kind and type at this Unix time; else `Refused`."""
    by_operator = key.issuer.endswith(f"/{OPERATOR}")
    if by_operator != (kind in OPERATOR_KINDS):
        raise Refused("key-out-of-scope", "kind")
    if type_code is not None and type_code not in key.scope:
        raise Refused("key-out-of-scope", type_code)
    late = key.valid_until is not None and issued_at > key.valid_until
    if issued_at < key.valid_from or late:
        raise Refused("key-out-of-date")


def _text(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    if type(value) is not str or not value or len(value) > 400:
        raise Refused("enrolment-malformed", name)
    return value


def _public(facts: Mapping[str, Any]) -> tuple[Suite, bytes]:
    data = facts.get("key")
    if type(data) is not bytes:
        raise Refused("enrolment-malformed", "key")
    try:
        return parse_cose_key(data)
    except KeysError as error:
        raise Refused("enrolment-malformed", error.code) from error
