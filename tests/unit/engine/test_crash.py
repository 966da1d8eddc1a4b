"""The process dies at any statement of the database: what was committed is a legal story, and it can be gone on with."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from runner.core.intents import IntentState
from runner.core.model import BreakerLimits, RunStatus, StepResult, WsStatus
from runner.core.transitions import ENDED
from runner.job.model import Job
from runner.recovery import abandon, detect_interrupted_runs
from runner.store.db import reading, writing
from runner.store.runs import Store, open_store
from tests.builders import plan
from tests.fakes import FakeClock
from tests.unit.engine.stage import FakeWorkers, Stage, Watch, ended
from tests.unit.engine.trace import check_story

WORDS = {
    "ws-a/edit#1": "no_change",
    "ws-a/static#1": "findings",
    "ws-c/static#1": "findings",
    "ws-c/fix#1": "no_change",
    "ws-c/fix#2": "no_change",
}


NEVER = -1


class Died(BaseException):
    """Nobody catches it by mistake."""


def result_of(job: Job) -> StepResult:
    """By the attempt alone: one that is done again comes to the same."""
    return ended(job, WORDS.get(str(job.key), "ok"))


def dying(at: int, *, already: bool = False) -> Callable[[Path], AbstractContextManager[Store]]:
    """A store whose process dies before its n-th statement that is carried out after the run was recorded."""

    @contextmanager
    def opened(db: Path) -> Iterator[Store]:
        with writing(db) as connection:
            carried_out = 0

            def die(of: Connection, cursor: object, statement: str, *rest: object) -> None:
                nonlocal carried_out
                if already or carried_out or "UPDATE runs" in statement:
                    carried_out += 1
                if carried_out == at:
                    raise Died

            event.listen(connection, "before_cursor_execute", die)
            yield Store(connection, FakeClock())

    return opened


def staged(folder: Path, *, at: int) -> Stage:
    """A plan in which everything happens: a fix, a try again, a trip, a block, a merge, a branch that is refused."""
    stage = Stage(
        plan("a d<-c g<-a,e e f"),
        folder / "state.db",
        FakeWorkers(2, result_of),
        breaker=BreakerLimits(max_attempts=2),
        open=dying(at),
    )
    stage.results.refused[stage.plan.bundles[-1].id] = "moved by someone else"
    return stage


def another_process(stage: Stage, opened: Callable[[Path], AbstractContextManager[Store]]) -> None:
    stage.open = opened
    stage.workers = FakeWorkers(2, result_of)
    stage.watch = Watch(stage.workers)


def end_of(stage: Stage) -> object:
    return (
        stage.record().status,
        stage.statuses(),
        {str(one.key): one.result for one in stage.attempts()},
        {(one.kind, one.key, one.state, one.result) for one in stage.intents()},
        stage.results.handed_back,
        stage.results.kept,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    stage = staged(tmp_path_factory.mktemp("undisturbed"), at=NEVER)
    stage.run()
    assert set(stage.statuses().values()) == {WsStatus.DONE, WsStatus.FAILED, WsStatus.BLOCKED}
    assert {one.state for one in stage.intents()} == {IntentState.DONE, IntentState.UNDONE}
    return end_of(stage)


@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_a_run_that_is_resumed_after_a_crash_at_any_statement_ends_as_if_undisturbed(
    first: int, tmp_path: Path, undisturbed: object
):
    """Together the four take every statement."""
    for at in count(first, step=4):
        stage = staged(tmp_path / str(at), at=at)
        try:
            stage.run()
        except Died:
            check_story(stage, whole=False)
            assert stage.record().status in (RunStatus.PENDING, RunStatus.RUNNING)
            another_process(stage, lambda db: open_store(db, FakeClock()))
            stage.resume()
            check_story(stage)
            assert end_of(stage) == undisturbed
        else:
            assert at > 150, "the plan is to have this many places to die at"
            check_story(stage)
            return


@pytest.mark.parametrize("first", [5, 40, 80])
def test_so_does_one_whose_resume_crashes_too(first: int, tmp_path: Path, undisturbed: object):
    for at in count(1, step=7):
        stage = staged(tmp_path / str(at), at=first)
        with pytest.raises(Died):
            stage.run()
        another_process(stage, dying(at, already=True))
        try:
            stage.resume()
        except Died:
            another_process(stage, lambda db: open_store(db, FakeClock()))
            stage.resume()
            check_story(stage)
            assert end_of(stage) == undisturbed
        else:
            return


@pytest.mark.parametrize("at", [1, 20, 40, 60])
def test_a_run_that_crashed_can_be_abandoned_instead(at: int, tmp_path: Path):
    stage = staged(tmp_path, at=at)
    with pytest.raises(Died):
        stage.run()
    before = stage.statuses()
    with open_store(stage.db, FakeClock()) as store:
        with reading(stage.db) as connection:
            (cut,) = detect_interrupted_runs(connection)
        abandon(store, cut, reason="given up")
    assert stage.record().status is RunStatus.ABANDONED
    for ws_id, status in stage.statuses().items():
        assert status is (before[ws_id] if before[ws_id] in ENDED else WsStatus.ABANDONED)
    check_story(stage, whole=False)


@pytest.mark.parametrize("at", [20, 40])
def test_every_job_is_told_to_stop_when_the_store_breaks(at: int, tmp_path: Path):
    stage = staged(tmp_path, at=at)
    with pytest.raises(Died):
        stage.run()
    assert stage.workers.cancelled
