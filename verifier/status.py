"""Status lists: one signed, compressed list of 4-bit states per department and list number.

A status token is a Token Status List in CWT form (draft-ietf-oauth-status-list): a COSE_Sign1 of
type `application/statuslist+cwt` by the department's key over the CWT claims

    {1: iss, 2: uri of the list, 4: exp, 6: iat,
     65533: {"bits": 4, "lst": zlib-compressed entries}, 65534: ttl in seconds}

Entry i is the low nibble of byte i // 2 when i is even, the high nibble when odd (§4.1). The
numbers are `verifier.states`.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, Protocol

from keys.signer import Signer
from verifier.codec import cbor_decode, cbor_encode, parse_decimal
from verifier.cose import EXP, IAT, ISS, SUB, Sign1, parse_sign1, sign_sign1
from verifier.errors import Refused
from verifier.evidence import NOT_HERE

TYP: Final = "application/statuslist+cwt"
STATUS_LIST: Final = 65_533
TTL: Final = 65_534
BITS: Final = 4
MAX_ENTRIES: Final = 1 << 20
"""Entries of one list; a department with more licences opens the next list."""
_MAX_RAW: Final = MAX_ENTRIES // 2
_MAX_TOKEN: Final = _MAX_RAW + 65_536
_SEGMENT: Final = 16_384


class StatusAnswer(NamedTuple):
    """A legal state (`verifier.states`), the Unix time at which it was true, and, where its source
    says so, the time after which it must not be used."""

    state: int
    as_of: int
    until: int | None = None


class StatusSource(Protocol):
    """Where the judge asks for a state: synced tokens, or the live answer of a server."""

    def lookup(self, issuer: str, list_number: int, index: int) -> StatusAnswer | None:
        """None means unknown: no such list, or the list does not reach the index."""


@dataclass(frozen=True)
class StatusToken:
    """A parsed status token. Its entries stay compressed until one is asked for."""

    raw: bytes
    sign1: Sign1
    issuer: str
    list_number: int
    issued_at: int
    expires_at: int
    ttl: int
    compressed: bytes

    @cached_property
    def entries(self) -> bytes:
        """Two states a byte; kept, once asked for. Raises `status-malformed`."""
        return self.inflate()

    def inflate(self) -> bytes:
        """The entries, not kept. Bounded before inflating; raises `status-malformed`."""
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(self.compressed, _MAX_RAW)
        except zlib.error as error:
            raise Refused("status-malformed", "zlib") from error
        if not inflater.eof or inflater.unused_data:
            raise Refused("status-malformed", "zlib data is cut short or too long")
        return data

    def state(self, index: int) -> int | None:
        """The state at an index, or None past the end of the list."""
        byte = index // 2
        if index < 0 or byte >= len(self.entries):
            return None
        return self.entries[byte] >> 4 if index % 2 else self.entries[byte] & 0x0F


class StatusBook:
    """The status lists of a trust pack by issuer and number. They stay compressed until asked.

    `check` raises `Refused` for a token whose signature is not what it should be; it is called
    once for each, before its first state is told. None: the tokens were checked before.
    """

    def __init__(
        self,
        tokens: Iterable[StatusToken] = (),
        check: Callable[[StatusToken], None] | None = None,
    ) -> None:
        self._tokens: Mapping[tuple[str, int], StatusToken] = {
            (token.issuer, token.list_number): token for token in tokens
        }
        self._check = check
        self._unchecked = set() if check is None else set(self._tokens)

    def lookup(self, issuer: str, list_number: int, index: int) -> StatusAnswer | None:
        token = self._tokens.get((issuer, list_number))
        if token is None:
            return None
        self._settle(token)
        state = token.state(index)
        return None if state is None else StatusAnswer(state, token.issued_at, token.expires_at)

    def tokens(self) -> Iterable[StatusToken]:
        """Every list, as it is carried."""
        return self._tokens.values()

    def check_all(self) -> list[str]:
        """Checks every signature, and that every list can be read; raises the first `Refused`.

        Signatures that this machine cannot check stay unchecked: what it would take is returned.
        """
        missing = set()
        for token in self._tokens.values():
            try:
                self._settle(token)
            except Refused as error:
                if error.code not in NOT_HERE:
                    raise
                missing.add(error.detail)
            token.inflate()
        return sorted(missing)

    def _settle(self, token: StatusToken) -> None:
        name = (token.issuer, token.list_number)
        if self._check is not None and name in self._unchecked:
            self._check(token)
            self._unchecked.discard(name)


def pack_states(states: Sequence[int]) -> bytes:
    """Two 4-bit states a byte, the even index in the low nibble; the last may be padded by 0."""
    padded = bytes(states) + b"\x00" * (len(states) % 2)
    return bytes(low | high << 4 for low, high in zip(padded[::2], padded[1::2], strict=True))


def status_uri(issuer: str, list_number: int) -> str:
    """The `sub` of a status token."""
    return f"{issuer}/status/{list_number}"


def sign_status_token(
    packed: bytes,
    *,
    issuer: str,
    list_number: int,
    issued_at: int,
    expires_at: int,
    ttl: int,
    signer: Signer,
) -> bytes:
    """Signs a list whose entries are packed by `pack_states`. Times in seconds."""
    claims = {
        ISS: issuer,
        SUB: status_uri(issuer, list_number),
        EXP: expires_at,
        IAT: issued_at,
        STATUS_LIST: {"bits": BITS, "lst": _compress(packed)},
        TTL: ttl,
    }
    return sign_sign1(None, cbor_encode(claims), typ=TYP, signer=signer)


def _compress(packed: bytes) -> bytes:
    """zlib (RFC 1950), in segments that do not lean on each other and begin at a byte.

    So a state that changes alters one segment, and an update of a pack copies the others.
    """
    deflater = zlib.compressobj(9)
    segments = []
    for at in range(0, len(packed), _SEGMENT):
        segments.append(deflater.compress(packed[at : at + _SEGMENT]))
        segments.append(deflater.flush(zlib.Z_FULL_FLUSH))
    return b"".join([*segments, deflater.flush()])


def parse_status_token(data: bytes) -> StatusToken:
    """Strict parse, signature unchecked; raises `status-malformed` or a codec's code."""
    sign1 = parse_sign1(data, typ=TYP, max_bytes=_MAX_TOKEN)
    claims = cbor_decode(sign1.payload, max_bytes=_MAX_TOKEN)
    if not isinstance(claims, dict) or claims.keys() != {ISS, SUB, EXP, IAT, STATUS_LIST, TTL}:
        raise Refused("status-malformed", "claims")
    issuer, uri, body = claims[ISS], claims[SUB], claims[STATUS_LIST]
    issued_at, expires_at, ttl = claims[IAT], claims[EXP], claims[TTL]
    if not isinstance(body, dict) or body.keys() != {"bits", "lst"} or body["bits"] != BITS:
        raise Refused("status-malformed", "list")
    if type(issuer) is not str:
        raise Refused("status-malformed", "issuer")
    prefix = f"{issuer}/status/"
    if type(uri) is not str or not uri.startswith(prefix):
        raise Refused("status-malformed", "uri")
    if any(type(value) is not int or value < 0 for value in (issued_at, expires_at, ttl)):
        raise Refused("status-malformed", "times")
    if type(body["lst"]) is not bytes:
        raise Refused("status-malformed", "list")
    number = parse_decimal(uri.removeprefix(prefix), max_value=2**32 - 1)
    return StatusToken(data, sign1, issuer, number, issued_at, expires_at, ttl, body["lst"])
