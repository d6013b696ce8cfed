"""Splitting an audit's work: read ahead, examine on every core, hand back in ledger order.

The first job is examined in this process while the workers start, since a city enrols its
departments first: the jobs that follow then carry the keys.
"""

from collections import deque
from collections.abc import Callable, Iterator
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
    files: Files, processes: int, *, tree_only: bool
) -> Iterator[tuple[Examined, dict[bytes, bytes]]]:
    """Every bundle examined, in order, with the keys that its signatures were checked with."""
    known: dict[bytes, bytes] = {}
    for outcome in _outcomes(files, processes, known, tree_only):
        known.update(outcome.keys)
        for one in outcome.bundles:
            yield one, outcome.keys


def _outcomes(
    files: Files, processes: int, known: dict[bytes, bytes], tree_only: bool
) -> Iterator[Outcome]:
    bundles = -(-files.size // FULL_WIDTH)
    alone = processes == 1 or bundles <= _MAX_ALONE
    with (
        ThreadPoolExecutor(READERS, "audit-read") as readers,
        nullcontext() if alone else Pool(processes) as pool,
    ):
        groups = _groups(_ahead(readers, files.bundle, bundles, 2 * JOB_BUNDLES * processes))
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


def _ahead(
    readers: ThreadPoolExecutor, fetch: Callable[[int], T], count: int, depth: int
) -> Iterator[T]:
    """`fetch(0)`, `fetch(1)` … in order, up to `depth` of them under way at a time."""
    pending: deque[Future[T]] = deque()
    for n in range(count):
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
