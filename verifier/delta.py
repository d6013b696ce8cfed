"""What one file has in common with another: copies from the old one, and bytes that are new.

A delta is a list of parts that, one after the other, make the new file: bytes as they stand, or
(offset, length) of a run in the old file. It knows nothing of what the files mean; whoever applies
one checks the hash of the result.
"""

from collections.abc import Sequence
from typing import Final

from verifier.errors import Refused

Part = bytes | tuple[int, int]
_LEAST_BLOCK: Final = 32
_MOST_BLOCKS: Final = 1 << 18


def make_delta(old: bytes, new: bytes) -> list[Part]:
    """Finds every run of `new` that holds a whole block of `old`, at any offset.

    Blocks have 32 bytes, in an old file of more than 8 MiB more. It costs about half a µs for
    each byte that is new; what was copied costs next to nothing.
    """
    block = max(_LEAST_BLOCK, -(-len(old) // _MOST_BLOCKS))
    where: dict[bytes, int] = {}
    for at in range(0, len(old) - block + 1, block):
        where.setdefault(old[at : at + block], at)
    parts: list[Part] = []
    at = done = 0
    while at + block <= len(new):
        found = where.get(new[at : at + block])
        if found is None:
            at += 1
            continue
        begin, end = at, at + block + _same(new, at + block, old, found + block)
        while begin > done and found > 0 and new[begin - 1] == old[found - 1]:
            begin, found = begin - 1, found - 1
        if begin > done:
            parts.append(new[done:begin])
        parts.append((found, end - begin))
        at = done = end
    if done < len(new):
        parts.append(new[done:])
    return parts


def apply_delta(old: bytes, parts: Sequence[Part], *, max_bytes: int) -> bytes:
    """The new file. Refused: `pack-update-malformed` (a run beyond the old file), `too-large`."""
    size = 0
    for part in parts:
        if isinstance(part, bytes):
            size += len(part)
        else:
            offset, length = part
            if offset < 0 or length < 0 or offset + length > len(old):
                raise Refused("pack-update-malformed", "a run beyond the file held")
            size += length
        if size > max_bytes:
            raise Refused("too-large", f"at most {max_bytes} bytes")
    return b"".join(
        part if isinstance(part, bytes) else old[part[0] : part[0] + part[1]] for part in parts
    )


def _same(one: bytes, i: int, other: bytes, j: int) -> int:
    """How many bytes agree from these offsets on: in steps that double, then halve."""
    most, count, step = min(len(one) - i, len(other) - j), 0, 64
    while step and count < most:
        step = min(step, most - count)
        if one[i + count : i + count + step] == other[j + count : j + count + step]:
            count += step
            step *= 2
        else:
            step //= 2
    return count
