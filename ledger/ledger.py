"""The ledger: append on one side, the public read side on the other.

Appending answers when the entries are durable and a published checkpoint covers them; the order
of effects is written at the head of `ledger.sequencer`. The read side shows nothing beyond the
published checkpoint, and serves tiles, bundles and proofs of it (C2SP tlog-tiles, tlog-proof).

There are two checkpoints. The *signed* one covers everything acknowledged. The *final* one is the
latest that its witness policy was met for; it is what the world is shown, and never ahead of the
signed one. Entries between the two can be read and proved, and are told apart: they are pending.
Where no witness is to be asked, the two are one.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, NamedTuple, Self, TypeVar, overload

from ledger.errors import LedgerError
from ledger.model import Checkpoints, Committed, Draft, Published, Standing
from ledger.publisher import PolicyAt, Publisher, no_witnesses
from ledger.sequencer import Sequencer
from ledger.stored import check_head, check_published, stored_tile, stored_tree
from ledger.stores.base import Effects, Reader, Store
from verifier.checkpoint import Checkpoint
from verifier.note import NoteSigner, VerifierKey
from verifier.plural import noun
from verifier.proof import TlogProof, format_proof
from verifier.tiles import FULL_WIDTH, TileTree, encode_bundle

T = TypeVar("T")
Finality = Literal["final", "pending"]
FINAL: Finality = "final"
PENDING: Finality = "pending"


class Proven(NamedTuple):
    """A proof, and whether the checkpoint in it is final."""

    proof: TlogProof
    finality: Finality


class Ledger:
    """One log over one store. Safe for use by many threads; see `open`."""

    def __init__(
        self,
        store: Store,
        origin: str,
        keys: Sequence[VerifierKey] = (),
    ) -> None:
        """Use `open`, which looks at what is there first."""
        self.origin = origin
        self.store = store
        self.keys = tuple(keys)
        """Of those who sign checkpoints here, the log's own first; none of a read-only ledger."""
        self.pending: Callable[[], None] = lambda: None
        """Called by the writing thread when something was published that is not final yet."""
        self._sequencer: Sequencer | None = None
        self._seen = 0  # a size known to be published; it never shrinks
        self._final_seen = 0  # the same of the final checkpoint
        self._first_write = threading.Lock()
        self._before_first_write: Callable[[], None] | None = None

    @classmethod
    def open(
        cls,
        store: Store,
        *,
        origin: str,
        signers: Sequence[NoteSigner],
        clock: Callable[[], float],
        policy: PolicyAt = no_witnesses,
    ) -> "Ledger":
        """Open the log `origin` in a store whose tables exist (`Store.create`).

        `signers` sign every checkpoint, the first of them under the name `origin`; with none the
        ledger is read-only. `clock` gives Unix seconds; `policy` says which witnesses must cosign
        a checkpoint of a size before it is final, and is asked once for each that is published.
        Cost and memory do not depend on the size of the log. In this order:

        1. The frontier, the entries' last index and the right edge of the tiles give the head
           (`ledger-inconsistent`).
        2. The published checkpoint is of this origin (`ledger-origin-mismatch`), signed by the
           first signer (`ledger-wrong-key`), not ahead of the head (`ledger-rolled-back`), and
           its root is what the tiles give at its size (`ledger-forked`). So is the final one.
        3. A head that is not published yet is signed and published: the empty tree of a fresh
           log, or what a process left that died after its commit.
        """
        if signers and signers[0].name != origin:
            raise LedgerError("ledger-wrong-key", f"the first signer is {signers[0].name}")
        key = signers[0].key if signers else None
        with store.read() as reader:
            head = reader.head()
            check_head(reader, head)  # 1
            for published in (reader.published(), reader.final()):
                if published is not None:
                    check_published(reader, head, published, origin, key)  # 2
        ledger = cls(store, origin, [signer.key for signer in signers])
        if signers:
            publisher = Publisher(store, origin, signers, clock, policy, ledger._published_now)
            publisher.publish(head)  # 3
            ledger._sequencer = Sequencer(store, publisher, clock)
        return ledger

    def close(self) -> None:
        """Finish what is queued and stop the writer; the store stays open. May be repeated."""
        if self._sequencer is not None:
            self._sequencer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    # append

    @overload
    def submit(self, drafts: Sequence[Draft]) -> "Future[Committed[None]]": ...
    @overload
    def submit(self, drafts: Sequence[Draft], effects: Effects[T]) -> "Future[Committed[T]]": ...
    def submit(
        self, drafts: Sequence[Draft], effects: Effects[T] | None = None
    ) -> "Future[Committed[T]] | Future[Committed[None]]":
        """Queue entries, in this order, and the domain writes that stand or fall with them.

        All of a submission is stored, or nothing. An entry whose leaf hash is in the ledger, or
        earlier in the submission, is answered with the index it has; so repeating is harmless.
        `effects` is described at `ledger.stores.base.Effects`; what it raises drops this submission
        alone and reaches the caller unchanged.

        The future ends with `Committed`, or with a `LedgerError`:
        `ledger-logged-not-published` (durable; the checkpoint follows with the next append or
        start) · `ledger-commit-unknown` (retry) · `ledger-busy` · `ledger-store-failed` and
        `ledger-write-failed` (nothing is stored) · `ledger-inconsistent`.
        Raised at once: `ledger-entry-size`, `ledger-batch-too-large`, `ledger-busy`,
        `ledger-nested`, `ledger-closed`, `ledger-read-only`, and once the ledger is known to have
        lost what it published `ledger-rolled-back` or `ledger-forked`.
        """
        if self._sequencer is None:
            raise LedgerError("ledger-read-only")
        if self._before_first_write is not None:
            self.look_first()
        return self._sequencer.submit(drafts, effects)

    @overload
    def append(self, drafts: Sequence[Draft]) -> Committed[None]: ...
    @overload
    def append(self, drafts: Sequence[Draft], effects: Effects[T]) -> Committed[T]: ...
    def append(
        self, drafts: Sequence[Draft], effects: Effects[T] | None = None
    ) -> Committed[T] | Committed[None]:
        """`submit`, and wait for the answer."""
        if effects is None:
            return self.submit(drafts).result()
        return self.submit(drafts, effects).result()

    def before_first_write(self, look: Callable[[], None]) -> None:
        """Has `look` called before the first submission is taken, and again while it raises;
        whoever comes meanwhile waits. It may `refuse`."""
        self._before_first_write = look

    def look_first(self) -> None:
        """Does now what is to be done before the first submission."""
        with self._first_write:
            if self._before_first_write is not None:
                self._before_first_write()
                self._before_first_write = None

    @property
    def restored(self) -> bool:
        """Whether a backup was restored, and not compared with the witnesses since."""
        with self.store.read() as reader:
            return reader.restored()

    def refuse(self, error: LedgerError) -> None:
        """Take no submission any more; each is told `error`. Reading goes on."""
        if self._sequencer is not None:
            self._sequencer.refuse(error)

    @property
    def refusal(self) -> LedgerError | None:
        """Why nothing is written any more."""
        return None if self._sequencer is None else self._sequencer.refusal

    # what is published

    @property
    def size(self) -> int:
        """Size of the signed tree: everything acknowledged."""
        with self.store.read() as reader:
            return self._published(reader).size

    @property
    def final_size(self) -> int:
        """Size of the final tree; 0 also before the first is final."""
        with self.store.read() as reader:
            return self._final_size(reader)

    @property
    def final_seen(self) -> int:
        """A size known to be final, without a look at the store; what it lacks may be final."""
        return self._final_seen

    def checkpoint(self) -> bytes:
        """The final checkpoint, a signed note. Error: `ledger-not-published`."""
        with self.store.read() as reader:
            return self._final(reader).note

    def signed_checkpoint(self) -> bytes:
        """The latest signed checkpoint, final or not. Error: `ledger-not-published`."""
        with self.store.read() as reader:
            return self._published(reader).note

    def checkpoints(self) -> Checkpoints:
        """Both, of one snapshot. Error: `ledger-not-published`."""
        with self.store.read() as reader:
            return Checkpoints(self._published(reader), self._final_known(reader))

    def standing(self) -> Standing:
        """Of head, signed and final tree. Error: `ledger-not-published`."""
        with self.store.read() as reader:
            head = reader.head().size
            signed, final = self._published(reader).size, self._final_size(reader)
            since = reader.logged_at(final) if final < head else None
            return Standing(head, signed, final, since, reader.restored())

    def finality(self, index: int) -> Finality:
        """Whether the final checkpoint covers the entry at `index`; one that is not published yet,
        or not there, is pending."""
        if index >= self._final_seen:
            with self.store.read() as reader:
                if index >= self._final_size(reader):
                    return PENDING
        return FINAL

    def finalise(self, checkpoint: Published) -> None:
        """Make a signed checkpoint of this ledger final. The caller has found the policy met."""
        self._final_seen = max(self._final_seen, self.store.finalise(checkpoint).size)

    def check_seen(self, seen: Checkpoint) -> None:
        """That a checkpoint which this log signed, whoever kept it, is of this ledger's history.

        Raises `ledger-rolled-back` if it is ahead of the committed head, `ledger-forked` if the
        tree of its size has another root. It must have been had before this is called: heads are
        committed before they are signed, by other processes too.
        """
        with self.store.read() as reader:
            head = reader.head()
            if seen.size > head.size:
                raise LedgerError("ledger-rolled-back", f"size {head.size}, signed {seen.size}")
            if stored_tree(reader, seen.size).root() != seen.root:
                raise LedgerError("ledger-forked", f"size {seen.size}")

    # read side

    def tile(self, level: int, n: int, width: int = FULL_WIDTH) -> bytes:
        """The first `width` hashes of a tile of the published tree (`ledger-out-of-range`)."""
        with self.store.read() as reader:
            self._check_tile(reader, level, n, width)
            return stored_tile(reader, level, n, width)

    def entry_bundle(self, n: int, width: int = FULL_WIDTH) -> bytes:
        """The first `width` entries of bundle `n` (`ledger-out-of-range`)."""
        with self.store.read() as reader:
            self._check_tile(reader, 0, n, width)
            entries = reader.entries(n * FULL_WIDTH, width)
        if len(entries) != width:
            found = noun(len(entries), "entry", "entries")
            raise LedgerError("ledger-inconsistent", f"bundle {n} has {len(entries)} {found}")
        return encode_bundle(entries)

    def entry(self, index: int) -> bytes:
        """The entry at `index` (`ledger-out-of-range`)."""
        with self.store.read() as reader:
            self._check_size(reader, index + 1, least=1)
            entries = reader.entries(index, 1)
        if not entries:
            raise LedgerError("ledger-inconsistent", f"entry {index} is missing")
        return entries[0]

    def index_of(self, leaf_hash: bytes) -> int:
        """Where the entry of this leaf hash is; `ledger-not-found`, also while not published."""
        with self.store.read() as reader:
            index = reader.indices_of([leaf_hash]).get(leaf_hash)
            if index is None or index >= self._published(reader).size:
                raise LedgerError("ledger-not-found", leaf_hash.hex())
            return index

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """RFC 9162 §2.1.3 in the tree of `size` (default: final). `ledger-out-of-range`."""
        with self._tree(size) as tree:
            if not 0 <= index < tree.size:
                raise LedgerError("ledger-out-of-range", f"index {index} of {tree.size}")
            return tree.inclusion_proof(index)

    def consistency_proof(self, size1: int, size2: int | None = None) -> list[bytes]:
        """RFC 9162 §2.1.4 from `size1` >= 1 to `size2` (default: final). Error as above."""
        with self._tree(size2) as tree:
            if not 1 <= size1 <= tree.size:
                raise LedgerError("ledger-out-of-range", f"size {size1} of {tree.size}")
            return tree.consistency_proof(size1)

    def prove(self, index: int) -> Proven:
        """Inclusion of `index` under the final checkpoint where it covers the entry, else under
        the signed one (`ledger-out-of-range`)."""
        with self.store.read() as reader:
            under, finality = self._published(reader), PENDING
            final = reader.final()
            if final is not None and index < final.size:
                under, finality = final, FINAL
            if not 0 <= index < under.size:
                raise LedgerError("ledger-out-of-range", f"index {index} of {under.size}")
            hashes = stored_tree(reader, under.size).inclusion_proof(index)
            return Proven(TlogProof(index, tuple(hashes), under.note), finality)

    def proof(self, index: int) -> TlogProof:
        """`prove`, for those who find out themselves what the checkpoint is worth."""
        return self.prove(index).proof

    def tlog_proof(self, index: int) -> bytes:
        """`proof` as C2SP tlog-proof text."""
        return format_proof(self.proof(index))

    def _published(self, reader: Reader) -> Published:
        published = reader.published()
        if published is None:
            raise LedgerError("ledger-not-published")
        self._seen = max(self._seen, published.size)
        return published

    def _final(self, reader: Reader) -> Published:
        final = self._final_known(reader)
        if final is None:
            raise LedgerError("ledger-not-published")
        return final

    def _final_known(self, reader: Reader) -> Published | None:
        final = reader.final()
        if final is not None:
            self._final_seen = max(self._final_seen, final.size)
        return final

    def _final_size(self, reader: Reader) -> int:
        final = self._final_known(reader)
        return 0 if final is None else final.size

    def _published_now(self, published: Published, final: bool) -> None:
        """By the publisher, in the writing thread."""
        self._seen = max(self._seen, published.size)
        if final:
            self._final_seen = max(self._final_seen, published.size)
        else:
            self.pending()

    def _check_size(self, reader: Reader, size: int, least: int) -> None:
        """`least` <= `size` <= what is published, which is read again only when `size` is news."""
        if size > self._seen:
            self._published(reader)
        if not least <= size <= self._seen:
            raise LedgerError("ledger-out-of-range", f"{size}, published {self._seen}")

    def _check_tile(self, reader: Reader, level: int, n: int, width: int) -> None:
        if not 0 <= level <= 7 or n < 0 or not 1 <= width <= FULL_WIDTH:
            raise LedgerError("ledger-out-of-range", f"tile {level}/{n}, width {width}")
        self._check_size(reader, (n * FULL_WIDTH + width) << 8 * level, least=1)

    @contextmanager
    def _tree(self, size: int | None) -> Iterator[TileTree]:
        with self.store.read() as reader:
            if size is None:
                size = self._final_size(reader)
            self._check_size(reader, size, least=0)
            yield stored_tree(reader, size)
