"""What the replay of records asks of `ledger.audit.keyring.Keyring`."""

from collections.abc import Mapping
from typing import Protocol

from ledger.audit.worker import Act


class Keys(Protocol):
    """Who acts for whom, and which entries do not count since their key was compromised."""

    @property
    def void(self) -> Mapping[int, bytes]: ...

    def acts_for(self, act: Act, issuer: str, type_code: str | None) -> bool: ...
