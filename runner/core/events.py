"""The events of a run's audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from runner.core.model import RunId, WsId


class EventType(StrEnum):
    RUN_CREATED = "run_created"
    WORKSTREAM_CREATED = "workstream_created"
    STATE_TRANSITION = "state_transition"
    TOOL_STARTED = "tool_started"
    TOOL_FINISHED = "tool_finished"
    TOOL_TIMEOUT = "tool_timeout"
    TOOL_FAILED = "tool_failed"
    CIRCUIT_BREAKER_TRIPPED = "circuit_breaker_tripped"
    SCOPE_VIOLATION = "scope_violation"
    DEPENDENCY_BLOCKED = "dependency_blocked"
    CRASH_DETECTED = "crash_detected"
    RESUME_INITIATED = "resume_initiated"
    RUN_INTERRUPTED = "run_interrupted"  # the user stopped it: what tells a stop from a crash
    ROLLED_BACK = "rolled_back"  # what a workstream was handed back on is as it was before


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened; the writer adds the time. `payload` is JSON-able."""

    type: EventType
    run_id: RunId | None = None
    ws_id: WsId | None = None
    payload: Mapping[str, object] = field(default_factory=dict)
