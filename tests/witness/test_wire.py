"""The bodies of requests: each value has one spelling, and every limit is seen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.witness import format_add_checkpoint, format_sign_subtree
from ledger.witness.errors import WitnessError
from ledger.witness.wire import MAX_REQUEST, parse_add_checkpoint, parse_sign_subtree
from tests.witness.logs import GrowingLog, signer
from verifier.codec import b64encode
from verifier.merkle import MAX_SIZE
from verifier.note import Note, NoteSignature, format_note, parse_note

LOG = GrowingLog().grow(5)
NOTE = LOG.checkpoint()
TEXT = parse_note(NOTE).text
HASH = b64encode(b"h" * 32)
SUBTREE = signer(3, type=0x06).sign_subtree(origin=LOG.origin, start=0, end=2, root=b"h" * 32)

hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=63)
sizes = st.integers(0, MAX_SIZE)


@settings(max_examples=40)
@given(sizes, hashes)
def test_add_checkpoint_comes_back(old: int, proof: list[bytes]) -> None:
    parsed = parse_add_checkpoint(format_add_checkpoint(old, proof, NOTE))
    assert (parsed.old_size, parsed.proof, parsed.note) == (old, tuple(proof), parse_note(NOTE))
    assert (parsed.checkpoint.size, parsed.checkpoint.root) == (5, LOG.root())


@settings(max_examples=40)
@given(sizes, sizes, hashes, st.booleans(), st.integers(0, 8))
def test_sign_subtree_comes_back(
    start: int, end: int, proof: list[bytes], signed: bool, lines: int
) -> None:
    reference = NOTE if signed else TEXT.encode()
    body = format_sign_subtree(start, end, b"h" * 32, proof, reference, [SUBTREE] * lines)
    parsed = parse_sign_subtree(body)
    assert (parsed.start, parsed.end, parsed.root) == (start, end, b"h" * 32)
    assert (parsed.proof, parsed.signatures) == (tuple(proof), (SUBTREE,) * lines)
    assert bool(parsed.note.signatures) is signed
    assert parsed.checkpoint.root == LOG.root()


WRONG_HEADS = {
    "no old line": "",
    "another word": "new 5",
    "no number": "old ",
    "a leading zero": "old 05",
    "a sign": "old +5",
    "a blank too many": "old  5",
    "a blank after": "old 5 ",
    "a tab": "old\t5",
    "a carriage return": "old 5\r",
    "upper case": "Old 5",
    "too large a number": f"old {MAX_SIZE + 1}",
    "another digit five": "old \uff15",
    "a short hash": f"old 5\n{b64encode(b'h' * 31)}",
    "a long hash": f"old 5\n{b64encode(b'h' * 33)}",
    "a hash without padding": f"old 5\n{HASH.rstrip('=')}",
    "spare bits in a hash": f"old 5\n{HASH[:-2]}B=",
    "base64url": "old 5\n" + b64encode(b"\xff" * 32).replace("/", "_"),
    "a hash in hex": f"old 5\n{'ab' * 32}",
    "64 hashes": "old 5" + f"\n{HASH}" * 64,
}


@pytest.mark.parametrize("head", WRONG_HEADS.values(), ids=WRONG_HEADS)
def test_a_wrong_head_is_refused(head: str) -> None:
    parse_add_checkpoint(b"old 5\n\n" + NOTE)
    with pytest.raises(WitnessError, match="witness-request:"):
        parse_add_checkpoint(f"{head}\n\n".encode() + NOTE)


WRONG_NOTES = {
    "none": b"",
    "no signatures": TEXT.encode(),
    "no newline at the end": NOTE[:-1],
    "a line after": NOTE + b"\n",
    "not UTF-8": NOTE.replace(b"log.example", b"log\xff.example"),
    "no root": format_note(Note("log.example\n5\n", parse_note(NOTE).signatures)),
    "a size with a zero": NOTE.replace(b"\n5\n", b"\n05\n"),
    "a short root": NOTE.replace(b64encode(LOG.root()).encode(), b64encode(b"h" * 31).encode()),
    "a short root of size 0": format_note(
        Note(f"log.example\n0\n{b64encode(b'')}\n", parse_note(NOTE).signatures)
    ),
}


@pytest.mark.parametrize("note", WRONG_NOTES.values(), ids=WRONG_NOTES)
def test_a_wrong_checkpoint_is_refused(note: bytes) -> None:
    with pytest.raises(WitnessError, match="witness-request:"):
        parse_add_checkpoint(b"old 5\n\n" + note)


def test_no_empty_line_and_bytes_that_are_no_text() -> None:
    for body in (b"old 5\n", b"\xff\n\n" + NOTE):
        for parse in (parse_add_checkpoint, parse_sign_subtree):
            with pytest.raises(WitnessError, match="witness-request:"):
                parse(body)


def test_the_size_comes_first() -> None:
    body = format_add_checkpoint(5, [], NOTE)
    body += b"x" * (MAX_REQUEST + 1 - len(body))
    for parse in (parse_add_checkpoint, parse_sign_subtree):
        with pytest.raises(WitnessError, match="witness-request-too-large"):
            parse(body)


def test_the_largest_honest_request_fits() -> None:
    """63 hashes, the log's two lines, and ML-DSA-44 lines of fourteen witnesses beside."""
    log = GrowingLog(both=True).grow(2)
    note = parse_note(log.checkpoint())
    lines = [NoteSignature(f"witness{n}.example", n, bytes(8 + 2420)) for n in range(14)]
    body = format_add_checkpoint(
        2, [b"h" * 32] * 63, format_note(Note(note.text, (*note.signatures, *lines)))
    )
    assert len(parse_add_checkpoint(body).note.signatures) == 16


RANGE = "subtree 0 2"
LINE = SUBTREE.line().rstrip("\n")
WRONG_SUBTREES = {
    "no range": "",
    "no end": f"subtree 0\n{HASH}",
    "three numbers": f"subtree 0 2 4\n{HASH}",
    "a leading zero": f"subtree 00 2\n{HASH}",
    "two blanks": f"subtree 0  2\n{HASH}",
    "no hash": RANGE,
    "a signature for the hash": f"{RANGE}\n{LINE}",
    "a signature after the proof": f"{RANGE}\n{HASH}\n{HASH}\n{LINE}",
    "nine signatures": f"{RANGE}\n{HASH}" + f"\n{LINE}" * 9,
    "a malformed signature": f"{RANGE}\n{HASH}\n{LINE[:-1]}",
    "64 hashes": f"{RANGE}\n{HASH}" + f"\n{HASH}" * 64,
}


@pytest.mark.parametrize("head", WRONG_SUBTREES.values(), ids=WRONG_SUBTREES)
def test_a_wrong_head_of_a_subtree_is_refused(head: str) -> None:
    parse_sign_subtree(f"{RANGE}\n{HASH}\n{LINE}\n{HASH}\n\n".encode() + NOTE)
    with pytest.raises(WitnessError, match="witness-request:"):
        parse_sign_subtree(f"{head}\n\n".encode() + NOTE)


NINE = format_note(Note(TEXT, tuple(NoteSignature(f"w{n}.example", n, b"s") for n in range(9))))


@pytest.mark.parametrize(
    "reference",
    [b"", TEXT.encode()[:-1], TEXT.encode() + b"\n", b"log.example\n5\n", b"\xff", NINE],
    ids=["none", "cut off", "an empty line after", "no root", "not UTF-8", "nine signatures"],
)
def test_a_wrong_reference_is_refused(reference: bytes) -> None:
    with pytest.raises(WitnessError, match="witness-request:"):
        parse_sign_subtree(f"{RANGE}\n{HASH}\n\n".encode() + reference)
