"""What a witness knows and answers, and what its state promises."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Protocol

from ledger.witness.errors import WitnessSetupError
from verifier.note import VerifierKey

FORK, UNPROVEN = "fork", "unproven"
"""Kinds of evidence. `FORK`: two checkpoints that no one history has, which convicts the log: of
one size with two roots, or with a proof that leads to the new root from another old one.
`UNPROVEN`: a checkpoint offered with a proof that leads nowhere. Whether the log forked or somebody
sent a wrong proof is not known until the log gives a right one."""


class Answer(NamedTuple):
    """What goes back to the client, by whatever way it came. `code` is that of a refusal, or ""."""

    status: int
    content_type: str
    body: bytes
    code: str = ""


@dataclass(frozen=True, slots=True)
class WitnessedLog:
    """A log that is witnessed: at least `at_least` of `keys` must have signed its checkpoints."""

    origin: str
    keys: tuple[VerifierKey, ...]
    at_least: int = 1

    def __post_init__(self) -> None:
        names = {(key.name, key.key_id) for key in self.keys}
        if not 1 <= self.at_least <= len(self.keys) or len(names) < len(self.keys):
            raise WitnessSetupError("witness-log-keys", self.origin[:64])


@dataclass(frozen=True, slots=True)
class Recorded:
    """The latest checkpoint cosigned of a log. `stamp` is the time in it, Unix seconds; `note`
    the checkpoint with the log's verified signatures and the witness's own."""

    size: int
    root: bytes
    stamp: int
    note: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """A checkpoint signed by its log that does not fit the one on record (`against`, a note).

    `kind` is `FORK` or `UNPROVEN`; `seen` in Unix seconds; `note` as it is in `Recorded`, without
    cosignatures. `hashes` are the proof offered: of a `FORK`, what `verifier.split_view` takes.
    """

    origin: str
    kind: str
    size: int
    root: bytes
    seen: int
    note: bytes
    against: bytes
    hashes: tuple[bytes, ...] = ()


class State(Protocol):
    """What a witness remembers. Safe for many threads, and for many processes on one state.

    Errors: `witness-busy` (nothing was done, try again), `witness-state-failed`.
    """

    def log(self, origin: str) -> WitnessedLog | None:
        """The log of that origin, if it is witnessed."""

    def recorded(self, origin: str) -> Recorded | None:
        """The latest checkpoint cosigned, None before the first. May be old when it is read."""

    def recorded_as(self, hashed: str) -> Recorded | None:
        """As `recorded`, by `origin_hash`."""

    def sizes(self) -> Mapping[str, int]:
        """The size on record of each log that is witnessed, 0 before the first cosignature."""

    def kept(self) -> Mapping[str, int]:
        """How much evidence is kept, by its kind."""

    def advance(self, origin: str, decide: Callable[[Recorded | None], Recorded]) -> Recorded:
        """Replaces what is recorded by what `decide` makes of it; durable when this returns.

        No other writer comes between: what `decide` is given is what its result replaces. What it
        raises is passed on, and nothing has changed. It is called once.
        """

    def keep(self, evidence: Evidence) -> bool:
        """Remembers it for the operator; whether it is news.

        Bounded for each log: of forks the first are kept, of the rest the latest.
        """


def origin_hash(origin: str) -> str:
    """How the monitoring side names a log: SHA-256 of its origin, in lower-case hex."""
    return sha256(origin.encode()).hexdigest()
