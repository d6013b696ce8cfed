"""docs/ceremonies.md is run: its commands on the machines it names, its transcripts compared."""

import contextlib
import fcntl
import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.terminal import Terminal, pattern
from tests.softhsm import SoftHsm

REPO = Path(__file__).resolve().parents[2]
PAGE = "docs/ceremonies.md"
ORIGIN = "ledger.example.gov.cn"
OPENING, FIRST = "0", "1"
MODULE, PORT = "/usr/lib/softhsm/libsofthsm2.so", "8440"
MACHINES = {  # the last word of a block's first line: where the block is typed
    "city": "srv/zhenglian",
    "service": "srv/zhenglian",
    "signer": "srv/signer",
    "registrar-1": "home/registrar-1",
    "registrar-2": "home/registrar-2",
    "market-1": "home/market-1",
    "market-2": "home/market-2",
    "housing-1": "home/housing-1",
    "counter": "home/counter",
    "new": "new/zhenglian",
    "mistaken": "mistaken/zhenglian",
}
STAYS = ("service", "signer")
_STEP = re.compile(r"```sh\n(.*?)```\n(?:\s*```text\n(.*?)```\n)?", re.DOTALL)
_REFUSED = re.compile(r"\[[a-z0-9]+(-[a-z0-9]+)+\]$", re.MULTILINE)
_CODE = re.compile(r"exit code (\d+)")


class Step(NamedTuple):
    """A block of commands, the machine it is for, what the screen shows, the exit code."""

    machine: str
    commands: str
    shown: str
    code: int


class Procedure(NamedTuple):
    """A numbered section of the page. `long` and `hsm` as its comment declares."""

    number: str
    title: str
    marks: frozenset[str]
    steps: list[Step]


def procedures(repo: Path) -> dict[str, Procedure]:
    text = (repo / PAGE).read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0]
        number, _, title = heading.partition(" ")
        marks = re.search(r"<!-- test: (.*?) -->", section)
        steps = [_step(*match.groups()) for match in _STEP.finditer(section)]
        words = frozenset(marks[1].split()) if marks else frozenset()
        found[number] = Procedure(number, title, words, steps)
    return found


def _step(commands: str, shown: str | None) -> Step:
    machine = commands.partition("\n")[0].split()[-1]
    said = _CODE.search(commands)
    code = int(said[1]) if said else 2 if _REFUSED.search(shown or "") else 0
    return Step(machine, commands, shown or "", code)


class Room:
    """The machines of one procedure, all under one folder."""

    def __init__(self, folder: Path, hsm: SoftHsm | None = None) -> None:
        self.folder = folder
        self._terminals: dict[str, Terminal] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self._places = [("/srv/", f"{folder}/srv/"), ("/media/", f"{folder}/media/"), (PORT, port)]
        if hsm is not None:
            self._places.append((MODULE, hsm.module))
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "ZHENGLIAN_ARGON2_MIB": "64",
            "ZHENGLIAN_PORT": port,
            **({"SOFTHSM2_CONF": str(hsm.conf)} if hsm else {}),
        }
        (folder / "media").mkdir(exist_ok=True)

    def do(self, step: Step) -> None:
        stays = step.machine in STAYS and step.shown != "" and step.code == 0
        commands, shown = self._here(step.commands), self._here(step.shown)
        screen, code = self._terminal(step.machine).run(commands, shown, stays=stays)
        if not stays and not re.fullmatch(pattern(shown) if shown else "", screen):
            pytest.fail(
                f"{step.commands}\n--- the page shows\n{step.shown}\n"
                f"--- the screen shows\n{self._there(screen)}",
                pytrace=False,
            )
        assert code == step.code, f"{step.commands}\n{screen}"

    def close(self) -> None:
        for terminal in self._terminals.values():
            terminal.close()

    def _terminal(self, machine: str) -> Terminal:
        if machine not in self._terminals:
            home = self.folder / MACHINES[machine]
            home.mkdir(parents=True, exist_ok=True)
            environment = dict(self._environment)
            self._terminals[machine] = Terminal(home, environment)
        return self._terminals[machine]

    def _here(self, text: str) -> str:
        for theirs, ours in self._places:
            text = text.replace(theirs, ours)
        return text

    def _there(self, text: str) -> str:
        for theirs, ours in self._places:
            text = text.replace(ours, theirs)
        return text


def do(procedure: Procedure, room: Room) -> None:
    with contextlib.closing(room):
        for step in procedure.steps:
            room.do(step)


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the first procedure leaves; made once for all workers of a run."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder = shared / "ceremonies"
    with (shared / "ceremonies.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making = shared / "ceremonies.making"
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            do(procedures(REPO)[FIRST], Room(making))
            making.rename(folder)
    return folder


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # put back afterwards: other tests have theirs
    try:
        return SoftHsm(tmp_path)
    except LookupError as missing:
        pytest.skip(str(missing))


def _later() -> list[object]:
    """The procedures after the first, with their marks."""
    return [
        pytest.param(number, marks=[pytest.mark.long] if "long" in found.marks else [])
        for number, found in procedures(REPO).items()
        if number not in (OPENING, FIRST)
    ]


def test_first_set_up(founded: Path) -> None:
    """Its steps are run by the fixture; this is what they leave."""
    assert (founded / "srv/zhenglian/data/zhenglian.db").exists()
    assert (founded / "home/counter/city.zlpack").exists()


@pytest.mark.parametrize("number", _later())
def test_procedure(
    number: str, founded: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    known = procedures(REPO)
    token = request.getfixturevalue("hsm") if "hsm" in known[number].marks else None
    rooms = tmp_path / "rooms"
    shutil.copytree(founded, rooms)
    opening = known[OPENING].steps
    do(known[number]._replace(steps=[*opening, *known[number].steps]), Room(rooms, token))


def test_the_page_is_all_read() -> None:
    """No block of commands or of a screen is passed over."""
    text = (REPO / PAGE).read_text(encoding="utf-8")
    known = procedures(REPO)
    assert list(known) == [str(number) for number in range(11)]
    steps = [step for found in known.values() for step in found.steps]
    assert len(steps) == text.count("```sh\n")
    assert sum(bool(step.shown) for step in steps) == text.count("```text\n")
    assert 2 * (len(steps) + text.count("```text\n")) == text.count("```")
    assert {step.machine for step in steps} <= set(MACHINES)
    for found in known.values():
        if found.number != OPENING:
            assert (
                "在场 In the room" in text.partition(f"## {found.number} ")[2].partition("\n## ")[0]
            )


def test_refusals_are_shown() -> None:
    """Wrong steps stand in the page with the code that is printed."""
    text = (REPO / PAGE).read_text(encoding="utf-8")
    for code in (
        "change-own-approval", "change-replayed", "change-needs-own-officer", "key-exists",
        "key-wrong-passphrase", "key-backup-wrong-passphrase", "hsm-wrong-pin",
        "officer-not-in-office", "found-officers-missing", "city-key-lost",
    ):  # fmt: skip
        assert f"[{code}]\n```" in text, code


def test_a_screen_that_differs_is_seen() -> None:
    shown = "条目 entries: …\n…\nPIN: ‹1234›\nend [a-code]\n"
    for screen in ("条目 entries: 1\nPIN: ****\nend [a-code]\n",
                   "条目 entries: 12 \none\ntwo\nPIN: \nend [a-code]\n"):  # fmt: skip
        assert re.fullmatch(pattern(shown), screen)
    for screen in ("条目 entries: \nPIN: \nend [a-code]\n",
                   "条目 entries: 1\nPIN: \nend [b-code]\n",
                   "条目 entries: 1\nPIN: \nend [a-code]\nmore\n",
                   "条目 entries: 1\nend [a-code]\n", "PIN: \nend [a-code]\n"):  # fmt: skip
        assert not re.fullmatch(pattern(shown), screen)
