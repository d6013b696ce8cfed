"""A city: everything the service needs, opened once and handed down as an argument.

`api.founding` makes one and opens it. Nothing else finds a key, a clock or a store.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

from sqlalchemy import Connection

from api.errors import ServiceError
from api.principals import Principal
from api.roll import Roll, Standing, newest_of
from api.rules.catalogue import Catalogue, CreditType, LicenceType
from api.rules.workdays import Calendar
from api.settings import Settings
from api.signers import Choice, Signers, check_power
from api.vault import Vault
from api.witness_client import WitnessClient
from keys.custody import Custody
from keys.signer import Signer
from ledger.ledger import Ledger
from ledger.model import Appended, Committed, Draft
from ledger.stores.base import Effects, Store
from ledger.witnessing import Witnessing
from verifier.authorities import Authorities, EnrolledKey, check_use
from verifier.statement import (
    SUBJECT_BYTES,
    Content,
    Statement,
    new_subject,
    parse_statement,
    sign_statement,
)
from verifier.trust import Trust, TypeName

T = TypeVar("T")


@dataclass
class City:
    """One ledger with its departments, keys, catalogue and vault. Shared by all requests.

    `clock` gives Unix seconds, `random(n)` n unpredictable bytes.
    """

    settings: Settings
    store: Store
    ledger: Ledger
    witnessing: Witnessing
    witness_client: WitnessClient
    catalogue: Catalogue
    calendar: Calendar
    vault: Vault
    custody: Custody
    roll: Roll
    signers: Signers
    clock: Callable[[], float] = time.time
    random: Callable[[int], bytes] = os.urandom
    opened_file: tuple[int, int] | None = None  # device and inode of `database_file`
    _looked_at: int = -1
    _used: dict[bytes, EnrolledKey] = field(default_factory=dict, repr=False)
    """By key id: what each key that signed was when it first did."""

    @property
    def origin(self) -> str:
        return self.settings.origin

    @property
    def database_file(self) -> Path | None:
        """The file of an embedded database."""
        path = getattr(self.store, "path", None)
        return path if isinstance(path, Path) else None

    def now(self) -> int:
        return int(self.clock())

    def issuer(self, department: str) -> str:
        return f"{self.origin}/{department}"

    def new_record_id(self) -> str:
        return new_subject(self.random(SUBJECT_BYTES))

    # who may sign what

    @property
    def authorities(self) -> Authorities:
        """By every statement of authority logged so far, of other processes too."""
        return self.roll.current().authorities

    @property
    def enrolled(self) -> Mapping[int, bytes]:
        """These statements, by ledger index."""
        return self.roll.current().enrolled

    def acting(self, department: str) -> str:
        """The department that acts for this one: itself, or whom it was merged into."""
        return self._standing(self.now()).authorities.acting(department)

    def uscc(self, department: str) -> str:
        """The enrolled unified social credit code of a department; `signer-missing`."""
        known = self._standing(self.now()).authorities.departments.get(self.issuer(department))
        if known is None:
            raise ServiceError("signer-missing", department)
        return known.uscc

    def require_department(self, caller: Principal, department: str) -> None:
        """Raises `department-mismatch` unless the caller acts for `department`, or for the one
        that it was merged into."""
        caller.require_department(self.acting(department))

    def acts_for(self, department: str | None) -> list[str]:
        """The slugs of those for whom this department acts: itself, and all merged into it."""
        authorities = self._standing(self.now()).authorities
        slugs = [each.slug for each in authorities.departments.values()]
        return [slug for slug in slugs if authorities.acting(slug) == department]

    def _standing(self, at: int) -> Standing:
        """What was read last, looked at again once a second: of a change that another process
        logged within the second, `submit` takes care."""
        if at == self._looked_at:
            return self.roll.known
        standing = self.roll.current()
        self._looked_at = at
        return standing

    def choose(
        self, department: str, type_code: str | None = None, at: int | None = None
    ) -> Choice:
        """Which key signs for a department at Unix time `at`, as `Signers.choose`."""
        at = self.now() if at is None else at
        return self.signers.choose(self._standing(at), department, type_code, at)

    def signer(self, department: str, at: int | None = None) -> Signer:
        """The open key that signs for a department now, or at Unix time `at`.

        Raises `ServiceError` signer-missing, `Refused` key-…, department-ended.
        """
        return self.choose(department, at=at).signer

    # statements

    def sign(self, content: Content, *, department: str, record_id: str, at: int) -> bytes:
        """A statement by a department's key, as the ledger will hold it.

        It is issued at Unix time `at`, but never before the act that it follows: clocks are set
        back, and those of two replicas differ. Nothing is signed that the key may not sign.
        Raises as `signer`, and key-out-of-scope.
        """
        if content.predecessor is not None:
            at = max(at, self._issued_at(content.predecessor))
        chosen = self.choose(department, content.type_code, at)
        key = chosen.key
        check_use(key, content.kind, content.type_code, at)
        self._used.setdefault(key.kid, key)
        return sign_statement(
            content,
            issuer=key.issuer,
            subject=record_id,
            issued_at=at,
            signer=chosen.signer,
        )

    def _issued_at(self, leaf: bytes) -> int:
        """When the statement of this leaf hash was issued; 0 where it is not logged (yet)."""
        with self.store.read() as reader:
            index = reader.indices_of([leaf]).get(leaf)
            return 0 if index is None else parse_statement(*reader.entries(index, 1)).issued_at

    def key_of(self, statement: Statement, at: int) -> EnrolledKey:
        """The enrolled key that a statement signed elsewhere names, by what is known at Unix time
        `at`; `submit` will ask for its power again. Raises as `Authorities.key_for`."""
        key = self._standing(at).authorities.key_for(statement)
        self._used.setdefault(key.kid, key)
        return key

    @overload
    def submit(self, drafts: Sequence[Draft]) -> "Future[Committed[None]]": ...
    @overload
    def submit(self, drafts: Sequence[Draft], effects: Effects[T]) -> "Future[Committed[T]]": ...
    def submit(
        self, drafts: Sequence[Draft], effects: Effects[T] | None = None
    ) -> "Future[Committed[T]] | Future[Committed[None]]":
        """`Ledger.submit` of statements of ours. What is logged counts.

        Between the choice of a key and the commit, a change may take the key's power; so the
        keys are asked again here, and in the transaction itself where one was logged since.
        Raises, or the future ends with, the `Refused` of the key.
        """
        standing = self.roll.known
        keys = standing.authorities.keys
        if any(keys.get(kid) is not key for kid, key in list(self._used.items())):
            check_power(drafts, standing.authorities)

        def guarded(connection: Connection, appended: Sequence[Appended]) -> Any:
            if newest_of(connection) != standing.newest:
                self._looked_at = -1
                check_power(drafts, self.roll.as_of(connection).authorities)
            return None if effects is None else effects(connection, appended)

        return self.ledger.submit(drafts, guarded)

    @overload
    def append(self, drafts: Sequence[Draft]) -> Committed[None]: ...
    @overload
    def append(self, drafts: Sequence[Draft], effects: Effects[T]) -> Committed[T]: ...
    def append(
        self, drafts: Sequence[Draft], effects: Effects[T] | None = None
    ) -> Committed[T] | Committed[None]:
        """`submit`, and wait for the answer."""
        if effects is None:
            return self.submit(drafts).result()
        return self.submit(drafts, effects).result()

    # trust

    def trust(self) -> Trust:
        """The city as its own verifier sees it now; the caller brings the states."""
        authorities, now = self.authorities, self.now()
        if authorities.log_key is None:
            raise ServiceError("city-not-founded")
        return Trust(
            authorities,
            self.type_names,
            made_at=now,
            use_until=now + self.settings.pack_hours * 3600,
            max_status_age=self.settings.status_age_hours * 3600,
        )

    @cached_property
    def type_names(self) -> dict[str, TypeName]:
        types: list[LicenceType | CreditType] = [
            *self.catalogue.licence_types.values(),
            *self.catalogue.credit_types.values(),
        ]
        return {
            kind.code: TypeName(
                kind.code, kind.zh, kind.en, {f.code: (f.zh, f.en) for f in kind.fields}
            )
            for kind in types
        }

    @cached_property
    def type_issuers(self) -> dict[str, tuple[str, ...]]:
        """Slugs of the departments that the catalogue lets sign a type, by code. A type that every
        department may sign is not in it."""
        catalogue = self.catalogue
        licences = {kind.code: (kind.issuer,) for kind in catalogue.licence_types.values()}
        credits = {kind.code: kind.issuers for kind in catalogue.credit_types.values()}
        return {code: slugs for code, slugs in (licences | credits).items() if slugs}

    def close(self) -> None:
        self.witnessing.close()
        self.witness_client.close()
        self.ledger.close()
        self.store.close()
