"""`runner demo`"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from runner.report.text import plain

FailingOption = Annotated[
    bool,
    typer.Option("--failing", help="Run the plan that shows the other ends: breakers, blocked workstreams."),
]
IntoOption = Annotated[
    Path | None,
    typer.Option(
        "--into",
        resolve_path=True,
        help="Where to put the example repository; it must not exist.",
        show_default="a new temporary folder",
    ),
]
ParallelOption = Annotated[
    int, typer.Option("--parallel", "-p", min=1, help="Workstreams at work at the same time.")
]

_IDENTITY = ("-c", "user.name=Demo", "-c", "user.email=demo@example.invalid", "-c", "commit.gpgsign=false")


def demo(*, failing: FailingOption = False, into: IntoOption = None, parallel: ParallelOption = 4) -> None:
    """Run the bundled example: a real repository, real containers, the real Aider, and a scripted model."""
    from runner.cli.run import run_target
    from runner.resources import templates_dir

    example = templates_dir() / "example"
    plan = example / "failing" if failing else example
    repo = into or Path(tempfile.mkdtemp(prefix="runner-demo-")) / "stint"
    make_repository(example, plan / "workstreams", repo)
    print(f"Example repository: {plain(str(repo))}")
    code = run_target(repo, flags={"model.script": plan / "script.toml", "run.parallel": parallel})
    print(f"\nTo try next:\n  cd {plain(str(repo))}")
    runner = "runner" if shutil.which("runner") else plain(str(Path(sys.argv[0]).absolute()))
    for line in ("git branch --list 'ws/*'", f"{runner} show-run", f"{runner} show-events", f"{runner} logs"):
        print(f"  {line}")
    raise typer.Exit(code)


def make_repository(example: Path, workstreams: Path, repo: Path) -> None:
    """Lay the example out as a git repository with one commit. Links and executable bits are listed beside it,
    for a wheel keeps neither. Raises UsageError when the folder exists."""
    from runner.errors import UsageError

    if repo.exists():
        raise UsageError(f"{repo} exists already", hint="Name a folder that does not exist.")
    shutil.copytree(example / "repo", repo, copy_function=shutil.copyfile)
    shutil.copytree(workstreams, repo / "workstreams", copy_function=shutil.copyfile)
    listed = json.loads((example / "links.json").read_text())
    for link, goal in listed["symlinks"].items():
        (repo / link).symlink_to(goal)
    for name in listed["executables"]:
        (repo / name).chmod(0o755)
    _git(repo, "init", "--quiet", "--initial-branch=main")
    _git(repo, "add", "--all")
    _git(repo, *_IDENTITY, "commit", "--quiet", "--message=The example project")


def _git(repo: Path, *arguments: str) -> None:
    from runner.config import environment
    from runner.git import environment as git_environment
    from runner.process import run

    run(["git", "-C", str(repo), *arguments], timeout_s=60, env=git_environment(environment()))
