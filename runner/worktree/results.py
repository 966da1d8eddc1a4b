"""What a run takes from the target repository and hands back to it."""

from collections.abc import Sequence
from datetime import datetime

from runner.core.model import Commit, RunId, WsId
from runner.core.naming import salvage_ref
from runner.errors import GitError, RepositoryError
from runner.git import Repository
from runner.ports import Base, CommitInfo, NoBase
from runner.worktree.checkout import COMMITTER, GitWorktrees
from runner.worktree.merge import Conflict, merge
from runner.worktree.salvage import save_commit


class GitResults:
    """See ports.Results."""

    def __init__(
        self,
        repository: Repository,
        worktrees: GitWorktrees,
        *,
        run_id: RunId,
        base: Commit,
        started_at: datetime,
    ) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._run_id = run_id
        self._base = base
        self._started_at = started_at

    def base_of(self, ws_id: WsId, candidates: Sequence[Commit]) -> Base | NoBase:
        message = f"Merge the dependencies of {ws_id}\n\nRun-Id: {self._run_id}\nWorkstream: {ws_id}\n"
        author = f"{COMMITTER[0]} <{COMMITTER[1]}>"
        info = CommitInfo(message=message, author=author, date=self._started_at)
        made = merge(self._repository.plumbing, list(candidates) or [self._base], info)
        if isinstance(made, Conflict):
            paths = ", ".join(made.paths)
            return NoBase(f"the results of its dependencies conflict in {paths}")
        return Base(made, self._repository.tree(made))

    def hand_back(self, ws_id: WsId, branch: str, candidate: Commit, *, old: Commit | None) -> None:
        ref = f"refs/heads/{branch}"
        if self._repository.ref(ref) != candidate:
            if old is not None:
                save_commit(self._repository, f"{salvage_ref(self._run_id, ws_id)}-replaced", old)
            try:
                self._repository.set_ref(ref, candidate, old=old)
            except GitError as error:
                if self._repository.ref(ref) == old:
                    raise  # git itself could not: a full disk, a lock that somebody left
                raise RepositoryError(
                    f"The branch {branch} was made or moved by someone else during the run",
                    details=error.details,
                ) from error
        self._worktrees.remove(ws_id)

    def keep(self, ws_id: WsId, *, base: Commit | None, candidate: Commit | None) -> str:
        if candidate is not None and candidate != base:
            save_commit(self._repository, salvage_ref(self._run_id, ws_id), candidate)
        path = self._worktrees.path(ws_id)
        return str(path) if path.exists() else ""
