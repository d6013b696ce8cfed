"""Our reader audits a log written by another program, checkpoint by checkpoint."""

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verifier import twin
from tests.verifier.helpers import frontier, refused
from verifier.checkpoint import Checkpoint, open_checkpoint
from verifier.merkle import check_consistency, check_inclusion, leaf_hash
from verifier.note import parse_vkey
from verifier.tiles import TileTree, encode_bundle, entries_path, parse_bundle, tile_path

VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
SIZES = range(16)


@pytest.fixture
def log(shared: Callable[[str], Path]) -> Path:
    return shared("vectors/tessera-posix-log")


def checkpoint(log: Path, size: int) -> Checkpoint:
    return open_checkpoint((log / f"checkpoint.{size}").read_bytes(), parse_vkey(VKEY))


def entries(log: Path, size: int) -> list[bytes]:
    return parse_bundle((log / entries_path(0, size)).read_bytes(), size) if size else []


def tree(log: Path, size: int) -> TileTree:
    return TileTree(size, lambda level, n, width: (log / tile_path(level, n, width)).read_bytes())


@pytest.mark.parametrize("size", SIZES)
def test_roots_from_entries_and_from_tiles(log: Path, size: int) -> None:
    head = checkpoint(log, size)
    assert (head.origin, head.size) == ("example.com/log/testdata", size)
    assert frontier(entries(log, size)).root() == head.root
    assert tree(log, size).root() == head.root
    assert twin.mth(entries(log, size)) == head.root


@pytest.mark.parametrize("size", SIZES[1:])
def test_entries_and_tiles_agree(log: Path, size: int) -> None:
    data = (log / entries_path(0, size)).read_bytes()
    assert encode_bundle(entries(log, size)) == data
    hashes = b"".join(map(leaf_hash, entries(log, size)))
    assert (log / tile_path(0, 0, size)).read_bytes() == hashes


def test_consistency_of_all_pairs(log: Path) -> None:
    heads = [checkpoint(log, size) for size in SIZES]
    for new in heads[1:]:
        for old in heads[1 : new.size + 1]:
            proof = tree(log, new.size).consistency_proof(old.size)
            check_consistency(
                size1=old.size, size2=new.size, root1=old.root, root2=new.root, proof=proof
            )
            with refused("merkle-root-mismatch"):
                check_consistency(
                    size1=old.size,
                    size2=new.size,
                    root1=heads[old.size - 1].root,
                    root2=new.root,
                    proof=proof,
                )


def test_inclusion_of_all_entries(log: Path) -> None:
    for size in SIZES[1:]:
        root = checkpoint(log, size).root
        for index, entry in enumerate(entries(log, size)):
            proof = tree(log, size).inclusion_proof(index)
            check_inclusion(index=index, size=size, leaf=leaf_hash(entry), proof=proof, root=root)


def test_a_changed_entry_is_seen(log: Path) -> None:
    changed = entries(log, 15)
    changed[7] += b"!"
    assert frontier(changed).root() != checkpoint(log, 15).root


def test_a_changed_checkpoint_is_seen(log: Path) -> None:
    data = (log / "checkpoint").read_bytes()
    assert data == (log / "checkpoint.15").read_bytes()
    root = data.split(b"\n")[2]
    assert len(b64decode(root)) == 32
    for changed in (
        data.replace(b"\n15\n", b"\n14\n"),
        data.replace(root, root[:5] + b"A" + root[6:]),
    ):
        assert changed != data
        with refused("note-bad-signature"):
            open_checkpoint(changed, parse_vkey(VKEY))
