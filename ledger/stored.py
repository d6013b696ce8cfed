"""What a store holds, read as a tree, and whether it fits together."""

from ledger.errors import LedgerError
from ledger.model import Head, Published
from ledger.publisher import read_published
from ledger.stores.base import Reader
from verifier.checkpoint import Checkpoint, open_checkpoint
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, Frontier
from verifier.note import VerifierKey
from verifier.tiles import FULL_WIDTH, TileTree


def stored_tree(reader: Reader, size: int) -> TileTree:
    """The tree of the first `size` entries, from the store's tiles."""
    return TileTree(size, lambda level, n, width: stored_tile(reader, level, n, width))


def stored_tile(reader: Reader, level: int, n: int, width: int) -> bytes:
    """The first `width` hashes of a tile. Error: `ledger-inconsistent` if there are fewer."""
    if level:
        data = reader.tile(level, n)[: width * HASH_SIZE]
    else:
        data = b"".join(reader.leaf_hashes(n * FULL_WIDTH, width))
    if len(data) != width * HASH_SIZE:
        raise LedgerError("ledger-inconsistent", f"tile {level}/{n} has {len(data)} bytes")
    return data


def check_head(reader: Reader, head: Head) -> None:
    """Entries, frontier and tiles give the head. Error: `ledger-inconsistent`."""
    last = reader.last_index()
    if (-1 if last is None else last) != head.size - 1:
        raise LedgerError("ledger-inconsistent", f"size {head.size}, last entry {last}")
    try:
        from_edge = Frontier(head.size, head.frontier).root()
    except Refused as error:
        raise LedgerError("ledger-inconsistent", f"frontier: {error}") from error
    if from_edge != head.root or stored_tree(reader, head.size).root() != head.root:
        raise LedgerError("ledger-inconsistent", "the root does not match its tiles")


def check_published(
    reader: Reader, head: Head, published: Published, origin: str, key: VerifierKey | None
) -> None:
    """A checkpoint in the store is of this log and of this tree: `ledger-origin-mismatch`,
    `ledger-wrong-key`, `ledger-rolled-back`, `ledger-forked`."""
    try:
        checkpoint: Checkpoint = read_published(published)
        if checkpoint.origin != origin:
            raise LedgerError("ledger-origin-mismatch", f"{checkpoint.origin}, not {origin}")
        if key is not None:
            open_checkpoint(published.note, key)
    except Refused as error:
        raise LedgerError("ledger-wrong-key", str(error)) from error
    if checkpoint.size > head.size:
        raise LedgerError("ledger-rolled-back", f"size {head.size}, published {checkpoint.size}")
    if stored_tree(reader, checkpoint.size).root() != checkpoint.root:
        raise LedgerError("ledger-forked", f"size {checkpoint.size}")
