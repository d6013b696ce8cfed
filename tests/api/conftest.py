"""Fixtures of the service's tests; see `tests.api.service`."""

import shutil
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import api.founding
import keys.custody.keyfile
from api.app import bare_app, seat
from api.city import City
from keys.custody import Effort
from tests.api.engine import POSTGRESQL, engine_of, postgres_copy
from tests.api.service import Clock, Service, Template, found_template, open_copy
from tests.postgres import postgres

__all__ = ["postgres"]


@pytest.fixture(scope="session", autouse=True)
def _remembered() -> Iterator[None]:
    """The catalogue is read once a session; passphrases are hashed, not stretched by Argon2id,
    which the tests of `keys` and those that start processes do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys.custody.keyfile, "_stretch", _hashed)
        patch.setattr(api.founding, "load_catalogue", cache(api.founding.load_catalogue))
        yield


STRETCH = keys.custody.keyfile._stretch


@pytest.fixture(scope="module")
def argon2() -> Iterator[None]:
    """The real thing, for folders that other processes shall open."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys.custody.keyfile, "_stretch", STRETCH)
        yield


def _hashed(passphrase: str, salt: bytes, effort: Effort) -> bytes:
    return sha256(f"{passphrase} {effort}".encode() + salt).digest()


@pytest.fixture(scope="session")
def template(_remembered: None, tmp_path_factory: pytest.TempPathFactory) -> Template:
    return found_template(tmp_path_factory.mktemp("template") / "var")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(template: Template, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the founded city's data folder; its database is where `tests.api.engine` says."""
    made = Path(shutil.copytree(template.folder, tmp_path / "var"))
    if engine_of(request) == POSTGRESQL:
        with postgres_copy(request.getfixturevalue("postgres"), template.folder, made):
            yield made
    else:
        yield made


@pytest.fixture
def city(folder: Path, clock: Clock) -> Iterator[City]:
    opened = open_copy(folder, clock)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def app() -> FastAPI:
    """One application for every test, which gives it its city; making it takes a while."""
    return bare_app()


@pytest.fixture
def service(app: FastAPI, city: City, clock: Clock, template: Template) -> Iterator[Service]:
    seat(app, city)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(city, client, clock, template.keys)
