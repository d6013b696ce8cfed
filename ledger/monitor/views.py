"""Where else checkpoints of the log are seen: at witnesses, in trust packs, at its mirrors."""

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from ledger.readside import CHECKPOINT, ReadSide
from ledger.witness.model import origin_hash
from verifier.pack import open_pack

LOG = "log"
"""Name of the view that is followed: the log itself."""


class View(NamedTuple):
    """A place that shows a checkpoint. `read` fetches the signed note; it raises `LedgerError` for
    what cannot be read, `Refused` for what is no such thing. `tiles`: it has the log's tree too."""

    name: str
    read: Callable[[], bytes]
    tiles: ReadSide | None = None


def source_view(name: str, source: ReadSide) -> View:
    """Another copy of the log's read side."""
    return View(name, lambda: source.read(CHECKPOINT), source)


def witness_view(url: str, origin: str, open_url: Callable[[str], ReadSide]) -> View:
    """A witness by its monitoring prefix, under which `<SHA-256 of origin>/checkpoint` is; an
    address that ends in `/checkpoint` is taken as it stands."""
    if url.endswith(f"/{CHECKPOINT}"):
        folder = url.removesuffix(f"/{CHECKPOINT}")
    else:
        folder = f"{url.rstrip('/')}/{origin_hash(origin)}"
    source = open_url(folder)
    return View(f"witness {url}", lambda: source.read(CHECKPOINT))


def pack_view(name: str, fetch: Callable[[], bytes]) -> View:
    """The checkpoint that a trust pack rests on. The pack is checked as counters check it when
    they synchronise, once: the same bytes need it no second time."""
    checked: dict[bytes, bytes] = {}

    def read() -> bytes:
        data = fetch()
        digest = sha256(data).digest()
        if digest not in checked:
            note = open_pack(data, thorough=True).checkpoint
            checked.clear()
            checked[digest] = note
        return checked[digest]

    return View(f"pack {name}", read)
