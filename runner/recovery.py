"""Runs that were cut off: what was going on in them, and how they are given up."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from runner.core.events import Event, EventType
from runner.core.intents import Intent, IntentKind, IntentState
from runner.core.model import RunId, RunStatus, WsStatus
from runner.core.records import AttemptRecord, RunRecord, WorkstreamRecord
from runner.core.transitions import ENDED, is_at_work
from runner.store import queries
from runner.store.runs import Store

_TELLING = (EventType.RUN_INTERRUPTED, EventType.CRASH_DETECTED, EventType.RESUME_INITIATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """A run that has not ended although nobody runs it."""

    run: RunRecord
    last_heard_of: str  # when its last event was recorded
    killed: bool  # rather than stopped by its user
    detected: bool  # whether the crash is on the audit trail already
    workstreams: Sequence[WorkstreamRecord]
    under_way: Sequence[AttemptRecord]  # attempts that will be done again
    intents: Sequence[Intent]  # side effects that nobody knows to be done

    @property
    def at_work(self) -> list[WorkstreamRecord]:
        return [record for record in self.workstreams if is_at_work(record.status)]


def detect_interrupted_runs(connection: Connection) -> list[Interrupted]:
    """The runs that were cut off, the oldest first. Only who holds the state folder's lock can know."""
    return [_interrupted(connection, run) for run in queries.interrupted_runs(connection)]


def find_interrupted(connection: Connection, run_id: RunId) -> Interrupted | None:
    """What was going on in a run that was cut off; None when it has ended. As above."""
    return next((cut for cut in detect_interrupted_runs(connection) if cut.run.run_id == run_id), None)


def record_crash(store: Store, cut: Interrupted) -> None:
    """Put on the audit trail that a run was killed, and what it was doing; once for each crash."""
    if not cut.killed or cut.detected:
        return
    payload = {
        "workstreams": [record.ws_id for record in cut.at_work],
        "attempts": [f"{attempt.key}" for attempt in cut.under_way],
        "open": [f"{intent.kind} {intent.key}" for intent in cut.intents],
    }
    store.record(Event(type=EventType.CRASH_DETECTED, run_id=cut.run.run_id, payload=payload))


def record_resume(store: Store, cut: Interrupted) -> None:
    """Put on the audit trail that somebody goes on with a run."""
    payload = {"attempts": [f"{attempt.key}" for attempt in cut.under_way]}
    store.record(Event(type=EventType.RESUME_INITIATED, run_id=cut.run.run_id, payload=payload))


def abandon(store: Store, cut: Interrupted, *, reason: str) -> None:
    """Give up a run that was cut off. What it committed stays; what was saved of it is for the caller to say."""
    run_id = cut.run.run_id
    with store.transaction():
        record_crash(store, cut)
        for record in cut.workstreams:
            if record.status not in ENDED:
                store.move_workstream(
                    run_id,
                    record.ws_id,
                    expected=record.status,
                    new=WsStatus.ABANDONED,
                    cause="run abandoned",
                    reason=reason,
                )
        for intent in cut.intents:
            # Whether a branch was moved, rolling back asks the world.
            if intent.kind is not IntentKind.BRANCH:
                store.settle(run_id, intent.kind, intent.key, result="abandoned")
        store.move_run(run_id, expected=cut.run.status, new=RunStatus.ABANDONED, cause="run abandoned")


def _interrupted(connection: Connection, run: RunRecord) -> Interrupted:
    told = queries.events(connection, run.run_id, types=_TELLING, last=1)
    last = told[-1].type if told else None
    (newest,) = queries.events(connection, run.run_id, last=1)
    return Interrupted(
        run=run,
        last_heard_of=newest.timestamp,
        killed=last is not EventType.RUN_INTERRUPTED,
        detected=last is EventType.CRASH_DETECTED,
        workstreams=queries.workstreams(connection, run.run_id),
        under_way=queries.unfinished_attempts(connection, run.run_id),
        intents=queries.intents(connection, run.run_id, state=IntentState.OPEN),
    )
