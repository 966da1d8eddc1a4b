"""Git worktrees of a run: one for each workstream, holding exactly its candidate."""

import os
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner.clock import iso
from runner.core.model import Commit, Tree, WsId
from runner.errors import GitError
from runner.git import Git, Repository
from runner.ports import Change, CommitInfo, Sandbox
from runner.worktree.lay import lay

COMMITTER = ("runner", "runner@localhost.invalid")


@dataclass(slots=True)
class GitWorktree:
    """See ports.Worktree."""

    repository: Repository
    path: Path
    candidate: Commit
    uid: int | None

    def changed(self, base: Commit) -> Sequence[str]:
        return self.repository.changed(base, self.candidate)

    def files(self, commit: Commit) -> Sequence[str]:
        return self.repository.files(commit)

    def accept(self, sandbox: Sandbox, changes: Sequence[Change], info: CommitInfo) -> tuple[Commit, Tree]:
        """See ports.Worktree. The commit stands before the checkout is touched."""
        content = {change.path: sandbox.content(change) for change in changes if change.kind != "delete"}
        plumbing = self.repository.plumbing
        with plumbing.scratch() as folder:
            index = folder / "index"
            tree = _write_tree(plumbing, index, self.candidate, changes, content)
            commit = commit_tree(plumbing, tree, [self.candidate], info)
            self._assert_only(changes, commit)
            lay(self.path, changes, content, uid=self.uid)
            self._point_at(commit, index)
        return commit, tree

    def _assert_only(self, changes: Sequence[Change], commit: Commit) -> None:
        """git leaves some hostile names out without a word; what it took must be what was judged."""
        listed = self.repository.plumbing.items(
            "diff-tree", "-r", "-z", "--name-only", "--no-renames", self.candidate, commit
        )
        if set(listed) != {change.path for change in changes}:
            raise GitError(
                "git did not commit exactly the accepted changes",
                details=f"accepted: {sorted(change.path for change in changes)}\ncommitted: {sorted(listed)}",
            )

    def _point_at(self, commit: Commit, index: Path) -> None:
        """For the person who looks into a kept worktree: HEAD and index say what the files say."""
        own = worktree_git(self.repository, self.path)
        own.call("update-ref", "--no-deref", "HEAD", commit)
        shutil.copyfile(index, own.git_dir / "index")
        self.candidate = commit


class GitWorktrees:
    """See ports.Worktrees."""

    def __init__(self, repository: Repository, folder: Path, *, uid: int | None) -> None:
        self._repository = repository
        self._folder = folder
        self._uid = uid
        self._made: dict[WsId, GitWorktree] = {}
        self._registering = threading.Lock()

    def path(self, ws_id: WsId) -> Path:
        return self._folder / ws_id

    def checkout(self, ws_id: WsId, candidate: Commit) -> GitWorktree:
        """See ports.Worktrees. A checkout that this process did not make is not trusted: it is made anew."""
        made = self._made.get(ws_id)
        if made is None or made.candidate != candidate:
            made = self._make(ws_id, candidate)
            self._made[ws_id] = made
        return made

    def remove(self, ws_id: WsId) -> None:
        """Remove a checkout; its commits stay."""
        self._made.pop(ws_id, None)
        path = self.path(ws_id)
        with self._registering:
            # Not `prune`: that would forget worktrees of the user's that lie on a disk not mounted now.
            self._repository.git.call("worktree", "remove", "--force", "--force", str(path), check=False)
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # others may be at work in it
            self._folder.rmdir()

    def _make(self, ws_id: WsId, candidate: Commit) -> GitWorktree:
        path = self.path(ws_id)
        if path.exists():
            self.remove(ws_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._registering:
            self._repository.git.call(
                "worktree", "add", "--quiet", "--force", "--no-checkout", "--detach", str(path), candidate
            )
        _fill(self._repository, path, candidate)
        if self._uid is not None:
            _give_away(path, self._uid)
        return GitWorktree(self._repository, path, candidate, self._uid)


def worktree_git(repository: Repository, path: Path) -> Git:
    """The git directory that a worktree of ours has within the target's."""
    pointer = (path / ".git").read_text().removeprefix("gitdir:").strip()
    return Git(Path(pointer), repository.git.env)


def commit_tree(plumbing: Git, tree: Tree, parents: Sequence[Commit], info: CommitInfo) -> Commit:
    """Write a commit object; the same arguments give the same commit."""
    name, address = info.author.rstrip(">").split(" <", 1)
    env = {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": address,
        "GIT_AUTHOR_DATE": iso(info.date),
        "GIT_COMMITTER_NAME": COMMITTER[0],
        "GIT_COMMITTER_EMAIL": COMMITTER[1],
        "GIT_COMMITTER_DATE": iso(info.date),
    }
    options = [part for parent in parents for part in ("-p", parent)]
    made = plumbing.call("commit-tree", tree, *options, input=info.message.encode(), env=env)
    return Commit(made.text)


def _write_tree(
    plumbing: Git, index: Path, candidate: Commit, changes: Sequence[Change], content: dict[str, bytes]
) -> Tree:
    env = {"GIT_INDEX_FILE": str(index)}
    plumbing.call("read-tree", candidate, env=env)
    gone = "0" * len(candidate)
    entries = []
    for change in sorted(
        changes, key=lambda one: one.kind != "delete"
    ):  # a file may take a deleted folder's name
        if change.kind == "delete":
            entries.append(f"0 {gone}\t{change.path}")
        else:
            blob = plumbing.call(
                "hash-object", "-w", "--no-filters", "--stdin", input=content[change.path]
            ).text
            entries.append(f"{change.mode} {blob}\t{change.path}")
    listed = b"".join(os.fsencode(entry) + b"\0" for entry in entries)
    plumbing.call("update-index", "-z", "--index-info", input=listed, env=env)
    return Tree(plumbing.text("write-tree", env=env))


def _fill(repository: Repository, path: Path, candidate: Commit) -> None:
    index = worktree_git(repository, path).git_dir / "index"
    env = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(path)}
    repository.plumbing.call("read-tree", candidate, env=env)
    repository.plumbing.call("checkout-index", "--all", "--force", "--quiet", env=env)


def _give_away(path: Path, uid: int) -> None:
    """Let the sandbox's user write to copies of these files; the top folder and `.git` stay ours."""
    for place, folders, names in os.walk(path):
        for name in folders + names:
            if not (place == str(path) and name == ".git"):
                os.chown(Path(place) / name, uid, uid, follow_symlinks=False)
