"""Custody of private keys: who keeps them, and how they are opened.

`FileCustody` keeps them in encrypted files. Each kind of custody is a file of this package and
keeps the promises of `Custody`.
"""

from keys.custody.base import Custody, KeyEntry
from keys.custody.file import FileCustody
from keys.custody.keyfile import INTERACTIVE, MODERATE, SECRET, SECRET_SIZE, Effort

__all__ = [
    "INTERACTIVE",
    "MODERATE",
    "SECRET",
    "SECRET_SIZE",
    "Custody",
    "Effort",
    "FileCustody",
    "KeyEntry",
]
