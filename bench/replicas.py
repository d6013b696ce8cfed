"""Two processes of the service over one PostgreSQL, beside one: 64 clients, one document a request.

The load, PostgreSQL and both services share this machine's cores; with two of them, two services
can win what one leaves idle, no more.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.http import SINGLES, WARM, prepare, server, singles, statement
from tests.postgres import binaries, running


def bench() -> list[dict[str, Any]]:
    if binaries() is None:
        sys.stderr.write("no PostgreSQL here: the figures of several services are left out\n")
        return []
    one, two = _rate(1), _rate(2)
    return [
        {
            "name": "HTTP on PostgreSQL: two services, 64 clients; raw: one",
            "value": two,
            "unit": "entries/s",
            "raw": one,
            "ratio": two / one,
            "bound": "> 1 of raw",
            "holds": two > one,
        }
    ]


def _rate(services: int) -> float:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zl-bench-")))
        url = stack.enter_context(stack.enter_context(running()).database())
        api_key, origin, _ = prepare(folder, url)
        made = [statement(origin, number) for number in range(WARM + SINGLES)]
        ports = [stack.enter_context(server("ours", folder)) for _ in range(services)]
        return singles(ports, api_key, made).rate
