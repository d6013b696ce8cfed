"""Keys in another process, spoken to by messages. This side and that side; no sockets here.

A request and its answer are deterministic CBOR (RFC 8949 §4.2), each an array:

    [1]                        → [0, [[name, suite, public], …]]     list
    [2, name, suite]           → [0, [name, suite, public]]          create
    [3, name]                  → [0, [name, suite, public]]          open: tries the key
    [4, name, kid, message]    → [0, signature]                      sign
    anything else, or refused  → [1, code, detail]

The transport frames them, bounds them at `MAX_MESSAGE` and repeats a request whose answer was lost.
That is harmless: signing twice yields two good signatures, listing and opening change nothing, and
a key that the lost request made is refused as `key-exists`, which the caller of `create` sees.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cbor2

from keys.custody.base import Custody, KeyEntry, checked_name
from keys.custody.keyfile import SECRET
from keys.errors import KeysError
from keys.names import kid
from keys.signer import Signer
from keys.suites import suite_named
from keys.suites.base import Suite

LIST, CREATE, OPEN, SIGN = 1, 2, 3, 4
DONE, REFUSED = 0, 1
MAX_MESSAGE = 4 << 20  # bytes of a request or an answer
_MAX_NAME, _MAX_DETAIL = 64, 200


class RemoteCustody:
    """The custody that answers behind `call`, which takes a request and gives its answer.

    `call` raises `KeysError` signer-unreachable where there is none. What the other side says is
    checked: the form of entries, and every signature before it is handed on.
    """

    def __init__(self, call: Callable[[bytes], bytes]) -> None:
        self._call = call

    def list(self) -> Iterator[KeyEntry]:
        rows = self._ask([LIST])
        if not isinstance(rows, list):
            raise KeysError("signer-malformed", "list")
        yield from [_entry(row) for row in rows]

    def create(self, name: str, suite: str) -> KeyEntry:
        """`signer-forbids` where the signer was started without the right to make keys."""
        return _entry(self._ask([CREATE, checked_name(name), suite]))

    def open(self, name: str) -> "RemoteSigner":
        return RemoteSigner(self._ask, _entry(self._ask([OPEN, checked_name(name)])))

    def _ask(self, request: Sequence[object]) -> Any:
        answer = _decoded(self._call(cbor2.dumps(request, canonical=True)))
        match answer:
            case [0, result]:
                return result
            case [1, str(code), str(detail)] if code in KeysError.WORDS:
                raise KeysError(code, detail[:_MAX_DETAIL])
        raise KeysError("signer-malformed", "answer")


class RemoteSigner:
    """Signs in the other process."""

    def __init__(self, ask: Callable[[Sequence[object]], Any], entry: KeyEntry) -> None:
        self._ask, self._entry = ask, entry
        self._suite = suite_named(entry.suite)
        self._suite.check_public(entry.public)
        self._kid = kid(self._suite, entry.public)

    @property
    def suite(self) -> Suite:
        return self._suite

    @property
    def public(self) -> bytes:
        return self._entry.public

    @property
    def kid(self) -> bytes:
        return self._kid

    def sign(self, message: bytes) -> bytes:
        """Verified here: a signer behind a socket may be another than it was."""
        signature = self._ask([SIGN, self._entry.name, self._kid, message])
        if not isinstance(signature, bytes):
            raise KeysError("signer-malformed", "signature")
        self._suite.verify(self._entry.public, message, signature)
        return signature

    def __repr__(self) -> str:
        return f"RemoteSigner({self._suite.name}, kid={self._kid.hex()})"


class SignerService:
    """The other side: answers requests from a custody. Safe to call from several threads.

    `log(name, kid, message)` is called before a signature leaves; if it fails, none does.
    """

    def __init__(
        self, custody: Custody, log: Callable[[str, bytes, bytes], None], *, may_create: bool
    ) -> None:
        self._custody, self._log, self._may_create = custody, log, may_create
        self._open: dict[str, Signer] = {}

    def answer(self, request: bytes) -> tuple[bytes, bool]:
        """(the answer, whether the request was well-formed). Raises nothing."""
        try:
            return _done(self._do(request)), True
        except KeysError as error:
            return refusal(error), error.code != "signer-malformed"
        except OSError as error:  # the log or a key file
            return refusal(KeysError("signer-failed", type(error).__name__)), True

    def _do(self, request: bytes) -> object:
        match _decoded(request):
            case [1]:
                return [_row(entry) for entry in self._custody.list() if entry.suite != SECRET]
            case [2, str(name), str(suite)]:
                if not self._may_create:
                    raise KeysError("signer-forbids", name[:_MAX_NAME])
                return _row(self._custody.create(name, suite))
            case [3, str(name)]:
                signer = self._signer(name)
                return [name, signer.suite.name, signer.public]
            case [4, str(name), bytes(wanted), bytes(message)]:
                signer = self._signer(name)
                if signer.kid != wanted:
                    raise KeysError("key-not-found", f"{name[:_MAX_NAME]} {wanted[:8].hex()}")
                signature = signer.sign(message)
                self._log(name, signer.kid, message)
                return signature
        raise KeysError("signer-malformed", "request")

    def _signer(self, name: str) -> Signer:
        signer = self._open.get(name)
        if signer is None:
            signer = self._open[name] = self._custody.open(name)
        return signer


def refusal(error: KeysError) -> bytes:
    """The answer that carries a refusal."""
    return cbor2.dumps([REFUSED, error.code, error.detail[:_MAX_DETAIL]], canonical=True)


def _done(result: object) -> bytes:
    return cbor2.dumps([DONE, result], canonical=True)


def _row(entry: KeyEntry) -> list[object]:
    return [entry.name, entry.suite, entry.public]


def _entry(row: object) -> KeyEntry:
    match row:
        case [str(name), str(suite), bytes(public)] if len(suite) <= _MAX_NAME:
            return KeyEntry(checked_name(name), suite, public)
    raise KeysError("signer-malformed", "entry")


def _decoded(data: bytes) -> Any:
    """An array that begins with a number, in deterministic CBOR; `signer-malformed`."""
    try:
        value = cbor2.loads(data)
        if not isinstance(value, list) or type(value[0]) is not int:
            raise ValueError("not an array of ours")
        if cbor2.dumps(value, canonical=True) != data:
            raise ValueError("not deterministic CBOR")
    except Exception as error:  # cbor2 lets ValueError, TypeError … through
        raise KeysError("signer-malformed", "CBOR") from error
    return value
