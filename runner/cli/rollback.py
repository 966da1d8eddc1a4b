"""`runner rollback`"""

import typer

from runner.cli.history import RepoOption, RunArgument
from runner.errors import ExitCode
from runner.report.text import plain


def rollback(run: RunArgument = None, *, repo: RepoOption = None) -> None:
    """Take a run back: its branches are where they were before it, and its worktrees go. All of it is saved first."""
    from runner.config import environment
    from runner.wiring.interrupted import roll_back
    from runner.wiring.target import open_target

    undone = roll_back(open_target(repo, env=environment()), run)
    print(f"Run {undone.run_id} is rolled back.")
    for branch, old in undone.branches.items():
        print(f"  {plain(branch)} is {f'at {old[:12]} again' if old else 'removed'}")
    for ref in undone.saved:
        print(f"  saved {plain(ref)}")
    for branch in undone.moved:
        print(f"  {plain(branch)} was moved or removed by someone else since: left as it is")
    raise typer.Exit(ExitCode.NOT_ALL_DONE if undone.moved else ExitCode.OK)
