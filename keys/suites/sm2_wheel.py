"""SM2 and SM3 by `gmssl-pyx` (GmSSL), native code that need not be installed.

Its message interface computes ten times as much as its digest interface, so only the latter is
used. It holds the interpreter's lock while it works: threads neither harm nor help.

GmSSL writes the places in its source to the C library's `stderr` at each signature that fails, so
that forgeries would flood the log. glibc says of its standard streams that they are variables
"which you can set just like any others" (manual, §12.2): for the time of a check, C code writes to
/dev/null. Python's own streams do not pass there and lose nothing. On other C libraries the noise
stays.
"""

import ctypes
import os
from functools import cache
from typing import Any

from keys.errors import KeysError

try:
    import gmssl_pyx
except ImportError:  # the extra is not installed: names and keys of the suite work, no signature
    gmssl_pyx = None


def sm3(data: bytes) -> bytes:
    """SM3 (GB/T 32905), 32 bytes."""
    return bytes(_library().sm3_hash(data))


def generate() -> bytes:
    """A private key, 32 bytes."""
    return bytes(_library().sm2_key_generate()[1])


def sign_digest(private: bytes, digest: bytes) -> bytes:
    """The signature of 32 bytes e, in DER; `private` is known to be in range."""
    return bytes(_library().sm2_sign_sm3_digest(private, digest))


def digest_signed(public: bytes, digest: bytes, der: bytes) -> bool:
    """Whether `public` signed 32 bytes e."""
    library, stderr = _library(), _stderr()
    if stderr is None:
        return bool(library.sm2_verify_sm3_digest(public, digest, der))
    # Threads that meet here may put `stderr` back early, which costs silence only.
    variable, usual, null = stderr
    variable.value = null
    try:
        return bool(library.sm2_verify_sm3_digest(public, digest, der))
    finally:
        variable.value = usual


def _library() -> Any:
    if gmssl_pyx is None:
        raise KeysError("key-suite-missing", "pip install zhenglian[sm2]")
    return gmssl_pyx


@cache
def _stderr() -> tuple[ctypes.c_void_p, int | None, int | None] | None:
    """glibc's `stderr`, its usual value, and a stream to /dev/null; None elsewhere."""
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return None
    except (AttributeError, OSError, ValueError):
        return None
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    null: int | None = libc.fopen(b"/dev/null", b"we")
    variable = ctypes.c_void_p.in_dll(libc, "stderr")
    return (variable, variable.value, null) if null else None
