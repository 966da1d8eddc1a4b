"""Target repositories for the command line, and the runs that many tests look at."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import GitRepo
from tests.e2e.command import Target

MakeTarget = Callable[[str], Target]


@pytest.fixture(scope="session")
def make_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeTarget]:
    """Makes folders for repositories. Each has a HOME and a TMPDIR of its own, so that leftovers show."""
    temporary: list[Path] = []

    def make(name: str) -> Target:
        place = tmp_path_factory.mktemp(name)
        (place / "home").mkdir()
        temporary.append(Path(tempfile.mkdtemp(prefix="e2e-", dir="/tmp")))  # a socket's path is short
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(place / "home"),
            "TMPDIR": str(temporary[-1]),
            "LANG": "C.UTF-8",
            "RUNNER_HOST__FOLDER": str(place / "places"),  # tests that run at once do not wait for each other
        }
        if "DOCKER_HOST" in os.environ:
            env["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
        return Target(GitRepo(place / "my repository"), env)

    yield make
    for folder in temporary:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def make_repository(make_target: MakeTarget) -> MakeTarget:
    """Makes repositories with one commit: a README."""

    def make(name: str) -> Target:
        target = make_target(name)
        target.repo.path.mkdir()
        target.repo.git("init", "-q", "-b", "main")
        target.repo.commit({"README.md": "# Notes\n"}, "Base")
        return target

    return make


@pytest.fixture
def target(make_repository: MakeTarget) -> Target:
    return make_repository("target")
