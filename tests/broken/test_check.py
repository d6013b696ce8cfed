"""The check that follows every fault sees what it is there to see."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.ledger import Ledger
from ledger.model import Draft
from ledger.stores import open_store
from tests.broken import load
from tests.broken.check import Verdict, check
from tests.broken.summary import Outcome, table
from tests.broken.writers import Said, founded, open_ledger
from tests.ledger.appender import note_all
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.merkle import leaf_hash


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    founded(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    path = shutil.copy(template, tmp_path / "ledger.db")
    return f"sqlite:///{path}"


def logged(url: str, act: Callable[[Ledger], object]) -> None:
    store = open_store(url)
    with open_ledger(store) as ledger:
        act(ledger)
    store.close()


def told(url: str) -> Said:
    """Three licences with domain rows, and the checkpoint that covers them."""
    said = Said()

    def act(ledger: Ledger) -> None:
        for a in ledger.append(load.licences("one", 0, 3), note_all).appended:
            said.hear(f"r {a.index} {a.leaf_hash.hex()}")
        said.hear(f"c {ledger.checkpoint().hex()}")

    logged(url, act)
    return said


def test_a_whole_log_is_whole(url: str) -> None:
    said = told(url)
    verdict = check(url, said)
    assert verdict.ok, verdict
    assert (verdict.acknowledged, verdict.lost, verdict.doubled) == (3, 0, 0)
    assert verdict.checkpoints == 1
    assert verdict.entries == len(load.base()) + 3


def test_an_entry_that_is_not_there_is_lost(url: str) -> None:
    said = told(url)
    index = said.acknowledged[-1][0]
    said.hear(f"a {index + 1} {leaf_hash(b'never logged').hex()}")
    assert check(url, said).lost == 1


def test_an_entry_that_is_another_is_lost(url: str) -> None:
    said = told(url)
    said.acknowledged[-1] = (said.acknowledged[-1][0], leaf_hash(b"another"))
    assert check(url, said).lost == 1


def test_an_entry_said_to_be_in_two_places_is_doubled(url: str) -> None:
    said = told(url)
    index, leaf = said.acknowledged[-1]
    said.hear(f"a {index - 1} {leaf.hex()}")
    assert check(url, said).doubled == 1


@pytest.mark.parametrize("size", [3, 1000])
def test_a_checkpoint_of_another_history_is_seen(url: str, size: int) -> None:
    said = told(url)
    other = Checkpoint(load.city().origin, size, bytes(32))
    said.notes.add(sign_checkpoint(other, [load.city().log]))
    assert any("another history" in words for words in check(url, said).wrong)


def test_what_no_key_signed_fails_the_audit(url: str) -> None:
    logged(url, lambda ledger: ledger.append([Draft(b"not a statement", 16, "market")]))
    assert any("audit" in words for words in check(url, Said()).wrong)


def test_a_domain_row_that_is_missing_is_seen(url: str) -> None:
    said = told(url)
    said.with_rows.append(len(load.base()) + 3)
    assert any("domain rows" in words for words in check(url, said).wrong)


def test_a_part_without_faults_is_no_success() -> None:
    assert not Outcome("idle").ok
    assert "no fault was met" in table([Outcome("idle")])
    assert not Outcome("silent", faults=1).ok
    assert Outcome("busy", faults=1, verdict=Verdict(acknowledged=1)).ok
    assert not Outcome("lossy", faults=1, verdict=Verdict(acknowledged=1, lost=1)).ok


def test_a_row_that_is_kept_is_the_same_row() -> None:
    verdict = Verdict(acknowledged=3, wrong=["one"])
    row = Outcome("part", 2, verdict, Counter({"ledger-busy": 4}), 1.5, "")
    assert Outcome.from_json(row.to_json()) == row
