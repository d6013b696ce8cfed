"""Signing and publishing checkpoints: only committed heads, never a smaller one after a larger."""

from collections.abc import Callable, Sequence

from ledger.errors import LedgerError
from ledger.model import Head, Published
from ledger.stores.base import Store
from verifier.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from verifier.note import NoteSigner, parse_note


class Publisher:
    """Signs heads of one origin; `clock` gives Unix seconds. Used by one thread at a time; other
    processes may publish too."""

    def __init__(
        self,
        store: Store,
        origin: str,
        signers: Sequence[NoteSigner],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._origin = origin
        self._signers = tuple(signers)
        self._clock = clock
        self._latest: Published | None = None

    def publish(self, head: Head) -> Published:
        """The published checkpoint, of at least the size of `head`, which must be durable.

        Nothing is signed when a checkpoint that covers `head` is known to be out. Errors: those of
        the signers and of the store; `ledger-forked` when the same size is out with another root.
        """
        if self._latest is not None and self._latest.size >= head.size:
            return self._latest
        ours = Checkpoint(self._origin, head.size, head.root)
        note = sign_checkpoint(ours, self._signers, int(self._clock()))
        latest = self._store.publish(Published(head.size, note))
        if latest.size < head.size:
            raise LedgerError("ledger-inconsistent", "the checkpoint was not stored")
        if latest.size == head.size and latest.note != note:
            theirs = read_published(latest)
            if theirs.origin != ours.origin:
                raise LedgerError("ledger-origin-mismatch", theirs.origin)
            if theirs.root != ours.root:
                raise LedgerError("ledger-forked", f"size {head.size}")
        self._latest = latest
        return latest


def read_published(published: Published) -> Checkpoint:
    """The checkpoint in a stored note; its signature is not checked here."""
    checkpoint = parse_checkpoint(parse_note(published.note).text)
    if checkpoint.size != published.size:
        raise LedgerError("ledger-inconsistent", "checkpoint row and note differ in size")
    return checkpoint
