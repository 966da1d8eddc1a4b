"""A workstream while its run goes on: what the deciding thread knows of it without asking the database."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from runner.core.model import (
    AttemptKey,
    BreakerLimits,
    Bundle,
    Commit,
    Limits,
    RunId,
    StepName,
    StepResult,
    Timeouts,
    Tree,
    WsStatus,
)
from runner.core.records import AttemptRecord, WorkstreamRecord, kept
from runner.core.transitions import is_at_work


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An attempt that was cut off: it is done again under its own name and as of its own time."""

    key: AttemptKey
    started_at: datetime


@dataclass(slots=True, kw_only=True)
class Live:
    """One workstream. Only the engine's loop changes it, beside the row it stands for."""

    run_id: RunId
    bundle: Bundle
    limits: Limits
    timeouts: Timeouts
    breaker: BreakerLimits
    replaces: Commit | None = None  # where an earlier run's branch of the same name is, which may be moved
    status: WsStatus = WsStatus.PENDING
    base: Commit | None = None
    candidate: Commit | None = None
    tree: Tree | None = None
    history: list[StepResult] = field(default_factory=list)
    attempts: Counter[StepName] = field(default_factory=Counter)
    under_way: UnderWay | None = None

    @property
    def at_work(self) -> bool:
        return is_at_work(self.status)

    def start_from(self, base: Commit, tree: Tree) -> None:
        self.base = self.candidate = base
        self.tree = tree

    def next_key(self, step: StepName) -> AttemptKey:
        """The key of one more attempt of a step."""
        self.attempts[step] += 1
        return AttemptKey(self.run_id, self.bundle.id, step, self.attempts[step])

    def take(self, result: StepResult) -> None:
        """Add a finished attempt, as a resume would read it back; its candidate is the workstream's."""
        self.history.append(kept(result))
        self.candidate = result.candidate
        self.tree = result.tree

    def restore(
        self, row: WorkstreamRecord, attempts: Sequence[AttemptRecord], tree_of: Callable[[Commit], Tree]
    ) -> None:
        """Become what the store knows: `attempts` in the order they began. An ended one is not asked its tree."""
        self.status = row.status
        self.base = row.base_commit
        self.candidate = row.candidate_commit
        if self.at_work and self.base is not None:
            self.start_from(self.base, tree_of(self.base))
        for attempt in attempts:
            self.attempts[attempt.key.step] += 1
            if attempt.result is None:
                self.under_way = UnderWay(attempt.key, datetime.fromisoformat(attempt.started_at))
            else:
                self.take(attempt.result)
