"""The summary for a person."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.core.model import WsId, WsStatus
from runner.core.summary import Summary, WorkstreamSummary
from runner.report.text import code, fenced
from runner.report.wording import attempts, evidence, headline, next_steps

_ERRORS_SHOWN = 20
_NAMES_SHOWN = 10  # of the workstreams that met one error


def to_markdown(summary: Summary, *, worktrees: Mapping[WsId, Path], logs: Path) -> str:
    """`worktrees` are those that were kept; `logs` is the run's folder, to which outputs are relative."""
    not_done = [part for part in summary.workstreams if part.status is not WsStatus.DONE]
    sections = [
        f"# Run {summary.run_id}: {summary.status}",
        f"{headline(summary)} Based on {code(summary.base)}.",
        _table(summary),
        _branches(summary),
        *(_not_done(part, worktree=worktrees.get(part.ws_id), logs=logs) for part in not_done),
        _warnings(summary),
        _errors(summary),
        _section("What next", [f"- {step.why}: {code(step.command)}" for step in next_steps(summary)]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _table(summary: Summary) -> str:
    rows = [
        f"| {code(part.ws_id)} | {part.status} | {attempts(part)} | {code(part.branch or '')} |"
        for part in summary.workstreams
    ]
    return "\n".join(["| workstream | state | attempts | branch |", "| --- | --- | --- | --- |", *rows])


def _branches(summary: Summary) -> str:
    made = [
        f"- {code(part.branch)} at {code(part.commit or '')}"
        for part in summary.workstreams
        if part.branch and part.status is WsStatus.DONE
    ]
    return _section("Branches made", made)


def _not_done(part: WorkstreamSummary, *, worktree: Path | None, logs: Path) -> str:
    paragraphs = [fenced("\n".join(evidence(part)))]
    if worktree:
        paragraphs.append(f"Its worktree is kept: {code(str(worktree))}")
    if part.last and part.last.outputs:
        printed = [f"- {code(str(logs / output))}" for output in part.last.outputs]
        paragraphs.append("\n".join(["What the tools printed:", "", *printed]))
    return "\n\n".join([f"## {code(part.ws_id)}: {part.status}", *paragraphs])


def _warnings(summary: Summary) -> str:
    warnings = [(part.ws_id, warning) for part in summary.workstreams for warning in part.warnings]
    return _section("Worth a look", [f"- {code(ws_id)}: {code(warning)}" for ws_id, warning in warnings])


def _errors(summary: Summary) -> str:
    if not summary.errors:
        return ""
    rows = [
        f"| {group.count} | {_names(group.workstreams)} | {code(group.signature)} |"
        for group in summary.errors[:_ERRORS_SHOWN]
    ]
    hidden = len(summary.errors) - _ERRORS_SHOWN
    more = (
        ["", f"And {hidden} more: {code(f'runner show-errors --run {summary.run_id}')}"] if hidden > 0 else []
    )
    head = ["| attempts | workstreams | signature |", "| --- | --- | --- |"]
    return _section("Faults met on the way", [*head, *rows, *more])


def _names(workstreams: Sequence[WsId]) -> str:
    hidden = len(workstreams) - _NAMES_SHOWN
    return ", ".join(map(code, workstreams[:_NAMES_SHOWN])) + (f" and {hidden} more" if hidden > 0 else "")


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""
