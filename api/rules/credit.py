"""What the rules say of one credit entry: whom it is about, until when it is shown, what ends it.

Days are those of China Standard Time (UTC+8, no daylight saving).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from api.errors import ServiceError
from api.rules import codes
from api.rules.days import EPOCH
from api.rules.fields import Value
from api.rules.model import Catalogue, CreditType
from api.rules.rulesets import RuleSet, window
from api.rules.workdays import add_months
from verifier.kinds import (
    CREDIT_CORRECTED,
    CREDIT_REPAIRED,
    CREDIT_UPHELD,
    CREDIT_WITHDRAWN,
)

NO_END = date(2099, 12, 31)
"""How 双公示 writes that an entry has no end (发改办财金〔2018〕424号)."""

REASONS: Mapping[int, frozenset[str]] = {
    CREDIT_UPHELD: frozenset({"dispute-unfounded"}),
    CREDIT_CORRECTED: frozenset({"content-wrong", "decision-annulled"}),
    CREDIT_WITHDRAWN: frozenset({"decision-annulled", "recorded-in-error"}),
    CREDIT_REPAIRED: frozenset({"duties-fulfilled", "list-removed", "cured", "performed"}),
}
"""Reason codes of the catalogue that each act may carry."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an entry is about, by canonical code."""

    code: str
    organisation: bool


@dataclass(frozen=True, slots=True)
class Term:
    """What the rule set gives an entry. `until` is the last day on which it is shown and used."""

    rule_set: str
    published: bool
    repairable_from: date
    until: date


def subject_of(type_: CreditType, values: Mapping[str, Value]) -> Subject:
    """The first of the type's subject codes; `credit-subject-kind` if the type has no such."""
    code = next((str(values[name]) for name in type_.subject_code_fields if name in values), None)
    if code is None:
        raise ServiceError("credit-subject-kind", ", ".join(type_.subject_code_fields))
    organisation = not is_citizen_number(code)
    if ("organisation" if organisation else "person") not in type_.subjects:
        raise ServiceError("credit-subject-kind", type_.slug)
    return Subject(code, organisation)


def is_citizen_number(code: str) -> bool:
    """Whether a canonical code is a person's and not an organisation's."""
    try:
        codes.citizen_number(code)
    except ServiceError:
        return False
    return True


def grade_of(type_: CreditType, given: int | None) -> int | None:
    """The grade of an entry: fixed by the type, given, or none for types without grades."""
    if not type_.graded:
        if given is not None:
            raise ServiceError("credit-grade-unexpected", type_.slug)
        return None
    if type_.fixed_grade is not None and given not in (None, type_.fixed_grade):
        raise ServiceError("credit-grade-unexpected", f"{type_.slug}: {type_.fixed_grade}")
    grade = type_.fixed_grade if given is None else given
    if grade is None:
        raise ServiceError("credit-grade-missing", type_.slug)
    return grade


def dates_of(
    type_: CreditType, values: Mapping[str, Value], today: date
) -> tuple[date, date | None]:
    """(day of the document, declared last day or None); `credit-date-invalid`."""
    document = date.fromisoformat(str(values[type_.date_field]))
    declared = values.get(type_.until_field) if type_.until_field else None
    until = None if declared is None else date.fromisoformat(str(declared))
    if not EPOCH <= document <= today or (until is not None and until < document):
        raise ServiceError("credit-date-invalid", type_.date_field)
    return document, until


def choose_rules(
    catalogue: Catalogue, grade: int | None, document: date, publish_day: date
) -> RuleSet:
    """The rule set of an entry; of one without a grade, that of the day it is handled on."""
    if grade is None:
        return catalogue.ruleset_for(publish_day)
    return catalogue.ruleset_for_entry(document, publish_day)


def rules_named(catalogue: Catalogue, rule_set: str) -> RuleSet:
    """The rule set that an entry keeps; `ruleset-missing` if the catalogue lost it."""
    for rules in catalogue.rulesets:
        if rules.id == rule_set:
            return rules
    raise ServiceError("ruleset-missing", rule_set)


def term(
    catalogue: Catalogue,
    rules: RuleSet,
    type_: CreditType,
    grade: int | None,
    document: date,
    declared: date | None,
) -> Term:
    """Publication and repair of an entry. Raises `credit-until-over-maximum`.

    With a grade the rule set bounds it. Without one it stays for as long as declared; for good
    where it stands with a licence; for the retention period otherwise, which runs from the due
    day where performance ends it.
    """
    if grade is not None:
        frame = window(rules, grade, document, catalogue.period_rule)
        if declared is not None and declared > frame.last_day:
            last = frame.last_day.isoformat()
            raise ServiceError("credit-until-over-maximum", last, extra={"last_day": last})
        return Term(rules.id, frame.published, frame.repairable_from, declared or frame.last_day)
    kept = 12 * type_.retention_years
    if type_.ends == "performance":
        until = add_months(declared or document, kept)
    elif declared is not None:
        until = declared
    else:
        until = NO_END if type_.ends == "with-licence" else add_months(document, kept)
    return Term(rules.id, True, document, until)
