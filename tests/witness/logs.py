"""Logs that a witness is shown: all leaves in memory, proofs by the specification's recursion."""

from collections.abc import Callable, Sequence
from pathlib import Path

from keys.signer import SoftwareSigner
from keys.suites import BY_NAME
from ledger.stores.witness import WitnessState, create_state
from ledger.witness import Witness, WitnessedLog, format_add_checkpoint
from tests.verifier.twin import mth, proof
from verifier.checkpoint import Checkpoint
from verifier.note import NoteSigner, sign_note

NAME = "witness.example/w1"
ORIGIN = "log.example/l1"
NOW = 1_800_000_000


def signer(seed: int, name: str = NAME, type: int = 0x04) -> NoteSigner:
    """A key of the seed `seed` repeated: the same in every process."""
    suite = BY_NAME["ml-dsa-44" if type == 0x06 else "ed25519"]
    return NoteSigner(name, SoftwareSigner(suite, bytes([seed]) * 32), type)


def witness_signers(seed: int = 200) -> list[NoteSigner]:
    return [signer(seed), signer(seed, type=0x06)]


class GrowingLog:
    """A log that signs what it is told to; every proof is the slow twin's."""

    def __init__(
        self, origin: str = "log.example/l1", *, seed: int = 1, both: bool = False
    ) -> None:
        self.origin = origin
        self.signers = [signer(seed, origin, 0x01)]
        if both:
            self.signers.append(signer(seed, origin, 0x06))
        self.entries: list[bytes] = []

    @property
    def witnessed(self) -> WitnessedLog:
        return WitnessedLog(self.origin, tuple(one.key for one in self.signers))

    def grow(self, count: int, mark: bytes = b"") -> "GrowingLog":
        start = len(self.entries)
        self.entries += [b"%d %b" % (index, mark) for index in range(start, start + count)]
        return self

    def fork(self, at: int) -> "GrowingLog":
        """Another history of the same log from the entry `at` on."""
        other = GrowingLog(self.origin)
        other.signers = self.signers
        other.entries = self.entries[:at]
        return other

    def root(self, size: int | None = None) -> bytes:
        return mth(self.entries[:size])

    def checkpoint(self, size: int | None = None, extensions: Sequence[str] = ()) -> bytes:
        """The signed note of the first `size` entries."""
        count = len(self.entries) if size is None else size
        value = Checkpoint(self.origin, count, self.root(count), tuple(extensions))
        return sign_note(value.body(), self.signers, NOW)

    def proof(self, old: int, size: int | None = None) -> list[bytes]:
        return proof(old, self.entries[:size]) if old else []

    def request(self, old: int, size: int | None = None) -> bytes:
        """The body of an honest `add-checkpoint`."""
        return format_add_checkpoint(old, self.proof(old, size), self.checkpoint(size))


class Clock:
    """Unix seconds that the test sets."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def new_state(folder: Path, *logs: GrowingLog, signers: Sequence[NoteSigner] = ()) -> WitnessState:
    keys = [one.key for one in signers or witness_signers()]
    state = create_state(folder / "witness.db", keys)
    for log in logs:
        state.add_log(log.witnessed)
    return state


def new_witness(
    folder: Path, *logs: GrowingLog, clock: Callable[[], float] | None = None
) -> Witness:
    """A witness of both kinds of keys that witnesses `logs`."""
    return Witness(new_state(folder, *logs), witness_signers(), clock or Clock())
