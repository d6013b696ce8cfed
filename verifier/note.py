"""Signed notes (C2SP signed-note): a text, and lines of signatures over it.

    <text, ending in a newline>
    <empty line>
    — <key name> base64(key id, 4 bytes big-endian || signature)
    …

Order of work: `parse_note`, then `verify_note` with the keys one trusts, only then read the text.
Signatures of unknown keys are ignored; a known key whose signature fails spoils the whole note.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from keys.errors import KeysError
from keys.signer import Signer
from keys.suites import SUITES
from verifier.codec import b64decode, b64encode, parse_decimal
from verifier.errors import Refused

MAX_NOTE_SIZE = 1 << 20
MAX_SIGNATURES = 64
MAX_SIGNATURE_SIZE = 16 << 10
MAX_NAME = 1024
MAX_TIMESTAMP = 2**63 - 1
ED25519, COSIGNATURE, MLDSA44 = 0x01, 0x04, 0x06
"""Types of signatures: see `TYPES`."""
_MAX_VKEY = 16 << 10
_KEY_ID_SIZE = 4
_STAMP_SIZE = 8
_HASH_SIZE = 32
_MAX_COSIGNED_NAME = 255
_DASH = "\u2014 "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def cosignature_message(timestamp: int, body: str) -> bytes:
    """What an Ed25519 cosignature signs (C2SP tlog-cosignature); `timestamp` in Unix seconds."""
    if not 0 <= timestamp <= MAX_TIMESTAMP:
        raise Refused("note-timestamp", str(timestamp))
    return f"cosignature/v1\ntime {timestamp}\n{body}".encode()


def subtree_message(
    name: str, timestamp: int, *, origin: str, start: int, end: int, root: bytes
) -> bytes:
    """What an ML-DSA-44 cosignature signs: `cosigned_message` of C2SP tlog-cosignature.

    `name` is the cosigner's, `[start, end)` the leaves below the 32-byte `root`; of a checkpoint
    `start` is 0 and `end` its size. `timestamp`, Unix seconds, is 0 where the cosigner does not
    say that this is the largest tree it has seen, and always where `start` is not 0.
    Refused: `note-timestamp`, `note-key-name`, `checkpoint-malformed`.
    """
    if not 0 <= timestamp <= MAX_TIMESTAMP or (start and timestamp):
        raise Refused("note-timestamp", str(timestamp))
    if not 0 <= start <= end <= MAX_TIMESTAMP or len(root) != _HASH_SIZE:
        raise Refused("checkpoint-malformed", f"[{start}, {end})")
    parts = (
        b"subtree/v1\n\0",
        _opaque(name, "note-key-name"),
        timestamp.to_bytes(8, "big"),
        _opaque(origin, "checkpoint-malformed"),
        start.to_bytes(8, "big"),
        end.to_bytes(8, "big"),
        root,
    )
    return b"".join(parts)


def _opaque(text: str, code: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= _MAX_COSIGNED_NAME:
        raise Refused(code, text[:64])
    return len(data).to_bytes(1, "big") + data


def _checkpoint_message(name: str, timestamp: int, text: str) -> bytes:
    """`subtree_message` of a checkpoint's text; its extension lines are not signed."""
    lines = text.split("\n", 3)
    if len(lines) != 4:
        raise Refused("checkpoint-malformed", "fewer than three lines")
    size = parse_decimal(lines[1], max_value=MAX_TIMESTAMP)
    root = b64decode(lines[2], max_bytes=_HASH_SIZE)
    return subtree_message(name, timestamp, origin=lines[0], start=0, end=size, root=root)


class SignatureType(NamedTuple):
    """How a type of note signature is made: its suite, and the message it signs.

    `message(key name, timestamp, text)`; a `stamped` signature begins with its timestamp, 8 bytes
    big-endian, and for others the timestamp is 0.
    """

    cose_alg: int
    stamped: bool
    message: Callable[[str, int, str], bytes]


TYPES: Mapping[int, SignatureType] = {
    ED25519: SignatureType(-19, False, lambda _name, _at, text: text.encode()),
    COSIGNATURE: SignatureType(-19, True, lambda _name, at, text: cosignature_message(at, text)),
    MLDSA44: SignatureType(-48, True, _checkpoint_message),
}
"""Types of note signatures understood here, by their identifier byte (C2SP signed-note): Ed25519
over the text, Ed25519 and ML-DSA-44 over a checkpoint and the time."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key that may sign notes: `key_id` is an unsigned 32-bit number derived from the rest."""

    name: str
    key_id: int
    type: int
    public: bytes

    def text(self) -> str:
        """The vkey: `<name>+<key id, 8 hex digits>+<base64(type || public)>`."""
        return f"{self.name}+{self.key_id:08x}+{b64encode(bytes((self.type,)) + self.public)}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line; `signature` is what follows the key id."""

    name: str
    key_id: int
    signature: bytes

    def line(self) -> str:
        """The line with its newline. Refused: `note-key-name`, `note-signature-malformed`."""
        check_key_name(self.name)
        if not 0 <= self.key_id < 1 << 32 or not 1 <= len(self.signature) <= MAX_SIGNATURE_SIZE:
            raise Refused("note-signature-malformed", self.name)
        data = self.key_id.to_bytes(_KEY_ID_SIZE, "big") + self.signature
        return f"{_DASH}{self.name} {b64encode(data)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note, **not verified**. `text` includes its final newline."""

    text: str
    signatures: tuple[NoteSignature, ...]


class Verified(NamedTuple):
    """A trusted key whose signature holds; `timestamp` (Unix seconds) of a cosignature, else 0."""

    key: VerifierKey
    timestamp: int


class NoteSigner:
    """A named key that signs notes: type 0x01 signs the text, 0x04 and 0x06 a checkpoint with the
    time."""

    __slots__ = ("_signer", "_type", "key")

    def __init__(self, name: str, signer: Signer, type: int = 0x01) -> None:
        if type in TYPES and signer.suite.cose_alg != TYPES[type].cose_alg:
            raise Refused("note-key-type", f"{signer.suite.name} cannot sign type {type:#04x}")
        self.key = make_vkey(name, signer.public, type)
        self._type = TYPES[type]
        self._signer = signer

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def stamped(self) -> bool:
        """Whether its signatures say when they were made."""
        return self._type.stamped

    def sign(self, text: str, timestamp: int | None = None) -> NoteSignature:
        """Sign `text`; a `timestamp` (Unix seconds) belongs to stamped types and only to them."""
        if self._type.stamped is (timestamp is None):
            raise Refused("note-timestamp", f"type {self.key.type:#04x}")
        stamp = timestamp or 0
        signature = self._signer.sign(self._type.message(self.name, stamp, text))
        if self._type.stamped:
            signature = stamp.to_bytes(_STAMP_SIZE, "big") + signature
        return NoteSignature(self.name, self.key.key_id, signature)

    def sign_subtree(self, *, origin: str, start: int, end: int, root: bytes) -> NoteSignature:
        """Sign the leaves `[start, end)` of a log; only ML-DSA-44, and with the timestamp 0.

        Refused: `note-key-type`, and as `subtree_message`.
        """
        if self.key.type != MLDSA44:
            raise Refused("note-key-type", f"{self.key.type:#04x} signs no subtrees")
        message = subtree_message(self.name, 0, origin=origin, start=start, end=end, root=root)
        signature = bytes(_STAMP_SIZE) + self._signer.sign(message)
        return NoteSignature(self.name, self.key.key_id, signature)


def check_key_name(name: str) -> None:
    """Not empty, no Unicode space, no plus, no control character. Refused: `note-key-name`."""
    if not 0 < len(name) <= MAX_NAME or any(c == "+" or c <= " " for c in name):
        raise Refused("note-key-name", name[:64])
    if not name.isascii() and (any(map(str.isspace, name)) or not _is_utf8(name)):
        raise Refused("note-key-name", name[:64])


def make_vkey(name: str, public: bytes, type: int = 0x01) -> VerifierKey:
    """Name a public key. Refused: `note-key-name`, `note-key-type`, `note-key-malformed`."""
    check_key_name(name)
    known = TYPES.get(type)
    if known is None:
        raise Refused("note-key-type", f"{type:#04x}")
    try:
        SUITES[known.cose_alg].check_public(public)
    except KeysError as error:
        raise Refused("note-key-malformed", name) from error
    digest = sha256(b"%b\n%c%b" % (name.encode(), type, public)).digest()
    return VerifierKey(name, int.from_bytes(digest[:_KEY_ID_SIZE], "big"), type, public)


def parse_vkey(text: str) -> VerifierKey:
    """Inverse of `VerifierKey.text`; the key id must be the one the key gives.

    Refused: as `make_vkey`, `too-large`.
    """
    if len(text) > _MAX_VKEY:
        raise Refused("too-large", "verifier key")
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Refused("note-key-malformed", text[:64])
    try:
        data = b64decode(parts[2], max_bytes=_MAX_VKEY)
    except Refused as error:
        raise Refused("note-key-malformed", text[:64]) from error
    if not data:
        raise Refused("note-key-malformed", text[:64])
    key = make_vkey(parts[0], data[1:], data[0])
    if key.text() != text:
        raise Refused("note-key-malformed", "the key id does not belong to the key")
    return key


def parse_note(data: bytes) -> Note:
    """Read the shape of a note: at most 1 MiB and 64 signatures. Nothing is verified.

    Refused: `too-large`, `note-malformed`, `note-key-name`, `note-signature-malformed`,
    `base64-malformed`.
    """
    if len(data) > MAX_NOTE_SIZE:
        raise Refused("too-large", "note")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("note-malformed", "not UTF-8") from error
    text, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise Refused("note-malformed", "no text, no empty line or no signature")
    lines = tail.split("\n")[:-1]
    if len(lines) > MAX_SIGNATURES:
        raise Refused("too-large", f"{len(lines)} signatures")
    note = Note(text + "\n", tuple(map(_parse_line, lines)))
    _check_text(note.text)
    return note


def format_note(note: Note) -> bytes:
    """Inverse of `parse_note`, with its refusals."""
    _check_text(note.text)
    if not note.signatures:
        raise Refused("note-malformed", "no signature")
    if len(note.signatures) > MAX_SIGNATURES:
        raise Refused("too-large", f"{len(note.signatures)} signatures")
    data = (note.text + "\n" + "".join([s.line() for s in note.signatures])).encode()
    if len(data) > MAX_NOTE_SIZE:
        raise Refused("too-large", "note")
    return data


def sign_note(text: str, signers: Sequence[NoteSigner], timestamp: int | None = None) -> bytes:
    """Sign `text` with each signer, in their order (deterministic for Ed25519); `timestamp`, Unix
    seconds, is for those that sign the time."""
    _check_text(text)
    lines = (signer.sign(text, timestamp if signer.stamped else None) for signer in signers)
    return format_note(Note(text, tuple(lines)))


def verify_note(note: Note, vkeys: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The trusted keys that signed, at least one. Refused: as `verify_signatures`."""
    return tuple(verified.key for verified in verify_signatures(note, vkeys))


def verify_signatures(
    note: Note, vkeys: Iterable[VerifierKey], *, at_least: int = 1
) -> tuple[Verified, ...]:
    """As `verify_note`, with the timestamps of cosignatures.

    1. Trusted keys differ in name or key id (`note-key-ambiguous`).
    2. Every signature line of a trusted key holds (`note-bad-signature`); others are ignored.
    3. `at_least` so many trusted keys signed (`note-unsigned`).

    A key that signed twice counts once, with its latest timestamp.
    """
    known: dict[tuple[str, int], VerifierKey] = {}
    for key in vkeys:
        if known.setdefault((key.name, key.key_id), key) != key:  # 1
            raise Refused("note-key-ambiguous", key.name)
    verified: dict[VerifierKey, int] = {}
    for line in note.signatures:
        signed_by = known.get((line.name, line.key_id))
        if signed_by is not None:
            stamp = _verify(signed_by, note.text, line.signature)  # 2
            verified[signed_by] = max(stamp, verified.get(signed_by, 0))
    if len(verified) < at_least:  # 3
        raise Refused("note-unsigned")
    return tuple(Verified(key, stamp) for key, stamp in verified.items())


def _verify(key: VerifierKey, text: str, signature: bytes) -> int:
    kind = TYPES[key.type]
    stamp = 0
    if kind.stamped:
        if len(signature) <= _STAMP_SIZE:
            raise Refused("note-bad-signature", key.name)
        stamp = int.from_bytes(signature[:_STAMP_SIZE], "big")
        signature = signature[_STAMP_SIZE:]
    try:
        SUITES[kind.cose_alg].verify(key.public, kind.message(key.name, stamp, text), signature)
    except KeysError as error:
        raise Refused("note-bad-signature", key.name) from error
    return stamp


def _parse_line(line: str) -> NoteSignature:
    name, space, encoded = line[len(_DASH) :].partition(" ")
    if not line.startswith(_DASH) or not space:
        raise Refused("note-malformed", "signature line")
    check_key_name(name)
    data = b64decode(encoded, max_bytes=_KEY_ID_SIZE + MAX_SIGNATURE_SIZE)
    if len(data) <= _KEY_ID_SIZE:
        raise Refused("note-signature-malformed", name)
    return NoteSignature(name, int.from_bytes(data[:_KEY_ID_SIZE], "big"), data[_KEY_ID_SIZE:])


def _check_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text) or not _is_utf8(text):
        raise Refused("note-malformed", "text")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
