"""Reports of runs, from what the database holds of them."""

from runner.core.model import RunId
from runner.core.summary import Summary
from runner.core.transitions import RUN_ENDED
from runner.layout import StateLayout
from runner.report.files import Reports, has_reports, write_reports
from runner.store import queries
from runner.store.db import reading


def report(layout: StateLayout, run_id: RunId) -> tuple[Summary, Reports]:
    """Write what a run came to, or how far it is."""
    with reading(layout.db) as connection:
        summary = queries.summary(connection, queries.find_run(connection, run_id))
    return summary, write_reports(summary, layout)


def complete_reports(layout: StateLayout) -> None:
    """Write the reports of runs that were killed after their end and before their report."""
    if not layout.db.exists():
        return
    with reading(layout.db) as connection:
        ended = [run.run_id for run in queries.all_runs(connection) if run.status in RUN_ENDED]
    for run_id in ended:
        if not has_reports(layout, run_id):
            report(layout, run_id)
