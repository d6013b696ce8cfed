"""Proofs that an entry is in a log (C2SP tlog-proof), as text and as CBOR for QR codes.

Text:                                   CBOR:
    c2sp.org/tlog-proof@v1                  [index,
    [extra <base64>]                         hashes, one after the other,
    index <decimal>                          [size, root, [[key name, key id || signature], …]]]
    <hash, base64>
    …

    <checkpoint, a signed note>

The CBOR form never carries the checkpoint's text. The text is rebuilt from its parts, and the
signatures are then checked over the rebuilt bytes. The first signature is the log's, and its key
name the origin; there is no room for extra data, extension lines, or signatures as long as those
of ML-DSA, which the text form keeps.
"""

from dataclasses import dataclass
from typing import Any

from verifier.checkpoint import Checkpoint, checkpoint_of, parse_checkpoint
from verifier.codec import b64decode, b64encode, parse_decimal
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, MAX_SIZE, check_inclusion, leaf_hash
from verifier.note import (
    MAX_NOTE_SIZE,
    MAX_SIGNATURES,
    Note,
    NoteSignature,
    VerifierKey,
    format_note,
    parse_note,
)
from verifier.policy import Policy

MAX_HASHES = 63
MAX_EXTRA = 64 << 10
_HEADER = "c2sp.org/tlog-proof@v1"
_MAX_HEAD = 128 << 10
_KEY_ID_SIZE = 4
_MAX_SIGNATURE = 128  # bytes, in the CBOR form


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A parsed proof, **not verified**: inclusion hashes from the leaf up, and a signed note.

    `extra` is outside every signature and never evidence of anything.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_SIZE:
            raise Refused("proof-malformed", "index")
        if len(self.hashes) > MAX_HASHES or any(len(h) != HASH_SIZE for h in self.hashes):
            raise Refused("proof-malformed", "hashes")
        if not self.checkpoint or len(self.checkpoint) > MAX_NOTE_SIZE:
            raise Refused("proof-malformed", "checkpoint")
        if len(self.extra) > MAX_EXTRA:
            raise Refused("too-large", "extra data")


def check_proof(
    proof: TlogProof, entry: bytes, log_key: VerifierKey, policy: Policy | None
) -> Checkpoint:
    """The entry is in the log, under a checkpoint that counts; returns that checkpoint.

    1. The note parses, `log_key` signed it, and its text is a checkpoint whose origin is the
       name of that key (refusals of `open_checkpoint`).
    2. It satisfies `policy`, where one is given (refusals of `Policy.check`).
    3. The entry's leaf hash, computed here, is at `index` under the checkpoint's size and root
       (`merkle-out-of-range`, `merkle-proof-length`, `merkle-root-mismatch`).
    """
    note = parse_note(proof.checkpoint)
    checkpoint = checkpoint_of(note, log_key)  # 1
    if policy is not None:
        policy.check(note)  # 2
    check_inclusion(  # 3
        index=proof.index,
        size=checkpoint.size,
        leaf=leaf_hash(entry),
        proof=proof.hashes,
        root=checkpoint.root,
    )
    return checkpoint


def format_proof(proof: TlogProof) -> bytes:
    """The text form, a `.tlog-proof` file."""
    lines = [_HEADER]
    if proof.extra:
        lines.append(f"extra {b64encode(proof.extra)}")
    lines.append(f"index {proof.index}")
    lines += map(b64encode, proof.hashes)
    return "\n".join([*lines, "", ""]).encode() + proof.checkpoint


def parse_proof(text: bytes) -> TlogProof:
    """Inverse of `format_proof`. The checkpoint is kept verbatim; `check_proof` reads it.

    Refused: `proof-malformed`, `too-large`, `decimal-malformed`, `base64-malformed`.
    """
    if len(text) > _MAX_HEAD + MAX_NOTE_SIZE:
        raise Refused("too-large", "proof")
    head, separator, checkpoint = text.partition(b"\n\n")
    if not separator or len(head) > _MAX_HEAD or not head.isascii():
        raise Refused("proof-malformed", "no checkpoint")
    lines = head.decode("ascii").split("\n")
    if lines[0] != _HEADER:
        raise Refused("proof-malformed", "first line")
    position, extra = 1, b""
    if position < len(lines) and lines[position].startswith("extra "):
        extra = b64decode(lines[position].removeprefix("extra "), max_bytes=MAX_EXTRA)
        position += 1
        if not extra:
            raise Refused("proof-malformed", "empty extra line")
    if position >= len(lines) or not lines[position].startswith("index "):
        raise Refused("proof-malformed", "no index")
    index = parse_decimal(lines[position].removeprefix("index "), max_value=MAX_SIZE)
    if len(lines) - position - 1 > MAX_HASHES:
        raise Refused("proof-malformed", "hashes")
    hashes = tuple(b64decode(line, max_bytes=HASH_SIZE) for line in lines[position + 1 :])
    return TlogProof(index, hashes, checkpoint, extra)


def proof_to_cbor(proof: TlogProof) -> list[Any]:
    """The value to be put in CBOR. Refused: `proof-not-compact` if something has no place there."""
    note = parse_note(proof.checkpoint)
    checkpoint = parse_checkpoint(note.text)
    if proof.extra or checkpoint.extensions or note.signatures[0].name != checkpoint.origin:
        raise Refused("proof-not-compact")
    signatures = [
        [line.name, line.key_id.to_bytes(_KEY_ID_SIZE, "big") + line.signature]
        for line in note.signatures
        if len(line.signature) <= _MAX_SIGNATURE
    ]
    return [proof.index, b"".join(proof.hashes), [checkpoint.size, checkpoint.root, signatures]]


def proof_from_cbor(value: object) -> TlogProof:
    """Inverse of `proof_to_cbor`: rebuilds the checkpoint's note byte for byte.

    Refused: `proof-malformed`, `checkpoint-malformed`, and what `format_note` refuses.
    """
    match value:
        case [int(index), bytes(path), [int(size), bytes(root), [[str(origin), _], *_] as lines]]:
            pass
        case _:
            raise Refused("proof-malformed", "shape")
    if type(index) is bool or type(size) is bool:
        raise Refused("proof-malformed", "a number is a boolean")
    if len(path) % HASH_SIZE or len(lines) > MAX_SIGNATURES:
        raise Refused("proof-malformed", "hashes or signatures")
    hashes = tuple(path[at : at + HASH_SIZE] for at in range(0, len(path), HASH_SIZE))
    note = Note(Checkpoint(origin, size, root).body(), tuple(map(_signature, lines)))
    return TlogProof(index, hashes, format_note(note))


def _signature(value: object) -> NoteSignature:
    match value:
        case [str(name), bytes(data)] if len(data) > _KEY_ID_SIZE:
            key_id = int.from_bytes(data[:_KEY_ID_SIZE], "big")
            return NoteSignature(name, key_id, data[_KEY_ID_SIZE:])
    raise Refused("proof-malformed", "signature")
