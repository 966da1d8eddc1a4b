"""git for real, on repositories of every shape that a user may have."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.core.model import Commit, WsId
from runner.errors import GitError, RepositoryError
from runner.git import Repository, environment, exclude, find_top, ignored, open_repository, version
from runner.ports import Change, CommitInfo
from runner.worktree.checkout import GitWorktrees
from runner.worktree.gitbase import git_base
from tests.conftest import GIT_ENV, GitRepo

INFO = CommitInfo(
    message="Change a thing\n",
    author="Tool <tool@example.invalid>",
    date=datetime(2026, 1, 2, tzinfo=UTC),
)
WS = WsId("ws-a")


class Layer:
    """A sandbox that has ended and in which every file holds `two`."""

    def content(self, change: Change) -> bytes:
        return b"two\n"

    def changes(self) -> list[Change]:
        return [
            Change(path="a.txt", kind="modify", mode="100644", existed=True),
            Change(path="new/n.py", kind="add", mode="100644"),
        ]

    def run(self, command: object) -> None:
        raise AssertionError("it has ended")


def opened(path: Path, state: Path) -> Repository:
    return open_repository(path, plumbing_dir=state / "git", env=GIT_ENV)


def round_trip(repository: Repository, state: Path) -> Commit:
    """A checkout, an accepted change, the base of a sandbox and the branch: what every target must allow."""
    head = repository.head()
    worktrees = GitWorktrees(repository, state / "worktrees", uid=None)
    worktree = worktrees.checkout(WS, head)
    layer = Layer()
    commit, tree = worktree.accept(layer, layer.changes(), INFO)  # type: ignore[arg-type]
    assert repository.tree(commit) == tree
    assert repository.changed(head, commit) == ["a.txt", "new/n.py"]
    assert GitRepo(worktree.path).git("status", "--porcelain") == ""
    _assert_sandbox_git_works(repository, head, worktrees.checkout(WsId("ws-b"), head).path, state)
    repository.set_ref("refs/heads/ws/change/ws-a", commit, old=None)
    worktrees.remove(WS)
    worktrees.remove(WsId("ws-b"))
    return commit


def _assert_sandbox_git_works(repository: Repository, head: Commit, checkout: Path, state: Path) -> None:
    """As a container does it: a copy of the template, the objects by alternates."""
    base = git_base(repository.plumbing, state / "bases", head)
    git_dir = state / "private"
    shutil.copytree(base / "template", git_dir)
    (git_dir / "objects" / "info" / "alternates").write_text(f"{base / 'objects'}\n")
    inside = GitRepo(checkout)
    flags = (f"--git-dir={git_dir}", f"--work-tree={checkout}")
    assert inside.git(*flags, "status", "--porcelain") == ""
    assert inside.git(*flags, "log", "--format=%H") == head
    (checkout / "a.txt").write_text("three\n")
    inside.git(*flags, "commit", "-qam", "by the agent")
    assert inside.git(*flags, "log", "--format=%s", "-1") == "by the agent"
    assert inside.git(*flags, "fsck") == ""


def accepted(repo: GitRepo) -> str:
    return repo.git("show", "ws/change/ws-a:a.txt")


def clean(repo: GitRepo) -> bool:
    return repo.git("status", "--porcelain") == ""


def test_a_plain_repository(git_repo: GitRepo, tmp_path: Path):
    round_trip(opened(git_repo.path, tmp_path / "state"), tmp_path / "state")
    assert (accepted(git_repo), clean(git_repo)) == ("two", True)


def test_a_subfolder_stands_for_its_repository(git_repo: GitRepo, tmp_path: Path):
    assert opened(git_repo.path / "src", tmp_path).top == git_repo.path
    assert find_top(git_repo.path / "src", GIT_ENV) == git_repo.path


def test_a_detached_head_is_the_base_and_has_no_branch(git_repo: GitRepo, tmp_path: Path):
    first = git_repo.git("rev-parse", "HEAD")
    git_repo.commit({"later.txt": "x\n"})
    git_repo.git("checkout", "-q", "--detach", first)
    repository = opened(git_repo.path, tmp_path / "state")
    assert (repository.head(), repository.branch()) == (first, None)
    round_trip(repository, tmp_path / "state")
    assert (accepted(git_repo), clean(git_repo)) == ("two", True)


def test_a_shallow_clone(git_repo: GitRepo, tmp_path: Path):
    git_repo.commit({"later.txt": "x\n"})
    git_repo.git("clone", "-q", "--depth=1", f"file://{git_repo.path}", str(tmp_path / "clone"))
    clone = GitRepo(tmp_path / "clone")
    commit = round_trip(opened(clone.path, tmp_path / "state"), tmp_path / "state")
    assert clone.git("rev-list", "--count", commit) == "2"
    assert (accepted(clone), clean(clone)) == ("two", True)


def test_a_clone_that_is_shallow_no_more_shows_its_history(git_repo: GitRepo, tmp_path: Path):
    git_repo.commit({"later.txt": "x\n"})
    git_repo.git("clone", "-q", "--depth=1", f"file://{git_repo.path}", str(tmp_path / "clone"))
    head = opened(tmp_path / "clone", tmp_path / "state").head()
    GitRepo(tmp_path / "clone").git("fetch", "-q", "--unshallow")
    plumbing = opened(tmp_path / "clone", tmp_path / "state").plumbing
    assert plumbing.text("rev-list", "--count", head) == "2"


def test_a_clone_that_borrows_its_objects(git_repo: GitRepo, tmp_path: Path):
    git_repo.git("clone", "-q", "--shared", str(git_repo.path), str(tmp_path / "clone"))
    round_trip(opened(tmp_path / "clone", tmp_path / "state"), tmp_path / "state")
    assert accepted(GitRepo(tmp_path / "clone")) == "two"


def test_a_linked_worktree_has_its_own_head_and_its_own_files(git_repo: GitRepo, tmp_path: Path):
    linked = GitRepo(tmp_path / "linked")
    git_repo.git("worktree", "add", "-q", "-b", "feature", str(linked.path))
    head = linked.commit({"feature.txt": "x\n"})
    repository = opened(linked.path, tmp_path / "state")
    assert (repository.top, repository.head(), repository.branch()) == (linked.path, head, "feature")
    assert repository.changed_files() == []
    (git_repo.path / "a.txt").write_text("changed elsewhere\n")
    assert repository.changed_files() == []
    (linked.path / "feature.txt").write_text("changed here\n")
    assert repository.changed_files() == ["feature.txt"]


def test_a_linked_worktree_takes_results(git_repo: GitRepo, tmp_path: Path):
    linked = GitRepo(tmp_path / "linked")
    git_repo.git("worktree", "add", "-q", "-b", "feature", str(linked.path))
    linked.commit({"feature.txt": "x\n"})
    repository = opened(linked.path, tmp_path / "state")
    commit = round_trip(repository, tmp_path / "state")
    assert git_repo.git("show", f"{commit}:feature.txt") == "x"
    assert (accepted(git_repo), clean(git_repo), clean(linked)) == ("two", True, True)
    assert sorted(repository.checked_out()) == ["feature", "main"]


def test_a_shallow_clones_linked_worktree(git_repo: GitRepo, tmp_path: Path):
    git_repo.commit({"later.txt": "x\n"})
    git_repo.git("clone", "-q", "--depth=1", f"file://{git_repo.path}", str(tmp_path / "clone"))
    GitRepo(tmp_path / "clone").git("worktree", "add", "-q", "-b", "feature", str(tmp_path / "linked"))
    commit = round_trip(opened(tmp_path / "linked", tmp_path / "state"), tmp_path / "state")
    assert GitRepo(tmp_path / "linked").git("rev-list", "--count", commit) == "2"


def test_a_repository_with_sha256_names(tmp_path: Path):
    repo = GitRepo(tmp_path / "target")
    repo.path.mkdir()
    repo.git("init", "-q", "-b", "main", "--object-format=sha256")
    repo.commit({"a.txt": "one\n", "src/b.py": "B = 1\n"})
    repository = opened(repo.path, tmp_path / "state")
    assert len(repository.head()) == 64
    commit = round_trip(repository, tmp_path / "state")
    assert (len(commit), accepted(repo), clean(repo)) == (64, "two", True)
    repository.set_ref("refs/heads/ws/change/ws-a", repository.head(), old=commit)
    assert repository.ref("refs/heads/ws/change/ws-a") == repository.head()


def test_a_repository_with_a_submodule(git_repo: GitRepo, tmp_path: Path):
    other = GitRepo(tmp_path / "other")
    other.path.mkdir()
    other.git("init", "-q")
    other.commit({"lib.py": "L = 1\n"})
    git_repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.path), "vendor/lib")
    git_repo.commit({}, "Add a submodule")
    (git_repo.path / "vendor" / "lib" / "lib.py").write_text("L = 2\n")
    repository = opened(git_repo.path, tmp_path / "state")
    assert repository.files(repository.head()) == [".gitmodules", "a.txt", "src/b.py"]
    assert repository.changed_files() == []
    commit = round_trip(repository, tmp_path / "state")
    assert git_repo.git("ls-tree", commit, "vendor/lib").split()[:2] == ["160000", "commit"]


def test_a_repository_whose_names_are_not_utf8(git_repo: GitRepo, tmp_path: Path):
    name = os.fsdecode(b"caf\xe9 \n\t.txt")
    git_repo.commit({name: "x\n", "ünï\\code": "y\n"})
    repository = opened(git_repo.path, tmp_path / "state")
    assert repository.files(repository.head()) == ["a.txt", name, "src/b.py", "ünï\\code"]
    assert repository.read(repository.head(), name) == "x\n"
    round_trip(repository, tmp_path / "state")


def test_a_repository_that_pretends_to_be_another_by_replacement_is_seen_as_it_is(
    git_repo: GitRepo, tmp_path: Path
):
    blob = git_repo.git("rev-parse", "HEAD:a.txt")
    git_repo.git("replace", blob, git_repo.git("rev-parse", "HEAD:src/b.py"))
    repository = opened(git_repo.path, tmp_path / "state")
    assert repository.read(repository.head(), "a.txt") == "one\n"


@pytest.mark.parametrize(
    "name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"]
)
def test_the_callers_git_environment_is_ignored(name: str, git_repo: GitRepo, tmp_path: Path):
    """As in a hook, where git sets these for the repository that the hook belongs to."""
    other = GitRepo(tmp_path / "other")
    other.path.mkdir()
    other.git("init", "-q")
    other.commit({"other.txt": "x\n"})
    env = {**GIT_ENV, name: str(other.path / ".git")}
    repository = open_repository(git_repo.path, plumbing_dir=tmp_path / "state" / "git", env=env)
    assert (repository.top, find_top(git_repo.path, env)) == (git_repo.path, git_repo.path)
    exclude(git_repo.path, git_repo.path / ".runner", env=env)
    round_trip(repository, tmp_path / "state")
    assert "/.runner/" in (git_repo.path / ".git" / "info" / "exclude").read_text()
    assert (accepted(git_repo), clean(git_repo), clean(other)) == ("two", True, True)


def test_of_an_environment_only_what_git_needs_is_kept():
    kept = environment({"PATH": "/bin", "HOME": "/h", "SECRET": "s", "GIT_DIR": "/x", "LANG": "de_DE"})
    assert (kept["PATH"], kept["HOME"], kept["LC_ALL"]) == ("/bin", "/h", "C.UTF-8")
    assert kept.keys().isdisjoint({"SECRET", "GIT_DIR", "LANG"})


def test_a_repository_without_a_commit_says_what_to_do(tmp_path: Path):
    repo = GitRepo(tmp_path / "empty")
    repo.path.mkdir()
    repo.git("init", "-q", "-b", "main")
    repository = opened(repo.path, tmp_path / "state")
    with pytest.raises(RepositoryError, match="has no commit yet") as caught:
        repository.head()
    assert caught.value.hint == "A run starts from a commit: commit what you have, then run again."
    assert repository.branch() == "main"


def bare(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "bare.git"], env=GIT_ENV, check=True)
    return tmp_path / "bare.git"


def no_repository(tmp_path: Path) -> Path:
    (tmp_path / "plain").mkdir()
    return tmp_path / "plain"


@pytest.mark.parametrize("make", [bare, no_repository])
def test_what_has_no_working_tree_is_no_target(make, tmp_path: Path):
    path = make(tmp_path)
    with pytest.raises(RepositoryError, match="is not in the working tree of a git repository"):
        opened(path, tmp_path / "state")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(RepositoryError, match=r"There is no folder .*/gone$"):
        opened(tmp_path / "gone", tmp_path / "state")


def test_tracked_files_that_differ_from_head_are_found(git_repo: GitRepo, tmp_path: Path):
    repository = opened(git_repo.path, tmp_path / "state")
    (git_repo.path / "untracked").write_text("x")
    os.utime(git_repo.path / "a.txt", (1, 1))
    assert repository.changed_files() == []
    (git_repo.path / "a.txt").write_text("changed\n")
    (git_repo.path / "src" / "b.py").unlink()
    git_repo.git("add", "untracked")
    assert repository.changed_files() == ["a.txt", "src/b.py", "untracked"]


def test_a_reference_moves_only_from_where_it_is_expected(git_repo: GitRepo, tmp_path: Path):
    first = Commit(git_repo.git("rev-parse", "HEAD"))
    second = Commit(git_repo.commit({"a.txt": "2\n"}))
    repository = opened(git_repo.path, tmp_path / "state")
    ref = "refs/heads/ws/x/ws-a"
    assert repository.ref(ref) is None
    repository.set_ref(ref, first, old=None)
    with pytest.raises(GitError, match="git update-ref failed") as caught:
        repository.set_ref(ref, second, old=None)
    assert "reference already exists" in caught.value.details
    with pytest.raises(GitError):
        repository.set_ref(ref, second, old=second)
    repository.set_ref(ref, second, old=first)
    assert repository.ref(ref) == second
    assert repository.branches("ws") == {"ws/x/ws-a": second}


def test_the_texts_of_a_commit_are_read_whatever_the_files_are(git_repo: GitRepo, tmp_path: Path):
    (git_repo.path / "bytes").write_bytes(b"\xff\0x")
    head = Commit(git_repo.commit({}))
    repository = opened(git_repo.path, tmp_path / "state")
    assert repository.read(head, "bytes") == "\ufffd\0x"
    assert (repository.read(head, "src"), repository.read(head, "gone")) == (None, None)


def test_a_difference_is_shown_whatever_the_attributes_say(git_repo: GitRepo, tmp_path: Path):
    old = Commit(git_repo.commit({".gitattributes": "* -diff\n", "a.txt": "one\n"}))
    new = Commit(git_repo.commit({"a.txt": "two\n"}))
    shown = opened(git_repo.path, tmp_path / "state").diff(old, new)
    assert "-one\n+two\n" in shown


def test_ignore_files_of_a_checkout_are_asked_about_names_that_need_not_exist(
    git_repo: GitRepo, tmp_path: Path
):
    git_repo.commit({".gitignore": "*.pyc\nbuild/\n!keep.pyc\n", "src/.gitignore": "local\n"})
    plumbing = opened(git_repo.path, tmp_path / "state").plumbing
    paths = ["a.pyc", "keep.pyc", "build/x", "src/local", "local", "caf\udce9.pyc"]
    assert ignored(plumbing, git_repo.path, paths) == {"a.pyc", "build/x", "src/local", "caf\udce9.pyc"}
    assert ignored(plumbing, git_repo.path, []) == set()


def test_a_folder_is_kept_out_of_git_once(git_repo: GitRepo):
    path = git_repo.path / ".git" / "info" / "exclude"
    path.write_text("no line break at the end")
    assert exclude(git_repo.path, git_repo.path / ".runner", env=GIT_ENV)
    assert not exclude(git_repo.path, git_repo.path / ".runner", env=GIT_ENV)
    assert path.read_text() == "no line break at the end\n/.runner/\n"


def test_a_folder_elsewhere_needs_no_exclusion(git_repo: GitRepo, tmp_path: Path):
    assert not exclude(git_repo.path, tmp_path / "state", env=GIT_ENV)
    assert not exclude(git_repo.path, git_repo.path, env=GIT_ENV)


def test_a_linked_worktrees_exclusion_holds_there(git_repo: GitRepo, tmp_path: Path):
    linked = GitRepo(tmp_path / "linked")
    git_repo.git("worktree", "add", "-q", str(linked.path))
    assert exclude(linked.path, linked.path / ".runner", env=GIT_ENV)
    (linked.path / ".runner").mkdir()
    (linked.path / ".runner" / "x").write_text("x")
    assert clean(linked)


def test_gits_version_is_known():
    assert version(GIT_ENV) >= (2, 38)
