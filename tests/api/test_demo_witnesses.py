"""The demo's witnesses: real ones, inside the service, that make its ledger final."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi.testclient import TestClient

import api.commands.run
import api.demo
from api import change_facts
from api.app import create_app
from api.changes import ChangeDesk
from api.city import City
from api.commands.serving import listen
from api.commands.witness import _signers
from api.demo import (
    FILE,
    OFFICERS,
    DemoOfficers,
    demo_cards,
    enrol_department,
    make_demo,
    read_demo,
)
from api.demo_people import DemoLicence, demo_licences
from api.demo_witnesses import NEEDED, PATH, SLUGS, address, set_witnesses, shown
from api.founding import found, open_city
from api.witness_folder import STATE
from ledger.stores.witness import WitnessState, open_state
from ledger.witness import origin_hash
from ledger.witness.wire import MAX_REQUEST
from tests.api.service import PASSPHRASE, Clock, problem_of, sample, settings_of
from tests.ledger.net import eventually
from verifier.image import read_code
from verifier.judge import judge
from verifier.kinds import WITNESSES as WITNESS_CHANGE
from verifier.note import parse_note
from verifier.pack import open_pack
from verifier.policy import Policy
from verifier.verdict import Outcome
from verifier.words import WITNESSES

ORIGIN = "demo.zhenglian.example"
TEXT = "text/plain; charset=utf-8"
NUMBERS = count(20)
"""Of food licences that no sample is."""
THREADS = 40
"""On which a service answers what may block; more would wait for one."""
Demo = tuple[City, httpx2.Client]


class CutOff(Exception):
    """The process ends here."""


class Hold:
    """A route that takes a thread and keeps it until it is let go."""

    def __init__(self) -> None:
        self.held = 0
        self.over = threading.Event()

    def hold(self) -> None:
        self.held += 1
        self.over.wait()


HOLD = Hold()


def quiet(_: str) -> None:
    pass


def found_demo(folder: Path, port: int = 8440, **changes: Any) -> City:
    """The demo's city without its licences; opened if it is there."""
    values = {"demo": True, "origin": ORIGIN, "port": port, "witness_seconds": 1.0, **changes}
    settings = settings_of(folder, **values)
    return found(settings, officers=demo_cards(settings), clock=Clock())


def samples(now: int) -> list[DemoLicence]:
    """Instead of all 255."""
    return [each for each in demo_licences(now) if each.sample]


@contextmanager
def served(city_at: Callable[[int], City]) -> Iterator[Demo]:
    """As `zhenglian run` does it: listens, has the city of that port made, serves, closes it."""
    with listen("127.0.0.1", 0) as listener:
        city = city_at(listener.getsockname()[1])
        app = create_app(city)
        app.add_api_route("/hold", HOLD.hold)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx2.Client(base_url=address(city.settings), timeout=60) as client:
                yield city, client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A first start, with no more licences than are shown as samples."""
    folder = tmp_path_factory.mktemp("demo") / "var"

    def first_start(port: int) -> City:
        city = found_demo(folder, port)
        make_demo(city, quiet)
        set_witnesses(city, quiet)
        assert city.ledger.final_size == city.ledger.size - 1  # all but the policy itself
        return city

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api.demo, "demo_licences", samples)
        with served(first_start) as made:
            yield made


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[City]:
    """A demo's city with a policy, that nobody serves."""
    city = found_demo(tmp_path / "var")
    set_witnesses(city, quiet)
    yield city
    city.close()


def policy_of(city: City) -> Policy:
    policy = city.authorities.policy
    assert policy is not None
    return policy


def is_final(city: City) -> bool:
    return city.ledger.final_size == city.ledger.size


def issue(demo: Demo) -> None:
    """A licence, over HTTP, by a published key."""
    city, client = demo
    made = read_demo(city.settings.data)
    assert made is not None
    key = next(each.key for each in made.keys if "demo-market" in each.key)
    body = {"type": "food-licence", "fields": sample("food-licence", next(NUMBERS))}
    headers = {"Authorization": f"Bearer {key}"}
    assert client.post("/v1/licences", json=body, headers=headers).status_code == 201


def ask_at_once(city: City) -> None:
    """Witnesses that failed are given no time to recover."""
    for asker in city.witnessing._askers.values():
        asker.due = 0.0


def state_of(city: City, slug: str) -> WitnessState:
    return open_state(city.settings.data / "witnesses" / slug / STATE)


# served


def test_a_first_start_becomes_final_by_itself(demo: Demo) -> None:
    city, client = demo
    eventually(lambda: is_final(city))
    policy = policy_of(city)
    assert (len(policy.parties()), policy.least()) == (len(SLUGS), NEEDED)
    assert {each.key.type for each in policy.witnesses.values()} == {0x04, 0x06}
    policy.check(parse_note(client.get("/log/checkpoint").content))
    assert client.get("/v1/log/finality").json()["finality"] == "final"
    assert "current" in client.get("/readyz").json()["checks"]["witnesses"]


def test_the_samples_offline_with_a_pack_fetched_then(demo: Demo) -> None:
    city, client = demo
    eventually(lambda: is_final(city))
    trust = open_pack(client.get("/v1/pack").content)
    made = read_demo(city.settings.data)
    assert made is not None
    for each in made.samples:
        picture = client.get(f"/samples/{each.slug}.png").content
        verdict = judge(read_code(picture), trust, city.now())
        assert verdict.colour == each.colour, each.slug
        if each.slug == "transparent":
            check = verdict.checks[WITNESSES - 1]
            assert (check.number, check.outcome) == (WITNESSES, Outcome.PASSED)
            names = {name.partition(".")[0] for name in check.detail.split(", ")}
            assert len(names) >= NEEDED
            assert names <= set(SLUGS)


def test_the_start_page_says_who_they_are(demo: Demo) -> None:
    city, client = demo
    page = client.get("/").text
    told = page.partition("见证人：")[2].partition("</p>")[0]
    for slug in SLUGS:
        assert city.catalogue.departments[slug].zh in told
        assert city.catalogue.departments[slug].en in told
    assert "2 of 3 have cosigned" in told
    assert "仅供演示" in told
    assert "for show" in told


def test_with_one_stopped_it_goes_on_and_with_two_it_waits(demo: Demo) -> None:
    city, client = demo
    with ExitStack() as stack:
        first, second = (stack.enter_context(closing(state_of(city, s))) for s in SLUGS[:2])
        (log,) = first.logs()
        assert (log.origin, log.at_least) == (ORIGIN, 2)  # both signatures of the log
        first.drop_log(ORIGIN)
        issue(demo)
        eventually(lambda: is_final(city))
        second.drop_log(ORIGIN)
        issue(demo)
        eventually(lambda: [seen.up for seen in city.witnessing.seen] == [False, False, True])
        assert client.get("/v1/log/finality").json()["finality"] == "pending"
        first.add_log(log)
        ask_at_once(city)
        eventually(lambda: is_final(city))
        second.add_log(log)


@pytest.mark.parametrize(
    ("method", "path", "size", "status", "code"),
    [
        ("POST", "/add-checkpoint", 5, 400, "witness-request"),
        ("POST", "/add-checkpoint", MAX_REQUEST + 1, 400, "witness-request-too-large"),
        ("GET", "/add-checkpoint", 0, 405, "witness-method"),
        ("GET", f"/{'ab' * 32}/checkpoint", 0, 404, "witness-never-cosigned"),
        ("GET", "/nothing", 0, 404, "witness-path"),
    ],
)
def test_their_refusals_are_those_of_the_protocol(
    demo: Demo, method: str, path: str, size: int, status: int, code: str
) -> None:
    answer = demo[1].request(method, f"{PATH}land{path}", content=b"x" * size)
    assert (answer.status_code, answer.headers["content-type"]) == (status, TEXT)
    assert answer.text.startswith(f"{code}: ")


def test_what_is_far_too_large_is_refused_by_them_too(demo: Demo) -> None:
    """Not with the service's own words, for which it would be too large as well."""
    city, _ = demo
    with closing(HTTPConnection("127.0.0.1", city.settings.port, timeout=60)) as connection:
        connection.putrequest("POST", f"{PATH}land/add-checkpoint")
        connection.putheader("Content-Length", str((city.settings.max_body_mib << 20) + 1))
        connection.endheaders(b"x" * (MAX_REQUEST + 1))
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("content-type")) == (400, TEXT)
        assert answer.read().startswith(b"witness-request-too-large: ")


def test_their_answers_are_those_of_the_protocol_and_are_counted(demo: Demo) -> None:
    city, client = demo
    policy = policy_of(city)
    for slug in SLUGS:
        where = f"{PATH}{slug}/{origin_hash(ORIGIN)}/checkpoint"
        eventually(lambda where=where: client.get(where).status_code == 200)  # type: ignore[misc]
        answer = client.get(where)
        cosigned = policy.cosigned(parse_note(answer.content))
        assert {name.partition(".")[0] for name in cosigned} == {slug}
        assert len(cosigned) == 2
        assert answer.headers["access-control-allow-origin"] == "*"
        assert client.head(where).status_code == 200
        with closing(state_of(city, slug)) as state:
            recorded = state.recorded(ORIGIN)
        assert recorded is not None
        body = b"old 0\n\n" + city.ledger.signed_checkpoint()
        conflict = client.post(f"{PATH}{slug}/add-checkpoint", content=body)
        assert conflict.status_code == 409
        assert conflict.headers["content-type"] == "text/x.tlog.size"
        assert int(conflict.text) >= recorded.size
    told = client.get("/metrics").text
    for slug in SLUGS:
        assert f'route="{PATH}{slug}",status="409"' in told


def test_busy_threads_delay_them_and_no_more(demo: Demo) -> None:
    """Witnesses answer on the threads on which everybody else is answered."""
    city, client = demo
    eventually(lambda: is_final(city))
    crowd = [threading.Thread(target=client.get, args=("/hold",)) for _ in range(THREADS)]
    for one in crowd:
        one.start()
    try:
        eventually(lambda: HOLD.held == THREADS)
        enrol_department(city, DemoOfficers(city.settings), "court", "ed25519")
        eventually(lambda: all("timed out" in seen.error for seen in city.witnessing.seen))
        assert not is_final(city)
    finally:
        HOLD.over.set()
        for one in crowd:
            one.join()
    ask_at_once(city)
    eventually(lambda: is_final(city))


# started again


def test_on_another_port_their_addresses_are_logged_anew(tmp_path: Path) -> None:
    def start(port: int) -> City:
        city = found_demo(tmp_path / "var", port)
        set_witnesses(city, quiet)
        return city

    with served(start) as (city, _):
        eventually(lambda: is_final(city))
        before = policy_of(city)
        size = city.ledger.size
    with closing(start(city.settings.port)) as again:
        assert again.ledger.size == size
    with served(start) as (moved, client):
        assert moved.settings.port != city.settings.port
        assert moved.ledger.size == size + 1
        eventually(lambda: is_final(moved))
        after = policy_of(moved)
        assert moved.authorities.policy_override == ""
        new, old = address(moved.settings), address(city.settings)
        assert after.text() == before.text().replace(old + PATH, new + PATH)
        shown = client.get("/v1/log/policy").text
        assert new in shown
        assert old not in shown


def test_an_older_demo_gets_them_and_one_damaged_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "var"
    found_demo(folder).close()
    (folder / FILE).touch()  # it was made, before there were witnesses
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    for name, value in {"DATA": folder, "PASSPHRASE": PASSPHRASE, "PORT": port}.items():
        monkeypatch.setenv(f"ZHENGLIAN_{name}", str(value))
    monkeypatch.setattr(api.commands.run, "log_warnings_only", lambda: None)
    started: list[Policy | None] = []
    monkeypatch.setattr(
        api.commands.run, "_serve", lambda city, _: started.append(city.authorities.policy)
    )
    api.commands.run.run()
    assert "2 of 3" in capsys.readouterr().err
    (folder / "witnesses" / "land" / STATE).unlink()
    api.commands.run.run()
    assert "witness-state-missing" in capsys.readouterr().err
    shutil.rmtree(folder / "witnesses" / "land")
    (folder / "witnesses" / "land").touch()
    api.commands.run.run()
    first, second, _ = started
    assert first == second
    assert first is not None


def test_what_officers_decided_since_is_left_alone(bare: City) -> None:
    other = policy_of(bare).text().replace(f"{PATH}land", "/elsewhere")
    first, second = (DemoOfficers(bare.settings).signer(name) for name in OFFICERS)
    facts = change_facts.witnesses(other)
    ChangeDesk(bare).decide(WITNESS_CHANGE, facts, proposer=first, approver=second)
    size = bare.ledger.size
    bare.settings.port += 1
    set_witnesses(bare, quiet)
    assert bare.ledger.size == size
    assert shown(bare) is None


def test_a_witness_that_is_gone_is_made_anew(bare: City) -> None:
    before, size = policy_of(bare), bare.ledger.size
    shutil.rmtree(bare.settings.data / "witnesses" / "police")
    steps: list[str] = []
    set_witnesses(bare, steps.append)
    assert len(steps) == 2
    assert bare.ledger.size == size + 1
    changed = {
        name.partition(".")[0]
        for name, each in policy_of(bare).witnesses.items()
        if each.key != before.witnesses[name].key
    }
    assert changed == {"police"}


def test_cut_off_at_each_step_it_goes_on(tmp_path: Path) -> None:
    begun: list[str] = []

    def progress(step: str) -> None:
        if step not in begun:
            begun.append(step)
            raise CutOff

    city = found_demo(tmp_path / "var")
    size = city.ledger.size
    for _ in range(len(SLUGS) + 1):
        with pytest.raises(CutOff):
            set_witnesses(city, progress)
        assert city.ledger.size == size
        # As if it had been cut off in the midst of making one.
        (tmp_path / "var" / "witnesses" / ".land.new" / "custody").mkdir(
            parents=True, exist_ok=True
        )
    set_witnesses(city, progress)
    assert all(any("一" <= char <= "鿿" for char in step) for step in begun)
    assert city.ledger.size == size + 1
    city.close()


def test_a_sample_is_there_before_anybody_has_cosigned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was final before there was a policy stays so."""
    monkeypatch.setattr(api.demo, "demo_licences", samples)
    city = found_demo(tmp_path / "var")
    make_demo(city, quiet)
    set_witnesses(city, quiet)
    with TestClient(create_app(city)) as client:
        code = client.get("/samples/transparent.txt").text
        assert not is_final(city)
        assert client.post("/v1/verify", json={"text": code}).json()["colour"] == "green"


# what they are


def test_the_commands_of_a_real_witness_take_their_folders(bare: City) -> None:
    for slug in SLUGS:
        folder = bare.settings.data / "witnesses" / slug
        assert folder.stat().st_mode & 0o777 == 0o700
        with closing(state_of(bare, slug)) as state:
            keys = state.own_keys()
        assert {one.key for one in _signers(folder, keys[0].name)} == set(keys)
        named = {each.key for each in policy_of(bare).witnesses.values()}
        assert named >= set(keys)


def test_one_that_cannot_be_opened_does_not_answer(
    bare: City, caplog: pytest.LogCaptureFixture
) -> None:
    folder = bare.settings.data / "witnesses"
    (folder / "land" / "passphrase").unlink()
    (folder / "police" / STATE).write_bytes((folder / "market" / STATE).read_bytes())
    with TestClient(create_app(bare)) as client:
        answers = [client.post(f"{PATH}{slug}/add-checkpoint").status_code for slug in SLUGS]
    assert answers == [400, 404, 404]
    assert "passphrase-missing" in caplog.text
    assert "witness-state-foreign" in caplog.text


def test_where_there_is_no_demo_nobody_answers(bare: City) -> None:
    """Not even with the demo's data; and a demo without witnesses has none."""
    other = open_city(bare.settings.model_copy(update={"demo": False}), clock=Clock())
    with TestClient(create_app(other)) as client:
        for slug in SLUGS:
            problem_of(client.post(f"{PATH}{slug}/add-checkpoint"), "route-unknown", 404)
        assert "见证人：" not in client.get("/").text
    for slug in SLUGS:
        shutil.rmtree(bare.settings.data / "witnesses" / slug)
    with TestClient(create_app(bare)) as client:
        problem_of(client.post(f"{PATH}land/add-checkpoint"), "route-unknown", 404)


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("127.0.0.1", "http://127.0.0.1:8440"),
        ("0.0.0.0", "http://127.0.0.1:8440"),  # noqa: S104
        ("::", "http://[::1]:8440"),
        ("::1", "http://[::1]:8440"),
        ("localhost", "http://localhost:8440"),
    ],
)
def test_they_are_asked_where_the_service_reaches_itself(
    tmp_path: Path, host: str, where: str
) -> None:
    settings = settings_of(tmp_path, host=host, port=8440, public_url="https://elsewhere.example")
    assert address(settings) == where
