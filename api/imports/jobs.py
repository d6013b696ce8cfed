"""The job of one import: its row, changed in the transactions of its licences.

A file is known by its SHA-256. The same file with the same map and type is the same job: run
again, it goes on where it stopped, and once it is done there is nothing to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, insert, select, update

from api.city import City
from api.errors import ServiceError
from api.tables import IMPORT_ERRORS, IMPORT_JOBS
from verifier.codec import b64url_encode

RUNNING: Final = "running"
STOPPED: Final = "stopped"
DONE: Final = "done"
FAILED: Final = "failed"


class RowFault(NamedTuple):
    """Why a row was not imported. No value, only what is wrong with it."""

    line: int
    field: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Job:
    """An import as its row holds it. `work_ms` is time at work, over all runs."""

    id: str
    client: str
    department: str
    type_code: str
    file_name: str
    file_hash: bytes
    map_text: str
    dry_run: bool
    state: str
    fault: str | None
    position: int
    total: int
    counts: Mapping[str, int]
    created_at: int
    updated_at: int
    work_ms: int


class Jobs:
    """The import jobs of a city."""

    def __init__(self, city: City) -> None:
        self._city = city

    def begin(
        self,
        *,
        client: str,
        department: str,
        type_code: str,
        file_name: str,
        file_hash: bytes,
        map_text: str,
        map_hash: bytes,
        dry_run: bool,
    ) -> Job:
        """The job of this file, map and type, made if there is none. A dry run is always new."""
        now = self._city.now()
        row = {
            "id": b64url_encode(self._city.random(12)),
            "client": client,
            "department": department,
            "type_code": type_code,
            "file_name": file_name[:200],
            "file_hash": file_hash,
            "map_hash": map_hash,
            "map_text": map_text,
            "dry_run": dry_run,
            "state": STOPPED,
            "fault": None,
            "position": 0,
            "total": 0,
            "counts": {},
            "created_at": now,
            "updated_at": now,
            "work_ms": 0,
        }
        same = _same(file_hash, map_hash, type_code)
        with self._city.store.write() as writer:
            found = None if dry_run else writer.connection.execute(same).first()
            if found is not None:
                return _job(found)
            writer.connection.execute(insert(IMPORT_JOBS), row)
            writer.commit()
        return self.get(str(row["id"]))

    def find(self, file_hash: bytes, map_hash: bytes, type_code: str) -> Job | None:
        """The job, other than a dry run, of a file with this map and type."""
        with self._city.store.read() as reader:
            found = reader.connection.execute(_same(file_hash, map_hash, type_code)).first()
        return None if found is None else _job(found)

    def get(self, job_id: str) -> Job:
        """Raises `import-unknown`."""
        with self._city.store.read() as reader:
            found = reader.connection.execute(
                select(IMPORT_JOBS).where(IMPORT_JOBS.c.id == job_id)
            ).one_or_none()
        if found is None:
            raise ServiceError("import-unknown", job_id[:40])
        return _job(found)

    def of_departments(self, departments: Sequence[str], limit: int = 50) -> list[Job]:
        """The latest first."""
        with self._city.store.read() as reader:
            found = reader.connection.execute(
                select(IMPORT_JOBS)
                .where(IMPORT_JOBS.c.department.in_(departments))
                .order_by(IMPORT_JOBS.c.created_at.desc(), IMPORT_JOBS.c.id)
                .limit(limit)
            )
            return [_job(row) for row in found]

    def running(self) -> list[Job]:
        """Jobs that say they run. At start these are what a dead process left."""
        with self._city.store.read() as reader:
            found = reader.connection.execute(
                select(IMPORT_JOBS).where(IMPORT_JOBS.c.state == RUNNING)
            )
            return [_job(row) for row in found]

    def set(self, job_id: str, **values: Any) -> None:
        """Changes columns of a job in a transaction of its own."""
        with self._city.store.write() as writer:
            writer.connection.execute(
                update(IMPORT_JOBS)
                .where(IMPORT_JOBS.c.id == job_id)
                .values(updated_at=self._city.now(), **values)
            )
            writer.commit()

    def errors(self, job_id: str) -> list[RowFault]:
        """In the order of the file."""
        c = IMPORT_ERRORS.c
        with self._city.store.read() as reader:
            found = reader.connection.execute(
                select(c.line, c.field, c.code, c.detail)
                .where(c.job == job_id)
                .order_by(c.line, c.id)
            )
            return [RowFault(*row) for row in found]


def _same(file_hash: bytes, map_hash: bytes, type_code: str) -> Select[Any]:
    c = IMPORT_JOBS.c
    return select(IMPORT_JOBS).where(
        c.file_hash == file_hash,
        c.map_hash == map_hash,
        c.type_code == type_code,
        c.dry_run.is_(False),
    )


def advance(
    connection: Connection,
    job_id: str,
    before: int,
    after: int,
    counts: Mapping[str, int],
    faults: Sequence[RowFault],
    now: int,
    work_ms: int,
) -> None:
    """Moves a job on, in the transaction of what it did. Raises `import-taken-over`."""
    moved = connection.execute(
        update(IMPORT_JOBS)
        .where(IMPORT_JOBS.c.id == job_id, IMPORT_JOBS.c.position == before)
        .values(position=after, counts=dict(counts), updated_at=now, work_ms=work_ms)
    )
    if moved.rowcount != 1:
        raise ServiceError("import-taken-over", job_id)
    if faults:
        rows = [{"job": job_id, **fault._asdict()} for fault in faults]
        connection.execute(insert(IMPORT_ERRORS), rows)


def _job(row: Row[Any]) -> Job:
    values = dict(row._mapping)
    del values["map_hash"]
    return Job(**values)
