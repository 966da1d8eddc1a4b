"""The summary for programs."""

import json
from dataclasses import asdict

from runner.core.model import WsStatus
from runner.core.summary import Summary, WorkstreamSummary


def to_dict(summary: Summary) -> dict[str, object]:
    return {
        "run_id": summary.run_id,
        "status": summary.status,
        "base_commit": summary.base,
        "workstreams": {"total": len(summary.workstreams)} | _counts(summary),
        "started_at": summary.started_at,
        "duration_sec": summary.duration_sec,
        "usage": asdict(summary.usage),
        "errors_by_signature": {
            group.signature: {
                "code": group.code,
                "count": group.count,
                "message": group.message,
                "workstreams": group.workstreams,
                "first_seen_at": group.first_seen_at,
                "last_seen_at": group.last_seen_at,
            }
            for group in summary.errors
        },
        "details": [_workstream(part) for part in summary.workstreams],
        "timeline": [asdict(moment) for moment in summary.timeline],
    }


def to_json(summary: Summary) -> str:
    return json.dumps(to_dict(summary), indent=2) + "\n"


def _counts(summary: Summary) -> dict[str, int]:
    return {status.value: summary.counts.get(status, 0) for status in WsStatus}


def _workstream(part: WorkstreamSummary) -> dict[str, object]:
    return {
        "ws_id": part.ws_id,
        "status": part.status,
        "reason": part.reason,
        "depends_on": part.depends_on,
        "branch": part.branch,
        "base_commit": part.base,
        "commit": part.commit,
        "attempts": dict(part.attempts),
        "duration_sec": part.duration_sec,
        "usage": asdict(part.usage),
        "warnings": part.warnings,
        "last_attempt": _last_attempt(part),
    }


def _last_attempt(part: WorkstreamSummary) -> dict[str, object] | None:
    if part.last is None:
        return None
    return {
        "step": part.last.key.step,
        "attempt": part.last.key.attempt,
        "outcome": part.last.outcome,
        "message": part.last.message,
        "findings_total": part.findings_total,
        "findings": [asdict(finding) for finding in part.last.findings],
        "refusals": [asdict(refusal) for refusal in part.last.refusals],
        "outputs": part.last.outputs,
    }
