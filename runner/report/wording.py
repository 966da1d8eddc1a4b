"""Sentences about a run: the same in the report and on the terminal. Tools' text in them is still raw."""

import shlex
from dataclasses import dataclass

from runner.core.model import Finding, RunStatus, StepResult, WsStatus
from runner.core.summary import Summary, WorkstreamSummary

_FINDINGS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class NextStep:
    why: str
    command: str


def headline(summary: Summary) -> str:
    """How many came to what, how long it took, and what the model was asked."""
    others = [
        f", {count} {status}" for status, count in summary.counts.items() if status is not WsStatus.DONE
    ]
    usage = summary.usage
    return (
        f"{summary.counts.get(WsStatus.DONE, 0)} of {len(summary.workstreams)} workstreams done"
        f"{''.join(others)}, in {duration(summary.duration_sec)}; "
        f"{usage.requests} model requests, {usage.tokens_in} tokens in, {usage.tokens_out} out."
    )


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 07 s`, `1 h 02 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def attempts(part: WorkstreamSummary) -> str:
    """`1 edit, 2 static, 1 fix`."""
    return ", ".join(f"{count} {step}" for step, count in part.attempts.items())


def evidence(part: WorkstreamSummary) -> list[str]:
    """Why a workstream is where it is: its reason, its last attempt and what that found."""
    lines = [part.reason] if part.reason else []
    if not part.last:
        return lines or ["No attempt of it has ended."]
    shown = part.last.findings[:_FINDINGS_SHOWN]
    hidden = part.findings_total - len(shown)
    lines += [_last(part.last), *(_finding(finding) for finding in shown)]
    lines += [f"... and {hidden} more findings"] if hidden else []
    return lines + [f"refused {refusal.path}: {refusal.reason}" for refusal in part.last.refusals]


def next_steps(summary: Summary) -> list[NextStep]:
    """What a person may want to do now."""
    if summary.status is RunStatus.RUNNING:
        return [
            NextStep("Watch it", f"runner logs --run {summary.run_id} --follow"),
            NextStep("If it was stopped or killed, go on with it", f"runner resume {summary.run_id}"),
        ]
    steps = []
    if taken := next((part.branch for part in summary.workstreams if _is_handed_back(part)), None):
        branch = shlex.quote(taken)
        steps.append(NextStep("Look at a result", f"git log -p {summary.base[:12]}..{branch}"))
        steps.append(NextStep("Take it over", f"git merge {branch}"))
    failed = next((part.ws_id for part in summary.workstreams if part.status is WsStatus.FAILED), None)
    if failed:
        show = f"runner show-errors --run {summary.run_id} --ws {shlex.quote(failed)}"
        steps.append(NextStep("See what failed", show))
    return [*steps, NextStep("See what happened", f"runner show-events --run {summary.run_id}")]


def _is_handed_back(part: WorkstreamSummary) -> bool:
    return part.branch is not None and part.status is WsStatus.DONE


def _last(result: StepResult) -> str:
    return f"{result.key.step} attempt {result.key.attempt} ended {result.outcome}: {result.message}"


def _finding(finding: Finding) -> str:
    line = f":{finding.line}" if finding.line is not None else ""
    place = f"{finding.path}{line}" if finding.path else ""
    return " ".join(word for word in (place, finding.rule, finding.message) if word)
