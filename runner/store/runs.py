"""The one writer of runs: nothing else sets a status, and every change leaves its event beside it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from runner.clock import Clock, iso
from runner.core.digest import bundle_json, plan_sha256
from runner.core.events import Event, EventType
from runner.core.faults import Fault, faults
from runner.core.intents import Intent, IntentKind, IntentState
from runner.core.model import (
    AttemptKey,
    AttemptStatus,
    Bundle,
    Commit,
    Outcome,
    RunId,
    RunStatus,
    StepResult,
    WsId,
    WsStatus,
)
from runner.core.plan import Plan
from runner.core.transitions import check_run, check_workstream
from runner.errors import IllegalTransitionError
from runner.store import statements
from runner.store.db import writing
from runner.store.results import to_json

_NOTHING: Final[Mapping[str, object]] = {}


@contextmanager
def open_store(path: Path, clock: Clock) -> Iterator["Store"]:
    """The store of a state database, for the thread that opens it. Raises StoreError."""
    with writing(path) as connection:
        yield Store(connection, clock)


class Store:
    """Each method is one durable transaction; inside `transaction()` all of them are one.

    A change that does not start from the expected state, or that the table of transitions does not have,
    raises IllegalTransitionError and changes nothing. StoreError: the database cannot be written.
    """

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._trail: list[dict[str, object]] = []  # the events of the open transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is committed together, or not at all; an inner one joins the outer."""
        if self._connection.in_transaction():
            yield
            return
        with self._connection.begin():
            try:
                yield
                if self._trail:  # written at once: a statement for each would double the cost of a change
                    self._connection.execute(statements.ADD_EVENT, self._trail)
            finally:
                self._trail = []

    def create_run(
        self,
        run_id: RunId,
        plan: Plan,
        *,
        base_commit: Commit,
        metadata: Mapping[str, object] = _NOTHING,
    ) -> None:
        """Record a run and its workstreams, all `pending`, with the whole plan."""
        now = self._now()
        contents = {bundle.id: bundle_json(bundle) for bundle in plan}
        run = {
            "run_id": run_id,
            "status": RunStatus.PENDING.value,
            "base_commit": base_commit,
            "plan_sha256": plan_sha256(contents.values()),
            "created_at": now,
            "updated_at": now,
            "metadata_json": json.dumps(dict(metadata)),
        }
        facts = {"base_commit": base_commit, "workstreams": len(plan)}
        with self.transaction():
            self._connection.execute(statements.ADD_RUN, run)
            if len(plan):
                rows = [_workstream(run_id, bundle, contents[bundle.id], now) for bundle in plan]
                self._connection.execute(statements.ADD_WORKSTREAM, rows)
            self._tell(Event(type=EventType.RUN_CREATED, run_id=run_id, payload=facts), now)
            for bundle in plan:
                self._tell(Event(type=EventType.WORKSTREAM_CREATED, run_id=run_id, ws_id=bundle.id), now)

    def move_run(
        self,
        run_id: RunId,
        *,
        expected: RunStatus,
        new: RunStatus,
        cause: str,
        payload: Mapping[str, object] = _NOTHING,
    ) -> None:
        """Change a run's state; `cause` names what made it change."""
        check_run(run_id, expected, new, cause)
        now = self._now()
        change = {"of_run": run_id, "expected": expected.value, "new": new.value, "now": now}
        told = {"from": expected, "to": new, "cause": cause, **payload}
        event = Event(type=EventType.STATE_TRANSITION, run_id=run_id, payload=told)
        with self.transaction():
            if self._connection.execute(statements.MOVE_RUN, change).rowcount == 0:
                raise IllegalTransitionError(f"run {run_id}: {cause} expected it to be {expected}")
            self._tell(event, now)

    def move_workstream(
        self,
        run_id: RunId,
        ws_id: WsId,
        *,
        expected: WsStatus,
        new: WsStatus,
        cause: str,
        reason: str = "",
        payload: Mapping[str, object] = _NOTHING,
    ) -> None:
        """Change a workstream's state; `cause` names what made it change.

        `reason` explains the new state to a person, and is kept with the workstream until the next change.
        """
        check_workstream(ws_id, expected, new, cause)
        now = self._now()
        change = {
            **_of(run_id, ws_id),
            "expected": expected.value,
            "new": new.value,
            "why": _storable(reason),
            "now": now,
        }
        told = {"from": expected, "to": new, "cause": cause, "reason": reason, **payload}
        event = Event(type=EventType.STATE_TRANSITION, run_id=run_id, ws_id=ws_id, payload=told)
        with self.transaction():
            if self._connection.execute(statements.MOVE_WORKSTREAM, change).rowcount == 0:
                raise IllegalTransitionError(f"workstream {ws_id}: {cause} expected it to be {expected}")
            self._tell(event, now)

    def set_result(
        self,
        run_id: RunId,
        ws_id: WsId,
        *,
        base: Commit | None = None,
        candidate: Commit | None = None,
        branch: str | None = None,
    ) -> None:
        """Record what a workstream starts from, proposes, or was handed back on; None leaves it as it is."""
        given = {"base": base, "candidate": candidate, "made": branch, "now": self._now()}
        with self.transaction():
            if self._connection.execute(statements.SET_RESULT, {**_of(run_id, ws_id), **given}).rowcount == 0:
                raise LookupError(f"run {run_id} has no workstream {ws_id}")

    def clear_branch(self, run_id: RunId, ws_id: WsId) -> None:
        """Record that a workstream has no branch any more: what was handed back was taken back."""
        change = {**_of(run_id, ws_id), "now": self._now()}
        with self.transaction():
            if self._connection.execute(statements.CLEAR_BRANCH, change).rowcount == 0:
                raise LookupError(f"run {run_id} has no workstream {ws_id}")

    def intend(self, intent: Intent) -> None:
        """Record a side effect before it is done. One that is known is opened again, with the new params."""
        now = self._now()
        row = {
            "run_id": intent.run_id,
            "ws_id": intent.ws_id,
            "kind": intent.kind.value,
            "key": intent.key,
            "params_json": json.dumps(dict(intent.params)),
            "state": IntentState.OPEN.value,
            "result": "",
            "created_at": now,
            "updated_at": now,
        }
        with self.transaction():
            if self._connection.execute(statements.INTEND, row).rowcount == 0:
                raise LookupError(f"{intent.kind} {intent.key} is not an intent of {intent.ws_id}")

    def settle(
        self,
        run_id: RunId,
        kind: IntentKind,
        key: str,
        *,
        result: str = "",
        state: IntentState = IntentState.DONE,
    ) -> None:
        """Record what became of an intent, once the world shows it."""
        change = {
            "of_run": run_id,
            "of_kind": kind.value,
            "of_key": key,
            "new": state.value,
            "became": result,
            "now": self._now(),
        }
        with self.transaction():
            if self._connection.execute(statements.SETTLE, change).rowcount == 0:
                raise LookupError(f"run {run_id} has no intent {kind} {key}")

    def begin_attempt(self, key: AttemptKey, started_at: datetime | None = None) -> None:
        """Record that an attempt starts (now, when no time is given), before anything of it is done."""
        row = {
            "run_id": key.run_id,
            "ws_id": key.ws_id,
            "step_name": key.step.value,
            "attempt": key.attempt,
            "status": AttemptStatus.IN_PROGRESS.value,
            "started_at": iso(started_at or self._clock.now()),
        }
        with self.transaction():
            self._connection.execute(statements.ADD_ATTEMPT, row)

    def finish_attempt(self, result: StepResult) -> None:
        """Record how a begun attempt ended, and count its faults by signature."""
        key, now = result.key, self._now()
        status = AttemptStatus.SUCCESS if result.outcome is Outcome.OK else AttemptStatus.FAILURE
        change = {
            **_of(key.run_id, key.ws_id),
            "of_step": key.step.value,
            "of_attempt": key.attempt,
            "new": status.value,
            "how": result.outcome.value,
            "now": now,
            "stored": to_json(result),
        }
        met = [_error(key, fault, now) for fault in faults(result)]
        with self.transaction():
            if self._connection.execute(statements.FINISH_ATTEMPT, change).rowcount == 0:
                raise IllegalTransitionError(f"attempt {key}: its end expected it to be in progress")
            if met:
                self._connection.execute(statements.COUNT_ERROR, met)

    def record(self, event: Event) -> None:
        """Add an event to the audit trail."""
        with self.transaction():
            self._tell(event, self._now())

    def _tell(self, event: Event, now: str) -> None:
        self._trail.append(
            {
                "timestamp": now,
                "run_id": event.run_id,
                "ws_id": event.ws_id,
                "event_type": event.type.value,
                "payload_json": json.dumps(dict(event.payload)),
            }
        )

    def _now(self) -> str:
        return iso(self._clock.now())


def _of(run_id: RunId, ws_id: WsId) -> dict[str, object]:
    return {"of_run": run_id, "of_ws": ws_id}


def _workstream(run_id: RunId, bundle: Bundle, content: str, now: str) -> dict[str, object]:
    return {
        "run_id": run_id,
        "ws_id": bundle.id,
        "status": WsStatus.PENDING.value,
        "depends_on": json.dumps(bundle.depends_on),
        "reason": "",
        "created_at": now,
        "updated_at": now,
        "metadata_json": content,
    }


def _error(key: AttemptKey, fault: Fault, now: str) -> dict[str, object]:
    return {
        "run_id": key.run_id,
        "ws_id": key.ws_id,
        "step_name": key.step.value,
        "error_code": fault.code,
        "signature": _storable(fault.signature),
        "message": _storable(fault.message),
        "context_json": json.dumps(fault.context),
        "count": 1,
        "first_seen_at": now,
        "last_seen_at": now,
    }


def _storable(text: str) -> str:
    """Without the lone surrogates that stand for undecodable bytes: the database takes UTF-8 only."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
