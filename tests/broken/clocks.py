"""Clocks set back: of a city, of the log's writers, and of its witnesses.

Each clock is an argument, so it is set back in process, by seconds to days, between any two acts,
and over a restart. The audit is made with the right time: nothing in it may be out of order.
"""

import itertools
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from unittest.mock import patch

from fastapi.testclient import TestClient

import keys.custody.keyfile
from api.app import bare_app, seat
from api.witness_client import WitnessClient
from keys.custody import Effort
from ledger.stores import open_store
from tests.api.service import DAY, NOW, Clock, Service, Template, found_template, open_copy, sample
from tests.broken import load
from tests.broken.check import Verdict, check, check_answers, check_audit, check_tree
from tests.broken.crowd import PATIENCE
from tests.broken.ground import Ground
from tests.broken.seats import Seats, seats, witnessed
from tests.broken.summary import Outcome
from tests.broken.writers import Said, founded, open_ledger
from tests.ledger.appender import note_all
from verifier.checkpoint import open_checkpoint
from verifier.note import parse_note
from verifier.pack import open_pack

ROUNDS_OF_A_LOG = 40
_BACK = (1, 60, 3_600, DAY, 9 * DAY)
"""Seconds by which a clock is set back."""


def city(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """Licences are issued, suspended and restored, credit entries recorded and published, packs
    and status lists made, while the city's clock runs forwards and backwards."""
    outcome = Outcome("clock set back, a city")
    with patch.object(keys.custody.keyfile, "_stretch", _hashed):
        template = found_template(ground.folder / "template")
        while rounds > 0:
            rounds -= _city(ground, template, min(rounds, ROUNDS_OF_A_LOG), outcome)
    yield outcome


def _city(ground: Ground, template: Template, rounds: int, outcome: Outcome) -> int:
    folder = ground.folder / "city"
    shutil.copytree(template.folder, folder)
    said, clock, latest = Said(), Clock(), NOW
    licences: dict[str, str] = {}
    numbers = itertools.count()
    for restart in range(2):
        opened = open_copy(folder, clock)
        app = bare_app()
        seat(app, opened)
        with TestClient(app, raise_server_exceptions=False) as client:
            service = Service(opened, client, clock, template.keys)
            for _ in range(rounds // 2 + restart * (rounds % 2)):
                clock.step(ground.source.choice((1, 60, 3_600, 2 * DAY)))
                latest = max(latest, clock.now)
                _act(service, said, licences, numbers, ground.source)
                clock.step(-ground.source.choice(_BACK))
                outcome.faults += 1
                _act(service, said, licences, numbers, ground.source)
                signed, final = opened.ledger.checkpoints()
                said.notes |= {each.note for each in (signed, final) if each is not None}
            if restart:
                clock.now = latest + 60
                pack = service.get(None, "/v1/pack")
                if pack.status_code != 200:
                    said.unexpected.append(f"no pack: {pack.text[:200]}")
                else:
                    open_pack(pack.content, thorough=True)
                verdict = Verdict(wrong=list(said.unexpected))
                key = opened.ledger.keys[0]
                check_answers(opened.ledger, said, key, verdict)
                check_tree(opened.ledger, said, key, verdict)
                check_audit(opened.ledger, verdict, now=clock.now, log_vkey=key.text())
                outcome.checked(verdict, said)
        opened.close()
    shutil.rmtree(folder)
    return rounds


def _act(
    service: Service,
    said: Said,
    licences: dict[str, str],
    numbers: Iterator[int],
    source: random.Random,
) -> None:
    """One of what departments and counters do."""
    if licences and source.random() < 0.6:
        record = source.choice(list(licences))
        state, reason = (
            ("valid", "suspension-ended")
            if licences[record] == "suspended"
            else ("suspended", "penalty-suspension")
        )
        answer = service.post(
            "market", f"/v1/licences/{record}/state", {"state": state, "reason": reason}
        )
        if answer.status_code == 200:
            licences[record] = state
    else:
        fields = {**sample("food-licence", 0), "premises": f"示例路{next(numbers)}号"}
        answer = service.post("market", "/v1/licences", {"type": "food-licence", "fields": fields})
        if answer.status_code == 201:
            licences[answer.json()["record_id"]] = "valid"
    if answer.status_code not in (200, 201):
        said.hear(f"e {answer.json()['code']}")
        return
    said.hear(f"a {answer.json()['index']} {answer.json()['leaf']}")
    if source.random() < 0.2:
        service.get(None, "/v1/pack")


def witnesses(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """The clocks of the log and of each of its witnesses, apart from one another and set back."""
    outcome = Outcome("clock set back, log and witnesses")
    while rounds > 0:
        with ground.sqlite() as url, seats(ground.fresh("witnesses"), 3) as net:
            rounds -= _witnesses(ground, url, net, min(rounds, ROUNDS_OF_A_LOG), outcome)
    yield outcome


def _witnesses(ground: Ground, url: str, net: Seats, rounds: int, outcome: Outcome) -> int:
    founded(url)
    said, shift = Said(), [0.0]
    stamps: dict[str, int] = {}
    clock: Callable[[], float] = lambda: time.time() + shift[0]  # noqa: E731
    with ExitStack() as stack:
        store, client = open_store(url), WitnessClient()
        stack.callback(store.close)
        stack.callback(client.close)
        ledger = stack.enter_context(open_ledger(store, clock=clock, policy=net.at))
        stack.enter_context(witnessed(ledger, net.at, client.post, client.get, clock))
        ledger.append([net.statement()], note_all)
        for number in range(rounds):
            for turned in (None, *net.seats):
                by = ground.source.choice((0, 0, *(-back for back in _BACK), 60))
                outcome.faults += by < 0
                if turned is None:
                    shift[0] += by
                else:
                    turned.clock_shift += by
            drafts = load.licences(f"{number}", 0, 5)
            for a in ledger.append(drafts, note_all).appended:
                said.hear(f"r {a.index} {a.leaf_hash.hex()}")
            deadline = time.monotonic() + PATIENCE
            while ledger.final_size < ledger.size:
                assert time.monotonic() < deadline, "with its clocks apart nothing became final"
                time.sleep(0.005)
            final = ledger.checkpoint()
            said.notes.add(final)
            net.cosigners(final, open_checkpoint(final, load.city().log.key))
            for name, stamp in net.policy.check(parse_note(final)):
                if stamp < stamps.get(name, 0):
                    said.unexpected.append(f"{name} cosigned a later tree at an earlier time")
                stamps[name] = stamp
    outcome.checked(check(url, said, policy=net.at), said)
    return rounds


def _hashed(passphrase: str, salt: bytes, effort: Effort) -> bytes:
    """Instead of Argon2id, which is not what is tested here."""
    return sha256(f"{passphrase} {effort}".encode() + salt).digest()
