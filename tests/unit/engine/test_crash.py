"""The process dies at any statement of the database: what was committed is a legal story that recovery can end."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from runner.core.model import BreakerLimits, RunStatus, WsStatus
from runner.core.transitions import ENDED
from runner.recovery import abandon_interrupted
from runner.store.db import writing
from runner.store.runs import Store, open_store
from tests.builders import plan
from tests.fakes import FakeClock
from tests.unit.engine.stage import FakeWorkers, Stage, script
from tests.unit.engine.trace import check_story


class Died(BaseException):
    """Nobody catches it by mistake."""


def dying(at: int) -> Callable[[Path], AbstractContextManager[Store]]:
    """A store whose process dies before its n-th statement that is carried out after the run was recorded."""

    @contextmanager
    def opened(db: Path) -> Iterator[Store]:
        with writing(db) as connection:
            carried_out = 0

            def die(of: Connection, cursor: object, statement: str, *rest: object) -> None:
                nonlocal carried_out
                if carried_out or "UPDATE runs" in statement:
                    carried_out += 1
                if carried_out == at:
                    raise Died

            event.listen(connection, "before_cursor_execute", die)
            yield Store(connection, FakeClock())

    return opened


def staged(folder: Path, *, at: int) -> Stage:
    """A plan in which everything happens: a fix, a try again, a trip, a block, a branch that is refused."""
    words = {"a": "infra ok findings ok", "c": "ok findings no_change"}
    stage = Stage(
        plan("a d<-c f"),
        folder / "state.db",
        FakeWorkers(2, script(**words)),
        breaker=BreakerLimits(max_attempts=1),
        open=dying(at),
    )
    stage.results.refused[stage.plan.bundles[-1].id] = "moved by someone else"
    return stage


def test_a_crash_at_any_statement_leaves_a_story_that_can_be_ended(tmp_path: Path):
    for at in count(1):
        stage = staged(tmp_path / str(at), at=at)
        try:
            stage.run()
        except Died:
            check_story(stage, whole=False)
            assert stage.record().status in (RunStatus.PENDING, RunStatus.RUNNING)
            _assert_recoverable(stage)
        else:
            assert at > 80, "the plan is to have this many places to die at"
            assert set(stage.statuses().values()) == {WsStatus.DONE, WsStatus.FAILED, WsStatus.BLOCKED}
            check_story(stage)
            return


def _assert_recoverable(stage: Stage) -> None:
    run, before = stage.record(), stage.statuses()
    with open_store(stage.db, FakeClock()) as store:
        abandon_interrupted(store, run, list(stage.rows().values()))
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
