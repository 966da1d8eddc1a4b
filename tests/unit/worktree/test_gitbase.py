"""Private git directories. What sandboxes do with them is in tests/contract."""

from pathlib import Path

import pytest

from runner.git import Repository, open_repository
from runner.worktree.gitbase import clear_half_made, git_base
from tests.conftest import GIT_ENV, GitRepo


@pytest.fixture
def repository(git_repo: GitRepo, tmp_path: Path) -> Repository:
    return open_repository(git_repo.path, plumbing_dir=tmp_path / "plumbing", env=GIT_ENV)


def test_a_base_is_made_once_and_names_no_place_of_the_host(repository: Repository, tmp_path: Path):
    base = git_base(repository.plumbing, tmp_path / "bases", repository.head())
    assert git_base(repository.plumbing, tmp_path / "bases", repository.head()) == base
    assert len(list((base / "objects" / "pack").glob("*.pack"))) == 1
    texts = [path.read_bytes() for path in base.rglob("*") if path.is_file()]
    assert not [text for text in texts if str(tmp_path).encode() in text]


def test_what_a_killed_process_left_is_cleared_and_what_is_whole_stays(
    repository: Repository, tmp_path: Path
):
    bases = tmp_path / "bases"
    base = git_base(repository.plumbing, bases, repository.head())
    half_made = bases / f"{repository.head()[:12]}-x1y2"
    (half_made / "objects").mkdir(parents=True)
    clear_half_made(bases)
    assert list(bases.iterdir()) == [base]
