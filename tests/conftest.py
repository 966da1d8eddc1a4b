"""Fixtures that every tier shares: real git repositories, and no settings of the developer's."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

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
