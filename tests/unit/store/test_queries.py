import re
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, event

from runner.core.events import Event, EventType
from runner.core.intents import IntentKind, IntentState
from runner.core.model import RunId, RunStatus, StepName, WsId, WsStatus
from runner.errors import ExitCode, UsageError
from runner.store import queries
from runner.store.db import reading
from runner.store.runs import open_store
from tests.builders import plan
from tests.unit.store.past import BASE, RUN, attempt, bring, key, past

RUNS = [RunId("01JAAA111"), RunId("01JAAB222"), RunId("01JAAC122")]


@pytest.fixture
def three(db, clock):
    """Three runs, the last one the latest."""
    with open_store(db, clock) as store:
        for run_id in RUNS:
            store.create_run(run_id, plan("a"), base_commit=BASE)
            clock.tick(1)
    with reading(db) as connection:
        yield connection


def test_runs_are_listed_newest_first(three):
    assert [run.run_id for run in queries.all_runs(three)] == RUNS[::-1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, RUNS[2]),
        ("01JAAB222", RUNS[1]),
        ("01jaab", RUNS[1]),
        ("111", RUNS[0]),
        ("122", RUNS[2]),
    ],
)
def test_a_run_is_found_by_its_id_or_an_end_of_it_or_as_the_latest(three, wanted, found):
    assert queries.find_run(three, wanted).run_id == found


def test_a_whole_id_is_found_though_others_begin_with_it(db, clock):
    with open_store(db, clock) as store:
        for run_id in ("01J", "01J2"):
            store.create_run(RunId(run_id), plan("a"), base_commit=BASE)
    with reading(db) as connection:
        assert queries.find_run(connection, "01J").run_id == "01J"


def test_an_ambiguous_id_names_the_runs_it_could_be(three):
    with pytest.raises(UsageError) as caught:
        queries.find_run(three, "22")
    assert caught.value.brief == "'22' names more than one run"
    assert caught.value.details == "01JAAC122\n01JAAB222"
    assert caught.value.hint == "Give more of the id."


def test_an_unknown_run_is_a_usage_error_with_the_nearest(three):
    with pytest.raises(UsageError) as caught:
        queries.find_run(three, "01JAAX222")
    assert caught.value.brief == "There is no run '01JAAX222'"
    assert caught.value.details == "Known are:\n01JAAC122\n01JAAB222\n01JAAA111"
    assert caught.value.hint == "Did you mean 01JAAB222?"
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("wanted", ["%", "_", "'; DROP TABLE runs --"])
def test_what_means_something_in_sql_is_only_text(three, wanted):
    with pytest.raises(UsageError):
        queries.find_run(three, wanted)


def test_a_store_without_runs_says_so(db, clock):
    with open_store(db, clock), reading(db) as connection, pytest.raises(UsageError) as caught:
        queries.find_run(connection)
    assert caught.value.brief == "No run is recorded here yet"


def test_interrupted_runs_are_those_that_have_not_ended(db, clock):
    with past(db, "a", clock=clock) as store:
        store.create_run(RUNS[0], plan("a"), base_commit=BASE)
        with reading(db) as connection:
            assert {run.run_id for run in queries.interrupted_runs(connection)} == {RUN, RUNS[0]}
        store.move_run(RUN, expected=RunStatus.RUNNING, new=RunStatus.FAILED, cause="test")
        store.move_run(RUNS[0], expected=RunStatus.PENDING, new=RunStatus.ABANDONED, cause="test")
        with reading(db) as connection:
            assert queries.interrupted_runs(connection) == []


def test_an_unknown_workstream_is_a_usage_error_with_the_nearest(db, clock):
    with past(db, "a b c d e f g", clock=clock), reading(db) as connection:
        with pytest.raises(UsageError) as caught:
            queries.find_workstream(connection, RUN, "ws_a")
        assert queries.find_workstream(connection, RUN, "ws-a").ws_id == "ws-a"
    assert caught.value.brief == "There is no workstream 'ws_a'"
    assert caught.value.details == "Known are:\nws-a\nws-b\nws-c\nws-d\nws-e\n... and 2 more"
    assert caught.value.hint.startswith("Did you mean ws-")


def test_states_are_counted_by_run(db, clock):
    with past(db, "a b c", clock=clock) as store:
        bring(store, "ws-a", WsStatus.DONE)
        store.create_run(RUNS[0], plan("a"), base_commit=BASE)
    with reading(db) as connection:
        assert queries.status_counts(connection) == {
            RUN: {WsStatus.DONE: 1, WsStatus.PENDING: 2},
            RUNS[0]: {WsStatus.PENDING: 1},
        }


def test_attempts_come_in_the_order_they_began(db, clock):
    with past(db, "a b", clock=clock) as store:
        order = [key("ws-b"), key("ws-a", StepName.EDIT), key("ws-a"), key("ws-a", StepName.EDIT, 2)]
        for of in order:
            attempt(store, of)
    with reading(db) as connection:
        assert [record.key for record in queries.attempts(connection, RUN)] == order
        assert [record.key for record in queries.attempts(connection, RUN, WsId("ws-b"))] == [key("ws-b")]


@pytest.fixture
def trail(db, clock):
    """Ten tool_started events of ws-a with a number, each followed by one of the run."""
    with past(db, "a", clock=clock) as store:
        for number in range(10):
            store.record(
                Event(type=EventType.TOOL_STARTED, run_id=RUN, ws_id=WsId("ws-a"), payload={"n": number})
            )
            store.record(Event(type=EventType.RESUME_INITIATED, run_id=RUN))
    with reading(db) as connection:
        yield connection


def numbers(connection: Connection, **options) -> list[object]:
    found = queries.events(connection, RUN, types=[EventType.TOOL_STARTED], **options)
    return [one.payload["n"] for one in found]


def test_events_are_in_order_and_of_the_types_asked_for(trail):
    assert numbers(trail) == list(range(10))


def test_the_last_events_are_still_in_order(trail):
    assert numbers(trail, last=3) == [7, 8, 9]


def test_events_after_an_id_are_the_newer_ones(trail):
    seen = queries.events(trail, RUN, types=[EventType.TOOL_STARTED])[6]
    assert numbers(trail, after=seen.id) == [7, 8, 9]


def test_events_of_a_workstream_leave_out_the_runs(trail):
    assert {one.ws_id for one in queries.events(trail, RUN, ws_id=WsId("ws-a"))} == {"ws-a"}


RESUME: dict[str, Callable[[Connection], object]] = {
    "interrupted runs": queries.interrupted_runs,
    "workstreams": lambda connection: queries.workstreams(connection, RUN),
    "attempts": lambda connection: queries.attempts(connection, RUN),
    "attempts of a workstream": lambda connection: queries.attempts(connection, RUN, WsId("ws-a")),
    "unfinished attempts": lambda connection: queries.unfinished_attempts(connection, RUN),
    "open intents": lambda connection: queries.intents(connection, RUN, state=IntentState.OPEN),
    "open branches": lambda connection: queries.intents(
        connection, RUN, state=IntentState.OPEN, kind=IntentKind.BRANCH
    ),
    "branches made": lambda connection: queries.intents(connection, RUN, kind=IntentKind.BRANCH),
    "intents of a workstream": lambda connection: queries.intents(connection, RUN, ws_id=WsId("ws-a")),
    "errors": lambda connection: queries.errors(connection, RUN),
    "events": lambda connection: queries.events(connection, RUN),
    "new events": lambda connection: queries.events(connection, RUN, after=1, last=5),
    "events of a workstream": lambda connection: queries.events(connection, RUN, ws_id=WsId("ws-a")),
}


IN_ORDER = {"workstreams", "open intents", "open branches", "events", "new events", "events of a workstream"}


@pytest.mark.parametrize("name", RESUME)
def test_what_a_resume_reads_is_found_by_index(trail, name):
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(connection, cursor, statement, parameters, context, executemany):
        asked.append((statement, parameters))

    event.listen(trail, "before_cursor_execute", note)
    RESUME[name](trail)
    event.remove(trail, "before_cursor_execute", note)
    assert asked
    for statement, parameters in asked:
        plan_of_it = trail.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        steps = [step.detail for step in plan_of_it]
        assert any(re.search("USING( COVERING)? INDEX .*=", step) for step in steps), steps
        assert not any(step.startswith("SCAN") for step in steps), steps
        assert name not in IN_ORDER or not any("TEMP B-TREE" in step for step in steps), steps
