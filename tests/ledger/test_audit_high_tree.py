"""Tampering in a tree of three levels of tiles, where full tiles stand below full tiles."""

from functools import cache

import pytest

from tests.ledger.audited import Found, Shown, found
from tests.ledger.cases_tree import flipped
from tests.ledger.logs import City, Files, bundles, log_files, tiles
from verifier.merkle import leaf_hash
from verifier.tiles import entries_path, tile_path

SIZE = 2 * 65_536 + 300


@cache
def _whole() -> tuple[tuple[bytes, ...], Files]:
    entries = tuple(b"%d" % index for index in range(SIZE))
    return entries, log_files(entries, City().log)


def shown(changes: Files) -> list[Found]:
    """What is found after `changes` to the files; the entries are no statements."""
    report = Shown(_whole()[1] | changes, []).audit(tree_only=True)
    assert report.size == SIZE
    return found(report)


def forged(index: int, *paths: str) -> Files:
    """The files of a log with one other entry, of which only these paths are put in place."""
    entries = list(_whole()[0])
    entries[index] = b"forged"
    start = index // 65_536 * 65_536
    part = entries[start : start + 65_536]
    assert start == 0
    made = bundles(part) | tiles(list(map(leaf_hash, part)))
    return {path: made[path] for path in paths}


def test_a_high_tree_is_clean() -> None:
    assert shown({}) == []


@pytest.mark.parametrize("path", [tile_path(1, 0), tile_path(1, 1), tile_path(2, 0, 2)])
def test_an_upper_tile_is_named(path: str) -> None:
    assert shown({path: flipped(_whole()[1][path], 99 % len(_whole()[1][path]))}) == [
        ("audit-tile-differs", None, path)
    ]


def test_an_entry_is_named() -> None:
    assert shown(forged(1_300, entries_path(5))) == [("audit-leaf-differs", 1_300, None)]


def test_an_entry_and_its_tile_are_named_by_the_tile_above() -> None:
    changes = forged(1_300, entries_path(5), tile_path(0, 5))
    assert shown(changes) == [("audit-leaf-differs", 1_280, None)]


def test_all_below_the_top_is_named_by_the_top() -> None:
    changes = forged(1_300, entries_path(5), tile_path(0, 5), tile_path(1, 0))
    assert shown(changes) == [("audit-leaf-differs", 0, None)]


def test_a_tile_and_the_one_above_it_are_named() -> None:
    """They agree with each other, and yet the entries have the signed root."""
    changes = forged(1_300, tile_path(0, 5), tile_path(1, 0))
    assert sorted(shown(changes), key=str) == [
        ("audit-tile-differs", None, tile_path(0, 5)),
        ("audit-tile-differs", None, tile_path(1, 0)),
    ]


def test_everything_rewritten_is_told_by_the_root() -> None:
    entries = list(_whole()[0])
    entries[1_300] = b"forged"
    files = log_files(entries, City().log) | {"checkpoint": _whole()[1]["checkpoint"]}
    report = Shown(files, []).audit(tree_only=True)
    assert found(report) == [("audit-root-differs", None, None)]
