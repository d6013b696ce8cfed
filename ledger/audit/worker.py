"""The part of an audit that runs on every core: hashing, parsing, checking signatures.

`examine` is a pure function of its arguments. It never raises for what entries hold: what is wrong
with them is its result. Which key counts at which index is not decided here, but in
`ledger.audit.keyring`. `serve` is a worker process, see `ledger.audit.pool`. This file imports the
verifier alone, so that workers start quickly.
"""

import contextlib
import gc
import pickle
import signal
import sys
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import IO, Final, NamedTuple, cast

from keys.errors import KeysError
from keys.names import kid, parse_cose_key
from verifier.change import parse_change
from verifier.errors import Refused
from verifier.kinds import AUTHORITY_KINDS, GENESIS, KEY
from verifier.merkle import Frontier, leaf_hash
from verifier.statement import Statement, parse_statement
from verifier.tiles import FULL_WIDTH

GOOD, BAD, UNKNOWN, NO_SUITE = 0, 1, 2, 3
"""What a signature is: good under the key its kid names, not good under it, no such key here, or
of a suite whose native code is not installed here."""

_LENGTH: Final = Struct(">H")
_LENGTH_BYTES: Final = 8


class Bundle(NamedTuple):
    """An entry bundle as read: its number, how many of its entries the tree has, how many the
    file should hold (a full one may stand where a partial one was), its bytes (None: missing).
    `checked`: all signatures in it were found good before, and are not checked again."""

    n: int
    width: int
    held: int
    data: bytes | None
    checked: bool = False


class Act(NamedTuple):
    """What the rules need to know of one statement. Times in Unix seconds, days since 1970.

    `about_organisation` tells whom a credit entry is about, None if it does not say; `grade` is
    its grade, 0 if not said. `signature` is one of the four above.
    """

    signature: int
    kid: bytes
    kind: int
    issuer: str
    subject: str
    issued_at: int
    type_code: str | None
    valid_from: int | None
    status: tuple[int, int] | None
    predecessor: bytes | None
    state: int | None
    reason: str | None
    about_organisation: bool | None
    grade: int
    valid_until: int | None = None


class Examined(NamedTuple):
    """A bundle examined. `leaves` are leaf hashes side by side; `root` that of a full bundle.

    `acts` has one item for each entry, `(code, detail)` where the entry is no statement; it is
    empty when only the tree is audited. `raw` holds the bytes of entries that the keyring has to
    see: statements of authority, and entries signed by a key unknown here. `sound` tells that the
    bundle held exactly the entries it should, each within its length.
    """

    n: int
    missing: bool
    sound: bool
    leaves: bytes
    root: bytes | None
    acts: list[tuple[object, ...]]
    raw: dict[int, bytes]


class Job(NamedTuple):
    """Neighbouring bundles, and the public keys by kid that statements so far have named."""

    bundles: Sequence[Bundle]
    keys: Mapping[bytes, bytes]
    tree_only: bool


class Outcome(NamedTuple):
    """`keys` are those the signatures were checked with: the job's and those its entries name."""

    bundles: list[Examined]
    keys: dict[bytes, bytes]


def examine(job: Job) -> Outcome:
    """Hashes, parses and checks every entry of a job."""
    keys = dict(job.keys)
    return Outcome([_bundle(one, keys, job.tree_only) for one in job.bundles], keys)


def serve() -> None:
    """Answers jobs from standard input on standard output until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the audit that asks is interrupted, and ends us
    gc.freeze()  # what is loaded is never garbage, and entries make no cycles
    gc.set_threshold(100_000)
    with contextlib.suppress(EOFError):
        while True:
            send(sys.stdout.buffer, examine(cast(Job, receive(sys.stdin.buffer))))


def send(pipe: IO[bytes] | None, message: Job | Outcome) -> None:
    """Writes a message as its length and a pickle."""
    if pipe is None:
        raise EOFError
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    pipe.write(len(data).to_bytes(_LENGTH_BYTES, "big"))
    pipe.write(data)
    pipe.flush()


def receive(pipe: IO[bytes] | None) -> Job | Outcome:
    """Reads what `send` wrote at the other end. Raises `EOFError` if that end is closed."""
    if pipe is None:
        raise EOFError
    head = pipe.read(_LENGTH_BYTES)
    data = pipe.read(int.from_bytes(head, "big"))
    if not data:
        raise EOFError
    return cast("Job | Outcome", pickle.loads(data))  # noqa: S301 - from this program itself


def split(data: bytes, count: int) -> tuple[list[bytes], bool]:
    """The entries of a bundle as far as they are whole, at most one more than `count`.

    Lenient where `verifier.tiles.parse_bundle` refuses, so that damage can be named; the second
    member tells whether there was none.
    """
    entries: list[bytes] = []
    position, end = 0, len(data)
    while position < end and len(entries) <= count:
        start = position + 2
        position = start + _LENGTH.unpack_from(data, start - 2)[0] if start <= end else end + 1
        if position > end:
            return entries, False
        entries.append(data[start:position])
    return entries, position == end and len(entries) == count


def _bundle(bundle: Bundle, keys: dict[bytes, bytes], tree_only: bool) -> Examined:
    if bundle.data is None:
        return Examined(bundle.n, True, False, b"", None, [], {})
    entries, sound = split(bundle.data, bundle.held)
    if bundle.held > bundle.width:
        entries = entries[: bundle.width]
    leaves = list(map(leaf_hash, entries))
    root = None
    if len(leaves) == FULL_WIDTH:
        tile = Frontier()
        tile.extend(leaves)
        root = tile.root()
    if tree_only:
        return Examined(bundle.n, False, sound, b"".join(leaves), root, [], {})
    # All are parsed before any signature is checked: in turns, each evicts the other from cache.
    parsed = [_parsed(entry) for entry in entries]
    for one in parsed:
        if type(one) is Statement and one.content.kind in AUTHORITY_KINDS:
            _learn(one, keys)
    acts: list[tuple[object, ...]] = []
    raw: dict[int, bytes] = {}
    for position, one in enumerate(parsed):
        if type(one) is not Statement:
            acts.append(cast("tuple[object, ...]", one))
            continue
        signature = GOOD if bundle.checked and one.kid in keys else signature_of(one, keys)
        acts.append(_act(one, signature))
        if signature == UNKNOWN or one.content.kind in AUTHORITY_KINDS:
            raw[position] = one.raw
    return Examined(bundle.n, False, sound, b"".join(leaves), root, acts, raw)


def _parsed(entry: bytes) -> Statement | tuple[str, str]:
    try:
        return parse_statement(entry)
    except (Refused, KeysError) as error:
        return (error.code, error.detail)


def _act(statement: Statement, signature: int) -> tuple[object, ...]:
    """The members of an `Act`, in their order, as a plain tuple: cheaper to send."""
    content = statement.content
    facts = content.facts
    about, grade = facts.get("org"), facts.get("grade")
    return (
        signature,
        statement.kid,
        content.kind,
        statement.issuer,
        statement.subject,
        statement.issued_at,
        content.type_code,
        content.valid_from,
        content.status,
        content.predecessor,
        content.state,
        content.reason,
        about if type(about) is bool else None,
        grade if type(grade) is int else 0,
        content.valid_until,
    )


def signature_of(statement: Statement, keys: Mapping[bytes, bytes]) -> int:
    """`GOOD`, `BAD`, `UNKNOWN` or `NO_SUITE`."""
    public = keys.get(statement.kid)
    if public is None:
        return UNKNOWN
    try:
        statement.sign1.check_signature(public)
    except KeysError:
        return BAD
    except Refused:  # suite-missing, and no other
        return NO_SUITE
    return GOOD


def _learn(statement: Statement, keys: dict[bytes, bytes]) -> None:
    """Notes the key that a statement would enrol; whether it counts is seen later."""
    content = statement.content
    if content.kind not in (GENESIS, KEY):
        return
    try:
        facts = content.facts if content.kind == GENESIS else parse_change(content)[0].facts
        data = facts.get("key")
        if type(data) is bytes:
            suite, public = parse_cose_key(data)
            keys.setdefault(kid(suite, public), public)
    except (Refused, KeysError):
        return
