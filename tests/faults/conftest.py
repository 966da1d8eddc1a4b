"""Benches whose engine can be broken: by a shim on its socket, or because it is an engine of the test's own."""

import gc
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from uuid import uuid4

import docker
import docker.errors
import pytest

from runner.clock import SystemClock
from runner.git import Repository, ignored
from runner.sandbox.docker import DockerSandboxes
from runner.worktree.checkout import GitWorktree
from runner.worktree.gitbase import git_base
from tests.contract.conftest import DockerBench, repository, worktree
from tests.faults.engine import PrivateEngine
from tests.faults.shim import MACHINES_ENGINE, Shim

__all__ = ["repository", "worktree"]  # fixtures

ENGINE_TIMEOUT_S = 5

MakeBench = Callable[..., DockerBench]  # optionally takes the scratch folder


@pytest.fixture
def make_bench(repository: Repository, worktree: GitWorktree, tmp_path: Path) -> Iterator[MakeBench]:
    """Makes benches of one owner, as an orchestrator and its successor after a crash have them."""
    owner = f"test-{uuid4().hex}"
    with ExitStack() as stack:

        def make(scratch: Path = tmp_path / "scratch") -> DockerBench:
            made = sandboxes(repository, tmp_path, owner, scratch)
            stack.enter_context(closing(made))
            return DockerBench(repository, worktree, made)

        yield make


def sandboxes(repository: Repository, folder: Path, owner: str, scratch: Path) -> DockerSandboxes:
    """Sandboxes that give up an engine after a few seconds."""
    return DockerSandboxes(
        owner=owner,
        scratch=scratch,
        git_base=lambda commit: git_base(repository.plumbing, folder / "bases", commit),
        ignored=lambda worktree, paths: ignored(repository.plumbing, worktree, paths),
        clock=SystemClock(),
        engine_timeout_s=ENGINE_TIMEOUT_S,
    )


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shim]:
    """Stands between every client that is made from now on and the engine."""
    with closing(Shim(tmp_path / "engine.sock")) as shim:
        monkeypatch.setenv("DOCKER_HOST", shim.address)
        yield shim


@pytest.fixture(scope="session")
def engine_with_image(needs_root: None) -> Iterator[PrivateEngine]:
    """An engine of our own, which holds the image; whoever ends it starts it again."""
    with closing(PrivateEngine()) as engine:
        engine.start()
        engine.take_image(PrivateEngine.IMAGE)
        yield engine


@pytest.fixture
def private_engine(
    needs_root: None, engine_with_image: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PrivateEngine]:
    """The engine that every client which is made from now on speaks to."""
    monkeypatch.setenv("DOCKER_HOST", engine_with_image.address)
    yield engine_with_image
    gc.collect()  # docker-py forgets its socket when nobody answers: here the tests ignore the warning


@pytest.fixture
def small_disk(needs_root: None, tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=100", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def needs_root() -> None:
    """Continuous integration runs as root, so these tests do run there."""
    if os.getuid() != 0:
        pytest.skip("only root can start an engine or mount a file system: run this test as root")


def left(bench: DockerBench, address: str = MACHINES_ENGINE) -> tuple[list[str], list[str]]:
    """The names of the containers and volumes of a bench's owner that an engine has."""
    with closing(docker.APIClient(address)) as client:
        ours: dict[str, str | list[str] | bool] = {"label": f"runner.owner={bench.sandboxes._owner}"}
        return (
            [
                name.lstrip("/")
                for found in client.containers(all=True, filters=ours)
                for name in found["Names"]
            ],
            [volume["Name"] for volume in client.volumes(filters=ours)["Volumes"] or []],
        )


def until_it_runs(bench: DockerBench, program: str, address: str = MACHINES_ENGINE) -> str:
    """The name of the bench's container, as soon as the program runs in it."""
    with closing(docker.APIClient(address)) as client:
        for _ in range(400):
            with suppress(docker.errors.APIError):
                for name in left(bench, address)[0]:
                    if program in str(client.top(name)["Processes"]):
                        return name
            time.sleep(0.05)
    raise AssertionError("it never ran")
