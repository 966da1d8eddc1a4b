"""What would be lost with a worktree, saved under a reference before the worktree goes."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from runner.core.model import Commit, Tree
from runner.core.naming import SALVAGE
from runner.errors import GitError, RepositoryError
from runner.git import Git, Repository
from runner.ports import CommitInfo
from runner.worktree.checkout import COMMITTER, commit_tree, worktree_git

GOING = ".going"  # ends the name of a worktree that is saved and about to be deleted

_KEEPING = ("refs/heads", "refs/tags", "refs/remotes", SALVAGE)  # what keeps a commit from being forgotten
_HALF_MADE = "initializing"  # with this reason git itself locks a worktree that it is about to make
_LAST_SECOND = 4_000_000_000  # git takes no date after 2099, and a file may bear any


@dataclass(frozen=True, slots=True)
class Saved:
    """Where something was saved, or would be."""

    ref: str
    commit: Commit


def save_worktree(repository: Repository, path: Path, ref_base: str) -> Saved | None:
    """Save what is in a worktree of ours and nowhere else; None when there is nothing of that kind.

    That is: a commit that no branch, tag or salvage reference holds; on top of it what was staged; on top of
    that what was changed in tracked files, and new files that no `.gitignore` excludes. Files that are only
    missing are not worth a commit. The reference is `ref_base`, or a numbered one where that holds something
    else. Saving the same again changes nothing, and nothing of the target's configuration runs.

    Raises RepositoryError when the folder may not go (somebody locked it, or made it a repository of its own)
    or holds what cannot be saved (repositories within it), GitError when git cannot read or store it. The worktree itself is not touched.
    """
    commit = _content(repository, repository.plumbing, path)
    if commit is None or _is_held(repository, commit):
        return None
    return save_commit(repository, ref_base, commit)


def save_commit(repository: Repository, ref_base: str, commit: Commit) -> Saved:
    """Save a commit under `ref_base`, or a numbered reference where that holds something else."""
    saved = Saved(_free_ref(repository, ref_base, commit), commit)
    repository.set_ref(saved.ref, commit, old=repository.ref(saved.ref))
    return saved


def would_save(repository: Repository, path: Path, ref_base: str) -> Saved | None:
    """What `save_worktree` would do; nothing is written to the repository. Raises as that does."""
    with _quarantine(repository.plumbing) as plumbing:
        commit = _content(repository, plumbing, path)
    if commit is None or _is_held(repository, commit):
        return None
    return Saved(_free_ref(repository, ref_base, commit), commit)


def remove_worktree(repository: Repository, path: Path, ref_base: str) -> Saved | None:
    """Save a worktree and delete it, with git's registration. Raises as `save_worktree` does, and OSError.

    Killed at any instant and done again, it comes to the same: what is half deleted is never taken for work.
    """
    saved = None
    going = path.with_name(path.name + GOING)
    if path.is_dir():
        saved = save_worktree(repository, path, ref_base)
        if going.exists():
            shutil.rmtree(going)
        path.rename(going)
    # A folder that is not there is no obstacle. Forced twice: a worktree that is half made is locked.
    repository.git.call("worktree", "remove", "--force", "--force", str(path), check=False)
    if going.exists():
        shutil.rmtree(going)
    return saved


def _content(repository: Repository, plumbing: Git, path: Path) -> Commit | None:
    """A commit that holds everything in a worktree, its HEAD if that does; None when there is nothing."""
    own = _own_git(repository, path)
    with plumbing.scratch() as folder:
        head = _head(own) if own else None
        tip, tree = head, _tree(plumbing, head)
        staged = _staged(plumbing, own, folder / "staged") if own else None
        files, touched = _files(plumbing, path, head, folder / "files")
    date = _date(plumbing, head, touched)
    if staged is not None and staged not in (tree, files):
        tip, tree = (
            _commit(plumbing, staged, tip, f"What was staged in the worktree {path.name}", date),
            staged,
        )
    if files is not None and files != tree:
        tip = _commit(plumbing, files, tip, f"What was not committed in the worktree {path.name}", date)
    return tip


def _own_git(repository: Repository, path: Path) -> Git | None:
    """The worktree's directory within the target's git directory; None when it has lost that."""
    if (path / ".git").is_dir():
        raise RepositoryError(
            f"{path} is a repository of its own by now", hint="Move it, or delete it yourself."
        )
    try:
        own = worktree_git(repository, path)
    except FileNotFoundError:
        return None
    common = repository.git.text("rev-parse", "--path-format=absolute", "--git-common-dir")
    if not own.git_dir.is_dir():
        return None
    if own.git_dir.resolve().parent != Path(common).resolve() / "worktrees":
        raise RepositoryError(
            f"{path} belongs to another repository by now",
            details=f"Its git directory is {own.git_dir}.",
            hint="Move it, or delete it yourself.",
        )
    _refuse_locked(own, path)
    return own


def _refuse_locked(own: Git, path: Path) -> None:
    lock = own.git_dir / "locked"
    reason = lock.read_text(errors="replace").strip() if lock.exists() else _HALF_MADE
    if reason != _HALF_MADE:
        raise RepositoryError(
            f"{path} is locked", details=reason, hint=f"When it may go: git worktree unlock {path}"
        )


def _head(own: Git) -> Commit | None:
    found = own.call("rev-parse", "--verify", "-q", "HEAD^{commit}", check=False)
    return Commit(found.text) if found.returncode == 0 else None


def _tree(plumbing: Git, commit: Commit | None) -> Tree | None:
    return Tree(plumbing.text("rev-parse", "--verify", f"{commit}^{{tree}}")) if commit else None


def _staged(plumbing: Git, own: Git, index: Path) -> Tree | None:
    """The tree of the worktree's index; None when there is none, or one that is damaged or in conflict."""
    try:
        shutil.copyfile(own.git_dir / "index", index)
    except FileNotFoundError:
        return None
    found = plumbing.call("write-tree", env={"GIT_INDEX_FILE": str(index)}, check=False)
    return Tree(found.text) if found.returncode == 0 else None


def _files(plumbing: Git, path: Path, head: Commit | None, index: Path) -> tuple[Tree | None, list[Path]]:
    """The tree of the files and those that are in no commit; no tree when there are none."""
    env = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(path)}
    plumbing.call("read-tree", *([head] if head else ["--empty"]), env=env)
    plumbing.call("update-index", "-q", "--refresh", env=env, check=False)
    # Said here too: not all of git's commands read the setting about submodules.
    listed = plumbing.items("diff-files", "-z", "--name-status", "--ignore-submodules=all", env=env)
    changed = dict(zip(listed[1::2], listed[::2], strict=True))
    added = plumbing.items("ls-files", "-z", "--others", "--exclude-per-directory=.gitignore", env=env)
    _refuse_repositories(path, added)
    gone = [name for name, status in changed.items() if status == "D"]
    present = [name for name in changed if name not in gone] + added
    if not present:
        return None, []
    _update(plumbing, [f"0 {'0' * len(head or '')}\t{name}" for name in gone], env, "-z", "--index-info")
    _update(plumbing, present, env, "-z", "--add", "--stdin")
    if left_out := sorted(set(present) - set(plumbing.items("ls-files", "-z", env=env))):
        raise GitError(f"git leaves files of {path} out, by their names", details=", ".join(left_out))
    return Tree(plumbing.text("write-tree", env=env)), [path / name for name in present]


def _update(plumbing: Git, lines: Sequence[str], env: Mapping[str, str], *options: str) -> None:
    plumbing.call(
        "update-index", *options, input=b"".join(os.fsencode(line) + b"\0" for line in lines), env=env
    )


def _refuse_repositories(path: Path, added: Sequence[str]) -> None:
    """git lists a folder instead of files where another repository begins: its history cannot be saved here."""
    within = [name.rstrip("/") for name in added if name.endswith("/")]
    if within:
        raise RepositoryError(
            f"{path} holds repositories of their own",
            details=", ".join(within),
            hint="Move them, or delete them yourself.",
        )


def _date(plumbing: Git, head: Commit | None, touched: Sequence[Path]) -> datetime:
    """When the files were last written: not the time of saving, so that saving again gives the same commit."""
    times = [path.lstat().st_mtime for path in touched]
    if head:
        times.append(float(plumbing.text("show", "-s", "--format=%ct", head)))
    return datetime.fromtimestamp(int(min(max(0, *times), _LAST_SECOND)), UTC)


def _commit(plumbing: Git, tree: Tree, parent: Commit | None, subject: str, date: datetime) -> Commit:
    info = CommitInfo(message=f"{subject}\n", author=f"{COMMITTER[0]} <{COMMITTER[1]}>", date=date)
    return commit_tree(plumbing, tree, [parent] if parent else [], info)


def _is_held(repository: Repository, commit: Commit) -> bool:
    asked = ("for-each-ref", "--count=1", "--format=%(refname)", f"--contains={commit}", *_KEEPING)
    found = repository.git.call(*asked, check=False)  # it fails for a commit that is only in quarantine
    return found.returncode == 0 and bool(found.stdout)


def _free_ref(repository: Repository, ref_base: str, commit: Commit) -> str:
    """The reference itself, or the first numbered one that does not hold another commit."""
    for number in count(1):
        ref = ref_base if number == 1 else f"{ref_base}-{number}"
        if repository.ref(ref) in (None, commit):
            return ref
    raise AssertionError


@contextmanager
def _quarantine(plumbing: Git) -> Iterator[Git]:
    """The same repository, but what is written goes into a folder that is thrown away."""
    with plumbing.scratch() as folder:
        alternates = folder / "info" / "alternates"
        alternates.parent.mkdir()
        alternates.write_text(plumbing.env["GIT_OBJECT_DIRECTORY"] + "\n")
        yield Git(plumbing.git_dir, {**plumbing.env, "GIT_OBJECT_DIRECTORY": str(folder)})
