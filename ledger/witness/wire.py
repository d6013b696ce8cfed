"""The bodies of requests to a witness (C2SP tlog-witness), for both ends of the wire.

    old <size>                          subtree <start> <end>
    <hash of the proof, base64>         <hash of the subtree, base64>
    … at most 63                        <signature line over the subtree> … at most 8
    <empty line>                        <hash of the proof, base64> … at most 63
    <checkpoint, a signed note>         <empty line>
                                        <checkpoint, with at most 8 signatures or none>

One value, one spelling; the whole is bounded before anything is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.witness.errors import WitnessError
from verifier.checkpoint import Checkpoint, parse_checkpoint
from verifier.codec import b64decode, b64encode, parse_decimal
from verifier.errors import Refused
from verifier.merkle import EMPTY_ROOT, HASH_SIZE
from verifier.note import Note, NoteSignature, parse_note

MAX_REQUEST = 128 << 10
"""Bytes of a request. 63 hashes take 3 KiB, a checkpoint with eight ML-DSA-44 lines 27 KiB."""
MAX_PROOF = 63
MAX_SUBTREE_SIGNATURES = 8
MAX_REFERENCE_SIGNATURES = 8
_DASH = "\u2014 "


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A parsed `add-checkpoint`; nothing is verified.

    `wrong_empty_root`: the checkpoint is of size 0 and its root is not the empty tree's, which
    `checkpoint` cannot say.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint
    wrong_empty_root: bool = False


@dataclass(frozen=True, slots=True)
class SignSubtree:
    """A parsed `sign-subtree`; nothing is verified. The leaves are `[start, end)`."""

    start: int
    end: int
    root: bytes
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...] = ()


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Refused: `witness-request`, `witness-request-too-large`."""
    head, reference = _split(body)
    try:
        old_size = parse_decimal(_after("old ", head[0]))
        proof = _hashes(head[1:])
        note = _signed(reference)
        wrong = _wrong_empty_root(note.text)
        checkpoint = parse_checkpoint(_with_empty_root(note.text) if wrong else note.text)
    except Refused as error:
        raise WitnessError("witness-request", str(error)) from error
    return AddCheckpoint(old_size, proof, note, checkpoint, wrong)


def format_add_checkpoint(old_size: int, proof: Sequence[bytes], checkpoint: bytes) -> bytes:
    """What a log posts: its signed `checkpoint`, and the RFC 9162 `proof` from `old_size` to it."""
    return _joined([f"old {old_size}", *map(b64encode, proof)], checkpoint)


def parse_sign_subtree(body: bytes) -> SignSubtree:
    """Refused: `witness-request`, `witness-request-too-large`."""
    head, reference = _split(body)
    try:
        first, _, last = _after("subtree ", head[0]).partition(" ")
        start, end = parse_decimal(first), parse_decimal(last)
        if len(head) < 2:
            raise WitnessError("witness-request", "no hash of the subtree")
        root = _hash(head[1])
        count = 2
        while count < len(head) and head[count].startswith(_DASH):
            count += 1
        signatures = _signature_lines(head[2:count])
        proof = _hashes(head[count:])
        note = _reference(reference)
        checkpoint = parse_checkpoint(note.text)
    except Refused as error:
        raise WitnessError("witness-request", str(error)) from error
    return SignSubtree(start, end, root, proof, note, checkpoint, signatures)


def format_sign_subtree(
    start: int,
    end: int,
    root: bytes,
    proof: Sequence[bytes],
    checkpoint: bytes,
    signatures: Sequence[NoteSignature] = (),
) -> bytes:
    """Inverse of `parse_sign_subtree`; `checkpoint` is a note, or the text of one alone."""
    lines = [line.line()[:-1] for line in signatures]
    head = [f"subtree {start} {end}", b64encode(root), *lines, *map(b64encode, proof)]
    return _joined(head, checkpoint)


def _joined(head: Sequence[str], rest: bytes) -> bytes:
    return ("\n".join(head) + "\n\n").encode() + rest


def _split(body: bytes) -> tuple[list[str], bytes]:
    if len(body) > MAX_REQUEST:
        raise WitnessError("witness-request-too-large", f"above {MAX_REQUEST} bytes")
    head, separator, rest = body.partition(b"\n\n")
    if not separator:
        raise WitnessError("witness-request", "no empty line")
    try:
        return head.decode("utf-8").split("\n"), rest
    except UnicodeDecodeError as error:
        raise WitnessError("witness-request", "not UTF-8") from error


def _after(word: str, line: str) -> str:
    if not line.startswith(word):
        raise WitnessError("witness-request", f"the first line is not '{word}…'")
    return line.removeprefix(word)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > MAX_PROOF:
        raise WitnessError("witness-request", f"a proof of {len(lines)} hashes")
    return tuple(map(_hash, lines))


def _hash(line: str) -> bytes:
    data = b64decode(line, max_bytes=HASH_SIZE)
    if len(data) != HASH_SIZE:
        raise WitnessError("witness-request", f"a hash of {len(data)} bytes")
    return data


def _signature_lines(lines: Sequence[str]) -> tuple[NoteSignature, ...]:
    if len(lines) > MAX_SUBTREE_SIGNATURES:
        raise WitnessError("witness-request", f"{len(lines)} signatures of the subtree")
    if not lines:
        return ()
    return parse_note(("-\n\n" + "\n".join(lines) + "\n").encode()).signatures


def _signed(data: bytes) -> Note:
    """The note; without any signature where one of them cannot be read: then none counts, which is
    another refusal (403) than that of a malformed text (400)."""
    try:
        return parse_note(data)
    except Refused as error:
        if error.code not in ("base64-malformed", "note-signature-malformed"):
            raise
    return Note(data.decode().rpartition("\n\n")[0] + "\n", ())


def _reference(data: bytes) -> Note:
    """A signed note, or a checkpoint's text without signatures, which ends with its newline."""
    if b"\n\n" in data:
        note = parse_note(data)
        if len(note.signatures) > MAX_REFERENCE_SIGNATURES:
            raise WitnessError("witness-request", f"{len(note.signatures)} signatures")
        return note
    try:
        return Note(data.decode("utf-8"), ())
    except UnicodeDecodeError as error:
        raise WitnessError("witness-request", "not UTF-8") from error


def _wrong_empty_root(text: str) -> bool:
    lines = text.split("\n")
    return len(lines) > 3 and lines[1] == "0" and _hash(lines[2]) != EMPTY_ROOT


def _with_empty_root(text: str) -> str:
    lines = text.split("\n")
    return "\n".join([*lines[:2], b64encode(EMPTY_ROOT), *lines[3:]])
