"""`runner abandon`"""

from runner.cli.history import RepoOption
from runner.cli.resume import CutOffArgument
from runner.report.text import plain


def abandon(run: CutOffArgument = None, *, repo: RepoOption = None) -> None:
    """Give up a run that was stopped or killed. Branches that are done stay; other work is saved, then cleared away."""
    from runner.config import environment
    from runner.wiring.interrupted import abandon_run
    from runner.wiring.target import open_target

    given_up = abandon_run(open_target(repo, env=environment()), run)
    print(f"Run {given_up.run_id} is abandoned.")
    for ref in given_up.saved:
        print(f"  saved {plain(ref)}")
    if given_up.saved:
        print("`runner salvage` lists what was saved, and restores it.")
