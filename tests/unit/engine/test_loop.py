from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from runner.core.events import Event, EventType
from runner.core.intents import Intent, IntentKind, IntentState
from runner.core.model import (
    AttemptKey,
    AttemptStatus,
    BreakerLimits,
    Commit,
    Outcome,
    RunStatus,
    StepName,
    StepResult,
    WsId,
    WsStatus,
)
from runner.engine.live import Live
from runner.errors import ConfigError, GitError
from runner.job.model import Job
from runner.ports import Base, NoBase
from runner.store import queries
from runner.store.db import reading
from runner.store.runs import open_store
from tests.builders import plan
from tests.fakes import FakeClock, FakeResults
from tests.unit.engine.stage import FakeWorkers, Stage, Watch, ended, make_job, script
from tests.unit.engine.trace import check_story

DONE_PATH = ["ready", "editing", "static_check", "runtime_check", "done"]
A, B, C = WsId("ws-a"), WsId("ws-b"), WsId("ws-c")

Staged = Callable[..., Stage]


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    """A stage for a plan, by its arrows."""

    def make(text: str, *, parallel: int = 2, words: dict[str, str] | None = None, **options: Any) -> Stage:
        workers = FakeWorkers(parallel, script(**(words or {})))
        return Stage(plan(text), tmp_path / "state.db", workers, **options)

    return make


def started(stage: Stage, *steps: StepName) -> list[str]:
    """The workstreams in the order in which jobs of these steps were submitted."""
    return [job.key.ws_id for job in stage.workers.submitted if job.key.step in (steps or tuple(StepName))]


def keys(stage: Stage) -> list[str]:
    return [str(job.key) for job in stage.workers.submitted]


# The ordinary way


def test_a_workstream_is_edited_checked_and_handed_back(staged: Staged):
    stage = staged("a")
    assert stage.run() is RunStatus.COMPLETED
    assert keys(stage) == ["ws-a/edit#1", "ws-a/static#1", "ws-a/runtime#1"]
    assert stage.path("ws-a") == DONE_PATH
    assert stage.results.handed_back == {"ws/change-1/ws-a": "commit of ws-a/edit#1"}
    row = stage.rows()[A]
    assert (row.base_commit, row.candidate_commit) == ("base of ws-a", "commit of ws-a/edit#1")
    assert (row.branch, row.reason) == ("ws/change-1/ws-a", "")


def test_each_step_works_on_what_the_one_before_it_left(staged: Staged):
    stage = staged("a", words={"a": "ok:T1 findings ok:T2"})
    stage.run()
    assert [(job.base, job.candidate, job.tree) for job in stage.workers.submitted] == [
        ("base of ws-a", "base of ws-a", "base tree of ws-a"),
        ("base of ws-a", "commit of ws-a/edit#1", "T1"),
        ("base of ws-a", "commit of ws-a/edit#1", "T1"),
        ("base of ws-a", "commit of ws-a/fix#1", "T2"),
        ("base of ws-a", "commit of ws-a/fix#1", "T2"),
    ]


def test_every_attempt_is_recorded_with_its_result(staged: Staged):
    stage = staged("a", words={"a": "ok findings:F401"})
    stage.run()
    assert [(str(one.key), one.status, one.result and one.result.outcome) for one in stage.attempts()] == [
        ("ws-a/edit#1", AttemptStatus.SUCCESS, Outcome.OK),
        ("ws-a/static#1", AttemptStatus.FAILURE, Outcome.FINDINGS),
        ("ws-a/fix#1", AttemptStatus.SUCCESS, Outcome.OK),
        ("ws-a/static#2", AttemptStatus.SUCCESS, Outcome.OK),
        ("ws-a/runtime#1", AttemptStatus.SUCCESS, Outcome.OK),
    ]


def test_watchers_hear_what_the_store_keeps_and_a_result_before_what_it_causes(staged: Staged):
    stage = staged("a")
    stage.run()
    moves = [event for event in stage.watch.events if event.type is EventType.STATE_TRANSITION]
    assert [event.payload["to"] for event in moves] == DONE_PATH
    told = [
        f"{one.key.step} ended" if isinstance(one, StepResult) else one.payload["to"]
        for one in stage.watch.seen
        if isinstance(one, StepResult) or one in moves
    ]
    assert told == [
        "ready", "editing", "edit ended", "static_check", "static ended", "runtime_check", "runtime ended", "done",
    ]  # fmt: skip


def test_watchers_hear_of_nothing_that_a_crash_could_undo(staged: Staged):
    stage = staged("b<-a", words={"a": "ok findings:F1", "b": "budget"})
    heard = stage.watch.event

    def look(event: Event) -> None:
        if event.type is EventType.STATE_TRANSITION:
            assert event.payload in [kept.payload for kept in stage.events(event.ws_id, event.type)]
        heard(event)

    stage.watch.event = look  # type: ignore[method-assign]
    assert stage.run() is RunStatus.PARTIAL


def test_what_jobs_tell_is_recorded(staged: Staged):
    stage = staged("a")
    violation = Event(type=EventType.SCOPE_VIOLATION, run_id=stage.run_id, ws_id=A, payload={"paths": ["x"]})

    def turn() -> None:
        stage.workers.emit(violation)
        stage.workers.end_oldest()

    stage.workers.turn = turn
    stage.run()
    assert [event.payload for event in stage.events("ws-a", EventType.SCOPE_VIOLATION)] == [
        {"paths": ["x"]}
    ] * 3
    assert violation in stage.watch.events


# Order


def test_dependants_start_from_the_results_they_wait_for(staged: Staged):
    stage = staged("c<-a,b")
    stage.run()
    assert started(stage, StepName.EDIT) == [A, B, C]
    assert stage.results.bases[C] == ("commit of ws-a/edit#1", "commit of ws-b/edit#1")
    states = [
        (event.ws_id, event.payload["to"])
        for event in stage.events(None, EventType.STATE_TRANSITION)
        if event.ws_id
    ]
    assert states.index((C, "ready")) > max(states.index((A, "done")), states.index((B, "done")))


def test_the_longest_chain_goes_first_then_plan_order(staged: Staged):
    stage = staged("x y c<-b b<-a", parallel=1)
    stage.run()
    assert started(stage, StepName.EDIT) == [A, B, "ws-x", "ws-y", C]


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_no_more_jobs_run_than_there_are_places(parallel: int, staged: Staged):
    stage = staged("a b c d e", parallel=parallel)
    stage.run()
    assert stage.workers.most_running == parallel


def test_the_place_of_a_job_that_ended_is_its_workstreams_until_that_moves_on(staged: Staged):
    """Another event may be dealt with between a job's end and the news of it."""
    stage = staged("a b c d", parallel=2)
    stage.workers.turn = stage.workers.end_all
    stage.run()
    assert stage.workers.most_running == 2
    assert started(stage)[:6] == [A, B, A, B, A, B]


# Again, and fixing


@pytest.mark.parametrize(
    ("words", "attempts"),
    [
        ("api_error", ["edit#1", "edit#2", "static#1", "runtime#1"]),
        ("no_change", ["edit#1", "edit#2", "static#1", "runtime#1"]),
        ("scope_violation refused", ["edit#1", "edit#2", "edit#3", "static#1", "runtime#1"]),
    ],
)
def test_trying_again_is_a_new_attempt_in_the_same_state(words: str, attempts: list[str], staged: Staged):
    stage = staged("a", words={"a": words})
    assert stage.run() is RunStatus.COMPLETED
    assert [key.removeprefix("ws-a/") for key in keys(stage)] == attempts
    assert stage.path("ws-a") == DONE_PATH


@pytest.mark.parametrize(
    ("words", "states"),
    [
        ("ok findings", ["static_check", "fixing", "static_check", "runtime_check"]),
        ("ok ok findings", ["static_check", "runtime_check", "fixing", "static_check", "runtime_check"]),
        ("ok ok timeout", ["static_check", "runtime_check", "fixing", "static_check", "runtime_check"]),
        ("ok findings no_change", ["static_check", "fixing", "static_check", "runtime_check"]),
    ],
)
def test_after_a_fix_both_checks_run_again(words: str, states: list[str], staged: Staged):
    stage = staged("a", words={"a": words})
    assert stage.run() is RunStatus.COMPLETED
    assert stage.path("ws-a") == ["ready", "editing", *states, "done"]


# Giving up


def test_a_breaker_that_trips_is_recorded_with_its_evidence(staged: Staged):
    limits = BreakerLimits(max_attempts=1)
    stage = staged("a", words={"a": "ok findings:F401 ok findings:E501"}, breaker=limits)
    assert stage.run() is RunStatus.FAILED
    (event,) = stage.events("ws-a", EventType.CIRCUIT_BREAKER_TRIPPED)
    assert event.payload == {
        "breaker": "max_attempts",
        "step": "fix",
        "message": "1 of 1 fix attempts are used up; static attempt 2 ended with findings: the finding E501 stays",
        "attempts": 1,
        "limit": 1,
        "last_attempt": "static attempt 2",
        "last_outcome": "findings",
        "findings": ["lint::E501::E501 is broken"],
    }
    assert stage.path("ws-a")[-3:] == ["static_check", "fixing", "failed"]
    assert stage.rows()[A].reason == event.payload["message"]


def test_the_trip_is_told_before_the_end_it_causes(staged: Staged):
    stage = staged("a", words={"a": "no_change"}, breaker=BreakerLimits(max_attempts=1))
    stage.run()
    assert [event.type for event in stage.events("ws-a")][-2:] == [
        EventType.CIRCUIT_BREAKER_TRIPPED,
        EventType.STATE_TRANSITION,
    ]


def test_what_a_workstream_that_is_given_up_has_is_kept(staged: Staged):
    limits = BreakerLimits(max_attempts=1)
    stage = staged("a", words={"a": "ok findings no_change"}, breaker=limits)
    stage.run()
    assert stage.results.kept == {A: "commit of ws-a/edit#1"}
    assert stage.events("ws-a")[-1].payload["kept"] == "/worktrees/ws-a"
    assert stage.rows()[A].candidate_commit == "commit of ws-a/edit#1"


@pytest.mark.parametrize("words", ["infra", "ok infra", "ok ok infra", "api_error api_error"])
def test_a_step_that_cannot_be_carried_out_fails_the_workstream_without_a_fix(words: str, staged: Staged):
    stage = staged("a", words={"a": words}, infra_retries=1)
    assert stage.run() is RunStatus.FAILED
    assert "could not be carried out" in stage.rows()[A].reason
    assert "fixing" not in stage.path("ws-a")
    assert stage.events("ws-a", EventType.CIRCUIT_BREAKER_TRIPPED) == []


def test_all_that_needs_a_failed_workstream_is_blocked_and_the_rest_goes_on(staged: Staged):
    stage = staged("b<-a c<-b e<-d", words={"a": "budget"})
    assert stage.run() is RunStatus.PARTIAL
    assert stage.statuses() == {
        A: WsStatus.FAILED,
        B: WsStatus.BLOCKED,
        C: WsStatus.BLOCKED,
        "ws-d": WsStatus.DONE,
        "ws-e": WsStatus.DONE,
    }
    assert {stage.rows()[ws_id].reason for ws_id in (B, C)} == {"it depends on ws-a, which is failed"}
    assert [(event.ws_id, event.payload) for event in stage.events(None, EventType.DEPENDENCY_BLOCKED)] == [
        (B, {"dependency": "ws-a", "status": "failed"}),
        (C, {"dependency": "ws-a", "status": "failed"}),
    ]


def test_a_workstream_that_two_failures_reach_is_blocked_once(staged: Staged):
    stage = staged("c<-a,b", words={"a": "budget", "b": "budget"})
    stage.run()
    assert stage.path("ws-c") == ["blocked"]


def test_dependencies_whose_results_conflict_block_with_the_reason(staged: Staged):
    stage = staged("c<-a,b d<-c")
    stage.results.conflicts[C] = "the results of its dependencies conflict in x.py"
    assert stage.run() is RunStatus.PARTIAL
    rows = stage.rows()
    assert (rows[C].status, rows[C].reason) == (WsStatus.BLOCKED, stage.results.conflicts[C])
    assert rows[WsId("ws-d")].reason == "it depends on ws-c, which is blocked"
    assert stage.attempts("ws-c") == []
    (merge,) = [one for one in stage.intents() if one.kind is IntentKind.MERGE]
    assert merge.state is IntentState.UNDONE


def test_a_result_that_cannot_be_handed_back_fails_the_workstream(staged: Staged):
    stage = staged("b<-a")
    stage.results.refused[A] = "The branch was moved by someone else"
    assert stage.run() is RunStatus.FAILED
    row = stage.rows()[A]
    assert (row.status, row.branch) == (WsStatus.FAILED, None)
    assert row.reason.startswith("The branch was moved by someone else")
    assert stage.statuses()[B] is WsStatus.BLOCKED
    assert [one.status for one in stage.attempts("ws-a")] == [AttemptStatus.SUCCESS] * 3
    assert stage.results.kept[A] == "commit of ws-a/edit#1"


# Durability: what is recorded when the act begins


def test_state_and_attempt_are_recorded_before_a_job_starts(staged: Staged):
    stage = staged("a", words={"a": "ok findings"})
    seen: list[tuple[str, str, bool]] = []

    def look(job: Job) -> None:
        last = stage.attempts()[-1]
        seen.append((str(last.key), stage.statuses()[A], last.status is AttemptStatus.IN_PROGRESS))
        assert last.key == job.key

    stage.workers.on_submit = look
    stage.run()
    assert seen == [
        ("ws-a/edit#1", "editing", True),
        ("ws-a/static#1", "static_check", True),
        ("ws-a/fix#1", "fixing", True),
        ("ws-a/static#2", "static_check", True),
        ("ws-a/runtime#1", "runtime_check", True),
    ]


def test_done_is_said_only_of_what_is_on_its_branch(staged: Staged):
    stage = staged("a")
    seen: list[WsStatus] = []

    class Results(FakeResults):
        def hand_back(self, ws_id: WsId, branch: str, candidate: Commit, *, old: Commit | None) -> None:
            seen.append(stage.statuses()[ws_id])

    stage.results = Results()
    stage.run()
    assert seen == [WsStatus.RUNTIME_CHECK]


def test_what_will_be_done_to_the_world_is_recorded_before_and_its_proof_after(staged: Staged):
    stage = staged("c<-a,b", words={"a": "ok findings"})
    open_when_submitted: list[set[str]] = []

    def look(job: Job) -> None:
        if job.key.ws_id == A:
            mine = [one for one in stage.intents() if one.ws_id == A and one.state is IntentState.OPEN]
            open_when_submitted.append({f"{one.kind} {one.key}" for one in mine})

    stage.workers.on_submit = look
    stage.run()
    assert open_when_submitted[:2] == [
        {"worktree ws-a", "sandbox runner-01jstage-ws-a-edit-1-", "commit ws-a/edit#1"},
        {"worktree ws-a", "sandbox runner-01jstage-ws-a-static-1-"},
    ]
    assert {one.state for one in stage.intents()} == {IntentState.DONE}
    proofs = {f"{one.kind} {one.key}": one.result for one in stage.intents()}
    assert proofs["commit ws-a/fix#1"] == "commit of ws-a/fix#1"
    assert proofs["merge ws-c"] == "base of ws-c"
    assert proofs["branch refs/heads/ws/change-1/ws-a"] == "commit of ws-a/fix#1"


def test_where_a_branch_was_is_recorded_before_it_is_moved(staged: Staged):
    stage = staged("a", replaces={A: Commit("0" * 40)})
    seen: list[Intent] = []

    class Results(FakeResults):
        def hand_back(self, ws_id: WsId, branch: str, candidate: Commit, *, old: Commit | None) -> None:
            assert old == "0" * 40
            seen.extend(one for one in stage.intents() if one.kind is IntentKind.BRANCH)

    stage.results = Results()
    stage.run()
    assert [(one.state, one.params) for one in seen] == [
        (IntentState.OPEN, {"old": "0" * 40, "new": "commit of ws-a/edit#1"})
    ]


# Stopping, and going on


def stop_in(stage: Stage, step: StepName, *, times: int = 1) -> None:
    """Stop the run once a job of this step runs."""
    left = iter([0] * times)

    def turn() -> None:
        at_step = any(job.key.step is step for job, _ in stage.workers.running.values())
        if at_step and next(left, None) is not None:
            stage.stop()
        else:
            stage.workers.end_oldest()

    stage.workers.turn = turn


def test_a_run_that_is_asked_to_stop_ends_its_steps_and_starts_no_more(staged: Staged):
    stage = staged("a b c<-a", parallel=1)
    stop_in(stage, StepName.STATIC)
    assert stage.run() is RunStatus.RUNNING
    assert not stage.workers.cancelled
    assert keys(stage) == ["ws-a/edit#1", "ws-a/static#1"]
    assert [one.status for one in stage.attempts()] == [AttemptStatus.SUCCESS] * 2
    assert stage.statuses() == {A: WsStatus.STATIC_CHECK, B: WsStatus.READY, C: WsStatus.PENDING}
    (told,) = stage.events(None, EventType.RUN_INTERRUPTED)
    assert told.payload == {"workstreams": [A]}


def test_what_a_stopped_workstream_has_so_far_is_on_its_row_for_who_abandons_it(staged: Staged):
    stage = staged("a")
    stop_in(stage, StepName.EDIT)
    assert stage.run() is RunStatus.RUNNING
    assert stage.rows()[A].candidate_commit == "commit of ws-a/edit#1"


def test_asked_twice_it_cuts_its_steps_off_and_leaves_them_under_way(staged: Staged):
    stage = staged("a b")
    stop_in(stage, StepName.EDIT, times=2)
    assert stage.run() is RunStatus.RUNNING
    assert stage.workers.cancelled
    assert [(one.key.ws_id, one.status, one.result) for one in stage.attempts()] == [
        (A, AttemptStatus.IN_PROGRESS, None),
        (B, AttemptStatus.IN_PROGRESS, None),
    ]


def test_steps_that_take_longer_than_the_grace_are_cut_off(staged: Staged):
    stage = staged("a", grace_s=0.0)
    stop_in(stage, StepName.STATIC)
    assert stage.run() is RunStatus.RUNNING
    assert stage.workers.cancelled
    assert [one.status for one in stage.attempts()] == [AttemptStatus.SUCCESS, AttemptStatus.IN_PROGRESS]


def test_a_run_whose_last_step_ends_in_the_grace_is_done(staged: Staged):
    stage = staged("a")
    stop_in(stage, StepName.RUNTIME)
    assert stage.run() is RunStatus.COMPLETED
    assert stage.statuses() == {A: WsStatus.DONE}
    assert stage.events(None, EventType.RUN_INTERRUPTED) == []


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", list(StepName))
def test_a_stopped_run_that_is_resumed_ends_as_if_it_had_not_been_stopped(
    step: StepName, times: int, staged: Staged
):
    stage = staged("c<-a,b d", words={"a": "ok findings"})
    stop_in(stage, step, times=times)
    assert stage.run() is RunStatus.RUNNING
    stage.workers = FakeWorkers(2, ended)
    stage.watch = Watch(stage.workers)
    assert stage.resume() is RunStatus.COMPLETED
    assert {str(one.key) for one in stage.attempts("ws-a")} >= {
        "ws-a/edit#1",
        "ws-a/static#1",
        "ws-a/runtime#1",
    }
    assert len(stage.attempts("ws-a")) == len({one.key for one in stage.attempts("ws-a")})
    assert set(stage.statuses().values()) == {WsStatus.DONE}
    assert {one.state for one in stage.intents()} == {IntentState.DONE}


def test_what_was_cut_off_is_done_again_as_of_its_own_time(staged: Staged):
    stage = staged("a")
    stop_in(stage, StepName.EDIT, times=2)
    stage.run()
    (first,) = stage.workers.submitted
    stage.clock.tick(3600)
    stage.workers = FakeWorkers(2, ended)
    stage.watch = Watch(stage.workers)
    stage.resume()
    again = stage.workers.submitted[0]
    assert (again.key, again.started_at) == (first.key, first.started_at)


def test_no_more_jobs_are_taken_up_again_than_there_are_places(staged: Staged):
    stage = staged("a b c", parallel=3)
    stop_in(stage, StepName.EDIT, times=2)
    stage.run()
    stage.workers = FakeWorkers(1, ended)
    stage.watch = Watch(stage.workers)
    assert stage.resume() is RunStatus.COMPLETED
    assert stage.workers.most_running == 1


# What breaks


def test_a_bug_in_a_job_flies_once_every_job_is_stopped(staged: Staged):
    stage = staged("a b")

    def buggy(job: Job) -> StepResult | None:
        if job.key.ws_id == A:
            raise ZeroDivisionError("a bug")
        return ended(job)

    stage.workers.result_of = buggy
    with pytest.raises(ZeroDivisionError, match="a bug"):
        stage.run()
    assert stage.workers.cancelled
    assert stage.workers.running == {}
    assert stage.record().status is RunStatus.RUNNING


def test_a_world_that_breaks_under_the_loop_leaves_a_run_that_can_be_resumed(staged: Staged):
    def no_job(live: Live, key: AttemptKey, started_at: datetime) -> Job:
        if key.ws_id == C:
            raise ConfigError("The prompt cannot be rendered", details="no such variable")
        return make_job(live, key, started_at)

    stage = staged("a b c<-b", words={"a": "no_change ok"}, job_of=no_job)
    stage.workers.turn = lambda: stage.workers.end(B if B in stage.workers.running else A)
    with pytest.raises(ConfigError):
        stage.run()
    assert stage.workers.cancelled
    assert stage.record().status is RunStatus.RUNNING
    assert stage.statuses() == {A: WsStatus.EDITING, B: WsStatus.DONE, C: WsStatus.READY}
    stage.job_of = make_job
    stage.workers = FakeWorkers(2, ended)
    stage.watch = Watch(stage.workers)
    assert stage.resume() is RunStatus.COMPLETED


def test_git_that_breaks_while_a_base_is_made_leaves_a_run_that_can_be_resumed(staged: Staged):
    stage = staged("a")

    class Results(FakeResults):
        def base_of(self, ws_id: WsId, candidates: Sequence[Commit]) -> Base | NoBase:
            raise GitError("git merge-tree failed")

    stage.results = Results()
    with pytest.raises(GitError):
        stage.run()
    assert (stage.record().status, stage.statuses()[A]) == (RunStatus.RUNNING, WsStatus.READY)


class JumpingClock(FakeClock):
    """The wall time jumps a day ahead and back whenever it is asked; what measures durations does not."""

    def __init__(self) -> None:
        super().__init__()
        self._jumps = cycle([timedelta(days=1), timedelta(days=-1), timedelta()])

    def now(self) -> datetime:
        return super().now() + next(self._jumps)


def test_a_clock_that_jumps_by_days_changes_nothing_but_the_times(staged: Staged):
    clock = JumpingClock()
    stage = staged("b<-a", words={"a": "ok findings"}, clock=clock, open=lambda db: open_store(db, clock))
    stop_in(stage, StepName.FIX)
    assert stage.run() is RunStatus.RUNNING
    stage.workers = FakeWorkers(2, ended)
    stage.watch = Watch(stage.workers)
    assert stage.resume() is RunStatus.COMPLETED
    check_story(stage)
    with reading(stage.db) as connection:
        assert queries.summary(connection, stage.record()).duration_sec >= 0
