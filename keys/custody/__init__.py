"""Custody of private keys: who keeps them, and how they are opened.

`FileCustody` keeps them in encrypted files, `Pkcs11Custody` in a hardware security module,
`RemoteCustody` in another process. Each keeps the promises of `Custody`.
"""

from keys.custody.base import Custody, KeyEntry
from keys.custody.file import FileCustody
from keys.custody.keyfile import INTERACTIVE, MODERATE, SECRET, SECRET_SIZE, Effort
from keys.custody.pkcs11 import Pkcs11Custody
from keys.custody.remote import RemoteCustody, SignerService
from keys.custody.several import SeveralCustody

__all__ = [
    "INTERACTIVE",
    "MODERATE",
    "SECRET",
    "SECRET_SIZE",
    "Custody",
    "Effort",
    "FileCustody",
    "KeyEntry",
    "Pkcs11Custody",
    "RemoteCustody",
    "SeveralCustody",
    "SignerService",
]
