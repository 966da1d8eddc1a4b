"""Steps in which an agent writes: what it leaves is judged by the scope, and becomes the candidate or nothing."""

from collections.abc import Sequence

from runner.core.events import EventType
from runner.core.model import Commit, Outcome, Refusal, StepResult
from runner.core.scope import Scope
from runner.job.attempt import Attempt
from runner.job.model import AgentWork
from runner.ports import (
    AgentReport,
    AgentTask,
    Call,
    Change,
    CommitInfo,
    End,
    Ran,
    Sandbox,
    Worktree,
    total,
)

_BAD_ENDS = {
    End.TIMEOUT: (Outcome.TIMEOUT, "did not end in time and was killed"),
    End.OOM: (Outcome.OOM, "ran out of memory"),
    End.OUTPUT_LIMIT: (Outcome.OUTPUT_LIMIT, "printed more than it may and was killed"),
    End.CANCELLED: (Outcome.INFRA, "was interrupted"),
}


def run_agent(attempt: Attempt, work: AgentWork, worktree: Worktree) -> StepResult:
    """Let the agent work, then judge what it left: evidence decides, not what the agent says."""
    agent = attempt.ports.agents[work.agent]
    command = agent.command(_task(attempt, work, worktree))
    with (
        attempt.ports.doors.open(attempt.job.key) as door,
        attempt.sandbox(worktree, 1, door) as sandbox,
    ):
        try:
            ran = attempt.run(sandbox, agent.name, 1, command)
        finally:  # what was asked was paid for, even when the sandbox is lost
            calls = door.take_calls()
            attempt.usage = total(calls)
        ended = _bad_end(ran) or _model_failure(calls)
        changes = [] if ran.end is not End.EXITED else sandbox.changes()
        if not changes or ran.end is not End.EXITED:
            outcome, message = ended or _no_change(ran, agent.report(ran), asked=bool(calls))
            return attempt.result(outcome, message)
        return _judge(attempt, work, worktree, sandbox, changes)


def _task(attempt: Attempt, work: AgentWork, worktree: Worktree) -> AgentTask:
    named = work.scope.plain_files(worktree.files(attempt.job.candidate))
    made = worktree.changed(attempt.job.base)  # by earlier attempts, perhaps under a name nobody listed
    return AgentTask(
        step=attempt.job.key.step,
        prompt=work.prompt,
        files=tuple(dict.fromkeys([*named, *made])),
        model=work.model,
        timeout_s=attempt.job.timeout_s,
    )


def _judge(
    attempt: Attempt, work: AgentWork, worktree: Worktree, sandbox: Sandbox, changes: Sequence[Change]
) -> StepResult:
    refusals = _refusals(attempt.job.base, work.scope, worktree, changes)
    refused = {refusal.path for refusal in refusals}
    kept = [change for change in changes if change.path not in refused]
    if refusals:
        attempt.tell(
            EventType.SCOPE_VIOLATION,
            paths=[
                {"path": one.path, "kind": one.kind, "reason": one.reason, "size": one.size}
                for one in refusals
            ],
            policy=work.on_violation,
        )
    if refusals and (work.on_violation == "fail" or not kept):
        named = ", ".join(sorted(refused)[:3]) + (" …" if len(refused) > 3 else "")
        message = f"changed {len(refused)} path(s) outside its scope: {named}; nothing was accepted"
        return attempt.result(Outcome.SCOPE_VIOLATION, message, refusals=refusals)
    info = CommitInfo(message=work.message, author=work.author, date=attempt.job.started_at)
    candidate = worktree.accept(sandbox, kept, info)
    changed = [change.path for change in kept]
    dropped = f"; {len(refused)} path(s) outside the scope were dropped" if refusals else ""
    message = f"changed {len(changed)} file(s){dropped}"
    return attempt.result(Outcome.OK, message, refusals=refusals, changed=changed, candidate=candidate)


def _refusals(base: Commit, scope: Scope, worktree: Worktree, changes: Sequence[Change]) -> list[Refusal]:
    at_base = frozenset(worktree.files(base))
    judged = (
        (
            change,
            change.refused
            or scope.judge(change.path, existed_at_base=change.path in at_base, kind=change.kind),
        )
        for change in changes
    )
    return [
        Refusal(path=change.path, kind=change.kind, reason=reason, size=change.size)
        for change, reason in judged
        if reason
    ]


def _bad_end(ran: Ran) -> tuple[Outcome, str] | None:
    found = _BAD_ENDS.get(ran.end)
    return (found[0], f"the agent {found[1]} after {ran.duration_s:.0f} s") if found else None


def _model_failure(calls: Sequence[Call]) -> tuple[Outcome, str] | None:
    """What the gateway saw, when no request was answered."""
    if not calls or any(call.status == 200 for call in calls):
        return None
    last = calls[-1]
    outcome = Outcome.RATE_LIMITED if last.status == 429 else Outcome.API_ERROR
    status = f"HTTP {last.status}" if last.status else "no answer"
    return outcome, f"the model's endpoint failed ({status}): {last.error}".rstrip(": ")


def _no_change(ran: Ran, report: AgentReport, *, asked: bool) -> tuple[Outcome, str]:
    """Nothing changed, although the model answered whenever it was asked."""
    if ran.exit_code != 0:
        last = ran.stderr.text().strip().rsplit("\n", 1)[-1]
        # Without an answer the agent never got to its work; with one, another answer may serve it better.
        outcome = Outcome.REFUSED if asked else Outcome.INFRA
        return outcome, f"the agent exited with {ran.exit_code}: {last[:200]}".rstrip(": ")
    if report.truncated:
        return Outcome.REFUSED, "the model's answer hit its length limit and was not usable as an edit"
    if report.malformed:
        return Outcome.REFUSED, f"{report.malformed} answer(s) of the model were not usable as edits"
    if report.errors:
        return Outcome.REFUSED, f"the agent made no change: {report.errors[-1][:200]}"
    return Outcome.NO_CHANGE, "the agent changed nothing"
