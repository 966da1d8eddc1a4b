"""An orchestrator that stands still for a while (SIGSTOP, a paused machine) goes on as if nothing had been."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from runner.core.model import WsId
from runner.git import open_repository
from runner.ports import End, Ran
from runner.sandbox.docker import sandbox_uid
from runner.worktree.checkout import GitWorktrees
from tests.conftest import GIT_ENV, GitRepo
from tests.contract.conftest import DockerBench
from tests.faults.conftest import sandboxes

pytestmark = pytest.mark.docker


@pytest.fixture
def orchestrator() -> Iterator[ProcessPoolExecutor]:
    """A process of its own, which can be stopped."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool


def test_a_command_goes_on_and_its_result_is_whole(
    orchestrator: ProcessPoolExecutor, git_repo: GitRepo, tmp_path: Path
):
    script = "touch /workspace/on; for n in 1 2 3 4 5 6; do echo $n; sleep 0.5; done"
    running = orchestrator.submit(orchestrate, git_repo.path, tmp_path, script, timeout_s=60.0)
    with stopped(orchestrator, tmp_path):
        time.sleep(4)
    ran = running.result()
    assert (ran.end, ran.exit_code, ran.stdout.text()) == (End.EXITED, 0, "1\n2\n3\n4\n5\n6\n")


def test_a_deadline_that_passed_meanwhile_is_a_timeout(
    orchestrator: ProcessPoolExecutor, git_repo: GitRepo, tmp_path: Path
):
    script = "touch /workspace/on; sleep 600"
    running = orchestrator.submit(orchestrate, git_repo.path, tmp_path, script, timeout_s=3.0)
    with stopped(orchestrator, tmp_path):
        time.sleep(4)
    assert running.result().end is End.TIMEOUT


def orchestrate(target: Path, folder: Path, script: str, timeout_s: float) -> Ran:
    """What the orchestrator's process does: run a script in a sandbox."""
    repository = open_repository(target, plumbing_dir=folder / "plumbing", env=GIT_ENV)
    worktrees = GitWorktrees(repository, folder / "worktrees", uid=sandbox_uid())
    worktree = worktrees.checkout(WsId("ws-a"), repository.head())
    with closing(sandboxes(repository, folder, f"test-{folder.name}", folder / "scratch")) as made:
        return DockerBench(repository, worktree, made).shell(script, timeout_s=timeout_s)


@contextmanager
def stopped(orchestrator: ProcessPoolExecutor, folder: Path) -> Iterator[None]:
    """Stopped in the middle of the command."""
    [pid] = orchestrator._processes
    while not list((folder / "scratch").glob("*/upper/on")):
        time.sleep(0.05)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
