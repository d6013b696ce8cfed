"""Worker processes of the audit, each a fresh interpreter that imports the verifier and no more.

The standard library's pools import the program's main module into every process they spawn, which
for a command with a web server behind it takes longer than auditing a city's month. Here a worker
reads jobs from its standard input and writes outcomes to its standard output, each as its length
in 8 bytes and a pickle; both ends are this program's own.
"""

import contextlib
import pickle
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Final, cast

from ledger.audit.errors import AuditError
from ledger.audit.worker import Job, Outcome, receive, send

_CODE: Final = "import sys; sys.path[:] = {path!r}; from ledger.audit.worker import serve; serve()"
_SECONDS_TO_END: Final = 10


class Pool:
    """`count` processes; leaving the `with` block ends them, at once after an exception.

    A process is ready when the first job reaches it, so all start side by side.
    """

    def __init__(self, count: int) -> None:
        self._workers = [_Worker() for _ in range(count)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, "audit-worker")

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        return [worker.process for worker in self._workers]

    def submit(self, job: Job) -> Future[Outcome]:
        """Its result raises `audit-worker-lost` if the process ended before its answer."""
        return self._threads.submit(self._ask, job)

    def _ask(self, job: Job) -> Outcome:
        worker = self._idle.get()
        try:
            return worker.ask(job)
        finally:
            self._idle.put(worker)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self.processes if kind is not None else ():
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.end()


class _Worker:
    def __init__(self) -> None:
        command = [sys.executable, "-I", "-c", _CODE.format(path=sys.path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, job: Job) -> Outcome:
        try:
            send(self.process.stdin, job)
            return cast(Outcome, receive(self.process.stdout))
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise AuditError("audit-worker-lost", type(error).__name__) from error

    def end(self) -> None:
        """End of input is the worker's sign to leave."""
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            self.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
