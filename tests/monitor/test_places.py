"""Where else the log's checkpoints are seen: real witnesses, trust packs, HTTP, policies, others'
logs."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.monitor.asking import Asking
from ledger.monitor.report import render_round
from ledger.monitor.round import Round
from ledger.monitor.views import View, pack_view, witness_view
from ledger.readside import CHECKPOINT, DirectoryReadSide, HttpReadSide
from ledger.stores.witness import create_state
from ledger.witness import Witness, WitnessedLog, format_add_checkpoint, origin_hash
from tests.city import NOW
from tests.city import City as PackCity
from tests.ledger.logs import City, Files, log_files, signer
from tests.monitor.follow import (
    READING,
    Following,
    Shown,
    codes,
    noticed,
    other_history,
    served,
    shown,
)
from tests.verifier.test_tessera_log import VKEY
from tests.verifier.twin import proof
from verifier import kinds
from verifier.checkpoint import Checkpoint, add_cosignatures, cosign, sign_checkpoint
from verifier.merkle import leaf_hash
from verifier.note import NoteSigner, parse_note
from verifier.policy import Policy, parse_policy

LOG = City()
LOG.fill(40)
FORKED = other_history(LOG, 20)


# --- a witness, as it is -------------------------------------------------------------------------


def witness_that_saw(folder: Path, city: City, *sizes: int) -> Witness:
    """A witness with state, whom the log has asked at these sizes."""
    name = "witness.example/w1"
    keys = [NoteSigner(name, signer("w1"), 0x04), NoteSigner(name, signer("w1", "ml-dsa-44"), 0x06)]
    state = create_state(folder / "witness.db", [one.key for one in keys])
    state.add_log(WitnessedLog(city.origin, (city.log.key,)))
    witness = Witness(state, keys, lambda: NOW)
    old = 0
    for size in sizes:
        hashes = proof(old, city.entries[:size]) if old else []
        note = shown(city, size)[CHECKPOINT]
        answer = witness.add_checkpoint(format_add_checkpoint(old, hashes, note))
        assert answer.status == 200, answer
        old = size
    return witness


def monitoring_side(witness: Witness) -> Callable[[str], bytes | None]:
    def answer(path: str) -> bytes | None:
        hashed, _, what = path.partition("/")
        found = witness.checkpoint(hashed)
        return found.body if what == CHECKPOINT and found.status == 200 else None

    return answer


@pytest.mark.parametrize("ending", ["", "/", f"/{origin_hash(LOG.origin)}/checkpoint"])
def test_a_witness_that_agrees(tmp_path: Path, ending: str) -> None:
    witness = witness_that_saw(tmp_path, LOG, 10, 30)
    with served(monitoring_side(witness)) as url:
        view = witness_view(f"{url}{ending}", LOG.origin, HttpReadSide)
        done = Following(tmp_path / "state", Shown(shown(LOG, 40)), LOG, [view]).round()
    assert (done.ok, done.views[1][1:]) == (True, (30, "earlier"))


def test_a_witness_that_was_shown_a_fork(tmp_path: Path) -> None:
    """The evidence carries its cosignatures, and says whose they are once the policy does."""
    witness = witness_that_saw(tmp_path, FORKED, 10, 30)
    lines = [f"witness w{n} {key.text()}\n" for n, key in enumerate(witness.keys)]
    policy = parse_policy("".join([*lines, "group both all w0 w1\nquorum none\n"]))
    with served(monitoring_side(witness)) as url:
        view = witness_view(url, LOG.origin, HttpReadSide)
        one = Following(
            tmp_path / "state", Shown(shown(LOG, 40)), LOG, [view], how={"policy": policy}
        )
        done = one.round()
    assert codes(done) == ["monitor-split-view"]
    (proved,) = one.evidence()
    assert [(one.name, one.timestamp) for one in proved.cosigners[0]] == [
        ("witness.example/w1", NOW)
    ] * 2
    assert proved.cosigners[1] == ()


def test_a_witness_that_never_heard_of_the_log(tmp_path: Path) -> None:
    witness = witness_that_saw(tmp_path, City("other.example"))
    with served(monitoring_side(witness)) as url:
        view = witness_view(url, LOG.origin, HttpReadSide)
        done = Following(tmp_path / "state", Shown(shown(LOG, 40)), LOG, [view]).round()
    assert (done.ok, done.views[1][1:]) == (True, (None, "unread"))
    assert "monitor-view-unread" in noticed(done)


def test_a_place_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    """Its answer is taken when it comes; until then it is not asked twice."""
    let_go, asked = threading.Event(), 0

    def hang() -> bytes:
        nonlocal asked
        asked += 1
        let_go.wait(30)
        return shown(FORKED, 30)[CHECKPOINT]

    one = Following(tmp_path, Shown(shown(LOG, 40)), LOG, [View("witness w", hang)])
    monitor = one.start()
    monitor._asking = Asking(0.01)
    for _ in range(2):
        done = monitor.round()
        assert (done.ok, done.size, done.views[1]) == (True, 40, ("witness w", None, "unread"))
    assert asked == 1
    let_go.set()
    monitor._asking = Asking()
    assert codes(monitor.round()) == ["monitor-split-view"]


# --- two servers ---------------------------------------------------------------------------------


def test_two_servers_of_one_log_that_show_different_histories(tmp_path: Path) -> None:
    with served(shown(LOG, 40).get) as one_url, served(shown(FORKED, 35).get) as other_url:
        other = HttpReadSide(other_url)
        view = View("other", lambda: other.read(CHECKPOINT), other)
        one = Following(tmp_path, Shown({}), LOG, [view])
        one.source = HttpReadSide(one_url)  # type: ignore[assignment]
        done = one.round()
    assert (codes(done), done.size) == (["monitor-split-view"], 40)
    (proved,) = one.evidence()
    assert (proved.first.size, proved.second.size) == (35, 40)


# --- trust packs ---------------------------------------------------------------------------------


def pack_log(city: PackCity) -> Files:
    """A log with the entries of a city that makes packs, cosigned by all its witnesses."""
    files = log_files(city.entries, city.log)
    files[CHECKPOINT] = city.checkpoint()
    return files


@pytest.fixture
def packed(tmp_path: Path) -> tuple[PackCity, Following]:
    city = PackCity()
    for _ in range(3):
        city.issue()
    key = city.log.key.text()
    one = Following(tmp_path / "state", Shown(pack_log(city)), LOG, how={"log_vkey": key})
    return city, one


def with_pack(one: Following, data: bytes) -> Round:
    one.views = [pack_view("city.pack", lambda: data)]
    return one.round()


def test_a_pack_of_the_same_history(packed: tuple[PackCity, Following]) -> None:
    city, one = packed
    done = with_pack(one, city.pack())
    assert (done.ok, done.views[1]) == (True, ("pack city.pack", len(city.entries), "same"))
    assert "audit-witnesses-unchecked" not in noticed(done), "the log's own policy was checked"
    assert len(one.start().state.log) == 2, "the genesis names a second key of the log"


def test_a_pack_of_another_history(packed: tuple[PackCity, Following]) -> None:
    city, one = packed
    other = PackCity()
    other.issue()
    other.issue(valid_until=30_000)
    done = with_pack(one, other.pack())
    assert codes(done) == ["monitor-split-view"]
    file = next((one.folder / "evidence").iterdir()).read_text()
    assert file.count("\nlog ") == 2
    assert file.count("\nwitness ") == 3
    assert city.log.key.text() in file


def test_a_foreign_or_broken_pack(packed: tuple[PackCity, Following]) -> None:
    city, one = packed
    for data in (PackCity("other.example").pack(), city.pack()[:-1], b""):
        done = with_pack(one, data)
        assert [alarm.finding.code for alarm in done.alarms][-1] == "monitor-view-refused"
        assert not (one.folder / "evidence").exists()

    def missing() -> bytes:
        raise LedgerError("ledger-read-failed", "no file")

    one.views = [pack_view("city.pack", missing)]
    assert one.round().views[1][1:] == (None, "unread")


# --- the second key, the policy ------------------------------------------------------------------


def test_the_second_signature_must_be_there(packed: tuple[PackCity, Following]) -> None:
    city, one = packed
    assert one.round().ok
    files = pack_log(city)
    head = Checkpoint(city.origin, len(city.entries), city.root(0, len(city.entries)))
    lines = [cosign(head.body(), NOW, witness) for witness in city.witnesses]
    files[CHECKPOINT] = add_cosignatures(sign_checkpoint(head, [city.log]), lines)
    one.source.show(files)
    done = one.round()
    assert [(found.code, found.detail) for found in done.new] == [
        ("audit-checkpoint-refused", "checkpoint-second-signature")
    ]


def test_the_second_signature_is_asked_for_from_the_first_round(tmp_path: Path) -> None:
    city = PackCity(quorum=None)
    one = Following(tmp_path, Shown(log_files(city.entries, city.log)), LOG)
    one.how["log_vkey"] = city.log.key.text()
    assert codes(one.round()) == ["audit-checkpoint-refused"]


def test_the_policy_in_the_log(packed: tuple[PackCity, Following]) -> None:
    city, one = packed
    files = pack_log(city)
    files[CHECKPOINT] = city.checkpoint(witnesses=1)
    one.source.show(files)
    done = one.round()
    assert [(found.code, found.path) for found in done.new] == [
        ("audit-witnesses-missing", CHECKPOINT)
    ]
    city.set_witnesses("quorum none\n", override="断电", issued_at=NOW - 7200)
    one.source.show(pack_log(city) | {CHECKPOINT: city.checkpoint(witnesses=0)})
    done = one.round()
    assert codes(done) == []
    assert [each.code for each in done.notices].count("audit-witnesses-overridden") == 1


def test_an_override_is_told_once_and_stands(packed: tuple[PackCity, Following]) -> None:
    """Neither again in each round, nor after a round without the log, nor at the next start."""
    city, one = packed
    monitor = one.start()
    assert monitor.round().standing == ()
    told = []
    for reason in ("断电", "仍断电"):
        city.set_witnesses("quorum none\n", override=reason, issued_at=NOW - 7200)
        files = pack_log(city) | {CHECKPOINT: city.checkpoint(witnesses=0)}
        for shown_now in (files, files, {}, files, files):
            one.source.show(shown_now)
            done = monitor.round()
            told += [each for each in done.notices if each.code == "audit-witnesses-overridden"]
            stands = [each.detail for each in done.standing]
            assert stands == ([reason] if shown_now else [])
            assert ("override stands" in render_round(done)[0]) == bool(shown_now)
        monitor = one.start()
    assert [each.detail for each in told] == ["≥ 0: 断电", "≥ 0: 仍断电"]
    assert one.start().round().notices == ()
    city.set_witnesses(city.policy_text(2), issued_at=NOW - 7200)
    one.source.show(pack_log(city) | {CHECKPOINT: city.checkpoint(witnesses=2)})
    done = one.round()
    assert (codes(done), done.standing) == ([], ())


def test_a_policy_that_is_given(tmp_path: Path) -> None:
    witness = NoteSigner("w.example", signer("w"), 0x04)
    policy = parse_policy(f"witness w {witness.key.text()}\nquorum w\n")
    one = Following(tmp_path, Shown(shown(LOG, 40)), LOG, how={"policy": policy})
    assert codes(one.round()) == ["audit-witnesses-missing"]
    files = shown(LOG, 40)
    line = cosign(parse_note(files[CHECKPOINT]).text, NOW, witness)
    files[CHECKPOINT] = add_cosignatures(files[CHECKPOINT], [line])
    one.source.show(files)
    monitor = one.start()
    assert codes(monitor.round()) == []
    assert monitor.history.mirror.note() == files[CHECKPOINT], "the fuller note is kept"


def test_a_policy_set_later_governs_from_there(tmp_path: Path) -> None:
    city = City()
    city.fill(10)
    one = Following(tmp_path, Shown(shown(city)), city)
    assert "audit-witnesses-unchecked" in noticed(one.round())
    witness = NoteSigner("w.example", signer("w"), 0x04)
    text = f"witness w {witness.key.text()} https://w.example/\nquorum w\n"
    city.change(kinds.WITNESSES, {"policy": text})
    one.source.show(shown(city))
    assert codes(one.round()) == ["audit-witnesses-missing"]


def test_witnesses_that_the_log_names_are_asked_in_the_first_round(
    packed: tuple[PackCity, Following],
) -> None:
    city, one = packed
    one.source.show(pack_log(city) | {CHECKPOINT: city.checkpoint(witnesses=2)})
    note = one.source.files[CHECKPOINT]

    def places(_origin: str, policy: Policy | None) -> list[View]:
        return [View(name, lambda: note) for name in ([] if policy is None else policy.witnesses)]

    one.how["views"] = places
    views = one.round().views
    assert [name for name, *_ in views][1:] == ["audit", "archive", "court"]
    assert {size for _, size, _ in views} == {len(city.entries)}


# --- logs of others ------------------------------------------------------------------------------


@pytest.fixture
def tessera(shared: Callable[[str], Path], tmp_path: Path) -> Following:
    """A log that another program wrote, at 9 of its 15 entries."""
    folder = shared("vectors/tessera-posix-log")
    source = DirectoryReadSide(folder)
    files = _Vectors(source, folder, 9)
    how = {"log_vkey": VKEY, "reading": replace(READING, tree_only=True)}
    one = Following(tmp_path, Shown({}), LOG, how=how)
    one.source = files
    return one


class _Vectors(Shown):
    def __init__(self, source: DirectoryReadSide, folder: Path, size: int) -> None:
        super().__init__({})
        self.size, self._source, self._folder = size, source, folder

    def read(self, path: str) -> bytes:
        if path == CHECKPOINT:
            return (self._folder / f"checkpoint.{self.size}").read_bytes()
        return self._source.read(path)


def test_a_log_of_another_program(tessera: Following) -> None:
    for size in (0, 1, 9, 9, 15):
        tessera.source.size = size  # type: ignore[attr-defined]
        done = tessera.round()
        assert (done.ok, done.size) == (True, size)
    tessera.source.size = 4  # type: ignore[attr-defined]
    done = tessera.round()
    assert (done.ok, done.size, done.views) == (True, 15, (("log", 4, "earlier"),))


def test_its_entries_are_hashed(tessera: Following) -> None:
    good = tessera.source.read

    def altered(path: str) -> bytes:
        data = good(path)
        return data[:-1] + b"?" if "entries" in path else data

    tessera.source.read = altered  # type: ignore[method-assign]
    done = tessera.round()
    assert ("audit-leaf-differs", 8) in [(one.code, one.index) for one in done.new]
    assert done.size == 0


def test_statements_are_expected_unless_the_tree_alone_is_asked(tessera: Following) -> None:
    tessera.how["reading"] = READING
    done = tessera.round()
    assert set(codes(done)) == {"audit-not-a-statement", "audit-no-genesis"}


def test_leaf_hash_is_what_the_tiles_hold() -> None:
    """The helper's logs are what they say: else none of this would mean anything."""
    assert shown(LOG, 40)["tile/0/000.p/40"][:32] == leaf_hash(LOG.entries[0])
