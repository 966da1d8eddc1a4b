"""Where a target repository keeps everything that the runner makes."""

from dataclasses import dataclass
from pathlib import Path

from runner.core.model import RunId, WsId


@dataclass(frozen=True, slots=True)
class StateLayout:
    """The places under the state folder. Asking for one does not make it."""

    root: Path

    @property
    def db(self) -> Path:
        return self.root / "state" / "pipeline_state.db"

    @property
    def lock(self) -> Path:
        return self.root / "state" / "lock"

    @property
    def scratch(self) -> Path:
        """The writable layers of sandboxes."""
        return self.root / "scratch"

    @property
    def plumbing(self) -> Path:
        """The git directory in which objects are read and written (runner.git says why)."""
        return self.root / "git"

    @property
    def bases(self) -> Path:
        """The private git directories of sandboxes, by base commit."""
        return self.root / "bases"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def logs(self, run_id: RunId) -> Path:
        return self.root / "logs" / run_id

    def records(self, run_id: RunId) -> Path:
        """What the models answered."""
        return self.root / "records" / run_id

    def worktrees(self, run_id: RunId) -> Path:
        return self.root / "worktrees" / run_id

    def worktree(self, run_id: RunId, ws_id: WsId) -> Path:
        return self.worktrees(run_id) / ws_id
