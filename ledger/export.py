"""Writing a log out as static files that any tlog-tiles tool can read.

Every file is written under another name and renamed, tiles and bundles first, the checkpoint last;
so at any moment the folder holds a log, at worst an older one. A later export adds only what is
new: files that the folder's own checkpoint covers in full are left alone, once that checkpoint has
been found to be a prefix of the log.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.readside import (
    CHECKPOINT,
    DirectoryReadSide,
    LedgerReadSide,
    ReadSide,
    read_bundle,
    read_tile,
)
from ledger.static_folder import (
    TEMPORARY,
    locked,
    replace_bundle,
    replace_file,
    sync_folder,
)
from verifier.checkpoint import Checkpoint, parse_checkpoint
from verifier.merkle import HASH_SIZE
from verifier.note import parse_note
from verifier.tiles import (
    FULL_WIDTH,
    MAX_LEVEL,
    TilePath,
    TileTree,
    encode_bundle,
    tile_widths,
)

Progress = Callable[[int, int], None]
"""Called after each file with the number of files done and the number there will be."""


@dataclass(frozen=True)
class Exported:
    """What an export did: size of the log in the folder, files written, files left alone."""

    size: int
    written: int
    kept: int


def export(
    source: Ledger | ReadSide,
    folder: Path,
    progress: Progress | None = None,
    *,
    zipped: bool = False,
) -> Exported:
    """Bring `folder` up to the published checkpoint of `source`; create it where needed.

    With `zipped` each new bundle gets its gzip form beside it, for servers that send such files.

    1. The folder is empty, or holds an export of this origin (`ledger-export-foreign`) that no
       one else is writing (`ledger-export-busy`).
    2. Its checkpoint is not newer (`ledger-export-newer`) and is a prefix (`ledger-forked`).
    3. New tiles and bundles are written and reach the disk.
    4. The files give the root of the new checkpoint (`ledger-inconsistent`).
    5. The checkpoint is written; partial tiles that have become full are removed.

    Signatures and statements are the audit's business. Trouble with the folder is
    `ledger-export-failed`; trouble with `source` is told as it tells it.
    """
    log = LedgerReadSide(source) if isinstance(source, Ledger) else source
    note = log.read(CHECKPOINT)
    new = _checkpoint_in(note)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):  # 1
            old = _checkpoint_there(folder, new)
            _check_prefix(log, old, new)  # 2
            return _write(log, folder, note, old, new, progress, zipped)
    except OSError as error:
        raise LedgerError(
            "ledger-export-failed", f"{error.filename or folder.name}: {error.strerror}"
        ) from error


def _write(
    log: ReadSide,
    folder: Path,
    note: bytes,
    old: Checkpoint | None,
    new: Checkpoint,
    progress: Progress | None,
    zipped: bool,
) -> Exported:
    had = old.size if old is not None else 0
    paths = list(_paths(had, new.size))
    touched: set[Path] = set()
    for done, path in enumerate(paths, 1):  # 3
        data = _fetch(log, path)
        if path.level is None:
            touched.update(replace_bundle(folder, path.text(), data, zipped=zipped))
        else:
            touched.update(replace_file(folder, path.text(), data))
        if progress is not None:
            progress(done, len(paths))
    for directory in touched:
        sync_folder(directory)
    written = DirectoryReadSide(folder)
    tree = TileTree(new.size, lambda level, n, width: read_tile(written, level, n, width))
    if tree.root() != new.root:  # 4
        raise LedgerError("ledger-inconsistent", "the tiles do not give the checkpoint's root")
    replace_file(folder, CHECKPOINT, note)  # 5
    sync_folder(folder)
    for path in paths:
        if path.width == FULL_WIDTH:
            shutil.rmtree(folder / (path.text() + ".p"), ignore_errors=True)
    return Exported(new.size, len(paths) + 1, sum(1 for _ in _paths(0, had, partial=False)))


def _paths(had: int, size: int, *, partial: bool = True) -> Iterator[TilePath]:
    """The files of a log of `size` entries that one of `had` entries does not hold in full."""
    for level in (None, *range(MAX_LEVEL + 1)):
        full, width = tile_widths(size, level or 0)
        if not full and not width:
            return
        for n in range(tile_widths(had, level or 0)[0], full):
            yield TilePath(level, n, FULL_WIDTH)
        if width and partial:
            yield TilePath(level, full, width)


def _fetch(log: ReadSide, path: TilePath) -> bytes:
    if path.level is not None:
        data = read_tile(log, path.level, path.n, path.width)
        if len(data) != path.width * HASH_SIZE:
            raise LedgerError("ledger-inconsistent", f"{path.text()}: {len(data)} bytes")
        return data
    return encode_bundle(read_bundle(log, path.n, path.width))


def _checkpoint_in(note: bytes) -> Checkpoint:
    return parse_checkpoint(parse_note(note).text)


def _checkpoint_there(folder: Path, new: Checkpoint) -> Checkpoint | None:
    names = {entry.name for entry in folder.iterdir()}
    strange = names - {CHECKPOINT, CHECKPOINT + TEMPORARY, "tile"}
    if strange:
        raise LedgerError("ledger-export-foreign", min(strange))
    if CHECKPOINT not in names:
        return None
    old = _checkpoint_in(DirectoryReadSide(folder).read(CHECKPOINT))
    if old.origin != new.origin:
        raise LedgerError("ledger-export-foreign", old.origin)
    return old


def _check_prefix(log: ReadSide, old: Checkpoint | None, new: Checkpoint) -> None:
    if old is None:
        return
    if old.size > new.size:
        raise LedgerError("ledger-export-newer", f"{old.size}, the log has {new.size}")
    tree = TileTree(old.size, lambda level, n, width: read_tile(log, level, n, width))
    if tree.root() != old.root or (old.size == new.size and old.root != new.root):
        raise LedgerError("ledger-forked", f"size {old.size}")
