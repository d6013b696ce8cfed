"""Which keys of a city a backup of its key files does not hold, and where these are."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from api.city_keys import KEK, LOG_KEY, LOG_PQ_KEY, PSEUDONYM, founded_authorities
from api.custody import FILE, open_custody, open_former
from api.settings import Settings
from api.signers import is_signing_key, may_sign_from
from keys.custody import Custody, FileCustody
from keys.errors import ZhenglianError
from keys.names import kid
from keys.suites import BY_NAME

FOUNDED_WITH = (KEK, PSEUDONYM, LOG_KEY, LOG_PQ_KEY)
NOWHERE = "不在本机 not in the custody of this machine"


class Gap(NamedTuple):
    """A key that is not in the backup, and where it is; or what could not be looked into."""

    what: str
    where: str


def gaps(settings: Settings, files: FileCustody, at: int) -> Iterator[Gap]:
    """Of signature keys in tokens and behind signers, and of those that by the ledger may sign at
    Unix time `at` or later.

    What does not answer is a gap too: a backup is made of what there is.
    """
    names, held, silent = set(), set(), []
    for entry in files.list():
        names.add(entry.name)
        if entry.suite in BY_NAME:
            held.add(kid(BY_NAME[entry.suite], entry.public))
    for place, opened in _elsewhere(settings, files):
        try:
            entries = list(opened().list())
        except (ZhenglianError, OSError) as error:
            yield _unseen("密钥无法列出 its keys cannot be listed", place, error)
            silent.append(place)
            continue
        for entry in entries:
            if not (is_signing_key(entry.name) or entry.name in (LOG_KEY, LOG_PQ_KEY)):
                continue  # of others, on the same token
            id_ = kid(BY_NAME[entry.suite], entry.public)
            if id_ not in held:
                yield Gap(f"{entry.name} ({entry.suite}, {id_.hex()})", place)
            names.add(entry.name)
            held.add(id_)
    try:
        authorities = founded_authorities(settings)
    except (ZhenglianError, OSError) as error:
        yield _unseen("未与账本比对 not compared with the ledger", settings.origin, error)
        return
    if authorities is None:
        return
    where = f"可能在 perhaps in {', '.join(silent)}" if silent else NOWHERE
    for name in FOUNDED_WITH:
        if name not in names:
            yield Gap(name, where)
    for key in authorities.keys.values():
        if may_sign_from(key, at) and key.kid not in held:
            department = key.issuer.rpartition("/")[2]
            yield Gap(f"{department} ({key.suite.name}, {key.kid.hex()})", where)


def _elsewhere(
    settings: Settings, files: FileCustody
) -> Iterator[tuple[str, Callable[[], Custody]]]:
    if settings.custody != FILE:
        yield settings.custody, lambda: open_custody(settings, files)
    if settings.former_custody not in ("", FILE):
        yield settings.former_custody, lambda: open_former(settings, files)


def _unseen(what: str, where: str, error: Exception) -> Gap:
    why = error.code if isinstance(error, ZhenglianError) else type(error).__name__
    return Gap(f"{what} [{why}]", where)
