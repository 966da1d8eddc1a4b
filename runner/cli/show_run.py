"""`runner show-run`"""

from typing import TYPE_CHECKING

from runner.cli.history import JsonOption, RepoOption, RunArgument, RunOption, find_layout, wanted_run
from runner.cli.table import show_table
from runner.core.model import WsStatus
from runner.layout import StateLayout
from runner.report.text import plain

if TYPE_CHECKING:
    from runner.core.summary import Summary

_MOST_SHOWN = 100  # workstreams; those that are not done come first


def show_run(
    run: RunArgument = None,
    *,
    run_option: RunOption = None,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a run came to, or how far it is: each workstream, and why those that are not done are not."""
    from runner.report.summary_json import to_json
    from runner.store import queries
    from runner.store.db import reading

    layout = find_layout(repo)
    with reading(layout.db) as connection:
        summary = queries.summary(connection, queries.find_run(connection, wanted_run(run, run_option)))
    if as_json:
        print(to_json(summary), end="")
    else:
        show_summary(summary, layout)


def show_summary(summary: "Summary", layout: StateLayout) -> None:
    """Print a summary for a person."""
    from runner.report.wording import attempts, evidence, headline, next_steps

    print(f"Run {summary.run_id}: {summary.status}")
    print(headline(summary))
    print()
    shown = sorted(summary.workstreams, key=lambda part: part.status is WsStatus.DONE)[:_MOST_SHOWN]
    shown.sort(key=lambda part: part.ws_id)
    rows = [(part.ws_id, part.status, attempts(part), part.branch or "") for part in shown]
    show_table(("WORKSTREAM", "STATE", "ATTEMPTS", "BRANCH"), rows)
    if len(shown) < len(summary.workstreams):
        print(f"... and {len(summary.workstreams) - len(shown)} more (--json has them all)")
    for part in shown:
        if part.status is not WsStatus.DONE:
            kept = layout.worktree(summary.run_id, part.ws_id)
            also = [f"Its worktree is kept: {kept}"] if kept.exists() else []
            _show_lines(f"{part.ws_id} is {part.status}:", [*evidence(part), *also])
    warnings = [f"{part.ws_id}: {warning}" for part in summary.workstreams for warning in part.warnings]
    if warnings:
        _show_lines("Worth a look:", warnings)
    _show_lines("What next:", [f"{step.why}: {step.command}" for step in next_steps(summary)])


def _show_lines(title: str, lines: list[str]) -> None:
    print(f"\n{plain(title)}")
    for line in lines:
        first, *more = line.splitlines()
        print(f"  {plain(first)}{' …' if more else ''}")
