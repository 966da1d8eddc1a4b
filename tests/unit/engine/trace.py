"""Checks that a run's rows and events tell a legal story. Written from the design, not from the code."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from runner.core.events import EventType
from runner.core.graph import Graph
from runner.core.model import AttemptStatus, WsId
from runner.core.records import EventRecord
from tests.unit.engine.stage import Stage

LEGAL = {
    "pending": {"ready", "blocked"},
    "ready": {"editing", "blocked"},
    "editing": {"static_check", "failed"},
    "static_check": {"runtime_check", "fixing", "failed"},
    "fixing": {"static_check", "failed"},
    "runtime_check": {"done", "fixing", "failed"},
}
AT_WORK = {"editing": "edit", "static_check": "static", "fixing": "fix", "runtime_check": "runtime"}
ENDED = {"done", "failed", "blocked", "abandoned"}


def check_story(stage: Stage, *, whole: bool = True) -> None:
    """Assert that what the database says is consistent; of a `whole` run also that it came to its end."""
    events = stage.events()
    states = _replayed(events, stage.plan.graph, stage.workers.parallel)
    assert states == {row.ws_id: row.status for row in stage.rows().values()}, "a row without its event"
    _check_run(events, stage)
    _check_attempts(stage, states)
    _check_reasons(stage, events)
    if whole:
        assert set(states.values()) <= ENDED
        assert all(attempt.result for attempt in stage.attempts())


def _replayed(events: Iterable[EventRecord], graph: Graph, parallel: int) -> dict[WsId, str]:
    """The states that the events lead to, step by legal step."""
    states = dict.fromkeys(graph, "pending")
    for event in events:
        if event.type is not EventType.STATE_TRANSITION or event.ws_id is None:
            continue
        old, new = str(event.payload["from"]), str(event.payload["to"])
        assert states[event.ws_id] == old, f"{event.ws_id} was not {old}"
        assert new in LEGAL[old] or new == "abandoned", f"{event.ws_id}: {old} to {new}"
        states[event.ws_id] = new
        if new in ("ready", "editing"):
            waited_for = {need: states[need] for need in graph[event.ws_id]}
            assert set(waited_for.values()) <= {"done"}, f"{event.ws_id} did not wait: {waited_for}"
        assert sum(state in AT_WORK for state in states.values()) <= parallel
    return states


def _check_run(events: list[EventRecord], stage: Stage) -> None:
    moves = [
        (event.payload["from"], event.payload["to"])
        for event in events
        if event.type is EventType.STATE_TRANSITION and event.ws_id is None
    ]
    states = ["pending", *(new for _, new in moves)]
    assert moves == list(pairwise(states))
    assert stage.record().status == states[-1]
    count = Counter(row.status.value for row in stage.rows().values())
    if states[-1] == "completed":
        assert set(count) == {"done"}
    elif states[-1] == "partial":
        assert 0 < count["done"] < count.total()
    elif states[-1] == "failed":
        assert count["done"] == 0
    if states[-1] in ("completed", "partial", "failed"):
        assert set(count) <= {"done", "failed", "blocked"}


def _check_attempts(stage: Stage, states: dict[WsId, str]) -> None:
    """Attempts are counted without gaps; what is under way fits the state; whoever is done passed both checks."""
    for ws_id, state in states.items():
        attempts = stage.attempts(ws_id)
        for step in AT_WORK.values():
            numbers = [one.key.attempt for one in attempts if one.key.step == step]
            assert numbers == list(range(1, len(numbers) + 1))
        under_way = [str(one.key.step) for one in attempts if one.status is AttemptStatus.IN_PROGRESS]
        assert len(under_way) <= 1
        if state in AT_WORK and under_way:
            assert under_way == [AT_WORK[state]]
        ended = [(str(one.key.step), one.result.outcome.value) for one in attempts if one.result]
        if state == "done":
            assert ended[-2:] == [("static", "ok"), ("runtime", "ok")]
            assert stage.rows()[ws_id].branch == stage.plan.by_id[ws_id].branch


def _check_reasons(stage: Stage, events: list[EventRecord]) -> None:
    """Whoever has no result says why; whoever is blocked has a dependency to blame, or no base."""
    rows = stage.rows()
    culprits = {e.ws_id: e.payload["dependency"] for e in events if e.type is EventType.DEPENDENCY_BLOCKED}
    for row in rows.values():
        if row.status in ("failed", "blocked", "abandoned"):
            assert row.reason, row
        if row.status == "blocked":
            assert row.ws_id in culprits or row.reason == stage.results.conflicts.get(row.ws_id)
    for ws_id, culprit in culprits.items():
        assert ws_id is not None
        assert rows[ws_id].status == "blocked"
        assert rows[WsId(str(culprit))].status in ("failed", "blocked")
