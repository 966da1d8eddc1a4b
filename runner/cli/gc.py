"""`runner gc`"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.history import JsonOption, RepoOption
from runner.cli.table import show_table
from runner.errors import ExitCode
from runner.report.text import plain

if TYPE_CHECKING:
    from runner.gc import Item

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")]
OlderOption = Annotated[
    int | None,
    typer.Option(
        "--older-than",
        metavar="DAYS",
        min=0,
        help="Remove worktrees and logs of runs that ended so many days ago; 0: of every run that has ended.",
        show_default="the setting gc.keep_days",
    ),
]


def gc(
    *,
    dry_run: DryRunOption = False,
    older_than: OlderOption = None,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what runs left behind: containers, volumes, scratch layers, old worktrees and logs.

    Only what is proven to be the runner's own goes, never what a run needs.
    Work in a worktree that is in no commit is saved first: `runner salvage`.
    Branches, reports and the state database stay.
    """
    from runner.cli.config import target_top
    from runner.config import environment
    from runner.wiring.gc import clean_up

    env = environment()
    items = list(clean_up(target_top(repo, env), env=env, older_than=older_than, dry_run=dry_run))
    if as_json:
        print(json.dumps(_to_json(items, dry_run=dry_run), indent=2))
    else:
        _show(items, dry_run=dry_run)
    if any(item.failed for item in items):
        raise typer.Exit(ExitCode.ENVIRONMENT)


def _to_json(items: Sequence["Item"], *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "freed_bytes": _freed(items),
        "items": [
            {
                "kind": item.kind,
                "name": item.name,
                "action": "keep" if item.kept else "remove",
                "bytes": item.size,
                "saved": item.saved or None,
                "reason": item.kept or None,
                "failed": item.failed or None,
            }
            for item in items
        ],
    }


def _show(items: Sequence["Item"], *, dry_run: bool) -> None:
    going = [item for item in items if not item.kept]
    if going:
        rows = [(item.kind, item.name, _human(item.size) if item.size else "", _note(item)) for item in going]
        show_table(("KIND", "NAME", "SIZE", "NOTE"), rows)
    for item in items:
        if item.kept:
            print(plain(f"Kept: {item.kind} {item.name}: {item.kept}"))
    done = [item for item in going if not item.failed]
    verb = "Would remove" if dry_run else "Removed"
    print(
        f"{verb} {len(done)} of {len(going)}, {_human(_freed(items))}." if going else "Nothing is left over."
    )


def _note(item: "Item") -> str:
    if item.failed:
        return f"FAILED: {item.failed}"
    return f"saved as {item.saved}" if item.saved else ""


def _freed(items: Sequence["Item"]) -> int:
    return sum(item.size for item in items if not item.kept and not item.failed)


def _human(size: int) -> str:
    """Bytes for a person: `0 B`, `4.0 KiB`, `1.2 GiB`."""
    number, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
