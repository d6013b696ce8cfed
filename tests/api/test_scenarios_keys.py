"""Scenarios of keys and departments, through the service and at counters without a network.

Those that have files of their own: a leak (`test_scenarios_leak`), a rotation at midnight
(`test_scenarios_rotation`). An officer who approves the own proposal, a replayed approval and an
approval of a proposal that was changed are refused over HTTP in `test_changes`:
`test_nobody_approves_their_own_proposal`, `test_a_replayed_approval` and
`test_an_approval_of_another_proposal`.
"""

import threading
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api import change_facts
from api.city import City
from api.keymaking import make_key
from api.licences import Licences
from api.principals import Principal, Role
from keys.errors import ZhenglianError
from tests.api.counters import Counter, compact, transparent
from tests.api.leaks import FOOD, food, forged_licence, log_past_the_service, report_leak
from tests.api.records import audit_findings, statement_at
from tests.api.service import DAY, ORIGIN, Service, decide, enrol_key, open_copy, problem_of
from verifier.kinds import DEPARTMENT_CHANGED, KEY, KEY_CHANGED, LICENCE
from verifier.pack import open_pack
from verifier.qr import format_qr
from verifier.statement import parse_statement
from verifier.verdict import Colour


def change_key(city: City, kid: bytes, act: str, slug: str = "market") -> int:
    return decide(city, KEY_CHANGED, change_facts.key_changed(kid, act), f"{slug}-1")


# a type outside the scope


def narrow(service: Service) -> bytes:
    """The market's only key may sign business licences and nothing else; its kid."""
    city = service.city
    old = city.signer("market").kid
    enrol_key(city, "market", [city.catalogue.licence_type("business-licence").code])
    change_key(city, old, "retire")
    service.clock.step(60)
    return city.signer("market").kid


def test_a_type_outside_the_scope_is_refused_at_issue(service: Service) -> None:
    narrow(service)
    size = service.city.ledger.size
    answer = service.post("market", "/v1/licences", {"type": FOOD, "fields": food(1)})
    problem_of(answer, "key-out-of-scope", 403)
    batch = {"licences": [{"type": FOOD, "fields": food(number)} for number in range(2)]}
    problem_of(service.post("market", "/v1/licences/batch", batch), "key-out-of-scope", 403)
    assert service.city.ledger.size == size
    service.issue("business-licence")


def test_a_rotation_to_a_narrower_scope(service: Service) -> None:
    """Once the overlap is over, the refusal speaks of the new key, not of the old one's dates."""
    city = service.city
    made = make_key(city, "market", "ed25519")
    scope = [city.catalogue.licence_type("business-licence").code]
    facts = change_facts.key("market", made.key, made.pop, scope, city.now() + 60)
    decide(city, KEY, change_facts.rotation(facts, city.signer("market").kid, 60), "market-1")
    service.clock.step(120)
    service.issue(FOOD, **food(0))  # the old key, in its last second
    service.clock.step(1)
    answer = service.post("market", "/v1/licences", {"type": FOOD, "fields": food(1)})
    problem_of(answer, "key-out-of-scope", 403)


@pytest.mark.parametrize("type_", [FOOD, "id-card"])
def test_forced_into_the_ledger_by_a_hostile_replica(service: Service, type_: str) -> None:
    """A type that the key may not sign, of its own department's or another's: red at counters and
    online, compact and proven; the audit names the entry."""
    narrow(service)
    city = service.city
    statement, face = forged_licence(city, city.signer("market"), at=city.now(), type_=type_)
    (index,) = log_past_the_service(city, statement)
    counter = Counter(service).sync()
    codes = [format_qr(statement, face), format_qr(statement, face, city.ledger.proof(index))]
    for code in codes:
        verdict = counter.judge(code)
        assert (verdict.colour, verdict.code) == (Colour.RED, "key-out-of-scope")
        online = service.verify(code)
        assert (online["colour"], online["code"]) == ("red", "key-out-of-scope")
    assert audit_findings(service) == [("audit-key-out-of-scope", index)]


# suspended by another process


class Desk:
    """Threads of one process that issue without pause, and what became of it."""

    def __init__(self, city: City) -> None:
        self._licences = Licences(city)
        self._type = city.catalogue.licence_type(FOOD)
        self._caller = Principal("test", "test", "market", frozenset({Role.CLERK}))
        self._numbers, self._stop = iter(range(100_000)), threading.Event()
        self._lock = threading.Condition()
        self.issued: list[int] = []
        self.refused: Tally[str] = Tally()

    @contextmanager
    def open(self, threads: int = 3) -> Iterator[None]:
        started = [threading.Thread(target=self._work) for _ in range(threads)]
        for thread in started:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in started:
                thread.join()

    def _work(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            try:
                done = self._licences.issue(self._caller, self._type, food(number))
            except ZhenglianError as error:
                with self._lock:
                    self.refused[error.code] += 1
                    self._lock.notify_all()
                self._stop.wait(0.005)
            else:
                with self._lock:
                    self.issued.append(done.index)
                    self._lock.notify_all()

    def wait_issued(self, more: int) -> None:
        """Until so many more were issued."""
        with self._lock:
            wanted = len(self.issued) + more
            assert self._lock.wait_for(lambda: len(self.issued) >= wanted, 60), self.refused

    def wait_refused(self, more: int) -> None:
        with self._lock:
            wanted = self.refused.total() + more
            assert self._lock.wait_for(lambda: self.refused.total() >= wanted, 60)


def test_suspended_by_another_process(folder: Path, service: Service) -> None:
    """From the entry that suspends the key on, nothing of it gets into the ledger, whatever this
    process was in the midst of; once resumed, it goes on by itself."""
    other, kid = open_copy(folder, service.clock), service.city.signer("market").kid
    desk = Desk(service.city)
    with desk.open():
        desk.wait_issued(10)
        suspended = change_key(other, kid, "suspend")
        desk.wait_refused(10)
        resumed = change_key(other, kid, "resume")
        service.clock.step(1)  # this process looks again once a second
        desk.wait_issued(10)
    other.close()
    assert desk.refused.keys() == {"key-suspended"}
    ledger = service.city.ledger
    kinds = [parse_statement(ledger.entry(index)).content.kind for index in range(ledger.size)]
    logged = [index for index, kind in enumerate(kinds) if kind == LICENCE]
    assert sorted(desk.issued) == logged
    assert not [index for index in logged if suspended < index < resumed]
    assert min(logged) < suspended < resumed < max(logged)
    assert audit_findings(service) == []


# departments


def merge(service: Service, slug: str = "market", into: str = "health") -> None:
    city = service.city
    enrol_key(city, into, change_facts.catalogue_scope(city, slug))
    decide(city, DEPARTMENT_CHANGED, change_facts.merged(slug, into))
    service.clock.step(60)


def test_a_merged_department(service: Service) -> None:
    """The successor issues its types, acts on its licences and signs its lists of states; what
    it issued stays green, and the audit is clean."""
    city = service.city
    kept, revoked, renewed = (service.issue(FOOD, **food(number)) for number in range(3))
    proven = transparent(service, kept["record_id"])
    merge(service)
    new = service.issue(FOOD, who="health", **food(10))
    body = {"type": FOOD, "fields": food(2), "renews": renewed["record_id"]}
    assert service.post("health", "/v1/licences", body).status_code == 201
    suspension = service.set_state(
        kept["record_id"], "suspended", "penalty-suspension", who="health"
    )
    assert statement_at(service, suspension["index"]).issuer == f"{ORIGIN}/health"
    counter = Counter(service).sync()
    assert counter.codes(kept["qr"], proven) == ["status-suspended"] * 2
    service.set_state(kept["record_id"], "valid", "suspension-ended", who="health")
    service.set_state(revoked["record_id"], "revoked", "penalty-revocation", who="health")
    counter.sync()
    for code in (kept["qr"], proven, new["qr"]):
        assert counter.judge(code).colour is Colour.GREEN
        assert service.verify(code)["colour"] == "green"
    assert counter.codes(revoked["qr"], renewed["qr"]) == ["status-revoked", "status-lapsed"]
    subject = counter.judge(kept["qr"]).subject
    assert subject is not None
    assert (subject.issuer, subject.issuer_zh) == (f"{ORIGIN}/market", "市场监督管理局")
    assert subject.successor is not None
    assert subject.successor[0] == city.catalogue.department("health").zh
    tokens = open_pack(counter.pack).statuses.tokens()  # type: ignore[attr-defined]
    signers = {token.issuer: token.sign1.kid for token in tokens}
    assert signers[f"{ORIGIN}/market"] == city.signer("health").kid
    assert city.authorities.keys[signers[f"{ORIGIN}/market"]].issuer == f"{ORIGIN}/health"
    assert audit_findings(service) == []


def test_what_the_merged_department_can_do_no_more(service: Service) -> None:
    issued = service.issue(FOOD, **food(0))
    stolen = service.city.signer("market")
    merge(service)
    size = service.city.ledger.size
    answer = service.post("market", "/v1/licences", {"type": FOOD, "fields": food(1)})
    problem_of(answer, "department-mismatch", 403)
    path = f"/v1/licences/{issued['record_id']}"
    problem_of(service.get("market", path), "department-mismatch", 403)
    assert service.city.ledger.size == size
    # nor does its old key, in the hands of a replica
    statement, face = forged_licence(service.city, stolen, at=service.city.now())
    (index,) = log_past_the_service(service.city, statement)
    counter = Counter(service).sync()
    assert counter.codes(format_qr(statement, face)) == ["key-retired"]
    assert audit_findings(service) == [("audit-key-retired", index)]


def test_a_leaked_key_of_a_department_merged_since(service: Service) -> None:
    """The successor reports it, lists and issues anew; the lists of states are its own work."""
    city = service.city
    stolen = city.signer("market")
    early = service.issue(FOOD, **food(0))
    service.clock.step(DAY)
    since = city.now()
    late = service.issue(FOOD, **food(1))
    merge(service)
    report_leak(city, stolen.kid, since, "health")
    counter = Counter(service).sync()
    assert counter.codes(early["qr"], late["qr"]) == ["valid", "key-compromised"]
    path = f"/v1/keys/{stolen.kid.hex()}"
    listed = service.get("health", f"{path}/affected").json()["entries"]
    assert [each["record_id"] for each in listed] == [late["record_id"]]
    (done,) = service.post("health", f"{path}/resign", {}).json()["resigned"]
    assert counter.sync().codes(compact(service, done["new"], "health")) == ["valid"]
    assert audit_findings(service) == []


def test_a_renamed_department(service: Service) -> None:
    """A code shows the name at issue, and who that is today."""
    old = service.issue(FOOD, **food(0))
    service.clock.step(DAY)
    facts = change_facts.renamed("market", "市场监管委员会", "Market Supervision Commission")
    decide(service.city, DEPARTMENT_CHANGED, facts)
    service.clock.step(60)
    new = service.issue(FOOD, **food(1))
    counter = Counter(service).sync()
    before, after = counter.judge(old["qr"]), counter.judge(new["qr"])
    assert before.subject is not None
    assert after.subject is not None
    assert (before.colour, after.colour) == (Colour.GREEN, Colour.GREEN)
    assert before.subject.issuer_zh == "市场监督管理局"
    assert before.subject.successor == ("市场监管委员会", "Market Supervision Commission")
    assert (after.subject.issuer_zh, after.subject.successor) == ("市场监管委员会", None)
    online = service.verify(old["qr"])["licence"]
    assert (online["issuer_zh"], online["issuer_now"]["zh"]) == (
        "市场监督管理局",
        "市场监管委员会",
    )
    assert audit_findings(service) == []


def test_the_counter_prints_both_names(service: Service, tmp_path: Path) -> None:
    old = service.issue(FOOD, **food(0))
    merge(service)
    _, text = Counter(service).sync().command(tmp_path, old["qr"])
    assert "市场监督管理局" in text
    assert "该机关现为 That department is now" in text
    assert service.city.catalogue.department("health").zh in text
