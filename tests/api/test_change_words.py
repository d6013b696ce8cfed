"""A proposal in words: what an officer reads before approving, in both languages."""

from typing import Any

import pytest

from api import change_facts
from api.change_words import describe
from api.city import City
from api.keymaking import make_key
from api.rules.days import china_time
from tests.api.service import NOW, card
from tests.city import signer
from verifier import kinds
from verifier.note import COSIGNATURE, make_vkey
from verifier.times import MAX_TIME

_COURT = make_vkey("court.example", signer("court").public, COSIGNATURE).text()
POLICY = f"# comments go\nwitness court {_COURT} https://court.example\nquorum court\n"
USCC = "11339900MB9900013Q"


def facts_of(city: City) -> list[tuple[int, dict[str, Any], tuple[str, ...]]]:
    """(kind, facts, what both texts together must say)."""
    kid = city.signer("market").kid
    made = make_key(city, "market", "es256")
    food = city.catalogue.licence_type("food-licence").code
    key = change_facts.key("market", made.key, made.pop, [food], NOW)
    compromise = {
        **change_facts.key_changed(kid, "compromise"),
        "since": NOW,
        "before": 77,
        "count": 5,
        "signed": bytes(32),
    }
    department = change_facts.department(
        "archives", "档案局", "Archives", USCC, [card("archives-1", "archives")]
    )
    name = "市场监督管理局"
    return [
        (kinds.DEPARTMENT, department, ("档案局", "Archives", USCC, "archives-1")),
        (
            kinds.KEY,
            key,
            (name, made.kid.hex(), "es256", "食品经营许可证", "起长期", "without end"),
        ),
        (kinds.KEY, {**key, "until": NOW + 60}, ("2026-09-22T10:21:00+08:00",)),
        (kinds.KEY, change_facts.rotation(key, kid, 900), (kid.hex(), "2026-09-22T10:35:00+08:00")),
        (kinds.KEY, {**key, "x5c": [b"", b""]}, ("2 张", "2 certificates")),
        (kinds.KEY, {**key, "dept": "operator", "scope": []}, ("账本运营者", "无", "none")),
        (kinds.KEY_CHANGED, change_facts.key_changed(kid, "suspend"), ("暂停使用", name)),
        (kinds.KEY_CHANGED, change_facts.key_changed(kid, "resume"), ("恢复使用", "resume")),
        (kinds.KEY_CHANGED, change_facts.key_changed(kid, "retire"), ("退役", "retire")),
        (
            kinds.KEY_CHANGED,
            compromise,
            ("泄露", "第 77 条", "5 entries before do", "2026-09-22T10:20:00+08:00"),
        ),
        (kinds.KEY_CHANGED, {**compromise, "count": 1}, ("1 条有效", "1 entry before does")),
        (kinds.DEPARTMENT_CHANGED, change_facts.renamed("market", "新名", "New"), (name, "新名")),
        (kinds.DEPARTMENT_CHANGED, change_facts.merged("market", "health"), (name, "(health)")),
        (kinds.DEPARTMENT_CHANGED, change_facts.closed("market"), (name, "撤销", "close")),
        (kinds.OFFICER, change_facts.officer(card("market-9", "market")), ("market-9", name)),
        (kinds.OFFICER_LEFT, change_facts.officer_left("market-1"), ("market-1", "离任", "leaves")),
        (
            kinds.CA,
            change_facts.ca(b"der", "机构", "Example CA"),
            ("机构", "Example CA", "SHA-256"),
        ),
        (kinds.CA_WITHDRAWN, change_facts.ca_withdrawn(b"der"), ("不再认可", "no longer")),
        (kinds.WITNESSES, change_facts.witnesses(POLICY), ("至少 1 家", "at least 1", "court")),
        (
            kinds.WITNESSES,
            change_facts.witnesses("quorum none\n", "power cut"),
            ("例外", "OVERRIDE", "不要求见证", "no witness", "power cut"),
        ),
    ]


def test_every_change_in_words(city: City) -> None:
    cases = facts_of(city)
    assert {kind for kind, _, _ in cases} == kinds.CHANGES
    for kind, facts, expected in cases:
        known = describe(kind, facts, authorities=city.authorities, types=city.type_names)
        for text in expected:
            assert any(text in words for words in known), (text, known)
        for zh, en in (known, describe(kind, facts)):  # away from the city too
            assert any("一" <= char <= "鿿" for char in zh)
            assert en.isascii() or "新名" in en
            assert "cannot be read" not in en


def test_one_certificate_is_one_certificate(city: City) -> None:
    made = make_key(city, "market", "es256")
    facts = {**change_facts.key("market", made.key, made.pop, [], NOW), "x5c": [b""]}
    assert describe(kinds.KEY, facts)[1].endswith("; with a chain of 1 certificate")


@pytest.mark.parametrize("kind", sorted(kinds.CHANGES))
@pytest.mark.parametrize("facts", [{}, {"key": 1, "act": "x", "id": None, "officers": [[]]}])
def test_what_does_not_fit_is_said_to_be_unreadable(kind: int, facts: dict[str, Any]) -> None:
    """Nobody is shown a smooth sentence about facts that mean nothing."""
    zh, en = describe(kind, facts)
    assert ("无法读懂" in zh and "cannot be read" in en) or kind == kinds.OFFICER_LEFT


@pytest.mark.parametrize("power", [40, 48, 63, 200, 40_000])
def test_any_integer_is_shown_as_a_time(power: int) -> None:
    """Of a register that holds one beyond every calendar, the rest can be read."""
    for seconds in (1 << power, -(1 << power)):
        sign = ">9999-12-31T23" if seconds > 0 else "<0001-01-01T00"
        assert china_time(seconds).startswith(sign)
    assert china_time(MAX_TIME - 1) == "9000-01-01T07:59:59+08:00"
    assert china_time(0) == "1970-01-01T08:00:00+08:00"


def test_an_ideographic_space_is_read_as_it_is() -> None:
    assert "新\u3000名" in describe(*_renamed("新\u3000名"))[0]


def _renamed(zh: str) -> tuple[int, dict[str, Any]]:
    return kinds.DEPARTMENT_CHANGED, change_facts.renamed("a", zh, "New")


def test_names_cannot_rewrite_what_is_read() -> None:
    """Neither a terminal's control codes nor a change of direction reaches who approves."""
    zh, en = describe(
        kinds.DEPARTMENT_CHANGED, change_facts.renamed("a", "\x1b[2J\n\u202e好", "x\ry")
    )
    for words in (zh, en):
        assert words.isprintable()
    assert "\ufffd[2J\ufffd\ufffd好" in zh
