from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.model import RunId, RunStatus, WsId, WsStatus
from runner.core.transitions import (
    ENDED,
    RUN,
    RUN_ENDED,
    WORKSTREAM,
    check_run,
    check_workstream,
)
from runner.errors import IllegalTransitionError

LEGAL = """
pending ready
pending blocked
pending abandoned
ready editing
ready failed
ready blocked
ready abandoned
editing static_check
editing failed
editing abandoned
static_check runtime_check
static_check fixing
static_check failed
static_check abandoned
fixing static_check
fixing failed
fixing abandoned
runtime_check done
runtime_check fixing
runtime_check failed
runtime_check abandoned
blocked pending
"""

LEGAL_FOR_RUNS = """
pending running
pending abandoned
running completed
running partial
running failed
running abandoned
partial running
failed running
abandoned running
"""


def pairs(text: str) -> set[tuple[str, ...]]:
    return {tuple(line.split()) for line in text.split("\n") if line}


@pytest.mark.parametrize(("old", "new"), list(product(WsStatus, WsStatus)))
def test_a_workstream_takes_the_pairs_of_the_table_and_no_other(old, new):
    if (old, new) in pairs(LEGAL):
        check_workstream(WsId("ws-1"), old, new, "a test")
    else:
        with pytest.raises(IllegalTransitionError):
            check_workstream(WsId("ws-1"), old, new, "a test")


@pytest.mark.parametrize(("old", "new"), list(product(RunStatus, RunStatus)))
def test_a_run_takes_the_pairs_of_the_table_and_no_other(old, new):
    if (old, new) in pairs(LEGAL_FOR_RUNS):
        check_run(RunId("R"), old, new, "a test")
    else:
        with pytest.raises(IllegalTransitionError):
            check_run(RunId("R"), old, new, "a test")


def test_the_error_names_workstream_states_and_event():
    with pytest.raises(IllegalTransitionError) as caught:
        check_workstream(WsId("ws-7"), WsStatus.DONE, WsStatus.EDITING, "retry")
    assert str(caught.value) == "workstream ws-7: retry cannot move it from done to editing"


def test_the_error_names_run_states_and_event():
    with pytest.raises(IllegalTransitionError) as caught:
        check_run(RunId("R-7"), RunStatus.COMPLETED, RunStatus.RUNNING, "resume")
    assert str(caught.value) == "run R-7: resume cannot move it from completed to running"


def test_every_state_has_a_row():
    assert set(WORKSTREAM) == set(WsStatus)
    assert set(RUN) == set(RunStatus)


def walks() -> st.SearchStrategy[list[WsStatus]]:
    """Paths of legal transitions from `pending`."""

    @st.composite
    def walk(draw: st.DrawFn) -> list[WsStatus]:
        path = [WsStatus.PENDING]
        for _ in range(draw(st.integers(0, 20))):
            if onward := sorted(WORKSTREAM[path[-1]]):
                path.append(draw(st.sampled_from(onward)))
        return path

    return walk()


@given(walks())
def test_nothing_is_done_without_both_checks_after_its_last_change(path):
    if path[-1] is WsStatus.DONE:
        assert path[-3:] == [WsStatus.STATIC_CHECK, WsStatus.RUNTIME_CHECK, WsStatus.DONE]


@given(walks())
def test_only_a_blocked_workstream_comes_back(path):
    assert not ENDED - {WsStatus.BLOCKED} & set(path[:-1])


@given(walks())
def test_whatever_has_not_ended_can_be_abandoned(path):
    assert path[-1] in ENDED or WsStatus.ABANDONED in WORKSTREAM[path[-1]]


def test_a_run_that_ended_is_not_pending_or_running():
    assert set(RunStatus) - {RunStatus.PENDING, RunStatus.RUNNING} == RUN_ENDED
