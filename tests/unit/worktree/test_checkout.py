import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.core.model import Commit, RunId, Tree, WsId
from runner.errors import GitError
from runner.git import Repository, open_repository
from runner.ports import Base, Change, Command, CommitInfo, NoBase, Ran
from runner.worktree.checkout import GitWorktrees, commit_tree
from runner.worktree.gitbase import git_base
from runner.worktree.results import GitResults
from tests.conftest import GIT_ENV, GitRepo

INFO = CommitInfo(
    message="Add a thing\n\nRun-Id: R1\n",
    author="Tool <tool@example.invalid>",
    date=datetime(2026, 1, 2, tzinfo=UTC),
)
WS = WsId("ws-a")


@dataclass
class Layer:
    """A sandbox that has ended and left these files."""

    files: dict[str, bytes] = field(default_factory=dict)

    def run(self, command: Command) -> Ran:
        raise AssertionError(command)

    def changes(self) -> list[Change]:
        raise AssertionError("what was changed is handed over by the test")

    def content(self, change: Change) -> bytes:
        return self.files[change.path]


@pytest.fixture
def repository(git_repo: GitRepo, tmp_path: Path) -> Repository:
    return open_repository(git_repo.path, plumbing_dir=tmp_path / "plumbing", env=GIT_ENV)


@pytest.fixture
def worktrees(repository: Repository, tmp_path: Path) -> GitWorktrees:
    return GitWorktrees(repository, tmp_path / "state" / "worktrees", uid=None)


def accept(worktrees: GitWorktrees, base: str, files: dict[str, bytes], changes: list[Change]):
    worktree = worktrees.checkout(WS, Commit(base))
    return worktree, worktree.accept(Layer(files), changes, INFO)


def test_a_checkout_holds_the_candidate_and_leaves_the_target_clean(git_repo, repository, worktrees):
    head = repository.head()
    worktree = worktrees.checkout(WS, head)
    assert (worktree.path / "src" / "b.py").read_text() == "B = 1\n"
    assert git_repo.git("status", "--porcelain") == ""
    assert git_repo.git("-C", str(worktree.path), "status", "--porcelain") == ""


def test_accepted_changes_become_a_commit_and_the_checkouts_content(git_repo, repository, worktrees):
    changes = [
        Change(path="a.txt", kind="delete", existed=True),
        Change(path="new/Ünï code.sh", kind="add", mode="100755"),
        Change(path="src/b.py", kind="modify", mode="100644", existed=True),
        Change(path="src/l", kind="symlink", mode="120000"),
    ]
    files = {"new/Ünï code.sh": b"#!/bin/sh\n", "src/b.py": b"B = 2\r\n", "src/l": b"b.py"}
    worktree, (commit, tree) = accept(worktrees, repository.head(), files, changes)

    listed = git_repo.git(
        "-c", "core.quotePath=false", "ls-tree", "-r", "--format=%(objectmode) %(path)", commit
    )
    assert listed.splitlines() == ["100755 new/Ünï code.sh", "100644 src/b.py", "120000 src/l"]
    assert repository.plumbing.call("cat-file", "blob", f"{commit}:src/b.py").stdout == b"B = 2\r\n"
    assert (worktree.path / "src" / "b.py").read_bytes() == b"B = 2\r\n"
    assert (worktree.path / "src" / "l").readlink() == Path("b.py")
    assert not (worktree.path / "a.txt").exists()
    assert os.access(worktree.path / "new" / "Ünï code.sh", os.X_OK)
    assert repository.tree(commit) == tree
    assert git_repo.git("-C", str(worktree.path), "status", "--porcelain") == ""


def test_the_same_attempt_gives_the_same_commit(repository, worktrees, tmp_path):
    changes = [Change(path="src/b.py", kind="modify", mode="100644", existed=True)]
    _, first = accept(worktrees, repository.head(), {"src/b.py": b"B = 2\n"}, changes)
    again = GitWorktrees(repository, tmp_path / "again", uid=None)
    _, second = accept(again, repository.head(), {"src/b.py": b"B = 2\n"}, changes)
    assert first == second


def test_a_folder_can_take_a_files_name_and_a_file_a_folders(repository, worktrees):
    changes = [
        Change(path="a.txt", kind="delete", existed=True),
        Change(path="a.txt/inner", kind="add", mode="100644"),
        Change(path="src", kind="add", mode="100644"),
        Change(path="src/b.py", kind="delete", existed=True),
    ]
    worktree, (commit, _) = accept(worktrees, repository.head(), {"a.txt/inner": b"i", "src": b"s"}, changes)
    assert repository.files(commit) == ["a.txt/inner", "src"]
    assert (worktree.path / "src").read_text() == "s"


@pytest.mark.parametrize("path", [".git/hooks/x", "../x", "a//b", "x/.git/y"])
def test_a_name_that_git_leaves_out_silently_is_an_error_and_nothing_is_laid(repository, worktrees, path):
    with pytest.raises(GitError):
        accept(worktrees, repository.head(), {path: b"x"}, [Change(path=path, kind="add", mode="100644")])
    assert worktrees.checkout(WS, repository.head()).candidate == repository.head()


def test_laying_never_follows_a_link_in_the_checkout(git_repo, repository, worktrees, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (git_repo.path / "door").symlink_to(outside)
    base = git_repo.commit({}, "A link that leads out")
    changes = [Change(path="door/planted", kind="add", mode="100644")]
    with pytest.raises((GitError, OSError)):
        accept(worktrees, base, {"door/planted": b"x"}, changes)
    assert list(outside.iterdir()) == []


def test_hooks_filters_and_monitors_of_the_target_never_run(git_repo, repository, worktrees, tmp_path):
    canary = tmp_path / "canary"
    payload = f"#!/bin/sh\ntouch {canary}\ncat\n"
    hooks = git_repo.path / ".hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "pre-commit", "post-index-change"):
        (hooks / name).write_text(payload)
        (hooks / name).chmod(0o755)
    git_repo.git("config", "core.fsmonitor", str(hooks / "pre-commit"))
    git_repo.git("config", "filter.evil.clean", f"touch {canary}; cat")
    git_repo.git("config", "filter.evil.smudge", f"touch {canary}; cat")
    base = git_repo.commit({".gitattributes": "* filter=evil\n", "n.txt": "n\n"}, "Filters")
    git_repo.git("config", "core.hooksPath", str(hooks))
    assert canary.exists(), "the plain way must be hit, or this test proves nothing"
    canary.unlink()

    changes = [Change(path="n.txt", kind="modify", mode="100644", existed=True)]
    _, (commit, _) = accept(worktrees, base, {"n.txt": b"m\n"}, changes)
    repository.set_ref("refs/heads/ws/x/ws-a", commit, old=None)
    repository.diff(base, commit)
    worktrees.remove(WS)
    assert not canary.exists()


def test_line_endings_are_kept_whatever_the_attributes_say(git_repo, repository, worktrees):
    base = git_repo.commit({".gitattributes": "*.bat text eol=crlf\n", "r.bat": "echo\n"}, "Attributes")
    changes = [Change(path="r.bat", kind="modify", mode="100644", existed=True)]
    worktree, (commit, _) = accept(worktrees, base, {"r.bat": b"echo 1\necho 2\n"}, changes)
    assert repository.plumbing.call("cat-file", "blob", f"{commit}:r.bat").stdout == b"echo 1\necho 2\n"
    assert worktree.path.joinpath("r.bat").read_bytes() == b"echo 1\necho 2\n"


def test_a_checkout_that_this_process_did_not_make_is_made_anew(repository, worktrees):
    path = worktrees.path(WS)
    path.mkdir(parents=True)
    (path / "left").write_text("by a dead process")
    worktree = worktrees.checkout(WS, repository.head())
    assert sorted(entry.name for entry in worktree.path.iterdir()) == [".git", "a.txt", "src"]


def results(repository: Repository, worktrees: GitWorktrees) -> GitResults:
    return GitResults(
        repository,
        worktrees,
        run_id=RunId("R1"),
        base=repository.head(),
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def branch_off(repository: Repository, path: str, text: str):
    plumbing = repository.plumbing
    blob = plumbing.call("hash-object", "-w", "--stdin", input=text.encode()).text
    listed = plumbing.text("ls-tree", repository.head()) + f"\n100644 blob {blob}\t{path}\n"
    entries = {line.split("\t")[1]: line for line in listed.splitlines()}
    tree = plumbing.call("mktree", input="\n".join(entries.values()).encode()).text
    return commit_tree(plumbing, Tree(tree), [repository.head()], INFO)


def test_without_dependencies_a_workstream_starts_from_the_runs_base(repository, worktrees):
    base = results(repository, worktrees).base_of(WS, [])
    assert base == Base(repository.head(), repository.tree(repository.head()))


def test_several_dependencies_are_merged(repository, worktrees):
    one, two = branch_off(repository, "one", "1"), branch_off(repository, "two", "2")
    base = results(repository, worktrees).base_of(WS, [one, two])
    assert isinstance(base, Base)
    assert repository.files(base.commit) == ["a.txt", "one", "src/b.py", "two"]
    assert results(repository, worktrees).base_of(WS, [one, two]) == base


def test_dependencies_that_conflict_give_no_base_and_name_the_file(repository, worktrees):
    one, two = branch_off(repository, "a.txt", "1"), branch_off(repository, "a.txt", "2")
    assert results(repository, worktrees).base_of(WS, [one, two]) == NoBase(
        "the results of its dependencies conflict in a.txt"
    )


def test_a_result_is_handed_back_once_and_the_checkout_goes(git_repo, repository, worktrees):
    made = branch_off(repository, "one", "1")
    worktrees.checkout(WS, repository.head())
    for _ in range(2):
        results(repository, worktrees).hand_back(WS, "ws/x/ws-a", made, old=None)
    assert git_repo.git("rev-parse", "ws/x/ws-a") == made
    assert not worktrees.path(WS).exists()
    assert git_repo.git("worktree", "list").count("\n") == 0


def test_a_branch_that_someone_else_made_is_never_moved(git_repo, repository, worktrees):
    git_repo.git("branch", "ws/x/ws-a")
    with pytest.raises(Exception, match="made or moved by someone else"):
        results(repository, worktrees).hand_back(
            WS, "ws/x/ws-a", branch_off(repository, "one", "1"), old=None
        )
    assert git_repo.git("rev-parse", "ws/x/ws-a") == repository.head()


def test_a_lock_that_somebody_left_is_the_machines_fault_and_not_a_moved_branch(
    git_repo, repository, worktrees
):
    lock = git_repo.path / ".git" / "refs" / "heads" / "ws" / "x" / "ws-a.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    made = branch_off(repository, "one", "1")
    with pytest.raises(GitError, match="update-ref failed") as caught:
        results(repository, worktrees).hand_back(WS, "ws/x/ws-a", made, old=None)
    assert "ws-a.lock" in caught.value.details
    lock.unlink()
    results(repository, worktrees).hand_back(WS, "ws/x/ws-a", made, old=None)
    assert git_repo.git("rev-parse", "ws/x/ws-a") == made


def test_a_replaced_branch_is_saved_before_it_moves(git_repo, repository, worktrees):
    git_repo.git("branch", "ws/x/ws-a")
    made = branch_off(repository, "one", "1")
    results(repository, worktrees).hand_back(WS, "ws/x/ws-a", made, old=repository.head())
    assert git_repo.git("rev-parse", "refs/runner/salvage/R1/ws-a-replaced") == repository.head()


def test_what_a_failed_workstream_has_is_saved_and_its_checkout_kept(git_repo, repository, worktrees):
    made = branch_off(repository, "one", "1")
    worktree = worktrees.checkout(WS, repository.head())
    kept = results(repository, worktrees).keep(WS, base=repository.head(), candidate=made)
    assert kept == str(worktree.path)
    assert git_repo.git("rev-parse", "refs/runner/salvage/R1/ws-a") == made


def test_the_private_git_directory_holds_one_commit_and_works_on_its_own(git_repo, repository, tmp_path):
    git_repo.commit({"later.txt": "x\n"}, "Second")
    folder = git_base(repository.plumbing, tmp_path / "bases", repository.head())
    assert git_base(repository.plumbing, tmp_path / "bases", repository.head()) == folder
    private = tmp_path / "private"
    private.mkdir()
    copied = private / "git"
    shutil.copytree(folder / "template", copied)
    (copied / "objects" / "info" / "alternates").write_text(f"{folder}/objects\n")
    alone = GitRepo(git_repo.path)
    flags = (f"--git-dir={copied}", f"--work-tree={git_repo.path}")
    assert alone.git(*flags, "status", "--porcelain") == ""
    assert alone.git(*flags, "log", "--format=%s") == "Second"
    assert alone.git(*flags, "fsck") == ""
