"""How a step's result is written into `result_json`, and read back."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from runner.core.model import (
    AttemptKey,
    Commit,
    Finding,
    Outcome,
    Refusal,
    Severity,
    StepResult,
    Tree,
    Usage,
)
from runner.core.records import kept


def to_json(result: StepResult) -> str:
    """The result as `kept` leaves it."""
    result = kept(result)
    return json.dumps(
        {
            "outcome": result.outcome,
            "message": result.message,
            "candidate": result.candidate,
            "diff_hash": result.tree,
            "files_modified": result.changed,
            "findings_total": len(result.findings) + result.findings_left_out,
            "findings": [asdict(finding) for finding in result.findings],
            "refusals": [asdict(refusal) for refusal in result.refusals],
            "usage": asdict(result.usage),
            "outputs": result.outputs,
            "duration_s": result.duration_s,
        }
    )


def from_json(key: AttemptKey, text: str) -> StepResult:
    stored: Mapping[str, Any] = json.loads(text)
    return StepResult(
        key=key,
        outcome=Outcome(stored["outcome"]),
        message=stored["message"],
        candidate=Commit(stored["candidate"]),
        tree=Tree(stored["diff_hash"]),
        changed=tuple(stored["files_modified"]),
        findings=tuple(_finding(item) for item in stored["findings"]),
        findings_left_out=stored["findings_total"] - len(stored["findings"]),
        refusals=tuple(Refusal(**item) for item in stored["refusals"]),
        usage=Usage(**stored["usage"]),
        outputs=tuple(stored["outputs"]),
        duration_s=stored["duration_s"],
    )


def _finding(stored: Mapping[str, Any]) -> Finding:
    return Finding(**{**stored, "severity": Severity(stored["severity"])})
