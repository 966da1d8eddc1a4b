"""The loop: start what capacity allows, wait for one message, decide, persist, act."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol, assert_never

from runner.core.events import Event, EventType
from runner.core.fixloop import Done, GiveUp, RunStep, next_move
from runner.core.model import AttemptKey, RunId, RunStatus, StepName, StepResult, WsId, WsStatus
from runner.core.schedule import Schedule
from runner.core.summary import run_status
from runner.core.transitions import ENDED
from runner.engine.live import Live
from runner.engine.workers import Workers
from runner.errors import RunnerError, StoreError
from runner.job.model import Job
from runner.ports import Base, NoBase, Results
from runner.store.runs import Store

STATE_OF_STEP = {
    StepName.EDIT: WsStatus.EDITING,
    StepName.STATIC: WsStatus.STATIC_CHECK,
    StepName.FIX: WsStatus.FIXING,
    StepName.RUNTIME: WsStatus.RUNTIME_CHECK,
}

_CHECKING = (WsStatus.STATIC_CHECK, WsStatus.RUNTIME_CHECK)


class Progress(Protocol):
    """Who watches a run; called from the deciding thread only."""

    def event(self, event: Event) -> None: ...

    def result(self, result: StepResult) -> None: ...


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The user asks the run to stop."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A job's future has completed."""

    ws_id: WsId
    future: Future[StepResult]


Message = Event | Finished | Interrupt


class Engine:
    """Runs one plan. All state changes happen in the thread that calls `run`."""

    def __init__(
        self,
        run_id: RunId,
        workstreams: Iterable[Live],
        *,
        store: Store,
        workers: Workers,
        results: Results,
        job_of: Callable[[Live, AttemptKey], Job],
        progress: Progress,
        infra_retries: int,
    ) -> None:
        self.run_id = run_id
        self.interrupted = False
        self._live: Mapping[WsId, Live] = {live.bundle.id: live for live in workstreams}
        self._schedule = Schedule({ws_id: live.bundle.depends_on for ws_id, live in self._live.items()})
        self._store = store
        self._workers = workers
        self._results = results
        self._job_of = job_of
        self._progress = progress
        self._infra_retries = infra_retries
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._running: dict[WsId, Future[StepResult]] = {}

    def emit(self, event: Event) -> None:
        """Take an event from a worker; safe from any thread."""
        self._inbox.put(event)

    def interrupt(self) -> None:
        """Ask the run to stop; safe from signal handlers and any thread."""
        self._inbox.put(Interrupt())

    def run(self) -> RunStatus:
        """Run the plan to its end.

        Raises RunnerError when the world breaks under the loop itself (the run is then recorded as failed), and
        what is our own bug; every job has been stopped before.
        """
        self._store.move_run(
            self.run_id, expected=RunStatus.PENDING, new=RunStatus.RUNNING, cause="run started"
        )
        try:
            self._mark_ready()
            self._start_ready()
            while self._running:
                self._handle(self._inbox.get())
                self._start_ready()
        except StoreError:  # nothing can be recorded any more
            self._workers.cancel()
            raise
        except RunnerError as error:
            self._workers.cancel()
            self._finish(given_up=f"{error.brief} {error.details}".strip())
            raise
        except BaseException:
            self._workers.cancel()
            raise
        return self._finish(given_up="the run was interrupted" if self.interrupted else "")

    def _handle(self, message: Message) -> None:
        match message:
            case Event():
                self._record(message)
            case Finished():
                del self._running[message.ws_id]
                self._advance(self._live[message.ws_id], message.future.result())
            case Interrupt():
                self.interrupted = True
                self._workers.cancel()
            case _:
                assert_never(message)

    # Deciding

    def _mark_ready(self) -> None:
        with self._store.transaction():
            for ws_id in self._schedule.newly_ready():
                self._move(self._live[ws_id], WsStatus.READY, cause="dependencies are done")

    def _start_ready(self) -> None:
        while not self.interrupted and self._room() > 0:
            ws_id = self._schedule.take()
            if ws_id is None:
                return
            self._start(self._live[ws_id])

    def _room(self) -> int:
        """How many workstreams may start: the place of a job that ended is its workstream's until that moves on."""
        return self._workers.free() - sum(future.done() for future in self._running.values())

    def _start(self, live: Live) -> None:
        done = [self._live[ws_id].candidate for ws_id in live.bundle.depends_on]
        found = self._results.base_of(live.bundle.id, [commit for commit in done if commit is not None])
        match found:
            case Base():
                live.start_from(found.commit, found.tree)
                self._run_step(live, StepName.EDIT, cause="ready and a worker is free")
            case NoBase():
                self._end(live, WsStatus.BLOCKED, cause="no base", reason=found.reason)
            case _:
                assert_never(found)

    def _advance(self, live: Live, result: StepResult) -> None:
        live.take(result)
        self._progress.result(result)
        if self.interrupted:
            with self._store.transaction():
                self._store.finish_attempt(result)
            return
        move = next_move(live.history, live.breaker, infra_retries=self._infra_retries)
        match move:
            case RunStep():
                self._run_step(live, move.step, cause=result.message, finished=result)
            case Done():
                self._hand_back(live, result)
            case GiveUp():
                self._give_up(live, move, result)
            case _:
                assert_never(move)

    # Persisting, then acting

    def _run_step(
        self, live: Live, step: StepName, *, cause: str, finished: StepResult | None = None
    ) -> None:
        key = live.next_key(step)
        job = self._job_of(live, key)
        with self._store.transaction():
            if finished is not None:
                self._store.finish_attempt(finished)
            self._move(live, STATE_OF_STEP[step], cause=cause)
            self._store.begin_attempt(key)
            if finished is None:
                self._store.set_result(self.run_id, live.bundle.id, base=live.base, candidate=live.candidate)
        self._submit(live, job)

    def _submit(self, live: Live, job: Job) -> None:
        ws_id = live.bundle.id
        future = self._workers.submit(job)
        self._running[ws_id] = future
        future.add_done_callback(lambda done: self._inbox.put(Finished(ws_id, done)))

    def _hand_back(self, live: Live, result: StepResult) -> None:
        """The branch first: `done` is said of what is there."""
        try:
            self._results.hand_back(live.bundle.id, live.bundle.branch, result.candidate)
        except RunnerError as error:
            with self._store.transaction():
                self._store.finish_attempt(result)
            self._end(
                live, WsStatus.FAILED, cause="hand back", reason=f"{error.brief}. {error.details}".strip()
            )
            return
        with self._store.transaction():
            self._store.finish_attempt(result)
            self._store.set_result(
                self.run_id,
                live.bundle.id,
                base=live.base,
                candidate=live.candidate,
                branch=live.bundle.branch,
            )
            self._move(live, WsStatus.DONE, cause=result.message)
        self._schedule.done(live.bundle.id)
        self._mark_ready()

    def _give_up(self, live: Live, move: GiveUp, result: StepResult) -> None:
        with self._store.transaction():
            self._store.finish_attempt(result)
            if move.trip is not None:
                if live.status in _CHECKING:
                    self._move(live, WsStatus.FIXING, cause=result.message)
                trip = move.trip
                payload = {
                    "breaker": trip.breaker,
                    "step": trip.step,
                    "message": trip.message,
                    **trip.evidence,
                }
                self._record(self._event(EventType.CIRCUIT_BREAKER_TRIPPED, live, payload))
        self._end(live, WsStatus.FAILED, cause="given up", reason=move.reason)

    def _end(self, live: Live, status: WsStatus, *, cause: str, reason: str) -> None:
        """End a workstream without a result, and block what depends on it."""
        kept = self._results.keep(live.bundle.id, base=live.base, candidate=live.candidate)
        blocked = self._schedule.ended(live.bundle.id)
        with self._store.transaction():
            self._store.set_result(self.run_id, live.bundle.id, base=live.base, candidate=live.candidate)
            self._move(live, status, cause=cause, reason=reason, payload={"kept": kept} if kept else {})
            for dependant, culprit in blocked:
                self._block(self._live[dependant], culprit)

    def _block(self, live: Live, culprit: WsId) -> None:
        reason = f"it depends on {culprit}, which is {self._live[culprit].status}"
        payload = {"dependency": culprit, "status": self._live[culprit].status}
        self._move(live, WsStatus.BLOCKED, cause="dependency", reason=reason)
        self._record(self._event(EventType.DEPENDENCY_BLOCKED, live, payload))

    def _finish(self, *, given_up: str = "") -> RunStatus:
        """End the run. With a reason to give it up, what has not ended is abandoned."""
        with self._store.transaction():
            for live in self._live.values():
                if given_up and live.status not in ENDED:
                    self._move(live, WsStatus.ABANDONED, cause="run given up", reason=given_up)
            status = run_status([live.status for live in self._live.values()])
            if given_up:
                status = RunStatus.ABANDONED if self.interrupted else RunStatus.FAILED
            self._store.move_run(self.run_id, expected=RunStatus.RUNNING, new=status, cause="run ended")
        return status

    def _move(
        self,
        live: Live,
        new: WsStatus,
        *,
        cause: str,
        reason: str = "",
        payload: Mapping[str, object] | None = None,
    ) -> None:
        old = live.status
        if new is old:  # another attempt of the same step
            return
        self._store.move_workstream(
            self.run_id,
            live.bundle.id,
            expected=old,
            new=new,
            cause=cause,
            reason=reason,
            payload=payload or {},
        )
        live.status = new
        told = {"from": old, "to": new, "cause": cause, "reason": reason, **(payload or {})}
        self._progress.event(self._event(EventType.STATE_TRANSITION, live, told))

    def _record(self, event: Event) -> None:
        self._store.record(event)
        self._progress.event(event)

    def _event(self, kind: EventType, live: Live, payload: Mapping[str, object]) -> Event:
        return Event(type=kind, run_id=self.run_id, ws_id=live.bundle.id, payload=payload)
