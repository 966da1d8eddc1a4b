"""The loop: start what capacity allows, wait for one message, decide, persist, act."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from runner.clock import Clock
from runner.core.breaker import Trip
from runner.core.events import Event, EventType
from runner.core.fixloop import Done, GiveUp, RunStep, next_move
from runner.core.intents import IntentKind, IntentState
from runner.core.model import AttemptKey, RunId, RunStatus, StepName, StepResult, WsId, WsStatus
from runner.core.naming import salvage_ref
from runner.core.schedule import Schedule
from runner.core.summary import run_status
from runner.core.transitions import ENDED
from runner.engine.inbox import Finished, Inbox, Message, Stop
from runner.engine.journal import Journal, Progress
from runner.engine.live import Live
from runner.engine.workers import Workers
from runner.errors import RepositoryError
from runner.job.model import Job
from runner.ports import Base, NoBase, Results
from runner.store.runs import Store

if TYPE_CHECKING:
    from concurrent.futures import Future

STATE_OF_STEP = {
    StepName.EDIT: WsStatus.EDITING,
    StepName.STATIC: WsStatus.STATIC_CHECK,
    StepName.FIX: WsStatus.FIXING,
    StepName.RUNTIME: WsStatus.RUNTIME_CHECK,
}


MakeJob = Callable[[Live, AttemptKey, datetime], Job]


class Engine:
    """Runs one plan, or the rest of it. All state changes happen in the thread that calls `run`."""

    def __init__(
        self,
        run_id: RunId,
        workstreams: Iterable[Live],
        *,
        status: RunStatus = RunStatus.PENDING,
        store: Store,
        workers: Workers,
        results: Results,
        job_of: MakeJob,
        progress: Progress,
        clock: Clock,
        infra_retries: int,
        grace_s: float,
    ) -> None:
        self._status = status
        self._live: Mapping[WsId, Live] = {live.bundle.id: live for live in workstreams}
        self._schedule = Schedule({ws_id: live.bundle.depends_on for ws_id, live in self._live.items()})
        self._journal = Journal(run_id, store, progress)
        self._workers = workers
        self._results = results
        self._job_of = job_of
        self._progress = progress
        self._clock = clock
        self._infra_retries = infra_retries
        self._grace_s = grace_s
        self._inbox = Inbox()
        self._running: dict[WsId, Future[StepResult | None]] = {}
        self._cut_off: deque[Live] = deque()  # at work when an earlier process ended
        self._stopping = False
        self._grace_ends: float | None = None

    def emit(self, event: Event) -> None:
        """Take an event from a worker; safe from any thread."""
        self._inbox.put(event)

    def stop(self) -> None:
        """Ask the run to stop, and the second time to stop at once; safe from signal handlers and any thread."""
        self._inbox.put(Stop())

    def run(self) -> RunStatus:
        """Run the plan to its end, or until it is stopped: then the run stays `running`, and can be resumed.

        Raises RunnerError when the world breaks under the loop itself, and what is our own bug. Every job has been
        stopped by then, and the run can be resumed as after a crash.
        """
        try:
            self._open()
            self._start_ready()
            while self._running:
                self._handle(self._inbox.next(within_s=self._grace_left()))
                self._start_ready()
            return self._close()
        except BaseException:
            self._workers.cancel()
            raise

    # Beginning and end

    def _open(self) -> None:
        """Take the run up where its rows say it is: at its beginning, or anywhere."""
        for live in self._live.values():
            if live.at_work:
                self._schedule.taken(live.bundle.id)
                self._cut_off.append(live)
            elif live.status is WsStatus.DONE:
                self._schedule.done(live.bundle.id)
        for live in self._live.values():
            # Those that a dependency blocked are told of by that; one whose base could not be made is not.
            needs = (self._live[ws_id].status for ws_id in live.bundle.depends_on)
            if live.status in ENDED - {WsStatus.DONE} and all(need is WsStatus.DONE for need in needs):
                self._schedule.ended(live.bundle.id)
        with self._journal.decision():
            if self._status is RunStatus.PENDING:
                self._journal.move_run(RunStatus.PENDING, RunStatus.RUNNING, cause="run started")
            self._mark_ready()

    def _close(self) -> RunStatus:
        states = [live.status for live in self._live.values()]
        if not ENDED.issuperset(states):
            at_work = [ws_id for ws_id, live in self._live.items() if live.at_work]
            payload = {"workstreams": at_work}
            self._journal.record(
                Event(type=EventType.RUN_INTERRUPTED, run_id=self._journal.run_id, payload=payload)
            )
            return RunStatus.RUNNING
        status = run_status(states)
        self._journal.move_run(RunStatus.RUNNING, status, cause="run ended")
        return status

    # Messages

    def _grace_left(self) -> float | None:
        """Seconds that the steps at work still have; None when no end is set."""
        return None if self._grace_ends is None else max(0.0, self._grace_ends - self._clock.monotonic())

    def _handle(self, message: Message) -> None:
        match message:
            case Event():
                self._journal.record(message)
            case Finished():
                del self._running[message.ws_id]
                result = message.future.result()
                if result is not None:  # else it was cut off, and stays under way
                    self._advance(self._live[message.ws_id], result)
            case Stop() if self._stopping:
                self._grace_ends = None
                self._workers.cancel()
            case Stop():
                self._stopping = True
                self._grace_ends = self._clock.monotonic() + self._grace_s
            case _:
                assert_never(message)

    # Deciding

    def _mark_ready(self) -> None:
        with self._journal.decision():
            for ws_id in self._schedule.newly_ready():
                self._journal.move(self._live[ws_id], WsStatus.READY, cause="dependencies are done")

    def _start_ready(self) -> None:
        while not self._stopping and self._room() > 0:
            if self._cut_off:
                self._continue(self._cut_off.popleft())
                continue
            ws_id = self._schedule.take()
            if ws_id is None:
                return
            self._start(self._live[ws_id])

    def _room(self) -> int:
        """How many workstreams may start: the place of a job that ended is its workstream's until that moves on."""
        return self._workers.free() - sum(future.done() for future in self._running.values())

    def _start(self, live: Live) -> None:
        done = [self._live[ws_id].candidate for ws_id in live.bundle.depends_on]
        candidates = [commit for commit in done if commit is not None]
        if len(candidates) > 1:
            self._journal.intend(live, IntentKind.MERGE, live.bundle.id)
        found = self._results.base_of(live.bundle.id, candidates)
        match found:
            case Base():
                live.start_from(found.commit, found.tree)
                self._run_step(live, StepName.EDIT, cause="ready and a worker is free")
            case NoBase():
                if len(candidates) > 1:
                    self._journal.settle(IntentKind.MERGE, live.bundle.id, state=IntentState.UNDONE)
                self._end(live, WsStatus.BLOCKED, cause="no base", reason=found.reason)
            case _:
                assert_never(found)

    def _continue(self, live: Live) -> None:
        """Go on where an earlier process was cut off."""
        if live.under_way is not None:
            job = self._job_of(live, live.under_way.key, live.under_way.started_at)
            live.under_way = None
            self._submit(live, job)
        else:
            self._decide(live, None)

    def _advance(self, live: Live, result: StepResult) -> None:
        live.take(result)
        self._progress.result(result)
        self._decide(live, result)

    def _decide(self, live: Live, finished: StepResult | None) -> None:
        """Make the next move. `finished` is the attempt that has just ended and is not written down yet."""
        move = next_move(live.history, live.breaker, infra_retries=self._infra_retries)
        match move:
            case RunStep() if self._stopping:
                with self._journal.decision():
                    self._journal.finish(finished)
            case RunStep():
                self._run_step(live, move.step, cause=live.history[-1].message, finished=finished)
            case Done():
                self._hand_back(live, finished)
            case GiveUp():
                self._end(
                    live,
                    WsStatus.FAILED,
                    cause="given up",
                    reason=move.reason,
                    finished=finished,
                    trip=move.trip,
                )
            case _:
                assert_never(move)

    # Persisting, then acting

    def _run_step(
        self, live: Live, step: StepName, *, cause: str, finished: StepResult | None = None
    ) -> None:
        first = not live.attempts
        key = live.next_key(step)
        job = self._job_of(live, key, self._clock.now())
        with self._journal.decision():
            self._journal.finish(finished)
            self._journal.move(live, STATE_OF_STEP[step], cause=cause)
            self._journal.begin(key, job.started_at)
            if first:
                self._journal.set_result(live)
                self._journal.intend(live, IntentKind.WORKTREE, live.bundle.id)
                if len(live.bundle.depends_on) > 1:
                    self._journal.settle(IntentKind.MERGE, live.bundle.id, result=job.base)
        self._submit(live, job)

    def _submit(self, live: Live, job: Job) -> None:
        ws_id = live.bundle.id
        future = self._workers.submit(job)
        self._running[ws_id] = future
        future.add_done_callback(lambda done: self._inbox.put(Finished(ws_id, done)))

    def _hand_back(self, live: Live, finished: StepResult | None) -> None:
        """The branch first: `done` is said of what is there."""
        ws_id, branch, candidate = live.bundle.id, live.bundle.branch, live.history[-1].candidate
        ref = f"refs/heads/{branch}"
        with self._journal.decision():
            self._journal.finish(finished)
            self._journal.intend(live, IntentKind.BRANCH, ref, old=live.replaces or "", new=candidate)
        try:
            self._results.hand_back(ws_id, branch, candidate, old=live.replaces)
        except RepositoryError as error:
            reason = f"{error.brief}. {error.details}".strip()
            self._journal.settle(IntentKind.BRANCH, ref, state=IntentState.UNDONE)
            self._end(live, WsStatus.FAILED, cause="hand back", reason=reason)
            return
        with self._journal.decision():
            self._journal.settle(IntentKind.BRANCH, ref, result=candidate)
            self._journal.settle(IntentKind.WORKTREE, ws_id, result="removed")
            self._journal.set_result(live, branch=branch)
            self._journal.move(live, WsStatus.DONE, cause=live.history[-1].message)
            self._schedule.done(ws_id)
            self._mark_ready()

    def _end(
        self,
        live: Live,
        status: WsStatus,
        *,
        cause: str,
        reason: str,
        finished: StepResult | None = None,
        trip: Trip | None = None,
    ) -> None:
        """End a workstream without a result, and block what depends on it. What it has is saved first."""
        ws_id = live.bundle.id
        ref = salvage_ref(self._journal.run_id, ws_id)
        saved = live.candidate if live.candidate != live.base else None
        with self._journal.decision():
            self._journal.finish(finished)
            if saved is not None:
                self._journal.intend(live, IntentKind.SALVAGE, ref)
        kept = self._results.keep(ws_id, base=live.base, candidate=live.candidate)
        with self._journal.decision():
            if saved is not None:
                self._journal.settle(IntentKind.SALVAGE, ref, result=saved)
            if live.attempts:
                self._journal.settle(IntentKind.WORKTREE, ws_id, result=kept)
            if trip is not None:
                self._journal.trip(live, trip)
            self._journal.set_result(live)
            self._journal.move(
                live, status, cause=cause, reason=reason, payload={"kept": kept} if kept else {}
            )
            for dependant, culprit in self._schedule.ended(ws_id):
                self._journal.block(self._live[dependant], culprit, self._live[culprit].status)
