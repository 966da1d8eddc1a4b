from pathlib import Path

import pytest

from runner.clock import iso
from runner.core.events import Event, EventType
from runner.core.intents import Intent, IntentKind
from runner.core.model import RunStatus, StepName, WsId, WsStatus
from runner.core.records import EventRecord, RunRecord, WorkstreamRecord
from runner.errors import IllegalTransitionError
from runner.recovery import Interrupted, abandon, detect_interrupted_runs, record_crash, record_resume
from runner.store import queries
from runner.store.db import reading
from runner.store.runs import open_store
from tests.builders import plan
from tests.fakes import FakeClock
from tests.unit.store.past import BASE, PATH_TO, RUN, TickedClock, bring, key, past

A, B = WsId("ws-a"), WsId("ws-b")
GIVEN_UP = "the run was given up by its user"
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


def cut_off(db: Path) -> Interrupted:
    with reading(db) as connection:
        (cut,) = detect_interrupted_runs(connection)
    return cut


def bury(db: Path) -> tuple[RunRecord, list[WorkstreamRecord], list[EventRecord]]:
    with open_store(db, FakeClock()) as store:
        abandon(store, cut_off(db), reason=GIVEN_UP)
    return read(db)


@pytest.mark.parametrize("status", NOT_ENDED)
def test_what_was_under_way_is_abandoned_with_the_reason(status: WsStatus, db: Path):
    with past(db, "a") as store:
        bring(store, A, status)
    run, (row,), _ = bury(db)
    assert (run.status, row.status) == (RunStatus.ABANDONED, WsStatus.ABANDONED)
    assert row.reason == GIVEN_UP


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
    assert crash.type is EventType.CRASH_DETECTED
    assert crash.payload == {"workstreams": ["ws-b"], "attempts": [], "open": []}
    assert [(event.ws_id, event.payload["to"], event.payload["cause"]) for event in moves] == [
        ("ws-b", "abandoned", "run abandoned"),
        ("ws-c", "abandoned", "run abandoned"),
        (None, "abandoned", "run abandoned"),
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
        cut, events = cut_off(db), read(db)[2]
        bring(store, A, WsStatus.READY)
        with pytest.raises(IllegalTransitionError):
            abandon(store, cut, reason=GIVEN_UP)
    after_run, (row,), after = read(db)
    assert (after_run.status, row.status, len(after)) == (RunStatus.RUNNING, WsStatus.READY, len(events) + 1)


def crashes(db: Path) -> list[EventType]:
    told = (EventType.CRASH_DETECTED, EventType.RESUME_INITIATED)
    return [event.type for event in read(db)[2] if event.type in told]


def test_a_crash_is_recorded_once_and_again_after_a_resume(db: Path):
    with past(db, "a") as store:
        bring(store, A, WsStatus.EDITING)
        for _ in range(2):
            record_crash(store, cut_off(db))
        record_resume(store, cut_off(db))
        record_crash(store, cut_off(db))
    crash, resume = EventType.CRASH_DETECTED, EventType.RESUME_INITIATED
    assert crashes(db) == [crash, resume, crash]


def test_a_run_that_its_user_stopped_was_not_killed(db: Path):
    with past(db, "a") as store:
        store.record(Event(type=EventType.RUN_INTERRUPTED, run_id=RUN))
        cut = cut_off(db)
        record_crash(store, cut)
    assert not cut.killed
    assert crashes(db) == []


def test_what_was_going_on_is_known(db: Path):
    with past(db, "a b") as store:
        bring(store, A, WsStatus.EDITING)
        store.begin_attempt(key("ws-a", StepName.EDIT))
        intent = Intent(run_id=RUN, ws_id=A, kind=IntentKind.SANDBOX, key="runner-x-")
        store.intend(intent)
    cut = cut_off(db)
    assert [record.ws_id for record in cut.at_work] == [A]
    assert [str(attempt.key) for attempt in cut.under_way] == ["ws-a/edit#1"]
    assert list(cut.intents) == [intent]


def test_a_run_was_last_heard_of_at_its_last_event(db: Path):
    clock = TickedClock()
    with past(db, "a", clock=clock) as store:
        clock.tick(60)
        bring(store, A, WsStatus.EDITING)
        cut = cut_off(db)
    assert cut.last_heard_of == iso(clock.now()) > cut.run.updated_at
