"""Fixtures that every tier shares: real git repositories, and no settings of the developer's."""

import gc
import subprocess
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from runner.config.settings import ImageSettings
from runner.errors import RunnerError
from runner.images.lock import check_image, lock_path
from runner.resources import images_dir

settings.register_profile("shared-machine", deadline=None)  # a time on a shared machine proves nothing
settings.load_profile("shared-machine")

GIT_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.invalid",
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What needs the engine fails without it: a test that is skipped in silence proves nothing."""
    if item.get_closest_marker("docker") or item.get_closest_marker("e2e"):
        missing = _missing()
        if missing:
            pytest.fail(f"{missing}\nTo run only what needs no containers: just check", pytrace=False)


@cache
def _missing() -> str:
    """Why containers cannot be had, and what to do about it; nothing where they can."""
    missing = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py forgets its socket when nobody answers
        try:
            check_image(ImageSettings().python, lock_path(images_dir()))
        except RunnerError as error:
            missing = "\n".join(filter(None, (error.brief, error.details, error.hint)))
        gc.collect()
    return missing


@dataclass(frozen=True)
class GitRepo:
    """A target repository as its owner sees it: plain git, his own way."""

    path: Path

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.path), *args], env=GIT_ENV, capture_output=True, check=True, text=True
        )
        return done.stdout.removesuffix("\n")

    def commit(self, files: dict[str, str], message: str = "Change") -> str:
        for name, text in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def git_repo(tmp_path: Path) -> GitRepo:
    """A repository with one commit: `a.txt` and `src/b.py`."""
    repo = GitRepo(tmp_path / "target")
    repo.path.mkdir()
    repo.git("init", "-q", "-b", "main")
    repo.commit({"a.txt": "one\n", "src/b.py": "B = 1\n"}, "Base")
    return repo
