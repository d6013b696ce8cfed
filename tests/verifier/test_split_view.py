"""Evidence of two histories: what it proves, what proves nothing, one spelling of the file."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from keys.signer import SoftwareSigner
from keys.suites import SUITES
from tests.city import City
from tests.verifier import twin
from tests.verifier.helpers import ORIGIN, cosigned, frontier, refused, signer, witness
from verifier.checkpoint import Checkpoint
from verifier.cli import run
from verifier.merkle import EMPTY_ROOT, roots_from_consistency
from verifier.note import NoteSigner, VerifierKey, sign_note
from verifier.report import Page, clock
from verifier.split_report import split_view_json, split_view_page
from verifier.split_view import (
    HEADER,
    MAX_SPLIT_VIEW,
    SplitView,
    check_split_view,
    format_split_view,
    make_split_view,
    parse_split_view,
)

NOW = 1_800_000_000
TRUNK = twin.entries(20)
LOG, W1, W2 = signer(1), witness(7), witness(8)


def branch(at: int) -> list[bytes]:
    """The trunk with another entry at `at`."""
    return [*TRUNK[:at], b"another entry", *TRUNK[at + 1 :]]


def note(entries: list[bytes], *witnesses: NoteSigner, log: NoteSigner = LOG) -> bytes:
    head = Checkpoint(log.name, len(entries), frontier(entries).root())
    return cosigned(head, log, {one: NOW + i for i, one in enumerate(witnesses)})


def subproof(size1: int, entries: list[bytes]) -> list[bytes]:
    return twin.subproof(size1, entries, False)


def evidence(size1: int = 7, size2: int = 13, *, at: int = 3) -> SplitView:
    """The trunk at `size1`, and at `size2` a tree with another entry at `at`."""
    larger = branch(at)[:size2]
    notes = (note(TRUNK[:size1], W1, W2), note(larger, W2))
    hashes = subproof(size1, larger) if size1 != size2 else []
    return make_split_view(notes, [LOG.key], hashes, [W1.key, W2.key])


# --- the proof -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size2", range(2, 21))
def test_both_roots_follow_from_a_subproof(size2: int) -> None:
    for size1 in range(1, size2):
        roots = roots_from_consistency(
            size1=size1, size2=size2, subproof=subproof(size1, TRUNK[:size2])
        )
        assert roots == (twin.mth(TRUNK[:size1]), twin.mth(TRUNK[:size2]))


def test_sizes_for_which_no_subproof_is() -> None:
    for size1, size2 in [(0, 5), (5, 5), (6, 5), (0, 0)]:
        with refused("merkle-out-of-range"):
            roots_from_consistency(size1=size1, size2=size2, subproof=[bytes(32)])
    with refused("merkle-hash-size"):
        roots_from_consistency(size1=1, size2=2, subproof=[bytes(32), bytes(31)])
    for wrong in ([], [bytes(32)], [bytes(32)] * 3):
        with refused("merkle-proof-length"):
            roots_from_consistency(size1=1, size2=2, subproof=wrong)


@pytest.mark.parametrize("size2", range(1, 14))
def test_every_pair_of_sizes_is_proved(size2: int) -> None:
    for size1 in range(1, size2 + 1):
        for at in {0, size1 - 1}:
            found = check_split_view(evidence(size1, size2, at=at), LOG.key)
            assert (found.first.size, found.second.size) == (size1, size2)
            assert {found.first.root, found.second_at_first} == {
                twin.mth(TRUNK[:size1]),
                twin.mth(branch(at)[:size1]),
            }


def test_what_is_confirmed() -> None:
    found = check_split_view(evidence())
    assert (found.origin, found.log_keys, found.trusted) == (ORIGIN, (LOG.key,), None)
    assert [[(one.name, one.timestamp) for one in side] for side in found.cosigners] == [
        [(W1.name, NOW), (W2.name, NOW + 1)],
        [(W2.name, NOW)],
    ]


def test_a_witness_whose_key_nobody_named_is_told_as_unchecked() -> None:
    notes = (note(TRUNK[:7], W1), note(branch(3)[:7], W2))
    view = make_split_view(notes, [LOG.key], witnesses=[W1.key])
    found = check_split_view(view)
    told = {one.name: one.timestamp for side in found.cosigners for one in side}
    assert told == {W1.name: NOW, W2.name: None}
    told = {
        one.name: one.timestamp
        for side in check_split_view(view, witnesses=[W2.key]).cosigners
        for one in side
    }
    assert told == {W1.name: NOW, W2.name: NOW}


# --- what proves nothing -------------------------------------------------------------------------


def test_one_history_is_no_evidence() -> None:
    cases: list[tuple[int, int, list[bytes]]] = [
        (7, 7, []),
        (7, 13, subproof(7, TRUNK[:13])),
        (8, 13, subproof(8, TRUNK[:13])),
    ]
    for size1, size2, hashes in cases:
        with refused("split-view-same-history"):
            make_split_view((note(TRUNK[:size1]), note(TRUNK[:size2])), [LOG.key], hashes)


@pytest.mark.parametrize("size1", [7, 8])
def test_a_proof_of_another_tree_proves_nothing(size1: int) -> None:
    """An honest log is not slandered by a wrong proof, whatever roots it gives."""
    honest = (note(TRUNK[:size1]), note(TRUNK[:13]))
    good = subproof(size1, TRUNK[:13])
    for wrong in (
        subproof(size1, branch(3)[:13]),
        [bytes(32), *good[1:]],
        [*good[:-1], bytes(32)],
        good[::-1],
    ):
        with refused("split-view-other-tree"):
            make_split_view(honest, [LOG.key], wrong)
    for wrong in (good[1:], [*good, bytes(32)], []):
        with refused("merkle-proof-length"):
            make_split_view(honest, [LOG.key], wrong)


def test_empty_trees_and_needless_hashes() -> None:
    empty = cosigned(Checkpoint(ORIGIN, 0, EMPTY_ROOT), LOG, {})
    with refused("merkle-out-of-range"):
        make_split_view((empty, note(TRUNK[:5])), [LOG.key], [bytes(32)])
    with refused("split-view-same-history"):
        make_split_view((empty, empty), [LOG.key])
    with refused("merkle-proof-length"):
        make_split_view((note(TRUNK[:5]), note(branch(2)[:5])), [LOG.key], [bytes(32)])


def test_checkpoints_that_the_log_did_not_sign() -> None:
    good = evidence()
    forged = note(branch(2)[:7], log=signer(2))
    with refused("note-unsigned"):
        check_split_view(replace(good, first=forged))
    head, _, lines = good.first.partition(b"\n\n")
    lied = head.replace(b"\n7\n", b"\n6\n") + b"\n\n" + lines
    with refused("note-bad-signature"):
        check_split_view(replace(good, first=lied))
    with refused("note-unsigned"):
        check_split_view(replace(good, log_keys=()))
    other = signer(1, "other.example")
    foreign = cosigned(Checkpoint("other.example", 7, bytes(32)), other, {})
    with refused("note-unsigned"):
        check_split_view(replace(good, first=foreign))
    with refused("note-unsigned"):
        check_split_view(replace(good, log_keys=(LOG.key, signer(2).key)))


def test_a_checkpoint_of_another_origin_than_its_key() -> None:
    text = Checkpoint("other.example", 7, bytes(32)).body()
    view = replace(evidence(), first=sign_note(text, [LOG]))
    with refused("checkpoint-origin"):
        check_split_view(view)


def test_another_key_is_trusted() -> None:
    check_split_view(evidence(), LOG.key)
    with refused("split-view-other-key"):
        check_split_view(evidence(), signer(2).key)


def test_witnesses_named_must_have_cosigned() -> None:
    with refused("note-unsigned"):
        check_split_view(replace(evidence(), witnesses=(witness(9).key,)))
    lines = evidence().first.split(b"\n")
    lines[-2] = lines[-2][:-8] + b"AAAAAAA="
    with refused("note-bad-signature", "base64-malformed"):
        check_split_view(replace(evidence(), first=b"\n".join(lines)))


# --- the file ------------------------------------------------------------------------------------


def test_a_file_reads_back() -> None:
    for view in (evidence(), evidence(9, 9), evidence(8, 16)):
        assert parse_split_view(format_split_view(view)) == view


def test_every_truncation_is_refused() -> None:
    notes = (note(TRUNK[:7], W1), note(branch(3)[:9]))
    hashes = subproof(7, branch(3)[:9])
    data = format_split_view(make_split_view(notes, [LOG.key], hashes, [W1.key]))
    for end in [*range(0, len(data), 5), len(data) - 1]:
        with refused(
            "split-view-malformed", "note-malformed", "note-signature-malformed",
            "base64-malformed", "note-key-malformed", "checkpoint-malformed",
        ):  # fmt: skip
            parse_split_view(data[:end])


def changed(how: Callable[[list[bytes]], list[bytes]]) -> bytes:
    head, rest = format_split_view(evidence()).split(b"\n\n", 1)
    return b"\n".join(how(head.split(b"\n"))) + b"\n\n" + rest


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (lambda lines: [b"zhenglian/split-view@v2", *lines[1:]], "split-view-malformed"),
        (lambda lines: [lines[0], *lines[2:]], "split-view-malformed"),
        (lambda lines: [*lines[:2], *lines[1:]], "split-view-malformed"),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "split-view-malformed"),
        (lambda lines: [lines[0], *lines[2:], lines[1]], "split-view-malformed"),
        (lambda lines: [*lines, b"extra AAAA"], "split-view-malformed"),
        (lambda lines: [*lines, lines[-1] + b" "], "too-large"),
        (lambda lines: [*lines, b"hash AAAA"], "merkle-hash-size"),
        (lambda lines: [*lines, *([lines[-1]] * 64)], "split-view-malformed"),
        (lambda lines: [lines[0], b"log \xff", *lines[2:]], "split-view-malformed"),
        (lambda lines: [lines[0], lines[1][:-1], *lines[2:]], "note-key-malformed"),
    ],
)
def test_other_spellings(how: Callable[[list[bytes]], list[bytes]], code: str) -> None:
    with refused(code):
        check_split_view(parse_split_view(changed(how)))


def test_checkpoints_in_the_other_order_and_files_too_large() -> None:
    view = evidence(9, 9)
    swapped = replace(view, first=view.second, second=view.first)
    with refused("split-view-malformed"):
        parse_split_view(format_split_view(swapped))
    with refused("too-large"):
        parse_split_view(HEADER + bytes(MAX_SPLIT_VIEW))


# --- the command ---------------------------------------------------------------------------------


def verify(path: Path, *argv: str) -> tuple[int, str]:
    out = io.StringIO()
    return run([str(path), *argv], io.BytesIO(), out, out, NOW), out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "evidence.txt"
    path.write_bytes(format_split_view(evidence()))
    return path


def test_verify_confirms_and_says_under_which_key(file: Path) -> None:
    status, text = verify(file, "--vkey", LOG.key.text())
    assert status == 4
    assert text.splitlines()[0] == "证据成立：此账本签署了两套互相矛盾的历史"
    found = check_split_view(evidence())
    for part in (ORIGIN, found.first.root.hex(), found.second.root.hex(), W1.name, "由您给出"):
        assert part in text
    assert f"见证方 {W2.name} 两个都联署了。" in text
    status, text = verify(file)
    assert status == 4
    assert "证据文件自称" in text
    status, text = verify(file, "--json")
    answer: Any = json.loads(text)
    assert (status, answer["code"], answer["trust"]) == (4, "two-histories", "file")
    assert [one["size"] for one in answer["checkpoints"]] == [7, 13]
    assert answer["cosigned_both"] == [W2.name]


def test_a_witness_with_two_keys_is_named_once() -> None:
    """Each checkpoint once, however many of its keys are known."""
    twin_key = NoteSigner(W1.name, SoftwareSigner(SUITES[-48], bytes(32)), 0x06)
    notes = (note(TRUNK[:7], W1, twin_key), note(branch(3)[:7], twin_key, W1))
    for known, rows in [
        ([W1, twin_key], [f"{W1.name} ({clock(NOW)})"] * 2),
        ([], [f"{W1.name} (its key is not known)"] * 2),
        ([W1], [f"{W1.name} ({clock(NOW)}; another signature not checked)"] * 2),
    ]:
        view = make_split_view(notes, [LOG.key], witnesses=[one.key for one in known])
        page = Page("en", colour=False, width=200)
        found = check_split_view(view)
        split_view_page(found, page)
        assert [line.split("  ")[-1].strip() for line in page.lines if "osigned" in line][
            :2
        ] == rows
        assert all(len(one["cosigners"]) == 2 for one in split_view_json(found)["checkpoints"])


def test_a_key_too_long_to_read_is_named_by_its_digest() -> None:
    long = NoteSigner(ORIGIN, SoftwareSigner(SUITES[-48], bytes(32)), 0x06).key
    page = Page("both", colour=False, width=100)
    split_view_page(replace(check_split_view(evidence()), log_keys=(long, LOG.key)), page)
    text = "".join("\n".join(page.lines).split())
    assert long.text() not in text
    digest = sha256(long.text().encode()).hexdigest()
    short = f"{ORIGIN}+{long.key_id:08x}+…(SHA-256{digest})"
    assert text.index(LOG.key.text()) < text.index(short)


def test_verify_under_the_key_of_a_pack(tmp_path: Path) -> None:
    city = City()
    heads = [note(TRUNK[:7], log=city.log), note(branch(2)[:7], log=city.log)]
    view = make_split_view((heads[0], heads[1]), [city.log.key])
    path, pack = tmp_path / "evidence.txt", tmp_path / "city.pack"
    path.write_bytes(format_split_view(view))
    pack.write_bytes(city.pack())
    status, text = verify(path, "--trust", str(pack))
    assert (status, "由您给出" in text) == (4, True)
    path.write_bytes(format_split_view(evidence()))
    status, text = verify(path, "--trust", str(pack))
    assert (status, "split-view-other-key" in text) == (1, True)


def test_verify_refuses_what_proves_nothing(file: Path) -> None:
    status, text = verify(file, "--vkey", signer(2).key.text())
    assert (status, "split-view-other-key" in text) == (1, True)
    file.write_bytes(file.read_bytes()[:-1])
    status, text = verify(file)
    assert status == 1
    assert "证据成立" not in text
    status, text = verify(file, "--vkey", "nonsense")
    assert (status, "note-key-malformed" in text) == (2, True)


def test_a_copy_of_the_verifier_confirms_it(file: Path, repo: Path, tmp_path: Path) -> None:
    for floor in ("keys", "verifier"):
        shutil.copytree(repo / floor, tmp_path / "alone" / floor)
    done = subprocess.run(
        [sys.executable, "-m", "verifier", str(file), "--vkey", LOG.key.text()],
        cwd=tmp_path / "alone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "证据成立" in done.stdout


def test_keys_are_those_that_signed_both() -> None:
    second: VerifierKey = signer(2).key
    view = make_split_view((note(TRUNK[:7]), note(branch(3)[:7])), [LOG.key, second])
    assert view.log_keys == (LOG.key,)
