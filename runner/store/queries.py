"""What the store knows, read on a connection of `db.reading`."""

import json
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, func, literal_column, select

from runner.core.events import EventType
from runner.core.intents import Intent, IntentKind, IntentState
from runner.core.model import (
    AttemptKey,
    AttemptStatus,
    Commit,
    RunId,
    RunStatus,
    StepName,
    WsId,
    WsStatus,
)
from runner.core.records import AttemptRecord, ErrorRecord, EventRecord, RunRecord, WorkstreamRecord
from runner.core.summary import Summary, summarize
from runner.errors import UsageError
from runner.store import schema
from runner.store.results import from_json

_LISTED = 5  # runs or workstreams named in an error


def all_runs(connection: Connection) -> list[RunRecord]:
    """Every run, the newest first."""
    newest = select(schema.runs).order_by(literal_column("rowid").desc())  # no clock, which may be set back
    return [_run(row) for row in _rows(connection, newest)]


def interrupted_runs(connection: Connection) -> list[RunRecord]:
    """Runs that have not ended: at a start, when nobody else holds the lock, these were cut off."""
    cut = select(schema.runs).where(schema.runs.c.status.in_([RunStatus.PENDING, RunStatus.RUNNING]))
    return [_run(row) for row in _rows(connection, cut.order_by(literal_column("rowid")))]


def find_run(connection: Connection, wanted: str | None = None) -> RunRecord:
    """The run of an id, or of an id's beginning or end; the latest when nothing is asked for.

    Raises UsageError when there is none, or more than one.
    """
    known = all_runs(connection)
    if not known:
        raise UsageError("No run is recorded here yet", hint="Start one: runner run")
    if wanted is None:
        return known[0]
    asked = wanted.upper()
    exact = [run for run in known if run.run_id.upper() == asked]
    alike = [
        run for run in known if run.run_id.upper().startswith(asked) or run.run_id.upper().endswith(asked)
    ]
    match exact or alike:
        case [run]:
            return run
        case []:
            raise _unknown("run", wanted, [run.run_id for run in known])
        case several:
            names = "\n".join(run.run_id for run in several)
            raise UsageError(
                f"{wanted!r} names more than one run", details=names, hint="Give more of the id."
            )


def workstreams(connection: Connection, run_id: RunId) -> list[WorkstreamRecord]:
    table = schema.workstreams
    of_run = select(table).where(table.c.run_id == run_id).order_by(table.c.ws_id)
    return [_workstream(row) for row in _rows(connection, of_run)]


def find_workstream(connection: Connection, run_id: RunId, wanted: str) -> WorkstreamRecord:
    """A workstream of a run. Raises UsageError when the run has none of this id."""
    table = schema.workstreams
    row = connection.execute(
        select(table).where(table.c.run_id == run_id, table.c.ws_id == wanted)
    ).mappings()
    if found := row.one_or_none():
        return _workstream(found)
    raise _unknown("workstream", wanted, [record.ws_id for record in workstreams(connection, run_id)])


def status_counts(connection: Connection) -> dict[RunId, dict[WsStatus, int]]:
    """How many workstreams of each run are in each state."""
    table = schema.workstreams
    counted = select(table.c.run_id, table.c.status, func.count()).group_by(table.c.run_id, table.c.status)
    counts: dict[RunId, dict[WsStatus, int]] = {}
    for run_id, status, count in connection.execute(counted):
        counts.setdefault(RunId(run_id), {})[WsStatus(status)] = count
    return counts


def attempts(connection: Connection, run_id: RunId, ws_id: WsId | None = None) -> list[AttemptRecord]:
    """The attempts of a run or of one workstream, in the order they began."""
    table = schema.step_attempts
    of_run = _of(select(table), table, run_id, ws_id).order_by(table.c.id)
    return [_attempt(row) for row in _rows(connection, of_run)]


def unfinished_attempts(connection: Connection, run_id: RunId) -> list[AttemptRecord]:
    """The attempts of a run that began and have no end, in the order they began."""
    table = schema.step_attempts
    begun = select(table).where(table.c.run_id == run_id, table.c.status == AttemptStatus.IN_PROGRESS)
    return [_attempt(row) for row in _rows(connection, begun.order_by(table.c.id))]


def intents(
    connection: Connection,
    run_id: RunId,
    *,
    ws_id: WsId | None = None,
    state: IntentState | None = None,
    kind: IntentKind | None = None,
) -> list[Intent]:
    """The side effects of a run, or of one workstream, state or kind, in the order they were first intended."""
    table = schema.intents
    wanted = _of(select(table), table, run_id, ws_id).order_by(table.c.id)
    if state is not None:
        wanted = wanted.where(table.c.state == state)
    if kind is not None:
        wanted = wanted.where(table.c.kind == kind)
    return [_intent(row) for row in _rows(connection, wanted)]


def errors(connection: Connection, run_id: RunId, ws_id: WsId | None = None) -> list[ErrorRecord]:
    """The faults of a run or of one workstream, in the order they were first met."""
    table = schema.errors
    of_run = _of(select(table), table, run_id, ws_id).order_by(table.c.id)
    return [_error(row) for row in _rows(connection, of_run)]


def events(
    connection: Connection,
    run_id: RunId,
    *,
    ws_id: WsId | None = None,
    types: Collection[EventType] = (),
    after: int = 0,
    last: int | None = None,
) -> list[EventRecord]:
    """The audit trail in order: events newer than the id `after`, and of these only the `last` ones."""
    table = schema.events
    wanted = _of(select(table), table, run_id, ws_id).where(table.c.id > after)
    if types:
        wanted = wanted.where(table.c.event_type.in_([type_.value for type_ in types]))
    newest_first = wanted.order_by(table.c.id.desc()).limit(last)
    return [_event(row) for row in reversed(_rows(connection, newest_first))]


def summary(connection: Connection, run: RunRecord) -> Summary:
    """What a run came to, or how far it is."""
    return summarize(
        run,
        workstreams(connection, run.run_id),
        attempts=attempts(connection, run.run_id),
        errors=errors(connection, run.run_id),
        events=events(connection, run.run_id),
    )


def _of(query: Select[Any], table: Table, run_id: RunId, ws_id: WsId | None) -> Select[Any]:
    query = query.where(table.c.run_id == run_id)
    return query if ws_id is None else query.where(table.c.ws_id == ws_id)


def _rows(connection: Connection, query: Select[Any]) -> Sequence[RowMapping]:
    return connection.execute(query).mappings().all()


def _unknown(noun: str, wanted: str, known: Sequence[str]) -> UsageError:
    close = get_close_matches(wanted, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else ""
    more = [f"... and {len(known) - _LISTED} more"] if len(known) > _LISTED else []
    listed = "\n".join([*known[:_LISTED], *more])
    return UsageError(f"There is no {noun} {wanted!r}", details=f"Known are:\n{listed}", hint=hint)


def _run(row: RowMapping) -> RunRecord:
    return RunRecord(
        run_id=RunId(row["run_id"]),
        status=RunStatus(row["status"]),
        base_commit=Commit(row["base_commit"]),
        plan_sha256=row["plan_sha256"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        metadata=json.loads(row["metadata_json"]),
    )


def _workstream(row: RowMapping) -> WorkstreamRecord:
    return WorkstreamRecord(
        run_id=RunId(row["run_id"]),
        ws_id=WsId(row["ws_id"]),
        status=WsStatus(row["status"]),
        depends_on=tuple(json.loads(row["depends_on"])),
        branch=row["branch"],
        base_commit=row["base_commit"],
        candidate_commit=row["candidate_commit"],
        reason=row["reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        metadata=json.loads(row["metadata_json"]),
    )


def _attempt(row: RowMapping) -> AttemptRecord:
    key = AttemptKey(RunId(row["run_id"]), WsId(row["ws_id"]), StepName(row["step_name"]), row["attempt"])
    result = from_json(key, row["result_json"]) if row["result_json"] else None
    return AttemptRecord(
        key=key,
        status=AttemptStatus(row["status"]),
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        result=result,
        findings_total=len(result.findings) + result.findings_left_out if result else 0,
    )


def _intent(row: RowMapping) -> Intent:
    return Intent(
        run_id=RunId(row["run_id"]),
        ws_id=WsId(row["ws_id"]),
        kind=IntentKind(row["kind"]),
        key=row["key"],
        params=json.loads(row["params_json"]),
        state=IntentState(row["state"]),
        result=row["result"],
    )


def _error(row: RowMapping) -> ErrorRecord:
    return ErrorRecord(
        run_id=RunId(row["run_id"]),
        ws_id=WsId(row["ws_id"]),
        step=StepName(row["step_name"]),
        code=row["error_code"],
        signature=row["signature"],
        message=row["message"],
        context=json.loads(row["context_json"]),
        count=row["count"],
        first_seen_at=row["first_seen_at"],
        last_seen_at=row["last_seen_at"],
    )


def _event(row: RowMapping) -> EventRecord:
    return EventRecord(
        id=row["id"],
        timestamp=row["timestamp"],
        type=EventType(row["event_type"]),
        run_id=row["run_id"],
        ws_id=row["ws_id"],
        payload=json.loads(row["payload_json"]),
    )
