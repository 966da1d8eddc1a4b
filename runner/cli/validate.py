"""`runner validate`"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.history import JsonOption, RepoOption
from runner.core.graph import levels
from runner.core.model import Severity
from runner.core.plan import Plan, Problem
from runner.errors import ExitCode
from runner.report.text import plain

_MOST_SHOWN = 100  # lines of a plan's picture

PlanOption = Annotated[
    Path | None,
    typer.Option("--plan", help="The plan: a folder, or one file.", show_default="run.plan of the settings"),
]


def validate(*, plan: PlanOption = None, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """Check a plan and show its order, without running anything. Every problem of every file is reported."""
    from runner.bundles import check_plan

    found, problems = check_plan(plan or _configured_plan(repo))
    if as_json:
        print(json.dumps(_as_json(found, problems), indent=2))
    else:
        _show(found, problems)
    if found is None:
        raise typer.Exit(ExitCode.USAGE)


def _configured_plan(repo: Path | None) -> Path:
    from runner.config import environment, load_settings
    from runner.git import find_top

    env = environment()
    return load_settings(repo=find_top(repo or Path.cwd(), env), env=env).settings.run.plan


def _as_json(plan: Plan | None, problems: Sequence[Problem]) -> dict[str, object]:
    return {
        "ok": plan is not None,
        "problems": [
            {
                "file": problem.file,
                "path": problem.path,
                "line": problem.line,
                "column": problem.column,
                "severity": problem.severity,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in problems
        ],
        "workstreams": [
            {
                "id": bundle.id,
                "branch": bundle.branch,
                "depends_on": bundle.depends_on,
                "tasks": len(bundle.tasks),
                "acceptance_tests": len(bundle.acceptance_tests),
                "file": bundle.source,
            }
            for bundle in plan or ()
        ],
        "levels": levels(plan.graph) if plan else [],
    }


def _show(plan: Plan | None, problems: Sequence[Problem]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for problem in problems:
        style = "red" if problem.severity is Severity.ERROR else "yellow"
        console.print(Text(plain(str(problem)), style=style))
    if plan:
        for line in _picture(plan):
            console.print(Text(line))
    console.print(Text(_summary(plan, problems), style="bold"))


def _picture(plan: Plan) -> list[str]:
    """One line a workstream, deeper the more must come before it; of a large plan the beginning."""
    placed = [(depth, name) for depth, names in enumerate(levels(plan.graph)) for name in names]
    shown = placed[:_MOST_SHOWN]
    width = max(len(name) for _, name in shown)
    lines = []
    for depth, name in shown:
        needs = plan.by_id[name].depends_on
        arrow = f"  after {', '.join(needs)}" if needs else ""
        lines.append(f"{'  ' * depth}{name:<{width if needs else 0}}{arrow}")
    if hidden := len(placed) - len(shown):
        lines.append(f"... and {hidden} more (--json has them all)")
    return lines


def _summary(plan: Plan | None, problems: Sequence[Problem]) -> str:
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    warned = f", {_count(len(problems) - errors, 'warning')}" if len(problems) > errors else ""
    if plan is None:
        return f"{_count(errors, 'error')}{warned}"
    edges = sum(len(bundle.depends_on) for bundle in plan)
    depth = len(levels(plan.graph))
    counts = f"{_count(len(plan), 'workstream')}, {_count(edges, 'dependency')}, critical path {depth}"
    return f"{counts}: ok{warned}"


def _count(number: int, noun: str) -> str:
    many = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"
