"""When a workstream is given up, and the evidence for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from runner.core.model import AttemptKey, BreakerLimits, Finding, Outcome, StepName, StepResult

# These say nothing about the agent's work, so they are not charged to it.
UNCHARGED = frozenset({Outcome.INFRA, Outcome.API_ERROR, Outcome.RATE_LIMITED})

BreakerName = Literal["max_attempts", "error_repeats", "oscillation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A breaker that opened: one sentence for a person, and JSON-able numbers to match on."""

    breaker: BreakerName
    step: StepName
    message: str
    evidence: Mapping[str, object]


def first_trip(history: Sequence[StepResult], limits: BreakerLimits, *, step: StepName) -> Trip | None:
    """The breaker that forbids one more attempt of the agent step `step`; the most telling one first."""
    return (
        oscillation(history, limits.oscillation_threshold)
        or error_repeats(history, limits.max_error_repeats)
        or max_attempts(history, limits.max_attempts, step=step)
    )


def max_attempts(history: Sequence[StepResult], limit: int, *, step: StepName) -> Trip | None:
    """Whether the agent step has used up its attempts."""
    charged = [result for result in history if result.key.step is step and result.outcome not in UNCHARGED]
    if len(charged) < limit:
        return None
    last = history[-1]
    return Trip(
        breaker="max_attempts",
        step=step,
        message=f"{len(charged)} of {limit} {step} attempts are used up; "
        f"{_name(last.key)} ended with {last.outcome}: {_what_stays(last)}",
        evidence={
            "attempts": len(charged),
            "limit": limit,
            "last_attempt": _name(last.key),
            "last_outcome": last.outcome.value,
            "findings": _signatures(last.findings),
        },
    )


def error_repeats(history: Sequence[StepResult], limit: int) -> Trip | None:
    """Whether a fault that the last check found was found by `limit` checks; 0 switches this off."""
    checks = _checks(history)
    if not limit or not checks:
        return None
    for finding in checks[-1].findings:
        seen_in = [check for check in checks if finding.signature in _signatures(check.findings)]
        if len(seen_in) >= limit:
            return Trip(
                breaker="error_repeats",
                step=checks[-1].key.step,
                message=f"{_label(finding)} was found by {len(seen_in)} checks ({limit} allowed), "
                f"from {_name(seen_in[0].key)} to {_name(seen_in[-1].key)}: {_first_line(finding.message)}",
                evidence={
                    "signature": finding.signature,
                    "count": len(seen_in),
                    "limit": limit,
                    "checks": [_name(check.key) for check in seen_in],
                },
            )
    return None


def oscillation(history: Sequence[StepResult], threshold: int) -> Trip | None:
    """Whether the last accepted tree was proposed `threshold` times; 0 switches this off."""
    proposals = [result for result in history if result.key.step.is_agent and result.outcome is Outcome.OK]
    if not threshold or not proposals:
        return None
    last = proposals[-1]
    same = [result for result in proposals if result.tree == last.tree]
    if len(same) < threshold:
        return None
    checks = _checks(history)
    stays = checks[-1].findings if checks else ()
    return Trip(
        breaker="oscillation",
        step=last.key.step,
        message=f"{_name(last.key)} gives the tree of {_name(same[0].key)} ({last.tree[:7]}…), "
        f"proposed {len(same)} times ({threshold} allowed); {_stay(stays)}",
        evidence={
            "tree": last.tree,
            "count": len(same),
            "limit": threshold,
            "attempts": [_name(result.key) for result in same],
            "findings": _signatures(stays),
        },
    )


def _checks(history: Sequence[StepResult]) -> list[StepResult]:
    return [result for result in history if not result.key.step.is_agent and result.outcome not in UNCHARGED]


def _name(key: AttemptKey) -> str:
    return f"{key.step} attempt {key.attempt}"


def _what_stays(result: StepResult) -> str:
    return _stay(result.findings) if result.findings else result.message


def _stay(findings: Sequence[Finding]) -> str:
    labels = list(dict.fromkeys(_label(finding) for finding in findings))
    if not labels:
        return "no finding is known"
    if len(labels) == 1:
        return f"the finding {labels[0]} stays"
    more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
    return f"the findings {', '.join(labels[:3])}{more} stay"


def _label(finding: Finding) -> str:
    """`F401 in a.py`, or the rule alone where it names the file (pytest's do)."""
    return (
        f"{finding.rule} in {finding.path}"
        if finding.path and finding.path not in finding.rule
        else finding.rule
    )


def _first_line(message: str) -> str:
    return next(iter(message.splitlines()), "")


def _signatures(findings: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.signature for finding in findings))
