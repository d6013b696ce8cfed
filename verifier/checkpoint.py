"""Checkpoints (C2SP tlog-checkpoint) and their cosignatures (C2SP tlog-cosignature).

    <origin>
    <tree size, canonical decimal>
    <root hash, base64>
    [<extension line> …]

The body above is the text of a signed note. The log signs it under a key named like its origin;
witnesses add lines of their own, stamped with the time they saw it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from verifier.codec import b64decode, b64encode, parse_decimal
from verifier.errors import Refused
from verifier.merkle import EMPTY_ROOT, HASH_SIZE, MAX_SIZE
from verifier.note import (
    Note,
    NoteSignature,
    NoteSigner,
    VerifierKey,
    cosignature_message,
    format_note,
    parse_note,
    sign_note,
    verify_note,
    verify_signatures,
)

__all__ = [
    "Checkpoint",
    "add_cosignatures",
    "checkpoint_of",
    "cosign",
    "cosignature_message",
    "is_checkpoint",
    "open_checkpoint",
    "parse_checkpoint",
    "sign_checkpoint",
]

MAX_BODY = 16 << 10


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: `size` leaves under `root` (32 bytes). Refused: `checkpoint-malformed`."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE:
            raise Refused("checkpoint-malformed", "size")
        if len(self.root) != HASH_SIZE or (not self.size and self.root != EMPTY_ROOT):
            raise Refused("checkpoint-malformed", "root")
        for line in (self.origin, *self.extensions):
            if not line or min(line) < " ":
                raise Refused("checkpoint-malformed", "empty line or control character")

    def body(self) -> str:
        """The note text, with its final newline."""
        lines = (self.origin, str(self.size), b64encode(self.root), *self.extensions, "")
        return "\n".join(lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Inverse of `Checkpoint.body`. It says nothing about signatures: see `open_checkpoint`.

    Refused: `checkpoint-malformed`, `too-large`, `decimal-malformed`, `base64-malformed`.
    """
    if len(text) > MAX_BODY:
        raise Refused("too-large", "checkpoint")
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:
        raise Refused("checkpoint-malformed", "fewer than three lines")
    return Checkpoint(
        origin=lines[0],
        size=parse_decimal(lines[1], max_value=MAX_SIZE),
        root=b64decode(lines[2], max_bytes=HASH_SIZE),
        extensions=tuple(lines[3:-1]),
    )


def is_checkpoint(data: bytes) -> bool:
    """Whether this has the form of a signed checkpoint; nothing is verified."""
    try:
        parse_checkpoint(parse_note(data).text)
    except Refused:
        return False
    return True


def open_checkpoint(
    data: bytes, log_key: VerifierKey, second: VerifierKey | None = None
) -> Checkpoint:
    """The checkpoint in a note signed by its log.

    1. The note parses and `log_key` signed it (refusals of `verifier.note`).
    2. So did `second`, the log's other key, where one is given (`checkpoint-second-signature`).
    3. The text is a checkpoint (refusals of `parse_checkpoint`).
    4. Its origin is the name of the key (`checkpoint-origin`).

    Whether enough witnesses saw it is `verifier.policy`'s question.
    """
    return checkpoint_of(parse_note(data), log_key, second)


def checkpoint_of(
    note: Note, log_key: VerifierKey, second: VerifierKey | None = None
) -> Checkpoint:
    """`open_checkpoint` for a note already parsed; the numbers are explained there."""
    verify_note(note, [log_key])  # 1
    if second is not None and not verify_signatures(note, [second], at_least=0):  # 2
        raise Refused("checkpoint-second-signature", second.name[:64])
    checkpoint = parse_checkpoint(note.text)  # 3
    if checkpoint.origin != log_key.name:  # 4
        raise Refused("checkpoint-origin", checkpoint.origin[:64])
    return checkpoint


def sign_checkpoint(
    checkpoint: Checkpoint, signers: Sequence[NoteSigner], timestamp: int | None = None
) -> bytes:
    """The note a log publishes; one of `signers` must bear the origin (`checkpoint-origin`).
    `timestamp`, Unix seconds, is for those that sign the time."""
    if all(signer.name != checkpoint.origin for signer in signers):
        raise Refused("checkpoint-origin", checkpoint.origin[:64])
    return sign_note(checkpoint.body(), signers, timestamp)


def cosign(body: str, timestamp: int, witness: NoteSigner) -> NoteSignature:
    """A witness's signature line over a checkpoint's body; `timestamp` in Unix seconds.

    The witness has checked before that the checkpoint is consistent with all it has seen.
    """
    parse_checkpoint(body)
    return witness.sign(body, timestamp)


def add_cosignatures(data: bytes, cosignatures: Sequence[NoteSignature]) -> bytes:
    """The note `data` with lines added; a line of the same name and key id is replaced."""
    note = parse_note(data)
    lines = {(line.name, line.key_id): line for line in (*note.signatures, *cosignatures)}
    return format_note(Note(note.text, tuple(lines.values())))
