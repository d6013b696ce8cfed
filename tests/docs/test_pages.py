"""Generated pages say what the code says; every code has words and appears."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, cell, error_classes


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str, repo: Path) -> None:
    page = repo / "docs" / name
    assert page.exists(), f"docs/{name} is missing: run `make docs`"
    assert page.read_text(encoding="utf-8") == PAGES[name](), f"docs/{name}: run `make docs`"


def test_every_error_code_is_in_the_page(repo: Path) -> None:
    page = (repo / "docs" / "errors.md").read_text(encoding="utf-8")
    classes = error_classes()
    assert {cls.__module__.partition(".")[0] for cls in classes} >= {"keys", "verifier"}
    for cls in classes:
        for code in cls.WORDS:
            assert f"| `{code}` |" in page, f"{cls.__name__} {code}: run `make docs`"


def test_codes_are_kebab_case_and_have_both_languages() -> None:
    for cls in error_classes():
        for code, (zh, en) in cls.__dict__["WORDS"].items():
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code), code
            assert re.search(r"[\u4e00-\u9fff]", zh), f"{code} has no Chinese words"
            assert re.search(r"[a-z]{2}", en), f"{code} has no English words"


def test_a_code_belongs_to_one_table() -> None:
    seen: dict[str, str] = {}
    for cls in error_classes():
        for code in cls.__dict__["WORDS"]:
            assert code not in seen, f"{code} is in {seen[code]} and in {cls.__name__}"
            seen[code] = cls.__name__


def test_cells_cannot_break_a_table() -> None:
    assert cell("a|b\n c") == "a\\|b c"
