"""A workstream while its run goes on: what the deciding thread knows of it without asking the database."""

from collections import Counter
from dataclasses import dataclass, field

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


@dataclass(slots=True, kw_only=True)
class Live:
    """One workstream. Only the engine's loop changes it, beside the row it stands for."""

    run_id: RunId
    bundle: Bundle
    limits: Limits
    timeouts: Timeouts
    breaker: BreakerLimits
    status: WsStatus = WsStatus.PENDING
    base: Commit | None = None
    candidate: Commit | None = None
    tree: Tree | None = None
    history: list[StepResult] = field(default_factory=list)
    attempts: Counter[StepName] = field(default_factory=Counter)

    def start_from(self, base: Commit, tree: Tree) -> None:
        self.base = self.candidate = base
        self.tree = tree

    def next_key(self, step: StepName) -> AttemptKey:
        """The key of one more attempt of a step."""
        self.attempts[step] += 1
        return AttemptKey(self.run_id, self.bundle.id, step, self.attempts[step])

    def take(self, result: StepResult) -> None:
        """Add a finished attempt; its candidate is the workstream's."""
        self.history.append(result)
        self.candidate = result.candidate
        self.tree = result.tree
