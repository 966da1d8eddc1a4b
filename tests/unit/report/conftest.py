from pathlib import Path

import pytest

from runner.core.model import Commit, Outcome, Refusal, RunStatus, StepName, WsId, WsStatus
from runner.core.summary import Summary
from runner.store import queries
from runner.store.db import reading
from tests.unit.store.past import BASE, RUN, TickedClock, attempt, bring, finding, key, past


@pytest.fixture
def partial(tmp_path: Path) -> Summary:
    """ws-a done, ws-b failed on a finding, ws-c blocked by it, ws-d failed out of its scope."""
    clock = TickedClock()
    db = tmp_path / "state.db"
    with past(db, "a c<-b d", clock=clock) as store:
        attempt(store, key("ws-a", StepName.EDIT), changed=("src/a.py",))
        store.set_result(RUN, WsId("ws-a"), base=BASE, candidate=Commit("c" * 40), branch="ws/change-1/ws-a")
        bring(store, "ws-a", WsStatus.DONE)
        attempt(
            store,
            key("ws-b"),
            Outcome.FINDINGS,
            message="1 finding",
            findings=(finding(line=3),),
            outputs=("tool_outputs/ws-b_static_1_ruff_001.log",),
        )
        bring(store, "ws-b", WsStatus.FAILED, "3 of 3 fix attempts are used up")
        bring(store, "ws-c", WsStatus.BLOCKED, "ws-b failed")
        refusals = (Refusal(path="setup.py", kind="add", reason="not in the scope"),)
        attempt(store, key("ws-d", StepName.EDIT), Outcome.SCOPE_VIOLATION, message="no", refusals=refusals)
        bring(store, "ws-d", WsStatus.FAILED, "hostile \x1b[31m reason\n```\n# title")
        clock.tick(187)
        store.move_run(RUN, expected=RunStatus.RUNNING, new=RunStatus.PARTIAL, cause="all ended")
    with reading(db) as connection:
        return queries.summary(connection, queries.find_run(connection))
