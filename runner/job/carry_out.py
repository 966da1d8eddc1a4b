"""Carrying out a job, whatever kind of work it is."""

from dataclasses import replace

from runner.core.model import Outcome, StepResult
from runner.errors import RunnerError
from runner.job.agent_step import run_agent
from runner.job.attempt import Attempt
from runner.job.check_steps import run_acceptance_tests, run_static_checks
from runner.job.model import AgentWork, Job, Ports, RuntimeWork, StaticWork
from runner.ports import Emit


def carry_out(job: Job, ports: Ports, emit: Emit) -> StepResult:
    """Carry out one attempt. What the engine or the disk breaks is the outcome `infra`, not an exception."""
    began = ports.clock.monotonic()
    attempt = Attempt(job, ports, emit)
    try:
        result = _run(attempt)
    except RunnerError as error:
        message = f"{error.brief}: {error.details}" if error.details else error.brief
        result = attempt.result(Outcome.INFRA, message)
    except OSError as error:  # above all a full disk
        result = attempt.result(Outcome.INFRA, str(error))
    return replace(result, duration_s=round(ports.clock.monotonic() - began, 3))


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
