"""Subtrees of a log's tree, and that they belong to a larger one.

A subtree is the Merkle tree over the leaves `[start, end)`, where `start` is a multiple of the
smallest power of two that is not below `end - start`; so it is a node of every tree that has all
its leaves, or would be one with the leaves that follow.

    [8, 13) in a tree of 14        the node over 8 … 15 is over 8 … 13 so far
                                   [8, 13) = [8, 12) + [12, 13)
                                   proof: 12, 13, [8, 12), [0, 8)

Sources: draft-ietf-plants-merkle-tree-certs-03 §4 (subtrees, their consistency proofs);
C2SP tlog-cosignature (`subtree/v1`).
"""

from collections.abc import Sequence
from hashlib import sha256

from keys.errors import KeysError
from keys.suites import SUITES
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, MAX_SIZE
from verifier.note import MLDSA44, TYPES, NoteSignature, VerifierKey, subtree_message

_STAMP_SIZE = 8


def check_range(start: int, end: int, size: int) -> None:
    """`[start, end)` is a subtree, and has leaves of a tree of `size`. `merkle-out-of-range`."""
    if not 0 <= start < end <= size <= MAX_SIZE or start % (1 << _height(start, end)):
        raise Refused("merkle-out-of-range", f"[{start}, {end}) of {size}")


def check_subtree(
    *, start: int, end: int, size: int, subroot: bytes, root: bytes, proof: Sequence[bytes]
) -> None:
    """The subtree `[start, end)` with root `subroot` is of the tree (`size`, `root`).

    The walk starts at `subroot` where that is a node of the tree: the subtree is full, or ends
    where the tree does. Else it starts at the first hash of the proof, the subtree's last full
    part. Going up, hashes on the left that are leaves of the subtree belong to both, all others
    to the tree alone. From `start` 0 this is the proof of RFC 9162 §2.1.4, for one leaf that of
    §2.1.3. Refused: `merkle-out-of-range`, `merkle-proof-length`, `merkle-hash-size`,
    `merkle-root-mismatch`.
    """
    check_range(start, end, size)
    for value in (subroot, root, *proof):
        if len(value) != HASH_SIZE:
            raise Refused("merkle-hash-size", f"{len(value)} bytes")
    height, width = _height(start, end), end - start
    whole = end == size or width == 1 << height
    level = height if whole else (width & -width).bit_length() - 1
    path, last = (end - 1) >> level, (size - 1) >> level
    siblings = _siblings(path, last)
    if len(proof) != len(siblings) + (not whole):
        raise Refused("merkle-proof-length", f"{len(proof)} hashes")
    old = new = subroot if whole else proof[0]
    for (above, on_left), sibling in zip(siblings, proof[not whole :], strict=True):
        if not on_left:
            new = sha256(b"\x01" + new + sibling).digest()
            continue
        new = sha256(b"\x01" + sibling + new).digest()
        if level + above < height:
            old = sha256(b"\x01" + sibling + old).digest()
    if old != subroot or new != root:
        raise Refused("merkle-root-mismatch", "subtree")


def verify_subtree(
    key: VerifierKey, line: NoteSignature, *, origin: str, start: int, end: int, root: bytes
) -> None:
    """`line` is `key`'s signature, with the timestamp 0, of that subtree of the log `origin`.

    Refused: `note-unsigned` (the line is another key's), `note-key-type`, `note-bad-signature`.
    """
    if (line.name, line.key_id) != (key.name, key.key_id):
        raise Refused("note-unsigned", line.name[:64])
    if key.type != MLDSA44:
        raise Refused("note-key-type", f"{key.type:#04x} signs no subtrees")
    stamp, signature = line.signature[:_STAMP_SIZE], line.signature[_STAMP_SIZE:]
    message = subtree_message(key.name, 0, origin=origin, start=start, end=end, root=root)
    try:
        if stamp != bytes(_STAMP_SIZE):
            raise Refused("note-bad-signature", f"{key.name}: it says a time")
        SUITES[TYPES[key.type].cose_alg].verify(key.public, message, signature)
    except KeysError as error:
        raise Refused("note-bad-signature", key.name) from error


def _height(start: int, end: int) -> int:
    return (end - start - 1).bit_length()


def _siblings(path: int, last: int) -> list[tuple[int, bool]]:
    """Where, from a node up, there are siblings: how many levels above it, and on its left or not.

    `path` is the node's number among those of its height, `last` that of the last one, which has
    none on its right.
    """
    found = []
    for above in range(last.bit_length()):
        node = path >> above
        if node & 1:
            found.append((above, True))
        elif node < last >> above:
            found.append((above, False))
    return found
