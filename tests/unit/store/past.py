"""A store with a past, in few lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runner.core.model import (
    AttemptKey,
    Commit,
    Finding,
    Outcome,
    RunId,
    RunStatus,
    StepName,
    StepResult,
    Tree,
    Usage,
    WsId,
    WsStatus,
)
from runner.core.signature import signature
from runner.store.runs import Store, open_store
from tests.builders import plan

RUN = RunId("01JAAAAAAAAAAAAAAAAAAAAAAA")
BASE = Commit("b" * 40)

PATH_TO: dict[WsStatus, tuple[WsStatus, ...]] = {
    WsStatus.PENDING: (),
    WsStatus.READY: (WsStatus.READY,),
    WsStatus.EDITING: (WsStatus.READY, WsStatus.EDITING),
    WsStatus.STATIC_CHECK: (WsStatus.READY, WsStatus.EDITING, WsStatus.STATIC_CHECK),
    WsStatus.RUNTIME_CHECK: (
        WsStatus.READY,
        WsStatus.EDITING,
        WsStatus.STATIC_CHECK,
        WsStatus.RUNTIME_CHECK,
    ),
    WsStatus.DONE: (
        WsStatus.READY,
        WsStatus.EDITING,
        WsStatus.STATIC_CHECK,
        WsStatus.RUNTIME_CHECK,
        WsStatus.DONE,
    ),
    WsStatus.FAILED: (WsStatus.READY, WsStatus.EDITING, WsStatus.FAILED),
    WsStatus.BLOCKED: (WsStatus.BLOCKED,),
}


class TickedClock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = datetime(2025, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def tick(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@contextmanager
def past(db: Path, text: str = "a", *, clock: TickedClock | None = None) -> Iterator[Store]:
    """A store with the running run RUN of a plan."""
    with open_store(db, clock or TickedClock()) as store:
        store.create_run(RUN, plan(text), base_commit=BASE)
        store.move_run(RUN, expected=RunStatus.PENDING, new=RunStatus.RUNNING, cause="run started")
        yield store


def bring(store: Store, name: str, end: WsStatus, reason: str = "") -> None:
    """Move a pending workstream along to a state."""
    before = WsStatus.PENDING
    for status in PATH_TO[end]:
        why = reason if status is end else ""
        store.move_workstream(RUN, WsId(name), expected=before, new=status, cause="test", reason=why)
        before = status


def key(name: str = "ws-a", step: StepName = StepName.STATIC, attempt: int = 1) -> AttemptKey:
    return AttemptKey(RUN, WsId(name), step, attempt)


def result(of: AttemptKey, outcome: Outcome = Outcome.OK, **overrides: Any) -> StepResult:
    values: dict[str, Any] = {
        "message": f"it ended {outcome}",
        "candidate": Commit("c" * 40),
        "tree": Tree("d" * 40),
        "duration_s": 1.5,
        "usage": Usage(requests=1, tokens_in=10, tokens_out=2),
    }
    return StepResult(key=of, outcome=outcome, **(values | overrides))


def attempt(store: Store, of: AttemptKey, outcome: Outcome = Outcome.OK, **overrides: Any) -> StepResult:
    """An attempt that was begun and ended so."""
    ended = result(of, outcome, **overrides)
    store.begin_attempt(of)
    store.finish_attempt(ended)
    return ended


def finding(rule: str = "F401", line: int = 1, message: str = "unused import") -> Finding:
    return Finding(
        tool="ruff",
        rule=rule,
        message=message,
        signature=signature("ruff", rule, message),
        path="src/a.py",
        line=line,
    )
