"""`runner show-errors`"""

import json
from dataclasses import asdict

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


def show_errors(
    run: RunArgument = None,
    *,
    run_option: RunOption = None,
    ws: WsOption = None,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the faults that a run met, those with the same signature together, the most frequent first."""
    from runner.core.summary import group_errors
    from runner.store import queries
    from runner.store.db import reading

    with reading(find_layout(repo).db) as connection:
        run_id = queries.find_run(connection, wanted_run(run, run_option)).run_id
        ws_id = queries.find_workstream(connection, run_id, ws).ws_id if ws else None
        groups = group_errors(queries.errors(connection, run_id, ws_id))
    if as_json:
        print(json.dumps([asdict(group) for group in groups], indent=2))
        return
    rows = [
        (str(group.count), group.code, ", ".join(group.workstreams), group.last_seen_at, group.signature)
        for group in groups
    ]
    show_table(("ATTEMPTS", "CODE", "WORKSTREAMS", "LAST SEEN", "SIGNATURE"), rows)
