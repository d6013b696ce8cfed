"""Tile paths, bundles, and proofs from tiles against the specification and the slow twin."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier import twin
from tests.verifier.helpers import refused
from verifier.errors import Refused
from verifier.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
)
from verifier.tiles import (
    MAX_ENTRY_SIZE,
    TilePath,
    TileTree,
    encode_bundle,
    entries_path,
    parse_bundle,
    parse_path,
    tile_path,
    tile_widths,
)

Shared = Callable[[str], Path]


class Log:
    """Rows of tile hashes by level, as a ledger would keep them; counts what is read."""

    def __init__(self, size: int, rows: list[list[bytes]]) -> None:
        self.size = size
        self.rows = rows
        self.reads: list[tuple[int, int, int]] = []

    def read(self, level: int, n: int, width: int) -> bytes:
        self.reads.append((level, n, width))
        full, partial = tile_widths(self.size, level)
        assert n < full + bool(partial), "a tile this tree does not have"
        assert width == (256 if n < full else partial)
        return b"".join(self.rows[level][256 * n : 256 * n + width])

    def tree(self) -> TileTree:
        return TileTree(self.size, self.read)


def grow(size: int) -> tuple[Log, Frontier]:
    """A log of `twin.entries(size)`, its tiles built by the frontier's reports."""
    rows: list[list[bytes]] = [[leaf_hash(entry) for entry in twin.entries(size)], [], []]

    def keep(level: int, index: int, node: bytes) -> None:
        if level % 8 == 0:
            assert len(rows[level // 8]) == index
            rows[level // 8].append(node)

    frontier = Frontier()
    frontier.extend(rows[0], keep)
    return Log(size, rows), frontier


def test_spec_examples(shared: Shared) -> None:
    spec = json.loads(shared("vectors/tiles/spec-examples.json").read_text())
    for case in spec["index_encoding"]:
        assert tile_path(0, case["index"]) == f"tile/0/{case['encoded']}"
        assert entries_path(case["index"]) == f"tile/entries/{case['encoded']}"
        assert parse_path(f"tile/3/{case['encoded']}.p/9") == (3, case["index"], 9)
    for case in spec["tree_sizes"]:
        for level in range(spec["max_level"] + 1):
            full, partial = case["full"].get(str(level), 0), case["partial"].get(str(level), 0)
            assert tile_widths(case["size"], level) == (full, partial)
    assert {case["size"] for case in spec["tree_sizes"]} == {256, 70000}


@given(
    st.none() | st.integers(0, 63),
    st.integers(0, MAX_SIZE) | st.sampled_from([0, 999, 1000, 10**6 - 1, 10**6]),
    st.integers(1, 256),
)
def test_paths_there_and_back(level: int | None, n: int, width: int) -> None:
    text = entries_path(n, width) if level is None else tile_path(level, n, width)
    assert parse_path(text) == TilePath(level, n, width)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/067",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/0/X001/067",
        "tile/0/x001/67",
        "tile/0/x01/067",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/",
        "tile/0/000.P/1",
        "tile/0/000xp/1",
        "tile/0/000\n",
        "tile/0/000.p/1\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/Entries/000",
        "tile/entries/../0/000",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/" + "x001/" * 30 + "000",
        "checkpoint",
    ],
)
def test_other_spellings_of_a_path(text: str) -> None:
    with refused("tile-path-malformed"):
        parse_path(text)


@pytest.mark.parametrize(
    ("level", "n", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)]
)
def test_no_path_for_what_cannot_be(level: int, n: int, width: int) -> None:
    with refused("tile-path-malformed"):
        tile_path(level, n, width)


@pytest.mark.parametrize(("size", "level"), [(-1, 0), (MAX_SIZE + 1, 0), (1, -1), (1, 64)])
def test_no_widths_out_of_range(size: int, level: int) -> None:
    with refused("merkle-out-of-range"):
        tile_widths(size, level)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_there_and_back(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert parse_bundle(data, len(entries)) == entries
    with refused("tile-bundle-malformed"):
        parse_bundle(data, len(entries) + 1)
    with refused("tile-bundle-malformed"):
        parse_bundle(data[:-1], len(entries))
    with refused("tile-bundle-malformed"):
        parse_bundle(data + b"\0", len(entries))
    with refused("tile-bundle-malformed"):
        parse_bundle(data, len(entries) - 1)


def test_bundle_layout_and_limits() -> None:
    assert encode_bundle([b"", b"ab"]) == b"\x00\x00\x00\x02ab"
    assert parse_bundle(encode_bundle([bytes(MAX_ENTRY_SIZE)]), 1) == [bytes(65535)]
    for entries in ([], [b""] * 257, [bytes(65536)]):
        with refused("tile-bundle-malformed"):
            encode_bundle(entries)
    for count in (-1, 0, 257):
        with refused("tile-bundle-malformed"):
            parse_bundle(b"", count)


@pytest.mark.parametrize("size", [*range(66), 255, 256, 257, 300])
def test_proofs_are_those_of_the_twin(size: int) -> None:
    entries = twin.entries(size)
    log, frontier = grow(size)
    assert log.tree().root() == twin.mth(entries) == frontier.root()
    for index in range(size) if size < 66 else {0, 1, 127, 128, 200, 254, size - 1}:
        assert log.tree().inclusion_proof(index) == twin.path(index, entries)
        assert log.tree().consistency_proof(index + 1) == twin.proof(index + 1, entries)


@pytest.fixture(scope="module")
def big() -> tuple[Log, Frontier]:
    """70,000 leaves: three levels of tiles, as in the specification's example."""
    return grow(70_000)


@given(st.data())
def test_proofs_in_a_big_tree(big: tuple[Log, Frontier], data: st.DataObject) -> None:
    rows = big[0].rows
    size2 = data.draw(st.integers(1, 70_000))
    size1 = data.draw(st.integers(1, size2))
    index = data.draw(st.integers(0, size1 - 1))
    old, new = Log(size1, rows), Log(size2, rows)
    root1, root2 = old.tree().root(), new.tree().root()
    old.reads.clear()
    new.reads.clear()
    proof = old.tree().inclusion_proof(index)
    check_inclusion(index=index, size=size1, leaf=rows[0][index], proof=proof, root=root1)
    proof = new.tree().consistency_proof(size1)
    check_consistency(size1=size1, size2=size2, root1=root1, root2=root2, proof=proof)
    for reads in (old.reads, new.reads):
        assert len(reads) == len(set(reads)) <= 5


def test_root_reads_each_tile_once(big: tuple[Log, Frontier]) -> None:
    log, frontier = Log(70_000, big[0].rows), big[1]
    assert log.tree().root() == frontier.root()
    assert sorted(log.reads) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]


def test_the_empty_tree_reads_nothing() -> None:
    log, _ = grow(0)
    assert log.tree().root() == EMPTY_ROOT
    with refused("merkle-out-of-range"):
        log.tree().inclusion_proof(0)
    assert log.reads == []


def test_questions_out_of_range() -> None:
    tree = grow(5)[0].tree()
    for index in (-1, 5):
        with refused("merkle-out-of-range"):
            tree.inclusion_proof(index)
    for size1 in (-1, 0, 6):
        with refused("merkle-out-of-range"):
            tree.consistency_proof(size1)
    for size in (-1, MAX_SIZE + 1):
        with refused("merkle-out-of-range"):
            TileTree(size, lambda _level, _n, _width: b"")


@pytest.mark.parametrize("change", [lambda tile: tile[:-1], lambda tile: tile + b"\0" * 32])
def test_tile_of_another_length(change: Callable[[bytes], bytes]) -> None:
    log, _ = grow(5)
    tree = TileTree(5, lambda *where: change(log.read(*where)))
    with pytest.raises(Refused, match=re.escape("tile/0/000.p/5")) as caught:
        tree.root()
    assert caught.value.code == "tile-malformed"


def test_what_the_reader_raises_goes_through() -> None:
    def read(level: int, n: int, width: int) -> bytes:
        raise FileNotFoundError(tile_path(level, n, width))

    with pytest.raises(FileNotFoundError, match="tile/0/000"):
        TileTree(5, read).root()
