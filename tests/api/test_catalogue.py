import csv
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.catalogue import FOLDER
from api.errors import ServiceError
from api.rules import codes
from api.rules.catalogue import (
    Catalogue,
    Field,
    RecordType,
    disclosure_groups,
    load_catalogue,
    validate_fields,
)
from api.rules.fields import Value, reader
from api.rules.rulesets import window
from verifier.codec import cbor_decode, cbor_encode
from verifier.disclosure import make_disclosure, parse_disclosure
from verifier.states import STATES, may_follow

Shared = Callable[[str], Path]

CATALOGUE = load_catalogue()
TYPES: dict[str, RecordType] = {
    **{kind.slug: kind for kind in CATALOGUE.licence_types.values()},
    **{kind.slug: kind for kind in CATALOGUE.credit_types.values()},
}

DEMO = {"market", "police", "hrss", "housing", "education", "health", "transport", "land"}
LICENCES = {
    "business-licence", "food-licence", "small-food-registration", "id-card", "household-page",
    "residence-permit", "birth-certificate", "marriage-certificate", "divorce-certificate",
    "driving-licence", "vehicle-licence", "real-estate-certificate", "real-estate-proof",
    "diploma", "degree", "social-security-card", "insurance-statement", "disability-card",
    "elder-card", "constructor", "special-work", "hygiene-permit", "medical-institution",
    "hazardous-chemicals", "discharge-permit", "delegation", "guardianship", "road-transport",
    "retail-food", "taxi-driver",
}  # fmt: skip
CREDITS = {"XZCF", "XZXK", "JDJC", "XYCN", "YZSX", "JYYC", "SXJL", "SXBZ", "QJXX"}

CITIZEN = "11010519491231002X"
USCC = "91310000757904992P"
VALID: dict[str, str] = {
    "uscc": USCC,
    "uscc_or_citizen_number": CITIZEN,
    "uscc_or_registration_number": "320000000028595",
    "uscc_or_masked_number": "1101051949****002X",
    "registration_number": "320000000028595",
    "citizen_number": CITIZEN,
    "food_licence_number": "JY33202810257113",
    "marriage_number": "J339900-2026-000001",
    "vin": "1M8GDM9AXKP042788",
    "disability_number": CITIZEN + "41B1",
    "discharge_permit_number": USCC + "001V",
    "birth_certificate_number": "X330000001",
    "plate_number": "浙X12345",
    "real_estate_unit": "339900001001GB00001F00010001",
    "file_number": "339900000001",
    "diploma_number": "103351202605000001",
    "serial_number": "浙399-2026-0001",
}


def sample(field: Field) -> object:
    if field.json == "array":
        return [field.choices[0] if field.choices else "甲", ""]
    if field.json != "string":
        return {
            "date": "2026年1月2日",
            "integer": "12",
            "number": "0.20",
            "boolean": "是",
        }[field.json]
    if field.choices:
        return f" {field.choices[0]}\u3000"
    if field.validation:
        return VALID[field.validation].lower()
    return " Ａ1 某\t"


def full(kind: RecordType) -> dict[str, object]:
    return {field.code: sample(field) for field in kind.fields}


def faults(kind: RecordType, raw: dict[str, object]) -> list[tuple[str, str]]:
    with pytest.raises(ServiceError) as caught:
        validate_fields(kind, raw)
    assert caught.value.code == "fields-invalid"
    errors = caught.value.extra["errors"]
    for error in errors:
        assert (error["zh"], error["en"]) == ServiceError.WORDS[error["code"]]
    return [(error["field"], error["code"]) for error in errors]


# ---- contents ------------------------------------------------------------------------------------


def test_what_the_catalogue_holds() -> None:
    assert set(CATALOGUE.licence_types) == LICENCES
    assert set(CATALOGUE.credit_types) == CREDITS
    assert {d.slug for d in CATALOGUE.departments.values() if d.demo} == DEMO
    for department in CATALOGUE.departments.values():
        assert department.uscc[2:8] == "339900"
        assert department.uscc.startswith("11") or not department.demo


def test_every_demo_department_issues_something() -> None:
    assert {kind.issuer for kind in CATALOGUE.licence_types.values()} >= DEMO


def test_real_type_codes_are_not_marked_fictional() -> None:
    real = {kind.slug: kind.code for kind in CATALOGUE.licence_types.values() if not kind.fictional}
    assert real == {
        "real-estate-certificate": "11100000MB03271699001",
        "real-estate-proof": "11100000MB03271699022",
        "constructor": "11100000000013338W001",
        "id-card": "11100000000013127D001",
    }
    for kind in CATALOGUE.licence_types.values():
        assert kind.fictional == (kind.code[2:8] == "339900")


def test_looked_up_by_code_or_slug() -> None:
    kind = CATALOGUE.licence_type("food-licence")
    assert CATALOGUE.licence_type(kind.code) is kind
    assert CATALOGUE.credit_type("XZCF") is CATALOGUE.credit_type("penalty")
    assert CATALOGUE.predicate("over-18").sources == ("police",)
    assert CATALOGUE.department("market").zh == "市场监督管理局"
    for look_up in (CATALOGUE.licence_type, CATALOGUE.credit_type):
        with pytest.raises(ServiceError) as caught:
            look_up("no-such")
        assert (caught.value.code, caught.value.status) == ("catalogue-unknown-type", 404)
    for look_up_entry in (CATALOGUE.predicate, CATALOGUE.reason, CATALOGUE.department):
        with pytest.raises(ServiceError) as caught:
            look_up_entry("no-such")
        assert (caught.value.code, caught.value.status) == ("catalogue-unknown-entry", 404)


def test_the_questions_of_the_mission() -> None:
    assert set(CATALOGUE.predicates) >= {
        "holds-valid-licence",
        "number-belongs-to-name",
        "over-18",
        "no-severe-dishonesty",
    }
    for predicate in CATALOGUE.predicates.values():
        for role in predicate.roles:
            bases = [
                basis
                for basis in predicate.legal_bases
                if role in CATALOGUE.legal_bases[basis].roles
            ]
            assert bases, f"{predicate.id}: {role} has no basis to ask on"


def test_a_private_verifier_asks_about_people_with_consent_only() -> None:
    for basis in CATALOGUE.legal_bases.values():
        if "private-verifier" in basis.roles:
            assert basis.consent or basis.id == "public-record"


def test_reasons_reach_every_state() -> None:
    reached = {r.legal_state.number for r in CATALOGUE.reasons.values() if r.legal_state}
    assert reached == set(STATES)
    assert may_follow(14, 0, CATALOGUE.reason("revoked-in-error").code)
    for reason in CATALOGUE.reasons.values():
        assert reason.article
        if reason.state in {"revoked", "rescinded", "recalled"}:
            assert reason.two_person, reason.code


def test_publication_is_for_organisations() -> None:
    for kind in CATALOGUE.credit_types.values():
        assert kind.publish.organisations
        assert not kind.publish.persons
        assert kind.publish.within_workdays == 7


# ---- fields --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", sorted(TYPES))
def test_every_type_reads_a_full_record(slug: str) -> None:
    """Dirty values in, canonical values out; canonical values are their own canonical form."""
    kind = TYPES[slug]
    values = validate_fields(kind, full(kind))
    assert list(values) == [field.code for field in kind.fields]
    assert validate_fields(kind, values) == values
    assert cbor_decode(cbor_encode(values), max_bytes=100_000) == values
    for field in kind.fields:
        value = values[field.code]
        expected: dict[str, Value] = {
            "date": "2026-01-02",
            "integer": 12,
            "number": "0.2",
            "boolean": True,
        }
        if field.json in expected:
            assert value == expected[field.json]
        elif field.json == "array":
            assert value == [field.choices[0] if field.choices else "甲"]
        elif field.canonical == "code" and not field.validation:
            assert value == "A1某"
        elif not field.choices and not field.validation:
            assert value == "A1 某"


@pytest.mark.parametrize("slug", sorted(TYPES))
def test_every_type_misses_what_is_required(slug: str) -> None:
    kind = TYPES[slug]
    required = {field.code for field in kind.fields if field.required}
    found = faults(kind, dict.fromkeys(full(kind), ""))
    assert {field for field, code in found if code == "field-missing"} == required
    assert Counter(code for _, code in found)["field-one-of-missing"] == len(kind.require_one)
    assert faults(kind, dict.fromkeys(full(kind))) == found == faults(kind, {})


@pytest.mark.parametrize("slug", sorted(TYPES))
def test_every_group_is_a_disclosure(slug: str) -> None:
    kind = TYPES[slug]
    values = validate_fields(kind, full(kind))
    groups = disclosure_groups(kind, values)
    names = [name for name, _ in groups]
    assert len(set(names)) == len(names)
    assert names == list(dict.fromkeys(field.disclosure for field in kind.fields))
    merged: dict[str, Value] = {}
    for name, fields in groups:
        parsed = parse_disclosure(make_disclosure(name, fields, bytes(16)))
        assert (parsed.name, parsed.fields) == (name, fields)
        merged |= fields
    assert merged == values
    for field in kind.fields:
        if field.sensitive:
            assert dict(groups)[field.code] == {field.code: values[field.code]}


def test_absent_groups_are_left_out() -> None:
    kind = CATALOGUE.licence_type("business-licence")
    values = validate_fields(kind, {"name": "甲", "uscc": USCC, "founded": "20260102"})
    assert disclosure_groups(kind, values) == [("face", values)]


def test_numbers_of_people_are_sensitive() -> None:
    personal = {"citizen_number", "uscc_or_citizen_number", "disability_number"}
    for slug, kind in TYPES.items():
        for field in kind.fields:
            assert field.sensitive or field.validation not in personal, f"{slug}.{field.code}"


@pytest.mark.parametrize("slug", sorted(LICENCES))
def test_every_licence_has_an_identifier(slug: str) -> None:
    kind = CATALOGUE.licence_type(slug)
    issuer = CATALOGUE.department(kind.issuer).uscc
    made = kind.identifier(issuer, validate_fields(kind, full(kind)), version=2)
    assert codes.parse_licence_identifier(str(made)) == made
    assert (made.type_code, made.issuer, made.version) == (kind.code, issuer, "002")


def test_real_companies_are_read(shared: Shared) -> None:
    kind = CATALOGUE.licence_type("business-licence")
    count = 0
    with shared("data/shanghai_2004.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            raw = {
                "name": row["企业名称"],
                "uscc": row["统一社会信用代码"].lower(),
                "founded": row["注册日期"],
                "capital": row["注册资金"],
                "scope": row["经营范围"],
                "addr": row["注册地址"],
            }
            values = validate_fields(kind, raw)
            assert values["uscc"] == row["统一社会信用代码"]
            count += 1
    assert count == 11_023


def test_all_faults_at_once_and_no_value_told() -> None:
    kind = CATALOGUE.licence_type("id-card")
    raw = {
        "name": "张\x07三",
        "sex": "X",
        "birth": "1949-13-31",
        "addr": "长" * 201,
        "idno": "110105194912310029",
        "from": 20260102,
        "photo": "b64",
    }
    assert faults(kind, raw) == [
        ("name", "field-unprintable"),
        ("sex", "field-not-choice"),
        ("birth", "code-date-invalid"),
        ("addr", "field-too-long"),
        ("idno", "code-citizen-number-invalid"),
        ("from", "field-not-text"),
        ("photo", "field-unknown"),
    ]
    with pytest.raises(ServiceError) as caught:
        validate_fields(kind, raw)
    assert "19491231" not in f"{caught.value} {caught.value.extra}"


def one(json: str, **more: object) -> Callable[[object], Value | None]:
    return reader(Field("x", "x", "x", json=json, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("read", "raw", "expected"),
    [
        (one("number"), "0.20", "0.2"),
        (one("number"), 0.2, "0.2"),
        (one("number"), 2000, "2000"),
        (one("number"), "００12.00", "12"),
        (one("number"), 1e-7, "0.0000001"),
        (one("number"), "-0.0", "0"),
        (one("number"), " ", None),
        (one("integer"), "12", 12),
        (one("integer"), -3, -3),
        (one("integer"), "", None),
        (one("boolean"), "否", False),
        (one("boolean"), True, True),
        (one("boolean"), " ", None),
        (one("date"), date(2026, 1, 2), "2026-01-02"),
        (one("date", canonical="until"), "长期", None),
        (one("date", canonical="until"), "2099-12-31", None),
        (one("date", canonical="until"), "2098/12/31", "2098-12-31"),
        (one("array"), "甲；乙、丙;", ["甲", "乙", "丙"]),
        (one("array"), [], None),
        (one("string"), "甲，乙（１）　丙。", "甲，乙（1） 丙。"),
        (one("string"), "二\ufeff\u200b字", "二字"),
        (one("string", canonical="name"), "上海（集团）", "上海(集团)"),
        (one("string", canonical="code"), " ab－12 ", "AB-12"),
        (one("string"), "\U0003134a", "\U0003134a"),  # newer than some tables of characters
    ],
)
def test_reading_one_value(
    read: Callable[[object], Value | None], raw: object, expected: Value | None
) -> None:
    assert read(raw) == expected
    assert type(read(raw)) is type(expected)


@pytest.mark.parametrize(
    ("read", "raw", "code"),
    [
        (one("number"), "1e3", "field-not-number"),
        (one("number"), "1,000", "field-not-number"),
        (one("number"), float("nan"), "field-not-number"),
        (one("number"), True, "field-not-number"),
        (one("number"), [], "field-not-number"),
        (one("number"), 10**20, "field-not-number"),
        (one("integer"), "1.5", "field-not-integer"),
        (one("integer"), "+1", "field-not-integer"),
        (one("integer"), "007", "field-not-integer"),
        (one("integer"), True, "field-not-integer"),
        (one("integer"), 2**53, "field-not-integer"),
        (one("boolean"), "maybe", "field-not-boolean"),
        (one("boolean"), 1, "field-not-boolean"),
        (one("date"), "2026-02-30", "code-date-invalid"),
        (one("date"), 20260102, "field-not-text"),
        (one("date", canonical="until"), "无", "code-date-invalid"),
        (one("array"), 5, "field-not-array"),
        (one("array"), ["甲"] * 51, "field-not-array"),
        (one("array"), [5], "field-not-text"),
        (one("string"), 5, "field-not-text"),
        (one("string", max_length=3), "四个汉字", "field-too-long"),
        (one("string", max_length=3), " " * 9 + "四" * 9, "field-too-long"),
        (one("string"), "\ue000", "field-unprintable"),
        (one("string"), "\ud800", "field-unprintable"),
        (one("string", canonical="code"), "A\x00", "field-unprintable"),
        (one("string", canonical="name"), "\x1b[31m", "field-unprintable"),
        (one("string", choices=("甲",)), "乙", "field-not-choice"),
    ],
)
def test_refusing_one_value(read: Callable[[object], object], raw: object, code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        read(raw)
    assert caught.value.code == code


@given(
    st.sampled_from(sorted(TYPES)),
    st.integers(0, 30),
    st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none()),
)
def test_whatever_comes_in_is_read_or_refused(slug: str, place: int, raw: object) -> None:
    """Any value in any field: canonical values that read again as themselves, or a fault there."""
    kind = TYPES[slug]
    field = kind.fields[place % len(kind.fields)].code
    try:
        values = validate_fields(kind, full(kind) | {field: raw})
    except ServiceError as fault:
        caught = fault
    else:
        assert validate_fields(kind, values) == values
        assert cbor_decode(cbor_encode(values), max_bytes=100_000) == values
        return
    assert caught.code == "fields-invalid"
    assert [error["field"] for error in caught.extra["errors"]] == [field]


# ---- rule sets -----------------------------------------------------------------------------------


def test_ordinary_penalty_under_order_36() -> None:
    day = date(2026, 4, 10)
    rules = CATALOGUE.ruleset_for(day)
    found = window(rules, 2, day, CATALOGUE.period_rule)
    assert (found.ruleset, found.published) == ("order-36", True)
    assert not found.may_repair_on(date(2026, 7, 9))
    assert not found.may_repair_on(date(2026, 7, 10))
    assert found.may_repair_on(date(2026, 7, 11))
    assert found.may_show_on(date(2027, 4, 10))
    assert not found.may_show_on(date(2027, 4, 11))


def test_the_ambiguous_day_is_one_setting() -> None:
    day = date(2026, 4, 10)
    found = window(CATALOGUE.ruleset_for(day), 2, day, "from-the-day")
    assert not found.may_repair_on(date(2026, 7, 9))
    assert found.may_repair_on(date(2026, 7, 10))
    assert found.may_show_on(date(2027, 4, 10))
    assert not found.may_show_on(date(2027, 4, 11))


def test_minor_and_serious_grades() -> None:
    day = date(2026, 4, 10)
    minor = window(CATALOGUE.ruleset_for(day), 1, day)
    assert (minor.published, minor.repairable_from, minor.last_day) == (
        False,
        day,
        date(2026, 7, 10),
    )
    serious = window(CATALOGUE.ruleset_for(day), 3, day)
    assert (serious.repairable_from, serious.last_day) == (date(2027, 4, 11), date(2029, 4, 10))
    with pytest.raises(ServiceError) as caught:
        window(CATALOGUE.ruleset_for(day), 4, day)
    assert caught.value.code == "ruleset-grade-unknown"


def test_an_entry_across_the_change_follows_the_transition_rule(tmp_path: Path) -> None:
    document, published = date(2026, 3, 20), date(2026, 4, 2)
    assert CATALOGUE.ruleset_for_entry(document, published).id == "order-58"
    other = changed(tmp_path, "rulesets.toml", '"by-document"\n', '"by-publication"\n')
    assert load_catalogue(other).ruleset_for_entry(document, published).id == "order-36"


def test_the_day_of_the_change() -> None:
    assert CATALOGUE.ruleset_for(date(2026, 3, 31)).id == "order-58"
    assert CATALOGUE.ruleset_for(date(2026, 4, 1)).id == "order-36"
    with pytest.raises(ServiceError) as caught:
        CATALOGUE.ruleset_for(date(2023, 4, 30))
    assert caught.value.code == "ruleset-missing"


# ---- strict reading ------------------------------------------------------------------------------


def changed(tmp_path: Path, file: str, old: str, new: str) -> Path:
    folder = tmp_path / "catalogue"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{file} has no {old}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


BUSINESS, PENALTY = "licences/business-licence.toml", "credits/penalty.toml"


@pytest.mark.parametrize(
    ("file", "old", "new", "key"),
    [
        (BUSINESS, 'slug = "', 'colour = "red"\nslug = "', "colour"),
        (BUSINESS, '{ code = "name"', '{ colour = "red", code = "name"', "fields.0.colour"),
        (BUSINESS, 'slug = "business-licence"\n', "", "slug"),
        (BUSINESS, 'slug = "business-licence"', 'slug = "food-licence"', "food-licence"),
        (BUSINESS, 'slug = "business-licence"', 'slug = "Business Licence"', "slug"),
        (BUSINESS, 'validity = "long"', "validity = 0", "validity"),
        (BUSINESS, 'validity = "long"', 'validity = "forever"', "validity.int"),
        (BUSINESS, "required = true", "required = 1", "fields.0.required"),
        (BUSINESS, "required = true", 'required = "yes"', "fields.0.required"),
        (BUSINESS, 'code = "11339900MB9900013Q001"', 'code = "11339900MB9900014Q001"', "code"),
        (BUSINESS, 'code = "11339900MB9900013Q001"', 'code = "11339900MB9900013Q002"', "code"),
        (BUSINESS, 'code = "11339900MB9900013Q001"', 'code = "11339900mb9900013Q001"', "code"),
        (BUSINESS, 'issuer = "market"', 'issuer = "nobody"', "issuer"),
        (BUSINESS, 'holder = "organisation"', 'holder = "person"', "holder_code_type"),
        (BUSINESS, 'holder_field = "name"', 'holder_field = "nobody"', "holder_field"),
        (BUSINESS, 'holder_code_field = "uscc"', 'holder_code_field = "x"', "holder_code_field"),
        (BUSINESS, 'number_field = "uscc"', 'number_field = "founded"', "number_field"),
        (BUSINESS, 'number_field = "uscc"', 'number_field = "addr"', "fields"),
        (BUSINESS, 'from_field = "founded"', 'from_field = "name"', "from_field"),
        (BUSINESS, 'until_field = "until"', 'until_field = "end"', "until_field"),
        (BUSINESS, 'states = ["lapsed"', 'states = ["gone"', "states"),
        (BUSINESS, '["holds-valid-licence"', '["guess"', "predicates"),
        (BUSINESS, 'code = "rep"', 'code = "legalrepresentative"', "fields.legalrepresentative"),
        (BUSINESS, 'code = "rep"', 'code = "name"', "fields.name"),
        (BUSINESS, 'validation = "uscc"', 'validation = "guess"', "fields.uscc.validation"),
        (BUSINESS, 'disclosure = "scope"', 'disclosure = "long"', "fields.scope.disclosure"),
        (BUSINESS, "max_length = 2000", "max_length = 20000", "fields.scope.max_length"),
        (BUSINESS, 'canonical = "until"', 'canonical = "name"', "fields.until.canonical"),
        ("licences/id-card.toml", 'disclosure = "addr", ', "", "fields.addr.disclosure"),
        (PENALTY, 'code = "XZCF"', 'code = "xzcf"', "code"),
        (PENALTY, 'code = "XZCF"', 'code = "XZXK"', "XZXK"),
        (PENALTY, 'slug = "penalty"', 'slug = "Penalty"', "slug"),
        (PENALTY, 'slug = "penalty"', 'slug = "honour"', "slug"),
        (PENALTY, "issuers = []", 'issuers = ["nobody"]', "issuers"),
        (PENALTY, 'subject_field = "name"', 'subject_field = "x"', "subject_field"),
        (PENALTY, '["uscc", "regno", "idno"]', '["x"]', "subject_code_fields"),
        (PENALTY, '[["uscc", "regno", "idno"]]', '[["x"]]', "require_one"),
        (PENALTY, 'number_field = "docno"', 'number_field = "date"', "number_field"),
        (PENALTY, 'number_field = "docno"', 'number_field = "rep"', "fields"),
        (PENALTY, 'date_field = "date"', 'date_field = "docno"', "date_field"),
        (PENALTY, 'until_field = "until"', 'until_field = "docno"', "until_field"),
        (PENALTY, "graded = true", "graded = false\nfixed_grade = 2", "fixed_grade"),
        (PENALTY, 'ends = "repair"', 'ends = "never"', "ends"),
        ("credits/inspection.toml", "persons = false", "persons = true", "publish"),
        ("departments.toml", 'slug = "market"', 'slug = "Market"', "slug"),
        ("departments.toml", 'slug = "police"', 'slug = "market"', "market"),
        ("departments.toml", "11339900MB9900013Q", "11339900MB9900013R", "market.uscc"),
        ("departments.toml", "[[departments]]", "[departments]", "-"),
        ("predicates.toml", 'sources = ["police"]', 'sources = ["nobody"]', "over-18.sources"),
        ("predicates.toml", 'sources = ["police"]', "sources = []", "over-18.sources"),
        ("predicates.toml", 'roles = ["verifier", "c', 'roles = ["x", "c', "statutory-duty.roles"),
        ("predicates.toml", '"citizen_number"', '"guess"', "over-18.parameters"),
        ("predicates.toml", "needs_consent = false", "", "predicates.0.needs_consent"),
        ("reasons.toml", '"revoked-in-error"', '"another"', "revoked-in-error"),
        ("reasons.toml", 'state = "suspended"', 'state = "gone"', "penalty-suspension.state"),
        ("reasons.toml", ', state = "suspended"', "", "penalty-suspension.state"),
        ("reasons.toml", '"ordered-to-stop"', '"penalty-suspension"', "penalty-suspension"),
        ("rulesets.toml", "in_force_until = 2026-03-31", "", "order-58"),
        ("rulesets.toml", "in_force_until = 2026-03-31", "in_force_until = 2026-04-01", "order-36"),
        ("rulesets.toml", "in_force_until = 2026-03-31", "in_force_until = 2020-04-01", "order-58"),
        ("rulesets.toml", "grade = 2", "grade = 4", "order-58"),
        ("rulesets.toml", "min_months = 12", "min_months = 40", "order-58"),
        ("rulesets.toml", '"civil-202"\n', '"guess"\n', "period_rule"),
        ("holder_code_types.toml", '"099"', '"001"', "001"),
    ],
)  # fmt: skip
def test_a_faulty_catalogue_is_refused(
    tmp_path: Path, file: str, old: str, new: str, key: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        load_catalogue(changed(tmp_path, file, old, new))
    error = caught.value
    assert (error.code, error.status) == ("catalogue-invalid", 500)
    assert error.extra["key"] == key
    assert error.extra["file"].split("/")[0] == file.split("/")[0]
    assert error.extra["file"] in error.detail


def test_an_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"departments\.toml"):
        load_catalogue(tmp_path)


def test_a_copy_reads_the_same(tmp_path: Path) -> None:
    again: Catalogue = load_catalogue(changed(tmp_path, "reasons.toml", "# Why", "# Why"))
    assert again == CATALOGUE
