"""What the store holds of a run, as values: the input of reports, of queries and of a resume."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from runner.core.events import EventType
from runner.core.model import (
    AttemptKey,
    AttemptStatus,
    Commit,
    RunId,
    RunStatus,
    StepName,
    StepResult,
    WsId,
    WsStatus,
)

FINDINGS_KEPT: Final = 200  # of one attempt; the errors table counts them all


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    run_id: RunId
    status: RunStatus
    base_commit: Commit
    plan_sha256: str
    created_at: str
    updated_at: str
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkstreamRecord:
    run_id: RunId
    ws_id: WsId
    status: WsStatus
    depends_on: tuple[WsId, ...]
    branch: str | None  # once it exists
    base_commit: Commit | None
    candidate_commit: Commit | None
    reason: str  # why it failed or is blocked
    created_at: str
    updated_at: str
    metadata: Mapping[str, object]  # the bundle, as planned


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    key: AttemptKey
    status: AttemptStatus
    started_at: str
    completed_at: str | None
    result: StepResult | None  # as `kept` leaves it; None while it is in progress
    findings_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRecord:
    """One fault of one step of a workstream; `count` is the number of attempts that met it."""

    run_id: RunId
    ws_id: WsId
    step: StepName
    code: str
    signature: str
    message: str
    context: Mapping[str, object]  # where it was met last
    count: int
    first_seen_at: str
    last_seen_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    id: int
    timestamp: str
    type: EventType
    run_id: RunId | None
    ws_id: WsId | None
    payload: Mapping[str, object]


def kept(result: StepResult) -> StepResult:
    """The result as the store keeps it. What is decided by it is the same before a crash and after.

    Of too many findings, one of each signature goes before a second of any: breakers tell them apart by that.
    """
    too_many = len(result.findings) - FINDINGS_KEPT
    if too_many <= 0:
        return result
    seen: Counter[str] = Counter()
    by_weight = []
    for position, finding in enumerate(result.findings):
        by_weight.append((seen[finding.signature], position))
        seen[finding.signature] += 1
    chosen = sorted(position for _, position in sorted(by_weight)[:FINDINGS_KEPT])
    return replace(
        result,
        findings=tuple(result.findings[position] for position in chosen),
        findings_left_out=result.findings_left_out + too_many,
    )
