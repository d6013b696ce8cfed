"""Asking all places at once, so that one which is slow or hangs holds up nobody."""

import threading
from collections.abc import Sequence
from typing import Final

from keys.errors import ZhenglianError
from ledger.errors import LedgerError
from ledger.monitor.views import View

SECONDS: Final = 60.0
"""How long a round waits for the slowest place."""


class Asking:
    """`ask` starts a thread for each place; `answer` waits for one. A place that has not answered
    an earlier round yet is not asked again before it has."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._asked: dict[str, _Ask] = {}

    def ask(self, views: Sequence[View]) -> None:
        for view in views:
            pending = self._asked.get(view.name)
            if pending is None or not pending.is_alive():
                self._asked[view.name] = _Ask(view)
                self._asked[view.name].start()

    def answer(self, view: View) -> bytes:
        """The note; raises what reading it raised, or `ledger-read-failed` for no answer."""
        ask = self._asked[view.name]
        ask.join(self._seconds)
        if ask.is_alive():
            raise LedgerError("ledger-read-failed", f"no answer in {self._seconds:g} s")
        if ask.note is None:
            raise ask.error or LedgerError("ledger-read-failed", "no answer")
        return ask.note


class _Ask(threading.Thread):
    def __init__(self, view: View) -> None:
        super().__init__(name="monitor-ask", daemon=True)
        self.note: bytes | None = None
        self.error: ZhenglianError | None = None
        self._view = view

    def run(self) -> None:
        try:
            self.note = self._view.read()
        except ZhenglianError as error:
            self.error = error
