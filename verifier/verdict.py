"""A verdict: one colour, one sentence, and the numbered checks behind it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from verifier.chain import Certificate
from verifier.words import CHECKS, OUTCOMES, SENTENCES


class Colour(StrEnum):
    """Green: valid, and known to be so now. Amber: genuine, but not known to be valid now.

    Red: not genuine, not ours, or not in force.
    """

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "not-checked"


class Check(NamedTuple):
    """One numbered check. `code` says why it failed or was not made, or how it passed."""

    number: int
    outcome: Outcome
    code: str
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        name, outcome = CHECKS[self.number], OUTCOMES[self.outcome]
        zh, en = SENTENCES[self.code]
        return {
            "number": self.number,
            "zh": name[0],
            "en": name[1],
            "outcome": self.outcome.value,
            "outcome_zh": outcome[0],
            "code": self.code,
            "reason_zh": zh,
            "reason_en": en,
            "detail": self.detail,
        }


class Shown(NamedTuple):
    """One disclosed field: its code, its names in both languages, its value."""

    code: str
    zh: str
    en: str
    value: Any


class Subject(NamedTuple):
    """What the code is about, as far as it could be read: names, dates (ISO) and fields.

    The issuer's names are those at the time of issue; `successor`, if any, is the (Chinese,
    English) name of the department that acts for it today, be it renamed or merged.
    """

    type_code: str
    type_zh: str
    type_en: str
    issuer: str
    issuer_zh: str
    issuer_en: str
    issued_at: int
    valid_from: str | None
    valid_until: str | None
    fields: Sequence[Shown]
    undisclosed: int
    successor: tuple[str, str] | None = None


class SigningKey(NamedTuple):
    """The key that signed: its id, its suite, the rule about its life that spoke, None if none
    could, and its certificate where it carries one of a recognised CA."""

    kid: bytes
    suite: str
    rule: str | None
    certificate: Certificate | None
    ca: tuple[str, str] | None


class Record(NamedTuple):
    """Where the statement stands: leaf hash, and index and tree size where a proof was checked."""

    leaf: bytes
    index: int | None  # type: ignore[assignment]  # not tuple.index
    size: int | None
    witnesses: Sequence[str]


class Verdict(NamedTuple):
    """The judge's answer. `code` is stable; `status_as_of` is when the state was last known."""

    colour: Colour
    code: str
    checks: Sequence[Check]
    subject: Subject | None
    record: Record | None
    status: int | None
    status_as_of: int | None
    judged_at: int
    key: SigningKey | None = None

    @property
    def zh(self) -> str:
        return SENTENCES[self.code][0]

    @property
    def en(self) -> str:
        return SENTENCES[self.code][1]

    def to_json(self) -> Mapping[str, Any]:
        """Plain values for JSON; hashes as hex, times as Unix seconds."""
        subject, record = self.subject, self.record
        age = None if self.status_as_of is None else max(0, self.judged_at - self.status_as_of)
        return {
            "colour": self.colour.value,
            "code": self.code,
            "zh": self.zh,
            "en": self.en,
            "judged_at": self.judged_at,
            "checks": [check.to_json() for check in self.checks],
            "licence": None if subject is None else _subject_json(subject),
            "key": None if self.key is None else _key_json(self.key),
            "record": None
            if record is None
            else {
                "leaf": record.leaf.hex(),
                "index": record.index,
                "size": record.size,
                "witnesses": list(record.witnesses),
            },
            "status": {"state": self.status, "as_of": self.status_as_of, "age_seconds": age},
        }


def _subject_json(subject: Subject) -> dict[str, Any]:
    return {
        "type": subject.type_code,
        "type_zh": subject.type_zh,
        "type_en": subject.type_en,
        "issuer": subject.issuer,
        "issuer_zh": subject.issuer_zh,
        "issuer_en": subject.issuer_en,
        "issuer_now": None
        if subject.successor is None
        else {"zh": subject.successor[0], "en": subject.successor[1]},
        "issued_at": subject.issued_at,
        "valid_from": subject.valid_from,
        "valid_until": subject.valid_until,
        "fields": [
            {"code": shown.code, "zh": shown.zh, "en": shown.en, "value": shown.value}
            for shown in subject.fields
        ],
        "undisclosed": subject.undisclosed,
    }


def _key_json(key: SigningKey) -> dict[str, Any]:
    certificate, ca = key.certificate, key.ca
    return {
        "kid": key.kid.hex(),
        "suite": key.suite,
        "rule": key.rule,
        "certificate": None
        if certificate is None
        else {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "serial": certificate.serial,
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
            "ca_zh": None if ca is None else ca[0],
            "ca_en": None if ca is None else ca[1],
        },
    }
