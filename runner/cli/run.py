"""`runner run`"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.history import JsonOption, RepoOption
from runner.cli.watched import watched
from runner.errors import ExitCode
from runner.report.text import plain

if TYPE_CHECKING:
    from runner.wiring.target import PlannedRun, Target

_MOST_NAMED = 20  # workstreams of a level

PlanOption = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        resolve_path=True,
        help="The plan: a folder of bundles, or one file.",
        show_default="run.plan of the settings",
    ),
]
ParallelOption = Annotated[
    int | None,
    typer.Option(
        "--parallel",
        "-p",
        min=1,
        help="Workstreams at work at the same time.",
        show_default="run.parallel of the settings",
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="ID", help="Only this workstream and what it depends on; may be repeated."
    ),
]
ScriptOption = Annotated[
    Path | None,
    typer.Option("--script", resolve_path=True, help="Answer from this file instead of asking a model."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be run, and stop.")]
ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Move branches that an earlier run made (the old ones are kept under refs/runner/salvage/).",
    ),
]
DirtyOption = Annotated[
    bool,
    typer.Option(
        "--allow-dirty",
        help="Start although there are changes that are not committed; the run does not see them.",
    ),
]


def run(
    *,
    plan: PlanOption = None,
    parallel: ParallelOption = None,
    only: OnlyOption = None,
    repo: RepoOption = None,
    script: ScriptOption = None,
    dry_run: DryRunOption = False,
    replace: ReplaceOption = False,
    allow_dirty: DirtyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a plan: each workstream in sealed containers, verified commits on branches."""
    flags = {"run.plan": plan, "run.parallel": parallel, "model.script": script}
    code = run_target(
        repo,
        flags=flags,
        only=only or (),
        dry_run=dry_run,
        replace=replace,
        allow_dirty=allow_dirty,
        as_json=as_json,
    )
    raise typer.Exit(code)


def run_target(
    repo: Path | None,
    *,
    flags: Mapping[str, object],
    only: Sequence[str] = (),
    dry_run: bool = False,
    replace: bool = False,
    allow_dirty: bool = False,
    as_json: bool = False,
) -> ExitCode:
    """Run the plan of a repository and show how it went. Raises RunnerError when it cannot start."""
    from runner.config import environment
    from runner.wiring.interrupted import refuse_interrupted
    from runner.wiring.run import run_plan
    from runner.wiring.target import open_target, plan_run

    target = open_target(repo, env=environment(), flags=flags)
    refuse_interrupted(target)
    planned = plan_run(target, only=only, replace=replace, allow_dirty=allow_dirty)
    if dry_run:
        _show_plan(target, planned, as_json=as_json)
        return ExitCode.OK
    return watched(
        planned.plan.bundles,
        target.layout,
        lambda watch, started: run_plan(target, planned, watch=watch, started=started),
        as_json=as_json,
    )


def _show_plan(target: "Target", planned: "PlannedRun", *, as_json: bool) -> None:
    from runner.core.graph import levels

    shown = {
        "base": planned.base,
        "branch": planned.branch,
        "model": planned.model,
        "image": target.settings.images.python,
        "parallel": target.settings.run.parallel,
        "levels": [list(level) for level in levels(planned.plan.graph)],
        "branches": [bundle.branch for bundle in planned.plan],
    }
    if as_json:
        print(json.dumps(shown, indent=2))
        return
    print(
        f"Would run {len(planned.plan)} workstreams from {planned.base[:12]} ({planned.branch or 'detached'})"
    )
    print(
        f"with model {plain(planned.model)}, in image {plain(target.settings.images.python)}, {shown['parallel']} at a time:"
    )
    for number, level in enumerate(levels(planned.plan.graph), start=1):
        more = f" and {len(level) - _MOST_NAMED} more" if len(level) > _MOST_NAMED else ""
        print(f"  {number}. {', '.join(level[:_MOST_NAMED])}{more}")
