"""The keys that a city has from its founding on, and whether they are all in custody.

Once the genesis is in the ledger they are never made again: another key of the same name would
stand in the way of the right one, and what it sealed would be lost when that comes back.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect

from api.city import City
from api.custody import city_custody, file_custody
from api.errors import ServiceError
from api.roll import Roll, newest_of
from api.settings import Settings
from api.signers import has_power
from api.tables import ENROLMENTS
from ledger.stores import open_store
from ledger.stores.base import Store
from ledger.stores.sql import translated
from verifier.authorities import OPERATOR, Authorities

LOG_KEY, LOG_PQ_KEY, KEK, PSEUDONYM = "log", "log-pq", "kek", "pseudonym"
_SQLITE = "sqlite:///"


def existing_store(settings: Settings) -> Store | None:
    """The database of the settings, which is not made here; None where its file is not there."""
    url = settings.database_url
    if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).is_file():
        return None
    return open_store(url)


def is_founded(settings: Settings) -> bool:
    """Whether the database of the settings holds a genesis. Changes nothing; `ledger-store-…`."""
    store = existing_store(settings)
    if store is None:
        return False
    with closing(store):
        return _has_genesis(store)


def founded_authorities(settings: Settings) -> Authorities | None:
    """Who may sign, by the database of the settings; None where no city stands there."""
    store = existing_store(settings)
    if store is None:
        return None
    with closing(store), translated():
        return Roll(store).current().authorities if _has_genesis(store) else None


@translated()
def _has_genesis(store: Store) -> bool:
    with store.read() as reader:
        connection = reader.connection
        return inspect(connection).has_table(ENROLMENTS.name) and newest_of(connection) >= 0


def check_not_lost(settings: Settings) -> None:
    """Raises `city-key-lost`, naming them, where a founded city lacks keys; opens none."""
    lost = list(_missing(settings))
    if lost and is_founded(settings):
        raise ServiceError("city-key-lost", ", ".join(lost))


def operator_is_lost(city: City) -> bool:
    """Whether keys of the operator may sign, by the ledger, and none of these is in custody."""
    usable = {key.kid for key in city.authorities.keys_of(city.issuer(OPERATOR)) if has_power(key)}
    return bool(usable) and not city.signers.look().keys() & usable


def _missing(settings: Settings) -> Iterator[str]:
    """By name alone. Secrets are in files always; the operator's key may have a later number."""
    files = file_custody(settings, "")
    secrets = {entry.name for entry in files.list()}
    keys = {entry.name for entry in city_custody(settings, files).list()}
    for name in (KEK, PSEUDONYM):
        if name not in secrets:
            yield name
    for name in (LOG_KEY, LOG_PQ_KEY):
        if name not in keys:
            yield name
    if not any(name.partition(".")[0] == OPERATOR for name in keys):
        yield OPERATOR
