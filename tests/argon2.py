"""Passphrases stretched for real, for tests whose keys other processes open."""

from collections.abc import Iterator

import pytest

import keys.custody.keyfile

_STRETCH = keys.custody.keyfile._stretch


@pytest.fixture(autouse=True, scope="package")
def argon2_for_real() -> Iterator[None]:
    """The real thing, which the tests of the service put aside for the rest of a session. Not by
    `monkeypatch`, which a test may undo in the midst of itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys.custody.keyfile, "_stretch", _STRETCH)
        yield
