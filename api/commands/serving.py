"""What commands that answer over HTTP share: the listening socket, and serving until stopped."""

import contextlib
import errno
import socket
from typing import Final

from starlette.types import ASGIApp

from api.errors import ServiceError

_GRACE: Final = 10  # seconds for open requests when stopping
_KEEP_ALIVE: Final = 5  # seconds


def listen(host: str, port: int, *, setting: str = "ZHENGLIAN_PORT") -> socket.socket:
    """The listening socket, before anything slow is done; `address-in-use`, which names the
    `setting` that the port is from, `address-unusable`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        detail = f"{host}:{port}: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            raise ServiceError("address-in-use", f"{detail}; {setting}") from error
        raise ServiceError("address-unusable", detail) from error


def answer(app: ASGIApp, listener: socket.socket, *, keep_alive: int = _KEEP_ALIVE) -> None:
    """Until SIGINT or SIGTERM; requests that have begun are answered first. `keep_alive`: seconds
    that an idle connection stays open."""
    with contextlib.suppress(KeyboardInterrupt):
        import uvicorn  # here, since it would cost every other command its time

        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,  # it would log queries; see api.observe
            server_header=False,
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=_GRACE,
        )
        uvicorn.Server(config).run(sockets=[listener])
