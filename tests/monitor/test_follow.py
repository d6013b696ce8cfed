"""Following a log: it grows, it forks, it lies, it is late; what a monitor says of each."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.audit.run import audit
from ledger.audit.worker import signature_of
from ledger.errors import LedgerError
from ledger.monitor.errors import MonitorError
from ledger.monitor.run import MAX_BEHIND, PATIENCE
from ledger.monitor.views import View
from ledger.readside import DirectoryReadSide
from tests.ledger.audited import OPTIONS, found
from tests.ledger.logs import DAY, City, log_files, seeded, signer
from tests.monitor.follow import (
    READING,
    Following,
    Shown,
    codes,
    noticed,
    other_history,
    put,
    shown,
)
from verifier import kinds, states
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.note import NoteSigner
from verifier.statement import Statement
from verifier.tiles import entries_path, tile_path

CITY = City()
CITY.fill(780)
FORKED = other_history(CITY, 100)
"""Another history from entry 100 on."""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a monitor at 300 entries."""
    folder = tmp_path_factory.mktemp("followed") / "state"
    done = Following(folder, Shown(shown(CITY, 300)), CITY).round()
    assert (done.ok, done.size, codes(done)) == (True, 300, [])
    return folder


@pytest.fixture
def following(followed: Path, tmp_path: Path) -> Following:
    """At 300 entries, nothing wrong."""
    folder = Path(shutil.copytree(followed, tmp_path / "state"))
    return Following(folder, Shown(shown(CITY, 300)), CITY)


# --- an honest log -------------------------------------------------------------------------------


def test_a_log_that_grows_is_followed(following: Following) -> None:
    monitor = following.start()
    for size in (300, 301, 511, 512, 513, 700):
        following.source.show(shown(CITY, size))
        before = monitor.history.size
        done = monitor.round()
        assert (done.ok, done.before, done.size, codes(done)) == (True, before, size, [])
        assert done.views == (("log", size, "same" if size == before else "later"),)
    report = audit(DirectoryReadSide(following.folder / "mirror"), **OPTIONS)
    assert (found(report), report.size) == ([], 700)


def test_only_what_is_new_is_read(following: Following) -> None:
    following.source.show(shown(CITY, 600))
    monitor = following.start()
    following.source.asked.clear()
    monitor.round()
    entries = {path for path in following.source.asked if "entries" in path}
    new = {entries_path(1), entries_path(2, 88)}
    assert entries - new == {entries_path(0)}, "the one full bundle that is read again"
    assert new <= entries


def test_signatures_found_good_are_checked_once(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a start only those beyond the last full bundle are checked again."""
    checked = 0

    def counted(statement: Statement, keys: Mapping[bytes, bytes]) -> int:
        nonlocal checked
        checked += 1
        return signature_of(statement, keys)

    monkeypatch.setattr("ledger.audit.worker.signature_of", counted)
    following.start()
    assert checked == 300 - 256
    following.source.show(shown(CITY, 310))
    following.round()
    assert checked == 2 * (300 - 256) + (310 - 256)


def test_an_empty_log_and_its_first_entries(tmp_path: Path) -> None:
    one = Following(tmp_path, Shown(shown(CITY, 0)), CITY)
    assert one.round().size == 0
    one.source.show(shown(CITY, 5))
    assert one.round().size == 5


def test_a_silent_log_is_no_alarm(following: Following) -> None:
    following.source.show({})
    done = following.round()
    assert (done.ok, done.read, noticed(done)) == (
        True,
        False,
        {"monitor-view-unread"},
    )


def test_a_stale_answer_is_no_fork(following: Following) -> None:
    following.source.show(shown(CITY, 200))
    monitor = following.start()
    for _ in range(MAX_BEHIND - 1):
        done = monitor.round()
        assert (done.ok, done.size, codes(done)) == (True, 300, [])
        assert "monitor-view-behind" in noticed(done)
    following.source.show(shown(CITY, 400))
    assert monitor.round().ok
    following.source.show(shown(CITY, 200))
    rounds = [codes(following.round()) for _ in range(MAX_BEHIND)]
    assert rounds == [[]] * (MAX_BEHIND - 1) + [["monitor-log-behind"]]
    assert following.evidence() == []


# --- two histories -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [200, 256, 300, 301, 512, 700])
def test_a_fork_is_proved(following: Following, size: int) -> None:
    """At a smaller size, at the same, at a larger one."""
    following.source.show(shown(FORKED, size))
    done = following.round()
    assert (done.ok, codes(done), done.size) == (False, ["monitor-split-view"], 300)
    (proved,) = following.evidence()
    assert {proved.first.size, proved.second.size} == {size, 300}
    assert done.new[0].path is not None
    file = following.folder / done.new[0].path
    written = file.stat().st_mtime_ns
    again = following.round()
    assert (again.ok, codes(again), len(following.evidence())) == (False, [], 1)
    assert file.stat().st_mtime_ns == written


def test_rolled_back_and_grown_otherwise(following: Following) -> None:
    """A backup restored: first an older answer, then another history."""
    monitor = following.start()
    following.source.show(shown(CITY, 90))
    assert monitor.round().ok
    following.source.show(shown(FORKED, 180))
    assert codes(monitor.round()) == ["monitor-split-view"]
    following.source.show(shown(CITY, 300))
    assert not monitor.round().ok, "going back to the first history heals nothing"


def test_a_fork_without_its_tiles_is_an_alarm(following: Following) -> None:
    files = shown(FORKED, 500)
    following.source.show({path: files[path] for path in files if "tile/0" not in path})
    done = following.round()
    assert codes(done) == ["monitor-fork-unproved"]
    following.source.show(files)
    assert "monitor-split-view" in codes(following.round())


def test_a_fork_withdrawn_is_proved_from_what_was_kept(following: Following) -> None:
    """The forked checkpoint was seen once, without its tree; the log then grows past its size."""
    following.source.show({"checkpoint": shown(FORKED, 500)["checkpoint"]})
    following.round()
    following.source.show(shown(CITY, 600))
    assert "monitor-split-view" in codes(following.round())
    (proved,) = following.evidence()
    assert (proved.first.size, proved.second.size) == (500, 600)


def test_evidence_files_are_bounded(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.monitor.cabinet.MAX_EVIDENCE", 2)
    monitor = following.start()
    for size in range(400, 405):
        following.source.show(shown(FORKED, size))
        assert not monitor.round().ok
    assert len(following.evidence()) == 2


# --- what it serves ------------------------------------------------------------------------------


def test_a_dropped_entry_is_named(following: Following) -> None:
    files = shown(CITY, 600)
    entries = [*CITY.entries[:350], *CITY.entries[351:600], CITY.entries[600]]
    for path, data in log_files(entries, CITY.log).items():
        if "entries" in path:
            files[path] = data
    following.source.show(files)
    done = following.round()
    assert ("audit-leaf-dropped", 350) in [(one.code, one.index) for one in done.new]
    assert done.size == 300, "what does not hold is not followed"
    following.source.show(shown(CITY, 600))
    assert following.round().size == 600


def test_an_old_entry_served_otherwise(following: Following) -> None:
    """In the partial bundle that is read again as it grows; ours is kept."""
    files = shown(CITY, 400)
    files[entries_path(1, 144)] = shown(other_history(CITY, 280), 400)[entries_path(1, 144)]
    following.source.show(files)
    done = following.round()
    assert [(one.code, one.index) for one in done.new] == [("audit-leaf-differs", 280)]
    assert done.size == 400


@pytest.mark.parametrize("path", [entries_path(0), tile_path(0, 0)])
def test_a_full_bundle_served_otherwise_later(following: Following, path: str) -> None:
    files = shown(CITY, 300)
    files[path] = shown(FORKED, 300)[path]
    following.source.show(files)
    done = following.round()
    assert [(one.code, one.path) for one in done.new] == [("monitor-served-otherwise", path)]
    del files[path]
    following.source.show(files)
    assert not following.round().ok


def test_a_tile_that_does_not_follow(following: Following) -> None:
    files = shown(CITY, 700)
    path = tile_path(0, 1)
    files[path] = bytes(32) + files[path][32:]
    following.source.show(files)
    done = following.round()
    assert ("audit-tile-differs", path) in [(one.code, one.path) for one in done.new]
    assert done.size == 700


def test_a_missing_tile_and_a_missing_bundle(following: Following) -> None:
    files = shown(CITY, 700)
    del files[tile_path(0, 1)]
    following.source.show(files)
    done = following.round()
    assert ("audit-file-missing", tile_path(0, 1)) in [(one.code, one.path) for one in done.new]
    files = shown(CITY, 700)
    del files[entries_path(1)]
    one = Following(following.folder.parent / "other", Shown(files), CITY)
    done = one.round()
    assert ("audit-file-missing", entries_path(1)) in [(f.code, f.path) for f in done.new]
    assert done.size == 0


def test_a_source_that_breaks_off_is_tried_again(following: Following) -> None:
    following.source.show(shown(CITY))
    good = following.source.read

    def broken(path: str) -> bytes:
        if path == entries_path(3, 12):
            raise LedgerError("ledger-read-failed", "gone")
        return good(path)

    following.source.read = broken  # type: ignore[method-assign]
    done = following.round()
    assert (done.ok, done.size, noticed(done) >= {"monitor-view-unread"}) == (True, 300, True)
    following.source.read = good  # type: ignore[method-assign]
    following.source.asked.clear()
    assert following.round().size == 780
    assert entries_path(2) not in following.source.asked, "fetched before, and hashed again"


def test_what_was_left_over_wrongly_is_fetched_again(following: Following) -> None:
    following.source.show(shown(CITY))
    file = following.folder / "mirror" / entries_path(2)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(shown(other_history(CITY, 600))[entries_path(2)])
    done = following.round()
    assert (done.ok, done.size) == (True, 780)


# --- rules ---------------------------------------------------------------------------------------


def test_a_rule_broken_in_what_is_new(following: Following) -> None:
    city = City()
    city.fill(300)
    following.city = city
    following.source.show(shown(city))
    following.folder = following.folder.parent / "rules"
    monitor = following.start()
    assert monitor.round().ok
    revoked = city.state(city.licence(), states.REVOKED)
    city.state(revoked, states.VALID, "appeal")
    city.entries.append(b"no statement")
    following.source.show(shown(city))
    done = monitor.round()
    assert [(one.code, one.index) for one in done.new] == [
        ("audit-licence-step", 302),
        ("audit-not-a-statement", 303),
    ]
    assert not done.ok
    again = monitor.round()
    assert (codes(again), again.ok) == ([], False)
    restarted = following.start()
    assert codes(restarted.round()) == []
    assert restarted.acknowledge() == 2
    assert restarted.round().ok
    assert following.round().ok


def test_a_bad_signature_is_found_again_by_nobody_twice(tmp_path: Path) -> None:
    city = City()
    city.fill(600)
    city.entries[50] = city.entries[50][:-1] + bytes([city.entries[50][-1] ^ 1])
    one = Following(tmp_path, Shown(shown(city)), city)
    assert codes(one.round()) == ["audit-bad-signature"]
    state = one.start().state
    assert (state.checked.bundles, state.checked.doubtful) == (2, [0])
    assert codes(one.round()) == []


def test_due_by_now(tmp_path: Path) -> None:
    city = City()
    entry = city.credit(day=city.clock // DAY + 1)
    one = Following(tmp_path, Shown(shown(city)), city, now=entry.at)
    assert one.round().ok
    one.now += 30 * DAY
    assert codes(one.round()) == ["audit-publication-missing"]
    assert codes(one.round()) == []
    city.clock = one.now
    city.follow(entry, kinds.CREDIT_PUBLISHED, at=one.now)
    one.source.show(shown(city))
    assert codes(one.round()) == ["audit-publication-late"]
    assert [alarm.finding.code for alarm in one.start().state.alarms] == ["audit-publication-late"]


# --- keys ----------------------------------------------------------------------------------------


def test_the_key_is_taken_once_from_the_log(tmp_path: Path) -> None:
    one = Following(tmp_path, Shown(shown(CITY, 300)), CITY, how={"log_vkey": None})
    done = one.round()
    assert (done.trust, "audit-trusted-on-first-use" in noticed(done)) == ("first-use", True)
    stranger = City("other.example")
    one.source.show(shown(stranger))
    done = one.round()
    assert codes(done) == ["audit-checkpoint-refused"]
    one.how["log_vkey"] = stranger.log.key.text()
    with pytest.raises(MonitorError) as caught:
        one.start()
    assert caught.value.code == "monitor-other-log"


def test_no_key_to_be_had(tmp_path: Path) -> None:
    for files in ({}, shown(CITY, 0), log_files([b"no statement"], CITY.log)):
        one = Following(tmp_path, Shown(files), CITY, how={"log_vkey": None})
        with pytest.raises(MonitorError) as caught:
            one.start()
        assert caught.value.code == "monitor-no-log-key"


# --- other places --------------------------------------------------------------------------------


def elsewhere(following: Following, files: dict[str, bytes], *, tiles: bool = False) -> Shown:
    place = Shown(files)
    following.views = [place.view("witness w", tiles=tiles)]
    return place


@pytest.mark.parametrize("size", [120, 256, 300, 400])
def test_a_place_that_was_shown_a_fork(following: Following, size: int) -> None:
    """Smaller, the same size, and larger, where the other place has the tree too."""
    elsewhere(following, shown(FORKED, size), tiles=True)
    done = following.round()
    assert codes(done) == ["monitor-split-view"]
    assert done.views[1] == ("witness w", size, "split")
    assert len(following.evidence()) == 1


def test_a_witness_ahead_is_compared_when_the_log_gets_there(following: Following) -> None:
    elsewhere(following, {"checkpoint": shown(CITY, 500)["checkpoint"]})
    done = following.round()
    assert (done.ok, done.views[1]) == (True, ("witness w", 500, "unproved"))
    assert "monitor-view-ahead" in noticed(done)
    following.source.show(shown(CITY, 600))
    done = following.round()
    assert (done.ok, following.start().state.pending) == (True, [])


def test_a_witness_ahead_with_a_fork(following: Following) -> None:
    """The witness has no tree to show; the log convicts itself by growing past that size."""
    place = elsewhere(following, {"checkpoint": shown(FORKED, 500)["checkpoint"]})
    assert following.round().ok
    place.show({})
    following.source.show(shown(CITY, 600))
    done = following.round()
    assert codes(done) == ["monitor-split-view"]
    assert [one.first.size for one in following.evidence()] == [500]


def test_two_witnesses_ahead_who_differ(following: Following) -> None:
    views = [
        Shown({"checkpoint": shown(city, 500)["checkpoint"]}).view(name)
        for name, city in (("witness a", CITY), ("witness b", FORKED))
    ]
    following.views = views
    done = following.round()
    assert codes(done) == ["monitor-split-view"]
    (proved,) = following.evidence()
    assert proved.first.size == proved.second.size == 500


def test_what_was_signed_must_be_shown_in_time(following: Following) -> None:
    elsewhere(following, {"checkpoint": shown(CITY, 500)["checkpoint"]})
    assert following.round().ok
    following.now += PATIENCE + 1
    assert codes(following.round()) == ["monitor-not-shown"]


def test_places_that_are_late_silent_or_lie(following: Following) -> None:
    place = elsewhere(following, shown(CITY, 300))
    assert following.round().ok
    place.show(shown(CITY, 250))
    done = following.round()
    assert (done.ok, "monitor-view-behind" in noticed(done)) == (True, True)
    place.show({})
    done = following.round()
    assert (done.ok, done.views[1]) == (True, ("witness w", None, "unread"))
    place.show(shown(City("other.example")))
    done = following.round()
    assert codes(done) == ["monitor-view-refused"]


def test_a_forged_checkpoint_is_not_held_against_the_log(following: Following) -> None:
    forger = NoteSigner(CITY.origin, signer("forger"))
    note = sign_checkpoint(Checkpoint(CITY.origin, 300, seeded("root")), [forger])
    elsewhere(following, {"checkpoint": note})
    assert codes(following.round()) == ["monitor-view-refused"]
    assert following.evidence() == []


# --- the folder ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "state.json").write_text("{}"),
        lambda folder: (folder / "state.json").write_text("["),
        lambda folder: (folder / "state.json").write_text(
            (folder / "state.json").read_text().replace("monitor@1", "monitor@9")
        ),
        lambda folder: (folder / "mirror" / entries_path(0)).unlink(),
        lambda folder: (folder / "mirror" / entries_path(0)).write_bytes(b"\0\1a"),
        lambda folder: (folder / "mirror" / entries_path(0)).write_bytes(
            shown(FORKED, 300)[entries_path(0)]
        ),
        lambda folder: (folder / "mirror" / "checkpoint").write_bytes(b"nothing"),
        lambda folder: (folder / "mirror" / "checkpoint").write_bytes(
            shown(FORKED, 300)["checkpoint"]
        ),
    ],
)
def test_a_damaged_folder_is_refused(
    following: Following, damage: Callable[[Path], object]
) -> None:
    damage(following.folder)
    with pytest.raises(MonitorError) as caught:
        following.round()
    assert caught.value.code == "monitor-state-damaged"


def test_another_history_in_the_folder_is_refused(following: Following) -> None:
    """Whole, and signed by the log; but not the one whose signatures were checked."""
    other = Following(following.folder.parent / "other", Shown(shown(FORKED, 300)), FORKED)
    assert other.round().size == 300
    shutil.rmtree(following.folder / "mirror")
    shutil.copytree(other.folder / "mirror", following.folder / "mirror")
    with pytest.raises(MonitorError) as caught:
        following.round()
    assert caught.value.code == "monitor-state-damaged"


def test_drafts_of_a_killed_process_are_cleared(following: Following) -> None:
    draft = following.folder / ".state.json.123.new"
    draft.write_text("{")
    assert following.round().ok
    assert not draft.exists()


def test_damaged_tiles_are_noticed_when_they_are_asked(following: Following) -> None:
    (following.folder / "mirror" / tile_path(0, 0)).unlink()
    following.source.show(shown(CITY, 200))
    with pytest.raises(MonitorError) as caught:
        following.round()
    assert caught.value.code == "monitor-state-damaged"


def test_a_folder_that_cannot_be_written(following: Following) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name == "checkpoint":
            raise OSError(28, "No space left on device")
        put(path, data)

    following.source.show(shown(CITY, 600))
    monitor = following.start(full)
    with pytest.raises(MonitorError) as caught:
        monitor.round()
    assert caught.value.code == "monitor-write-failed"
    assert following.round().size == 600


def test_trees_of_anything(tmp_path: Path) -> None:
    entries = [b"entry %d" % n for n in range(600)]
    reading = replace(READING, tree_only=True)
    one = Following(
        tmp_path, Shown(log_files(entries[:400], CITY.log)), CITY, how={"reading": reading}
    )
    assert one.round().ok
    one.source.show(log_files(entries, CITY.log))
    assert one.round().size == 600
    one.how["reading"] = READING
    with pytest.raises(MonitorError) as caught:
        one.start()
    assert caught.value.code == "monitor-other-log"


def test_view_names_are_told(following: Following) -> None:
    def failing() -> bytes:
        raise LedgerError("ledger-read-failed", "no route")

    following.views = [View("witness w", failing)]
    done = following.round()
    assert [one.path for one in done.notices if one.code == "monitor-view-unread"] == ["witness w"]
