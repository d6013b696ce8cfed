"""Fixtures of the tests of keys."""

from collections.abc import Iterator

import pytest

import keys.custody.keyfile

_STRETCH = keys.custody.keyfile._stretch


@pytest.fixture(autouse=True, scope="package")
def _argon2() -> Iterator[None]:
    """The real thing, which the tests of the service put aside for the rest of a session: the
    processes that are started here do not know of that. Not by `monkeypatch`, which a test may
    undo in the midst of itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys.custody.keyfile, "_stretch", _STRETCH)
        yield
