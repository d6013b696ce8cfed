"""Many statements in one request, as NDJSON: read, checked and logged while they come.

Lines are taken in groups. A group is checked in a thread while the ones before it are logged; two
of them at most, and only then is more read, so that what comes faster than it can be logged waits
in the network. Answers are kept until the caller reads them: a caller that first writes all its
lines and then reads blocks nobody, and `MAX_LINES` bounds what that takes.
"""

import asyncio
import json
import logging
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import ServiceError
from api.principals import Principal
from api.register import GROUP, Checked, Logged, Outcome, Registrar
from keys.errors import ZhenglianError
from ledger.errors import LedgerError
from verifier.codec import b64decode
from verifier.errors import Refused
from verifier.statement import MAX_STATEMENT

MAX_LINE: Final = 96 << 10
"""Bytes: a largest statement in base64, and room for the JSON around it."""
MAX_LINES: Final = 50_000
_GROUP_BYTES: Final = 4 << 20
_IN_FLIGHT: Final = 2
_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
"""Seconds after which a group is tried again that found the ledger busy."""
_LINE: Final = re.compile(rb'\s*\{\s*"statement"\s*:\s*"([A-Za-z0-9+/=]*)"\s*\}\s*')
_log = logging.getLogger("zhenglian.register")

Line = bytes | Refused
"""A line as it came, or why it was not even kept."""


def logged_json(logged: Logged, line: int | None = None) -> bytes:
    """Where a statement stands, as JSON; by hand, since thousands are written a second."""
    finality = "final" if logged.final else "pending"
    existing = "true" if logged.existing else "false"
    number = "" if line is None else f'"line":{line},'
    return (
        f'{{{number}"index":{logged.index},"leaf":"{logged.leaf.hex()}",'
        f'"finality":"{finality}","existing":{existing}}}'
    ).encode()


def _refusal_json(error: ZhenglianError, line: int | None = None) -> bytes:
    number = {} if line is None else {"line": line}
    words = {"code": error.code, "zh": error.zh, "en": error.en, "detail": error.detail[:200]}
    return json.dumps({**number, **words}, ensure_ascii=False).encode("utf-8", "replace")


def statement_of(line: bytes) -> bytes:
    """The statement in one line. Raises `ServiceError` register-line-malformed, or a codec's."""
    found = _LINE.fullmatch(line)
    text: object = None
    if found is not None:
        text = found[1].decode("ascii")
    else:
        with suppress(ValueError, RecursionError):
            value = json.loads(line, object_pairs_hook=list)  # so that no name hides another
            if isinstance(value, list) and len(value) == 1 and value[0][:1] == ("statement",):
                text = value[0][1]
    if type(text) is not str:
        raise ServiceError("register-line-malformed")
    return b64decode(text, max_bytes=MAX_STATEMENT)


class Bulk:
    """One request. `caller` is asked for each group anew: it raises where he was revoked."""

    def __init__(self, registrar: Registrar, caller: Callable[[], Awaitable[Principal]]) -> None:
        self._registrar = registrar
        self._caller = caller
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._in_flight: deque[asyncio.Task[Sequence[bytes]]] = deque()
        self._totals: Counter[str] = Counter()
        self._lines = 0

    async def run(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Answers, one or more whole lines at a time, while the body is read from `stream`."""
        work = asyncio.create_task(self._work(stream))
        try:
            while (part := await self._answers.get()) is not None:
                yield part
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def _work(self, stream: AsyncIterator[bytes]) -> None:
        try:
            async for group in _groups(stream):
                if self._lines + len(group) > MAX_LINES:
                    raise ServiceError("register-too-many", f"at most {MAX_LINES}")
                await self._take(group)
            while self._in_flight:
                await self._give()
            totals = {name: self._totals[name] for name in ("logged", "existing", "refused")}
            self._answer([json.dumps({"done": True, "lines": self._lines, **totals}).encode()])
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - the answer has begun: its last line says it
            while self._in_flight:
                with suppress(Exception):
                    await self._give()
            if not isinstance(error, ZhenglianError):
                _log.exception("a bulk registration ended", exc_info=error)
                error = ServiceError("internal-error")
            self._answer([_refusal_json(error)])
        finally:
            for task in self._in_flight:
                task.cancel()
            self._answers.put_nowait(None)

    async def _take(self, group: Sequence[Line]) -> None:
        caller, now = await self._caller(), self._registrar.city.now()
        first = self._lines + 1
        self._lines += len(group)
        found = await asyncio.to_thread(self._check, group, caller, now)
        while len(self._in_flight) >= _IN_FLIGHT:
            await self._give()
        self._in_flight.append(asyncio.create_task(self._log(found, first)))

    async def _give(self) -> None:
        self._answer(await self._in_flight.popleft())

    def _answer(self, lines: Sequence[bytes]) -> None:
        self._answers.put_nowait(b"\n".join((*lines, b"")))

    def _check(self, group: Sequence[Line], caller: Principal, now: int) -> list[Checked | Outcome]:
        """Runs in a thread."""
        found: list[Checked | Outcome] = []
        for line in group:
            try:
                if isinstance(line, Refused):
                    raise line
                found.append(self._registrar.check_or_find(statement_of(line), caller, now))
            except ZhenglianError as error:
                found.append(error)
        return found

    async def _log(self, found: list[Checked | Outcome], first: int) -> Sequence[bytes]:
        """Logs what was found good; the answers of a group, in its order."""
        for pause in (*_PAUSES, None):
            good = [at for at, each in enumerate(found) if isinstance(each, Checked)]
            group = [each for each in found if isinstance(each, Checked)]
            outcomes = await self._registrar.log_all(group) if group else []
            for at, outcome in zip(good, outcomes, strict=True):
                if pause is None or not _is_busy(outcome):
                    found[at] = outcome
            if pause is None or not any(isinstance(each, Checked) for each in found):
                break
            await asyncio.sleep(pause)
        answers = []
        for line, each in enumerate(found, first):
            if isinstance(each, Logged):
                self._totals["existing" if each.existing else "logged"] += 1
                answers.append(logged_json(each, line))
            elif isinstance(each, ZhenglianError):
                self._totals["refused"] += 1
                answers.append(_refusal_json(each, line))
        return answers


def _is_busy(outcome: Outcome) -> bool:
    return isinstance(outcome, LedgerError) and outcome.code == "ledger-busy"


async def _groups(stream: AsyncIterator[bytes]) -> AsyncIterator[list[Line]]:
    """Lines of a body, in groups bounded by number and by bytes.

    A line that is too long is dropped as it comes, and counts as one.
    """
    lines: list[Line] = []
    size, rest, dropping = 0, b"", False
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if dropping or len(line) > MAX_LINE:
                lines.append(_too_long())
            else:
                lines.append(line)
                size += len(line)
            dropping = False
            if len(lines) >= GROUP or size >= _GROUP_BYTES:
                yield lines
                lines, size = [], 0
        if dropping or len(rest) > MAX_LINE:
            rest, dropping = b"", True
    if dropping or rest:
        lines.append(_too_long() if dropping else rest)
    if lines:
        yield lines


def _too_long() -> Refused:
    return Refused("too-large", f"a line of at most {MAX_LINE} bytes")


class Lines(Response):
    """An answer that is written while the request is still read.

    Starlette's own streaming answer also waits for the caller to hang up, and would take the
    request's body for that.
    """

    def __init__(self, parts: AsyncIterator[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        async for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
