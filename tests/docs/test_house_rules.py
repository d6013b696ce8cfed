"""What every document and every file of the project keeps to."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
DECISIONS = sorted((REPO / "docs" / "decisions").glob("*.md"))
PAGES = sorted([*REPO.glob("*.md"), *REPO.glob("docs/**/*.md")])

# Split, so that this file does not break its own rule.
MACHINE_PATHS = ("/" + "work/", "/" + "root/", "/" + "home/", "/" + "Users/", "/" + "tmp/bash")
REGISTRIES = (
    "pypi" + ".org", "python" + "hosted", "npm" + "js.", "crates" + ".io", "proxy.go" + "lang",
    "repo1." + "maven", "deb." + "debian", "find-" + "links", "--index" + "-url",
)  # fmt: skip
PRIVATE_KEY = "PRIVATE" + " KEY-----"


def tracked() -> list[Path]:
    """Files git knows of, or those it would: new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        check=True,
    ).stdout
    paths = (REPO / name.decode() for name in listed.split(b"\0") if name)
    return [path for path in paths if path.is_file()]


def offences(text: str, patterns: Iterable[str]) -> list[str]:
    return [pattern for pattern in patterns if pattern in text]


def test_no_file_names_a_machine_a_registry_or_a_private_key() -> None:
    files = tracked()
    assert len(files) > 20
    found = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        patterns = (*MACHINE_PATHS, *REGISTRIES, PRIVATE_KEY)
        found += [f"{path.relative_to(REPO)}: {hit}" for hit in offences(text, patterns)]
    assert found == []


@pytest.mark.parametrize("pattern", [*MACHINE_PATHS, *REGISTRIES])
def test_an_offence_is_seen(pattern: str) -> None:
    assert offences(f"see {pattern}x", (*MACHINE_PATHS, *REGISTRIES)) == [pattern]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_files_carry_hashes_and_no_address(name: str) -> None:
    text = (REPO / name).read_text(encoding="utf-8")
    assert "://" not in text
    pins = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(pins) > 20
    for pin in pins:
        assert re.match(r"[a-z0-9.\-]+==\S+", pin), pin
        assert "--hash=sha256:" in pin, pin


def test_changelog_has_an_unreleased_section() -> None:
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[?Unreleased\]?", changelog, flags=re.MULTILINE)


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decision_is_dated_and_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.fullmatch(r"\d{4}-[a-z0-9]+(-[a-z0-9]+)*\.md", path.name)
    assert text.startswith(f"# {path.name[:4]} ")
    assert re.search(r"^Date: 20\d\d-[01]\d-[0-3]\d$", text, flags=re.MULTILINE)
    for heading in ("Context", "Decision", "Evidence", "Consequences"):
        assert f"\n## {heading}\n" in text, heading
    assert len(text.splitlines()) <= 120


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as the usual Markdown viewers make them."""
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in headings}


def broken_links(page: Path) -> list[str]:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file) if file else page
        if not there.exists() or (
            anchor and anchor not in anchors(there.read_text(encoding="utf-8"))
        ):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPO)))
def test_internal_links_exist(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A b\n[1](none.md) [2](#a-b) [3](#c) [4](page.md#a-b)\n", encoding="utf-8")
    assert broken_links(page) == ["none.md", "#c"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPO)))
def test_make_targets_named_in_documents_exist(page: Path) -> None:
    makefile = (REPO / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?\bmake ([a-z][a-z-]*)`", page.read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"
