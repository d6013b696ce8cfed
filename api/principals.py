"""Who calls: API keys, principals, and what their roles allow (domain: clerk, seal-keeper, …)."""

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import Connection, insert, select, update

from api.errors import ServiceError
from api.tables import CLIENTS, ClientRow
from ledger.stores.base import Store
from verifier.codec import b64url_decode, b64url_encode
from verifier.errors import Refused

_SECRET_SIZE = 32
_CLIENT = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


class Role(StrEnum):
    """What a caller is. A caller may be several."""

    CLERK = "clerk"  # issues and suspends for its department
    SEAL_KEEPER = "seal-keeper"  # ends licences, keeps the seal
    VERIFIER = "verifier"  # asks questions about people, with a case number
    PRIVATE_VERIFIER = "private-verifier"  # a bank, kiosk or company: asks with consent
    SUBJECT = "subject"  # a citizen or company, about itself
    CREDIT_CENTRE = "credit-centre"  # marks disputes, publishes, runs deadlines
    AUDITOR = "auditor"  # reads proofs and logs
    REGISTRAR = "registrar"  # a department's own software: logs documents that it signed
    OPERATOR = "operator"  # runs the ledger, enrols departments


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `subject_nym` is set for a citizen or company."""

    client: str
    name: str
    department: str | None
    roles: frozenset[Role]
    subject_nym: bytes | None = None

    def require(self, *roles: Role) -> None:
        """Raises `role-missing` unless the caller has one of `roles`."""
        if self.roles.isdisjoint(roles):
            raise ServiceError("role-missing", " / ".join(roles))

    def require_department(self, department: str) -> None:
        """Raises `department-mismatch` unless the caller acts for `department`."""
        if self.department != department:
            raise ServiceError("department-mismatch", department)


def create_client(
    store: Store,
    *,
    client: str,
    name: str,
    roles: Sequence[Role],
    department: str | None,
    subject_nym: bytes | None,
    random: Callable[[int], bytes],
    now: int,
) -> str:
    """Registers a caller and returns its API key, which is shown this once and never stored."""
    if not _CLIENT.fullmatch(client):
        raise ServiceError("client-name-invalid", client[:64])
    secret = random(_SECRET_SIZE)
    row = {
        "id": client,
        "name": name,
        "secret_hash": sha256(secret).digest(),
        "department": department,
        "roles": [role.value for role in roles],
        "subject_nym": subject_nym,
        "created_at": now,
        "revoked_at": None,
    }
    with store.write() as writer:
        if _find(writer.connection, client) is not None:
            raise ServiceError("client-exists", client)
        writer.connection.execute(insert(CLIENTS), row)
        writer.commit()
    return f"zl_{client}_{b64url_encode(secret)}"


def revoke_client(store: Store, client: str, now: int) -> None:
    """Ends an API key at once; repeating is harmless. Raises `client-unknown`."""
    with store.write() as writer:
        if _find(writer.connection, client) is None:
            raise ServiceError("client-unknown", client)
        writer.connection.execute(
            update(CLIENTS)
            .where(CLIENTS.c.id == client, CLIENTS.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        writer.commit()


def authenticate(store: Store, api_key: str) -> Principal:
    """The principal of an API key `zl_<client>_<secret>`, or `credentials-invalid`."""
    prefix, _, rest = api_key.partition("_")
    client, _, encoded = rest.partition("_")
    try:
        if not _CLIENT.fullmatch(client):
            raise ServiceError("credentials-invalid")
        secret = b64url_decode(encoded, max_bytes=_SECRET_SIZE)
    except Refused as error:
        raise ServiceError("credentials-invalid") from error
    with store.read() as reader:
        row = _find(reader.connection, client)
    expected = bytes(32) if row is None else row.secret_hash
    same = hmac.compare_digest(sha256(secret).digest(), expected)
    if prefix != "zl" or row is None or not same:
        raise ServiceError("credentials-invalid")
    if row.revoked_at is not None:
        raise ServiceError("credentials-revoked")
    roles = frozenset(Role(role) for role in row.roles)
    return Principal(row.id, row.name, row.department, roles, row.subject_nym)


def _find(connection: Connection, client: str) -> ClientRow | None:
    row = connection.execute(select(CLIENTS).where(CLIENTS.c.id == client)).one_or_none()
    return None if row is None else ClientRow(**row._mapping)
