"""The table of signature suites, by COSE algorithm number. A new suite is a file and a line."""

from collections.abc import Mapping

from keys.errors import KeysError
from keys.suites.base import Suite
from keys.suites.ed25519 import Ed25519
from keys.suites.esp256 import Esp256
from keys.suites.mldsa44 import MlDsa44
from keys.suites.sm2 import Sm2

SUITES: Mapping[int, Suite] = {
    suite.cose_alg: suite for suite in (Ed25519(), Esp256(), MlDsa44(), Sm2())
}
BY_NAME: Mapping[str, Suite] = {suite.name: suite for suite in SUITES.values()}


def suite_for(cose_alg: object) -> Suite:
    """The suite of a COSE algorithm number read from somewhere, or `key-unknown-suite`."""
    suite = SUITES.get(cose_alg) if type(cose_alg) is int else None
    if suite is None:
        raise KeysError("key-unknown-suite", str(cose_alg)[:24])
    return suite


def suite_named(name: str) -> Suite:
    """The suite of a name typed by a person, or `key-unknown-suite`."""
    if name not in BY_NAME:
        raise KeysError("key-unknown-suite", f"{name[:24]}; known: {', '.join(BY_NAME)}")
    return BY_NAME[name]
