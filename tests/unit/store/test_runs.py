import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from runner.core.events import Event, EventType
from runner.core.model import (
    AttemptStatus,
    Commit,
    Outcome,
    Refusal,
    RunStatus,
    StepName,
    WsId,
    WsStatus,
)
from runner.core.records import EventRecord
from runner.core.transitions import WORKSTREAM
from runner.errors import IllegalTransitionError, StoreError
from runner.store import queries
from runner.store.db import reading, writing
from runner.store.runs import Store, open_store
from tests.builders import plan
from tests.unit.store.past import BASE, RUN, attempt, bring, finding, key, past, result

A = WsId("ws-a")


def told(events: Sequence[EventRecord]) -> list[tuple[str | None, str, str]]:
    return [(event.ws_id, str(event.payload["from"]), str(event.payload["to"])) for event in events]


def test_a_new_run_is_recorded_with_its_whole_plan(db, clock):
    with open_store(db, clock) as store:
        store.create_run(RUN, plan("b<-a"), base_commit=BASE, metadata={"parallel": 4})
    with reading(db) as connection:
        run = queries.find_run(connection)
        first, second = queries.workstreams(connection, RUN)
        types = [(event.type, event.ws_id) for event in queries.events(connection, RUN)]
    assert (run.status, run.base_commit, run.metadata) == (RunStatus.PENDING, BASE, {"parallel": 4})
    assert run.created_at == run.updated_at == "2025-01-01T00:00:00.000Z"
    assert (first.ws_id, first.status, first.depends_on) == ("ws-a", WsStatus.PENDING, ())
    assert (second.ws_id, second.depends_on) == ("ws-b", ("ws-a",))
    assert second.metadata["files_scope"] == ["src/b.py"]
    assert types == [
        (EventType.RUN_CREATED, None),
        (EventType.WORKSTREAM_CREATED, "ws-a"),
        (EventType.WORKSTREAM_CREATED, "ws-b"),
    ]


def test_the_same_ids_may_recur_in_another_run(store):
    store.create_run("01JZZZZZZZZZZZZZZZZZZZZZZZ", plan("a"), base_commit=BASE)


def test_a_run_is_created_once(store):
    with pytest.raises(IntegrityError):
        store.create_run(RUN, plan("a"), base_commit=BASE)


def test_a_move_changes_the_state_and_tells_it(store, ask, clock):
    clock.tick(5)
    store.move_workstream(
        RUN,
        A,
        expected=WsStatus.PENDING,
        new=WsStatus.BLOCKED,
        cause="dependency ended",
        reason="ws-0 failed",
    )
    (record,) = ask(queries.workstreams, RUN)
    (event,) = ask(queries.events, RUN, ws_id=A, types=[EventType.STATE_TRANSITION])
    assert (record.status, record.reason) == (WsStatus.BLOCKED, "ws-0 failed")
    assert record.updated_at == event.timestamp == "2025-01-01T00:00:05.000Z"
    assert event.payload == {
        "from": "pending",
        "to": "blocked",
        "cause": "dependency ended",
        "reason": "ws-0 failed",
    }


def test_the_reason_goes_with_the_state_it_explains(store, ask):
    bring(store, A, WsStatus.BLOCKED, "ws-0 failed")
    store.move_workstream(RUN, A, expected=WsStatus.BLOCKED, new=WsStatus.PENDING, cause="retry")
    assert ask(queries.workstreams, RUN)[0].reason == ""


def test_a_move_from_a_state_it_is_not_in_changes_nothing(store, ask):
    bring(store, A, WsStatus.EDITING)
    before = ask(queries.events, RUN)
    with pytest.raises(IllegalTransitionError) as caught:
        store.move_workstream(
            RUN, A, expected=WsStatus.PENDING, new=WsStatus.READY, cause="dependencies done"
        )
    assert str(caught.value) == "workstream ws-a: dependencies done expected it to be pending"
    assert ask(queries.workstreams, RUN)[0].status is WsStatus.EDITING
    assert ask(queries.events, RUN) == before


def test_a_move_that_the_table_does_not_have_changes_nothing(store, ask):
    with pytest.raises(IllegalTransitionError):
        store.move_workstream(RUN, A, expected=WsStatus.PENDING, new=WsStatus.DONE, cause="wish")
    assert ask(queries.workstreams, RUN)[0].status is WsStatus.PENDING


def test_a_workstream_of_another_run_is_not_moved(store):
    with pytest.raises(IllegalTransitionError):
        store.move_workstream("other", A, expected=WsStatus.PENDING, new=WsStatus.READY, cause="test")


def test_a_state_is_not_kept_without_its_event(store, ask):
    unspeakable = {"payload": {"x": object()}}
    with pytest.raises(TypeError):
        store.move_workstream(
            RUN, A, expected=WsStatus.PENDING, new=WsStatus.READY, cause="test", **unspeakable
        )
    assert ask(queries.workstreams, RUN)[0].status is WsStatus.PENDING


def test_a_run_moves_as_its_table_says(store, ask):
    store.move_run(RUN, expected=RunStatus.RUNNING, new=RunStatus.PARTIAL, cause="all ended")
    with pytest.raises(IllegalTransitionError, match="all ended expected it to be running"):
        store.move_run(RUN, expected=RunStatus.RUNNING, new=RunStatus.FAILED, cause="all ended")
    assert ask(queries.find_run).status is RunStatus.PARTIAL
    assert told(ask(queries.events, RUN, types=[EventType.STATE_TRANSITION])) == [
        (None, "pending", "running"),
        (None, "running", "partial"),
    ]


def test_a_transaction_is_kept_whole(store, ask):
    with store.transaction():
        bring(store, A, WsStatus.EDITING)
        store.begin_attempt(key(step=StepName.EDIT))
        assert ask(queries.workstreams, RUN)[0].status is WsStatus.PENDING
    assert ask(queries.workstreams, RUN)[0].status is WsStatus.EDITING
    assert len(ask(queries.attempts, RUN)) == 1


def test_a_transaction_that_fails_leaves_nothing(store, ask):
    before = ask(queries.events, RUN)

    def several() -> None:
        with store.transaction():
            bring(store, A, WsStatus.EDITING)
            store.begin_attempt(key(step=StepName.EDIT))
            store.finish_attempt(result(key(step=StepName.FIX)))

    with pytest.raises(IllegalTransitionError):
        several()
    assert ask(queries.workstreams, RUN)[0].status is WsStatus.PENDING
    assert ask(queries.attempts, RUN) == []
    assert ask(queries.events, RUN) == before


def test_the_store_works_on_after_a_failed_transaction(store, ask):
    with pytest.raises(IllegalTransitionError):
        bring(store, "unknown", WsStatus.READY)
    bring(store, A, WsStatus.READY)
    assert ask(queries.workstreams, RUN)[0].status is WsStatus.READY


KILLED_INSIDE = """
import os, sys
from pathlib import Path
from runner.core.model import WsStatus
from tests.unit.store.past import bring, past

with past(Path(sys.argv[1]), "a") as store:
    bring(store, "ws-a", WsStatus.READY)
    with store.transaction():
        store.move_workstream(
            "01JAAAAAAAAAAAAAAAAAAAAAAA", "ws-a",
            expected=WsStatus.READY, new=WsStatus.EDITING, cause="test",
        )
        os._exit(9)
"""


def test_a_killed_process_leaves_the_last_committed_state(db):
    root = Path(__file__).parents[3]
    killed = subprocess.run([sys.executable, "-c", KILLED_INSIDE, str(db)], cwd=root, check=False)
    assert killed.returncode == 9
    with reading(db) as connection:
        assert queries.workstreams(connection, RUN)[0].status is WsStatus.READY
        assert told(queries.events(connection, RUN, ws_id=A, types=[EventType.STATE_TRANSITION])) == [
            ("ws-a", "pending", "ready")
        ]


def test_a_result_is_set_part_by_part(store, ask):
    store.set_result(RUN, A, base=BASE)
    store.set_result(RUN, A, candidate=Commit("c1"))
    store.set_result(RUN, A, candidate=Commit("c2"), branch="ws/change-1/ws-a")
    (record,) = ask(queries.workstreams, RUN)
    assert (record.base_commit, record.candidate_commit, record.branch) == (BASE, "c2", "ws/change-1/ws-a")


def test_a_result_of_an_unknown_workstream_is_an_error(store):
    with pytest.raises(LookupError):
        store.set_result(RUN, WsId("ws-x"), base=BASE)


def test_an_attempt_is_recorded_before_and_after(store, ask, clock):
    store.begin_attempt(key())
    (begun,) = ask(queries.attempts, RUN)
    clock.tick(2)
    ended = result(key(), Outcome.TIMEOUT, outputs=("tool_outputs/x.log",))
    store.finish_attempt(ended)
    (finished,) = ask(queries.attempts, RUN)
    assert (begun.status, begun.result, begun.completed_at) == (AttemptStatus.IN_PROGRESS, None, None)
    assert (finished.status, finished.result) == (AttemptStatus.FAILURE, ended)
    assert (finished.started_at, finished.completed_at) == (
        "2025-01-01T00:00:00.000Z",
        "2025-01-01T00:00:02.000Z",
    )


def test_an_attempt_that_ended_well_is_a_success_without_errors(store, ask):
    attempt(store, key(), findings=(finding(),))
    assert ask(queries.attempts, RUN)[0].status is AttemptStatus.SUCCESS
    assert ask(queries.errors, RUN) == []


def test_an_attempt_begins_and_ends_once(store):
    attempt(store, key())
    with pytest.raises(IntegrityError):
        store.begin_attempt(key())
    with pytest.raises(IllegalTransitionError) as caught:
        store.finish_attempt(result(key()))
    assert str(caught.value) == "attempt ws-a/static#1: its end expected it to be in progress"


def test_an_attempt_that_never_began_cannot_end(store, ask):
    with pytest.raises(IllegalTransitionError):
        store.finish_attempt(result(key(), Outcome.FINDINGS, findings=(finding(),)))
    assert ask(queries.errors, RUN) == []


def test_the_same_fault_on_another_line_is_counted_once_an_attempt(store, ask, clock):
    attempt(store, key(attempt=1), Outcome.FINDINGS, findings=(finding(line=3), finding(line=9)))
    clock.tick(60)
    attempt(store, key(attempt=2), Outcome.FINDINGS, findings=(finding(line=4), finding("E501")))
    same, other = ask(queries.errors, RUN)
    assert (same.code, same.count, same.context["line"]) == ("LINT_ERROR", 2, 4)
    assert (same.first_seen_at, same.last_seen_at) == ("2025-01-01T00:00:00.000Z", "2025-01-01T00:01:00.000Z")
    assert (other.count, other.context["rule"]) == (1, "E501")


def test_the_same_fault_in_another_step_or_workstream_is_another_row(db, clock):
    with past(db, "a b", clock=clock) as store:
        for of in (key("ws-a"), key("ws-b"), key("ws-a", StepName.RUNTIME)):
            attempt(store, of, Outcome.FINDINGS, findings=(finding(),))
    with reading(db) as connection:
        rows = [(row.ws_id, row.step, row.code, row.count) for row in queries.errors(connection, RUN)]
    assert rows == [
        ("ws-a", StepName.STATIC, "LINT_ERROR", 1),
        ("ws-b", StepName.STATIC, "LINT_ERROR", 1),
        ("ws-a", StepName.RUNTIME, "TEST_FAILURE", 1),
    ]


def test_refused_paths_are_errors_too(store, ask):
    refusals = (Refusal(path="setup.py", kind="modify", reason="not in the scope", size=7),)
    attempt(store, key(step=StepName.EDIT), Outcome.SCOPE_VIOLATION, refusals=refusals)
    (error,) = ask(queries.errors, RUN)
    assert (error.code, error.message) == ("SCOPE_VIOLATION", "setup.py: not in the scope")
    assert error.context == {"path": "setup.py", "kind": "modify", "size": 7}


def test_a_bad_end_without_findings_is_an_error_whatever_its_numbers(store, ask):
    for number, message in ((1, "no answer within 900 s"), (2, "no answer within 450 s")):
        attempt(store, key(step=StepName.EDIT, attempt=number), Outcome.TIMEOUT, message=message)
    (error,) = ask(queries.errors, RUN)
    assert (error.code, error.count, error.message) == ("TIMEOUT", 2, "no answer within 450 s")


def test_any_text_of_a_tool_can_be_stored(store, ask):
    text = "undecodable \udcff, nul \0, emoji \U0001f600"
    ended = attempt(
        store,
        key(),
        Outcome.FINDINGS,
        message=text,
        findings=(finding(message=text),),
        changed=("src/\udcff.py",),
    )
    bring(store, A, WsStatus.FAILED, text)
    store.record(Event(type=EventType.TOOL_FAILED, run_id=RUN, payload={"message": text}))
    assert ask(queries.attempts, RUN)[0].result == ended
    assert ask(queries.workstreams, RUN)[0].reason == text.replace("\udcff", "\\udcff")


def test_an_event_needs_neither_run_nor_workstream(store):
    store.record(Event(type=EventType.CRASH_DETECTED))


def test_a_full_disk_is_a_store_error_and_loses_nothing(db, store, clock, ask):
    with writing(db) as connection:
        with connection.begin():
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
        full = Store(connection, clock)
        with pytest.raises(StoreError, match="database or disk is full"):
            full.record(Event(type=EventType.TOOL_FAILED, run_id=RUN, payload={"message": "x" * 100_000}))
    bring(store, A, WsStatus.READY)
    assert ask(queries.workstreams, RUN)[0].status is WsStatus.READY


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WsStatus), st.sampled_from(WsStatus)), max_size=25))
def test_whatever_is_asked_for_the_events_are_a_legal_path_to_the_state(tmp_path_factory, moves):
    db = tmp_path_factory.mktemp("walk") / "state.db"
    with past(db, "a") as store:
        for expected, new in moves:
            try:
                store.move_workstream(RUN, A, expected=expected, new=new, cause="walk")
            except IllegalTransitionError:
                continue
    with reading(db) as connection:
        state = queries.workstreams(connection, RUN)[0].status
        path = told(queries.events(connection, RUN, ws_id=A, types=[EventType.STATE_TRANSITION]))
    at = WsStatus.PENDING
    for _, old, new in path:
        assert old == at
        assert new in WORKSTREAM[at]
        at = WsStatus(new)
    assert at is state
