"""Under what a failed attempt is counted, so that the same fault is the same row."""

from collections.abc import Mapping
from dataclasses import dataclass

from runner.core.model import Finding, Outcome, Refusal, StepName, StepResult
from runner.core.signature import signature as signature_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    code: str  # LINT_ERROR, TEST_FAILURE, or the outcome in capitals
    signature: str
    message: str
    context: Mapping[str, object]  # JSON-able


def faults(result: StepResult) -> list[Fault]:
    """One fault for each signature; for an attempt that ended badly without findings, how it ended."""
    if result.outcome is Outcome.OK:
        return []
    if result.findings:
        return _of_findings(result.key.step, result.findings)
    if result.refusals:
        return [_of_refusal(result.key.step, refusal) for refusal in result.refusals]
    return [_of_outcome(result)]


def _of_findings(step: StepName, findings: tuple[Finding, ...]) -> list[Fault]:
    code = "LINT_ERROR" if step is StepName.STATIC else "TEST_FAILURE"
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.signature, []).append(finding)
    return [
        Fault(
            code=code,
            signature=signature,
            message=group[0].message,
            context={
                "tool": group[0].tool,
                "rule": group[0].rule,
                "path": group[0].path,
                "line": group[0].line,
                "places": len(group),
            },
        )
        for signature, group in groups.items()
    ]


def _of_refusal(step: StepName, refusal: Refusal) -> Fault:
    return Fault(
        code=Outcome.SCOPE_VIOLATION.upper(),
        signature=signature_of(step, Outcome.SCOPE_VIOLATION, refusal.path),
        message=f"{refusal.path}: {refusal.reason}",
        context={"path": refusal.path, "kind": refusal.kind, "size": refusal.size},
    )


def _of_outcome(result: StepResult) -> Fault:
    return Fault(
        code=result.outcome.upper(),
        signature=signature_of(result.key.step, result.outcome, result.message),
        message=result.message,
        context={},
    )
