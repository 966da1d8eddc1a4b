"""What a check's end says about the candidate."""

from runner.checks.finding import Printed, found, last_lines
from runner.checks.parsers import parser_of, text
from runner.checks.pytest_output import looks_like_pytest, pytest
from runner.core.model import AcceptanceTest, Finding, Outcome, ToolProfile
from runner.ports import End, Ran

_ACCEPTANCE = "acceptance"  # the tool of an acceptance test whose output is not understood
_NOT_RUNNABLE = (126, 127)  # a shell's exit codes for a command that it cannot run

_Verdict = tuple[Outcome, tuple[Finding, ...]]

_STOPPED = {
    End.TIMEOUT: (Outcome.TIMEOUT, "did not end in time and was killed"),
    End.OOM: (Outcome.OOM, "ran out of memory"),
    End.OUTPUT_LIMIT: (Outcome.OUTPUT_LIMIT, "printed more than it may and was killed"),
}


def judge_tool(profile: ToolProfile, ran: Ran) -> _Verdict:
    """The exit code decides, by the profile; the output only says what was found.

    Every outcome but `ok` has a finding: for `infra` (the image lacks the tool, the run was cancelled) it
    is the explanation. A tool that fails otherwise than by finding something is a finding of its own.
    Raises ConfigError for a profile with an unknown parser.
    """
    if ran.end is not End.EXITED:
        return _stopped(profile.id, ran)
    if ran.exit_code in profile.success_exit_codes:
        return Outcome.OK, ()
    if ran.exit_code in _NOT_RUNNABLE and ran.exit_code not in profile.findings_exit_codes:
        return Outcome.INFRA, (_missing(profile, ran),)
    printed = _printed(ran)
    findings = parser_of(profile.parser)(profile.id, printed)
    if ran.exit_code in profile.findings_exit_codes:
        return Outcome.FINDINGS, findings or text(profile.id, printed)
    return Outcome.FINDINGS, (_tool_failed(profile, ran), *findings)


def judge_acceptance(test: AcceptanceTest, ran: Ran) -> _Verdict:
    """Exit code 0 is success and everything else is not, be it that there were no tests to run."""
    if ran.end is not End.EXITED:
        return _stopped(_ACCEPTANCE, ran, rule=test.id)
    if ran.exit_code == 0:
        return Outcome.OK, ()
    printed = _printed(ran)
    findings = pytest("pytest", printed) if looks_like_pytest(printed.stdout) else ()
    return Outcome.FINDINGS, findings or (_failed(test, ran),)


def _printed(ran: Ran) -> Printed:
    return Printed(exit_code=ran.exit_code, stdout=ran.stdout.text(), stderr=ran.stderr.text())


def _shown(ran: Ran) -> str:
    return last_lines(ran.stdout.text(), ran.stderr.text())


def _stopped(tool: str, ran: Ran, *, rule: str = "") -> _Verdict:
    if ran.end not in _STOPPED:
        return Outcome.INFRA, (found(tool, "cancelled", f"{rule or tool} was interrupted"),)
    outcome, what = _STOPPED[ran.end]
    told = f"{rule or tool} {what}"
    message = f"{told} after {ran.duration_s:.0f} s:\n{_shown(ran)}"
    return outcome, (found(tool, outcome.upper(), message, identity=told),)


def _missing(profile: ToolProfile, ran: Ran) -> Finding:
    told = f"the image cannot run {profile.command!r} (exit code {ran.exit_code})"
    return found(profile.id, "tool_missing", f"{told}\n{last_lines(ran.stderr.text())}", identity=told)


def _tool_failed(profile: ToolProfile, ran: Ran) -> Finding:
    shown = _shown(ran)
    message = f"{profile.id} itself failed with exit code {ran.exit_code}:\n{shown}"
    return found(profile.id, "tool_failed", message, identity=shown)


def _failed(test: AcceptanceTest, ran: Ran) -> Finding:
    shown = _shown(ran)
    message = f"`{test.command}` exited with {ran.exit_code}:\n{shown}"
    return found(_ACCEPTANCE, test.id, message, identity=f"exit code {ran.exit_code}: {shown}")
