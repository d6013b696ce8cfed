"""Deltas: what they make is the new file, they are small where little changed, and are bounded."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.helpers import refused
from verifier.delta import Part, apply_delta, make_delta


def noise(size: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size)


def new_bytes(parts: list[Part]) -> int:
    return sum(len(part) for part in parts if isinstance(part, bytes))


@st.composite
def edited(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A file, and the file after cuts, insertions and moves."""
    old = noise(draw(st.integers(0, 3_000)), draw(st.integers(0, 3)))
    new = old
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(new)))
        end = min(len(new), at + draw(st.integers(0, 200)))
        match draw(st.sampled_from(["cut", "insert", "move", "repeat"])):
            case "cut":
                new = new[:at] + new[end:]
            case "insert":
                new = new[:at] + draw(st.binary(max_size=80)) + new[at:]
            case "move":
                new = new[:at] + new[end:] + new[at:end]
            case _:
                new = new[:end] + new[at:end] + new[end:]
    return old, new


@given(edited())
def test_the_parts_make_the_new_file(files: tuple[bytes, bytes]) -> None:
    old, new = files
    parts = make_delta(old, new)
    assert apply_delta(old, parts, max_bytes=len(new)) == new
    assert all(part if isinstance(part, bytes) else part[1] for part in parts)
    for one, other in pairwise(parts):
        assert not (isinstance(one, bytes) and isinstance(other, bytes))


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_files_with_nothing_in_common(old: bytes, new: bytes) -> None:
    assert apply_delta(old, make_delta(old, new), max_bytes=300) == new


def test_what_did_not_change_is_copied() -> None:
    old = noise(500_000)
    assert make_delta(old, old) == [(0, len(old))]
    new = old[:1_000] + b"one" + old[1_000:300_000] + b"another" + old[300_010:]
    parts = make_delta(old, new)
    assert new_bytes(parts) == 10
    assert len(parts) == 5


def test_a_run_is_found_at_any_offset() -> None:
    """63 bytes in common always hold a block; what is around it is found from there."""
    old = noise(4_096)
    for at in range(1_000, 1_064):
        parts = make_delta(old, b"!" + old[at : at + 63] + b"!")
        assert parts == [b"!", (at, 63), b"!"]


def test_a_large_file_is_known_by_larger_blocks() -> None:
    old = noise(9 << 20)
    new = old[5:3_000_000] + b"new" + old[3_000_000:]
    assert new_bytes(make_delta(old, new)) == 3


@pytest.mark.parametrize("part", [(0, 11), (10, 1), (-1, 2), (3, -1), (11, 0)])
def test_runs_lie_within_the_old_file(part: tuple[int, int]) -> None:
    with refused("pack-update-malformed"):
        apply_delta(bytes(10), [part], max_bytes=100)


def test_the_result_is_bounded_before_it_is_made() -> None:
    assert len(apply_delta(bytes(10), [(0, 10)] * 10, max_bytes=100)) == 100
    with refused("too-large"):
        apply_delta(bytes(10), [(0, 10)] * 10 + [b"x"], max_bytes=100)
    with refused("too-large"):
        apply_delta(bytes(1 << 20), [(0, 1 << 20)] * 10**6, max_bytes=1 << 26)
