"""Several custodies as one: where keys are made now, and where those made before still are."""

from collections.abc import Iterator

from keys.custody.base import Custody, KeyEntry
from keys.custody.keyfile import SECRET
from keys.errors import KeysError
from keys.signer import Signer


class SeveralCustody:
    """Keys are made in `newest`; each is opened in the first that has it. Secrets, which are no
    signature keys, are passed by."""

    def __init__(self, newest: Custody, *older: Custody) -> None:
        self.newest, self.older = newest, older

    def list(self) -> Iterator[KeyEntry]:
        seen = set()
        for custody in (self.newest, *self.older):
            names = set()
            for entry in custody.list():
                if entry.suite != SECRET and entry.name not in seen:
                    names.add(entry.name)
                    yield entry
            seen |= names

    def create(self, name: str, suite: str) -> KeyEntry:
        """In the newest; `key-exists` where an older one has the name."""
        if any(entry.name == name for custody in self.older for entry in custody.list()):
            raise KeysError("key-exists", name)
        return self.newest.create(name, suite)

    def open(self, name: str) -> Signer:
        for custody in (self.newest, *self.older):
            try:
                return custody.open(name)
            except KeysError as error:
                if error.code != "key-not-found":
                    raise
        raise KeysError("key-not-found", name)
