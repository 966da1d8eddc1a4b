"""A real sandbox over a real checkout, as a run has it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.clock import SystemClock
from runner.core.model import AttemptKey, Commit, Limits, RunId, StepName, WsId
from runner.git import Repository, ignored, open_repository
from runner.ports import Command, Ran, Sandbox, SandboxSpec
from runner.sandbox.docker import DockerSandboxes, sandbox_uid
from runner.worktree.checkout import GitWorktree, GitWorktrees
from runner.worktree.gitbase import git_base
from tests.conftest import GIT_ENV, GitRepo

IMAGE = "runner/python:latest"


@dataclass
class Bench:
    """One workstream's place to run things in."""

    repository: Repository
    worktree: GitWorktree
    sandboxes: DockerSandboxes
    serial: int = 0

    def spec(self, **overrides: object) -> SandboxSpec:
        self.serial += 1
        values: dict[str, object] = {
            "key": AttemptKey(RunId("01TEST"), WsId("ws-a"), StepName.EDIT, 1),
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


@pytest.fixture
def bench(git_repo: GitRepo, tmp_path: Path) -> Iterator[Bench]:
    repository = open_repository(git_repo.path, plumbing_dir=tmp_path / "plumbing", env=GIT_ENV)
    uid = sandbox_uid()
    worktrees = GitWorktrees(repository, tmp_path / "worktrees", uid=uid)
    sandboxes = DockerSandboxes(
        owner=f"test-{tmp_path.name}",
        scratch=tmp_path / "scratch",
        git_base=lambda commit: git_base(repository.plumbing, tmp_path / "bases", commit),
        ignored=lambda worktree, paths: ignored(repository.plumbing, worktree, paths),
        clock=SystemClock(),
    )
    yield Bench(repository, worktrees.checkout(WsId("ws-a"), repository.head()), sandboxes)
    sandboxes.close()
