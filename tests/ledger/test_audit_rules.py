"""Every rule that a statement can break is named at its index; what is allowed is not."""

import pytest

from ledger.audit.findings import FINDINGS, Severity
from tests.ledger import cases_keys, cases_rules, cases_tree
from tests.ledger.audited import Shown, found
from tests.ledger.cases_rules import DECIDED
from tests.ledger.logs import CLINIC, DAY, FOOD, NOW, TODAY, City, signer
from verifier import kinds
from verifier.statement import Content
from verifier.states import REVOKED, SUSPENDED, VALID

CASES = {**cases_rules.CASES, **cases_keys.CASES}
ALWAYS_UNCHECKED = {
    "audit-trusted-on-first-use",
    "audit-witnesses-unchecked",
    "audit-statements-unchecked",
    "audit-previous-unchecked",
}
"""Seen in test_audit_run."""


@pytest.mark.parametrize("case", CASES)
def test_a_broken_rule_is_named(case: str) -> None:
    shown = CASES[case]()
    report = shown.audit()
    assert sorted(found(report), key=str) == sorted(shown.finds, key=str)
    assert case.partition(" ")[0] in report.totals
    assert report.ok is (not shown.finds)
    if shown.detail:
        assert shown.detail in {finding.detail for finding in report.findings}


def test_every_finding_has_a_case() -> None:
    about = {case.partition(" ")[0] for case in (*CASES, *cases_tree.CASES)}
    assert about | ALWAYS_UNCHECKED == FINDINGS.keys()


def test_every_finding_has_words_in_both_languages() -> None:
    for code, words in FINDINGS.items():
        assert code.startswith("audit-")
        assert any("\u4e00" <= letter <= "\u9fff" for letter in words.zh)
        assert words.en.isascii()
        assert words.severity in Severity


def clean(city: City, **options: object) -> None:
    report = Shown(city.files(), []).audit(**options)
    assert found(report) == []
    assert report.signatures == len(city.entries)


def test_the_whole_life_of_a_licence() -> None:
    city = City()
    act = city.licence()
    act = city.state(act, SUSPENDED, "penalty-suspension")
    act = city.state(act, VALID, "suspension-ended")
    act = city.state(act, REVOKED)
    act = city.state(act, VALID, "revoked-in-error")
    renewed = city.licence(predecessor=act.leaf)
    city.state(act, 1, "replaced")
    city.licence(predecessor=renewed.leaf)
    city.licence("health", CLINIC, status=(0, 1))
    city.follow(renewed, kinds.ERASURE)
    clean(city)


def test_documents_and_their_versions() -> None:
    """A document may have the record id of a licence: it is about that record."""
    city = City()
    first = city.document()
    city.document(city.document(first, type_code=None, valid_from=TODAY))
    city.document(slug="health")
    typed = city.document(type_code=FOOD)
    city.document(typed, type_code=FOOD)
    city.document(how={"subject": city.licence().subject})
    clean(city)


@pytest.mark.parametrize(
    "acts",
    [
        (33,),
        (33, 34, 35, 38, 64),
        (33, 34, 36, 33, 39, 64),
        (33, 34, 37, 64),
        (33, 36, 36, 38),
        (34, 33, 35, 39),
        (34, 35, 33, 39),
        (33, 34, 39),
        (37, 64),
    ],
    ids=str,
)
def test_lawful_lives_of_a_credit_entry(acts: tuple[int, ...]) -> None:
    city = City()
    act = city.credit(day=DECIDED)
    for kind in acts:
        act = city.follow(act, kind)
    clean(city)


def test_a_person_s_entry_may_be_repaired_or_expire_unpublished() -> None:
    city = City()
    for kind in (kinds.CREDIT_REPAIRED, kinds.CREDIT_EXPIRED):
        city.follow(city.credit(day=DECIDED, org=False), kind)
    clean(city)


def test_the_credit_centre_may_publish_mark_and_end_publication() -> None:
    city = City()
    city.department("centre", ["penalty"])
    act = city.credit(day=DECIDED)
    for kind in (kinds.CREDIT_PUBLISHED, kinds.CREDIT_DISPUTED, kinds.CREDIT_EXPIRED):
        act = city.follow(act, kind, slug="centre")
    clean(city)


def test_the_last_day_of_publication_is_in_time() -> None:
    city = City()
    last = (DECIDED + 8) * DAY - 8 * 3600 - 1
    city.follow(city.credit(day=DECIDED), kinds.CREDIT_PUBLISHED, at=last)
    clean(city)


def test_what_is_not_due_yet_is_not_missing() -> None:
    city = City()
    city.credit(day=DECIDED)
    deadline = (DECIDED + 8) * DAY - 8 * 3600
    report = Shown(city.files(), []).audit(now=deadline - 1)
    assert found(report) == []
    report = Shown(city.files(), []).audit(now=deadline)
    assert [code for code, _, _ in found(report)] == ["audit-publication-missing"]


def test_a_minor_entry_need_not_be_published() -> None:
    city = City()
    city.credit(day=DECIDED, grade=1)
    clean(city)


def test_a_question_is_a_record_of_its_own() -> None:
    city = City()
    content = Content(kinds.QUESTION, rule_set="order-36", digests=[bytes(32)])
    city.add(content, "operator")
    clean(city)


def test_a_key_counts_from_the_entry_after_its_enrolment_and_the_old_one_stays() -> None:
    city = City()
    new = signer("new market key", "es256")
    city.key("market", new, [FOOD])
    city.licence(how={"by": new})
    city.licence()
    clean(city)


def test_five_minutes_ahead_of_the_clock_are_forgiven() -> None:
    city = City()
    city.licence(how={"at": NOW + 300})
    clean(city)


def test_a_forged_act_does_not_change_the_record() -> None:
    """Only acts whose signature counts are replayed: the true next act is no second one."""
    city = City()
    first = city.licence()
    city.state(first, REVOKED, by=signer("nobody"))
    city.state(first, SUSPENDED)
    index = len(city.entries) - 2
    assert found(Shown(city.files(), []).audit()) == [("audit-key-unknown", index, None)]


def test_counts_by_department_and_code() -> None:
    city = City()
    for _ in range(3):
        city.credit(day=DECIDED)
    city.licence("market", CLINIC)
    report = Shown(city.files(), []).audit()
    market = f"{city.origin}/market"
    assert report.by_issuer == {
        ("audit-publication-missing", market): 3,
        ("audit-key-out-of-scope", market): 1,
    }
    assert report.counts[market, kinds.CREDIT] == 3
    assert report.departments[market].zh == "market局"
    assert TODAY > DECIDED


def test_a_correction_may_find_that_no_publication_is_due() -> None:
    city = City()
    city.follow(city.credit(day=DECIDED), kinds.CREDIT_CORRECTED, facts={"org": True, "grade": 1})
    city.follow(city.credit(day=DECIDED), kinds.CREDIT_CORRECTED, facts={"org": False})
    clean(city)
    act = city.credit(day=DECIDED, org=False)
    act = city.follow(act, kinds.CREDIT_CORRECTED, facts={"org": True})
    city.follow(act, kinds.CREDIT_PUBLISHED)
    clean(city)
