"""Whatever the plan, the order and the outcomes: the run ends, and its trace tells a legal story."""

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core.model import BreakerLimits, RunStatus, StepResult, WsId
from runner.core.plan import Plan
from runner.job.model import Job
from tests.builders import bundle, plan
from tests.unit.engine.stage import FakeWorkers, Stage, ended, script
from tests.unit.engine.trace import check_story

AGENT_WORDS = [
    "ok", "ok", "ok", "ok:T1", "ok:T2", "no_change", "scope_violation", "refused", "api_error", "rate_limited",
    "budget", "timeout", "oom", "output_limit", "infra",
]  # fmt: skip
CHECK_WORDS = ["ok", "ok", "ok", "findings:A", "findings:B", "findings:A,B", "timeout", "oom", "infra"]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Each workstream depends on some of those before it; the plan names them in any order."""
    names = [f"w{number}" for number in range(draw(st.integers(1, 7)))]
    bundles = []
    for place, name in enumerate(names):
        needs = draw(st.sets(st.sampled_from(names[:place]), max_size=3)) if place else set()
        bundles.append(bundle(name, depends_on=tuple(WsId(f"ws-{need}") for need in sorted(needs))))
    return Plan(bundles=tuple(draw(st.permutations(bundles))))


def drawn_results(data: st.DataObject) -> Callable[[Job], StepResult | None]:
    return lambda job: ended(
        job, data.draw(st.sampled_from(AGENT_WORDS if job.key.step.is_agent else CHECK_WORDS))
    )


def drawn_turns(stage: Stage, data: st.DataObject, *, interrupts: bool) -> Callable[[], None]:
    """Any number of the running jobs end, in any order; now and then the user stops the run."""
    waits = iter([0] * 3)  # turns in which nothing ends, at most so many in a row

    def turn() -> None:
        nonlocal waits
        running = list(stage.workers.running)
        chosen = data.draw(st.lists(st.sampled_from(running), unique=True))
        if chosen or next(waits, None) is None:
            waits = iter([0] * 3)
            for ws_id in chosen or running[:1]:
                stage.workers.end(ws_id)
        if interrupts and data.draw(st.integers(0, 9)) == 0:
            stage.stop()

    return turn


@pytest.mark.parametrize("interrupts", [False, True])
@settings(deadline=None, max_examples=80)
@given(plan=plans(), parallel=st.integers(1, 4), data=st.data())
def test_any_run_ends_and_tells_a_legal_story(
    interrupts: bool, plan: Plan, parallel: int, data: st.DataObject
):
    with tempfile.TemporaryDirectory() as folder:
        workers = FakeWorkers(parallel, drawn_results(data))
        stage = Stage(
            plan,
            Path(folder) / "state.db",
            workers,
            infra_retries=data.draw(st.integers(0, 1)),
            breaker=BreakerLimits(max_attempts=data.draw(st.integers(1, 2)), max_error_repeats=2),
        )
        ids = st.sets(st.sampled_from([one.id for one in plan]))
        stage.results.conflicts = dict.fromkeys(data.draw(ids), "a conflict")
        stage.results.refused = dict.fromkeys(data.draw(ids), "moved by someone else")
        workers.turn = drawn_turns(stage, data, interrupts=interrupts)
        status = stage.run()
        while status is RunStatus.RUNNING:
            assert interrupts
            assert workers.running == {}
            check_story(stage, whole=False)
            status = stage.resume()
        assert workers.most_running <= parallel
        assert workers.running == {}
        check_story(stage)


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE workstreams SET status = 'done' WHERE ws_id = 'ws-b'",
        "UPDATE workstreams SET reason = '' WHERE ws_id = 'ws-a'",
        "UPDATE runs SET status = 'completed'",
        "DELETE FROM events WHERE event_type = 'state_transition' AND ws_id = 'ws-c' AND payload_json LIKE '%\"to\": \"editing\"%'",
        "UPDATE step_attempts SET attempt = 7 WHERE ws_id = 'ws-c' AND step_name = 'static'",
        "UPDATE step_attempts SET result_json = NULL WHERE ws_id = 'ws-c' AND step_name = 'static'",
        "UPDATE events SET payload_json = replace(payload_json, '\"pending\"', '\"ready\"') WHERE ws_id = 'ws-b'",
        "UPDATE events SET ws_id = 'ws-c' WHERE event_type = 'dependency_blocked'",
    ],
)
def test_a_story_that_is_not_legal_is_found_out(spoil: str, tmp_path: Path):
    """Else the test above would prove nothing."""
    stage = Stage(plan("b<-a c"), tmp_path / "state.db", FakeWorkers(2, script(a="budget")))
    stage.run()
    check_story(stage)
    with sqlite3.connect(stage.db) as connection:
        assert connection.execute(spoil).rowcount > 0
    connection.close()
    with pytest.raises(AssertionError):
        check_story(stage)
