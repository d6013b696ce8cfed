"""Evidence that a log signed two histories: one text file that anybody can check, offline.

    zhenglian/split-view@v1
    log <vkey>                   each key of the log that signed both checkpoints, ascending
    [witness <vkey> …]           each known witness that cosigned either, ascending
    [hash <base64> …]            where the sizes differ, see below

    <checkpoint A, a signed note>

    <checkpoint B, a signed note>

A is the smaller tree; of equal sizes A has the smaller root. An append-only log of B's size has one
tree of A's size in it. So the evidence is, of equal sizes, that the roots differ, and else
SUBPROOF(size of A, D[size of B], false) of RFC 9162 §2.1.4.1: hashes which give B's own root, so
that they are of the very tree that the log signed there, and give at A's size another root than
the one that the log signed there. A proof that does not give B's root proves nothing at all.

Nothing beside the log's key has to be trusted: no clock, no network, nobody's word.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from verifier.checkpoint import Checkpoint, checkpoint_of, parse_checkpoint
from verifier.codec import b64decode, b64encode
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, roots_from_consistency
from verifier.note import (
    MAX_NOTE_SIZE,
    MAX_SIGNATURES,
    Note,
    VerifierKey,
    parse_note,
    parse_vkey,
    verify_signatures,
)

HEADER: Final = b"zhenglian/split-view@v1\n"
MAX_LOG_KEYS: Final = 2
MAX_HASHES: Final = 64
MAX_HEAD: Final = 256 << 10
MAX_SPLIT_VIEW: Final = MAX_HEAD + 2 * MAX_NOTE_SIZE
_PARTS: Final = 5


@dataclass(frozen=True, slots=True)
class SplitView:
    """A parsed file, **not verified**. `first` and `second` are the notes, byte for byte."""

    log_keys: tuple[VerifierKey, ...]
    witnesses: tuple[VerifierKey, ...]
    hashes: tuple[bytes, ...]
    first: bytes
    second: bytes


class Cosigner(NamedTuple):
    """A line of another than the log. `timestamp`, Unix seconds, is None where the key is not
    known here, so that nobody can say whose line it is."""

    name: str
    timestamp: int | None


@dataclass(frozen=True, slots=True)
class TwoHistories:
    """What was proved: `log_keys` signed `first` and `second`, and no one history has both.

    `second_at_first` is the root of `second`'s tree at the size of `first`, which is not
    `first.root`. `trusted` is the key that the caller brought, None if the file's own word was
    taken. `cosigners` are of first and second.
    """

    log_keys: tuple[VerifierKey, ...]
    first: Checkpoint
    second: Checkpoint
    second_at_first: bytes
    trusted: VerifierKey | None
    cosigners: tuple[tuple[Cosigner, ...], tuple[Cosigner, ...]]

    @property
    def origin(self) -> str:
        return self.first.origin


def is_split_view(data: bytes) -> bool:
    """Whether a file calls itself one."""
    return data.startswith(HEADER)


def check_split_view(
    view: SplitView, trusted: VerifierKey | None = None, witnesses: Iterable[VerifierKey] = ()
) -> TwoHistories:
    """The log of these keys signed two histories.

    1. `trusted`, where given, is one of the log keys named (`split-view-other-key`).
    2. Each log key signed both notes, and their texts are checkpoints whose origin is the name of
       the key (refusals of `open_checkpoint`).
    3. Every line of a witness named holds, and each cosigned one of the two (`note-bad-signature`,
       `note-unsigned`). `witnesses` are further keys known to the caller.
    4. Of equal sizes the roots differ (`split-view-same-history`), and there are no hashes
       (`merkle-proof-length`).
    5. Else neither tree is empty (`merkle-out-of-range`: every log begins empty), and the hashes
       are of exactly the number that the sizes ask for (`merkle-proof-length`), give the root of
       the larger (`split-view-other-tree`), and another root than the smaller's at its size
       (`split-view-same-history`).
    """
    if trusted is not None and trusted not in view.log_keys:  # 1
        raise Refused("split-view-other-key", trusted.name)
    notes = parse_note(view.first), parse_note(view.second)
    first, second = (_signed_by_all(note, view.log_keys) for note in notes)  # 2
    known = tuple(dict.fromkeys((*view.witnesses, *witnesses)))
    cosigners = tuple(_cosigners(note, view.log_keys, known) for note in notes)  # 3
    signed = {one for note in notes for one in _signers(note, view.witnesses)}
    for witness in view.witnesses:
        if witness not in signed:
            raise Refused("note-unsigned", witness.name)
    if first.size == second.size:  # 4
        if view.hashes:
            raise Refused("merkle-proof-length", "sizes are equal")
        second_at_first = second.root
    else:  # 5
        second_at_first, root = roots_from_consistency(
            size1=first.size, size2=second.size, subproof=view.hashes
        )
        if root != second.root:
            raise Refused("split-view-other-tree", f"size {second.size}")
    if second_at_first == first.root:
        raise Refused("split-view-same-history", f"sizes {first.size} and {second.size}")
    return TwoHistories(
        view.log_keys, first, second, second_at_first, trusted, (cosigners[0], cosigners[1])
    )


def make_split_view(
    notes: tuple[bytes, bytes],
    log_keys: Sequence[VerifierKey],
    hashes: Sequence[bytes] = (),
    witnesses: Iterable[VerifierKey] = (),
) -> SplitView:
    """The evidence of two notes in either order, under those of `log_keys` that signed both, with
    those of `witnesses` that cosigned; checked: see `check_split_view` for refusals."""
    parsed = [(checkpoint_of(parse_note(note), log_keys[0]), note) for note in notes]
    parsed.sort(key=lambda one: (one[0].size, one[0].root))
    signed = [_signers(parse_note(note), log_keys) for note in notes]
    cosigned = [_signers(parse_note(note), list(witnesses)) for note in notes]
    view = SplitView(
        tuple(sorted(signed[0] & signed[1], key=VerifierKey.text)),
        tuple(sorted(cosigned[0] | cosigned[1], key=VerifierKey.text)),
        tuple(hashes),
        parsed[0][1],
        parsed[1][1],
    )
    check_split_view(view)
    return view


def format_split_view(view: SplitView) -> bytes:
    """The text form, inverse of `parse_split_view`."""
    lines = [f"log {key.text()}\n" for key in view.log_keys]
    lines += [f"witness {key.text()}\n" for key in view.witnesses]
    lines += [f"hash {b64encode(node)}\n" for node in view.hashes]
    return HEADER + "".join(lines).encode() + b"\n" + view.first + b"\n" + view.second


def parse_split_view(data: bytes) -> SplitView:
    """Reads the form; nothing is verified. Every file has one spelling.

    Refused: `split-view-malformed`, `too-large`, and what keys, hashes, notes and checkpoints are
    refused for.
    """
    if len(data) > MAX_SPLIT_VIEW:
        raise Refused("too-large", "split view")
    parts = data.split(b"\n\n", _PARTS)  # a checkpoint has no empty line: text, signatures, twice
    if not is_split_view(data) or len(parts) != _PARTS or len(parts[0]) > MAX_HEAD:
        raise Refused("split-view-malformed", "not a header and two checkpoints")
    try:
        lines = parts[0].decode().split("\n")[1:]
    except UnicodeDecodeError as error:
        raise Refused("split-view-malformed", "not UTF-8") from error
    words = [line.partition(" ") for line in lines]
    told: dict[str, list[str]] = {"log": [], "witness": [], "hash": []}
    for keyword, _, value in words:
        if keyword not in told:
            raise Refused("split-view-malformed", f"unknown line: {keyword[:24]}")
        told[keyword].append(value)
    if not 1 <= len(told["log"]) <= MAX_LOG_KEYS or len(told["witness"]) > 2 * MAX_SIGNATURES:
        raise Refused("split-view-malformed", "number of keys")
    if len(told["hash"]) > MAX_HASHES:
        raise Refused("split-view-malformed", "number of hashes")
    for vkeys in (told["log"], told["witness"]):
        if any(a >= b for a, b in pairwise(vkeys)):
            raise Refused("split-view-malformed", "keys out of order")
    view = SplitView(
        tuple(map(parse_vkey, told["log"])),
        tuple(map(parse_vkey, told["witness"])),
        tuple(b64decode(value, max_bytes=HASH_SIZE) for value in told["hash"]),
        parts[1] + b"\n\n" + parts[2] + b"\n",
        parts[3] + b"\n\n" + parts[4],
    )
    heads = [parse_checkpoint(parse_note(note).text) for note in (view.first, view.second)]
    ordered = [(head.size, head.root) for head in heads]
    if ordered[0] > ordered[1]:
        raise Refused("split-view-malformed", "checkpoints out of order")
    if format_split_view(view) != data:
        raise Refused("split-view-malformed", "lines out of order")
    return view


def _signed_by_all(note: Note, log_keys: Sequence[VerifierKey]) -> Checkpoint:
    verify_signatures(note, log_keys, at_least=max(1, len(log_keys)))
    checkpoints = [checkpoint_of(note, key) for key in log_keys]
    return checkpoints[0]


def _signers(note: Note, keys: Sequence[VerifierKey]) -> set[VerifierKey]:
    return {verified.key for verified in verify_signatures(note, keys, at_least=0)}


def _cosigners(
    note: Note, log_keys: Sequence[VerifierKey], known: Sequence[VerifierKey]
) -> tuple[Cosigner, ...]:
    verified = verify_signatures(note, known, at_least=0)
    ours = {(one.key.name, one.key.key_id): one.timestamp for one in verified}
    logs = {(key.name, key.key_id) for key in log_keys}
    lines = dict.fromkeys((line.name, line.key_id) for line in note.signatures)
    return tuple(
        Cosigner(name, ours.get((name, id))) for name, id in lines if (name, id) not in logs
    )
