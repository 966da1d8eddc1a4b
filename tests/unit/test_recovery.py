from pathlib import Path

import pytest

from runner.clock import iso
from runner.core.events import EventType
from runner.core.model import RunStatus, StepName, WsId, WsStatus
from runner.core.records import EventRecord, RunRecord, WorkstreamRecord
from runner.errors import IllegalTransitionError
from runner.recovery import abandon_interrupted
from runner.store import queries
from runner.store.db import reading
from runner.store.runs import open_store
from tests.builders import plan
from tests.fakes import FakeClock
from tests.unit.store.past import BASE, PATH_TO, RUN, bring, key, past

A, B = WsId("ws-a"), WsId("ws-b")
NOT_ENDED = [status for status in PATH_TO if status not in (WsStatus.DONE, WsStatus.FAILED, WsStatus.BLOCKED)]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def read(db: Path) -> tuple[RunRecord, list[WorkstreamRecord], list[EventRecord]]:
    with reading(db) as connection:
        return (
            queries.find_run(connection, RUN),
            queries.workstreams(connection, RUN),
            queries.events(connection, RUN),
        )


def bury(db: Path) -> tuple[RunRecord, list[WorkstreamRecord], list[EventRecord]]:
    run, workstreams, _ = read(db)
    with open_store(db, FakeClock()) as store:
        abandon_interrupted(store, run, workstreams)
    return read(db)


@pytest.mark.parametrize("status", NOT_ENDED)
def test_what_was_under_way_is_abandoned_with_the_reason(status: WsStatus, db: Path):
    with past(db, "a") as store:
        bring(store, A, status)
    run, (row,), _ = bury(db)
    assert (run.status, row.status) == (RunStatus.ABANDONED, WsStatus.ABANDONED)
    assert row.reason == "the runner was killed while this was under way"


@pytest.mark.parametrize("status", [WsStatus.DONE, WsStatus.FAILED, WsStatus.BLOCKED])
def test_what_had_ended_stays_as_it_is(status: WsStatus, db: Path):
    with past(db, "a b") as store:
        bring(store, A, status, reason="because")
        store.set_result(RUN, A, branch="ws/change-1/ws-a")
    before = read(db)[1][0]
    run, (after, other), _ = bury(db)
    assert after == before
    assert (run.status, other.status) == (RunStatus.ABANDONED, WsStatus.ABANDONED)


def test_the_crash_is_told_first_and_names_what_it_hit(db: Path):
    with past(db, "a b c") as store:
        bring(store, A, WsStatus.DONE)
        bring(store, B, WsStatus.EDITING)
        told = len(read(db)[2])
    _, _, events = bury(db)
    crash, *moves = events[told:]
    assert (crash.type, crash.payload) == (EventType.CRASH_DETECTED, {"workstreams": ["ws-b", "ws-c"]})
    assert [(event.ws_id, event.payload["to"], event.payload["cause"]) for event in moves] == [
        ("ws-b", "abandoned", "crash detected"),
        ("ws-c", "abandoned", "crash detected"),
        (None, "abandoned", "crash detected"),
    ]
    assert {event.timestamp for event in events[told:]} == {iso(FakeClock().now())}


def test_a_run_that_died_before_it_started_is_abandoned_too(db: Path):
    with open_store(db, FakeClock()) as store:
        store.create_run(RUN, plan("a"), base_commit=BASE)
    assert bury(db)[0].status is RunStatus.ABANDONED


def test_an_attempt_that_was_under_way_stays_on_record(db: Path):
    with past(db, "a") as store:
        bring(store, A, WsStatus.EDITING)
        store.begin_attempt(key("ws-a", StepName.EDIT))
    bury(db)
    with reading(db) as connection:
        (attempt,) = queries.attempts(connection, RUN)
    assert (attempt.status, attempt.result) == ("in_progress", None)


def test_a_run_that_moved_meanwhile_is_left_alone(db: Path):
    """Nothing of the burial is kept when the records are not what was read."""
    with past(db, "a") as store:
        run, workstreams, events = read(db)
        bring(store, A, WsStatus.READY)
        with pytest.raises(IllegalTransitionError):
            abandon_interrupted(store, run, workstreams)
    after_run, (row,), after = read(db)
    assert (after_run.status, row.status, len(after)) == (RunStatus.RUNNING, WsStatus.READY, len(events) + 1)
