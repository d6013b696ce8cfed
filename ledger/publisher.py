"""Signing and publishing checkpoints: only committed heads, never a smaller one after a larger.

A checkpoint for whose size no witness is to be asked is final as it is published; every other one
becomes final when the witnesses have cosigned it (`ledger.witnessing`).
"""

from collections.abc import Callable, Sequence

from keys.errors import ZhenglianError
from ledger.errors import LedgerError
from ledger.model import Head, Published
from ledger.stores.base import Store
from verifier.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from verifier.note import NoteSigner, parse_note
from verifier.policy import Policy

PolicyAt = Callable[[int], Policy | None]
"""The witness policy in force for checkpoints of a tree size; None where no witness is asked."""


def no_witnesses(_size: int) -> Policy | None:
    """The policy of a log without witnesses."""
    return None


class Publisher:
    """Signs heads of one origin; `clock` gives Unix seconds. Used by one thread at a time; other
    processes may publish too. `told` learns what was published, and whether as final."""

    def __init__(
        self,
        store: Store,
        origin: str,
        signers: Sequence[NoteSigner],
        clock: Callable[[], float],
        policy: PolicyAt = no_witnesses,
        told: Callable[[Published, bool], None] = lambda _published, _final: None,
    ) -> None:
        self._store = store
        self._origin = origin
        self._signers = tuple(signers)
        self._clock = clock
        self._policy = policy
        self._told = told
        self._latest: Published | None = None

    def publish(self, head: Head) -> Published:
        """The published checkpoint, of at least the size of `head`, which must be durable.

        Nothing is signed when a checkpoint that covers `head` is known to be out. Errors: those of
        the signers and of the store; `ledger-forked` when the same size is out with another root,
        `ledger-rolled-back` when the head is behind what was seen published: a published head was
        committed, so the database has lost it.
        """
        if self._latest is not None:
            if self._latest.size > head.size:
                detail = f"size {head.size}, published {self._latest.size}"
                raise LedgerError("ledger-rolled-back", detail)
            if self._latest.size == head.size:
                return self._latest
        ours = Checkpoint(self._origin, head.size, head.root)
        note = sign_checkpoint(ours, self._signers, int(self._clock()))
        final = not self._asks_witnesses(head.size)
        latest = self._store.publish(Published(head.size, note), final)
        if latest.size < head.size:
            raise LedgerError("ledger-inconsistent", "the checkpoint was not stored")
        if latest.size == head.size and latest.note != note:
            theirs = read_published(latest)
            if theirs.origin != ours.origin:
                raise LedgerError("ledger-origin-mismatch", theirs.origin)
            if theirs.root != ours.root:
                raise LedgerError("ledger-forked", f"size {head.size}")
        self._latest = latest
        self._told(latest, final and latest.size == head.size)
        return latest

    def _asks_witnesses(self, size: int) -> bool:
        """A policy that cannot be told asks somebody: nothing is final by an error."""
        try:
            policy = self._policy(size)
        except ZhenglianError:
            return True
        return policy is not None and policy.least() > 0


def read_published(published: Published) -> Checkpoint:
    """The checkpoint in a stored note; its signature is not checked here."""
    checkpoint = parse_checkpoint(parse_note(published.note).text)
    if checkpoint.size != published.size:
        raise LedgerError("ledger-inconsistent", "checkpoint row and note differ in size")
    return checkpoint
