"""What statements of authority rest on, signatures above all: checked at once, or when relied on.

A counter loads its pack at every start and then judges by a few of its keys. So it may put off
checking the signatures of a statement, and certificates in it, until a key rests on it; whoever
synchronises a pack, the server and the audit check each as it comes.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from keys.errors import KeysError
from keys.suites.base import Suite
from verifier.cose import verify_signature
from verifier.errors import Refused

NOT_HERE: Final = frozenset({"suite-missing", "chain-suite-unsupported"})
"""Codes of checks that this machine cannot make, whatever was signed."""


class Check(Protocol):
    """Something that must hold of a statement; it may be put off."""

    def run(self) -> None:
        """Raises the `Refused` that says why it does not hold."""


class SignatureCheck(NamedTuple):
    """One signature to check; `code` is the refusal if it does not hold.

    `new`: the key comes with this very statement, and is first checked to be a proper one.
    """

    suite: Suite
    public: bytes
    message: bytes
    signature: bytes
    code: str
    detail: str = ""
    new: bool = False

    def run(self) -> None:
        if self.new:
            try:
                self.suite.check_public(self.public)
            except KeysError as error:
                raise Refused("enrolment-malformed", error.code) from error
        try:
            verify_signature(self.suite, self.public, self.message, self.signature)
        except KeysError as error:
            raise Refused(self.code, self.detail or error.code) from error


class Evidence:
    """What each statement of authority rests on, by ledger index."""

    def __init__(self, *, deferred: bool = False) -> None:
        self._deferred = deferred
        self._open: dict[int, tuple[Sequence[Check], Sequence[int]]] = {}

    def add(self, index: int, checks: Sequence[Check], rests_on: Sequence[int]) -> None:
        """The checks of a statement, and the statements that its own signers rest on.

        Raises the `Refused` of a check that fails now; one put off is raised by `settle`.
        """
        if self._deferred:
            self._open[index] = (checks, rests_on)
            return
        if self._open:
            self.settle(rests_on)
        for check in checks:
            check.run()

    def settle(self, indices: Iterable[int]) -> None:
        """Makes the checks put off for these statements and for all that they rest on."""
        waiting, seen = list(indices), set[int]()
        while waiting:
            index = waiting.pop()
            if index in seen or (found := self._open.get(index)) is None:
                continue
            seen.add(index)
            for check in found[0]:
                check.run()
            waiting += found[1]
        for index in seen:  # only now: a statement stands when all that it rests on does
            self._open.pop(index, None)

    @property
    def is_open(self) -> bool:
        """Whether any check is put off still."""
        return bool(self._open)

    def settle_all(self) -> list[str]:
        """Makes every check put off, but those that cannot be made on this machine: they stay put
        off, and what is missing for them is returned. Raises the `Refused` of one that fails.
        """
        missing = set()
        for index in list(self._open):
            try:
                self.settle([index])
            except Refused as error:
                if error.code not in NOT_HERE:
                    raise
                missing.add(error.detail)
        return sorted(missing)

    def copy(self, *, deferred: bool) -> "Evidence":
        """What is put off stays so; `deferred` is whether more will be."""
        twin = Evidence(deferred=deferred)
        twin._open = dict(self._open)
        return twin
