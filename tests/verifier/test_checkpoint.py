"""Checkpoints and cosignatures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.helpers import COSIGNATURE, ORIGIN, cosigned, refused, signer, witness
from verifier.checkpoint import (
    Checkpoint,
    add_cosignatures,
    cosign,
    cosignature_message,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from verifier.merkle import EMPTY_ROOT, MAX_SIZE
from verifier.note import NoteSignature, parse_note, sign_note, verify_signatures

ROOT = bytes(range(32))
ROOT64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
LOG = signer(1)
HEAD = Checkpoint(ORIGIN, 123, ROOT)
BODY = f"{ORIGIN}\n123\n{ROOT64}\n"

origins = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@given(origins, st.integers(1, MAX_SIZE), st.binary(min_size=32, max_size=32), st.lists(origins))
def test_bodies_there_and_back(origin: str, size: int, root: bytes, more: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(more))
    assert parse_checkpoint(checkpoint.body()) == checkpoint


def test_body_is_three_lines() -> None:
    assert HEAD.body() == BODY
    assert parse_checkpoint(BODY) == HEAD
    assert parse_checkpoint(BODY + "a\nb\n").extensions == ("a", "b")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "checkpoint-malformed"),
        ("\n", "checkpoint-malformed"),
        (BODY[:-1], "checkpoint-malformed"),
        (BODY + "cut short", "checkpoint-malformed"),
        (f"{ORIGIN}\n123\n", "checkpoint-malformed"),
        (f"\n123\n{ROOT64}\n", "checkpoint-malformed"),
        (BODY + "\n", "checkpoint-malformed"),
        (BODY + "\nlate\n", "checkpoint-malformed"),
        (BODY + "tab\there\n", "checkpoint-malformed"),
        (BODY.replace("\n", "\r\n"), "decimal-malformed"),
        (f"{ORIGIN}\n0\n{ROOT64}\n", "checkpoint-malformed"),
        (f"{ORIGIN}\n123\nAAAA\n", "checkpoint-malformed"),
        (f"{ORIGIN}\n123\n\n", "checkpoint-malformed"),
        (f"{ORIGIN}\n\n{ROOT64}\n", "decimal-malformed"),
        (f"{ORIGIN}\n0123\n{ROOT64}\n", "decimal-malformed"),
        (f"{ORIGIN}\n+123\n{ROOT64}\n", "decimal-malformed"),
        (f"{ORIGIN}\n-1\n{ROOT64}\n", "decimal-malformed"),
        (f"{ORIGIN}\n123 \n{ROOT64}\n", "decimal-malformed"),
        (f"{ORIGIN}\n１２３\n{ROOT64}\n", "decimal-malformed"),
        (f"{ORIGIN}\n{MAX_SIZE + 1}\n{ROOT64}\n", "decimal-malformed"),
        (f"{ORIGIN}\n123\n{ROOT64} \n", "too-large"),
        (f"{ORIGIN}\n123\n{ROOT64[:-1]}A\n", "too-large"),
        (f"{ORIGIN}\r\n123\n{ROOT64}\n", "checkpoint-malformed"),
        (f"{ORIGIN}\n123\n{ROOT64[:-1]}\n", "base64-malformed"),
        (f"{ORIGIN}\n123\n{ROOT64[:-2]}9=\n", "base64-malformed"),
        (f"{ORIGIN}\n123\n{ROOT64}\n" + "x" * 20_000 + "\n", "too-large"),
    ],
)
def test_what_is_not_a_checkpoint(text: str, code: str) -> None:
    with refused(code):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 1, ROOT, ()),
        ("a\nb", 1, ROOT, ()),
        ("a", -1, ROOT, ()),
        ("a", MAX_SIZE + 1, ROOT, ()),
        ("a", 1, ROOT[1:], ()),
        ("a", 0, ROOT, ()),
        ("a", 1, ROOT, ("",)),
        ("a", 1, ROOT, ("x\ny",)),
    ],
)
def test_what_cannot_be_a_checkpoint(
    origin: str, size: int, root: bytes, extensions: tuple[str, ...]
) -> None:
    with refused("checkpoint-malformed"):
        Checkpoint(origin, size, root, extensions)


def test_the_empty_log_has_the_empty_root() -> None:
    assert parse_checkpoint(Checkpoint("a", 0, EMPTY_ROOT).body()).size == 0


def test_opened_by_the_log_key_alone() -> None:
    data = sign_checkpoint(HEAD, [LOG])
    assert open_checkpoint(data, LOG.key) == HEAD
    with refused("note-unsigned"):
        open_checkpoint(data, signer(2).key)
    with refused("note-bad-signature"):
        open_checkpoint(data.replace(b"\n123\n", b"\n124\n"), LOG.key)
    with refused("note-unsigned"):
        open_checkpoint(data, signer(1, ORIGIN, COSIGNATURE).key)


def test_origin_is_the_name_of_the_key() -> None:
    other = signer(1, "other.example")
    with refused("checkpoint-origin"):
        open_checkpoint(sign_note(BODY, [other]), other.key)
    with refused("checkpoint-origin"):
        sign_checkpoint(HEAD, [other])
    with refused("checkpoint-origin"):
        sign_checkpoint(HEAD, [])
    assert open_checkpoint(sign_checkpoint(HEAD, [other, LOG]), LOG.key) == HEAD


def test_a_signed_note_need_not_be_a_checkpoint() -> None:
    with refused("checkpoint-malformed"):
        open_checkpoint(sign_note("hello\n", [LOG]), LOG.key)


def test_cosignature_message_of_the_specification() -> None:
    body = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert cosignature_message(1679315147, body) == (
        b"cosignature/v1\n"
        b"time 1679315147\n"
        b"example.com/behind-the-sofa\n"
        b"20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def test_cosigned_checkpoints() -> None:
    first, second = witness(11), witness(12)
    data = cosigned(HEAD, LOG, {first: 1000, second: 2000})
    assert open_checkpoint(data, LOG.key) == HEAD
    keys = [LOG.key, first.key, second.key]
    times = verify_signatures(parse_note(data), keys)
    assert times == ((LOG.key, 0), (first.key, 1000), (second.key, 2000))
    again = add_cosignatures(data, [cosign(BODY, 3000, first)])
    assert dict(verify_signatures(parse_note(again), keys)) == {
        LOG.key: 0,
        first.key: 3000,
        second.key: 2000,
    }
    assert again.count(b"\n") == data.count(b"\n")
    with refused("note-signature-malformed"):
        add_cosignatures(data, [NoteSignature("x", 1, b"")])


def test_only_checkpoints_are_cosigned() -> None:
    with refused("checkpoint-malformed"):
        cosign("hello\n", 1000, witness(11))
    with refused("note-timestamp"):
        cosign(BODY, 1000, LOG)
