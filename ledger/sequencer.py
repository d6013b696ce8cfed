"""The order in which things happen when entries are appended.

    1  one transaction, under the write lock: domain effects, entries, tiles, and the new head
       by compare-and-swap on the old one
    2  commit; it returns when everything of 1 is durable
    3  the checkpoint of the committed head is signed and published
    4  the callers are answered
    5  witnesses are asked, by another thread, where the policy has any (`ledger.witnessing`)

A checkpoint is never signed before 2, so never for a state that could still roll back. Whatever
dies between 2 and 3 leaves entries that the next append, or the next start, publishes.

Submissions that arrive while a transaction runs share the next one (group commit): one thread per
ledger takes what is waiting, up to a bound. Where several callers are at work, it waits a moment
for those just answered to come again: otherwise two halves of them would take turns, each paying
for a transaction of its own. Nothing of the tree is kept between transactions, so
other processes may append to the same store at any time.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ledger.errors import LedgerError
from ledger.model import (
    MAX_ENTRY_BYTES,
    Appended,
    Committed,
    Draft,
    EntryRow,
    Head,
    Published,
)
from ledger.publisher import Publisher
from ledger.stores.base import Effects, Store, Writer
from verifier.merkle import HASH_SIZE, Frontier, leaf_hash
from verifier.tiles import FULL_WIDTH, TILE_HEIGHT

GROUP_ENTRIES = 4_096
GROUP_BYTES = 4 << 20
"""A transaction takes submissions up to these bounds; a larger submission has one of its own."""

MAX_SUBMISSION = 65_536
"""Most entries of one submission."""

MAX_WAITING = 262_144
MAX_WAITING_BYTES = 256 << 20
"""Most entries, and bytes of them, that may wait; beyond, `ledger-busy`. One submission always may.
"""

LINGER_SECONDS = 0.002
"""Longest wait for callers just answered, while others wait already."""

_ATTEMPTS = 8  # at a compare-and-swap that others win, or over a connection that breaks
_AGAIN = frozenset({"ledger-head-moved", "ledger-store-lost", "ledger-commit-unknown"})
"""Raised by a transaction that is known to have left nothing, and may succeed when repeated."""
_OF_ALL = frozenset(
    {"ledger-busy", "ledger-commit-unknown", "ledger-store-unreachable", "ledger-not-durable"}
)
"""No fault of one submission: what befalls a group befalls each of its members."""
_STOPS = frozenset({"ledger-rolled-back", "ledger-forked"})
"""Found when publishing: from then on nothing is written."""
_Time = Callable[[], float]


@dataclass(eq=False)
class _Submission:
    drafts: Sequence[Draft]
    hashes: list[bytes]
    size: int  # bytes
    effects: Effects[Any] | None
    future: "Future[Committed[Any]]" = field(default_factory=Future)


@dataclass
class _Transaction:
    """What one transaction has done: the head it makes, and how each submission ended."""

    old: Head
    new: Head
    rows: list[EntryRow] = field(default_factory=list)
    changed: bool = False  # anything to commit
    done: list[tuple[_Submission, tuple[Appended, ...], Any]] = field(default_factory=list)
    refused: list[tuple[_Submission, Exception]] = field(default_factory=list)


class Sequencer:
    """The one writer of this process."""

    def __init__(self, store: Store, publisher: Publisher, clock: _Time) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._waiting: deque[_Submission] = deque()
        self._entries_waiting = self._bytes_waiting = 0
        self._expected = 1  # submissions that the writer sleeps for
        self._wake = threading.Condition()
        self._closed = False
        self.refusal: LedgerError | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    def submit(
        self, drafts: Sequence[Draft], effects: Effects[Any] | None
    ) -> "Future[Committed[Any]]":
        """Queue a submission. What is wrong with it, or with the queue, is raised at once."""
        if threading.current_thread() is self._thread:
            raise LedgerError("ledger-nested")
        if len(drafts) > MAX_SUBMISSION:
            raise LedgerError("ledger-batch-too-large", f"{len(drafts)} of {MAX_SUBMISSION}")
        lengths = [len(draft.entry) for draft in drafts]
        if lengths and not 1 <= min(lengths) <= max(lengths) <= MAX_ENTRY_BYTES:
            raise LedgerError("ledger-entry-size", f"{min(lengths)} to {max(lengths)} bytes")
        hashes = [leaf_hash(draft.entry) for draft in drafts]
        submission = _Submission(tuple(drafts), hashes, sum(lengths), effects)
        with self._wake:
            if self._closed:
                raise LedgerError("ledger-closed")
            self._check_refusal()
            entries = self._entries_waiting + len(hashes)
            size = self._bytes_waiting + submission.size
            if self._waiting and (entries > MAX_WAITING or size > MAX_WAITING_BYTES):
                raise LedgerError("ledger-busy", f"{self._entries_waiting} entries are waiting")
            self._entries_waiting, self._bytes_waiting = entries, size
            self._waiting.append(submission)
            if self._all_here():
                self._wake.notify()
        return submission.future

    def refuse(self, error: LedgerError) -> None:
        """Write nothing any more: `error` is what all who ask are told from now on."""
        self.refusal = self.refusal or error

    def _check_refusal(self) -> None:
        if self.refusal is not None:
            raise LedgerError(self.refusal.code, self.refusal.detail)

    def close(self) -> None:
        """Refuse new submissions, finish those that wait, end the thread. May be repeated."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        answered = 0
        while group := self._take(answered):
            self._serve(group)
            answered = len(group)

    def _all_here(self) -> bool:
        return self._closed or len(self._waiting) >= self._expected

    def _take(self, answered: int) -> list[_Submission]:
        """The next group; empty when closed and nothing waits. `answered`: how many have just
        been, and may come again."""
        group: list[_Submission] = []
        entries = size = 0
        with self._wake:
            if self._waiting and not self._closed:
                self._expected = min(len(self._waiting) + answered, GROUP_ENTRIES)
                self._wake.wait_for(self._all_here, LINGER_SECONDS)
            self._expected = 1
            while not group:
                while not self._waiting and not self._closed:
                    self._wake.wait()
                if not self._waiting:
                    break
                while self._waiting:
                    first = self._waiting[0]
                    entries += len(first.hashes)
                    size += first.size
                    if group and (entries > GROUP_ENTRIES or size > GROUP_BYTES):
                        break
                    self._waiting.popleft()
                    self._entries_waiting -= len(first.hashes)
                    self._bytes_waiting -= first.size
                    if first.future.set_running_or_notify_cancel():
                        group.append(first)
        return group

    def _serve(self, group: list[_Submission]) -> None:
        """Steps 1 to 4 for a group; if it fails as a whole, for each of its members alone."""
        try:
            transaction = self._commit(group)
        except LedgerError as error:
            if len(group) == 1 or error.code in _OF_ALL:
                _fail(group, error)
                return
        except BaseException as error:  # noqa: BLE001 - the thread must outlive it
            if len(group) == 1:
                failure = LedgerError("ledger-write-failed", f"{type(error).__name__}: {error}")
                failure.__cause__ = error
                _fail(group, failure)
                return
        else:
            self._answer(transaction)
            return
        for submission in group:
            self._serve([submission])

    def _commit(self, group: Sequence[_Submission]) -> _Transaction:
        """Steps 1 and 2. When it raises, nothing of the group is stored, but for
        `ledger-commit-unknown`."""
        # Most entries are new, so those without effects are not looked for before they are added.
        look = any(submission.effects for submission in group)
        self._check_refusal()
        for _ in range(_ATTEMPTS):
            filled: _Transaction | None = None
            try:
                with self._store.write() as writer:
                    filled = self._fill(writer, group, look)  # 1
                    if filled.changed:
                        writer.commit()  # 2
                    return filled
            except Exception as error:
                if filled is not None and (not filled.changed or self._landed(filled, error)):
                    return filled
                code = error.code if isinstance(error, LedgerError) else ""
                if code == "ledger-entry-exists" and not look:
                    look = True
                elif code not in _AGAIN:
                    raise
        raise LedgerError("ledger-busy", f"{_ATTEMPTS} attempts were overtaken or broken off")

    def _landed(self, lost: _Transaction, cause: Exception) -> bool:
        """Whether a commit that raised took place all the same; asked under the write lock, which
        no transaction in flight can hold. Entries and effects of one transaction share its fate.
        What it finds is durable: a later commit is, so all before it are."""
        for _ in range(_ATTEMPTS if lost.rows else 0):
            try:
                with self._store.write() as writer:
                    if writer.head().size < lost.new.size:
                        return False
                    there = writer.leaf_hashes(lost.old.size, len(lost.rows))
                    landed = there == [row[1] for row in lost.rows]
                    writer.commit()
                    return landed
            except LedgerError as error:
                if error.code not in _AGAIN:
                    break
        raise LedgerError("ledger-commit-unknown", str(cause)) from cause

    def _fill(self, writer: Writer, group: Sequence[_Submission], look: bool) -> _Transaction:
        """Step 1: everything but the commit. Unless told to look for entries that are there, it
        takes all for new, and finding one that is not is `ledger-entry-exists`."""
        old = writer.head()
        transaction = _Transaction(old, old)
        known: dict[bytes, int] = {}
        if look:
            known.update(writer.indices_of([h for s in group for h in s.hashes]))
        now_ms = int(self._clock() * 1000)
        for submission in group:
            self._place(writer, transaction, submission, known, now_ms)
        rows = transaction.rows
        if rows:
            frontier = Frontier(old.size, old.frontier)
            if frontier.root() != old.root:
                raise LedgerError("ledger-inconsistent", "the head does not match its frontier")
            tiles = _Tiles(writer)
            frontier.extend([row[1] for row in rows], tiles.on_node)
            transaction.new = Head(frontier.size, frontier.root(), frontier.hashes)
            writer.insert_entries(rows)
            tiles.write()
            writer.swap_head(old, transaction.new)
            transaction.changed = True
        return transaction

    def _place(
        self,
        writer: Writer,
        transaction: _Transaction,
        submission: _Submission,
        known: dict[bytes, int],
        now_ms: int,
    ) -> None:
        """Give indices to the entries that are not there yet, then run the effects. If these
        raise, the submission is as if it had never come."""
        rows = transaction.rows
        before = len(rows)
        index = transaction.old.size + before
        appended: list[Appended] = []
        for draft, digest in zip(submission.drafts, submission.hashes, strict=True):
            at = known.setdefault(digest, index)
            fresh = at == index
            if fresh:
                rows.append((index, digest, draft.entry, draft.kind, draft.dept, now_ms))
                index += 1
            appended.append(Appended(at, digest, draft.entry, not fresh))
        result: Any = None
        if submission.effects is not None:
            refusal: Exception | None = None
            try:
                with writer.savepoint():
                    try:
                        result = submission.effects(writer.connection, tuple(appended))
                    except Exception as error:
                        refusal = error
                        raise
            except Exception as error:
                if error is not refusal:
                    raise  # undoing failed, so the whole transaction must go
                for row in rows[before:]:
                    del known[row[1]]
                del rows[before:]
                transaction.refused.append((submission, error))
                return
            transaction.changed = True
        transaction.done.append((submission, tuple(appended), result))

    def _answer(self, transaction: _Transaction) -> None:
        """Steps 3 and 4."""
        for submission, refusal in transaction.refused:
            submission.future.set_exception(refusal)
        try:
            published: Published = self._publisher.publish(transaction.new)  # 3
        except BaseException as error:  # noqa: BLE001 - the entries are in; say so
            if isinstance(error, LedgerError) and error.code in _STOPS:
                self.refuse(error)
            for submission, _, _ in transaction.done:
                failure = LedgerError("ledger-logged-not-published", str(error))
                failure.__cause__ = error
                submission.future.set_exception(failure)
            return
        for submission, appended, result in transaction.done:  # 4
            submission.future.set_result(Committed(appended, result, published.size))


class _Tiles:
    """Collects the hashes that new leaves add to tiles of level 1 and above."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._new: dict[tuple[int, int], tuple[int, list[bytes]]] = {}

    def on_node(self, height: int, index: int, node: bytes) -> None:
        level, between = divmod(height, TILE_HEIGHT)
        if not between:
            n, at = divmod(index, FULL_WIDTH)
            self._new.setdefault((level, n), (at, []))[1].append(node)

    def write(self) -> None:
        for (level, n), (at, hashes) in self._new.items():
            before = self._writer.tile(level, n) if at else b""
            if len(before) != at * HASH_SIZE:
                raise LedgerError("ledger-inconsistent", f"tile {level}/{n}: {len(before)} bytes")
            self._writer.put_tile(level, n, before + b"".join(hashes))


def _fail(group: Sequence[_Submission], error: LedgerError) -> None:
    for submission in group:
        submission.future.set_exception(error)
