"""What a run came to, from the rows that the store holds of it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from runner.core.events import EventType
from runner.core.model import Commit, RunId, RunStatus, StepName, StepResult, Usage, WsId, WsStatus
from runner.core.records import AttemptRecord, ErrorRecord, EventRecord, RunRecord, WorkstreamRecord

_TEST_FILE: Final = re.compile(
    r"(^|/)(tests?|__tests__|specs?)/"
    r"|(^|/)(conftest\.py|test_[^/]*|[^/]*_test\.[^/.]+|[^/]*\.(test|spec|tests)\.[^/.]+)$",
    re.IGNORECASE,
)

_NOT_TOLD: Final = {EventType.WORKSTREAM_CREATED, EventType.TOOL_STARTED, EventType.TOOL_FINISHED}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkstreamSummary:
    ws_id: WsId
    status: WsStatus
    reason: str
    depends_on: tuple[WsId, ...]
    branch: str | None
    base: Commit | None
    commit: Commit | None
    attempts: Mapping[StepName, int]
    last: StepResult | None  # of the last attempt that ended
    findings_total: int  # of that attempt, of which `last` holds the first
    usage: Usage
    duration_sec: float  # spent in its attempts
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """All that was counted under one signature, in whatever workstreams."""

    signature: str
    code: str
    message: str
    count: int
    workstreams: tuple[WsId, ...]
    first_seen_at: str
    last_seen_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    timestamp: str
    ws_id: WsId | None
    event: EventType
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    run_id: RunId
    status: RunStatus
    base: Commit
    started_at: str
    duration_sec: float
    counts: Mapping[WsStatus, int]  # of the states that occur
    usage: Usage
    workstreams: tuple[WorkstreamSummary, ...]
    errors: tuple[ErrorGroup, ...]  # the most frequent first
    timeline: tuple[Moment, ...]


def run_status(statuses: Iterable[WsStatus]) -> RunStatus:
    """The end of a run whose workstreams ended so."""
    done = [status is WsStatus.DONE for status in statuses]
    if all(done):
        return RunStatus.COMPLETED
    return RunStatus.PARTIAL if any(done) else RunStatus.FAILED


def summarize(
    run: RunRecord,
    workstreams: Sequence[WorkstreamRecord],
    *,
    attempts: Sequence[AttemptRecord],
    errors: Sequence[ErrorRecord],
    events: Sequence[EventRecord],
) -> Summary:
    """The summary of a run that has ended, or so far. Attempts and events are in the order they happened."""
    by_workstream: dict[WsId, list[AttemptRecord]] = {}
    for attempt in attempts:
        by_workstream.setdefault(attempt.key.ws_id, []).append(attempt)
    parts = tuple(_workstream(record, by_workstream.get(record.ws_id, [])) for record in workstreams)
    last_moment = max([run.updated_at, *(event.timestamp for event in events[-1:])])
    return Summary(
        run_id=run.run_id,
        status=run.status,
        base=run.base_commit,
        started_at=run.created_at,
        duration_sec=_seconds(run.created_at, last_moment),
        counts=Counter(part.status for part in parts),
        usage=_total(part.usage for part in parts),
        workstreams=parts,
        errors=group_errors(errors),
        timeline=tuple(_moment(event) for event in events if event.type not in _NOT_TOLD),
    )


def group_errors(errors: Iterable[ErrorRecord]) -> tuple[ErrorGroup, ...]:
    """Errors by signature, the most frequent first."""
    same: dict[str, list[ErrorRecord]] = {}
    for error in errors:
        same.setdefault(error.signature, []).append(error)
    groups = [_group(signature, members) for signature, members in same.items()]
    return tuple(sorted(groups, key=lambda group: (-group.count, group.first_seen_at, group.signature)))


def describe(event: EventRecord) -> str:
    """What an event tells, in a line."""
    told = event.payload
    if event.type is EventType.STATE_TRANSITION:
        why = told.get("reason") or told.get("cause")
        return f"{told.get('from')} → {told.get('to')}: {why}"
    if text := told.get("message") or told.get("reason"):
        return str(text)
    return ", ".join(f"{name}={value}" for name, value in told.items())


def _workstream(record: WorkstreamRecord, attempts: Sequence[AttemptRecord]) -> WorkstreamSummary:
    ended = [(attempt, attempt.result) for attempt in attempts if attempt.result]
    results = [result for _, result in ended]
    return WorkstreamSummary(
        ws_id=record.ws_id,
        status=record.status,
        reason=record.reason,
        depends_on=record.depends_on,
        branch=record.branch,
        base=record.base_commit,
        commit=record.candidate_commit,
        attempts=Counter(attempt.key.step for attempt in attempts),
        last=results[-1] if results else None,
        findings_total=ended[-1][0].findings_total if ended else 0,
        usage=_total(result.usage for result in results),
        duration_sec=sum(result.duration_s for result in results),
        warnings=_warnings(record, results),
    )


def _warnings(record: WorkstreamRecord, results: Sequence[StepResult]) -> tuple[str, ...]:
    warnings = []
    if not record.metadata.get("acceptance_tests"):
        warnings.append("no acceptance tests: only the static checks judged the result")
    touched = {path for result in results if result.key.step.is_agent for path in result.changed}
    if tests := sorted(filter(_TEST_FILE.search, touched)):
        warnings.append(f"tests changed: {', '.join(tests)}")
    return tuple(warnings)


def _group(signature: str, members: Sequence[ErrorRecord]) -> ErrorGroup:
    return ErrorGroup(
        signature=signature,
        code=members[0].code,
        message=members[0].message,
        count=sum(member.count for member in members),
        workstreams=tuple(dict.fromkeys(member.ws_id for member in members)),
        first_seen_at=min(member.first_seen_at for member in members),
        last_seen_at=max(member.last_seen_at for member in members),
    )


def _moment(event: EventRecord) -> Moment:
    return Moment(timestamp=event.timestamp, ws_id=event.ws_id, event=event.type, text=describe(event))


def _total(usages: Iterable[Usage]) -> Usage:
    requests, tokens_in, tokens_out = 0, 0, 0
    for usage in usages:
        requests += usage.requests
        tokens_in += usage.tokens_in
        tokens_out += usage.tokens_out
    return Usage(requests=requests, tokens_in=tokens_in, tokens_out=tokens_out)


def _seconds(start: str, end: str) -> float:
    spent = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return max(0.0, spent.total_seconds())  # the machine's clock may have been set back
