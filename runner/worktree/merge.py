"""The base of a workstream that depends on several others."""

from collections.abc import Sequence
from dataclasses import dataclass

from runner.core.model import Commit, Tree
from runner.errors import GitError
from runner.git import Git
from runner.ports import CommitInfo
from runner.worktree.checkout import commit_tree


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two results that cannot be merged, and the files they disagree on."""

    ours: Commit
    theirs: Commit
    paths: tuple[str, ...]


def merge(plumbing: Git, commits: Sequence[Commit], info: CommitInfo) -> Commit | Conflict:
    """Merge commits in order, without a working tree; the result, or the first conflict."""
    merged, *rest = commits
    for other in rest:
        done = plumbing.call(
            "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", merged, other, check=False
        )
        if done.returncode not in (0, 1):
            raise GitError("git merge-tree failed", details=done.stderr.decode("utf-8", "replace"))
        tree, *paths = [item for item in done.text.split("\0") if item]
        if done.returncode == 1:
            return Conflict(merged, other, tuple(paths))
        merged = commit_tree(plumbing, Tree(tree), [merged, other], info)
    return merged
