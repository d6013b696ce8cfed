"""A signer: a public key and the power to sign with its private half."""

from typing import Protocol

from keys.names import kid
from keys.suites.base import Suite


class Signer(Protocol):
    """What custody hands out. `sign` may block; it is safe to call from several threads."""

    @property
    def suite(self) -> Suite: ...

    @property
    def public(self) -> bytes: ...

    @property
    def kid(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


class SoftwareSigner:
    """Signs with a private key held in memory. Its text form shows the key id only."""

    __slots__ = ("_kid", "_public", "_sign", "_suite")

    def __init__(self, suite: Suite, private: bytes) -> None:
        self._suite = suite
        self._public = suite.public_from_private(private)
        self._kid = kid(suite, self._public)
        self._sign = suite.prepare(private)

    @property
    def suite(self) -> Suite:
        return self._suite

    @property
    def public(self) -> bytes:
        return self._public

    @property
    def kid(self) -> bytes:
        return self._kid

    def sign(self, message: bytes) -> bytes:
        return self._sign(message)

    def __repr__(self) -> str:
        return f"SoftwareSigner({self._suite.name}, kid={self._kid.hex()})"
