"""Founding a city, and opening it: its keys in custody, its tables, its genesis."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy import Connection, insert
from sqlalchemy.exc import SQLAlchemyError

from api.city import City
from api.city_keys import (
    KEK,
    LOG_KEY,
    LOG_PQ_KEY,
    PSEUDONYM,
    check_not_lost,
    is_founded,
    operator_is_lost,
)
from api.custody import city_custody, file_custody
from api.errors import ServiceError
from api.finality import policy_at
from api.keymaking import spare_keys
from api.officers import Card, check_card
from api.passphrase import make_passphrase, read_passphrase
from api.roll import Roll, newest_of
from api.rules.catalogue import load_catalogue
from api.rules.workdays import builtin_calendar
from api.settings import Settings
from api.signers import Signers
from api.tables import ENROLMENTS, METADATA
from api.vault import Vault
from api.witness_client import WitnessClient
from keys.custody import Custody, FileCustody
from keys.errors import KeysError
from keys.names import cose_key_bytes
from keys.signer import Signer, SoftwareSigner
from keys.suites import suite_named
from ledger.ledger import Ledger
from ledger.model import Appended, Draft
from ledger.stores import open_store
from ledger.witnessing import Witnessing
from verifier.authorities import OPERATOR, Authorities
from verifier.kinds import GENESIS
from verifier.note import MLDSA44, NoteSigner, make_vkey
from verifier.statement import (
    SUBJECT_BYTES,
    Content,
    new_subject,
    parse_statement,
    sign_statement,
)

NOT_THERE = frozenset({"key-not-found", "passphrase-missing"})
"""How custody says that it is not here, or not all of it."""
OFFICERS_NEEDED = 2
"""Of the operator, at the genesis; each change takes two."""
_log = logging.getLogger("zhenglian.city")


def found(
    settings: Settings,
    *,
    officers: Sequence[Card] = (),
    suite: str = "ed25519",
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> City:
    """Makes the keys of the operator and the log, the tables and the genesis, and opens the city.

    `officers` are the operator's first, two at least: they decide who else may sign. Founding
    again continues what an interrupted founding left; a founded city is just opened, and no key
    of it is made. What is refused is refused before anything is made.

    Raises `ServiceError` found-officers-missing, found-custody-used, officer-card-foreign,
    city-key-lost; `Refused` enrolment-…; `KeysError` key-unknown-suite.
    """
    for card in officers:
        check_card(card, settings.origin, OPERATOR)
    founded = is_founded(settings)
    if not founded:
        _check_new(settings)
        _try_genesis(settings, officers, suite, int(clock()), random)
        _make_keys(settings, suite)
    city = open_city(settings, clock=clock, random=random)
    try:
        if founded and operator_is_lost(city):
            raise ServiceError("city-key-lost", OPERATOR)
        if city.roll.known.newest < 0:
            _genesis(city, officers)
            _log.info("founded %s", settings.origin)
    except BaseException:
        city.close()
        raise
    return city


def _make_keys(settings: Settings, suite: str) -> None:
    """Those that are missing."""
    settings.data.mkdir(parents=True, exist_ok=True)
    files = file_custody(settings, make_passphrase(settings))
    custody = city_custody(settings, files)
    present = {entry.name for entry in custody.list()}
    for name, kind in ((LOG_KEY, "ed25519"), (OPERATOR, suite)):
        if name not in present:
            custody.create(name, kind)
    if LOG_PQ_KEY not in present:
        _make_log_pq_key(custody, files)
    kept = {entry.name for entry in files.list()}
    for name in (KEK, PSEUDONYM):
        if name not in kept:
            files.create_secret(name)


def _make_log_pq_key(custody: Custody, files: FileCustody) -> None:
    """In a file where the custody of the other keys, such as a token, cannot hold its suite."""
    try:
        custody.create(LOG_PQ_KEY, "ml-dsa-44")
    except KeysError as error:
        if error.code != "key-suite-elsewhere":
            raise
        files.create(LOG_PQ_KEY, "ml-dsa-44")


def _check_new(settings: Settings) -> None:
    """A second genesis under the same log key would be a second history of the same ledger: keys
    of departments in custody say that there has been a first, and its database is missing."""
    custody = city_custody(settings, file_custody(settings, ""))
    used = [entry.name for entry in custody.list() if entry.name.startswith("dept-")]
    if used:
        raise ServiceError("found-custody-used", ", ".join(used[:3]))


def _try_genesis(
    settings: Settings,
    officers: Sequence[Card],
    suite: str,
    at: int,
    random: Callable[[int], bytes],
) -> None:
    """Enrols a genesis of keys that nobody keeps: raises what the real one would."""
    log, log_pq, operator = (
        SoftwareSigner(known, known.generate())
        for known in map(suite_named, ("ed25519", "ml-dsa-44", suite))
    )
    if len(officers) < OFFICERS_NEEDED:
        raise ServiceError("found-officers-missing", f"{len(officers)} / {OFFICERS_NEEDED}")
    raw = sign_statement(
        _genesis_content(settings, officers, log, log_pq, operator),
        issuer=f"{settings.origin}/{OPERATOR}",
        subject=new_subject(random(SUBJECT_BYTES)),
        issued_at=at,
        signer=operator,
    )
    Authorities().enrol(parse_statement(raw), 0)


def _genesis_content(
    settings: Settings, officers: Sequence[Card], log: Signer, log_pq: Signer, operator: Signer
) -> Content:
    return Content(
        GENESIS,
        facts={
            "origin": settings.origin,
            "log": make_vkey(settings.origin, log.public).text(),
            "log_pq": log_pq.public,
            "name_zh": settings.name_zh,
            "name_en": settings.name_en,
            "key": cose_key_bytes(operator.suite, operator.public),
            "officers": [card.facts() for card in officers],
        },
    )


def _genesis(city: City, officers: Sequence[Card]) -> None:
    custody, operator = city.custody, city.custody.open(OPERATOR)
    content = _genesis_content(
        city.settings, officers, custody.open(LOG_KEY), custody.open(LOG_PQ_KEY), operator
    )
    raw = sign_statement(
        content,
        issuer=city.issuer(OPERATOR),
        subject=city.new_record_id(),
        issued_at=city.now(),
        signer=operator,
    )
    Authorities().enrol(parse_statement(raw), 0)

    def remember(connection: Connection, appended: Sequence[Appended]) -> None:
        if newest_of(connection) >= 0:
            raise _FoundedMeanwhile
        (entry,) = appended
        connection.execute(insert(ENROLMENTS), {"idx": entry.index, "statement": entry.entry})

    with suppress(_FoundedMeanwhile):
        city.ledger.append([Draft(raw, GENESIS, OPERATOR)], remember)
    city.roll.current()


class _FoundedMeanwhile(Exception):
    """Another process founded the city first; nothing was written."""


def _log_signers(custody: Custody, origin: str) -> list[NoteSigner]:
    """Of every checkpoint: Ed25519 first, then ML-DSA-44."""
    return [
        NoteSigner(origin, custody.open(LOG_KEY)),
        NoteSigner(origin, custody.open(LOG_PQ_KEY), MLDSA44),
    ]


def open_city(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> City:
    """Opens custody, store and ledger, replays the statements of authority, opens the keys that
    may still sign. Witnesses are looked at before the first write, and asked once the city's
    `witnessing` is started.

    Raises `ServiceError` city-key-lost where a founded city lacks a key that it cannot run
    without, passphrase-missing, city-of-another-version; `KeysError` key-….
    """
    try:
        files = file_custody(settings, read_passphrase(settings))
        custody = city_custody(settings, files)
        log_signers = _log_signers(custody, settings.origin)
        vault = Vault(files.open_secret(KEK), files.open_secret(PSEUDONYM), random)
    except (KeysError, ServiceError) as error:
        if error.code in NOT_THERE:
            check_not_lost(settings)
        raise
    store = open_store(settings.database_url)
    store.create(METADATA)
    roll = Roll(store)
    policy = policy_at(roll)
    ledger = Ledger.open(
        store, origin=settings.origin, signers=log_signers, clock=clock, policy=policy
    )
    client = WitnessClient()
    witnessing = Witnessing(
        ledger,
        policy,
        client.post,
        client.get,
        seconds=settings.witness_seconds,
        clock=clock,
        monotonic=time.monotonic,
    )
    ledger.before_first_write(witnessing.look)
    city = City(
        settings=settings,
        store=store,
        ledger=ledger,
        witnessing=witnessing,
        witness_client=client,
        catalogue=load_catalogue(settings.catalogue),
        calendar=builtin_calendar(),
        vault=vault,
        custody=custody,
        roll=roll,
        signers=Signers(custody),
        clock=clock,
        random=random,
    )
    if city.database_file is not None:
        there = city.database_file.stat()
        city.opened_file = (there.st_dev, there.st_ino)
    try:
        authorities = city.roll.current().authorities
    except SQLAlchemyError as error:
        city.close()
        raise ServiceError("city-of-another-version") from error
    city.signers.open_all(authorities, city.now())
    for spare in spare_keys(city) if authorities.log_key is not None else ():
        _log.warning("密钥尚未登记，不使用 %s is in custody but not enrolled; not used", spare.name)
    if operator_is_lost(city):
        _log.warning(
            "运营者密钥不在保管中，不能变更权限；请运行 zhenglian custody restore "
            "the operator's key is not in custody: no change can be logged; "
            "`zhenglian custody restore` brings it back"
        )
    return city
