"""The import itself: rows in, statements out, a thousand at a time.

    1  plan: one pass over the file for its hash, its rows and their order
    2  each batch: map, validate, look up what the numbers have, decide, sign
    3  one transaction holds the entries, the licences, the faults of the batch and the job's new
       position; while it commits, the next batch is prepared

Killed at any moment, the job's position says exactly which rows are in. A batch that meets what
somebody else wrote meanwhile is prepared anew from that position.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection

from api.errors import ServiceError
from api.imports.batch import Batch
from api.imports.decide import (
    Change,
    Issue,
    Term,
    decide,
    fingerprint,
    known_terms,
)
from api.imports.jobs import DONE, FAILED, RUNNING, STOPPED, Job, Jobs, RowFault, advance
from api.imports.mapfile import CheckedMap
from api.imports.mapping import Mapped, RowMapper
from api.imports.plan import KeyOf, Plan, in_order, key_of, make_plan
from api.imports.reader import BadRow, Format, Row, count_rows, read_rows
from api.licence_rows import Held, Read
from api.licences import REPLACED, Licences
from api.rules import codes
from api.rules.days import china_day, day_number
from ledger.errors import LedgerError
from ledger.model import Appended
from verifier.states import LAPSED, STATES, VALID

BATCH = 1_000
"""Rows of one transaction."""
_BUFFER = 1 << 18

_COLLISIONS = frozenset({"licence-exists", "licence-changed-meanwhile", "licence-holder-has-one"})
"""Refusals of a whole batch, for what another client wrote meanwhile or for a row that collides
with a licence of another number. Smaller batches follow until one row is to blame."""

Progress = Callable[[int, int, Mapping[str, int]], None]
"""(rows taken, rows of the file, counts), after each batch."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to import. `hash` is its SHA-256."""

    path: Path
    format: Format
    hash: bytes
    stat: tuple[int, int]

    def check(self) -> None:
        """Raises `import-file-changed` unless the file is as it was hashed."""
        if _stat(self.path) != self.stat:
            raise ServiceError("import-file-changed", self.path.name)


def open_source(path: Path, format_: Format) -> Source:
    """Hashes a file."""
    before = _stat(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    source = Source(path, format_, digest, before)
    source.check()
    return source


def _stat(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@dataclass
class _Pending:
    """A batch whose transaction is under way, and the terms it brings."""

    batch: Batch
    future: "Future[Any]"
    terms: dict[bytes, list[Term]]


@dataclass
class Importer:
    """Runs one job. `stop` is asked after each batch."""

    licences: Licences
    jobs: Jobs
    job: Job
    checked: CheckedMap
    source: Source
    progress: Progress = lambda _done, _total, _counts: None
    stop: Callable[[], bool] = lambda: False
    _size: int = field(init=False)
    _blame: ServiceError | None = field(init=False, default=None)
    _mapper: RowMapper = field(init=False)
    _key: KeyOf | None = field(init=False)
    _started: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._size = BATCH
        self._mapper = RowMapper(self.checked)
        renewal = self.checked.map.renewal
        self._key = None if renewal is None else key_of(self._mapper, self.checked.type)

    def run(self) -> Job:
        """Imports what is left; returns the job as it then is: done, or stopped when asked.

        Whatever is raised leaves the job failed, and what is committed committed: running it
        again goes on from there.
        """
        if self.job.state == DONE:
            return self.job
        self._started = time.monotonic() - self.job.work_ms / 1000
        try:
            plan = self._plan()
            self.jobs.set(self.job.id, state=RUNNING, fault=None, total=plan.rows)
            while True:
                try:
                    stopped = self._import(plan)
                    break
                except ServiceError as error:
                    if error.code not in _COLLISIONS:
                        raise
                    self._blame = error if self._size == 1 else None
                    self._size = max(1, self._size // 4)
        except BaseException as error:
            code = getattr(error, "code", "internal-error")
            if code != "import-taken-over":
                self.jobs.set(self.job.id, state=FAILED, fault=str(code))
            raise
        job = self.jobs.get(self.job.id)
        if stopped:
            self.jobs.set(job.id, state=STOPPED)
        else:
            self.jobs.set(job.id, state=DONE, total=job.position)
        return self.jobs.get(job.id)

    # the plan and the rows

    def _plan(self) -> Plan:
        with self.source.path.open("rb", buffering=_BUFFER) as file:
            if self._key is None:  # no order to find, so the rows need not be read
                return Plan(count_rows(file, self.source.format), frozenset())
            return make_plan(self._rows(file), self._key)

    def _rows(self, file: BinaryIO) -> Iterator[Row | BadRow]:
        map_ = self.checked.map
        return read_rows(
            file,
            self.source.format,
            encoding=map_.encoding,
            delimiter=map_.delimiter,
            columns=self.checked.columns,
        )

    def _import(self, plan: Plan) -> bool:
        """From the job's position to the end; true when asked to stop before it."""
        job = self.job = self.jobs.get(self.job.id)
        counts, position = dict(job.counts), job.position
        pending: _Pending | None = None
        trial: dict[bytes, list[Term]] = {}  # what a dry run would have brought
        with self.source.path.open("rb", buffering=_BUFFER) as file:
            rows = islice(in_order(self._rows(file), plan, self._key), position, None)
            while run := list(islice(rows, self._size)):
                self.source.check()
                batch, terms = self._prepare(run, position, counts, pending, trial)
                position, counts = batch.after, batch.counts
                if pending is not None:
                    self._settle(pending, plan)
                pending = None
                if job.dry_run:
                    self._note(batch)
                    for number, brought in terms.items():
                        for term in brought:
                            _put(trial.setdefault(number, []), term)
                else:
                    pending = _Pending(batch, self._submit(batch), terms)
                if self.stop():
                    break
            else:
                run = []
        if pending is not None:
            self._settle(pending, plan)
        if job.dry_run:
            self.progress(position, plan.rows, counts)
        return bool(run) and position < plan.rows

    # one batch

    def _prepare(
        self,
        rows: list[Row | BadRow],
        position: int,
        counts: Mapping[str, int],
        pending: _Pending | None,
        trial: Mapping[bytes, list[Term]],
    ) -> tuple[Batch, dict[bytes, list[Term]]]:
        batch = Batch(
            self.licences,
            self.job.client,
            position,
            self.licences.city.now(),
            after=position + len(rows),
            counts=dict(counts),
        )
        mapped = list(self._read_all(rows, batch))
        if self._blame is not None:
            for row, _, _ in mapped:
                self._refuse(batch, row.line, self._blame)
            self._blame, mapped = None, []
        there: dict[bytes, list[Term]] = {}
        numbers = list(dict.fromkeys(number for _, _, number in mapped))
        # What is on its way may be in the database by now, so that is asked first and overruled.
        with self.licences.city.store.read() as reader:
            for number, term in known_terms(reader.connection, self.checked.type, numbers):
                there.setdefault(number, []).append(term)
        for coming in (trial, *(() if pending is None else (pending.terms,))):
            for number in coming.keys() & set(numbers):
                for term in coming[number]:
                    _put(there.setdefault(number, []), term)
        new: dict[bytes, list[Term]] = {}
        for row, read, number in mapped:
            terms = there.setdefault(number, [])
            try:
                settled = self._do(batch, row, read, number, terms)
            except ServiceError as error:
                if error.status >= 500:
                    raise  # the service's own trouble is no fault of the row
                self._refuse(batch, row.line, error)
                continue
            for term in settled:
                _put(terms, term)
                _put(new.setdefault(number, []), term)
        return batch, new

    def _read_all(
        self, rows: list[Row | BadRow], batch: Batch
    ) -> Iterator[tuple[Mapped, Read, bytes]]:
        """Rows that can be read, with their values and the pseudonym of their number."""
        type_, licences = self.checked.type, self.licences
        for row in rows:
            batch.count("read")
            if isinstance(row, BadRow):
                batch.count("refused")
                batch.count(f"refused {row.code}")
                batch.faults.append(RowFault(row.line, "", row.code, row.detail))
                continue
            if self._mapper.skips(row):
                batch.count("skipped")
                continue
            try:
                mapped = self._mapper.read(row)
                read = licences.read(type_, mapped.fields)
                number = licences.number_nym(type_, str(read.values[type_.number_field]))
            except ServiceError as error:
                self._refuse(batch, row.line, error, self._mapper.raw(row))
                continue
            yield mapped, read, number

    def _do(
        self, batch: Batch, row: Mapped, read: Read, number: bytes, terms: list[Term]
    ) -> list[Term]:
        """Signs what the row asks for; returns the terms it touched, as they are then."""
        licences, type_ = self.licences, self.checked.type
        decision = decide(licences, type_, row, read, terms)
        if isinstance(decision, Change):
            reason = row.reason or ""
            held = decision.term.held
            head = held.head_leaf
            if not self.job.dry_run:
                head = batch.end(held, row.state, reason, None)
            batch.count(f"ended {STATES[row.state].name}")
            return [_moved(decision.term, row.state, head)]
        issue: Issue = decision
        if self.job.dry_run:
            return [self._would_issue(batch, row, read, number, issue)]
        prepared = licences.make(
            type_, read, renews=issue.renews, version=issue.version, number_nym=number
        )
        held = prepared.held()
        batch.issue(prepared)
        batch.count("issued" if issue.renews is None else "renewed")
        term = Term(held, read.valid_from, prepared.row["holder_nym"], read.values)
        if row.state != VALID:
            leaf = batch.end(held, row.state, row.reason or "", prepared.row)
            batch.count(f"ended {STATES[row.state].name}")
            term = _moved(term, row.state, leaf)
        touched = [term]
        if issue.renews is not None and licences.replaces(
            prepared, day_number(china_day(batch.now))
        ):
            leaf = batch.end(issue.renews, LAPSED, REPLACED, None)
            old = next(one for one in terms if one.held.record_id == issue.renews.record_id)
            touched.insert(0, _moved(old, LAPSED, leaf))
        return touched

    def _would_issue(
        self, batch: Batch, row: Mapped, read: Read, number: bytes, issue: Issue
    ) -> Term:
        """What a dry run checks of an issue, beside what is checked already."""
        type_, vault = self.checked.type, self.licences.city.vault
        city = self.licences.city
        type_.identifier(city.uscc(city.acting(type_.issuer)), read.values, issue.version)
        batch.count("issued" if issue.renews is None else "renewed")
        if row.state != VALID:
            batch.count(f"ended {STATES[row.state].name}")
        holder = vault.pseudonym("subject", str(read.values.get(type_.holder_code_field)))
        held = Held(
            f"line {row.line}",
            type_.issuer,
            type_.code,
            issue.version,
            row.state,
            b"",
            None,
            read.valid_until,
            number,
            holder,
        )
        return Term(held, read.valid_from, holder, fingerprint(read.values))

    def _refuse(
        self,
        batch: Batch,
        line: int,
        error: ServiceError,
        raw: Callable[[str], str] = lambda _field: "",
    ) -> None:
        """Notes every fault of a row."""
        batch.count("duplicates" if error.code == "import-row-duplicate" else "refused")
        faults = error.extra.get("errors") or [
            {"field": "", "code": error.code, "detail": error.detail}
        ]
        for fault in faults:
            code, detail = fault["code"], fault["detail"]
            if code == "licence-dates-invalid":
                detail = ""  # it names the days
            if code == "code-uscc-invalid" and _is_old_number(raw(fault["field"])):
                code, detail = "import-old-number", ""
            batch.faults.append(RowFault(line, fault["field"], code, detail))
        for code in dict.fromkeys(fault.code for fault in batch.faults[-len(faults) :]):
            batch.count(f"refused {code}")

    # into the database

    def _submit(self, batch: Batch) -> "Future[Any]":
        def write(connection: Connection, appended: Sequence[Appended]) -> None:
            batch.write(connection, appended)
            self._advance(connection, batch)

        return self.licences.city.submit(batch.drafts, write)

    def _note(self, batch: Batch) -> None:
        """The job of a dry run, which appends nothing."""
        with self.licences.city.store.write() as writer:
            self._advance(writer.connection, batch)
            writer.commit()

    def _advance(self, connection: Connection, batch: Batch) -> None:
        work_ms = int((time.monotonic() - self._started) * 1000)
        advance(
            connection,
            self.job.id,
            batch.before,
            batch.after,
            batch.counts,
            batch.faults,
            batch.now,
            work_ms,
        )

    def _settle(self, pending: _Pending, plan: Plan) -> None:
        """Waits for a batch to be durable."""
        try:
            pending.future.result()
        except LedgerError as error:
            # Durable all the same; the next append publishes it.
            if error.code != "ledger-logged-not-published":
                raise
        self._size = min(BATCH, self._size * 2)
        self.progress(pending.batch.after, plan.rows, pending.batch.counts)


def _moved(term: Term, state: int, head: bytes) -> Term:
    return term._replace(held=replace(term.held, state=state, head_leaf=head))


def _put(terms: list[Term], term: Term) -> None:
    """Adds a term; one of the same record replaces what was known of it."""
    if terms:
        terms[:] = [one for one in terms if one.held.record_id != term.held.record_id]
    terms.append(term)


def _is_old_number(value: str) -> bool:
    """Whether this is a 工商注册号 of 15 digits with the right check digit."""
    try:
        codes.registration_number(value)
    except ServiceError:
        return False
    return True
