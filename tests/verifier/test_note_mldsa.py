"""ML-DSA-44 signatures on checkpoints: type 0x06 of C2SP signed-note, tlog-cosignature."""

import struct
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from tests.city import signer
from tests.verifier.helpers import refused
from verifier.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from verifier.errors import Refused
from verifier.note import (
    MLDSA44,
    Note,
    NoteSigner,
    format_note,
    make_vkey,
    parse_note,
    parse_vkey,
    subtree_message,
    verify_signatures,
)
from verifier.proof import TlogProof, proof_from_cbor, proof_to_cbor

ORIGIN = "log.example/甲"
AT = 1_700_000_000
ROOT = bytes(range(32))
HEAD = Checkpoint(ORIGIN, 300, ROOT)
LOG = NoteSigner(ORIGIN, signer("log"))
LOG_PQ = NoteSigner(ORIGIN, signer("log", "ml-dsa-44"), MLDSA44)
NOTE = sign_checkpoint(HEAD, [LOG, LOG_PQ], AT)


def spelled_out(name: str, at: int, origin: str, start: int, end: int, root: bytes) -> bytes:
    """`cosigned_message` as the specification draws it."""
    who, whose = name.encode(), origin.encode()
    return struct.pack(f">12sB{len(who)}sQ", b"subtree/v1\n\0", len(who), who, at) + struct.pack(
        f">B{len(whose)}sQQ32s", len(whose), whose, start, end, root
    )


def test_the_message_is_the_structure_of_the_specification() -> None:
    made = subtree_message("w", AT, origin=ORIGIN, start=0, end=300, root=ROOT)
    assert made == spelled_out("w", AT, ORIGIN, 0, 300, ROOT)
    made = subtree_message("w" * 255, 0, origin=ORIGIN, start=256, end=300, root=ROOT)
    assert made == spelled_out("w" * 255, 0, ORIGIN, 256, 300, ROOT)


@pytest.mark.parametrize(
    ("name", "at", "origin", "start", "end", "root", "code"),
    [
        ("", AT, ORIGIN, 0, 1, ROOT, "note-key-name"),
        ("w" * 256, AT, ORIGIN, 0, 1, ROOT, "note-key-name"),
        ("w", AT, "", 0, 1, ROOT, "checkpoint-malformed"),
        ("w", AT, "o" * 256, 0, 1, ROOT, "checkpoint-malformed"),
        ("w", AT, ORIGIN, 1, 2, ROOT, "note-timestamp"),
        ("w", -1, ORIGIN, 0, 1, ROOT, "note-timestamp"),
        ("w", 1 << 63, ORIGIN, 0, 1, ROOT, "note-timestamp"),
        ("w", 0, ORIGIN, 2, 1, ROOT, "checkpoint-malformed"),
        ("w", 0, ORIGIN, 0, 1 << 63, ROOT, "checkpoint-malformed"),
        ("w", 0, ORIGIN, 0, 1, ROOT[1:], "checkpoint-malformed"),
    ],
)
def test_what_the_structure_cannot_hold(
    name: str, at: int, origin: str, start: int, end: int, root: bytes, code: str
) -> None:
    with refused(code):
        subtree_message(name, at, origin=origin, start=start, end=end, root=root)


def test_a_checkpoint_has_both_signatures() -> None:
    first, second = parse_note(NOTE).signatures
    assert (len(first.signature), len(second.signature)) == (64, 8 + 2420)
    assert open_checkpoint(NOTE, LOG.key, LOG_PQ.key) == HEAD
    (verified,) = verify_signatures(parse_note(NOTE), [LOG_PQ.key])
    assert verified.timestamp == AT == int.from_bytes(second.signature[:8], "big")
    message = spelled_out(ORIGIN, AT, ORIGIN, 0, 300, ROOT)
    suite = signer("log", "ml-dsa-44").suite
    suite.verify(LOG_PQ.key.public, message, second.signature[8:])


def test_the_key_id_and_the_vkey() -> None:
    public = LOG_PQ.key.public
    digest = sha256(ORIGIN.encode() + b"\n\x06" + public).digest()
    assert LOG_PQ.key.key_id == int.from_bytes(digest[:4], "big")
    assert parse_vkey(LOG_PQ.key.text()) == LOG_PQ.key
    with refused("note-key-malformed"):
        make_vkey(ORIGIN, public[1:], MLDSA44)
    with refused("note-key-type"):
        NoteSigner(ORIGIN, signer("log"), MLDSA44)


def test_without_the_second_signature_it_does_not_count() -> None:
    first, second = parse_note(NOTE).signatures
    alone = format_note(Note(HEAD.body(), (first,)))
    assert open_checkpoint(alone, LOG.key) == HEAD
    with refused("checkpoint-second-signature"):
        open_checkpoint(alone, LOG.key, LOG_PQ.key)
    with refused("note-unsigned"):
        open_checkpoint(format_note(Note(HEAD.body(), (second,))), LOG.key, LOG_PQ.key)
    other = NoteSigner(ORIGIN, signer("another", "ml-dsa-44"), MLDSA44)
    with refused("checkpoint-second-signature"):
        open_checkpoint(sign_checkpoint(HEAD, [LOG, other], AT), LOG.key, LOG_PQ.key)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: bytes([s[0], *s[1:7], s[7] ^ 1]) + s[8:],  # the time
        lambda s: s[:-1] + bytes([s[-1] ^ 1]),
        lambda s: s[:-1],
        lambda s: s + b"\0",
        lambda s: s[:8],
    ],
    ids=["time", "bit", "short", "long", "empty"],
)
def test_an_altered_second_signature_spoils_the_note(change: Callable[[bytes], bytes]) -> None:
    first, second = parse_note(NOTE).signatures
    altered = replace(second, signature=change(second.signature))
    with refused("note-bad-signature"):
        open_checkpoint(format_note(Note(HEAD.body(), (first, altered))), LOG.key, LOG_PQ.key)


@pytest.mark.parametrize("text", ["log.example\n300\n", "log.example\n0300\nAA==\n\n", "a\n1\n"])
def test_only_checkpoints_are_signed(text: str) -> None:
    with pytest.raises(Refused, match="malformed"):
        LOG_PQ.sign(text, AT)


def test_a_time_is_asked_for() -> None:
    with refused("note-timestamp"):
        sign_checkpoint(HEAD, [LOG, LOG_PQ])


def test_a_qr_code_has_no_room_for_it() -> None:
    compact = proof_to_cbor(TlogProof(3, (), NOTE))
    assert len(compact[2][2]) == 1
    rebuilt = proof_from_cbor(compact)
    assert open_checkpoint(rebuilt.checkpoint, LOG.key) == HEAD
