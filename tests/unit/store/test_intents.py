from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from runner.clock import iso
from runner.core.intents import Intent, IntentKind, IntentState
from runner.core.model import AttemptStatus, StepName, WsId
from runner.store import queries
from runner.store.db import reading
from tests.unit.store.past import RUN, attempt, key, past

A = WsId("ws-a")
BRANCH = "refs/heads/ws/change-1/ws-a"


def intent(kind: IntentKind = IntentKind.BRANCH, of: str = BRANCH, **params: str) -> Intent:
    return Intent(run_id=RUN, ws_id=A, kind=kind, key=of, params=params)


def test_an_intent_is_open_until_it_is_settled(store, ask):
    store.intend(intent(old="", new="c1"))
    assert ask(queries.intents, RUN) == [intent(old="", new="c1")]
    store.settle(RUN, IntentKind.BRANCH, BRANCH, result="c1")
    assert ask(queries.intents, RUN) == [
        replace(intent(old="", new="c1"), state=IntentState.DONE, result="c1")
    ]


def test_what_was_taken_back_is_undone(store, ask):
    store.intend(intent())
    store.settle(RUN, IntentKind.BRANCH, BRANCH)
    store.settle(RUN, IntentKind.BRANCH, BRANCH, state=IntentState.UNDONE)
    assert ask(queries.intents, RUN) == [replace(intent(), state=IntentState.UNDONE)]


@pytest.mark.parametrize("state", [IntentState.DONE, IntentState.UNDONE])
def test_a_redo_opens_the_same_intent_with_its_own_params(store, ask, state):
    store.intend(intent(new="c1"))
    store.settle(RUN, IntentKind.BRANCH, BRANCH, result="c1", state=state)
    store.intend(intent(new="c2"))
    assert ask(queries.intents, RUN) == [intent(new="c2")]


def test_only_the_intent_of_this_run_kind_and_key_is_settled(store, ask):
    others = [intent(IntentKind.SALVAGE), intent(of="refs/heads/other")]
    for one in (*others, intent()):
        store.intend(one)
    store.settle(RUN, IntentKind.BRANCH, BRANCH)
    assert ask(queries.intents, RUN, state=IntentState.OPEN) == others


def test_what_was_never_intended_cannot_be_settled(store):
    with pytest.raises(LookupError, match=f"has no intent branch {BRANCH}"):
        store.settle(RUN, IntentKind.BRANCH, BRANCH)


def test_an_intent_of_an_unknown_workstream_is_a_bug(store):
    with pytest.raises(IntegrityError):
        store.intend(replace(intent(), ws_id=WsId("ws-x")))


def test_an_intent_is_not_taken_over_by_another_workstream(db):
    with past(db, "a b") as store:
        store.intend(intent())
        with pytest.raises(LookupError, match=f"branch {BRANCH} is not an intent of ws-b"):
            store.intend(replace(intent(), ws_id=WsId("ws-b")))


def test_an_intent_is_kept_with_the_decision_or_not_at_all(store, ask):
    store.intend(intent(IntentKind.SANDBOX, "s1"))

    def decide() -> None:
        with store.transaction():
            store.intend(intent(IntentKind.SANDBOX, "s2"))
            store.settle(RUN, IntentKind.SANDBOX, "s1")
            store.begin_attempt(key())
            store.settle(RUN, IntentKind.SANDBOX, "unknown")

    with pytest.raises(LookupError):
        decide()
    assert ask(queries.intents, RUN) == [intent(IntentKind.SANDBOX, "s1")]


def test_intents_are_chosen_by_workstream_state_and_kind_in_the_order_of_their_creation(db, store, ask):
    first, second, third = (
        intent(IntentKind.WORKTREE, "z"),
        intent(IntentKind.SANDBOX, "y"),
        intent(IntentKind.SANDBOX, "x"),
    )
    for one in (first, second, third, first):
        store.intend(one)
    store.settle(RUN, IntentKind.SANDBOX, "y")
    done = replace(second, state=IntentState.DONE)
    assert ask(queries.intents, RUN) == [first, done, third]
    assert ask(queries.intents, RUN, kind=IntentKind.SANDBOX) == [done, third]
    assert ask(queries.intents, RUN, kind=IntentKind.SANDBOX, state=IntentState.OPEN) == [third]
    assert ask(queries.intents, RUN, ws_id=WsId("ws-b")) == []
    assert ask(queries.intents, "another run") == []


def test_a_branch_that_was_taken_back_is_no_longer_recorded(store, ask):
    store.set_result(RUN, A, branch="ws/change-1/ws-a")
    store.clear_branch(RUN, A)
    assert ask(queries.workstreams, RUN)[0].branch is None
    with pytest.raises(LookupError):
        store.clear_branch(RUN, WsId("ws-x"))


def test_attempts_without_an_end_are_unfinished(db):
    with past(db, "a b") as store:
        attempt(store, key("ws-a", StepName.EDIT))
        for of in (key("ws-b", StepName.EDIT), key("ws-a")):
            store.begin_attempt(of)
    with reading(db) as connection:
        rows = queries.unfinished_attempts(connection, RUN)
    assert [row.key for row in rows] == [key("ws-b", StepName.EDIT), key("ws-a")]
    assert {row.status for row in rows} == {AttemptStatus.IN_PROGRESS}


@given(
    st.datetimes(
        min_value=datetime(1990, 1, 1),  # noqa: DTZ001
        max_value=datetime(2190, 1, 1),  # noqa: DTZ001
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5))]),
    )
)
def test_a_moment_that_was_read_back_is_written_the_same(moment):
    assert iso(datetime.fromisoformat(iso(moment))) == iso(moment)


def test_an_attempt_starts_when_its_job_says(store, ask):
    started = datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC)
    store.begin_attempt(key(), started)
    (row,) = ask(queries.unfinished_attempts, RUN)
    assert datetime.fromisoformat(row.started_at) == started.replace(microsecond=678_000)
