"""SoftHSM for tests and benchmarks: tokens in a folder of their own."""

import os
import shutil
import subprocess
from pathlib import Path

PIN, OFFICER_PIN = "246813", "13572468"
_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
MISSING = "SoftHSM is not on this machine (package softhsm2, brew: softhsm)"


class SoftHsm:
    """A configuration and its tokens under `folder`; raises `LookupError` where SoftHSM is absent.

    The library reads `SOFTHSM2_CONF` when it starts, so the environment of this process points at
    the newest one made.
    """

    def __init__(self, folder: Path) -> None:
        found = next((path for path in _MODULES if Path(path).exists()), None)
        if found is None or shutil.which("softhsm2-util") is None:
            raise LookupError(MISSING)
        self.module, self.folder = found, folder / "tokens"
        self.conf = folder / "softhsm2.conf"
        self.folder.mkdir(parents=True)
        self.conf.write_text(
            f"directories.tokendir = {self.folder}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        os.environ["SOFTHSM2_CONF"] = str(self.conf)

    def make(self, label: str, pin: str = PIN) -> str:
        """A new token; returns its label."""
        self._util(
            "--init-token", "--free", "--label", label, "--so-pin", OFFICER_PIN, "--pin", pin
        )
        return label

    def delete(self, label: str) -> None:
        self._util("--delete-token", "--token", label)

    def _util(self, *arguments: str) -> None:
        subprocess.run(
            ["softhsm2-util", *arguments],
            check=True,
            capture_output=True,
            env={**os.environ, "SOFTHSM2_CONF": str(self.conf)},
        )
