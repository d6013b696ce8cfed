"""Long commands that stop where they may: after what is under way, at the first Ctrl-C."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console


@contextmanager
def stoppable(console: Console) -> Iterator[Callable[[], bool]]:
    """Whether a stop was asked for. The first Ctrl-C (or SIGTERM) asks; a second one ends all."""
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        console.print("正在停止，等待本批写完… stopping after this batch…")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
