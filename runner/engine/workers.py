"""Where jobs are carried out: threads of this process."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from runner.core.model import StepResult
from runner.job.model import Job


class Workers(Protocol):
    """Takes jobs while it has room; a fleet of hosts can stand behind the same three methods."""

    def free(self) -> int:
        """How many more jobs would start at once."""
        ...

    def submit(self, job: Job) -> Future[StepResult | None]:
        """Start a job. Its future holds the result, None when it was cancelled, or the bug that flew out of it."""
        ...

    def cancel(self) -> None:
        """End every running job as soon as possible; their futures still complete."""
        ...


class ThreadWorkers:
    """See Workers. `carry_out` must be safe to call from several threads."""

    def __init__(
        self, parallel: int, carry_out: Callable[[Job], StepResult | None], stop: Callable[[], None]
    ) -> None:
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="job")
        self._parallel = parallel
        self._carry_out = carry_out
        self._stop = stop
        self._running: set[Future[StepResult | None]] = set()

    def free(self) -> int:
        self._running = {future for future in self._running if not future.done()}
        return self._parallel - len(self._running)

    def submit(self, job: Job) -> Future[StepResult | None]:
        future = self._pool.submit(self._carry_out, job)
        self._running.add(future)
        return future

    def cancel(self) -> None:
        self._stop()

    def close(self) -> None:
        """Cancel what still runs and wait for it."""
        self.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
