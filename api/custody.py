"""The custody that the settings name: files, a PKCS#11 token, or a signer behind a socket."""

from pathlib import Path

from api.errors import ServiceError
from api.settings import Settings
from api.signing.client import SignerConnection
from keys.custody import (
    MODERATE,
    Custody,
    Effort,
    FileCustody,
    Pkcs11Custody,
    RemoteCustody,
    SeveralCustody,
)

FILE, PKCS11, SOCKET = "file", "pkcs11", "socket"


def file_custody(settings: Settings, passphrase: str) -> FileCustody:
    """The encrypted files of the data folder. Secrets (not signature keys) are always here."""
    return FileCustody(settings.data / "custody", passphrase, effort_of(settings))


def effort_of(settings: Settings) -> Effort:
    """What opening a key that is sealed from now on shall cost."""
    return Effort(MODERATE.passes, settings.argon2_mib << 20)


def city_custody(settings: Settings, files: FileCustody) -> Custody:
    """Where a city makes its signature keys, with everywhere that it still has some: the former
    custody, and the files, in which a city that was founded with them has its log's key for ever.

    Raises as `open_custody`.
    """
    newest = open_custody(settings, files)
    older: list[Custody] = []
    if settings.former_custody:
        older.append(open_former(settings, files))
    if files is not newest and files not in older:
        older.append(files)
    return SeveralCustody(newest, *older) if older else newest


def open_former(settings: Settings, files: FileCustody) -> Custody:
    """`ZHENGLIAN_FORMER_CUSTODY`. Raises as `open_custody`."""
    former = {"custody": settings.former_custody, "pin": settings.former_pin}
    kept = settings.model_copy(update=former)
    return open_custody(kept, files, pin_variable="ZHENGLIAN_FORMER_PIN")


def open_custody(
    settings: Settings, files: FileCustody, *, pin_variable: str = "ZHENGLIAN_PIN"
) -> Custody:
    """Where the signature keys are, by `ZHENGLIAN_CUSTODY`; `files` itself by default.

        file | pkcs11:<module>?token=<label> | socket:<path>

    Raises `ServiceError` custody-invalid, pin-missing, which names `pin_variable`; `KeysError`
    hsm-extra-missing. Tokens and signers are first spoken to when a key is listed or opened.
    """
    kind, _, place = settings.custody.partition(":")
    if settings.custody == FILE:
        return files
    if kind == PKCS11:
        module, mark, token = place.rpartition("?token=")
        if not (module and mark and token):
            raise ServiceError("custody-invalid", settings.custody)
        if not settings.pin:
            raise ServiceError("pin-missing", f"{pin_variable}; 令牌 token: {token}")
        return Pkcs11Custody(module, token, settings.pin)
    if kind == SOCKET and place:
        return RemoteCustody(SignerConnection(Path(place)))
    raise ServiceError("custody-invalid", settings.custody)
