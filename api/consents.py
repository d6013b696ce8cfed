"""Consents (个人信息保护法 13–16, 23): a subject lets one client ask one thing for one purpose.

A consent names client, predicate and purpose, ends by itself, is used up by use, and may be
withdrawn at any time with effect at once. Receipts given before a withdrawal stay valid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from api.city import City
from api.errors import ServiceError
from api.principals import Principal, Role
from api.rules.catalogue import Predicate
from api.tables import CLIENTS, CONSENTS

MAX_MINUTES = 60 * 24 * 31
MAX_USES = 100
_ASKERS = frozenset({Role.VERIFIER.value, Role.PRIVATE_VERIFIER.value})


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as its subject sees it. Times are Unix seconds."""

    id: str
    client: str
    predicate: str
    purpose: str
    uses_left: int
    created_at: int
    expires_at: int
    withdrawn_at: int | None


def subject_nym(principal: Principal) -> bytes:
    """The pseudonym of a calling subject; `role-missing` for anybody else."""
    principal.require(Role.SUBJECT)
    if principal.subject_nym is None:
        raise ServiceError("role-missing", Role.SUBJECT)
    return principal.subject_nym


class Consents:
    """The consents of one city."""

    def __init__(self, city: City) -> None:
        self.city = city

    def give(
        self,
        principal: Principal,
        *,
        client: str,
        predicate: Predicate,
        purpose: str,
        minutes: int,
        uses: int = 1,
        effects: Callable[[Connection, str], None] | None = None,
    ) -> Consent:
        """Raises: role-missing, client-unknown, claim-basis-not-allowed,
        claim-purpose-not-allowed, consent-limits.

        `effects` runs in the same transaction, with the consent's id.
        """
        nym = subject_nym(principal)
        if not 1 <= minutes <= MAX_MINUTES or not 1 <= uses <= MAX_USES:
            raise ServiceError("consent-limits", f"{MAX_MINUTES} / {MAX_USES}")
        if not any(
            self.city.catalogue.legal_bases[basis].consent for basis in predicate.legal_bases
        ):
            raise ServiceError("claim-basis-not-allowed", predicate.id)
        if purpose not in predicate.purposes:
            raise ServiceError("claim-purpose-not-allowed", purpose[:40])
        now = self.city.now()
        row = {
            "id": self.city.new_record_id(),
            "subject_nym": nym,
            "client": client,
            "predicate": predicate.id,
            "purpose": purpose,
            "uses_left": uses,
            "created_at": now,
            "expires_at": now + 60 * minutes,
            "withdrawn_at": None,
        }
        with self.city.store.write() as writer:
            _check_asker(writer.connection, client)
            writer.connection.execute(insert(CONSENTS), row)
            if effects is not None:
                effects(writer.connection, str(row["id"]))
            writer.commit()
        return _consent(self._row(str(row["id"])))

    def withdraw(self, principal: Principal, consent_id: str) -> Consent:
        """Effective at once; repeating is harmless. Raises `consent-unknown`."""
        nym = subject_nym(principal)
        with self.city.store.write() as writer:
            found = writer.connection.execute(
                select(CONSENTS).where(CONSENTS.c.id == consent_id, CONSENTS.c.subject_nym == nym)
            ).one_or_none()
            if found is None:
                raise ServiceError("consent-unknown", consent_id[:40])
            writer.connection.execute(
                update(CONSENTS)
                .where(CONSENTS.c.id == consent_id, CONSENTS.c.withdrawn_at.is_(None))
                .values(withdrawn_at=self.city.now())
            )
            writer.commit()
        return _consent(self._row(consent_id))

    def of_subject(self, principal: Principal) -> list[Consent]:
        """Newest first."""
        query = (
            select(CONSENTS)
            .where(CONSENTS.c.subject_nym == subject_nym(principal))
            .order_by(CONSENTS.c.created_at.desc(), CONSENTS.c.id)
        )
        with self.city.store.read() as reader:
            return [_consent(row) for row in reader.connection.execute(query)]

    def one(self, principal: Principal, consent_id: str) -> Consent:
        """One of the caller's own; `consent-unknown`."""
        row = self._row(consent_id)
        if row.subject_nym != subject_nym(principal):
            raise ServiceError("consent-unknown", consent_id[:40])
        return _consent(row)

    # what a question needs of one

    def fitting(
        self, consent_id: str, *, client: str, subject: bytes, predicate: str, purpose: str
    ) -> Consent:
        """A consent of this subject to this client for this; not withdrawn.

        Raises: consent-unknown, consent-does-not-fit, consent-purpose-differs, consent-withdrawn.
        """
        row = self._row(consent_id)
        if row.client != client:
            raise ServiceError("consent-unknown", consent_id[:40])
        if row.subject_nym != subject or row.predicate != predicate:
            raise ServiceError("consent-does-not-fit", consent_id)
        if row.purpose != purpose:
            raise ServiceError("consent-purpose-differs", consent_id)
        if row.withdrawn_at is not None:
            raise ServiceError("consent-withdrawn", consent_id)
        return _consent(row)

    def _row(self, consent_id: str) -> Row[Any]:
        with self.city.store.read() as reader:
            row = reader.connection.execute(
                select(CONSENTS).where(CONSENTS.c.id == consent_id)
            ).one_or_none()
        if row is None:
            raise ServiceError("consent-unknown", consent_id[:40])
        return row


def check_usable(consent: Consent, now: int) -> None:
    """Raises `consent-expired` or `consent-used`."""
    if now > consent.expires_at:
        raise ServiceError("consent-expired", consent.id)
    if consent.uses_left < 1:
        raise ServiceError("consent-used", consent.id)


def use_up(connection: Connection, consent: Consent, now: int) -> None:
    """Takes one use, in the transaction of the question; raises what stands against it now."""
    taken = connection.execute(
        update(CONSENTS)
        .where(CONSENTS.c.id == consent.id, CONSENTS.c.uses_left > 0)
        .where(CONSENTS.c.withdrawn_at.is_(None), CONSENTS.c.expires_at >= now)
        .values(uses_left=CONSENTS.c.uses_left - 1)
    )
    if taken.rowcount != 1:
        row = connection.execute(select(CONSENTS).where(CONSENTS.c.id == consent.id)).one()
        if row.withdrawn_at is not None:
            raise ServiceError("consent-withdrawn", consent.id)
        check_usable(_consent(row), now)
        raise ServiceError("consent-used", consent.id)


def _check_asker(connection: Connection, client: str) -> None:
    row = connection.execute(
        select(CLIENTS.c.roles, CLIENTS.c.revoked_at).where(CLIENTS.c.id == client)
    ).one_or_none()
    if row is None or row.revoked_at is not None or _ASKERS.isdisjoint(row.roles):
        raise ServiceError("client-unknown", client[:64])


def _consent(row: Row[Any]) -> Consent:
    return Consent(
        row.id,
        row.client,
        row.predicate,
        row.purpose,
        row.uses_left,
        row.created_at,
        row.expires_at,
        row.withdrawn_at,
    )
