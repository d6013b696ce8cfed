"""One session with each token of a process, behind one lock.

Python's PKCS#11 starts the library without its locks, and SoftHSM 2.6 crashes when two sessions
work at once. So each token has one session in a process, and one lock is held around every call of
any library.

A session that is lost (token pulled out or swapped, library restarted, process forked) is opened
again once for each call, and the call repeated; a second loss is `hsm-failed`. A wrong PIN is never
tried twice: tokens lock themselves after a few.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from hmac import compare_digest
from typing import Any, TypeVar

from keys.errors import KeysError

try:
    import pkcs11
except ImportError:  # the extra is not installed
    pkcs11 = None  # type: ignore[assignment]

T = TypeVar("T")
_lock = threading.RLock()  # around every call of any PKCS#11 library
_sessions: dict[tuple[str, str], "Session"] = {}
_watching_forks = False


class Session:
    """The process's one session with a token."""

    def __init__(self, module: str, token: str, pin: str) -> None:
        self.module, self.token = module, token
        self.pin: Callable[[], str] = lambda: pin  # a function, so that no dump shows it
        self.pin_refused = ""  # the code with which the token refused the PIN
        self._raw: Any = None
        self._library: Any = None

    def run(self, call: Callable[[Any], T]) -> T:
        """`call` with the raw session, alone in the process; repeated once if it was lost."""
        with _lock:
            try:
                return call(self._opened())
            except pkcs11.PKCS11Error as error:
                self._raw = None
                if not _is_lost(error):
                    raise KeysError("hsm-failed", _name(error)) from error
            try:
                return call(self._opened())
            except pkcs11.PKCS11Error as error:
                self._raw = None
                raise KeysError("hsm-failed", _name(error)) from error

    def close(self) -> None:
        with _lock:
            if self._raw is not None:
                with suppress(pkcs11.PKCS11Error):
                    self._raw.close()
            self._raw = None

    def forget(self) -> None:
        """After a fork: the session is the parent's."""
        self._raw = None

    def _opened(self) -> Any:
        if self._raw is None:
            if self.pin_refused:
                raise KeysError(self.pin_refused, self.token)
            self._raw = self._log_in(self._found())
        return self._raw

    def _found(self) -> Any:
        """The token, by a library that sees what is plugged in now."""
        others = [
            each
            for each in _sessions.values()
            if each is not self and each.module == self.module and each._raw is not None
        ]
        tokens = self._listed() if others else []
        if not tokens:
            self._start()
            for each in others:  # their sessions ended with it, and new ones bear the same numbers
                each.forget()
            tokens = self._listed()
        if len(tokens) != 1:
            code = "hsm-token-twice" if tokens else "hsm-token-missing"
            raise KeysError(code, self.token)
        return tokens[0]

    def _start(self) -> None:
        """Starts the library anew: it may have been started before the token came."""
        try:
            self._library = pkcs11.lib(self.module)
            with suppress(pkcs11.PKCS11Error):
                self._library.finalize()
            self._library.initialize()
        except pkcs11.PKCS11Error as error:
            raise KeysError("hsm-module-unusable", str(error)[:200]) from error

    def _listed(self) -> list[Any]:
        """The tokens of this label that the library sees."""
        try:
            self._library = pkcs11.lib(self.module)
            return list(self._library.get_tokens(token_label=self.token))
        except pkcs11.PKCS11Error as error:
            raise KeysError("hsm-token-missing", f"{self.token}: {_name(error)}") from error

    def _log_in(self, token: Any) -> Any:
        try:
            return token.open(rw=True, user_pin=self.pin())
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
            self.pin_refused = "hsm-wrong-pin"
            raise KeysError("hsm-wrong-pin", self.token) from error
        except (pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.UserPinNotInitialized) as error:
            self.pin_refused = "hsm-pin-locked"
            raise KeysError("hsm-pin-locked", f"{self.token}: {_name(error)}") from error


def session_of(module: str, token: str, pin: str) -> Session:
    """Shared by all custodies of a token, which must bring the same PIN."""
    global _watching_forks
    if pkcs11 is None:
        raise KeysError("hsm-extra-missing", "pip install zhenglian[hsm]")
    place = (os.path.realpath(module), token)
    with _lock:
        if not _watching_forks:
            os.register_at_fork(after_in_child=_forget_sessions)
            _watching_forks = True
        known = _sessions.get(place)
        if known is None or known.pin_refused:
            _sessions[place] = known = Session(*place, pin)
        elif not compare_digest(known.pin().encode(), pin.encode()):
            raise KeysError("hsm-wrong-pin", token)
        return known


def _forget_sessions() -> None:
    global _lock
    _lock = threading.RLock()  # another thread of the parent may hold it for ever
    for session in _sessions.values():
        session.forget()


def _is_lost(error: Exception) -> bool:
    """Whether a new session may help. A library not initialised has no class of its own."""
    return type(error) is pkcs11.PKCS11Error or isinstance(
        error,
        (
            pkcs11.SessionHandleInvalid,
            pkcs11.SessionClosed,
            pkcs11.ObjectHandleInvalid,
            pkcs11.KeyHandleInvalid,
            pkcs11.UserNotLoggedIn,
            pkcs11.OperationActive,
            pkcs11.OperationNotInitialized,
            pkcs11.SlotIDInvalid,
            pkcs11.TokenNotPresent,
            pkcs11.TokenNotRecognised,
            pkcs11.DeviceRemoved,
            pkcs11.DeviceError,
            pkcs11.FunctionFailed,
            pkcs11.GeneralError,
        ),
    )


def _name(error: Exception) -> str:
    """The kind of failure; messages of the library may hold what was asked."""
    return type(error).__name__
