"""A verdict: one colour, one sentence, and the numbered checks behind it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

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
    """What the code is about, as far as it could be read: names, dates (ISO) and fields."""

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
        "issued_at": subject.issued_at,
        "valid_from": subject.valid_from,
        "valid_until": subject.valid_until,
        "fields": [
            {"code": shown.code, "zh": shown.zh, "en": shown.en, "value": shown.value}
            for shown in subject.fields
        ],
        "undisclosed": subject.undisclosed,
    }
