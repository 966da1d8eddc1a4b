"""What the commands that show the past share: their options, and where the past is kept."""

from pathlib import Path
from typing import Annotated

import typer

from runner.errors import UsageError
from runner.layout import StateLayout

RepoOption = Annotated[
    Path | None,
    typer.Option(
        "--repo", help="The target repository, or a folder in it.", show_default="the current folder"
    ),
]
RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN", help="A run's id, or the beginning or end of one.", show_default="the latest run"
    ),
]
RunOption = Annotated[str | None, typer.Option("--run", "--id", metavar="RUN", help="The same as RUN.")]
WsOption = Annotated[str | None, typer.Option("--ws", metavar="ID", help="Only this workstream.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def find_layout(repo: Path | None) -> StateLayout:
    """The state folder of the target repository. Raises RepositoryError and ConfigError."""
    from runner.config import environment, load_settings
    from runner.git import find_top

    env = environment()
    top = find_top(repo or Path.cwd(), env)
    return StateLayout(load_settings(repo=top, env=env).settings.paths.state)


def wanted_run(argument: str | None, option: str | None) -> str | None:
    """The run that was asked for in either way; None: the latest."""
    if argument and option and argument != option:
        raise UsageError(f"Two runs are named: {argument!r} and {option!r}", hint="Name one.")
    return argument or option
