"""`runner runs`"""

import json

from runner.cli.history import JsonOption, RepoOption, find_layout
from runner.cli.table import show_table
from runner.core.model import WsStatus


def runs(*, repo: RepoOption = None, as_json: JsonOption = False) -> None:
    """List the runs of a repository, the newest first."""
    from runner.store import queries
    from runner.store.db import reading

    db = find_layout(repo).db
    known, counts = [], {}
    if db.exists():
        with reading(db) as connection:
            known, counts = queries.all_runs(connection), queries.status_counts(connection)
    if as_json:
        entries = [
            {
                "run_id": run.run_id,
                "status": run.status,
                "created_at": run.created_at,
                "updated_at": run.updated_at,
                "base_commit": run.base_commit,
                "workstreams": counts.get(run.run_id, {}),
            }
            for run in known
        ]
        print(json.dumps(entries, indent=2))
        return
    rows = []
    for run in known:
        states = counts.get(run.run_id, {})
        done = f"{states.get(WsStatus.DONE, 0)}/{sum(states.values())}"
        rows.append((run.run_id, run.status, done, run.created_at))
    show_table(("RUN", "STATE", "DONE", "CREATED"), rows)
