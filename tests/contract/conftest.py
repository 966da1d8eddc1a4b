"""Sandboxes over a real checkout, as a run has it."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from runner.clock import SystemClock
from runner.core.model import AttemptKey, Commit, Limits, RunId, StepName, WsId
from runner.git import Repository, ignored, open_repository
from runner.ports import Command, End, Output, Ran, Sandbox, Sandboxes, SandboxSpec
from runner.sandbox.docker import DockerSandboxes, sandbox_uid
from runner.worktree.checkout import GitWorktree, GitWorktrees
from runner.worktree.gitbase import git_base
from tests.conftest import GIT_ENV, GitRepo
from tests.fakes import FakeSandboxes, ran

IMAGE = "runner/python:latest"


@dataclass
class Bench:
    """One workstream's place to run things in."""

    repository: Repository
    worktree: GitWorktree
    sandboxes: Sandboxes
    serial: int = 0
    run_id: RunId = field(
        default_factory=lambda: RunId(uuid4().hex)
    )  # tests that run at once share an engine

    def spec(self, **overrides: object) -> SandboxSpec:
        self.serial += 1
        values: dict[str, object] = {
            "key": AttemptKey(self.run_id, WsId("ws-a"), StepName.EDIT, 1),
            "serial": self.serial,
            "worktree": self.worktree.path,
            "base": Commit(self.worktree.candidate),
            "image": IMAGE,
            "limits": Limits(memory_mb=256, pids=64, output_bytes=1 << 20),
            "timeout_s": 60.0,
        }
        return SandboxSpec(**{**values, **overrides})  # type: ignore[arg-type]

    def shell(
        self, script: str, then: Callable[[Sandbox], object] = lambda _: None, **overrides: object
    ) -> Ran:
        """Run a script in a fresh sandbox; `then` looks at what it left."""
        with self.sandboxes.open(self.spec(**overrides)) as sandbox:
            ran = sandbox.run(Command(argv=["/bin/sh", "-c", script]))
            then(sandbox)
            return ran

    def left_by(self, script: str, **overrides: object) -> list[tuple[str, str]]:
        """Path and kind of each change that a script leaves."""
        found: list[tuple[str, str]] = []

        def look(sandbox: Sandbox) -> None:
            found.extend((change.path, change.kind) for change in sandbox.changes())

        self.shell(script, look, **overrides)
        return found


@dataclass
class DockerBench(Bench):
    sandboxes: DockerSandboxes


@pytest.fixture
def repository(git_repo: GitRepo, tmp_path: Path) -> Repository:
    return open_repository(git_repo.path, plumbing_dir=tmp_path / "plumbing", env=GIT_ENV)


@pytest.fixture
def worktree(repository: Repository, tmp_path: Path) -> GitWorktree:
    worktrees = GitWorktrees(repository, tmp_path / "worktrees", uid=sandbox_uid())
    return worktrees.checkout(WsId("ws-a"), repository.head())


@pytest.fixture
def bench(repository: Repository, worktree: GitWorktree, tmp_path: Path) -> Iterator[DockerBench]:
    sandboxes = DockerSandboxes(
        owner=f"test-{uuid4().hex}",
        scratch=tmp_path / "scratch",
        git_base=lambda commit: git_base(repository.plumbing, tmp_path / "bases", commit),
        ignored=lambda worktree, paths: ignored(repository.plumbing, worktree, paths),
        clock=SystemClock(),
    )
    yield DockerBench(repository, worktree, sandboxes)
    sandboxes.close()


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
def any_bench(request: pytest.FixtureRequest, repository: Repository, worktree: GitWorktree) -> Bench:
    """A bench with the fake, and one with containers."""
    if request.param == "docker":
        made: Bench = request.getfixturevalue("bench")
        return made
    sandboxes = FakeSandboxes(
        on_this_host, ignored=lambda worktree, paths: ignored(repository.plumbing, worktree, paths)
    )
    return Bench(repository, worktree, sandboxes)


def on_this_host(workspace: Path, command: Command) -> Ran:
    """Play a harmless command by running it."""
    try:
        done = subprocess.run(command.argv, cwd=workspace, env=GIT_ENV, capture_output=True)
    except FileNotFoundError as error:
        return ran(stderr=str(error), exit_code=127)
    return Ran(
        end=End.EXITED,
        exit_code=done.returncode,
        stdout=Output(done.stdout),
        stderr=Output(done.stderr),
        duration_s=0.1,
    )
