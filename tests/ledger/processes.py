"""Processes that append, for the tests that disturb them."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appender(
    repo: Path, url: str, name: str, count: int, threads: int
) -> Iterator["subprocess.Popen[str]"]:
    """`tests.ledger.appender`, killed with the block."""
    command = [
        sys.executable,
        "-m",
        "tests.ledger.appender",
        url,
        name,
        str(count),
        str(threads),
    ]
    with subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged(text: str) -> list[tuple[int, bytes]]:
    """What whole lines say; the one being written at death does not count."""
    pairs = []
    for line in text.splitlines(keepends=True):
        if line.endswith("\n") and line != "done\n":
            index, entry = line[:-1].split(" ", 1)
            pairs.append((int(index), entry.encode()))
    return pairs
