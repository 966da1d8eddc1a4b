"""A stage on which the engine runs a plan: a real store, and jobs that end when and how the test says."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from runner.core.events import Event, EventType
from runner.core.intents import Intent
from runner.core.model import (
    AttemptKey,
    BreakerLimits,
    Bundle,
    Commit,
    Finding,
    Limits,
    Outcome,
    RunId,
    RunStatus,
    StepResult,
    Timeouts,
    Tree,
    WsId,
    WsStatus,
)
from runner.core.plan import Plan
from runner.core.records import AttemptRecord, EventRecord, RunRecord, WorkstreamRecord
from runner.core.signature import signature
from runner.engine.live import Live
from runner.engine.loop import Engine, MakeJob
from runner.job.model import Job, RuntimeWork
from runner.store import queries
from runner.store.db import reading
from runner.store.runs import Store, open_store
from tests.fakes import FakeClock, FakeResults, RecordingProgress

T = TypeVar("T")

RUN = RunId("01JSTAGE")
BASE = Commit("b" * 40)


def make_job(live: Live, key: AttemptKey, started_at: datetime) -> Job:
    """A job without content: what it does is up to the test."""
    assert live.base is not None
    assert live.candidate is not None
    assert live.tree is not None
    return Job(
        key=key,
        base=live.base,
        candidate=live.candidate,
        tree=live.tree,
        image="image",
        limits=live.limits,
        timeout_s=1,
        started_at=started_at,
        infra_retries=0,
        work=RuntimeWork(tests=()),
    )


def ended(job: Job, word: str = "ok") -> StepResult:
    """How a job ended: an outcome; `ok:TREE` is an agent's that proposed this tree, `findings:A,B` a check's."""
    outcome, _, detail = word.partition(":")
    key, candidate, tree = job.key, job.candidate, job.tree
    if key.step.is_agent and outcome == "ok":
        candidate, tree = Commit(f"commit of {key}"), Tree(detail or f"tree of {key}")
    rules = detail.split(",") if detail else ["F1"]
    return StepResult(
        key=key,
        outcome=Outcome(outcome),
        message=f"{key} ended {outcome}",
        candidate=candidate,
        tree=tree,
        findings=tuple(map(finding, rules)) if outcome == "findings" else (),
    )


def finding(rule: str) -> Finding:
    message = f"{rule} is broken"
    return Finding(tool="lint", rule=rule, message=message, signature=signature("lint", rule, message))


def script(**words: str) -> Callable[[Job], StepResult | None]:
    """How the attempts of each workstream end, in order: `a="ok findings:A ok"` of ws-a. After that all is well."""
    left = {f"ws-{name}": text.split() for name, text in words.items()}

    def result_of(job: Job) -> StepResult:
        queue = left.get(job.key.ws_id, [])
        return ended(job, queue.pop(0) if queue else "ok")

    return result_of


class FakeWorkers:
    """See engine.Workers. Jobs end in `turn`, which is called whenever the engine would have to wait."""

    def __init__(self, parallel: int, result_of: Callable[[Job], StepResult | None]) -> None:
        self.parallel = parallel
        self.result_of = result_of
        self.turn: Callable[[], None] = self.end_oldest
        self.on_submit: Callable[[Job], None] = lambda job: None
        self.emit: Callable[[Event], None] = lambda event: None
        self.submitted: list[Job] = []
        self.running: dict[WsId, tuple[Job, Future[StepResult | None]]] = {}
        self.most_running = 0
        self.cancelled = False
        self._beating = False

    def free(self) -> int:
        return self.parallel - len(self.running)

    def submit(self, job: Job) -> Future[StepResult | None]:
        self.on_submit(job)
        future: Future[StepResult | None] = Future()
        self.submitted.append(job)
        self.running[job.key.ws_id] = (job, future)
        self.most_running = max(self.most_running, len(self.running))
        self._beat()
        return future

    def cancel(self) -> None:
        self.cancelled = True
        for ws_id in list(self.running):
            self._end(ws_id, lambda job: None)

    def end(self, ws_id: WsId) -> None:
        """Let a running job come to its end."""
        self._end(ws_id, self.result_of)

    def end_oldest(self) -> None:
        self.end(next(iter(self.running)))

    def end_all(self) -> None:
        for ws_id in list(self.running):
            self.end(ws_id)

    def event(self, event: Event) -> None:
        """Our own heartbeat comes back when the engine has dealt with all that was before it."""
        if event.type is EventType.TOOL_STARTED:
            self._beating = False
            if self.running:
                self.turn()
            if self.running:
                self._beat()

    def _beat(self) -> None:
        """Something happens in a job: as its event, this gives the test its next turn."""
        if not self._beating:
            self._beating = True
            job, _ = next(iter(self.running.values()))
            payload = {"tool": "fake", "step": job.key.step, "attempt": job.key.attempt}
            self.emit(
                Event(
                    type=EventType.TOOL_STARTED,
                    run_id=job.key.run_id,
                    ws_id=job.key.ws_id,
                    payload=payload,
                )
            )

    def _end(self, ws_id: WsId, result_of: Callable[[Job], StepResult | None]) -> None:
        job, future = self.running.pop(ws_id)
        try:
            result = result_of(job)
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        else:
            future.set_result(result)


class Watch(RecordingProgress):
    """Records, and hands events on to the workers of the stage."""

    def __init__(self, workers: FakeWorkers) -> None:
        super().__init__()
        self._workers = workers

    def event(self, event: Event) -> None:
        super().event(event)
        self._workers.event(event)


@dataclass
class Stage:
    plan: Plan
    db: Path
    workers: FakeWorkers
    results: FakeResults = field(default_factory=FakeResults)
    run_id: RunId = RUN
    infra_retries: int = 1
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    job_of: MakeJob = make_job
    clock: FakeClock = field(default_factory=FakeClock)
    replaces: Mapping[WsId, Commit] = field(default_factory=dict)
    grace_s: float = 60.0
    open: Callable[[Path], AbstractContextManager[Store]] = lambda db: open_store(db, FakeClock())

    def __post_init__(self) -> None:
        self.watch = Watch(self.workers)
        self.engine: Engine | None = None

    def run(self) -> RunStatus:
        """Record the run, and run it to its end."""
        with self.open(self.db) as store:
            store.create_run(self.run_id, self.plan, base_commit=BASE)
            return self._engine(store, [self._live(bundle) for bundle in self.plan], RunStatus.PENDING).run()

    def resume(self) -> RunStatus:
        """Go on with what the database holds, as another process would."""
        with self.open(self.db) as store:
            rows, lives = self.rows(), []
            for bundle in self.plan:
                live = self._live(bundle)
                live.restore(
                    rows[bundle.id],
                    self.attempts(bundle.id),
                    lambda base: Tree(f"base tree of {base.removeprefix('base of ')}"),
                )
                lives.append(live)
            return self._engine(store, lives, self.record().status).run()

    def stop(self) -> None:
        assert self.engine is not None
        self.engine.stop()

    def _engine(self, store: Store, lives: list[Live], status: RunStatus) -> Engine:
        self.engine = Engine(
            self.run_id,
            lives,
            status=status,
            store=store,
            workers=self.workers,
            results=self.results,
            job_of=self.job_of,
            progress=self.watch,
            clock=self.clock,
            infra_retries=self.infra_retries,
            grace_s=self.grace_s,
        )
        self.workers.emit = self.engine.emit
        return self.engine

    # What the database says, as another process would read it

    def record(self) -> RunRecord:
        return self._ask(lambda connection: queries.find_run(connection, self.run_id))

    def rows(self) -> dict[WsId, WorkstreamRecord]:
        found = self._ask(lambda connection: queries.workstreams(connection, self.run_id))
        return {row.ws_id: row for row in found}

    def statuses(self) -> dict[WsId, WsStatus]:
        return {ws_id: row.status for ws_id, row in self.rows().items()}

    def attempts(self, ws_id: str | None = None) -> list[AttemptRecord]:
        return self._ask(
            lambda connection: queries.attempts(connection, self.run_id, WsId(ws_id) if ws_id else None)
        )

    def events(self, ws_id: str | None = None, *types: EventType) -> list[EventRecord]:
        """What is on the audit trail, without the heartbeat."""
        wanted = types or [type_ for type_ in EventType if type_ is not EventType.TOOL_STARTED]
        return self._ask(
            lambda connection: queries.events(
                connection, self.run_id, ws_id=WsId(ws_id) if ws_id else None, types=wanted
            )
        )

    def path(self, ws_id: str) -> list[object]:
        """The states that a workstream went through."""
        return [event.payload["to"] for event in self.events(ws_id, EventType.STATE_TRANSITION)]

    def _ask(self, query: Callable[[Connection], T]) -> T:
        with reading(self.db) as connection:
            return query(connection)

    def intents(self) -> list[Intent]:
        return self._ask(lambda connection: queries.intents(connection, self.run_id))

    def _live(self, bundle: Bundle) -> Live:
        return Live(
            run_id=self.run_id,
            bundle=bundle,
            replaces=self.replaces.get(bundle.id),
            limits=Limits(),
            timeouts=Timeouts(),
            breaker=self.breaker,
        )
