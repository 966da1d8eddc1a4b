"""The reports of a run, as files."""

import json
from dataclasses import dataclass
from pathlib import Path

from runner.core.model import RunId, RunStatus
from runner.core.summary import Summary
from runner.layout import StateLayout
from runner.report.summary_json import to_json
from runner.report.summary_md import to_markdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    json: Path
    markdown: Path


def write_reports(summary: Summary, layout: StateLayout) -> Reports:
    """Write the summary for programs and for people, and a copy beside the logs; repeatable."""
    run_id = summary.run_id
    logs = layout.logs(run_id)
    places = {part.ws_id: layout.worktree(run_id, part.ws_id) for part in summary.workstreams}
    kept = {ws_id: place for ws_id, place in places.items() if place.exists()}
    reports = _places(layout, run_id)
    for_programs = to_json(summary)
    _write(logs / "summary.json", for_programs)
    _write(reports.markdown, to_markdown(summary, worktrees=kept, logs=logs))
    _write(reports.json, for_programs)  # last: see has_reports
    return reports


def has_reports(layout: StateLayout, run_id: RunId) -> bool:
    """Whether the summary of an ended run was written, and all of it."""
    try:
        written = json.loads(_places(layout, run_id).json.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return bool(written["status"] != RunStatus.RUNNING)


def _places(layout: StateLayout, run_id: RunId) -> Reports:
    return Reports(
        json=layout.reports / f"{run_id}_summary.json",
        markdown=layout.reports / f"{run_id}_summary.md",
    )


def _write(path: Path, text: str) -> None:
    """All or nothing: a reader finds the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
