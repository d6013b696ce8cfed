"""SIGKILL while histories that contradict each other are pressed on a serving witness."""

import random
import threading
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from ledger.stores.witness import open_state
from tests.witness.logs import GrowingLog
from tests.witness.serving import make_folder, serving
from verifier.merkle import EMPTY_ROOT
from verifier.note import parse_note, verify_signatures

ROUNDS = 10
LOGS = 12
ENTRIES, FORK_AT = 48, 3
CLIENTS = 4


class Load:
    """Clients that press both histories of every log, and what came back with 200."""

    def __init__(self, logs: list[tuple[GrowingLog, GrowingLog]]) -> None:
        self.logs = logs
        self.cosigned: list[tuple[int, int, int, bytes]] = []  # log, history, size, answer
        self.refused = 0
        self.faults: list[str] = []

    def run(self, address: str, seed: int, stop: threading.Event) -> None:
        choose = random.Random(seed)
        known = [0] * LOGS
        with httpx2.Client(base_url=address, timeout=20) as client:
            while not stop.is_set():
                which, history = choose.randrange(LOGS), choose.randrange(2)
                size = min(ENTRIES, known[which] + choose.randrange(6))
                body = self.logs[which][history].request(known[which], size)
                try:
                    answer = client.post("/add-checkpoint", content=body)
                except httpx2.TransportError:
                    if not stop.is_set():
                        time.sleep(0.01)
                    continue
                if answer.status_code == 200:
                    self.cosigned.append((which, history, size, body + answer.content))
                    known[which] = size
                elif answer.status_code == 409:
                    known[which] = int(answer.text)
                    self.refused += 1
                elif answer.status_code == 422:
                    self.refused += 1
                else:
                    self.faults.append(answer.text)


@pytest.mark.long
def test_no_two_cosignatures_contradict_each_other(repo: Path, tmp_path: Path) -> None:
    choose = random.Random(20261122)
    logs = []
    for number in range(LOGS):
        log = GrowingLog(f"log{number}.example").grow(ENTRIES)
        logs.append((log, log.fork(FORK_AT).grow(ENTRIES - FORK_AT, b"f")))
    with closing(make_folder(tmp_path)) as state:
        for log, _ in logs:
            state.add_log(log.witnessed)
        keys = state.own_keys()
    load = Load(logs)
    for round in range(ROUNDS):
        with serving(repo, tmp_path) as (process, address):
            stop = threading.Event()
            clients = [
                threading.Thread(target=load.run, args=(address, 100 * round + n, stop))
                for n in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            time.sleep(choose.uniform(0.05, 1.5))
            process.kill()
            process.wait(20)
            stop.set()
            for client in clients:
                client.join(30)
        check(load, tmp_path)
    assert not load.faults
    assert load.refused > ROUNDS
    branches = {(which, history) for which, history, size, _ in load.cosigned if size > FORK_AT}
    assert len(branches) > LOGS / 2  # most logs came past their fork,
    assert len({which for which, _ in branches}) == len(branches)  # and none on both sides
    for which, _, _, note in load.cosigned:
        signed = parse_note(note.split(b"\n\n", 1)[1])
        verify_signatures(signed, [*logs[which][0].witnessed.keys, *keys], at_least=3)


def check(load: Load, folder: Path) -> None:
    """All that was answered is on record, or what is on record continues it."""
    with closing(open_state(folder / "witness.db")) as state:
        for which, (log, _) in enumerate(load.logs):
            recorded = state.recorded(log.origin)
            size, root = (recorded.size, recorded.root) if recorded else (0, EMPTY_ROOT)
            answered = [one for one in load.cosigned if one[0] == which]
            assert size >= max((one[2] for one in answered), default=0)
            (history, *_) = [each for each in load.logs[which] if each.root(size) == root]
            for _, of, at, _ in answered:
                assert load.logs[which][of].root(at) == history.root(at)
