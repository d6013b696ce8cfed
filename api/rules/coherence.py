"""What TOML cannot say about a catalogue: references that must lead somewhere, and house rules.

Each fault is a file, a key in it and the reason.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from api.errors import ServiceError
from api.rules import codes
from api.rules.fields import FACE
from api.rules.model import Catalogue, CreditType, LicenceType, RecordType
from api.rules.validators import VALIDATORS
from verifier.states import BY_NAME, RESTORED_IN_ERROR, SIGNED_AGAIN

_FIELD_CODE = re.compile(r"[a-z][a-z0-9]{0,7}", re.ASCII)
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", re.ASCII)
_CREDIT_CODE = re.compile(r"[A-Z]{2,8}", re.ASCII)

Contradiction = tuple[str, str, str]
"""File, key, reason."""


def contradictions(
    catalogue: Catalogue,
    licences: Mapping[str, LicenceType],
    credits_: Mapping[str, CreditType],
) -> Iterator[Contradiction]:
    yield from _department_faults(catalogue)
    yield from _predicate_faults(catalogue)
    yield from _rule_faults(catalogue)
    for code, count in Counter(kind.code for kind in licences.values()).items():
        if count > 1:
            yield "licences", "code", f"{code} occurs twice"
    for slug, count in Counter(kind.slug for kind in credits_.values()).items():
        if count > 1:
            yield "credits", "slug", f"{slug} occurs twice"
    for file, licence in licences.items():
        yield from ((file, *fault) for fault in _licence_faults(licence, catalogue))
        yield from ((file, *fault) for fault in _field_faults(licence))
    for file, credit in credits_.items():
        yield from ((file, *fault) for fault in _credit_faults(credit, catalogue))
        yield from ((file, *fault) for fault in _field_faults(credit))


def _absent(names: Iterable[str], table: Iterable[str]) -> str:
    return ", ".join(sorted(set(names) - set(table)))


def _department_faults(catalogue: Catalogue) -> Iterator[Contradiction]:
    file = "departments.toml"
    for slug, department in catalogue.departments.items():
        if not _SLUG.fullmatch(slug):
            yield file, "slug", f"{slug} is not a slug"
        try:
            codes.uscc(department.uscc)
        except ServiceError as fault:
            yield file, f"{slug}.uscc", fault.detail


def _predicate_faults(catalogue: Catalogue) -> Iterator[Contradiction]:
    file = "predicates.toml"
    for basis in catalogue.legal_bases.values():
        if absent := _absent(basis.roles, catalogue.roles):
            yield file, f"{basis.id}.roles", f"unknown: {absent}"
    for predicate in catalogue.predicates.values():
        for key, names, table in (
            ("sources", predicate.sources, catalogue.departments),
            ("legal_bases", predicate.legal_bases, catalogue.legal_bases),
            ("purposes", predicate.purposes, catalogue.purposes),
            ("roles", predicate.roles, catalogue.roles),
        ):
            if not names:
                yield file, f"{predicate.id}.{key}", "empty"
            if absent := _absent(names, table):
                yield file, f"{predicate.id}.{key}", f"unknown: {absent}"
        validators = {p.validation for p in predicate.parameters if p.validation}
        if absent := _absent(validators, VALIDATORS):
            yield file, f"{predicate.id}.parameters", f"unknown validation: {absent}"


def _rule_faults(catalogue: Catalogue) -> Iterator[Contradiction]:
    for reason in catalogue.reasons.values():
        leads = reason.applies == "licence" and reason.code != SIGNED_AGAIN
        if leads != (reason.state is not None):
            yield "reasons.toml", f"{reason.code}.state", "licence reasons have one, others not"
        if reason.state is not None and reason.state not in BY_NAME:
            yield "reasons.toml", f"{reason.code}.state", f"unknown: {reason.state}"
    for code in (RESTORED_IN_ERROR, SIGNED_AGAIN):
        if code not in catalogue.reasons:
            yield "reasons.toml", code, "missing"
    file, last = "rulesets.toml", date.min
    for index, rules in enumerate(catalogue.rulesets):
        open_end = rules.in_force_until is None
        if (until := rules.in_force_until or date.max) < rules.in_force_from:
            yield file, rules.id, "ends before it begins"
        if rules.in_force_from <= last or (open_end and index + 1 < len(catalogue.rulesets)):
            yield file, rules.id, "overlaps another"
        last = until
        if [row.grade for row in rules.grades] != [1, 2, 3]:
            yield file, rules.id, "grades 1, 2, 3 expected"
        if any(not 0 <= row.min_months <= row.max_months for row in rules.grades):
            yield file, rules.id, "0 <= min_months <= max_months expected"


def _licence_faults(kind: LicenceType, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    try:
        if codes.licence_type_code(kind.code) != kind.code:
            yield "code", "not canonical"
    except ServiceError as fault:
        yield "code", fault.detail
    if not _SLUG.fullmatch(kind.slug):
        yield "slug", "not a slug"
    if kind.issuer not in catalogue.departments:
        yield "issuer", f"unknown: {kind.issuer}"
    holder_code = catalogue.holder_code_types.get(kind.holder_code_type)
    if holder_code is None or holder_code.holder != kind.holder:
        yield "holder_code_type", f"{kind.holder_code_type} is not a code of a {kind.holder}"
    if absent := _absent(kind.predicates, catalogue.predicates):
        yield "predicates", f"unknown: {absent}"
    if absent := _absent(kind.states, BY_NAME):
        yield "states", f"unknown: {absent}"
    if any(years != "long" and years < 1 for years in (kind.validity, *kind.validity_choices)):
        yield "validity", "at least one year, or long"
    named = {
        "holder_field": "string",
        "holder_code_field": "string",
        "number_field": "string",
        "from_field": "date",
        "until_field": "date",
        "joint_holder_field": "string",
        "joint_holder_code_field": "string",
    }
    for key, json_type in named.items():
        name = getattr(kind, key)
        if name is not None and name not in {f.code for f in kind.fields if f.json == json_type}:
            yield key, f"no {json_type} field {name}"
    required = {kind.holder_field, kind.number_field, kind.from_field}
    if optional := _absent(required, (f.code for f in kind.fields if f.required)):
        yield "fields", f"must be required: {optional}"


def _credit_faults(kind: CreditType, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    if not _CREDIT_CODE.fullmatch(kind.code):
        yield "code", "2 to 8 capital letters expected"
    if not _SLUG.fullmatch(kind.slug):
        yield "slug", "not a slug"
    if absent := _absent(kind.issuers, catalogue.departments):
        yield "issuers", f"unknown: {absent}"
    if kind.publish.persons and "person" not in kind.subjects:
        yield "publish", "persons are no subjects of this type"
    if not kind.graded and kind.fixed_grade is not None:
        yield "fixed_grade", "the type has no grades"
    strings = {f.code for f in kind.fields if f.json == "string"}
    dates = {f.code for f in kind.fields if f.json == "date"}
    for key, names, known in (
        ("subject_field", (kind.subject_field,), strings),
        ("subject_code_fields", kind.subject_code_fields, strings),
        ("number_field", (kind.number_field,), strings),
        ("date_field", (kind.date_field,), dates),
        ("until_field", (kind.until_field,) if kind.until_field else (), dates),
    ):
        if absent := _absent(names, known):
            yield key, f"no such field of this kind: {absent}"
    required = {kind.subject_field, kind.number_field, kind.date_field}
    if optional := _absent(required, (f.code for f in kind.fields if f.required)):
        yield "fields", f"must be required: {optional}"


def _field_faults(kind: RecordType) -> Iterator[tuple[str, str]]:
    names = Counter(f.code for f in kind.fields)
    groups = Counter(f.disclosure for f in kind.fields)
    if FACE not in groups:
        yield "fields", "nothing is on the face"
    for f in kind.fields:
        key = f"fields.{f.code}"
        if not _FIELD_CODE.fullmatch(f.code):
            yield key, "1 to 8 lower-case letters and digits expected"
        if names[f.code] > 1:
            yield key, "occurs twice"
        if f.validation is not None and f.validation not in VALIDATORS:
            yield f"{key}.validation", f"unknown: {f.validation}"
        if f.sensitive and (f.disclosure == FACE or groups[f.disclosure] > 1):
            yield f"{key}.disclosure", "a sensitive field is a disclosure of its own"
        if groups[f.disclosure] == 1 and f.disclosure not in {FACE, f.code}:
            yield f"{key}.disclosure", "a group of one field bears the field's code"
        if groups[f.disclosure] > 1 and f.disclosure in names:
            yield f"{key}.disclosure", "a group of several fields bears no field's code"
        if f.canonical is not None and (f.canonical == "until") != (f.json == "date"):
            yield f"{key}.canonical", "until is for dates, the others for texts"
        if not 1 <= f.max_length <= 5000:
            yield f"{key}.max_length", "1 to 5000 expected"
    if absent := _absent((code for group in kind.require_one for code in group), names):
        yield "require_one", f"no such field: {absent}"
