"""What a process that died left behind."""

from collections.abc import Sequence

from runner.core.events import Event, EventType
from runner.core.model import RunStatus, WsStatus
from runner.core.records import RunRecord, WorkstreamRecord
from runner.core.transitions import ENDED
from runner.store.runs import Store


def abandon_interrupted(store: Store, run: RunRecord, workstreams: Sequence[WorkstreamRecord]) -> None:
    """Give up a run that has not ended although nobody runs it. What it committed stays."""
    with store.transaction():
        at_work = [record.ws_id for record in workstreams if record.status not in ENDED]
        store.record(
            Event(type=EventType.CRASH_DETECTED, run_id=run.run_id, payload={"workstreams": at_work})
        )
        for record in workstreams:
            if record.status not in ENDED:
                store.move_workstream(
                    run.run_id,
                    record.ws_id,
                    expected=record.status,
                    new=WsStatus.ABANDONED,
                    cause="crash detected",
                    reason="the runner was killed while this was under way",
                )
        store.move_run(run.run_id, expected=run.status, new=RunStatus.ABANDONED, cause="crash detected")
