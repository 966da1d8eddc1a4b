import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from runner.core.model import Commit, WsId
from runner.errors import GitError, RepositoryError, UsageError
from runner.git import Repository, open_repository
from runner.worktree.checkout import GitWorktrees
from runner.worktree.salvage import GOING, Saved, remove_worktree, save_worktree, would_save
from runner.worktree.salvaged import find_salvaged, list_salvaged, restore
from tests.conftest import GIT_ENV, GitRepo

WS = WsId("ws-a")
REF = "refs/runner/salvage/R1/ws-a-worktree"


@pytest.fixture
def repository(git_repo: GitRepo, tmp_path: Path) -> Repository:
    return open_repository(git_repo.path, plumbing_dir=tmp_path / "plumbing", env=GIT_ENV)


@pytest.fixture
def worktree(repository: Repository, tmp_path: Path) -> GitRepo:
    """A kept worktree, as the person who works in it has it."""
    worktrees = GitWorktrees(repository, tmp_path / "worktrees" / "R1", uid=None)
    return GitRepo(worktrees.checkout(WS, repository.head()).path)


def save(repository: Repository, worktree: GitRepo) -> Saved | None:
    return save_worktree(repository, worktree.path, REF)


def saved(repository: Repository, worktree: GitRepo) -> Saved:
    found = save(repository, worktree)
    assert found is not None
    return found


def objects(git_repo: GitRepo) -> str:
    return git_repo.git("count-objects", "-v")


def test_a_worktree_that_says_what_its_branch_says_is_not_saved(git_repo, repository, worktree):
    assert save(repository, worktree) is None
    assert list_salvaged(repository) == []


def test_changed_and_new_files_are_saved_on_top_of_what_is_checked_out(git_repo, repository, worktree):
    (worktree.path / "a.txt").write_bytes(b"changed\r\n")
    (worktree.path / "src" / "b.py").unlink()
    (worktree.path / "new folder").mkdir()
    (worktree.path / "new folder" / "Ünï\ncode.sh").write_text("#!/bin/sh\n")
    (worktree.path / "new folder" / "Ünï\ncode.sh").chmod(0o755)
    (worktree.path / "link").symlink_to("/etc/hostname")
    made = saved(repository, worktree)
    assert made == Saved(REF, Commit(git_repo.git("rev-parse", REF)))
    assert git_repo.git("rev-parse", f"{REF}^") == repository.head()
    listed = repository.plumbing.items("ls-tree", "-r", "-z", made.commit)
    assert [(line.split()[0], line.partition("\t")[2]) for line in listed] == [
        ("100644", "a.txt"),
        ("120000", "link"),
        ("100755", "new folder/Ünï\ncode.sh"),
    ]
    assert repository.plumbing.call("cat-file", "blob", f"{made.commit}:a.txt").stdout == b"changed\r\n"
    assert git_repo.git("cat-file", "blob", f"{REF}:link") == "/etc/hostname"


def test_the_worktree_and_the_target_are_as_before(git_repo, repository, worktree):
    (worktree.path / "a.txt").write_text("changed\n")
    (worktree.path / "new").write_text("new\n")
    worktree.git("add", "new")
    before = worktree.git("status", "--porcelain")
    saved(repository, worktree)
    assert worktree.git("status", "--porcelain") == before
    assert git_repo.git("status", "--porcelain") == ""
    assert git_repo.git("fsck", "--no-dangling") == ""


def test_what_git_ignores_is_not_saved(repository, worktree):
    (worktree.path / ".gitignore").write_text("*.log\n")
    (worktree.path / "x.log").write_text("x")
    assert repository.files(saved(repository, worktree).commit) == [".gitignore", "a.txt", "src/b.py"]


def test_what_was_staged_and_then_changed_again_is_saved_too(git_repo, repository, worktree):
    (worktree.path / "a.txt").write_text("staged\n")
    worktree.git("add", "a.txt")
    (worktree.path / "a.txt").write_text("changed again\n")
    saved(repository, worktree)
    assert git_repo.git("cat-file", "blob", f"{REF}^:a.txt") == "staged"
    assert git_repo.git("cat-file", "blob", f"{REF}:a.txt") == "changed again"
    assert git_repo.git("rev-parse", f"{REF}~2") == repository.head()


def test_a_commit_that_nothing_else_holds_is_saved_itself(repository, worktree):
    made = worktree.commit({"a.txt": "by hand\n"})
    assert save(repository, worktree) == Saved(REF, Commit(made))


def test_a_commit_that_a_branch_holds_is_not_saved_again(git_repo, repository, worktree):
    worktree.commit({"a.txt": "by hand\n"})
    worktree.git("branch", "mine")
    assert save(repository, worktree) is None


def test_a_checkout_of_which_only_a_part_was_made_holds_nothing_of_anyones(repository, worktree):
    shutil.rmtree(worktree.path / "src")
    assert save(repository, worktree) is None


def test_a_file_in_a_folders_place_and_a_folder_in_a_files_are_saved(repository, worktree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.py").write_text("not of this tree\n")
    (worktree.path / "a.txt").unlink()
    (worktree.path / "a.txt").mkdir()
    (worktree.path / "a.txt" / "inner").write_text("i")
    shutil.rmtree(worktree.path / "src")
    (worktree.path / "src").symlink_to(outside)
    assert repository.files(saved(repository, worktree).commit) == ["a.txt/inner", "src"]


def test_without_its_git_directory_everything_in_it_is_saved(git_repo, repository, worktree):
    (worktree.path / "new").write_text("new\n")
    (worktree.path / ".git").unlink()
    commit = saved(repository, worktree).commit
    assert repository.files(commit) == ["a.txt", "new", "src/b.py"]
    assert git_repo.git("rev-list", "--count", commit) == "1"


def test_a_damaged_index_does_not_keep_files_from_being_saved(git_repo, repository, worktree):
    (worktree.path / "new").write_text("new\n")
    (git_repo.path / ".git" / "worktrees" / "ws-a" / "index").write_bytes(b"DIRC half")
    assert "new" in repository.files(saved(repository, worktree).commit)


def test_saving_again_changes_nothing_and_other_work_gets_a_number(git_repo, repository, worktree):
    (worktree.path / "a.txt").write_text("first\n")
    os.utime(worktree.path / "a.txt", (1_800_000_000, 1_800_000_000))
    first = saved(repository, worktree)
    assert git_repo.git("show", "-s", "--format=%ct", first.commit) == "1800000000"
    assert save(repository, worktree) is None  # it is held by the reference
    repository.git.call("update-ref", "-d", REF)
    assert save(repository, worktree) == first  # killed before the reference was there
    (worktree.path / "a.txt").write_text("second\n")
    second = saved(repository, worktree)
    assert second.ref == f"{REF}-2"
    assert git_repo.git("rev-parse", REF) == first.commit


@pytest.mark.parametrize("mtime", [-1e12, 1e12])
def test_a_file_may_bear_any_date(repository, worktree, mtime):
    (worktree.path / "a.txt").write_text("changed\n")
    os.utime(worktree.path / "a.txt", (mtime, mtime))
    saved(repository, worktree)


def test_what_would_be_saved_is_told_and_nothing_is_written(git_repo, repository, worktree):
    (worktree.path / "a.txt").write_text("changed\n")
    before = objects(git_repo)
    told = would_save(repository, worktree.path, REF)
    assert objects(git_repo) == before
    assert list_salvaged(repository) == []
    assert told == saved(repository, worktree)
    assert objects(git_repo) != before
    assert would_save(repository, worktree.path, REF) is None


@pytest.mark.parametrize("committed", [True, False])
def test_a_repository_within_cannot_be_saved_so_nothing_is_removed(repository, worktree, committed):
    inner = GitRepo(worktree.path / "vendor" / "x")
    inner.path.mkdir(parents=True)
    inner.git("init", "-q")
    if committed:
        inner.commit({"n": "n\n"})
    for do in (save_worktree, would_save, remove_worktree):
        with pytest.raises(RepositoryError) as raised:
            do(repository, worktree.path, REF)
        assert raised.value.details == "vendor/x"
    assert inner.path.exists()


def test_a_worktree_that_became_a_repository_or_anothers_is_left_alone(repository, worktree, tmp_path):
    pointer = worktree.path / ".git"
    other = tmp_path / "other.git"
    other.mkdir()
    pointer.write_text(f"gitdir: {other}\n")
    with pytest.raises(RepositoryError, match="belongs to another repository"):
        remove_worktree(repository, worktree.path, REF)
    pointer.unlink()
    worktree.git("init", "-q")
    with pytest.raises(RepositoryError, match="repository of its own"):
        remove_worktree(repository, worktree.path, REF)
    assert (worktree.path / "a.txt").exists()


def test_a_worktree_that_somebody_locked_stays(git_repo, repository, worktree):
    git_repo.git("worktree", "lock", "--reason", "I need it", str(worktree.path))
    with pytest.raises(RepositoryError, match="is locked") as raised:
        remove_worktree(repository, worktree.path, REF)
    assert raised.value.details == "I need it"
    assert worktree.path.exists()


def test_a_worktree_that_git_was_about_to_make_goes(git_repo, repository, worktree):
    lock = git_repo.path / ".git" / "worktrees" / "ws-a" / "locked"
    lock.write_text("initializing")
    remove_worktree(repository, worktree.path, REF)
    assert not lock.parent.exists()


def test_a_name_that_git_leaves_out_silently_keeps_the_worktree(repository, worktree):
    (worktree.path / "git~1").write_text("x")
    with pytest.raises(GitError, match="leaves files") as raised:
        remove_worktree(repository, worktree.path, REF)
    assert raised.value.details == "git~1"
    assert (worktree.path / "git~1").exists()


def test_hooks_filters_and_monitors_of_the_target_never_run(git_repo, repository, worktree, tmp_path):
    canary = tmp_path / "canary"
    payload = f"#!/bin/sh\ntouch {canary}\ncat\n"
    hooks = git_repo.path / ".git" / "evil"
    hooks.mkdir()
    for name in ("reference-transaction", "post-index-change", "pre-commit"):
        (hooks / name).write_text(payload)
        (hooks / name).chmod(0o755)
    git_repo.git("config", "core.fsmonitor", str(hooks / "pre-commit"))
    git_repo.git("config", "filter.evil.clean", f"touch {canary}; cat")
    git_repo.git("config", "core.hooksPath", str(hooks))
    (worktree.path / ".gitattributes").write_text("* filter=evil\n")
    (worktree.path / "a.txt").write_text("changed\n")
    worktree.git("add", "a.txt")
    assert canary.exists(), "the plain way must be hit, or this test proves nothing"
    canary.unlink()
    would_save(repository, worktree.path, REF)
    remove_worktree(repository, worktree.path, REF)
    assert git_repo.git("-c", "core.hooksPath=", "rev-parse", REF)
    assert not canary.exists()


def test_a_worktree_goes_with_its_registration(git_repo, repository, worktree):
    remove_worktree(repository, worktree.path, REF)
    assert not worktree.path.exists()
    assert git_repo.git("worktree", "list").count("\n") == 0


class KilledError(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


@pytest.mark.parametrize("instant", range(1, 6))
def test_removal_that_was_killed_is_done_again_and_comes_to_the_same(
    git_repo, repository, worktree, monkeypatch, instant
):
    """Killed after: the reference, the new name, git's registration, a part of the files, all of them."""
    (worktree.path / "a.txt").write_text("work\n")
    delete = shutil.rmtree
    going = worktree.path.with_name(worktree.path.name + GOING)

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    def half(path: Path, **_: object) -> None:
        (path / ".git").unlink()
        (path / "src" / "b.py").unlink()
        raise KilledError

    def whole(path: Path, **_: object) -> None:
        delete(path)
        raise KilledError

    with monkeypatch.context() as patch:
        match instant:
            case 1:
                patch.setattr(Path, "rename", killed)
            case 2:
                saved(repository, worktree)
                worktree.path.rename(going)
            case _:
                ends: dict[int, Any] = {3: killed, 4: half, 5: whole}

                def act(path: Path, **how: Any) -> None:
                    (ends[instant] if path == going else delete)(path, **how)

                patch.setattr(shutil, "rmtree", act)
        if instant != 2:
            with pytest.raises(KilledError):
                remove_worktree(repository, worktree.path, REF)
    remove_worktree(repository, worktree.path, REF)
    assert list(worktree.path.parent.iterdir()) == []
    assert git_repo.git("worktree", "list").count("\n") == 0
    assert [one.ref for one in list_salvaged(repository)] == [REF]
    assert git_repo.git("cat-file", "blob", f"{REF}:a.txt") == "work"
    assert repository.files(Commit(git_repo.git("rev-parse", REF))) == ["a.txt", "src/b.py"]


@pytest.fixture
def three(git_repo: GitRepo, repository: Repository) -> dict[str, str]:
    """Three saved commits, the newest last, on no branch."""
    names = ["01AAX/ws-a", "01BBY/ws-a", "01BBY/ws-part-2-worktree-3"]
    made = {}
    for number, name in enumerate(names):
        git_repo.git("commit", "-q", "--allow-empty", "-m", f"Number {number}", f"--date=@{number} +0000")
        git_repo.git("update-ref", f"refs/runner/salvage/{name}", "HEAD")
        made[name] = git_repo.git("rev-parse", "HEAD")
    git_repo.git("reset", "-q", "--hard", "HEAD~3")
    return made


def test_what_was_saved_is_listed_with_its_run_and_workstream(repository, three):
    assert {(one.run_id, one.ws_id, one.subject) for one in list_salvaged(repository)} == {
        ("01AAX", "ws-a", "Number 0"),
        ("01BBY", "ws-a", "Number 1"),
        ("01BBY", "ws-part-2", "Number 2"),
    }


def test_the_newest_comes_first(git_repo, repository):
    for number in (2, 3, 1):
        done = repository.plumbing.call(
            "commit-tree", f"{repository.head()}^{{tree}}", "-m", str(number),
            env={**GIT_ENV, "GIT_AUTHOR_DATE": f"{number}000000000 +0000", "GIT_COMMITTER_DATE": f"{number}000000000 +0000"},
        )  # fmt: skip
        repository.set_ref(f"refs/runner/salvage/R/ws-{number}", Commit(done.text), old=None)
    assert [one.subject for one in list_salvaged(repository)] == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("refs/runner/salvage/01AAX/ws-a", "01AAX/ws-a"),
        ("01AAX/ws-a", "01AAX/ws-a"),
        ("01a/ws-a", "01AAX/ws-a"),
        ("by/ws-a", "01BBY/ws-a"),
        ("ws-part-2-worktree-3", "01BBY/ws-part-2-worktree-3"),
    ],
)
def test_a_reference_may_be_shortened(repository, three, wanted, name):
    assert find_salvaged(repository, wanted).commit == three[name]


@pytest.mark.parametrize(
    ("wanted", "brief", "hint"),
    [
        ("ws-a", "'ws-a' names more than one saved commit", "Give more of the reference."),
        ("01/ws-a", "'01/ws-a' names more than one saved commit", "Give more of the reference."),
        ("ws-part-worktree", "There is no saved commit 'ws-part-worktree'", "Did you mean 01BBY/ws-part-2-worktree-3?"),
        ("../../heads/main", "There is no saved commit '../../heads/main'", ""),
    ],
)  # fmt: skip
def test_a_reference_that_names_none_or_several_is_refused(repository, three, wanted, brief, hint):
    with pytest.raises(UsageError) as raised:
        find_salvaged(repository, wanted)
    assert (raised.value.brief, raised.value.hint) == (brief, hint)


def test_what_was_saved_comes_back_as_a_branch_and_stays_saved(git_repo, repository, three):
    one = find_salvaged(repository, "01AAX/ws-a")
    assert restore(repository, one) == "salvage/ws-a"
    assert git_repo.git("rev-parse", "salvage/ws-a", one.ref).split() == [one.commit] * 2
    assert git_repo.git("symbolic-ref", "--short", "HEAD") == "main"


@pytest.mark.parametrize(
    ("branch", "brief"),
    [
        ("main", "The branch main exists already"),
        ("main/x", "The branch main/x cannot be made"),
        ("-d", "'-d' cannot be the name of a branch"),
        ("@{-1}", "'@{-1}' cannot be the name of a branch"),
        ("a b", "'a b' cannot be the name of a branch"),
    ],
)
def test_a_branch_that_exists_or_cannot_is_refused(git_repo, repository, three, branch, brief):
    before = git_repo.git("for-each-ref")
    with pytest.raises(UsageError) as raised:
        restore(repository, find_salvaged(repository, "01AAX/ws-a"), branch)
    assert raised.value.brief == brief
    assert git_repo.git("for-each-ref") == before
