"""What is in a witness's folder, and how its keys are called there and in a policy.

<folder>/witness.db     its state (`ledger.stores.witness`)
<folder>/custody/       its keys, one of each type of cosignature
<folder>/passphrase     that opens them, unless the environment has it
"""

from typing import Final

from keys.custody import Custody
from verifier.note import COSIGNATURE, MLDSA44, NoteSigner, VerifierKey

STATE: Final = "witness.db"
_KEYS: Final = {
    COSIGNATURE: ("witness-ed25519", "ed25519"),
    MLDSA44: ("witness-ml-dsa-44", "ml-dsa-44"),
}


def make_signers(custody: Custody, name: str) -> list[NoteSigner]:
    """Creates the keys of a new witness; raises as custody does where one is there already."""
    for key, suite in _KEYS.values():
        custody.create(key, suite)
    return open_signers(custody, name)


def open_signers(custody: Custody, name: str) -> list[NoteSigner]:
    """A witness's keys under its name, the Ed25519 one first."""
    return [NoteSigner(name, custody.open(key), type_) for type_, (key, _) in _KEYS.items()]


def member(key: VerifierKey) -> str:
    """What a key of a witness is called in a policy: its name and suite."""
    return f"{key.name}/{_KEYS[key.type][1]}"
