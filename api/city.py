"""A city: everything the service needs, opened once and handed down as an argument.

`found` makes a new one: keys in custody, the tables, the genesis and the operator's first
statement. `open_city` opens what is there. Nothing else finds a key, a clock or a store.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from api.errors import ServiceError
from api.passphrase import make_passphrase, read_passphrase
from api.rules.catalogue import Catalogue, CreditType, LicenceType, load_catalogue
from api.rules.workdays import Calendar, builtin_calendar
from api.settings import Settings
from api.tables import ENROLMENTS, METADATA
from api.vault import Vault
from keys.custody import MODERATE, Effort, FileCustody
from keys.errors import KeysError
from keys.names import cose_key_bytes
from keys.signer import Signer
from ledger.ledger import Ledger
from ledger.model import Appended, Draft
from ledger.stores import open_store
from ledger.stores.base import Store
from verifier.authorities import (
    OPERATOR,
    Authorities,
    check_use,
    proof_of_possession_message,
)
from verifier.errors import Refused
from verifier.kinds import DEPARTMENT, GENESIS, KEY
from verifier.note import NoteSigner, make_vkey
from verifier.statement import (
    SUBJECT_BYTES,
    Content,
    new_subject,
    parse_statement,
    sign_statement,
)
from verifier.trust import Trust, TypeName

LOG_KEY, KEK, PSEUDONYM = "log", "kek", "pseudonym"
_DEPARTMENT_KEY = "dept-"
_ENROLLED_SO_FAR = select(func.max(ENROLMENTS.c.idx), func.count(ENROLMENTS.c.idx))
_log = logging.getLogger("zhenglian.city")


@dataclass
class City:
    """One ledger with its departments, keys, catalogue and vault. Shared by all requests.

    `clock` gives Unix seconds, `random(n)` n unpredictable bytes.
    """

    settings: Settings
    store: Store
    ledger: Ledger
    catalogue: Catalogue
    calendar: Calendar
    vault: Vault
    custody: FileCustody
    clock: Callable[[], float] = time.time
    random: Callable[[int], bytes] = os.urandom
    signers: dict[str, Signer] = field(default_factory=dict)
    enrolled: Mapping[int, bytes] = field(default_factory=dict)
    opened_file: tuple[int, int] | None = None  # device and inode of `database_file`
    _authorities: Authorities = field(default_factory=Authorities, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def origin(self) -> str:
        return self.settings.origin

    @property
    def authorities(self) -> Authorities:
        """Who may sign what, by every enrolment logged so far, of other processes too."""
        with self.store.read() as reader:
            newest, count = reader.connection.execute(_ENROLLED_SO_FAR).one()
        enrolled = self.enrolled
        if count != len(enrolled) or newest != max(enrolled, default=None):
            self._reload()
        return self._authorities

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

    def signer(self, department: str) -> Signer:
        """The open key of a department; `signer-missing` if this server holds none.

        A key that another process of this server made and enrolled is opened when first asked for.
        """
        signer = self.signers.get(department) or self._open_enrolled(department)
        if signer is None:
            raise ServiceError("signer-missing", department)
        return signer

    def _open_enrolled(self, department: str) -> Signer | None:
        name = custody_name(department)
        with self._lock:
            if name not in {entry.name for entry in self.custody.list()}:
                return None
            signer = self.custody.open(name)
            if signer.kid not in self.authorities.keys:
                return None
            self.signers[department] = signer
            return signer

    def sign(self, content: Content, *, department: str, record_id: str, at: int) -> bytes:
        """A statement by a department's key, as the ledger will hold it.

        Nothing is signed that the key may not sign: `Refused` key-out-of-scope, key-out-of-date.
        """
        signer = self.signer(department)
        # Enrolments are only added: what was replayed last is enough where it knows the key.
        key = self._authorities.keys.get(signer.kid) or self.authorities.keys.get(signer.kid)
        if key is not None:
            check_use(key, content.kind, content.type_code, at)
        elif content.kind != GENESIS:
            raise ServiceError("signer-missing", department)
        return sign_statement(
            content,
            issuer=self.issuer(department),
            subject=record_id,
            issued_at=at,
            signer=signer,
        )

    # enrolment

    def enrol_department(self, slug: str, zh: str, en: str, uscc: str) -> int:
        """Enrols a department by a statement of the operator; returns its ledger index.

        Raises `Refused` enrolment-repeated.
        """
        facts = {"id": slug, "zh": zh, "en": en, "uscc": uscc}
        return self._enrol(Content(DEPARTMENT, facts=facts))

    def enrol_key(self, slug: str, scope: Iterable[str], *, suite: str) -> int:
        """Makes a key for a department in custody, opens it, enrols it; returns its index.

        A key of this suite that was made and never enrolled, as when a process died between the
        two, is enrolled now. Raises `Refused` enrolment-unknown-department, enrolment-repeated;
        `KeysError` key-exists where the key made earlier is of another suite.
        """
        if slug == OPERATOR or self.issuer(slug) not in self.authorities.departments:
            raise Refused("enrolment-unknown-department", slug[:40])
        name = custody_name(slug)
        with self._lock:
            made = {entry.name: entry.suite for entry in self.custody.list()}
            if name not in made:
                self.custody.create(name, suite)
            elif made[name] != suite:
                raise KeysError("key-exists", f"{name}: {made[name]}")
            signer = self.custody.open(name)
            public = cose_key_bytes(signer.suite, signer.public)
            facts = {
                "dept": slug,
                "key": public,
                "scope": sorted(set(scope)),
                "from": self.now(),
                "pop": signer.sign(proof_of_possession_message(self.origin, slug, public)),
            }
            index = self._enrol(Content(KEY, facts=facts))
            self.signers[slug] = signer
        return index

    def _enrol(self, content: Content) -> int:
        """Signs, checks, logs and applies an enrolling statement; returns its index.

        The rules are asked before anything is written, against every enrolment there is when it
        is written: an enrolment that cannot be replayed would close the city for ever.
        """
        with self._lock:
            raw = self.sign(
                content, department=OPERATOR, record_id=self.new_record_id(), at=self.now()
            )
            draft, statement = Draft(raw, content.kind, OPERATOR), parse_statement(raw)
            while True:
                known = self.enrolled
                replay(known).enrol(statement, len(known))

                def remember(
                    connection: Connection,
                    appended: Sequence[Appended],
                    known: Mapping[int, bytes] = known,
                ) -> None:
                    there = connection.execute(select(ENROLMENTS.c.idx)).scalars()
                    if set(there) != known.keys():
                        raise _EnrolledMeanwhile
                    connection.execute(insert(ENROLMENTS), {"idx": appended[0].index})

                try:
                    index = self.ledger.append([draft], remember).appended[0].index
                except _EnrolledMeanwhile:
                    self._reload()
                else:
                    self._reload()
                    return index

    def _reload(self) -> None:
        """Replays the enrolments in the store. Old entries never change, so only new are read."""
        with self._lock, self.store.read() as reader:
            indices = reader.connection.execute(select(ENROLMENTS.c.idx)).scalars().all()
            known = self.enrolled
            enrolled = {
                index: known[index] if index in known else reader.entries(index, 1)[0]
                for index in indices
            }
            self._authorities = replay(enrolled)
            self.enrolled = enrolled

    # trust

    def trust(self) -> Trust:
        """The city as its own verifier sees it now; the caller brings the states."""
        authorities, now = self.authorities, self.now()
        if authorities.log_key is None:
            raise ServiceError("city-not-founded")
        return Trust(
            authorities,
            self.type_names,
            None,
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

    def close(self) -> None:
        self.ledger.close()
        self.store.close()


class _EnrolledMeanwhile(Exception):
    """Another process enrolled something first; nothing was written."""


def custody_name(department: str) -> str:
    """The name of a department's key in custody."""
    return f"{_DEPARTMENT_KEY}{department}"


def file_custody(settings: Settings, passphrase: str) -> FileCustody:
    """The encrypted files of the data folder."""
    effort = Effort(MODERATE.passes, settings.argon2_mib << 20)
    return FileCustody(settings.data / "custody", passphrase, effort)


def replay(enrolled: Mapping[int, bytes]) -> Authorities:
    """Authorities from enrolling statements by ledger index."""
    authorities = Authorities()
    for index in sorted(enrolled):
        authorities.enrol(parse_statement(enrolled[index]), index)
    return authorities


def found(
    settings: Settings,
    *,
    suite: str = "ed25519",
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> City:
    """Makes the keys of the operator and the log, the tables and the genesis, and opens the city.

    Founding again continues what an interrupted founding left; a founded city is just opened.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    custody = file_custody(settings, make_passphrase(settings))
    present = {entry.name for entry in custody.list()}
    for name, kind in ((LOG_KEY, "ed25519"), (OPERATOR, suite)):
        if name not in present:
            custody.create(name, kind)
    for name in (KEK, PSEUDONYM):
        if name not in present:
            custody.create_secret(name)
    city = open_city(settings, clock=clock, random=random)
    if not city.enrolled:
        operator = city.signers[OPERATOR]
        log_public = custody.open(LOG_KEY).public
        facts = {
            "origin": settings.origin,
            "log": make_vkey(settings.origin, log_public).text(),
            "name_zh": settings.name_zh,
            "name_en": settings.name_en,
            "key": cose_key_bytes(operator.suite, operator.public),
        }
        city._enrol(Content(GENESIS, facts=facts))
        _log.info("founded %s", settings.origin)
    return city


def open_city(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> City:
    """Opens custody, store and ledger, and replays the enrolments."""
    custody = file_custody(settings, read_passphrase(settings))
    log_signer = custody.open(LOG_KEY)
    store = open_store(settings.database_url)
    store.create(METADATA)
    city = City(
        settings=settings,
        store=store,
        ledger=Ledger.open(
            store,
            origin=settings.origin,
            signers=[NoteSigner(settings.origin, log_signer)],
            clock=clock,
        ),
        catalogue=load_catalogue(settings.catalogue),
        calendar=builtin_calendar(),
        vault=Vault(
            custody.open_secret(KEK),
            custody.open_secret(PSEUDONYM),
            random,
        ),
        custody=custody,
        clock=clock,
        random=random,
    )
    if city.database_file is not None:
        there = city.database_file.stat()
        city.opened_file = (there.st_dev, there.st_ino)
    city._reload()
    enrolled = city.authorities.keys
    for entry in custody.list():
        if entry.name == OPERATOR:
            city.signers[OPERATOR] = custody.open(entry.name)
        elif entry.name.startswith(_DEPARTMENT_KEY):
            slug, signer = entry.name.removeprefix(_DEPARTMENT_KEY), custody.open(entry.name)
            if signer.kid in enrolled:
                city.signers[slug] = signer
            else:  # a process died between making it and enrolling it
                _log.warning("the key of %s is in custody but not enrolled; not used", slug)
    return city
