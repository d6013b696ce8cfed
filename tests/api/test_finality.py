"""Finality at the service: told apart in every answer, waited for, overdue, and a city that lost
what it signed."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import api.founding
from api import change_facts
from api.app import seat
from api.checking import verify
from api.city import City
from api.finality import MAX_WAIT, wait_asked
from api.packs import make_pack
from ledger.audit.run import audit
from ledger.cosigning import HttpAnswer
from ledger.readside import LedgerReadSide
from ledger.witness import WitnessedLog
from tests.api.service import Clock, Service, Template, decide, open_copy, problem_of, sample
from tests.ledger.helpers import refused as ledger_refused
from tests.ledger.net import Net, eventually
from verifier import kinds
from verifier.checkpoint import parse_checkpoint
from verifier.note import parse_note
from verifier.pack import read_pack
from verifier.proof import check_proof, parse_proof

FINALITY = "Zhenglian-Finality"


NUMBERS = count()
"""Of sample licences: no two tests that share a city issue the same."""


class Client:
    """In the place of `WitnessClient`: no sockets."""

    def __init__(self, net: Net) -> None:
        self.post, self.get = net.post, net.get
        self.close = lambda: None


def rules(net: Net, quorum: str = "q") -> str:
    """Two in three, where the archive counts once with either of its keys; or one of them."""
    return net.policy(
        "group either any archive archive-pq", "group q 2 audit either court", quorum=quorum
    ).text()


@contextmanager
def city_with(net: Net, folder: Path, app: FastAPI, keys: Mapping[str, str]) -> Iterator[Service]:
    """A city with a policy of two witnesses in three, all of it final."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.founding, "WitnessClient", lambda: Client(net))
        clock = Clock()
        city = open_copy(folder, clock)
        admit(net, city)
        seat(app, city)
        with TestClient(app, raise_server_exceptions=False) as client:
            decide(city, kinds.WITNESSES, change_facts.witnesses(rules(net)))
            eventually(lambda: city.ledger.final_size == city.ledger.size)
            yield Service(city, client, clock, keys)


Place = tuple[Net, Service]


@pytest.fixture(scope="module")
def shared(
    template: Template, app: FastAPI, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """One city for all tests that leave its policy and its books as they are."""
    folder = tmp_path_factory.mktemp("finality")
    net = Net(folder)
    with city_with(
        net, shutil.copytree(template.folder, folder / "var"), app, template.keys
    ) as service:
        yield net, service
    net.close()


@pytest.fixture
def net(shared: Place) -> Net:
    """Everybody answers."""
    parted(shared[0], away=False)
    return shared[0]


@pytest.fixture
def service(shared: Place, net: Net, app: FastAPI) -> Service:
    """Everything is final."""
    service = shared[1]
    seat(app, service.city)  # a test with a city of its own took the place
    quick(service)
    eventually(lambda: final(service))
    return service


@pytest.fixture
def fresh(folder: Path, tmp_path: Path, app: FastAPI, template: Template) -> Iterator[Place]:
    """A city of the test's own."""
    net = Net(tmp_path)
    with city_with(net, folder, app, template.keys) as service:
        yield net, service
    net.close()


def admit(net: Net, city: City) -> None:
    """The witnesses take the city's log, by both of its keys."""
    for seat_ in net.seats.values():
        seat_.state.add_log(WitnessedLog(city.origin, city.ledger.keys, at_least=2))


def parted(net: Net, away: bool = True) -> None:
    for seat_ in net.seats.values():
        seat_.down = away


def final(service: Service) -> bool:
    return service.city.ledger.final_size == service.city.ledger.size


def quick(service: Service) -> None:
    """Witnesses that failed are asked again at once."""
    for asker in service.city.witnessing._askers.values():
        asker.due = 0.0


# told apart


def test_answers_tell_whether_they_are_final(service: Service, net: Net) -> None:
    parted(net)
    issued = service.issue(number=next(NUMBERS))
    assert issued["finality"] == "pending"
    state = service.set_state(issued["record_id"], "suspended", "penalty-suspension")
    assert state["finality"] == "pending"
    proof = service.get(None, issued["proof"])
    assert proof.headers[FINALITY] == "pending"
    size = service.city.ledger.size
    shown = service.get(None, "/v1/log/finality").json()
    assert shown == {
        "size": size,
        "finality": "pending",
        "signed_size": size,
        "final_size": service.city.ledger.final_size,
    }
    parted(net, away=False)
    quick(service)
    eventually(lambda: final(service))
    assert service.get(None, "/v1/log/finality").json()["finality"] == "final"
    proof = service.get(None, issued["proof"])
    assert proof.headers[FINALITY] == "final"
    policy = service.city.authorities.policy
    assert policy is not None
    log_key = service.city.authorities.log_key
    assert log_key is not None
    entry = service.city.ledger.entry(issued["index"])
    assert check_proof(parse_proof(proof.content), entry, log_key, policy).size == size


def test_a_repeated_request_is_told_what_holds_by_then(service: Service, net: Net) -> None:
    parted(net)
    body = {"state": "suspended", "reason": "penalty-suspension"}
    record = service.issue(number=next(NUMBERS))["record_id"]
    path, headers = f"/v1/licences/{record}/state", {"Idempotency-Key": "once"}
    first = service.post("market", path, body, headers=headers).json()
    parted(net, away=False)
    quick(service)
    eventually(lambda: final(service))
    again = service.post("market", path, body, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (first.pop("finality"), again.json()["finality"]) == ("pending", "final")
    assert first.items() <= again.json().items()


def test_many_at_once_each_tell_it(service: Service, net: Net) -> None:
    parted(net)
    rows = [
        {"type": "food-licence", "fields": sample("food-licence", next(NUMBERS))} for _ in range(2)
    ]
    answer = service.post("market", "/v1/licences/batch", {"licences": rows})
    assert answer.status_code == 201, answer.text
    assert [each["finality"] for each in answer.json()["licences"]] == ["pending"] * 2


def test_the_public_checkpoint_is_the_final_one(service: Service, net: Net) -> None:
    before = service.get(None, "/log/checkpoint").text
    parted(net)
    issued = service.issue(number=next(NUMBERS))
    assert service.get(None, "/log/checkpoint").text == before
    signed = service.get(None, "/v1/log/checkpoint").text
    assert parse_checkpoint(parse_note(signed.encode()).text).size == issued["index"] + 1
    # What is not final can be read all the same, and is no secret.
    assert service.get(None, f"/v1/log/entries/{issued['index']}").status_code == 200
    old = service.city.ledger.final_size
    proof = service.get(None, "/v1/log/consistency", params={"old": 1}).json()
    assert proof["new"] == old


def test_packs_and_audits_rest_on_the_final_checkpoint(fresh: Place) -> None:
    net, service = fresh
    parted(net)
    before = service.city.ledger.final_size
    decide(service.city, kinds.WITNESSES, change_facts.witnesses(rules(net, "court"), "改用一家"))
    service.issue(number=next(NUMBERS))
    pack = read_pack(make_pack(service.city), log_key=service.city.trust().log_key.text())
    assert pack.checkpoint.size == before < service.city.ledger.size
    read = LedgerReadSide(service.city.ledger)
    report = audit(read, workdays_after=lambda _day, _count: 0, now=service.city.now())
    assert report.size == before


# waiting


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0), ("", 0), ("wait=5", 5), ("respond-async, wait=10", 10), ("Wait = 7", 7),
        ('wait="3"', 3), ("wait=9999", MAX_WAIT), ("wait=-1", 0), ("wait=1.5", 0), ("wait", 0),
        ("await=5", 0), ("wait=5s", 0), ("wait=55555", 0), ("wait=٥", 0),
    ],
)  # fmt: skip
def test_how_long_a_caller_asks_to_wait(prefer: str | None, seconds: int) -> None:
    assert wait_asked(prefer) == seconds


def test_who_waits_is_answered_when_it_is_final(service: Service, net: Net) -> None:
    parted(net)
    issued = service.issue(number=next(NUMBERS))
    answer = service.get(None, issued["proof"], headers={"Prefer": "wait=0"})
    assert answer.headers[FINALITY] == "pending"
    assert "Preference-Applied" not in answer.headers
    began = time.monotonic()
    answer = service.get(None, issued["proof"], headers={"Prefer": "wait=1"})
    assert time.monotonic() - began >= 1
    assert answer.headers[FINALITY] == "pending"
    assert answer.headers["Preference-Applied"] == "wait=1"
    parted(net, away=False)
    quick(service)
    answer = service.get(None, issued["proof"], headers={"Prefer": "wait=30"})
    assert answer.headers[FINALITY] == "final"
    wanted = {"size": issued["index"] + 1}
    answer = service.get(None, "/v1/log/finality", params=wanted, headers={"Prefer": "wait=30"})
    assert answer.json()["finality"] == "final"


def test_nobody_waits_for_what_is_not_there(service: Service) -> None:
    size = service.city.ledger.size
    for path in (f"/v1/log/proof/{size}", f"/v1/log/finality?size={size + 1}"):
        answer = service.get(None, path, headers={"Prefer": "wait=30"})
        problem_of(answer, "ledger-out-of-range", 404)


# what the operator sees


def metric(service: Service, name: str) -> float:
    lines = service.get(None, "/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


def test_health_metrics_and_pages_say_how_far_it_is_final(service: Service, net: Net) -> None:
    def witnesses() -> str:
        answer = service.get(None, "/readyz")
        assert answer.status_code == 200, "it stays ready"
        return str(answer.json()["checks"]["witnesses"])

    eventually(lambda: witnesses() == "current")
    assert "见证联署逾期" not in service.get(None, "/").text
    assert metric(service, "zhenglian_final_behind_seconds") == 0
    assert metric(service, "zhenglian_quorum_age_seconds") >= 0
    parted(net)
    service.issue(number=next(NUMBERS))
    service.clock.step(7)
    eventually(lambda: "down: " in witnesses())
    assert witnesses().startswith("1 entry and 7 seconds behind; down: audit")
    service.clock.step(60)
    assert witnesses().startswith("overdue: 1 entry and 67 seconds behind")
    page = service.get(None, "/").text
    assert page.index("见证联署逾期：1 条") < page.index("Witnesses are overdue: 1 entry is logged")
    assert metric(service, "zhenglian_final_overdue") == 1
    size = metric(service, "zhenglian_tree_size")
    assert metric(service, "zhenglian_final_size") == size - 1
    text = service.get(None, "/metrics").text
    assert 'zhenglian_witness_up{url="https://court.example"} 0.0' in text
    parted(net, away=False)
    quick(service)
    eventually(lambda: witnesses() == "current")
    assert 'zhenglian_witness_up{url="https://court.example"} 1.0' in (
        service.get(None, "/metrics").text
    )


def test_an_override_lets_it_go_on_and_is_shown(fresh: Place) -> None:
    net, service = fresh
    net["audit"].down = net["court"].down = True
    service.issue(number=next(NUMBERS))
    assert not final(service)
    facts = change_facts.witnesses(rules(net, "either"), "两家机房断电")
    decide(service.city, kinds.WITNESSES, facts)
    eventually(lambda: final(service))
    assert service.get(None, "/readyz").json()["checks"]["witnesses_override"] == "两家机房断电"
    for path in ("/", "/check"):
        assert "见证策略已由两名经办人降低：两家机房断电" in service.get(None, path).text
    assert metric(service, "zhenglian_witness_override") == 1
    # Nobody at all, until the next policy.
    decide(service.city, kinds.WITNESSES, change_facts.witnesses("quorum none\n", "全部断电"))
    parted(net)
    assert service.issue(number=next(NUMBERS))["finality"] == "final"


def test_without_a_policy_there_is_nothing_to_wait_for(
    app: FastAPI, city: City, clock: Clock, template: Template
) -> None:
    seat(app, city)
    with TestClient(app, raise_server_exceptions=False) as client:
        plain = Service(city, client, clock, template.keys)
        issued = plain.issue()
        assert issued["finality"] == "final"
        assert plain.get(None, issued["proof"]).headers[FINALITY] == "final"
        assert plain.get(None, "/readyz").json()["checks"]["witnesses"] == "none"
        note = plain.get(None, "/log/checkpoint").text
        assert note == plain.get(None, "/v1/log/checkpoint").text


# rollback


def test_a_city_restored_from_an_old_backup_reads_and_does_not_write(
    fresh: Place, app: FastAPI, folder: Path, tmp_path: Path
) -> None:
    _, service = fresh
    backup = tmp_path / "backup"
    service.issue(number=next(NUMBERS))
    eventually(lambda: final(service))
    with service.city.store.write():  # nothing is half written while it is copied
        shutil.copytree(folder, backup)
    service.issue(number=next(NUMBERS))
    eventually(lambda: final(service))
    size = service.city.ledger.size
    service.client.__exit__(None, None, None)

    old = open_copy(backup, service.clock)
    seat(app, old)
    with TestClient(app, raise_server_exceptions=False) as client:
        restored = Service(old, client, service.clock, service.keys)
        body = {"type": "food-licence", "fields": sample("food-licence", next(NUMBERS))}
        answer = restored.post("market", "/v1/licences", body)
        problem = problem_of(answer, "ledger-rolled-back", 503)
        assert f"size {size - 1}, signed {size}" in problem["detail"]
        ready = restored.get(None, "/readyz")
        assert ready.status_code == 503
        assert "ledger-rolled-back" in ready.json()["checks"]["failed"]
        assert ready.json()["checks"]["witnesses"] == "stopped"
        assert "账本停止写入" in restored.get(None, "/").text
        assert metric(restored, "zhenglian_writing_refused") == 1
        # Reading and checking go on.
        assert restored.get(None, "/log/checkpoint").status_code == 200
        assert restored.get("market", "/v1/licences").status_code == 200


def test_a_restored_city_that_was_not_compared_says_so_everywhere(
    fresh: Place, app: FastAPI, folder: Path
) -> None:
    net, service = fresh
    service.issue(number=next(NUMBERS))
    eventually(lambda: final(service))
    service.client.__exit__(None, None, None)
    parted(net)
    old = open_copy(folder, service.clock)
    with old.store.write() as writer:
        writer.mark_restored(True)
        writer.commit()
    seat(app, old)
    with TestClient(app, raise_server_exceptions=False) as client:
        restored = Service(old, client, service.clock, service.keys)
        body = {"type": "food-licence", "fields": sample("food-licence", next(NUMBERS))}
        answer = restored.post("market", "/v1/licences", body)
        assert " of " in problem_of(answer, "ledger-restored-unseen", 503)["detail"]
        ready = restored.get(None, "/readyz")
        assert ready.status_code == 503
        assert "ledger-restored-unseen" in ready.json()["checks"]["failed"]
        assert "账本停止写入" in restored.get(None, "/").text
        assert metric(restored, "zhenglian_writing_refused") == 1


def test_a_command_that_writes_looks_first(service: Service, tmp_path: Path, net: Net) -> None:
    backup = tmp_path / "backup"
    with service.city.store.write():
        shutil.copytree(service.city.settings.data, backup)
    service.issue(number=next(NUMBERS))
    eventually(lambda: final(service))
    old = open_copy(backup, service.clock)
    with ledger_refused("ledger-rolled-back"):
        decide(old, kinds.WITNESSES, change_facts.witnesses(rules(net, "court"), "x"))
    old.close()


def test_verifying_does_not_need_the_witnesses(service: Service, net: Net) -> None:
    parted(net)
    issued = service.issue(number=next(NUMBERS))
    verdict = verify(service.city, issued["qr"])
    assert verdict.colour.value == "green", verdict.code
    net["court"].shows = HttpAnswer(404, "", b"")
    problem = service.get(
        "market", f"/v1/licences/{issued['record_id']}/qr", params={"profile": "transparent"}
    )
    assert problem.json()["code"] == "licence-not-witnessed"
