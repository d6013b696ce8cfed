"""Imports that run inside the server: one at a time, in a thread, resumable after a restart.

An uploaded file lies under `<data>/imports/<job>.<format>`, readable by its owner alone, from the
moment it is accepted until its job is done. A job says `running` from the moment it is queued; so
at start whatever says so and has its file here is what the last process left, and goes on.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from api.city import City
from api.errors import ServiceError
from api.imports.engine import Importer, open_source
from api.imports.jobs import DONE, RUNNING, STOPPED, Job, Jobs
from api.imports.mapfile import CheckedMap, read_map
from api.imports.reader import Format, format_of
from api.licences import Licences
from api.principals import Principal, Role
from keys.errors import ZhenglianError
from verifier.codec import b64url_encode
from verifier.states import BY_NAME

_log = logging.getLogger("zhenglian.imports")
_BLOCK = 1 << 20


class ImportDesk:
    """Takes files, runs their jobs in order. `start` once the city serves, `close` before it."""

    def __init__(self, licences: Licences) -> None:
        self.jobs = Jobs(licences.city)
        self._licences = licences
        self._folder = licences.city.settings.data / "imports"
        self._queue: deque[str] = deque()
        self._current: str | None = None
        self._stopping: set[str] = set()
        self._closing = False
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Goes on with what a process that died, or was stopped, left running."""
        for job in self.jobs.running():
            if self._path(job) is not None:
                _log.info("going on with import %s at row %d", job.id, job.position)
                self._enqueue(job.id)

    def close(self) -> None:
        """Ends after the batch under way; the next start goes on."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    # what callers ask

    def accept(
        self,
        caller: Principal,
        file: BinaryIO,
        name: str,
        map_text: str,
        type_name: str | None,
        dry_run: bool,
    ) -> Job:
        """Keeps the file and queues its job; the same file, map and type again is the same job.

        Raises: role-missing, department-mismatch, import-map-invalid, import-format-unknown.
        """
        checked = read_map(map_text, self._licences.city.catalogue, type_name)
        check_caller(self._licences.city, caller, checked)
        format_ = format_of(Path(name))
        self._folder.mkdir(mode=0o700, exist_ok=True)
        kept = self._folder / f"upload-{b64url_encode(self._licences.city.random(12))}"
        try:
            job = self.jobs.begin(
                client=caller.client,
                department=checked.type.issuer,
                type_code=checked.type.code,
                file_name=Path(name).name,
                file_hash=_keep(file, kept),
                map_text=map_text,
                map_hash=sha256(map_text.encode()).digest(),
                dry_run=dry_run,
            )
            if job.state != DONE and not self._has(job.id):
                kept.replace(self._folder / f"{job.id}.{format_}")
                self._enqueue(job.id)
        finally:
            kept.unlink(missing_ok=True)
        return self.jobs.get(job.id)

    def get(self, caller: Principal, job_id: str) -> Job:
        """Raises: import-unknown, department-mismatch."""
        caller.require(Role.CLERK, Role.SEAL_KEEPER)
        job = self.jobs.get(job_id)
        self._licences.city.require_department(caller, job.department)
        return job

    def stop(self, caller: Principal, job_id: str) -> Job:
        """Asks a job to end after the batch under way; a stopped one stays as it is.

        Raises: import-over; import-running where another process runs it.
        """
        job = self.get(caller, job_id)
        if job.state == DONE:
            raise ServiceError("import-over", job_id)
        with self._wake:
            if job_id in self._queue:
                self._queue.remove(job_id)
                self.jobs.set(job_id, state=STOPPED)
            elif job_id == self._current:
                self._stopping.add(job_id)
            elif job.state == RUNNING:
                raise ServiceError("import-running", "another process")
        return self.jobs.get(job_id)

    def resume(self, caller: Principal, job_id: str) -> Job:
        """Queues a job that was stopped or failed. Raises: import-over, import-running,
        import-file-missing."""
        job = self.get(caller, job_id)
        check_caller(
            self._licences.city, caller, read_map(job.map_text, self._licences.city.catalogue)
        )
        if job.state == DONE:
            raise ServiceError("import-over", job_id)
        if self._has(job_id):
            raise ServiceError("import-running", job_id)
        if self._path(job) is None:
            raise ServiceError("import-file-missing", job_id)
        self._enqueue(job_id)
        return self.jobs.get(job_id)

    # the thread

    def _has(self, job_id: str) -> bool:
        with self._wake:
            return job_id == self._current or job_id in self._queue

    def _enqueue(self, job_id: str) -> None:
        self.jobs.set(job_id, state=RUNNING, fault=None)
        with self._wake:
            self._stopping.discard(job_id)
            self._queue.append(job_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="imports", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._current = None
                while not self._queue and not self._closing:
                    self._wake.wait()
                if self._closing:
                    return
                self._current = job_id = self._queue.popleft()
            try:
                self._run(job_id)
            except ZhenglianError as error:
                _log.warning("import %s ended: %s", job_id, error.code)
            except Exception:  # noqa: BLE001 - the thread must outlive it
                _log.exception("import %s ended", job_id)

    def _run(self, job_id: str) -> None:
        job = self.jobs.get(job_id)
        path = self._path(job)
        if path is None:
            raise ServiceError("import-file-missing", job_id)
        importer = Importer(
            self._licences,
            self.jobs,
            job,
            read_map(job.map_text, self._licences.city.catalogue),
            open_source(path, _format(path)),
            stop=self._stopper(job_id),
        )
        done = importer.run()
        if done.state == DONE:
            path.unlink(missing_ok=True)
        elif job_id not in self._stopping:
            self.jobs.set(job_id, state=RUNNING)  # the server closes: the next start goes on

    def _stopper(self, job_id: str) -> Callable[[], bool]:
        return lambda: self._closing or job_id in self._stopping

    def _path(self, job: Job) -> Path | None:
        return next(self._folder.glob(f"{job.id}.*"), None)


def check_caller(city: City, caller: Principal, checked: CheckedMap) -> None:
    """A clerk of the issuing department; a seal-keeper where the map ends licences."""
    caller.require(Role.CLERK, Role.SEAL_KEEPER)
    city.require_department(caller, checked.type.issuer)
    state = checked.map.state
    if state is not None and any(BY_NAME[one.state].final for one in state.values.values()):
        caller.require(Role.SEAL_KEEPER)


def _keep(file: BinaryIO, path: Path) -> bytes:
    """Copies an upload to the disk, durably; returns its SHA-256."""
    digest = sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while block := file.read(_BLOCK):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return digest.digest()


def _format(path: Path) -> Format:
    return "ndjson" if path.suffix == ".ndjson" else "csv"
