"""Witnesses that are slow, lie, answer 409 for ever or are cut off; and a ledger brought back.

Two replicas of one log ask the same five witnesses, three of whom must cosign. In each round some
of them misbehave while both replicas append. What must hold:

* appends are answered, whatever the witnesses do, and no lie stops the writing;
* without three good witnesses nothing new becomes final; with three, everything does;
* every final checkpoint carries cosignatures that its witnesses gave for that very tree.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from api.witness_client import WitnessClient
from ledger import cosigning
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.stores import open_store
from tests.broken import load
from tests.broken.check import check
from tests.broken.crowd import PATIENCE
from tests.broken.ground import Ground
from tests.broken.seats import BAD, QUORUM, Seats, seats, witnessed
from tests.broken.summary import Outcome
from tests.broken.writers import Said, founded, open_ledger
from tests.ledger.appender import note_all
from verifier.checkpoint import open_checkpoint

ROUNDS_OF_A_LOG = 25


def misbehaving(ground: Ground, rounds: int) -> Iterator[Outcome]:
    outcome = Outcome("witnesses slow, lying, 409, cut off")
    with _quick_repetition():
        while rounds > 0:
            with ground.sqlite() as url, seats(ground.fresh("witnesses")) as net:
                if net.wanting:
                    outcome.part = f"{outcome.part.partition(' (')[0]} ({net.wanting})"
                rounds -= _misbehaving(ground, url, net, min(rounds, ROUNDS_OF_A_LOG), outcome)
    yield outcome


def _misbehaving(ground: Ground, url: str, net: Seats, rounds: int, outcome: Outcome) -> int:
    founded(url)
    said = Said()
    with ExitStack() as stack:
        replicas = [stack.enter_context(_replica(url, net)) for _ in range(2)]
        _say(said, replicas[0], replicas[0].append([net.statement()], note_all).appended)
        for round_ in range(rounds):
            bad = ground.source.sample(net.seats, ground.source.randrange(6))
            before = replicas[0].size
            for seat in net.seats:
                seat.set(ground.source.choice(BAD) if seat in bad else "good")
            outcome.faults += len(bad)
            for part, replica in enumerate(replicas):
                drafts = load.licences(f"{round_} {part}", 0, ground.source.randrange(1, 30))
                _say(said, replica, replica.append(drafts, note_all).appended)
                assert replica.refusal is None, replica.refusal
            if net.good() >= QUORUM:
                _until(lambda: replicas[0].final_size == replicas[0].size)
            else:
                time.sleep(ground.source.uniform(0.1, 0.5))
                if replicas[0].final_size > before:
                    said.unexpected.append(f"final without a quorum: {[s.mode for s in bad]}")
            _check_final(said, replicas[0], net)
        for seat in net.seats:
            seat.set("good")
        _until(lambda: replicas[0].final_size == replicas[0].size)
        _check_final(said, replicas[0], net)
    outcome.checked(check(url, said, policy=net.at), said)
    return rounds


def brought_back(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """A ledger is brought back from an old backup while another goes on, or after it has gone on.

    With witnesses in sight the old one must not take a single submission. Cut off from them it may
    write, as appends go on without witnesses; but nothing of that becomes final, and once one of
    them is seen it stops for good. What it had acknowledged until then is not the log's.
    """
    outcome = Outcome("brought back from an old backup")
    with _quick_repetition():
        for round_ in range(rounds):
            with ground.sqlite() as url, seats(ground.fresh("witnesses")) as net:
                _brought_back(ground, url, net, cut_off=bool(round_ % 2), outcome=outcome)
    yield outcome


def _brought_back(ground: Ground, url: str, net: Seats, cut_off: bool, outcome: Outcome) -> None:
    founded(url)
    said, other = Said(), Said()
    copy = ground.folder / "copy.db"
    with _replica(url, net) as ledger:
        _say(said, ledger, ledger.append([net.statement()], note_all).appended)
        _until(lambda: ledger.final_size == ledger.size)
        _backup(url, copy)
        _say(said, ledger, ledger.append(load.licences("after", 0, 20), note_all).appended)
        _until(lambda: ledger.final_size == ledger.size)
        old = f"sqlite:///{copy}"
        if cut_off:
            for seat in net.seats:
                seat.set("cut off")
        with _replica(old, net) as back:
            final = back.final_size
            for number in range(3):  # both write at once
                drafts = load.licences(f"both {number}", 0, 5)
                _say(said, ledger, ledger.append(drafts, note_all).appended)
                try:
                    drafts = load.licences(f"second history {number}", 0, 5)
                    _say(other, back, back.append(drafts, note_all).appended)
                    if not cut_off:
                        said.unexpected.append("the old ledger wrote in sight of its witnesses")
                except LedgerError as error:
                    other.hear(f"e {error.code}")
            for seat in net.seats:
                seat.set("good")
            _until(lambda: back.refusal is not None)
            try:
                back.append(load.licences("second history", 99, 1))
                said.unexpected.append("the old ledger writes although its witnesses are ahead")
            except LedgerError as error:
                other.hear(f"e {error.code}")
                if error.code not in ("ledger-rolled-back", "ledger-forked"):
                    said.unexpected.append(f"the old ledger stops with {error.code}")
            if back.final_size != final:
                said.unexpected.append("something of the second history became final")
        _until(lambda: ledger.final_size == ledger.size)
        _check_final(said, ledger, net)
        if ledger.refusal is not None:
            said.unexpected.append(f"the true ledger stopped: {ledger.refusal}")
    outcome.faults += 1
    outcome.told += other.errors
    outcome.checked(check(url, said, policy=net.at), said)
    for left in ground.folder.glob("copy.db*"):
        left.unlink()


@contextmanager
def _replica(url: str, net: Seats) -> Iterator[Ledger]:
    """One process's ledger, asking its witnesses over real sockets."""
    store, client = open_store(url), WitnessClient()
    with (
        open_ledger(store, policy=net.at) as ledger,
        witnessed(ledger, net.at, client.post, client.get),
    ):
        yield ledger
    client.close()
    store.close()


def _say(said: Said, ledger: Ledger, appended: object) -> None:
    for a in appended:  # type: ignore[attr-defined]
        said.hear(f"r {a.index} {a.leaf_hash.hex()}")
    signed, final = ledger.checkpoints()
    said.notes |= {each.note for each in (signed, final) if each is not None}


def _check_final(said: Said, ledger: Ledger, net: Seats) -> None:
    final = ledger.checkpoint()
    said.notes.add(final)
    checkpoint = open_checkpoint(final, load.city().log.key)
    if net.at(checkpoint.size) is not None:
        net.cosigners(final, checkpoint)


def _backup(url: str, to: Path) -> None:
    source, copy = sqlite3.connect(url.removeprefix("sqlite:///")), sqlite3.connect(to)
    source.backup(copy)
    source.close()
    copy.close()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "not final, or not stopped, in time"
        time.sleep(0.01)


@contextmanager
def _quick_repetition() -> Iterator[None]:
    """Witnesses that failed are asked again within a second instead of half a minute."""
    names = {"_FIRST_PAUSE": 0.05, "_LONGEST_PAUSE": 0.5, "_LOOK_AGAIN": 0.5}
    before = {name: getattr(cosigning, name) for name in names}
    for name, value in names.items():
        setattr(cosigning, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(cosigning, name, value)
