"""A terminal for tests: bash with a screen and a keyboard, and pages that say what both shall do.

A page's transcript is the script: what stands between ‹ and › is typed when the line before it is
on the screen, a line of … stands for any lines, … within a line for anything.
"""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

COLUMNS: Final = 100
_SECONDS: Final = 180
"""For one block, on a machine that is busy with other things."""
_DONE = re.compile(r"\x1e(\d+)\x1e")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")
_TYPED = re.compile(r"^(.*?)‹([^›]*)›", re.MULTILINE)
_START = (  # a session leader takes its standard input as its terminal
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execvp('bash', ['bash', '--norc', '/dev/fd/' + sys.argv[1]])"
)


def pattern(shown: str) -> str:
    """A regular expression for what a page shows."""
    lines = []
    for line in shown.rstrip("\n").split("\n"):
        if line.strip() == "…":
            lines.append(r"(?:[^\n]*\n)*?")
            continue
        parts = re.split(r"(…|‹[^›]*›)", line.rstrip())
        text = "".join(
            r"[^\n]+?"
            if part == "…"
            else rf"(?:{re.escape(part[1:-1])}|\*+)?"  # seen, hidden, or as stars
            if part.startswith("‹")
            else re.escape(part)
            for part in parts
        )
        lines.append(text.rstrip("\\ ") + r" *\n")
    return "".join(lines)


class Terminal:
    """A bash that reads its commands from a pipe, so that the keyboard is free for prompts."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._screen, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        commands, self._commands = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(commands)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=dict(environment),
            pass_fds=[commands],
            start_new_session=True,
        )
        os.close(theirs)
        os.close(commands)
        self._running = False
        self._send("trap : INT\ntrap 'failed=$?' ERR\n")

    def run(self, block: str, shown: str, *, stays: bool = False) -> tuple[str, int]:
        """(what came on the screen, exit code of the last command that failed or 0).

        `stays` returns when all that is shown came, and leaves the command running; the next
        block ends it with Ctrl-C.
        """
        if self._running:
            os.write(self._screen, b"\x03")
            self._until(_DONE, [])
        self._send(f"failed=0\n{block}\nprintf '\\036%d\\036' \"$failed\"\n")
        typed = [(found[1], found[2]) for found in _TYPED.finditer(shown)]
        self._running = stays
        if stays:
            return self._until(re.compile(pattern(shown)), typed), 0
        screen = self._until(_DONE, typed)
        found = _DONE.search(screen)
        assert found is not None
        return screen[: found.start()], int(found[1])

    def close(self) -> None:
        os.close(self._commands)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(30)
        os.close(self._screen)

    def _send(self, commands: str) -> None:
        os.write(self._commands, commands.encode())

    def _until(self, end: re.Pattern[str], typed: list[tuple[str, str]]) -> str:
        raw, at, deadline = b"", 0, time.monotonic() + _SECONDS
        while True:
            screen = _ESCAPES.sub("", raw.decode("utf-8", "replace").replace("\r\n", "\n"))
            if end.search(screen):
                return screen
            last = screen[at:].rpartition("\n")[2]
            if typed and last == typed[0][0]:  # with its last blank: then the prompt waits
                os.write(self._screen, typed.pop(0)[1].encode() + b"\n")
                at = len(screen)
            ready, _, _ = select.select([self._screen], [], [], 0.5)
            try:
                chunk = os.read(self._screen, 65_536) if ready else b""
            except OSError:  # Linux: nobody holds the other side any more
                raise AssertionError(f"the shell ended:\n{screen}") from None
            raw += chunk
            if time.monotonic() > deadline:
                raise AssertionError(f"after {_SECONDS} s the screen shows:\n{screen}")
