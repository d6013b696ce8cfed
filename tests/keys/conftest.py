"""Fixtures of the tests of keys."""

import pytest

import keys.custody.keyfile

_STRETCH = keys.custody.keyfile._stretch


@pytest.fixture(autouse=True)
def _argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real thing, which the tests of the service put aside for the rest of a session: the
    processes that are started here do not know of that."""
    monkeypatch.setattr(keys.custody.keyfile, "_stretch", _STRETCH)
