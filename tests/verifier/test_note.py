"""Signed notes: public vectors, every refusal, and one spelling for each note."""

import json
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.signer import SoftwareSigner
from keys.suites import SUITES
from tests.verifier.helpers import COSIGNATURE, ORIGIN, PLAIN, refused, signer, witness
from verifier.codec import b64decode
from verifier.errors import Refused
from verifier.note import (
    MAX_NAME,
    MAX_NOTE_SIZE,
    MAX_SIGNATURE_SIZE,
    MAX_SIGNATURES,
    Note,
    NoteSignature,
    NoteSigner,
    VerifierKey,
    cosignature_message,
    format_note,
    make_vkey,
    parse_note,
    parse_vkey,
    sign_note,
    verify_note,
    verify_signatures,
)

Shared = Callable[[str], Path]

TEXT = "If the book is open,\n\neverybody can read it.\n"
ALICE, BOB = signer(1, "alice.example"), signer(2, "bob.example/甲")
GOOD = sign_note(TEXT, [ALICE, BOB])


@pytest.fixture
def vectors(shared: Shared) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(shared("vectors/notes/notes.json").read_text())
    assert len(records) == 11
    return records


def test_public_notes(vectors: list[dict[str, Any]]) -> None:
    for record in vectors:
        note = parse_note(record["note"].encode())
        keys = [parse_vkey(text) for text in record["vkeys"]]
        assert format_note(note) == record["note"].encode()
        assert [key.text() for key in keys] == record["vkeys"]
        if record["valid"]:
            assert verify_note(note, keys) == tuple(keys), record["name"]
        else:
            with refused("note-bad-signature"):
                verify_note(note, keys)
    assert [record["name"] for record in vectors if not record["valid"]] == ["sumdb-note-bad-sig"]


def test_public_notes_are_signed_again_byte_for_byte(vectors: list[dict[str, Any]]) -> None:
    signed = 0
    for record in vectors:
        if "test_signing_key" in record:
            _, _, name, key_id, key = record["test_signing_key"].split("+", 4)
            seed = b64decode(key, max_bytes=33)[1:]
        elif "seed is 0x11 followed by 31 zero bytes" in record.get("comment", ""):
            name, key_id, _ = record["vkeys"][0].split("+", 2)
            seed = b"\x11" + bytes(31)
        else:
            continue
        note_signer = NoteSigner(name, SoftwareSigner(SUITES[-19], seed))
        assert note_signer.key.text() == record["vkeys"][0]
        assert f"{note_signer.key.key_id:08x}" == key_id
        text = parse_note(record["note"].encode()).text
        assert sign_note(text, [note_signer]) == record["note"].encode()
        signed += 1
    assert signed == 2


def test_parts_of_a_note() -> None:
    note = parse_note(GOOD)
    assert note.text == TEXT
    assert [line.name for line in note.signatures] == ["alice.example", "bob.example/甲"]
    assert format_note(note) == GOOD
    assert verify_note(note, [BOB.key, ALICE.key]) == (ALICE.key, BOB.key)
    assert verify_note(note, [BOB.key, signer(3).key]) == (BOB.key,)


def test_key_ids_follow_the_specification() -> None:
    public = ALICE.key.public
    for kind in (PLAIN, COSIGNATURE):
        digest = sha256(b"alice.example\n" + bytes([kind]) + public).digest()
        assert make_vkey("alice.example", public, kind).key_id == int.from_bytes(digest[:4], "big")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "note-malformed"),
        (b"\n", "note-malformed"),
        (b"\n\n", "note-malformed"),
        (b"text\n", "note-malformed"),
        (b"text\n\n", "note-malformed"),
        (GOOD[:-1], "note-malformed"),
        (GOOD + b"\n", "note-malformed"),
        (GOOD + b"more\n", "note-malformed"),
        (GOOD + b"\xe2\x80\x94\n", "note-malformed"),
        (GOOD + "\u2014 name\n".encode(), "note-malformed"),
        (GOOD + "\u2014name AAAAAAA=\n".encode(), "note-malformed"),
        (GOOD + b"- name AAAAAAA=\n", "note-malformed"),
        (GOOD.replace(b"everybody", b"every\rbody"), "note-malformed"),
        (GOOD.replace(b"everybody", b"every\tbody"), "note-malformed"),
        (GOOD.replace(b"everybody", b"every\0body"), "note-malformed"),
        (GOOD.replace(b"everybody", b"every\xffbody"), "note-malformed"),
        (GOOD.replace(b"everybody", b"every\xed\xa0\x80body"), "note-malformed"),
        (GOOD.replace(b"\n", b"\r\n"), "note-malformed"),
        (GOOD.replace(b" alice.example ", b"  "), "note-key-name"),
        (GOOD.replace(b"alice.example", b"alice+example"), "note-key-name"),
        (GOOD.replace(b"alice.example", "alice\u00a0example".encode()), "note-key-name"),
        (GOOD.replace(b"alice.example", "alice\u2028example".encode()), "note-key-name"),
        (GOOD.replace(b"alice.example", "alice\u0085example".encode()), "note-key-name"),
        (GOOD.replace(b"alice.example", b"alice\x1fexample"), "note-key-name"),
        (GOOD.replace(b"alice.example", b"a" * (MAX_NAME + 1)), "note-key-name"),
        (GOOD.replace(b"alice.example", b"alice example"), "base64-malformed"),
        (GOOD.replace(b"alice.example ", b"alice.example  "), "base64-malformed"),
        (GOOD[:-1] + b" \n", "base64-malformed"),
        (GOOD[:-2] + b"\n", "base64-malformed"),
        (GOOD + b"\xe2\x80\x94 name AAAAAAB=\n", "base64-malformed"),
        (GOOD + b"\xe2\x80\x94 name AAAA-_AA\n", "base64-malformed"),
        (GOOD + b"\xe2\x80\x94 name AAAAAA==\n", "note-signature-malformed"),
        (GOOD + b"\xe2\x80\x94 name \n", "note-signature-malformed"),
    ],
)
def test_what_is_not_a_note(data: bytes, code: str) -> None:
    with refused(code):
        parse_note(data)


def test_sizes_are_bounded() -> None:
    line = NoteSignature("name", 7, b"x")
    most = format_note(Note(TEXT, (line,) * MAX_SIGNATURES))
    assert len(parse_note(most).signatures) == MAX_SIGNATURES >= 16
    with refused("too-large"):
        parse_note(most + line.line().encode())
    with refused("too-large"):
        format_note(Note(TEXT, (line,) * (MAX_SIGNATURES + 1)))
    text = "x" * (MAX_NOTE_SIZE - 1 - 1 - len(line.line().encode())) + "\n"
    assert len(format_note(Note(text, (line,)))) == MAX_NOTE_SIZE
    with refused("too-large"):
        format_note(Note("x" + text, (line,)))
    with refused("too-large"):
        parse_note(b"x" + format_note(Note(text, (line,))))
    big = NoteSignature("name", 7, bytes(MAX_SIGNATURE_SIZE))
    assert parse_note(format_note(Note(TEXT, (big,)))).signatures == (big,)
    with refused("too-large"):
        parse_note(GOOD + b"\xe2\x80\x94 name " + b64encode(bytes(5 + MAX_SIGNATURE_SIZE)) + b"\n")


@pytest.mark.parametrize(
    ("note", "code"),
    [
        (Note(TEXT, ()), "note-malformed"),
        (Note(TEXT[:-1], (NoteSignature("name", 7, b"x"),)), "note-malformed"),
        (Note("", (NoteSignature("name", 7, b"x"),)), "note-malformed"),
        (Note("tab\t\n", (NoteSignature("name", 7, b"x"),)), "note-malformed"),
        (Note("\ud800\n", (NoteSignature("name", 7, b"x"),)), "note-malformed"),
        (Note(TEXT, (NoteSignature("", 7, b"x"),)), "note-key-name"),
        (Note(TEXT, (NoteSignature("a b", 7, b"x"),)), "note-key-name"),
        (Note(TEXT, (NoteSignature("\ud800", 7, b"x"),)), "note-key-name"),
        (Note(TEXT, (NoteSignature("name", 7, b""),)), "note-signature-malformed"),
        (Note(TEXT, (NoteSignature("name", -1, b"x"),)), "note-signature-malformed"),
        (Note(TEXT, (NoteSignature("name", 1 << 32, b"x"),)), "note-signature-malformed"),
    ],
)
def test_what_cannot_be_written(note: Note, code: str) -> None:
    with refused(code):
        format_note(note)


def test_a_known_signature_that_fails_spoils_the_note() -> None:
    note = parse_note(GOOD.replace(b"everybody", b"everyb0dy"))
    with refused("note-bad-signature"):
        verify_note(note, [ALICE.key])
    good = parse_note(GOOD)
    for spoilt in (good.signatures[1].signature[:-1], bytes(64), good.signatures[0].signature):
        line = NoteSignature(BOB.name, BOB.key.key_id, spoilt)
        for lines in [
            (good.signatures[0], line),
            (*good.signatures, line),
            (line, *good.signatures),
        ]:
            assert verify_note(Note(TEXT, lines), [ALICE.key]) == (ALICE.key,)
            with refused("note-bad-signature"):
                verify_note(Note(TEXT, lines), [ALICE.key, BOB.key])


def test_unknown_signatures_are_ignored_even_with_half_the_name() -> None:
    good = parse_note(GOOD).signatures[0]
    for line in (
        NoteSignature(ALICE.name, ALICE.key.key_id ^ 1, b"x"),
        NoteSignature(BOB.name, ALICE.key.key_id, b"x"),
    ):
        assert verify_note(Note(TEXT, (line, good)), [ALICE.key]) == (ALICE.key,)
        with refused("note-unsigned"):
            verify_note(Note(TEXT, (line,)), [ALICE.key])
    for keys in ([], [signer(3).key]):
        with refused("note-unsigned"):
            verify_note(parse_note(GOOD), keys)


def test_two_keys_of_one_name_and_id_are_refused() -> None:
    other = VerifierKey(ALICE.name, ALICE.key.key_id, PLAIN, BOB.key.public)
    with refused("note-key-ambiguous"):
        verify_note(parse_note(GOOD), [ALICE.key, other])
    assert verify_note(parse_note(GOOD), [ALICE.key, ALICE.key]) == (ALICE.key,)


def test_a_key_that_signed_twice_counts_once_with_its_latest_time() -> None:
    who = witness(9)
    lines = tuple(who.sign(TEXT, time) for time in (20, 30, 10))
    assert verify_signatures(Note(TEXT, lines), [who.key]) == ((who.key, 30),)
    with refused("note-unsigned"):
        verify_signatures(Note(TEXT, lines), [who.key], at_least=2)
    assert verify_signatures(Note(TEXT, lines), [], at_least=0) == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "note-key-malformed"),
        ("alice.example", "note-key-malformed"),
        ("alice.example+01020304", "note-key-malformed"),
        ("{name}+{id}+", "note-key-malformed"),
        ("{name}+{other}+{key}", "note-key-malformed"),
        ("{name}+{ID}+{key}", "note-key-malformed"),
        ("{name}+0{id}+{key}", "note-key-malformed"),
        ("+{id}+{key}", "note-key-name"),
        ("al ice+{id}+{key}", "note-key-name"),
        ("{name}+{id}+{key}=", "note-key-malformed"),
        ("{name}+{id}+{key}\n", "note-key-malformed"),
        ("{name}+{id}+AQ==", "note-key-malformed"),
        ("{name}+{id}+{short}", "note-key-malformed"),
        ("{name}+{id}+{small_order}", "note-key-malformed"),
        ("{name}+{id}+{type2}", "note-key-type"),
        ("{name}+{id}+{type0}", "note-key-type"),
        ("x" * 20_000, "too-large"),
    ],
)
def test_what_is_not_a_verifier_key(text: str, code: str) -> None:
    good = signer(7, "a1.example").key
    name, key_id, key = good.text().split("+", 2)
    fields = {
        "name": name,
        "id": key_id,
        "ID": key_id.upper(),
        "other": f"{good.key_id ^ 1:08x}",
        "key": key,
        "short": b64encode(b"\x01" + good.public[:-1]).decode(),
        "small_order": b64encode(b"\x01\x01" + bytes(31)).decode(),
        "type2": b64encode(b"\x02" + good.public).decode(),
        "type0": b64encode(b"\x00" + good.public).decode(),
    }
    assert fields["ID"] != key_id, "the id of this test needs a letter"
    assert parse_vkey("{name}+{id}+{key}".format(**fields)) == good
    with refused(code):
        parse_vkey(text.format(**fields))


def test_signers_say_no() -> None:
    with refused("note-key-name"):
        signer(1, "two words")
    with refused("note-key-type"):
        signer(1, ORIGIN, 0x02)
    p256 = SoftwareSigner(SUITES[-9], b"\x01" * 32)
    with refused("note-key-type"):
        NoteSigner(ORIGIN, p256)
    with refused("note-timestamp"):
        ALICE.sign(TEXT, 5)
    with refused("note-timestamp"):
        witness(9).sign(TEXT)
    with refused("note-timestamp"):
        sign_note(TEXT, [witness(9)])
    for time in (-1, 1 << 63):
        with refused("note-timestamp"):
            witness(9).sign(TEXT, time)
        with refused("note-timestamp"):
            cosignature_message(time, TEXT)
    with refused("note-malformed"):
        sign_note("no newline", [ALICE])


def test_cosignatures_carry_their_time() -> None:
    who = witness(9)
    line = who.sign(TEXT, 1_700_000_000)
    assert line.signature[:8] == (1_700_000_000).to_bytes(8, "big")
    assert len(line.signature) == 8 + 64
    assert verify_signatures(Note(TEXT, (line,)), [who.key]) == ((who.key, 1_700_000_000),)
    message = b"cosignature/v1\ntime 1700000000\n" + TEXT.encode()
    SUITES[-19].verify(who.key.public, message, line.signature[8:])
    for signature, code in [
        ((1_700_000_001).to_bytes(8, "big") + line.signature[8:], "note-bad-signature"),
        (line.signature[8:], "note-bad-signature"),
        (line.signature[:8], "note-bad-signature"),
        (b"\xff" * 8 + line.signature[8:], "note-timestamp"),
    ]:
        with refused(code):
            verify_note(
                Note(TEXT, (NoteSignature(who.name, who.key.key_id, signature),)), [who.key]
            )


names = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Z"], exclude_characters="+"), min_size=1
)
lines = st.builds(
    NoteSignature, names, st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=99)
)
texts = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n"))


@given(texts, st.lists(lines, min_size=1, max_size=5))
def test_notes_there_and_back(text: str, signatures: list[NoteSignature]) -> None:
    note = Note(text + "\n", tuple(signatures))
    assert parse_note(format_note(note)) == note


@given(st.data())
def test_any_changed_byte_is_refused_or_breaks_the_signature(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(GOOD) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != GOOD[position]))
    changed = GOOD[:position] + bytes([byte]) + GOOD[position + 1 :]
    try:
        note = parse_note(changed)
    except Refused:
        return
    assert format_note(note) == changed
    with pytest.raises(Refused):
        verify_signatures(note, [ALICE.key, BOB.key], at_least=2)
