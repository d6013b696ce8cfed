"""Many threads at one piece of work; standard library only, since a peer's environment runs it."""

import threading
import time
from collections.abc import Callable


def together(work: Callable[[int], object], total: int, threads: int = 64) -> float:
    """Calls a second of `work(0)` to `work(total - 1)`, shared by so many threads."""
    numbers, lock = iter(range(total)), threading.Lock()

    def run() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            work(number)

    crowd = [threading.Thread(target=run) for _ in range(threads)]
    started = time.perf_counter()
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    return total / (time.perf_counter() - started)
