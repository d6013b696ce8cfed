"""The demo city: made once, the same everywhere, and finished after any interruption."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.city import City
from api.credits import Credits
from api.demo import DEMO_CITIZEN, DEMO_COMPANY, FILE, demo_cards, make_demo, read_demo
from api.demo_people import demo_licences
from api.founding import found, open_city
from api.licences import Licences
from api.principals import authenticate
from api.settings import Settings
from tests.api.service import DAY, NOW, Clock, found_city, settings_of
from verifier.judge import judge
from verifier.pack import open_pack
from verifier.statement import parse_statement


class CutOff(Exception):
    """The process ends here."""


def quiet(_: str) -> None:
    pass


def demo_settings(folder: Path) -> Settings:
    return settings_of(folder, demo=True, origin="demo.zhenglian.example")


def outline(city: City) -> Mapping[str, Any]:
    """What must be the same on every machine: states and numbers, not keys, salts or ids."""
    entries = [city.ledger.entry(index) for index in range(city.ledger.size)]
    statements = [parse_statement(raw) for raw in entries]
    licences, found_ = Licences(city), []
    for wanted in demo_licences(city.now()):
        type_ = city.catalogue.licence_type(wanted.type)
        held = licences.by_number(type_, str(wanted.fields[type_.number_field]))
        found_ += [
            (wanted.type, wanted.sample, wanted.state, one.state, one.version) for one in held
        ]
    kinds = sorted((each.issuer, each.content.kind) for each in statements)
    return {"licences": found_, "kinds": kinds, "departments": sorted(city.authorities.departments)}


def found_demo(folder: Path) -> City:
    settings = demo_settings(folder)
    return found(settings, officers=demo_cards(settings), clock=Clock())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """A finished demo, that no test changes."""
    city = found_demo(tmp_path_factory.mktemp("demo") / "var")
    steps: list[str] = []
    make_demo(city, steps.append)
    assert len(steps) > 8
    assert all(any("一" <= char <= "鿿" for char in step) for step in steps)
    yield city
    city.close()


def test_what_is_in_it(made: City) -> None:
    seen = outline(made)
    assert len(seen["departments"]) >= 9  # eight and the operator
    assert len(seen["licences"]) >= 250
    assert {state for *_, state, _ in seen["licences"]} >= {0, 1, 2, 3, 12, 13, 14}
    suites = {key.suite.name for key in made.authorities.keys.values()}
    assert suites == {"ed25519", "es256"}


def test_every_sample_has_the_colour_it_promises(made: City) -> None:
    demo = read_demo(made.settings.data)
    assert demo is not None
    slugs = [sample.slug for sample in demo.samples]
    assert {"valid", "expired", "suspended", "revoked", "tampered", "transparent"} <= set(slugs)
    with TestClient(create_app(made)) as client:
        trust = open_pack(client.get("/v1/pack").content)
        for sample in demo.samples:
            text = client.app.state.sample_qr(sample.slug)  # type: ignore[attr-defined]
            verdict = client.post("/v1/verify", json={"text": text}).json()
            assert verdict["colour"] == sample.colour, sample.slug
            assert judge(text, trust, made.now()).colour == sample.colour, sample.slug
        assert client.app.state.sample_qr("nothing") is None  # type: ignore[attr-defined]
        assert client.get("/").status_code == 200


def test_every_key_of_it_opens_a_door(made: City) -> None:
    demo = read_demo(made.settings.data)
    assert demo is not None
    callers = [authenticate(made.store, key.key) for key in demo.keys]
    assert {caller.department for caller in callers} >= {"market", "police", "health"}
    subjects = {caller.subject_nym for caller in callers if caller.subject_nym}
    pseudonym = made.vault.pseudonym
    assert subjects == {pseudonym("subject", DEMO_CITIZEN), pseudonym("subject", DEMO_COMPANY)}
    assert (made.settings.data / FILE).stat().st_mode & 0o777 == 0o600


def test_making_it_again_changes_nothing(made: City) -> None:
    size, file = made.ledger.size, (made.settings.data / FILE).read_bytes()
    for _ in range(2):
        assert make_demo(made, quiet).keys
    assert made.ledger.size == size
    assert (made.settings.data / FILE).read_bytes() == file


def finish(folder: Path, cut: Callable[[City, int], None], most: int) -> City:
    """Starts until one attempt is not cut off; `cut` arms attempt n."""
    for attempt in range(most):
        city = found_demo(folder)
        try:
            cut(city, attempt)
        except CutOff:
            city.close()
            assert read_demo(folder) is None
            continue
        return city
    raise AssertionError("it never finished")


def test_cut_off_at_each_step_it_goes_on(made: City, tmp_path: Path) -> None:
    begun: set[str] = set()

    def cut(city: City, attempt: int) -> None:
        def progress(step: str) -> None:
            if step not in begun:
                begun.add(step)
                raise CutOff

        make_demo(city, progress)

    city = finish(tmp_path / "var", cut, 40)
    assert len(begun) > 8
    assert outline(city) == outline(made)
    city.close()


def test_cut_off_while_states_are_set_it_goes_on(
    made: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = Licences.change_state

    def cut(city: City, attempt: int) -> None:
        left = [1, 9, 0, 1000][attempt]

        def limited(self: Licences, *args: Any, **kw: Any) -> Any:
            nonlocal left
            if not left:
                raise CutOff
            left -= 1
            return change(self, *args, **kw)

        monkeypatch.setattr(Licences, "change_state", limited)
        make_demo(city, quiet)

    city = finish(tmp_path / "var", cut, 4)
    assert outline(city) == outline(made)
    city.close()


def test_cut_off_among_credit_entries_it_goes_on(
    made: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts = {name: getattr(Credits, name) for name in ("record", "publish", "withdraw", "correct")}

    def cut(city: City, attempt: int) -> None:
        left = (1, 6, 3, 1000)[attempt]

        def limit(act: Callable[..., Any]) -> Callable[..., Any]:
            def limited(*args: Any, **kw: Any) -> Any:
                nonlocal left
                if not left:
                    raise CutOff
                left -= 1
                return act(*args, **kw)

            return limited

        for name, act in acts.items():
            monkeypatch.setattr(Credits, name, limit(act))
        make_demo(city, quiet)

    city = finish(tmp_path / "var", cut, 4)
    assert outline(city) == outline(made)
    city.close()


def test_cut_off_before_the_last_file_it_goes_on(
    made: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers are registered, and nobody knows their keys: they are made again."""
    replace = Path.replace

    def cut(city: City, attempt: int) -> None:
        def crash(*_: object) -> None:
            raise CutOff

        monkeypatch.setattr(Path, "replace", replace if attempt else crash)
        make_demo(city, quiet)

    city = finish(tmp_path / "var", cut, 2)
    monkeypatch.undo()
    demo = read_demo(city.settings.data)
    assert demo is not None
    for key in demo.keys:
        authenticate(city.store, key.key)
    assert outline(city) == outline(made)
    city.close()


def test_the_people_are_always_the_same() -> None:
    first, second = list(demo_licences(NOW)), list(demo_licences(NOW))
    assert first == second
    later = list(demo_licences(NOW + 40 * DAY))
    assert [(one.type, one.state, one.sample) for one in later] == [
        (one.type, one.state, one.sample) for one in first
    ]
    names = [(one.fields.get("idno"), one.fields.get("uscc")) for one in first]
    assert names == [(one.fields.get("idno"), one.fields.get("uscc")) for one in later]
    assert all(code is None or "339900" in str(code) for pair in names for code in pair)


def test_a_city_without_a_demo(tmp_path: Path) -> None:
    assert read_demo(tmp_path) is None
    settings = settings_of(tmp_path / "var")
    found_city(settings, Clock()).close()
    city = open_city(settings, clock=Clock())
    with TestClient(create_app(city)) as client:
        assert client.app.state.sample_qr("valid") is None  # type: ignore[attr-defined]
        assert not client.app.state.start_data().is_demo  # type: ignore[attr-defined]
        assert client.get("/").status_code == 200
