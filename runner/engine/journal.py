"""What the loop writes down: each decision in one transaction, together with its event and what is about to be done."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Protocol

from runner.core.breaker import Trip
from runner.core.events import Event, EventType
from runner.core.intents import Intent, IntentKind, IntentState
from runner.core.model import AttemptKey, Outcome, RunId, RunStatus, StepResult, WsId, WsStatus
from runner.core.naming import sandbox_prefix
from runner.engine.live import Live
from runner.store.runs import Store

_CHECKING = (WsStatus.STATIC_CHECK, WsStatus.RUNTIME_CHECK)

_NOTHING: Final[Mapping[str, object]] = {}


class Progress(Protocol):
    """Who watches a run; called from the deciding thread only."""

    def event(self, event: Event) -> None: ...

    def result(self, result: StepResult) -> None: ...


class Journal:
    """The store of one run, as the deciding thread writes it. Whoever watches the run is told the same."""

    def __init__(self, run_id: RunId, store: Store, progress: Progress) -> None:
        self.run_id = run_id
        self._store = store
        self._progress = progress
        self._untold: list[Event] | None = None  # None: no decision is being written

    @contextmanager
    def decision(self) -> Iterator[None]:
        """What is written inside is committed together, before anything of it is done; an inner one joins the outer.

        Who watches is told afterwards: nobody hears of what a crash could undo.
        """
        if self._untold is not None:
            yield
            return
        untold: list[Event] = []
        self._untold = untold
        try:
            with self._store.transaction():
                yield
        finally:
            self._untold = None
        for event in untold:
            self._progress.event(event)

    def move_run(self, old: RunStatus, new: RunStatus, *, cause: str) -> None:
        self._store.move_run(self.run_id, expected=old, new=new, cause=cause)

    def move(
        self,
        live: Live,
        new: WsStatus,
        *,
        cause: str,
        reason: str = "",
        payload: Mapping[str, object] = _NOTHING,
    ) -> None:
        """Change a workstream's state; nothing happens when it has it already, as with another attempt of a step."""
        old, ws_id = live.status, live.bundle.id
        if new is old:
            return
        self._store.move_workstream(
            self.run_id, ws_id, expected=old, new=new, cause=cause, reason=reason, payload=payload
        )
        live.status = new
        told = {"from": old, "to": new, "cause": cause, "reason": reason, **payload}
        self._tell(self._event(EventType.STATE_TRANSITION, live, told))

    def record(self, event: Event) -> None:
        self._store.record(event)
        self._tell(event)

    def tell(self, kind: EventType, live: Live, payload: Mapping[str, object]) -> None:
        self.record(self._event(kind, live, payload))

    def trip(self, live: Live, trip: Trip) -> None:
        """A breaker opened. Whoever waits for a fix goes to `fixing` first: from a check nobody fails."""
        if live.status in _CHECKING:
            self.move(live, WsStatus.FIXING, cause=live.history[-1].message)
        payload = {"breaker": trip.breaker, "step": trip.step, "message": trip.message, **trip.evidence}
        self.tell(EventType.CIRCUIT_BREAKER_TRIPPED, live, payload)

    def block(self, live: Live, culprit: WsId, status: WsStatus) -> None:
        """A workstream will never start: the one that it needs ended without a result."""
        reason = f"it depends on {culprit}, which is {status}"
        self.move(live, WsStatus.BLOCKED, cause="dependency", reason=reason)
        self.tell(EventType.DEPENDENCY_BLOCKED, live, {"dependency": culprit, "status": status})

    def begin(self, key: AttemptKey, started_at: datetime) -> None:
        """An attempt starts: its row, and what it will leave in the world."""
        self._store.begin_attempt(key, started_at)
        for kind, name in _effects(key).items():
            self._store.intend(Intent(run_id=key.run_id, ws_id=key.ws_id, kind=kind, key=name))

    def finish(self, result: StepResult | None) -> None:
        """An attempt has ended, and nothing of it is left but its commit; None when that is written already."""
        if result is None:
            return
        key = result.key
        self._store.finish_attempt(result)
        self._store.set_result(key.run_id, key.ws_id, candidate=result.candidate)
        for kind, name in _effects(key).items():
            made = result.candidate if kind is IntentKind.COMMIT and result.outcome is Outcome.OK else ""
            self._store.settle(key.run_id, kind, name, result=made)

    def intend(self, live: Live, kind: IntentKind, key: str, **params: str) -> None:
        intent = Intent(run_id=self.run_id, ws_id=live.bundle.id, kind=kind, key=key, params=params)
        self._store.intend(intent)

    def settle(
        self, kind: IntentKind, key: str, *, result: str = "", state: IntentState = IntentState.DONE
    ) -> None:
        self._store.settle(self.run_id, kind, key, result=result, state=state)

    def set_result(self, live: Live, *, branch: str | None = None) -> None:
        """Write where a workstream starts from, what it proposes, and the branch that holds it now."""
        self._store.set_result(
            self.run_id, live.bundle.id, base=live.base, candidate=live.candidate, branch=branch
        )

    def _tell(self, event: Event) -> None:
        if self._untold is None:
            self._progress.event(event)
        else:
            self._untold.append(event)

    def _event(self, kind: EventType, live: Live, payload: Mapping[str, object]) -> Event:
        return Event(type=kind, run_id=self.run_id, ws_id=live.bundle.id, payload=payload)


def _effects(key: AttemptKey) -> dict[IntentKind, str]:
    """What an attempt does to the world, by the names that the world can be asked for."""
    effects = {IntentKind.SANDBOX: sandbox_prefix(key)}
    if key.step.is_agent:
        effects[IntentKind.COMMIT] = str(key)
    return effects
