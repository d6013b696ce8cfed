"""A witness served by the real command, at a port of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.commands.witness import PASSPHRASE as VARIABLE
from api.custody import file_custody
from api.settings import Settings
from ledger.stores.witness import WitnessState, create_state
from tests.witness.logs import NAME
from verifier.note import NoteSigner

PASSPHRASE = "the test witness's passphrase"


def cheap(folder: Path) -> Settings:
    """As `zhenglian witness` has it, with keys that cost little to open."""
    return Settings.model_construct(data=folder, passphrase=PASSPHRASE, argon2_mib=8)


def make_folder(folder: Path) -> WitnessState:
    """What `zhenglian witness init` makes, without its cost."""
    custody = file_custody(cheap(folder), PASSPHRASE)
    keys = []
    for name, suite, type in (
        ("witness-ed25519", "ed25519", 0x04),
        ("witness-ml-dsa-44", "ml-dsa-44", 0x06),
    ):
        custody.create(name, suite)
        keys.append(NoteSigner(NAME, custody.open(name), type).key)
    return create_state(folder / "witness.db", keys)


_READY = "  按 Ctrl-C 停止 to stop\n"


@contextmanager
def serving(repo: Path, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The process, its standard error read up to where it is ready, and its address."""
    command = [sys.executable, "-m", "api.cli", "witness", "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--folder", str(folder)],
        cwd=repo,
        env={**os.environ, VARIABLE: PASSPHRASE},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr
            told = ""
            while (line := process.stderr.readline()) not in ("", _READY):
                told += line
            found = re.search(r"http://127\.0\.0\.1:\d+", told)
            assert found, told
            yield process, found[0]
        finally:
            process.kill()
