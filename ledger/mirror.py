"""A mirror: a copy of somebody's log that is kept up to date, and believed only once checked.

    <folder>/<SHA-256 of the origin, hex>/checkpoint             the mirror checkpoint
                                          checkpoint.pending     what is being copied towards
                                          tile/…                 as in the log
    <folder>/seen/<the same>/…                                   checkpoints not compared yet
    <folder>/refused/<the same>/…                                what a log was refused for

The path is that of C2SP tlog-mirror, so any number of logs lie side by side; so are the two
checkpoints. Files are fetched rather than pushed (`add-entries`), and the mirror signs nothing.

The order of effects. Killed at any point, the folder holds the log as it was, and the next run
goes on where this one stopped:

1. The checkpoint is fetched. Once the log is known to have signed it, it is kept as seen, until a
   run has compared it with the tree: a log that shows it, and then not its tree or not its
   witnesses, must stand by it. Then it is held to all else that its reader demands.
2. It extends the mirror checkpoint, the pending one, those seen, and any other that its reader
   knows, by the log's own tiles; else it is refused, what proves it is kept, and nothing else is
   changed.
3. It becomes the pending checkpoint, so that a log cannot change its mind before 6.
4. Hash tiles are written from the top down, each checked against the tile above it.
5. Entry bundles are written, each checked against the level-0 tile over it.
6. All listings are synced; then the checkpoint is replaced. Partial tiles that have become full
   are removed last: whoever holds the older checkpoint may use the full ones.

Files of an earlier run are checked like fetched ones, so nothing unchecked is ever covered.
"""

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from ledger.errors import LedgerError
from ledger.mirror_trust import Contradiction, Demands, Signed, check_extends
from ledger.readside import CHECKPOINT, DirectoryReadSide, ReadSide, read_bundle, read_tile
from ledger.static_folder import (
    TEMPORARY,
    ZIPPED,
    locked,
    replace_bundle,
    replace_file,
    sync_folder,
)
from verifier.checkpoint import Checkpoint
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE, Frontier, leaf_hash
from verifier.tiles import (
    FULL_WIDTH,
    MAX_LEVEL,
    TilePath,
    TileTree,
    encode_bundle,
    entries_path,
    parse_bundle,
    tile_path,
    tile_widths,
)

PENDING: Final = CHECKPOINT + ".pending"
SEEN: Final = "seen"
MAX_SEEN: Final = 64
"""Checkpoints kept as seen; a log that goes on showing more has been refused as often."""
REFUSED: Final = "refused"
READERS: Final = 4
"""Requests to the source at a time."""
DELAYS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each repetition of a read that failed."""

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called after each file with the number of files done and the number there will be."""


@dataclass(frozen=True)
class Mirrored:
    """What a run did: sizes before and after, files fetched, files an earlier run had left."""

    origin: str
    folder: Path
    before: int
    size: int
    fetched: int
    found: int


def log_folder(folder: Path, origin: str) -> Path:
    """Where a mirror keeps the log of this origin (C2SP tlog-mirror)."""
    return folder / sha256(origin.encode()).hexdigest()


def mirror(
    source: ReadSide,
    folder: Path,
    demands: Demands,
    *,
    sleep: Callable[[float], object],
    progress: Progress = lambda done, total: None,
    readers: int = READERS,
    zipped: bool = False,
) -> Mirrored:
    """Brings the mirror below `folder` up to the checkpoint of `source`; creates it where needed.

    `sleep` waits seconds between repetitions, which every read gets that fails. With `zipped` each
    bundle gets its gzip form beside it.

    Raises what `demands` refuse a checkpoint for; `mirror-source-behind` and `mirror-forked` (see
    `ledger.mirror_trust`), `mirror-source-wrong` (a file does not fit the checkpoint);
    `ledger-read-failed`, `ledger-path-absent` from the source; `ledger-export-busy`,
    `ledger-export-foreign`, `ledger-export-failed` for the folder.
    """
    patient = _Patient(source, sleep)
    note = patient.read(CHECKPOINT)
    new = demands.signed(note)  # 1
    target = log_folder(folder, new.origin)
    seen = _Seen(folder / SEEN / target.name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with locked(target):
            try:
                if not _is_held(target, note):
                    seen.keep(note, new)
                demands.witnessed(note)
                run = _Run(patient, target, note, new, seen, progress, readers, zipped)
                return run.run(demands)
            except Contradiction as error:
                kept = folder / REFUSED / target.name
                for name, data in error.files.items():
                    replace_file(kept, name, data)
                    sync_folder(kept)
                seen.forget(error.proved)
                raise LedgerError(error.code, f"{error.detail}: {kept}") from error
    except OSError as error:
        where = error.filename or target.name
        raise LedgerError("ledger-export-failed", f"{where}: {error.strerror}") from error


class _Patient:
    """A source whose failing reads are repeated. What lacks a file may be a replica behind."""

    def __init__(self, source: ReadSide, sleep: Callable[[float], object]) -> None:
        self._source = source
        self._sleep = sleep

    def read(self, path: str) -> bytes:
        return self._retried(lambda: self._source.read(path))

    def tile(self, level: int, n: int, width: int) -> bytes:
        return self._retried(lambda: read_tile(self._source, level, n, width))

    def bundle(self, n: int, width: int) -> list[bytes]:
        return self._retried(lambda: read_bundle(self._source, n, width))

    def _retried(self, read: Callable[[], T]) -> T:
        for delay in DELAYS:
            try:
                return read()
            except LedgerError as error:
                if error.code not in ("ledger-read-failed", "ledger-path-absent"):
                    raise
            self._sleep(delay)
        return read()


class _Seen:
    """Checkpoints that the log signed and whose tree was not compared with the mirror's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def notes(self) -> dict[str, bytes]:
        """By the name of the file, which is SIZE-ROOT."""
        if not self._folder.exists():
            return {}
        files = (file for file in self._folder.iterdir() if file.suffix != TEMPORARY)
        return {file.name: file.read_bytes() for file in sorted(files)}

    def keep(self, note: bytes, checkpoint: Checkpoint) -> None:
        """One of each size and root."""
        name, held = self._name(checkpoint), self.notes()
        if name not in held and len(held) < MAX_SEEN:
            for folder in replace_file(self._folder, name, note):
                sync_folder(folder)

    def forget(self, checkpoints: Iterable[Checkpoint]) -> None:
        """They were compared."""
        for checkpoint in checkpoints:
            (self._folder / self._name(checkpoint)).unlink(missing_ok=True)

    def _name(self, checkpoint: Checkpoint) -> str:
        return f"{checkpoint.size}-{checkpoint.root.hex()}"


class _Run:
    """One run over one log's folder, which is locked."""

    def __init__(
        self,
        source: _Patient,
        folder: Path,
        note: bytes,
        new: Checkpoint,
        seen: _Seen,
        progress: Progress,
        readers: int,
        zipped: bool,
    ) -> None:
        self.source, self.folder, self.note, self.new = source, folder, note, new
        self.seen, self.progress, self.readers, self.zipped = seen, progress, readers, zipped
        self.local = DirectoryReadSide(folder)
        self.edge: dict[tuple[int, int], bytes] = {}
        self.touched = {folder.parent, folder}
        self.fetched = self.found = self.done = self.total = 0

    def run(self, demands: Demands) -> Mirrored:
        held = self._held(demands)
        before = held[CHECKPOINT].size if CHECKPOINT in held else 0
        mine = Signed(self.note, self.new, self._tile_of_new)
        self._check_edge()
        shown = self._shown(demands)
        for known in [*held.values(), *shown]:  # 2
            _of_source(partial(check_extends, mine, known, demands))
        if CHECKPOINT not in held or held[CHECKPOINT].note != self.note:
            replace_file(self.folder, PENDING, self.note)  # 3
            sync_folder(self.folder)
            if before < self.new.size:
                self._copy(before)  # 4, 5
            self._publish(before)  # 6
        self.seen.forget(known.checkpoint for known in shown)
        size = self.new.size
        return Mirrored(self.new.origin, self.folder, before, size, self.fetched, self.found)

    # --- what must not be contradicted ---------------------------------------------------------

    def _held(self, demands: Demands) -> dict[str, Signed]:
        """What is known of this log, by file name; only of the mirror checkpoint all tiles are."""
        names = {entry.name for entry in self.folder.iterdir()}
        ours = {CHECKPOINT, PENDING, "tile"}
        strange = names - ours - {name + TEMPORARY for name in ours}
        if strange:
            raise LedgerError("ledger-export-foreign", min(strange))
        held: dict[str, Signed] = {}
        for name in sorted({CHECKPOINT, PENDING} & names):
            held[name] = _signed(name, (self.folder / name).read_bytes(), demands)
        if CHECKPOINT in held:
            one = held[CHECKPOINT]
            held[CHECKPOINT] = Signed(one.note, one.checkpoint, self._tile_of_ours)
        if demands.known is not None:
            held["known"] = Signed(demands.known, demands.signed(demands.known))
        return held

    def _shown(self, demands: Demands) -> list[Signed]:
        """What was seen of the log that the new tree covers."""
        shown = [_signed(name, note, demands) for name, note in self.seen.notes().items()]
        return [one for one in shown if one.size <= self.new.size]

    def _check_edge(self) -> None:
        """The partial tiles of the new tree give its root; full ones hang below them."""
        tree = TileTree(self.new.size, self._tile_of_new)
        if _of_source(tree.root) != self.new.root:
            raise LedgerError("mirror-source-wrong", f"size {self.new.size}: another root")

    def _tile_of_new(self, level: int, n: int, width: int) -> bytes:
        if width == FULL_WIDTH:
            return self.source.tile(level, n, width)
        if (level, n) not in self.edge:
            self.edge[level, n] = self.source.tile(level, n, width)
        return self.edge[level, n]

    def _tile_of_ours(self, level: int, n: int, width: int) -> bytes:
        return read_tile(self.local, level, n, width)

    # --- copying -------------------------------------------------------------------------------

    def _full(self, level: int, before: int) -> range:
        """The full tiles of a level (or bundles, as level 0) that `before` entries had not."""
        return range(tile_widths(before, level)[0], tile_widths(self.new.size, level)[0])

    def _copy(self, before: int) -> None:
        levels = [level for level in range(MAX_LEVEL) if self.new.size >> 8 * level]
        bundles = [*self._full(0, before)]
        if (0, self.new.size // FULL_WIDTH) in self.edge:
            bundles.append(self.new.size // FULL_WIDTH)
        self.total = len(bundles) + sum(len(self._full(level, before)) for level in levels)
        for (level, n), data in self.edge.items():
            self._keep(TilePath(level, n, len(data) // HASH_SIZE), data)
        with ThreadPoolExecutor(self.readers, "mirror") as pool:
            try:
                for level in reversed(levels):
                    self._all(pool, self._tiles(level, self._full(level, before)))
                self._all(pool, (partial(self._bundle, n) for n in bundles))
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _all(self, pool: ThreadPoolExecutor, jobs: Iterable[Callable[[], bool]]) -> None:
        """Jobs in order, a few ahead; each says whether it fetched or found its file."""
        under_way: deque[Future[bool]] = deque()

        def take() -> None:
            if under_way.popleft().result():
                self.fetched += 1
            else:
                self.found += 1
            self.done += 1
            self.progress(self.done, self.total)

        for job in jobs:
            under_way.append(pool.submit(job))
            if len(under_way) > 2 * self.readers:
                take()
        while under_way:
            take()

    def _tiles(self, level: int, numbers: range) -> Iterator[Callable[[], bool]]:
        above, hashes = -1, b""
        for n in numbers:
            parent, position = divmod(n, FULL_WIDTH)
            if parent != above:
                above, hashes = parent, self._checked(level + 1, parent)
            root = hashes[position * HASH_SIZE : (position + 1) * HASH_SIZE]
            yield partial(self._tile, level, n, root)

    def _checked(self, level: int, n: int) -> bytes:
        """A tile of the new tree that has been written."""
        edge = self.edge.get((level, n))
        return read_tile(self.local, level, n, FULL_WIDTH) if edge is None else edge

    def _tile(self, level: int, n: int, root: bytes) -> bool:
        path = TilePath(level, n, FULL_WIDTH)
        left = self._left(path)
        if left is not None and _root_of(left) == root:
            self._touch(path)
            return False
        data = self.source.tile(level, n, FULL_WIDTH)
        if _root_of(data) != root:
            raise LedgerError("mirror-source-wrong", path.text())
        self._keep(path, data)
        return True

    def _bundle(self, n: int) -> bool:
        hashes = self._checked(0, n)
        path = TilePath(None, n, len(hashes) // HASH_SIZE)
        left = self._left(path)
        if left is not None and _leaves_of(left, path.width) == hashes:
            if (self.folder / (path.text() + ZIPPED)).exists() is not self.zipped:
                self._keep(path, left)
            self._touch(path)
            return False
        data = encode_bundle(_of_source(partial(self.source.bundle, n, path.width)))
        if _leaves_of(data, path.width) != hashes:
            raise LedgerError("mirror-source-wrong", path.text())
        self._keep(path, data)
        return True

    def _left(self, path: TilePath) -> bytes | None:
        """What an earlier run left there."""
        try:
            return self.local.read(path.text())
        except LedgerError:
            return None

    def _keep(self, path: TilePath, data: bytes) -> None:
        if path.level is None:
            replace_bundle(self.folder, path.text(), data, zipped=self.zipped)
        else:
            replace_file(self.folder, path.text(), data)
        self._touch(path)

    def _touch(self, path: TilePath) -> None:
        """Its listing, and those above it, are to be synced: an earlier run may not have."""
        parents = (self.folder / path.text()).parents
        self.touched.update(one for one in parents if one.is_relative_to(self.folder))

    def _publish(self, before: int) -> None:
        for folder in sorted(self.touched):
            sync_folder(folder)
        replace_file(self.folder, CHECKPOINT, self.note)
        sync_folder(self.folder)
        (self.folder / PENDING).unlink(missing_ok=True)
        for level in range(MAX_LEVEL):
            if not self.new.size >> 8 * level:
                break
            for n in self._full(level, before):
                for path in (tile_path(level, n), *([] if level else [entries_path(n)])):
                    shutil.rmtree(self.folder / (path + ".p"), ignore_errors=True)


def _is_held(folder: Path, note: bytes) -> bool:
    """Whether this very checkpoint is the mirror's, as at most runs."""
    path = folder / CHECKPOINT
    return path.exists() and path.read_bytes() == note


def _signed(name: str, note: bytes, demands: Demands) -> Signed:
    """A checkpoint that an earlier run kept."""
    try:
        return Signed(note, demands.signed(note))
    except Refused as error:
        raise LedgerError("mirror-damaged", f"{name}: {error.code}") from error


def _of_source(read: Callable[[], T]) -> T:
    """What the source sends and does not parse, as its fault."""
    try:
        return read()
    except Refused as error:
        raise LedgerError("mirror-source-wrong", f"{error.code} {error.detail}") from error


def _root_of(tile: bytes) -> bytes | None:
    """Root over the hashes of a full tile; None if it is not one."""
    if len(tile) != FULL_WIDTH * HASH_SIZE:
        return None
    frontier = Frontier()
    frontier.extend(tile[i : i + HASH_SIZE] for i in range(0, len(tile), HASH_SIZE))
    return frontier.root()


def _leaves_of(bundle: bytes, width: int) -> bytes | None:
    """The leaf hashes of a bundle; None if it is not one of `width` entries."""
    try:
        return b"".join(map(leaf_hash, parse_bundle(bundle, width)))
    except Refused:
        return None
