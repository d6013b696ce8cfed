"""kill -9 at any moment: between any two writes, before and after each, nothing is lost.

A child process is forked, follows the log, and ends at its nth write as a killed process does: no
`finally`, no flush. Then a monitor is started on what it left.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.audit.run import audit
from ledger.readside import DirectoryReadSide
from tests.ledger.audited import OPTIONS, found
from tests.ledger.logs import City
from tests.monitor.follow import Following, Shown, codes, other_history, put, shown
from verifier import states
from verifier.tiles import tile_path

KILLED = 99
CITY = City()
CITY.fill(257)
REVOKED = CITY.state(CITY.licence(), states.REVOKED)
CITY.state(REVOKED, states.VALID)
"""The last entry breaks a rule."""
CITY.fill(262)
LONG = [(258, True), (0, False), (0, True), (250, False), (250, True)]
FORKED = other_history(CITY, 100)


def killed_at(write: int, after: bool) -> Callable[[Path, bytes], None]:
    """A `put` that ends the process at its nth call, having written the file or half a draft."""
    calls = 0

    def put_or_die(path: Path, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == write and not after:
            path.with_name(path.name + ".new").write_bytes(data[: len(data) // 2])
            os._exit(KILLED)
        put(path, data)
        if calls == write:
            os._exit(KILLED)

    return put_or_die


def run_killed(following: Following, write: int, after: bool) -> bool:
    """Whether the child came so far as to be killed."""
    child = os.fork()
    if child == 0:
        try:
            following.start(killed_at(write, after)).round()
        except BaseException:  # noqa: BLE001 - the child must never return to pytest
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


def copied(base: Following, write: int) -> Following:
    """A monitor of its own that has come as far."""
    folder = base.folder.with_name(str(write))
    if base.folder.exists():
        shutil.copytree(base.folder, folder)
    return Following(folder, Shown(base.source.files), base.city)


def check_grown(following: Following, write: int) -> None:
    done = following.round()
    assert (done.size, done.ok, following.evidence()) == (len(CITY.entries), False, []), write
    again = following.round()
    alarms = [(one.finding.code, one.finding.index) for one in again.alarms]
    assert alarms == [("audit-licence-step", 259)]
    assert (codes(again), again.ok) == ([], False)
    if write > 1:
        return
    report = audit(DirectoryReadSide(following.folder / "mirror"), **OPTIONS)
    assert (report.size, [code for code, _, _ in found(report)]) == (262, ["audit-licence-step"])


@pytest.mark.parametrize(
    ("begun", "after"),
    [(258, False), *(pytest.param(*case, marks=pytest.mark.long) for case in LONG)],
)
def test_a_log_that_grows(tmp_path: Path, begun: int, after: bool) -> None:
    """From nothing, and from the middle of the first and of the second bundle."""
    base = Following(tmp_path / "base", Shown(shown(CITY, begun)), CITY)
    if begun:
        assert base.round().ok
    for write in range(1, 100):
        following = copied(base, write)
        following.source.show(shown(CITY))
        if not run_killed(following, write, after):
            assert write > 4
            return
        check_grown(following, write)
    raise AssertionError("never finished")


@pytest.mark.parametrize("after", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_fork(tmp_path: Path, after: bool) -> None:
    """The evidence is there before the alarm that names it, and the log heals too late."""
    alarms = 0
    base = Following(tmp_path / "base", Shown(shown(CITY, 258)), CITY)
    assert base.round().ok
    for write in range(1, 100):
        following = copied(base, write)
        following.source.show(shown(FORKED, 260))
        finished = not run_killed(following, write, after)
        named = [one.finding.path for one in following.start().state.alarms]
        assert all((following.folder / str(path)).exists() for path in named)
        alarms += len(named)
        done = following.round()
        assert [one.finding.code for one in done.alarms] == ["monitor-split-view"]
        assert len(following.evidence()) == 1
        if finished:
            assert write > 2
            assert alarms
            return
    raise AssertionError("never finished")


def test_what_was_served_wrongly_is_told_before_it_counts(tmp_path: Path) -> None:
    """A wrong tile is looked at once, as the log grows: its alarm is durable before the growth."""
    base = Following(tmp_path / "base", Shown(shown(CITY, 258)), CITY)
    assert base.round().ok
    path, grown = tile_path(0, 1, 6), 0
    for write in range(1, 100):
        following = copied(base, write)
        good = shown(CITY)
        following.source.show(good | {path: bytes(len(good[path]))})
        finished = not run_killed(following, write, after=True)
        following.source.show(good)
        monitor = following.start()
        if monitor.history.size == 262:
            grown += 1
            assert path in [one.finding.path for one in monitor.state.alarms]
        if finished:
            assert grown > 1
            return
    raise AssertionError("never finished")


def test_a_checkpoint_seen_once_is_kept(tmp_path: Path) -> None:
    """A witness ahead: what it showed once is not forgotten, whenever we are killed after."""
    following = Following(tmp_path, Shown(shown(CITY, 258)), CITY)
    assert following.round().ok
    place = Shown({"checkpoint": shown(FORKED, 260)["checkpoint"]})
    following.views = [place.view("witness w")]
    assert following.round().ok
    following.views = []
    following.source.show(shown(CITY))
    for write in range(1, 100):
        if not run_killed(following, write, after=False):
            break
    assert {one.finding.code for one in following.start().state.alarms} == {
        "monitor-split-view",
        "audit-licence-step",
    }
    assert len(following.evidence()) == 1
