"""Steps that only look: each tool and each test in a clean room of its own, which is thrown away."""

from collections.abc import Sequence

from runner.checks.verdict import judge_acceptance, judge_tool
from runner.core.model import Finding, Outcome, StepResult, ToolProfile
from runner.core.scope import Scope
from runner.job.attempt import Attempt
from runner.job.model import RuntimeWork, StaticWork
from runner.ports import Command, Ran, Worktree
from runner.profiles import default_checks, expand, matching


def run_static_checks(attempt: Attempt, work: StaticWork, worktree: Worktree) -> StepResult:
    """Run the tools of the workstream, each on the files that its profile selects."""
    changed = worktree.changed(attempt.job.base)
    names = work.tools if work.tools is not None else default_checks(work.profiles, changed)
    verdicts: list[tuple[Outcome, tuple[Finding, ...]]] = []
    for name in names:
        profile = work.profiles[name]
        files = matching(profile, _files(attempt, profile, work.scope, worktree, changed))
        if profile.files != "none" and not files:
            continue
        command = Command(argv=expand(profile, files), env=profile.env)
        ran = _check(attempt, worktree, name, len(verdicts) + 1, command, profile.timeout_s)
        verdicts.append(judge_tool(profile, ran))
    return _verdict(attempt, verdicts, noun="check", changed=changed)


def _files(
    attempt: Attempt, profile: ToolProfile, scope: Scope, worktree: Worktree, changed: Sequence[str]
) -> Sequence[str]:
    """The files that a profile selects, before their extensions are looked at."""
    match profile.files:
        case "none":
            return ()
        case "changed":
            return changed
        case "scope":
            present = worktree.files(attempt.job.candidate)
            return [path for path in present if scope.judge(path, existed_at_base=False) is None]


def run_acceptance_tests(attempt: Attempt, work: RuntimeWork, worktree: Worktree) -> StepResult:
    """Run every acceptance test, whatever the others came to."""
    verdicts: list[tuple[Outcome, tuple[Finding, ...]]] = []
    for number, test in enumerate(work.tests, start=1):
        command = Command(argv=["/bin/sh", "-c", test.command])
        ran = _check(attempt, worktree, test.id, number, command, test.timeout_s)
        verdicts.append(judge_acceptance(test, ran))
    return _verdict(attempt, verdicts, noun="acceptance test", changed=worktree.changed(attempt.job.base))


def _check(
    attempt: Attempt, worktree: Worktree, name: str, serial: int, command: Command, timeout_s: float | None
) -> Ran:
    """Each check has a clean room of its own: what one leaves behind, the next never sees."""
    with attempt.sandbox(worktree, serial, None, timeout_s) as sandbox:
        return attempt.run(sandbox, name, serial, command)


def _verdict(
    attempt: Attempt,
    verdicts: Sequence[tuple[Outcome, tuple[Finding, ...]]],
    *,
    noun: str,
    changed: Sequence[str],
) -> StepResult:
    not_judged = [finding for outcome, found in verdicts for finding in found if outcome is Outcome.INFRA]
    if not_judged:  # nothing is said about the code, so there is nothing to fix or to count
        message = "; ".join(f"{one.tool}: {one.message.splitlines()[0]}" for one in not_judged)
        return attempt.result(Outcome.INFRA, message, changed=changed)
    findings = [finding for _, found in verdicts for finding in found]
    bad = [outcome for outcome, _ in verdicts if outcome is not Outcome.OK]
    if not bad:
        message = f"{_count(len(verdicts), noun)} passed" if verdicts else f"there are no {noun}s to run"
        return attempt.result(Outcome.OK, message, changed=changed)
    outcome = Outcome.FINDINGS if Outcome.FINDINGS in bad else bad[0]
    message = f"{len(bad)} of {_count(len(verdicts), noun)} failed with {_count(len(findings), 'finding')}"
    return attempt.result(outcome, message, findings=findings, changed=changed)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
