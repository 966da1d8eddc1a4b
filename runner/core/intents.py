"""What the runner is about to do to the world: written down before it is done, and again once it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runner.core.model import RunId, WsId


class IntentKind(StrEnum):
    WORKTREE = "worktree"  # a checkout; the key is its workstream, the result its path
    SANDBOX = "sandbox"  # the containers, volumes and layers of an attempt; the key begins all their names
    COMMIT = "commit"  # of an accepted attempt; the key is the attempt, the result the commit
    MERGE = "merge"  # the base of a workstream with several dependencies; the key is the workstream
    BRANCH = "branch"  # a branch is made or moved; the key is the reference, the result where it is now
    SALVAGE = "salvage"  # a commit is saved; the key is the reference


class IntentState(StrEnum):
    OPEN = "open"  # it may have been done, or not, or by half: only the world knows
    DONE = "done"
    UNDONE = "undone"  # done once, and taken back


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One side effect. `kind` and `key` are what the world can be asked about after a crash."""

    run_id: RunId
    ws_id: WsId
    kind: IntentKind
    key: str
    params: Mapping[str, str] = field(default_factory=dict)  # what doing it, or taking it back, needs
    state: IntentState = IntentState.OPEN
    result: str = ""
