"""The custody that the settings name: files, a PKCS#11 token, or a signer behind a socket."""

from api.settings import Settings
from keys.custody import MODERATE, Custody, Effort, FileCustody


def file_custody(settings: Settings, passphrase: str) -> FileCustody:
    """The encrypted files of the data folder. Secrets (not signature keys) are always here."""
    effort = Effort(MODERATE.passes, settings.argon2_mib << 20)
    return FileCustody(settings.data / "custody", passphrase, effort)


def open_custody(settings: Settings, files: FileCustody) -> Custody:
    """Where the signature keys are, by `ZHENGLIAN_CUSTODY`; `files` itself by default."""
    return files
