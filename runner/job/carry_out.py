"""Carrying out a job, whatever kind of work it is."""

from dataclasses import replace

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from runner.core.events import EventType
from runner.core.model import Outcome, StepResult
from runner.errors import RunnerError
from runner.job.agent_step import run_agent
from runner.job.attempt import Attempt
from runner.job.check_steps import run_acceptance_tests, run_static_checks
from runner.job.model import AgentWork, Job, Ports, RuntimeWork, StaticWork
from runner.ports import Emit

_LONGEST_PAUSE_S = 30


def carry_out(job: Job, ports: Ports, emit: Emit) -> StepResult | None:
    """Carry out one attempt once the machine has a place for it. None: it was stopped, and says nothing.

    What the engine or the disk breaks is the outcome `infra`, not an exception, and the attempt is done again after
    a pause, `job.infra_retries` times: everything it does may be done twice.
    """
    result = _patient(job, ports, emit)(_try, job, ports, emit)
    return None if result.outcome is Outcome.INFRA and ports.stop.is_set() else result


def _patient(job: Job, ports: Ports, emit: Emit) -> Retrying:
    def tell(state: RetryCallState) -> None:
        pause_s = state.next_action.sleep if state.next_action else 0.0
        result = _result(state)
        attempt = Attempt(job, ports, emit)
        attempt.tell(
            EventType.TOOL_FAILED,
            outcome=result.outcome,
            message=result.message,
            tries=state.attempt_number,
            again_in_sec=round(pause_s, 1),
        )

    return Retrying(
        retry=retry_if_result(lambda result: result.outcome is Outcome.INFRA),
        stop=stop_after_attempt(job.infra_retries + 1) | stop_when_event_set(ports.stop),
        wait=wait_exponential(multiplier=1, max=_LONGEST_PAUSE_S),
        sleep=sleep_using_event(ports.stop),
        before_sleep=tell,
        retry_error_callback=_given_up,
    )


def _given_up(state: RetryCallState) -> StepResult:
    result, tries = _result(state), state.attempt_number
    return replace(result, message=f"{result.message} (tried {tries} times)") if tries > 1 else result


def _result(state: RetryCallState) -> StepResult:
    assert state.outcome is not None  # it is asked of a try that has ended
    result: StepResult = state.outcome.result()
    return result


def _try(job: Job, ports: Ports, emit: Emit) -> StepResult:
    attempt = Attempt(job, ports, emit)
    try:
        with ports.slots.hold(ports.stop) as held:
            attempt.begin()
            result = (
                _run(attempt) if held else attempt.result(Outcome.INFRA, "stopped before there was a place")
            )
    except RunnerError as error:
        message = f"{error.brief}: {error.details}" if error.details else error.brief
        result = attempt.result(Outcome.INFRA, message)
    except OSError as error:  # above all a full disk
        result = attempt.result(Outcome.INFRA, str(error))
    return replace(result, duration_s=attempt.duration_s())


def _run(attempt: Attempt) -> StepResult:
    job = attempt.job
    worktree = attempt.ports.worktrees.checkout(job.key.ws_id, job.candidate)
    match job.work:
        case AgentWork() as work:
            return run_agent(attempt, work, worktree)
        case StaticWork() as work:
            return run_static_checks(attempt, work, worktree)
        case RuntimeWork() as work:
            return run_acceptance_tests(attempt, work, worktree)
