"""`runner show-events`"""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from runner.cli.history import (
    JsonOption,
    RepoOption,
    RunArgument,
    RunOption,
    WsOption,
    find_layout,
    wanted_run,
)
from runner.cli.table import show_table
from runner.core.events import EventType

TypeOption = Annotated[
    list[EventType] | None,
    typer.Option("--type", help="Only events of this type; may be given several times."),
]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="So many of the newest; 0 shows all.")]


def show_events(
    run: RunArgument = None,
    *,
    run_option: RunOption = None,
    ws: WsOption = None,
    types: TypeOption = None,
    limit: LimitOption = 100,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happened in a run, in order."""
    from runner.core.summary import describe
    from runner.store import queries
    from runner.store.db import reading

    with reading(find_layout(repo).db) as connection:
        run_id = queries.find_run(connection, wanted_run(run, run_option)).run_id
        ws_id = queries.find_workstream(connection, run_id, ws).ws_id if ws else None
        trail = queries.events(connection, run_id, ws_id=ws_id, types=types or (), last=limit or None)
    if as_json:
        print(json.dumps([asdict(event) for event in trail], indent=2))
        return
    rows = [(event.timestamp, event.ws_id or "", event.type, describe(event)) for event in trail]
    show_table(("TIME", "WORKSTREAM", "EVENT", "WHAT"), rows)
