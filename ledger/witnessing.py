"""The ledger asks its witnesses: one thread a process, all witnesses at once, each bounded in time.

    signed checkpoint ──▶ every witness of the policy at its size ──▶ cosignatures, each verified
                                                                   ──▶ policy met ──▶ final

The thread takes the latest signed checkpoint, asks whoever is free, and finalises as soon as what
has come in meets the policy; it waits for nobody beyond that. A witness that is slow, wrong or
away is asked again later, at growing intervals, and never holds up the others, nor an append.
Without a quorum nothing becomes final and everything else goes on: it fails closed.

Several processes over one store may do this at once: each looks first whether the latest signed
checkpoint is final already, and finalising never goes back.

The same witnesses tell a ledger that was restored from an old backup, or that runs twice: where one
shows a checkpoint under our own signature that is not of our history, nothing is written any more
(`ledger-rolled-back`, `ledger-forked`); see `Ledger.check_seen`.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from ledger.cosigning import Asker, Get, Post, WitnessSeen
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Published
from ledger.publisher import PolicyAt
from verifier.checkpoint import add_cosignatures
from verifier.note import NoteSignature, VerifierKey
from verifier.policy import Policy

PAUSE: Final = 0.1
"""Seconds from one round to the next while checkpoints keep coming."""
IDLE: Final = 0.5
"""Seconds between looks at the store, where other processes may have published."""
_AFTER_TROUBLE: Final = 5.0  # seconds between attempts after trouble of our own
_log = logging.getLogger("zhenglian.witnesses")

_STOPPED: Final = (
    "见证人所存与本账本不符，停止写入，见 docs/operating.md “账本回滚” "
    "witnesses hold what this ledger lost: nothing is written any more, see docs/operating.md"
)
_STOPS = ("ledger-rolled-back", "ledger-forked")
_UNSEEN: Final = "ledger-restored-unseen"
T = TypeVar("T")
_Lines = dict[VerifierKey, NoteSignature]


class Witnessing:
    """Asks the witnesses of one ledger. Make one a process, `start` it, `close` it at the end.

    `seconds` bounds what one witness may take; `clock` gives Unix seconds, `monotonic` seconds for
    measuring time; `policy` is what the ledger was opened with.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: PolicyAt,
        post: Post,
        get: Get,
        *,
        seconds: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._ledger, self._policy = ledger, policy
        self._post, self._get = post, get
        self._seconds = seconds
        self._clock, self._monotonic = clock, monotonic
        self._askers: dict[str, Asker] = {}
        self._changing = threading.Lock()  # of `_askers`
        self._current: Published | None = None  # what is being asked for
        self._lines: _Lines = {}  # over it, each verified
        self._not_before = 0.0  # when the next may be asked for
        self._look_again = 0.0  # when a restored ledger may be compared once more
        self._compared = ""  # with how many it was
        self._inbox: SimpleQueue[tuple[Asker, _Lines] | None] = SimpleQueue()
        self._news = self._resting = self._told_unseen = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to ask, now and whenever something is published."""
        self._ledger.pending = self.wake
        self._thread = threading.Thread(target=self._run, name="ledger-witnesses", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask nobody any more. Answers that are under way are not waited for. May be repeated."""
        self._closed = True
        self._inbox.put(None)
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """There may be something to ask for."""
        self._news = True
        if self._resting:
            self._inbox.put(None)

    @property
    def seen(self) -> tuple[WitnessSeen, ...]:
        """What is known of each witness of the policy, in the policy's order."""
        with self._changing:
            return tuple(asker.seen for asker in self._askers.values())

    def look(self) -> None:
        """Compares the ledger with what every witness shows of it, all at once, within `seconds`.

        A ledger that is not what its own signatures say refuses to write from then on. Witnesses
        that do not answer are warned of, and compared when they do. But one that was restored from
        a backup is `ledger-restored-unseen` until so many have been compared that the others could
        not have made a later checkpoint final.
        """
        policy = self._policy(self._ledger.size)
        askers = self._askers_for(policy)
        restored = self._ledger.restored
        if restored and self._monotonic() < self._look_again:
            raise LedgerError(_UNSEEN, self._compared)
        answered: SimpleQueue[tuple[Asker, bool]] = SimpleQueue()
        for asker in askers:

            def one(asker: Asker = asker) -> None:
                answered.put((asker, self._safely(lambda: asker.look(self._seconds), False)))

            threading.Thread(target=one, name="ledger-look", daemon=True).start()
        deadline = self._monotonic() + self._seconds
        good, unseen = 0, set() if policy is None else set(policy.witnesses)
        with suppress(Empty):
            for _ in askers:
                asker, well = answered.get(timeout=max(0.0, deadline - self._monotonic()))
                good += well
                unseen -= set(asker.names) if well else set()
        if restored and self._ledger.refusal is None:
            if policy is not None and policy.least() and policy.is_met_by(unseen):
                self._look_again = self._monotonic() + _AFTER_TROUBLE
                self._compared = f"{good} of {len(askers)}"
                raise LedgerError(_UNSEEN, self._compared)
            self._ledger.store.compared()
        if good < len(askers) and self._ledger.refusal is None:
            _log.warning(
                "见证人 %d 位中 %d 位已核对账本，其余应答时核对 "
                "%d of %d witnesses compared with the ledger; the others when they answer",
                len(askers), good, good, len(askers),
            )  # fmt: skip

    def _run(self) -> None:
        while not self._closed:
            self._safely(self._ledger.look_first, None)
            self._take(self._safely(self._step, _AFTER_TROUBLE))

    def _step(self) -> float:
        """Finalises and asks what can be; returns how long to wait if nothing happens."""
        self._news = False
        if self._ledger.refusal is not None:
            return _AFTER_TROUBLE
        signed, final = self._ledger.checkpoints()
        done = -1 if final is None else final.size
        policy = self._policy(signed.size)
        if policy is None or not policy.least():
            if done < signed.size:  # published by another process, which is about to finalise it
                self._ledger.finalise(signed)
            self._askers_for(policy)
            return IDLE
        now = self._monotonic()
        current = self._choose(signed, done, now)
        if current is None:
            for asker in self._askers_for(policy):
                if asker.look_due and not asker.busy and asker.due <= now:
                    self._begin(asker, None)
            return IDLE if signed.size <= done else self._not_before - now
        policy = self._policy(current.size)
        if policy is None or policy.is_met_by(self._cosigned(policy)):
            note = add_cosignatures(current.note, list(self._lines.values()))
            self._ledger.finalise(Published(current.size, note))
            self._current = None
            return 0.0
        for asker in self._askers_for(policy):
            if not (asker.busy or asker.due > now or self._lines.keys() >= set(asker.keys)):
                self._begin(asker, current)
        return IDLE

    def _choose(self, signed: Published, done: int, now: float) -> Published | None:
        """What to ask for: the latest signed checkpoint. While somebody is being asked for one,
        that one, however fast the ledger grows: the answers must come together."""
        current = self._current
        if current is not None and current.size > done:
            if any(asker.busy_with == current for asker in self._askers.values()):
                return current
        else:
            current = None
        if signed.size > done and signed != current and now >= self._not_before:
            current, self._lines = signed, {}
            self._not_before = now + PAUSE
        self._current = current
        return current

    def _cosigned(self, policy: Policy) -> set[str]:
        return {name for name, each in policy.witnesses.items() if each.key in self._lines}

    def _begin(self, asker: Asker, signed: Published | None) -> None:
        """Asks one witness, in a thread of its own: to cosign, or without a checkpoint to show."""
        asker.busy, asker.busy_with = True, signed

        def work() -> None:
            lines: _Lines = {}
            if signed is None:
                self._safely(lambda: asker.look(self._seconds), False)
            else:
                lines = self._safely(lambda: asker.cosign(signed, self._seconds), lines)
            self._inbox.put((asker, lines))

        threading.Thread(target=work, name="ledger-witness", daemon=True).start()

    def _take(self, seconds: float) -> None:
        """Waits for an answer, or while there is nothing to ask for news, at most so long."""
        self._resting = self._current is None and seconds >= IDLE
        with suppress(Empty):
            answer = self._inbox.get(timeout=0.0 if self._resting and self._news else seconds)
            while True:
                if answer is not None:
                    asker, lines = answer
                    if asker.busy_with == self._current:
                        self._lines.update(lines)
                    asker.busy, asker.busy_with = False, None
                answer = self._inbox.get_nowait()
        self._resting = False

    def _askers_for(self, policy: Policy | None) -> list[Asker]:
        """One for each address of the policy; those there were keep what they know."""
        wanted: dict[str, list[str]] = {}
        witnesses = {} if policy is None else policy.witnesses
        for name, witness in witnesses.items():
            if witness.url:
                wanted.setdefault(witness.address, []).append(name)
        with self._changing:
            askers = {}
            for address, names in wanted.items():
                asker = self._askers.get(address) or self._asker(witnesses[names[0]].url)
                asker.names = tuple(names)
                asker.keys = tuple(witnesses[name].key for name in names)
                askers[address] = asker
            self._askers = askers
            return list(askers.values())

    def _asker(self, url: str) -> Asker:
        return Asker(url, self._ledger, self._post, self._get, self._clock, self._monotonic)

    def _safely(self, work: Callable[[], T], otherwise: T) -> T:
        """What `work` returns. A thread outlives whatever it raises; what shows that the ledger
        has lost what it signed stops the writing."""
        try:
            return work()
        except LedgerError as error:
            if error.code in _STOPS:
                if self._ledger.refusal is None:
                    _log.critical("%s: %s", _STOPPED, error)
                self._ledger.refuse(error)
            elif error.code == _UNSEEN:
                if not self._told_unseen:
                    _log.warning("%s: %s", error.zh, error)
                self._told_unseen = True
            else:
                _log.error("联署中断，稍后再试 asking witnesses was cut short: %s", error)
        except Exception:  # noqa: BLE001 - the thread must outlive it
            _log.exception("联署中断，稍后再试 asking witnesses was cut short")
        return otherwise
