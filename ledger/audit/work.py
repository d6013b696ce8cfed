"""Splitting an audit's work: read ahead, examine on every core, hand back in ledger order.

The first job is examined in this process while the workers start, since a city enrols its
departments first: the jobs that follow then carry the keys.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from typing import Final, TypeVar

from ledger.audit.files import Files
from ledger.audit.pool import Pool
from ledger.audit.worker import Bundle, Examined, Job, Outcome, examine
from verifier.tiles import FULL_WIDTH

JOB_BUNDLES: Final = 4
"""Bundles in one job of a worker: 1,024 entries, about a tenth of a second."""
READERS: Final = 4
"""Bundles being fetched at the same time."""
_MAX_ALONE: Final = 16
"""Bundles that are sooner examined here than by processes that have to start first."""

T = TypeVar("T")


def examined(
    files: Files,
    processes: int,
    *,
    tree_only: bool,
    start: int = 0,
    known: dict[bytes, bytes] | None = None,
    checked: Callable[[int], bool] = lambda n: False,
) -> Iterator[tuple[Examined, dict[bytes, bytes]]]:
    """Every bundle from number `start` on examined, in order, with the keys that its signatures
    were checked with.

    `known` are keys seen before `start`; it learns those seen from there on. `checked(n)` tells
    that all signatures of a bundle of the very same bytes were found good before.
    """
    known = {} if known is None else known
    for outcome in _outcomes(files, processes, known, tree_only, start, checked):
        known.update(outcome.keys)
        for one in outcome.bundles:
            yield one, outcome.keys


def _outcomes(
    files: Files,
    processes: int,
    known: dict[bytes, bytes],
    tree_only: bool,
    start: int,
    checked: Callable[[int], bool],
) -> Iterator[Outcome]:
    end = -(-files.size // FULL_WIDTH)
    alone = processes == 1 or end - start <= _MAX_ALONE

    def fetch(n: int) -> Bundle:
        return files.bundle(n)._replace(checked=checked(n))

    with (
        ThreadPoolExecutor(READERS, "audit-read") as readers,
        nullcontext() if alone else Pool(processes) as pool,
    ):
        bundles = ahead(readers, fetch, range(start, end), 2 * JOB_BUNDLES * processes)
        groups = _groups(bundles)
        for group in islice(groups, None if pool is None else 1):
            yield examine(Job(group, known, tree_only))
        if pool is not None:
            jobs = (Job(group, dict(known), tree_only) for group in groups)
            yield from _in_parallel(pool, jobs, 2 * processes)


def _in_parallel(pool: Pool, jobs: Iterator[Job], depth: int) -> Iterator[Outcome]:
    """Outcomes in the order of the jobs, of which `depth` are under way at a time."""
    pending: deque[Future[Outcome]] = deque()
    for job in jobs:
        pending.append(pool.submit(job))
        if len(pending) > depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def ahead(
    readers: ThreadPoolExecutor, fetch: Callable[[int], T], numbers: Iterable[int], depth: int
) -> Iterator[T]:
    """`fetch` of each number, in order, up to `depth` of them under way at a time."""
    pending: deque[Future[T]] = deque()
    for n in numbers:
        pending.append(readers.submit(fetch, n))
        if len(pending) >= depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _groups(bundles: Iterator[Bundle]) -> Iterator[list[Bundle]]:
    group: list[Bundle] = []
    for bundle in bundles:
        group.append(bundle)
        if len(group) == JOB_BUNDLES:
            yield group
            group = []
    if group:
        yield group
