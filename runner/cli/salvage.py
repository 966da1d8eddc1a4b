"""`runner salvage`, and its commands `show` and `restore`"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.history import JsonOption, RepoOption
from runner.cli.table import show_table
from runner.report.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.core.model import Commit, RunId
    from runner.git import Repository
    from runner.wiring.target import Target
    from runner.worktree.salvaged import Salvaged

salvage = typer.Typer(
    help="List what was saved before it was cleaned up or replaced, and give it back as a branch.\n\n"
    "Saved are the last candidates of workstreams that failed, branches that --replace moved, and what somebody "
    "changed in a worktree before `runner gc` removed it.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RefArgument = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="What `runner salvage` lists, or a part that names one: RUN/ID with a part of the run, or ID alone.",
    ),
]
BranchOption = Annotated[
    str | None,
    typer.Option("--branch", "-b", metavar="NAME", help="The new branch.", show_default="salvage/ID"),
]


@salvage.callback()
def list_all(context: typer.Context, *, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is not None:
        return
    from runner.worktree.salvaged import list_salvaged

    target = _target(repo)
    bases = _bases(target)
    entries = [(one, _changed(target.repository, one, bases)) for one in list_salvaged(target.repository)]
    if as_json:
        print(json.dumps([_to_json(one, changed) for one, changed in entries], indent=2))
        return
    rows = [
        (one.name, one.date, "" if changed is None else str(len(changed)), one.subject)
        for one, changed in entries
    ]
    show_table(("REF", "DATE", "FILES", "SUBJECT"), rows)


@salvage.command("show")
def show(ref: RefArgument, *, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """Show a saved commit: what it is, and the files that it changes since its run began."""
    from runner.worktree.salvaged import find_salvaged

    target = _target(repo)
    one = find_salvaged(target.repository, ref)
    changed = _changed(target.repository, one, _bases(target))
    if as_json:
        print(json.dumps(_to_json(one, changed), indent=2))
        return
    print(plain(f"{one.commit[:12]} {one.date} {one.subject}"))
    for status, path in changed or ():
        print(plain(f"  {status} {path}"))


@salvage.command("restore")
def restore(
    ref: RefArgument, *, branch: BranchOption = None, repo: RepoOption = None, as_json: JsonOption = False
) -> None:
    """Make a branch at a saved commit. What is saved stays saved."""
    from runner.worktree import salvaged

    repository = _target(repo).repository
    one = salvaged.find_salvaged(repository, ref)
    name = salvaged.restore(repository, one, branch)
    if as_json:
        print(json.dumps({"branch": name, "commit": one.commit, "ref": one.ref}, indent=2))
    else:
        print(plain(f"The branch {name} is at {one.commit[:12]}: {one.subject}"))


def _target(repo: Path | None) -> "Target":
    from runner.config import environment
    from runner.wiring.target import open_target

    return open_target(repo, env=environment())


def _bases(target: "Target") -> "Mapping[RunId, Commit]":
    """The commit that each run started from, of the runs that are recorded."""
    from runner.store import queries
    from runner.store.db import reading

    if not target.layout.db.exists():
        return {}
    with reading(target.layout.db) as connection:
        return {run.run_id: run.base_commit for run in queries.all_runs(connection)}


def _changed(
    repository: "Repository", one: "Salvaged", bases: "Mapping[RunId, Commit]"
) -> list[tuple[str, str]] | None:
    """Status and path of each file that differs from the run's base; None when that is not known."""
    base = bases.get(one.run_id)
    if base is None or repository.ref(base) is None:
        return None
    listed = repository.plumbing.items(
        "diff-tree", "-r", "-z", "--name-status", "--no-renames", base, one.commit
    )
    return list(zip(listed[::2], listed[1::2], strict=True))


def _to_json(one: "Salvaged", changed: list[tuple[str, str]] | None) -> dict[str, object]:
    return {
        "ref": one.ref,
        "run_id": one.run_id,
        "ws_id": one.ws_id,
        "commit": one.commit,
        "date": one.date,
        "subject": one.subject,
        "changed": None
        if changed is None
        else [{"status": status, "path": path} for status, path in changed],
    }
