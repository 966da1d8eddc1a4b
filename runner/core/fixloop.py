"""What a workstream does next, decided from its history alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from runner.core.breaker import UNCHARGED, Trip, first_trip
from runner.core.model import BreakerLimits, Outcome, StepName, StepResult


@dataclass(frozen=True, slots=True)
class Done:
    """Both checks passed on the candidate."""


@dataclass(frozen=True, slots=True)
class RunStep:
    step: StepName


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """The workstream fails; `trip` is None when no breaker but the world is why."""

    trip: Trip | None
    reason: str


Move = Done | RunStep | GiveUp


def next_move(history: Sequence[StepResult], limits: BreakerLimits, *, infra_retries: int) -> Move:
    """The next move after all attempts so far, in the order they ended."""
    if not history:
        return RunStep(StepName.EDIT)
    last = history[-1]
    if last.outcome is Outcome.OK:
        return _after_success(last.key.step)
    if last.outcome is Outcome.INFRA:  # whoever carried it out has tried it again already
        return GiveUp(trip=None, reason=f"{last.key.step} could not be carried out: {last.message}")
    if last.outcome in UNCHARGED:
        return _again(history, infra_retries)
    if last.outcome is Outcome.BUDGET:
        return GiveUp(trip=None, reason=f"the budget is used up: {last.message}")
    step = StepName.EDIT if last.key.step is StepName.EDIT else StepName.FIX
    trip = first_trip(history, limits, step=step)
    return GiveUp(trip=trip, reason=trip.message) if trip else RunStep(step)


def _after_success(step: StepName) -> Move:
    match step:
        # A fix may break what passed, so both checks follow it.
        case StepName.EDIT | StepName.FIX:
            return RunStep(StepName.STATIC)
        case StepName.STATIC:
            return RunStep(StepName.RUNTIME)
        case StepName.RUNTIME:
            return Done()


def _again(history: Sequence[StepResult], infra_retries: int) -> Move:
    """The same step, unless the model's endpoint failed too often in a row."""
    last = history[-1]
    in_a_row = sum(1 for _ in takewhile(lambda result: result.outcome in UNCHARGED, reversed(history)))
    if in_a_row <= infra_retries:
        return RunStep(last.key.step)
    times = "once" if in_a_row == 1 else f"{in_a_row} times in a row"
    return GiveUp(
        trip=None,
        reason=f"{last.key.step} could not be carried out, {times} (retries allowed: {infra_retries}); "
        f"at last {last.outcome}: {last.message}",
    )
