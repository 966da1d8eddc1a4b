"""`runner resume`"""

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.history import JsonOption, RepoOption
from runner.cli.run import ParallelOption, ScriptOption
from runner.cli.watched import watched

CutOffArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="A run's id, or the beginning or end of one.",
        show_default="the run that was cut off",
    ),
]


def resume(
    run: CutOffArgument = None,
    *,
    repo: RepoOption = None,
    parallel: ParallelOption = None,
    script: ScriptOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that was stopped or killed: what is done stays, what was cut off is done again."""
    from runner.config import environment
    from runner.wiring.interrupted import find_cut_off
    from runner.wiring.run import resume_run
    from runner.wiring.target import open_target

    env = environment()
    cut = find_cut_off(open_target(repo, env=env), run)
    recorded = cut.run.metadata
    if script is None and recorded.get("script"):
        script = Path(str(recorded["script"]))
    flags = {"run.parallel": parallel or recorded.get("parallel"), "model.script": script}
    target = open_target(repo, env=env, flags=flags)
    code = watched(
        cut.bundles,
        target.layout,
        lambda watch, started: resume_run(target, cut.run.run_id, watch=watch, started=started),
        as_json=as_json,
    )
    raise typer.Exit(code)
