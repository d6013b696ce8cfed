"""Asking one witness, from the log's side (C2SP tlog-witness): a request, its answer, what to think
of it.

    POST <url>/add-checkpoint                    our signed checkpoint and a consistency proof from
                                                 what the witness has; it answers with cosignatures
    GET  <url>/<SHA-256 of the origin>/checkpoint    the latest that it cosigned of us

The address in the policy is taken for both of the witness's prefixes, as the protocol allows. A
witness is not trusted with anything but its signature: a number it answers is a hint where to begin
a proof, and what it shows of us counts where our own key signed it.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from keys.errors import ZhenglianError
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Published
from ledger.witness.model import origin_hash
from ledger.witness.wire import format_add_checkpoint
from verifier.checkpoint import open_checkpoint
from verifier.codec import parse_decimal
from verifier.errors import Refused
from verifier.note import Note, NoteSignature, VerifierKey, parse_note, verify_signatures

TLOG_SIZE: Final = "text/x.tlog.size"
MAX_ANSWER: Final = 256 << 10
"""Bytes of an answer that are read: eight ML-DSA-44 lines take 27 KiB."""
LOOK_SECONDS: Final = 60.0
"""How long a look at what a witness shows of us suffices."""
_LOOK_AGAIN: Final = 10.0  # seconds after one that failed
_NO_TEXT: Final = b"-\n\n"
_TRIES: Final = 3  # of add-checkpoint, while the witness corrects the old size
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds between attempts that fail, doubled each time
_OK, _NOT_FOUND, _CONFLICT, _UNPROVABLE = 200, 404, 409, 422
_log = logging.getLogger("zhenglian.witnesses")


class HttpAnswer(NamedTuple):
    """What an address answered. The body is cut at `MAX_ANSWER` and one byte."""

    status: int
    content_type: str
    body: bytes


Post = Callable[[str, bytes, float], HttpAnswer]
"""`post(url, body, seconds)`. Ends within about so many seconds, with an answer or an `OSError`."""
Get = Callable[[str, float], HttpAnswer]
"""`get(url, seconds)`, likewise."""


@dataclass(frozen=True, slots=True)
class WitnessSeen:
    """What is known of one witness. Times are Unix seconds, None before the first.

    `size` is the largest tree of ours that it is known to have cosigned, `answered_at` its last
    good answer, `asked_at` the last request; `error` why that one failed, "" where it did not.
    """

    names: tuple[str, ...]
    url: str
    size: int
    asked_at: float | None
    answered_at: float | None
    error: str

    @property
    def up(self) -> bool:
        """Whether it answered well when it was last asked."""
        return self.answered_at is not None and not self.error


class Asker:
    """One witness of the policy, by its address. Threads take turns.

    `clock` gives Unix seconds, `monotonic` seconds for measuring time.
    """

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        post: Post,
        get: Get,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.url = url.rstrip("/")
        self.names: tuple[str, ...] = ()
        self.keys: tuple[VerifierKey, ...] = ()
        """Of the policy, at this address."""
        self.busy = False
        self.busy_with: Published | None = None
        """What it is being asked to cosign."""
        self.due = 0.0
        """When it may be asked again, by `monotonic`."""
        self._ledger = ledger
        self._post, self._get = post, get
        self._clock, self._monotonic = clock, monotonic
        self._turn = threading.Lock()
        self._size = 0
        self._failures = 0
        self._asked_at: float | None = None
        self._answered_at: float | None = None
        self._error = ""
        self._look_due = 0.0

    @property
    def seen(self) -> WitnessSeen:
        return WitnessSeen(
            self.names, self.url, self._size, self._asked_at, self._answered_at, self._error
        )

    @property
    def look_due(self) -> bool:
        return self._monotonic() >= self._look_due

    def look(self, seconds: float) -> bool:
        """Compares what the witness shows of us with what we have; False where it did not answer.

        Raises `ledger-rolled-back`, `ledger-forked`: our own key signed what is not our history.
        """
        deadline = self._monotonic() + seconds
        with self._turn:
            try:
                self._look(deadline)
            except _Failed as failed:
                self._note(str(failed))
                return False
            self._note("")
            return True

    def cosign(self, signed: Published, seconds: float) -> dict[VerifierKey, NoteSignature]:
        """The lines of this witness's keys over a signed checkpoint, each verified; none where it
        gave none, for which `seen` has the reason. All requests together take `seconds` at most.

        Raises `ledger-rolled-back`, `ledger-forked`.
        """
        deadline = self._monotonic() + seconds
        with self._turn:
            try:
                if self.look_due:
                    with suppress(_Failed):  # it need not show anything to cosign
                        self._look(self._monotonic() + seconds / 2)
                lines = self._cosign(signed, deadline)
            except _Failed as failed:
                self._note(str(failed))
                return {}
            if lines:
                self._size = max(self._size, signed.size)
                self._note("")
            return lines

    def _cosign(self, signed: Published, deadline: float) -> dict[VerifierKey, NoteSignature]:
        rising = True
        for _ in range(_TRIES):
            old = self._size
            if old > signed.size:
                return {}  # another process was faster: the newer checkpoint is in the store
            answer = self._posted(signed, old, deadline)
            if answer.status == _OK:
                return self._cosignatures(signed, answer.body)
            claimed = _size_in(answer)
            if claimed is None or claimed == old:
                if answer.status in (_CONFLICT, _UNPROVABLE):
                    self._look(deadline)  # another history of ours, and our signature under it?
                raise _Failed(f"HTTP {answer.status} {_first_line(answer.body)}")
            if claimed > self._ledger.size:
                try:
                    self._look(deadline)
                except _Failed as failed:
                    raise _Failed(f"claims size {claimed}; {failed}") from failed
                if claimed > self._size:
                    raise _Failed(f"claims size {claimed} and does not show it")
            self._size, rising = claimed, rising and claimed > old
        if rising:
            return {}  # other processes bring it on meanwhile: what is signed next is asked for
        raise _Failed(f"{_TRIES} sizes, none of which it stands by")

    def _posted(self, signed: Published, old: int, deadline: float) -> HttpAnswer:
        proof = self._ledger.consistency_proof(old, signed.size) if 0 < old < signed.size else []
        body = format_add_checkpoint(old, proof, signed.note)
        return self._bounded(
            lambda left: self._post(f"{self.url}/add-checkpoint", body, left), deadline
        )

    def _cosignatures(self, signed: Published, body: bytes) -> dict[VerifierKey, NoteSignature]:
        """The answer must be signature lines and nothing else; it is refused as a whole where one
        of this witness's keys does not hold, over the text that we sent."""
        try:
            answer = parse_note(_NO_TEXT + body)
            if answer.text != _NO_TEXT[:-1].decode():
                raise Refused("note-malformed", "more than signature lines")
            note = Note(parse_note(signed.note).text, answer.signatures)
            verified = verify_signatures(note, self.keys, at_least=0)
        except Refused as error:
            raise _Failed(f"a wrong answer: {error}") from error
        lines = {(line.name, line.key_id): line for line in note.signatures}
        good = {key: lines[key.name, key.key_id] for key, stamp in verified if stamp}
        if not good:
            raise _Failed("no cosignature by a key of the policy")
        return good

    def _look(self, deadline: float) -> None:
        self._look_due = self._monotonic() + _LOOK_AGAIN
        where = f"{self.url}/{origin_hash(self._ledger.origin)}/checkpoint"
        answer = self._bounded(lambda left: self._get(where, left), deadline)
        if answer.status == _OK:
            try:
                shown = open_checkpoint(answer.body, self._ledger.keys[0])
            except ZhenglianError as error:
                raise _Failed(f"shows what our key did not sign: {error.code}") from error
            try:
                self._ledger.check_seen(shown)
            except LedgerError as error:
                if error.code in ("ledger-rolled-back", "ledger-forked"):
                    self._note("")  # what it shows is wrong with us
                    raise LedgerError(error.code, f"{error.detail}; {self.url}") from error
                raise
            self._size = max(self._size, shown.size)
        elif answer.status != _NOT_FOUND:
            raise _Failed(f"shows nothing: HTTP {answer.status}")
        self._look_due = self._monotonic() + LOOK_SECONDS

    def _bounded(self, request: Callable[[float], HttpAnswer], deadline: float) -> HttpAnswer:
        left = deadline - self._monotonic()
        if left <= 0:
            raise _Failed("no answer in time")
        self._asked_at = self._clock()
        try:
            answer = request(left)
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            raise _Failed(f"no answer: {why}") from error
        if len(answer.body) > MAX_ANSWER:
            raise _Failed(f"an answer above {MAX_ANSWER} bytes")
        return answer

    def _note(self, error: str) -> None:
        """The outcome of what was asked, for `seen`, and when to ask again."""
        if error:
            if not self._error:
                _log.warning("见证人未联署 witness did not cosign: %s: %s", self.url, error)
            pause = min(_FIRST_PAUSE * 2.0 ** min(self._failures, 16), _LONGEST_PAUSE)
            self._failures += 1
            self.due = self._monotonic() + pause
        else:
            if self._error:
                _log.warning("见证人已恢复 witness cosigns again: %s", self.url)
            self._failures = 0
            self.due = 0.0
            self._answered_at = self._clock()
        self._error = error


class _Failed(Exception):
    """The witness was of no use this time; the words are for the operator."""


def _size_in(answer: HttpAnswer) -> int | None:
    """The size in a conflict (`text/x.tlog.size`); None where there is none."""
    if answer.status != _CONFLICT:
        return None
    if answer.content_type.partition(";")[0].strip().lower() != TLOG_SIZE:
        return None
    try:
        return parse_decimal(answer.body.decode("ascii").removesuffix("\n"))
    except (UnicodeDecodeError, Refused):
        return None


def _first_line(body: bytes) -> str:
    """What may be shown of an answer that was not understood."""
    line = body[:200].decode("utf-8", "replace").partition("\n")[0]
    return "".join(char for char in line if char.isprintable())[:120]
