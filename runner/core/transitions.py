"""Every legal change of state; anything else is a bug and raises."""

from collections.abc import Mapping
from typing import Final

from runner.core.model import RunId, RunStatus, WsId, WsStatus
from runner.errors import IllegalTransitionError

WORKSTREAM: Final[Mapping[WsStatus, frozenset[WsStatus]]] = {
    WsStatus.PENDING: frozenset({WsStatus.READY, WsStatus.BLOCKED, WsStatus.ABANDONED}),
    # A base that cannot be made (the dependencies' results conflict) ends it before its first step.
    WsStatus.READY: frozenset({WsStatus.EDITING, WsStatus.BLOCKED, WsStatus.FAILED, WsStatus.ABANDONED}),
    WsStatus.EDITING: frozenset({WsStatus.STATIC_CHECK, WsStatus.FAILED, WsStatus.ABANDONED}),
    # A check that could not be carried out at all fails the workstream without a fix.
    WsStatus.STATIC_CHECK: frozenset(
        {WsStatus.RUNTIME_CHECK, WsStatus.FIXING, WsStatus.FAILED, WsStatus.ABANDONED}
    ),
    # After a fix both checks run again: it may break what passed.
    WsStatus.FIXING: frozenset({WsStatus.STATIC_CHECK, WsStatus.FAILED, WsStatus.ABANDONED}),
    WsStatus.RUNTIME_CHECK: frozenset({WsStatus.DONE, WsStatus.FIXING, WsStatus.FAILED, WsStatus.ABANDONED}),
    WsStatus.DONE: frozenset(),
    WsStatus.FAILED: frozenset(),
    WsStatus.BLOCKED: frozenset({WsStatus.PENDING}),  # when the dependency is tried again
    WsStatus.ABANDONED: frozenset(),
}

RUN: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.ABANDONED}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.COMPLETED, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.ABANDONED}
    ),
    RunStatus.COMPLETED: frozenset(),
    RunStatus.PARTIAL: frozenset({RunStatus.RUNNING}),  # resumed, as the next two
    RunStatus.FAILED: frozenset({RunStatus.RUNNING}),
    RunStatus.ABANDONED: frozenset({RunStatus.RUNNING}),
}

ENDED: Final = frozenset({WsStatus.DONE, WsStatus.FAILED, WsStatus.BLOCKED, WsStatus.ABANDONED})
RUN_ENDED: Final = frozenset({RunStatus.COMPLETED, RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.ABANDONED})


def is_at_work(status: WsStatus) -> bool:
    """Whether a step of the workstream has begun, and the whole has not ended."""
    return status not in ENDED and status not in (WsStatus.PENDING, WsStatus.READY)


def check_workstream(ws_id: WsId, old: WsStatus, new: WsStatus, event: str) -> None:
    """Raise IllegalTransitionError unless the table has the pair; `event` says what asked for it."""
    if new not in WORKSTREAM[old]:
        raise IllegalTransitionError(f"workstream {ws_id}: {event} cannot move it from {old} to {new}")


def check_run(run_id: RunId, old: RunStatus, new: RunStatus, event: str) -> None:
    """Raise IllegalTransitionError unless the table has the pair; `event` says what asked for it."""
    if new not in RUN[old]:
        raise IllegalTransitionError(f"run {run_id}: {event} cannot move it from {old} to {new}")
