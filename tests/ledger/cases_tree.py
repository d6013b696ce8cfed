"""One case for each thing that can be wrong with the files of a log: see `CASES` at the end."""

from collections.abc import Callable, Mapping
from copy import copy
from functools import cache

from tests.ledger.audited import Shown
from tests.ledger.logs import City, Files, bundles, checkpoint, log_files, signer, tiles
from verifier.merkle import leaf_hash
from verifier.note import make_vkey
from verifier.policy import parse_policy
from verifier.tiles import FULL_WIDTH, entries_path, tile_path

SIZE = 700
"""Two full tiles and a partial one of 188 below one of level 1."""
EDGE = entries_path(2, SIZE - 2 * FULL_WIDTH)


@cache
def _city() -> City:
    city = City()
    city.fill(SIZE)
    return city


def whole() -> tuple[City, Files]:
    """A city with nothing wrong, and its files."""
    city = copy(_city())
    city.entries = city.entries[:]
    return city, city.files()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def checkpoint_refused() -> Shown:
    city, files = whole()
    files["checkpoint"] = checkpoint(city.entries, City("other.zhenglian.example").log)
    return Shown(files, [("audit-checkpoint-refused", None, "checkpoint")])


def checkpoint_older() -> Shown:
    city, files = whole()
    older = log_files(city.entries[:600], city.log)
    return Shown(older, [("audit-checkpoint-older", None, None)], {"previous": files["checkpoint"]})


def fork() -> Shown:
    city, files = whole()
    kept = city.entries[:]
    kept[300], kept[301] = kept[301], kept[300]
    old = checkpoint(kept[:600], city.log)
    return Shown(files, [("audit-fork", None, None)], {"previous": old})


def fork_of_one_size() -> Shown:
    city, files = whole()
    other = checkpoint([*city.entries[:-1], b"another"], city.log)
    return Shown(files, [("audit-fork", None, None)], {"previous": other})


def witnesses_missing() -> Shown:
    _, files = whole()
    witness = make_vkey("witness.example", signer("witness").public, 0x04)
    policy = parse_policy(f"witness w {witness.text()}\nquorum w\n")
    finds = [("audit-witnesses-missing", None, "checkpoint")]
    return Shown(files, finds, {"policy": policy})  # type: ignore[arg-type]


def other_log_key() -> Shown:
    city = City()
    city.log = City("other.zhenglian.example").log
    options = {"log_vkey": city.log.key.text()}
    return Shown(city.files(), [("audit-other-log-key", 0, None)], options)


def file_missing() -> Shown:
    _, files = whole()
    del files[tile_path(0, 1)]
    return Shown(files, [("audit-file-missing", None, tile_path(0, 1))])


def bundle_missing() -> Shown:
    _, files = whole()
    del files[entries_path(1)]
    return Shown(files, [("audit-file-missing", 256, entries_path(1))])


def upper_tile_missing() -> Shown:
    _, files = whole()
    del files[tile_path(1, 0, 2)]
    return Shown(files, [("audit-file-missing", None, tile_path(1, 0, 2))])


def bundle_truncated() -> Shown:
    _, files = whole()
    files[entries_path(1)] = files[entries_path(1)][:-1]
    return Shown(files, [("audit-bundle-truncated", 511, entries_path(1))])


def bundle_too_long() -> Shown:
    _, files = whole()
    files[entries_path(1)] += b"\0"
    return Shown(files, [("audit-bundle-truncated", 512, entries_path(1))])


def edge_truncated() -> Shown:
    city, files = whole()
    files[EDGE] = files[EDGE][:1000]
    index = 2 * FULL_WIDTH + 1000 // (len(city.entries[-1]) + 2)
    return Shown(files, [("audit-bundle-truncated", index, EDGE)])


def tile_malformed() -> Shown:
    _, files = whole()
    files[tile_path(0, 0)] = files[tile_path(0, 0)][:-1]
    return Shown(files, [("audit-tile-malformed", None, tile_path(0, 0))])


def tile_differs() -> Shown:
    _, files = whole()
    files[tile_path(0, 1)] = flipped(files[tile_path(0, 1)], 77)
    return Shown(files, [("audit-tile-differs", None, tile_path(0, 1))])


def edge_tile_differs() -> Shown:
    _, files = whole()
    path = tile_path(0, 2, 188)
    files[path] = flipped(files[path], 77)
    return Shown(files, [("audit-tile-differs", None, path)])


def upper_tile_differs() -> Shown:
    _, files = whole()
    files[tile_path(1, 0, 2)] = flipped(files[tile_path(1, 0, 2)], 0)
    return Shown(files, [("audit-tile-differs", None, tile_path(1, 0, 2))])


def byte_changed(index: int) -> Shown:
    """One bit of a signature, which is the end of an entry."""
    city, files = whole()
    city.entries[index] = flipped(city.entries[index], -1 % len(city.entries[index]))
    files |= bundles(city.entries)
    finds = [("audit-bad-signature", index, None), ("audit-leaf-differs", index, None)]
    return Shown(files, finds)  # type: ignore[arg-type]


def entries_and_tile_rewritten() -> Shown:
    """A bundle and its tile are made to fit each other; the tile above still tells."""
    city, files = whole()
    city.entries[300] = city.licence().entry
    city.entries.pop()
    forged = tiles(list(map(leaf_hash, city.entries)))
    files |= bundles(city.entries) | {tile_path(0, 1): forged[tile_path(0, 1)]}
    return Shown(files, [("audit-leaf-differs", 256, None)], detail="256 – 511")


def swapped(first: int, second: int) -> Shown:
    city, files = whole()
    entries = city.entries
    entries[first], entries[second] = entries[second], entries[first]
    files |= bundles(entries)
    finds = [("audit-leaves-swapped", first, None)]
    return Shown(files, finds, detail=f"{first} ↔ {second}")  # type: ignore[arg-type]


def dropped(index: int) -> Shown:
    """The bundles without one entry, under the old names; the last one lacks its last."""
    city, files = whole()
    del city.entries[index]
    shorter = bundles(city.entries)
    files |= {path: data for path, data in shorter.items() if path in files}
    files[EDGE] = shorter[entries_path(2, 187)]
    finds = [("audit-leaf-dropped", index, None), ("audit-bundle-truncated", 699, EDGE)]
    return Shown(files, finds)  # type: ignore[arg-type]


def dropped_from_bundle() -> Shown:
    """One bundle file lacks an entry."""
    city, files = whole()
    shorter = city.entries[256:300] + city.entries[301:512]
    files[entries_path(1)] = bundles(shorter)[entries_path(0, 255)]
    finds = [
        ("audit-bundle-truncated", 511, entries_path(1)),
        ("audit-leaf-dropped", 300, None),
    ]
    return Shown(files, finds)  # type: ignore[arg-type]


def inserted() -> Shown:
    city, files = whole()
    extra = city.licence().entry
    city.entries.pop()
    city.entries.insert(300, extra)
    files |= bundles(city.entries[:SIZE])
    return Shown(files, [("audit-leaf-inserted", 300, None)])


def several(entry: int, tile: str) -> Shown:
    """An entry here and a tile there: neither entries nor tiles alone have the signed root."""
    city, files = whole()
    city.entries[entry] = flipped(city.entries[entry], -1 % len(city.entries[entry]))
    files |= bundles(city.entries)
    files[tile] = flipped(files[tile], 77)
    finds = [
        ("audit-bad-signature", entry, None),
        ("audit-leaf-differs", entry, None),
        ("audit-tile-differs", None, tile),
    ]
    return Shown(files, finds)  # type: ignore[arg-type]


def rewritten() -> Shown:
    """Everything below the checkpoint is made anew, but the log's key cannot be used."""
    city, files = whole()
    city.entries[300] = city.licence().entry
    city.entries.pop()
    forged = city.files() | {"checkpoint": files["checkpoint"]}
    return Shown(forged, [("audit-root-differs", None, None)])


def root_unknown() -> Shown:
    _, files = whole()
    gone = [entries_path(1), tile_path(0, 1), tile_path(1, 0, 2)]
    for path in gone:
        del files[path]
    finds = [
        ("audit-file-missing", None, gone[1]),
        ("audit-file-missing", 256, gone[0]),
        ("audit-file-missing", None, gone[2]),
        ("audit-root-unknown", None, None),
    ]
    return Shown(files, finds)  # type: ignore[arg-type]


CASES: Mapping[str, Callable[[], Shown]] = {
    "audit-checkpoint-refused": checkpoint_refused,
    "audit-checkpoint-older": checkpoint_older,
    "audit-fork": fork,
    "audit-fork of one size": fork_of_one_size,
    "audit-witnesses-missing": witnesses_missing,
    "audit-other-log-key": other_log_key,
    "audit-file-missing": file_missing,
    "audit-file-missing bundle": bundle_missing,
    "audit-file-missing upper tile": upper_tile_missing,
    "audit-bundle-truncated": bundle_truncated,
    "audit-bundle-truncated too long": bundle_too_long,
    "audit-bundle-truncated at the edge": edge_truncated,
    "audit-tile-malformed": tile_malformed,
    "audit-tile-differs": tile_differs,
    "audit-tile-differs at the edge": edge_tile_differs,
    "audit-tile-differs upper": upper_tile_differs,
    "audit-leaf-differs": lambda: byte_changed(300),
    "audit-leaf-differs at the edge": lambda: byte_changed(699),
    "audit-leaf-differs with its tile": entries_and_tile_rewritten,
    "audit-leaf-differs and a tile": lambda: several(300, tile_path(0, 0)),
    "audit-leaf-differs and the edge tile": lambda: several(300, tile_path(0, 2, 188)),
    "audit-leaf-differs at the edge and a tile": lambda: several(650, tile_path(0, 0)),
    "audit-leaves-swapped": lambda: swapped(300, 301),
    "audit-leaves-swapped far apart": lambda: swapped(20, 690),
    "audit-leaves-swapped at the end": lambda: swapped(698, 699),
    "audit-leaves-swapped at a tile's end": lambda: swapped(510, 511),
    "audit-leaf-dropped": lambda: dropped(300),
    "audit-leaf-dropped first of a tile": lambda: dropped(256),
    "audit-leaf-dropped last of a tile": lambda: dropped(255),
    "audit-leaf-dropped from one bundle": dropped_from_bundle,
    "audit-leaf-inserted": inserted,
    "audit-root-differs": rewritten,
    "audit-root-unknown": root_unknown,
}
"""The first word is the code of the finding that the case is about."""
