"""A real nginx for tests: docs/nginx.conf as it is, with other ports and folders."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

MISSING = "nginx is not on this machine (package nginx-light, brew: nginx)"
_MAIN = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {folder}/site.conf;
}}
"""


def nginx_binary() -> str | None:
    """Debian's lies where ordinary users do not look."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx(folder: Path, site: str, changes: Mapping[str, str]) -> Iterator[None]:
    """Runs `site` with `changes` made in it, each of which must be of something that is there.

    Raises `LookupError` where there is no nginx, `RuntimeError` with its words if it refuses.
    """
    binary = nginx_binary()
    if binary is None:
        raise LookupError(MISSING)
    for old, new in changes.items():
        if old not in site:
            raise RuntimeError(f"the configuration has no {old!r}")
        site = site.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.conf").write_text(site, encoding="utf-8")
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder), encoding="utf-8")
    command = [binary, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait(process, folder)
            yield
        finally:
            process.terminate()
            process.wait(10)


def _wait(process: "subprocess.Popen[str]", folder: Path) -> None:
    for _ in range(500):
        if process.poll() is not None:
            log = folder / "error.log"
            raise RuntimeError(log.read_text() if log.exists() else "nginx ended")
        if (folder / "pid").exists() and (folder / "pid").read_text().strip():
            return
        time.sleep(0.01)
    raise RuntimeError("nginx does not start")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
