"""What the pages are told about their city, by whoever wires the application."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from verifier.verdict import Colour, Record, Verdict


class DemoKey(NamedTuple):
    """A published key of the demo city: who it belongs to, what it may do."""

    zh: str
    en: str
    roles: str
    key: str


class Sample(NamedTuple):
    """A ready code to try; `slug` names its image, `colour` the verdict to expect."""

    slug: str
    zh: str
    en: str
    colour: Colour


class Notice(NamedTuple):
    """Something that everybody who comes here should know."""

    zh: str
    en: str


class Witnesses(NamedTuple):
    """The departments of a demo city that play its witnesses (zh, en), and how many must cosign."""

    names: Sequence[tuple[str, str]]
    needed: int


class DepartmentCount(NamedTuple):
    """How many licences a department has issued."""

    zh: str
    en: str
    licences: int


def no_counts() -> Sequence[DepartmentCount]:
    return ()


@dataclass(frozen=True)
class StartData:
    """The city as the pages show it. Made for every page, so `counts` is asked for only by `/`."""

    city_zh: str
    city_en: str
    origin: str
    tree_size: int
    is_demo: bool = False
    demo_keys: Sequence[DemoKey] = ()
    samples: Sequence[Sample] = ()
    counts: Callable[[], Sequence[DepartmentCount]] = no_counts
    checkpoint_path: str = "/checkpoint"
    docs_path: str = "/docs"
    audit_command: str = ""
    notices: Sequence[Notice] = ()
    witnesses: Witnesses | None = None


class PageState(Protocol):
    """The attributes of `app.state` that the pages use.

    `verify` judges QR text or statement bytes now; it never raises for what they hold.
    `sample_qr` is the QR text of a sample, None for an unknown slug.
    `proof_path` is where the inclusion proof of a record is served, None if nowhere.
    """

    verify: Callable[[str | bytes], Verdict]
    start_data: Callable[[], StartData]
    sample_qr: Callable[[str], str | None]
    proof_path: Callable[[Record], str | None]
