"""PostgreSQL killed, killed in the middle of a commit, replaced by its standby, and out of disk.

The clients are writers that repeat what was refused; none of them is told of a restart.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.broken import mounts
from tests.broken.check import check
from tests.broken.crowd import PATIENCE, Crowd
from tests.broken.ground import Ground, portions
from tests.broken.summary import Outcome
from tests.broken.writers import founded
from tests.postgres import Server, running

ROUNDS_OF_A_LOG = 25
_CLIENTS = "application_name = 'zhenglian' AND backend_type = 'client backend'"
_IN_COMMIT = f"SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND {_CLIENTS}"


def killed(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """SIGKILL to the server and all its processes, and to single backends."""
    server_killed = Outcome("PostgreSQL killed and restarted")
    backends = Outcome("PostgreSQL backends killed")
    for outcome, every in ((server_killed, _kill_server), (backends, _kill_backends)):
        for log in portions(rounds, ROUNDS_OF_A_LOG):
            with running() as server, server.database() as url:
                crowd = Crowd(ground, url, outcome, 3, threads=2)
                for _ in range(log):
                    crowd.start()
                    time.sleep(ground.source.uniform(0, 0.3))
                    outcome.faults += every(ground, server)
                    for writer in crowd.writers:
                        writer.next(PATIENCE)
                crowd.check()
        yield outcome


def in_commit(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """Killed while commits are on its disk and have been answered to nobody: they wait for a
    standby that is not there. After the restart each must be found, and told as done, once."""
    outcome = Outcome("PostgreSQL killed in mid-commit")
    for log in portions(rounds, ROUNDS_OF_A_LOG):
        with running() as server, server.database() as url:
            crowd = Crowd(ground, url, outcome, 3)
            for _ in range(log):
                crowd.start()
                server.configure(synchronous_standby_names="absent")
                waiting = server.ask(_IN_COMMIT)
                while not waiting:
                    time.sleep(0.005)
                    waiting = server.ask(_IN_COMMIT)
                # Read at the next start, not before.
                server.ask("ALTER SYSTEM SET synchronous_standby_names = ''")
                outcome.faults += len(waiting)
                server.kill()
                server.start()
                for writer in crowd.writers:
                    writer.next(PATIENCE)
            crowd.check()
    yield outcome


def promoted(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """The server dies, its synchronous standby is promoted, the clients find it by themselves."""
    outcome = Outcome("PostgreSQL standby promoted")
    for _ in range(rounds):
        with running() as server, server.database() as url, server.standby() as other:
            name = conninfo_to_dict(url)["dbname"]
            both = url.replace(f"host={server.folder}", f"host={server.folder},{other.folder}")
            founded(url)
            crowd = Crowd(
                ground,
                f"{both}&target_session_attrs=read-write",
                outcome,
                3,
                found=False,
                threads=2,
            )
            crowd.start()
            time.sleep(ground.source.uniform(0, 0.5))
            server.kill()
            other.ask("SELECT pg_promote()")
            outcome.faults += 1
            for writer in crowd.writers:
                writer.next(PATIENCE)
            crowd.stop()
            outcome.checked(check(other.url(str(name)), crowd.said), crowd.said)
            server.start()  # only so that its database can be put away
            server.configure(synchronous_standby_names="")
    yield outcome


def full(ground: Ground, rounds: int) -> Iterator[Outcome]:
    """The disk of its data, and then that of its log alone, fills up. With no room for its log
    PostgreSQL ends, and is started again when there is some."""
    for what, settings in (("data", {}), ("log", {"max_wal_size": "4MB", "min_wal_size": "2MB"})):
        outcome = Outcome(f"PostgreSQL's disk full ({what})")
        ground.folder.chmod(0o755)
        for log in portions(rounds, ROUNDS_OF_A_LOG):
            with mounts.tmpfs(ground.folder / "small", _MEBIBYTES[what]) as disk:
                server = Server(**settings)
                try:
                    _make(server, **{what: disk})
                    server.start()
                    with server.database() as url:
                        crowd = Crowd(ground, url, outcome, 2)
                        for _ in range(log):
                            crowd.start()
                            _fill_and_free(ground, server, disk, crowd, outcome)
                        crowd.check()
                finally:
                    server.close()
        yield outcome


_MEBIBYTES = {"data": 96, "log": 64}


def _make(server: Server, data: Path | None = None, log: Path | None = None) -> None:
    """A cluster with its data, or its log, on the disk given, and the other beside it."""
    places = {"data": data, "wal": log}
    for name, disk in places.items():
        place = server.folder / name
        place.mkdir()
        if disk is not None:
            place.rmdir()
            place = disk / name
            place.mkdir()
            (server.folder / name).symlink_to(place)
        if os.geteuid() == 0:
            shutil.chown(place, "nobody")
        place.chmod(0o700)
    server.run(
        "initdb", "-D", server.data, "-U", "zhenglian", "--auth=trust", "--encoding=UTF8",
        "--locale=C", "--no-sync", "--wal-segsize=1", "-X", server.folder / "wal",
    )  # fmt: skip


def _fill_and_free(
    ground: Ground, server: Server, disk: Path, crowd: Crowd, outcome: Outcome
) -> None:
    errors = crowd.said.errors.total()
    # What a forgotten replica does: old segments are kept for it, and new ones are made.
    server.ask("SELECT pg_create_physical_replication_slot('forgotten', true)")
    ballast = mounts.fill(disk, leave=ground.source.choice((0, 65_536, 1 << 20)))
    deadline = time.monotonic() + PATIENCE
    while server.alive() and crowd.said.errors.total() == errors:
        assert time.monotonic() < deadline, "the full disk was not noticed"
        time.sleep(0.01)
    time.sleep(ground.source.uniform(0, 0.2))
    outcome.faults += max(1, crowd.said.errors.total() - errors)
    ballast.unlink()
    if not server.alive():
        server.start()
    _when_up(server, "SELECT pg_drop_replication_slot('forgotten')")
    _when_up(server, "CHECKPOINT")  # lets go of what was kept for it
    for writer in crowd.writers:
        writer.next(PATIENCE)


def _when_up(server: Server, sql: str) -> None:
    """A server that recovers by itself takes no connections meanwhile."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            server.ask(sql)
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, server.log()
            if not server.alive():
                server.start()
            time.sleep(0.05)


def _kill_server(_ground: Ground, server: Server) -> int:
    server.kill()
    server.start()
    return 1


def _kill_backends(ground: Ground, server: Server) -> int:
    rows = server.ask(f"SELECT pid FROM pg_stat_activity WHERE {_CLIENTS}")
    chosen = ground.source.sample(rows, min(3, len(rows)))
    return sum(server.ask("SELECT pg_terminate_backend($1)", *row)[0][0] for row in chosen)
