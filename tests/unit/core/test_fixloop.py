import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.fixloop import Done, GiveUp, RunStep, next_move
from runner.core.model import BreakerLimits, StepName
from tests.unit.core.histories import history

LIMITS = BreakerLimits(max_attempts=3, max_error_repeats=3, oscillation_threshold=2)
RETRIES = 2
AGENT_ENDS = [
    "no_change",
    "scope_violation",
    "refused",
    "api_error",
    "rate_limited",
    "budget",
    "timeout",
    "oom",
    "output_limit",
    "infra",
]
CHECK_ENDS = ["timeout", "oom", "output_limit", "infra"]


def move(past: str):
    return next_move(history(past), LIMITS, infra_retries=RETRIES)


def gives_up(past: str) -> GiveUp:
    result = move(past)
    assert isinstance(result, GiveUp)
    return result


@pytest.mark.parametrize(
    ("past", "step"),
    [
        ("", "edit"),
        ("edit", "static"),
        ("edit static", "runtime"),
        ("edit static!A", "fix"),
        ("edit static runtime!A", "fix"),
        ("edit static!A fix:T2", "static"),
        ("edit static runtime!A fix:T2", "static"),  # both checks again
        ("edit static runtime!A fix:T2 static", "runtime"),
        ("edit static=timeout", "fix"),
        ("edit static runtime=oom", "fix"),
        ("edit static runtime=output_limit", "fix"),
        ("edit static!A fix=no_change", "fix"),
        ("edit static!A fix=scope_violation fix=timeout", "fix"),
        *(
            (f"edit={outcome}", "edit")
            for outcome in ("scope_violation", "no_change", "refused", "timeout", "oom")
        ),
        *((f"edit={outcome}", "edit") for outcome in ("output_limit", "api_error", "rate_limited")),
        ("edit static!A fix=api_error fix=rate_limited", "fix"),
    ],
)
def test_next_step(past, step):
    assert move(past) == RunStep(StepName(step))


@pytest.mark.parametrize(
    "past", ["edit static runtime", "edit static!A fix:T2 static runtime!B fix:T3 static runtime"]
)
def test_done_when_both_checks_passed(past):
    assert move(past) == Done()


def test_used_up_edits_end_the_workstream():
    end = gives_up("edit=no_change edit=refused edit=timeout")
    assert end.trip is not None
    assert (end.trip.breaker, end.trip.step, end.reason) == ("max_attempts", StepName.EDIT, end.trip.message)


def test_used_up_fixes_end_the_workstream():
    end = gives_up("edit static!A fix:T2 static!B fix=no_change fix=refused")
    assert end.trip is not None
    assert (end.trip.breaker, end.trip.step) == ("max_attempts", StepName.FIX)


def test_a_breaker_is_asked_before_the_fix_it_would_forbid():
    end = gives_up("edit:T1 static!A fix:T2 static!B fix:T1 static!A")
    assert end.trip is not None
    assert end.trip.breaker == "oscillation"


def test_a_tree_proposed_again_is_checked_before_it_is_judged():
    assert move("edit:T1 static runtime!A fix:T2 static!B fix:T1") == RunStep(StepName.STATIC)


def test_faults_of_the_endpoint_end_the_workstream_after_their_retries():
    end = gives_up("edit=api_error edit=rate_limited edit=api_error")
    assert end.trip is None
    assert end.reason == (
        "edit could not be carried out, 3 times in a row (retries allowed: 2); at last api_error: edit said so"
    )


def test_without_retries_one_fault_of_the_endpoint_ends_it():
    end = next_move(history("edit=api_error"), LIMITS, infra_retries=0)
    assert end == GiveUp(
        trip=None,
        reason="edit could not be carried out, once (retries allowed: 0); at last api_error: edit said so",
    )


@pytest.mark.parametrize("past", ["edit=infra", "edit static=infra", "edit static runtime=infra"])
def test_a_fault_of_the_machine_that_outlasted_its_retries_ends_the_workstream(past):
    end = gives_up(past)
    step = past.split()[-1].removesuffix("=infra")
    assert end == GiveUp(trip=None, reason=f"{step} could not be carried out: {step} said so")


def test_faults_of_the_endpoint_are_counted_in_a_row():
    past = "edit=api_error edit=api_error edit=no_change edit=api_error edit=api_error"
    assert move(past) == RunStep(StepName.EDIT)


def test_faults_of_the_endpoint_are_not_charged_to_the_agent():
    past = "edit static!A fix:T2 static!B fix=api_error fix=api_error fix:T3 static!C fix=rate_limited"
    assert move(past) == RunStep(StepName.FIX)


def test_a_spent_budget_ends_the_workstream():
    assert gives_up("edit=budget").reason == "the budget is used up: edit said so"


@given(st.data())
def test_every_workstream_comes_to_an_end(data):
    """Whatever the steps do, the number of attempts is bounded by the limits."""
    limits = BreakerLimits(
        max_attempts=data.draw(st.integers(1, 3)),
        max_error_repeats=data.draw(st.integers(0, 3)),
        oscillation_threshold=data.draw(st.integers(0, 3)),
    )
    retries = data.draw(st.integers(0, 2))
    charged = 2 * limits.max_attempts  # edits and fixes
    bound = (charged + 2 * charged) * (retries + 1) + 1  # each followed by two checks
    words: list[str] = []
    for _ in range(bound):
        result = next_move(history(" ".join(words)), limits, infra_retries=retries)
        if not isinstance(result, RunStep):
            assert isinstance(result, GiveUp) or words[-1] == "runtime"
            return
        words.append(data.draw(st.sampled_from(_words(result.step))))
    pytest.fail(f"no end after {bound} attempts: {words}")


def _words(step: StepName) -> list[str]:
    if step.is_agent:
        return [f"{step}:T1", f"{step}:T2", f"{step}:T3", *(f"{step}={end}" for end in AGENT_ENDS)]
    return [f"{step}", f"{step}!A", f"{step}!B", f"{step}!A,B", *(f"{step}={end}" for end in CHECK_ENDS)]
