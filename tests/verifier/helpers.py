"""What the tests of the formats share: keys from small numbers, and refusals by code."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from keys.signer import SoftwareSigner
from keys.suites import SUITES
from verifier.checkpoint import Checkpoint, add_cosignatures, cosign, sign_checkpoint
from verifier.errors import Refused
from verifier.merkle import Frontier, leaf_hash
from verifier.note import NoteSigner, parse_note

ORIGIN = "demo.zhenglian.example"
PLAIN, COSIGNATURE = 0x01, 0x04


@contextmanager
def refused(*codes: str) -> Iterator[pytest.ExceptionInfo[Refused]]:
    """The block must be refused with one of these codes."""
    with pytest.raises(Refused) as caught:
        yield caught
    assert caught.value.code in codes


def signer(seed: int, name: str = ORIGIN, type: int = PLAIN) -> NoteSigner:
    """An Ed25519 note key whose private half is `seed` repeated."""
    return NoteSigner(name, SoftwareSigner(SUITES[-19], bytes([seed]) * 32), type)


def witness(seed: int) -> NoteSigner:
    return signer(seed, f"witness{seed}.example/w", COSIGNATURE)


def frontier(entries: list[bytes]) -> Frontier:
    grown = Frontier()
    grown.extend(map(leaf_hash, entries))
    return grown


def cosigned(checkpoint: Checkpoint, log: NoteSigner, times: dict[NoteSigner, int]) -> bytes:
    """A checkpoint signed by the log and by each witness at its time."""
    data = sign_checkpoint(checkpoint, [log])
    body = parse_note(data).text
    return add_cosignatures(data, [cosign(body, time, who) for who, time in times.items()])
