"""Checks that a run's rows and events tell a legal story. Written from the design, not from the code."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from runner.core.events import EventType
from runner.core.graph import Graph
from runner.core.model import AttemptStatus, WsId
from runner.core.records import AttemptRecord, EventRecord, RunRecord, WorkstreamRecord
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
    events, rows, attempts = stage.events(), stage.rows(), stage.attempts()
    states = _replayed(events, stage.plan.graph, stage.workers.parallel)
    assert states == {ws_id: row.status for ws_id, row in rows.items()}, "a row without its event"
    _check_run(stage.record(), events, states)
    for row in rows.values():
        _check_attempts(row, [attempt for attempt in attempts if attempt.key.ws_id == row.ws_id])
    _check_reasons(rows, events, no_base=stage.results.conflicts)
    if whole:
        assert set(states.values()) <= ENDED
        assert all(attempt.result for attempt in attempts)


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


def _check_run(run: RunRecord, events: Sequence[EventRecord], states: Mapping[WsId, str]) -> None:
    moves = [
        (event.payload["from"], event.payload["to"])
        for event in events
        if event.type is EventType.STATE_TRANSITION and event.ws_id is None
    ]
    path = ["pending", *(new for _, new in moves)]
    assert moves == list(pairwise(path))
    assert run.status == path[-1]
    count = Counter(states.values())
    if run.status == "completed":
        assert set(count) == {"done"}
    elif run.status == "partial":
        assert 0 < count["done"] < count.total()
    elif run.status == "failed":
        assert count["done"] == 0
    if run.status in ("completed", "partial", "failed"):
        assert set(count) <= {"done", "failed", "blocked"}


def _check_attempts(row: WorkstreamRecord, attempts: Sequence[AttemptRecord]) -> None:
    """Attempts are counted without gaps; what is under way fits the state; whoever is done passed both checks."""
    for step in AT_WORK.values():
        numbers = [one.key.attempt for one in attempts if one.key.step == step]
        assert numbers == list(range(1, len(numbers) + 1))
    under_way = [str(one.key.step) for one in attempts if one.status is AttemptStatus.IN_PROGRESS]
    assert len(under_way) <= 1
    if row.status in AT_WORK:
        last = str(attempts[-1].key.step)
        assert last == AT_WORK[row.status]
        assert under_way in ([], [last])
    ended = [(str(one.key.step), one.result.outcome.value) for one in attempts if one.result]
    if row.status == "done":
        assert ended[-2:] == [("static", "ok"), ("runtime", "ok")]
        assert row.branch == f"ws/change-1/{row.ws_id}"


def _check_reasons(
    rows: Mapping[WsId, WorkstreamRecord], events: Sequence[EventRecord], *, no_base: Mapping[WsId, str]
) -> None:
    """Whoever has no result says why; whoever is blocked has a dependency to blame, or no base."""
    culprits = {e.ws_id: e.payload["dependency"] for e in events if e.type is EventType.DEPENDENCY_BLOCKED}
    for row in rows.values():
        if row.status in ("failed", "blocked", "abandoned"):
            assert row.reason, row
        if row.status == "blocked":
            assert row.ws_id in culprits or row.reason == no_base.get(row.ws_id)
    for ws_id, culprit in culprits.items():
        assert ws_id is not None
        assert rows[ws_id].status == "blocked"
        assert rows[WsId(str(culprit))].status in ("failed", "blocked")
