"""The state folder of a target repository, held by one process."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from runner.clock import SystemClock
from runner.sandbox.docker import DockerSandboxes
from runner.store.lock import locked
from runner.store.runs import Store, open_store
from runner.wiring.parts import make_sandboxes
from runner.wiring.reports import complete_reports
from runner.wiring.target import Target
from runner.worktree.gitbase import clear_half_made


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    store: Store
    sandboxes: DockerSandboxes


@contextmanager
def opened(target: Target) -> Iterator[Opened]:
    """Hold the state folder: nobody else runs here, and nothing of a dead run does. Raises UnusableError."""
    clock = SystemClock()
    with ExitStack() as stack:
        stack.enter_context(locked(target.layout.lock))
        store = stack.enter_context(open_store(target.layout.db, clock))
        sandboxes = stack.enter_context(closing(make_sandboxes(target, clock)))
        sandboxes.reap()
        target.repository.plumbing.clear_scratch()
        clear_half_made(target.layout.bases)
        complete_reports(target.layout)
        yield Opened(store=store, sandboxes=sandboxes)
