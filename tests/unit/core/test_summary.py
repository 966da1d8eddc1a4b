from typing import Any

import pytest

from runner.core.events import EventType
from runner.core.model import (
    AttemptStatus,
    Commit,
    Outcome,
    RunStatus,
    StepName,
    StepResult,
    Usage,
    WsId,
    WsStatus,
)
from runner.core.records import AttemptRecord, ErrorRecord, EventRecord, RunRecord, WorkstreamRecord
from runner.core.summary import Summary, describe, group_errors, run_status, summarize
from tests.unit.store.past import RUN, key, result

T0, T1, T2 = "2025-01-01T00:00:00.000Z", "2025-01-01T00:01:00.000Z", "2025-01-01T00:02:30.500Z"


def run(**overrides: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run_id": RUN,
        "status": RunStatus.PARTIAL,
        "base_commit": Commit("base"),
        "plan_sha256": "p",
        "created_at": T0,
        "updated_at": T1,
        "metadata": {},
    }
    return RunRecord(**(values | overrides))


def workstream(name: str = "ws-a", status: WsStatus = WsStatus.DONE, **overrides: Any) -> WorkstreamRecord:
    values: dict[str, Any] = {
        "run_id": RUN,
        "ws_id": WsId(name),
        "status": status,
        "depends_on": (),
        "branch": None,
        "base_commit": None,
        "candidate_commit": None,
        "reason": "",
        "created_at": T0,
        "updated_at": T0,
        "metadata": {"acceptance_tests": [{"id": "t"}]},
    }
    return WorkstreamRecord(**(values | overrides))


def ended(of: StepResult, findings_total: int = 0) -> AttemptRecord:
    return AttemptRecord(
        key=of.key,
        status=AttemptStatus.SUCCESS,
        started_at=T0,
        completed_at=T1,
        result=of,
        findings_total=findings_total,
    )


def begun(name: str, step: StepName) -> AttemptRecord:
    return AttemptRecord(
        key=key(name, step),
        status=AttemptStatus.IN_PROGRESS,
        started_at=T0,
        completed_at=None,
        result=None,
        findings_total=0,
    )


def error(name: str, signature: str, count: int, first: str = T0, last: str = T1) -> ErrorRecord:
    return ErrorRecord(
        run_id=RUN,
        ws_id=WsId(name),
        step=StepName.STATIC,
        code="LINT_ERROR",
        signature=signature,
        message="unused import",
        context={},
        count=count,
        first_seen_at=first,
        last_seen_at=last,
    )


def event(type_: EventType, at: str = T0, **payload: object) -> EventRecord:
    return EventRecord(id=1, timestamp=at, type=type_, run_id=RUN, ws_id=WsId("ws-a"), payload=payload)


def summary(*workstreams: WorkstreamRecord, **rows: Any) -> Summary:
    values: dict[str, Any] = {"attempts": [], "errors": [], "events": []} | rows
    return summarize(values.pop("run", run()), workstreams, **values)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ("done done", RunStatus.COMPLETED),
        ("done failed", RunStatus.PARTIAL),
        ("done blocked", RunStatus.PARTIAL),
        ("failed blocked", RunStatus.FAILED),
        ("abandoned", RunStatus.FAILED),
    ],
)
def test_a_run_ends_as_its_workstreams_did(statuses, expected):
    assert run_status(WsStatus(status) for status in statuses.split()) is expected


def test_states_are_counted():
    whole = summary(workstream("ws-a"), workstream("ws-b"), workstream("ws-c", WsStatus.BLOCKED))
    assert whole.counts == {WsStatus.DONE: 2, WsStatus.BLOCKED: 1}


def test_the_duration_is_that_of_the_run():
    assert summary(run=run(updated_at=T2)).duration_sec == 150.5


def test_a_run_that_goes_on_has_lasted_until_its_last_event():
    going = run(status=RunStatus.RUNNING, updated_at=T0)
    trail = [event(EventType.TOOL_STARTED, T1), event(EventType.TOOL_FINISHED, T2)]
    assert summary(run=going, events=trail).duration_sec == 150.5


def test_attempts_belong_to_their_workstream_and_step():
    rows = [
        ended(result(key("ws-a", StepName.EDIT), usage=Usage(requests=1, tokens_in=10, tokens_out=1))),
        ended(result(key("ws-b", StepName.EDIT), usage=Usage(requests=5))),
        ended(result(key("ws-a", StepName.STATIC, 1), usage=Usage())),
        ended(result(key("ws-a", StepName.STATIC, 2), Outcome.FINDINGS, usage=Usage(requests=2)), 7),
        begun("ws-a", StepName.FIX),
    ]
    whole = summary(workstream("ws-a"), workstream("ws-b"), workstream("ws-c"), attempts=rows)
    first, second, third = whole.workstreams
    assert first.attempts == {StepName.EDIT: 1, StepName.STATIC: 2, StepName.FIX: 1}
    assert first.usage == Usage(requests=3, tokens_in=10, tokens_out=1)
    assert (first.last, first.findings_total, first.duration_sec) == (rows[3].result, 7, 4.5)
    assert second.usage.requests == 5
    assert (third.last, third.attempts, third.findings_total) == (None, {}, 0)
    assert whole.usage.requests == 8


def test_a_result_that_no_test_judged_is_pointed_out():
    (part,) = summary(workstream(metadata={"acceptance_tests": []})).workstreams
    assert part.warnings == ("no acceptance tests: only the static checks judged the result",)


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/data/a.txt", True),
        ("pkg/test/a.py", True),
        ("src/test_a.py", True),
        ("src/a_test.go", True),
        ("web/a.spec.ts", True),
        ("web/__tests__/a.js", True),
        ("conftest.py", True),
        ("src/contest.py", False),
        ("src/latest.py", False),
        ("attestation/a.py", False),
        ("testing.md", False),
    ],
)
def test_an_agent_that_changed_tests_is_pointed_out(path, is_test):
    rows = [ended(result(key(step=StepName.FIX), changed=(path, "src/x.py")))]
    (part,) = summary(workstream(), attempts=rows).workstreams
    assert part.warnings == ((f"tests changed: {path}",) if is_test else ())


def test_errors_of_all_workstreams_are_grouped_by_signature_most_frequent_first():
    first, second = group_errors(
        [error("ws-a", "x", 1), error("ws-a", "y", 2, T1, T1), error("ws-b", "y", 3, T0, T2)]
    )
    assert (first.signature, first.count, first.workstreams) == ("y", 5, ("ws-a", "ws-b"))
    assert (first.first_seen_at, first.last_seen_at) == (T0, T2)
    assert second.signature == "x"


def test_the_timeline_tells_what_changed_and_leaves_out_each_start_of_a_tool():
    trail = [
        event(EventType.WORKSTREAM_CREATED),
        event(EventType.TOOL_STARTED, tool="ruff"),
        event(EventType.STATE_TRANSITION, T1, **{"from": "editing", "to": "failed", "reason": "why"}),
    ]
    (moment,) = summary(events=trail).timeline
    assert (moment.timestamp, moment.ws_id, moment.text) == (T1, "ws-a", "editing → failed: why")


@pytest.mark.parametrize(
    ("type_", "payload", "text"),
    [
        (EventType.STATE_TRANSITION, {"from": "a", "to": "b", "cause": "c", "reason": ""}, "a → b: c"),
        (EventType.CIRCUIT_BREAKER_TRIPPED, {"message": "same tree twice", "count": 2}, "same tree twice"),
        (EventType.DEPENDENCY_BLOCKED, {"reason": "ws-a failed"}, "ws-a failed"),
        (EventType.TOOL_FINISHED, {"tool": "ruff", "exit_code": 1}, "tool=ruff, exit_code=1"),
        (EventType.RESUME_INITIATED, {}, ""),
    ],
)
def test_an_event_is_told_in_a_line(type_, payload, text):
    assert describe(event(type_, **payload)) == text
