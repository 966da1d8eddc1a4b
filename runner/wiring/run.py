"""A run, from its first row to its report; or from where it was cut off."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Event

from sqlalchemy import Connection
from ulid import ULID

from runner import log
from runner.agent.registry import make_agents
from runner.clock import SystemClock
from runner.core.digest import read_bundle
from runner.core.model import Commit, RunId, StepResult
from runner.core.records import RunRecord
from runner.core.summary import Summary
from runner.core.transitions import is_at_work
from runner.engine.jobs import JobMaker
from runner.engine.journal import Progress
from runner.engine.live import Live
from runner.engine.loop import Engine
from runner.engine.workers import ThreadWorkers
from runner.errors import UsageError
from runner.gateway.records import Records
from runner.gateway.server import Gateway
from runner.gateway.upstream import Upstream
from runner.images.lock import check_image, lock_path
from runner.job.carry_out import carry_out
from runner.job.model import Job, Ports
from runner.prompts import Prompts
from runner.recovery import Interrupted, find_interrupted, record_crash, record_resume
from runner.report.files import Reports
from runner.resources import images_dir, templates_dir
from runner.sandbox.docker import sandbox_uid
from runner.store import queries
from runner.store.db import reading
from runner.wiring.parts import (
    Both,
    LogWriter,
    keep_output,
    live_of,
    make_slots,
    make_upstream,
)
from runner.wiring.reports import report
from runner.wiring.state import Opened, opened
from runner.wiring.target import PlannedRun, Target
from runner.worktree.checkout import GitWorktrees
from runner.worktree.results import GitResults

Started = Callable[[RunId, Engine], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended, or how far it came."""

    summary: Summary
    reports: Reports


def run_plan(target: Target, planned: PlannedRun, *, watch: Progress, started: Started) -> Outcome:
    """Run a plan to its end, or until it is stopped. `started` gets the engine, to stop it.

    Whoever calls has seen that no run was cut off here (see wiring.interrupted).

    Raises RunnerError when the run cannot start; also when the machine breaks under it, and it can then be resumed.
    """
    image, upstream = _checked(target)
    with opened(target) as place:
        run_id = RunId(str(ULID()))
        metadata = _metadata(target, planned, image)
        place.store.create_run(run_id, planned.plan, base_commit=planned.base, metadata=metadata)
        lives = [
            live_of(run_id, bundle, target.settings, replaces=planned.replaced.get(bundle.branch))
            for bundle in planned.plan
        ]
        with reading(target.layout.db) as connection:
            run = queries.find_run(connection, run_id)
        return _carry_on(target, place, run, lives, upstream=upstream, watch=watch, started=started)


def resume_run(target: Target, run_id: RunId, *, watch: Progress, started: Started) -> Outcome:
    """Go on with a run that was cut off: done again is only what has no proof. Raises as `run_plan` does."""
    _, upstream = _checked(target)
    with opened(target) as place:
        with reading(target.layout.db) as connection:
            cut = find_interrupted(connection, run_id)
            if cut is None:
                run = queries.find_run(connection, run_id)
                raise UsageError(
                    f"Run {run_id} has ended: it is {run.status}",
                    hint="Only a run that was cut off can be resumed. Another one of the same plan: runner run",
                )
            lives = _restored(target, cut, connection)
        with place.store.transaction():
            record_crash(place.store, cut)
            record_resume(place.store, cut)
        return _carry_on(target, place, cut.run, lives, upstream=upstream, watch=watch, started=started)


def _checked(target: Target) -> tuple[str, Upstream]:
    """The image's id and the upstream, of which all is known to work that can be known without a run."""
    settings = target.settings
    image = check_image(settings.images.python, lock_path(images_dir()), verify=settings.images.verify)
    upstream = make_upstream(settings)
    upstream.preflight()
    return image, upstream


def _restored(target: Target, cut: Interrupted, connection: Connection) -> list[Live]:
    """The workstreams of a run as its rows have them. Only of those at work the attempts are read."""
    replaced = cut.run.metadata.get("replaced", {})
    assert isinstance(replaced, dict)
    lives = []
    for row in cut.workstreams:
        bundle = read_bundle(row.metadata)
        old = replaced.get(bundle.branch)
        live = live_of(row.run_id, bundle, target.settings, replaces=Commit(old) if old else None)
        attempts = queries.attempts(connection, row.run_id, row.ws_id) if is_at_work(row.status) else []
        live.restore(row, attempts, target.repository.tree)
        lives.append(live)
    return lives


def _carry_on(
    target: Target,
    place: Opened,
    run: RunRecord,
    lives: Sequence[Live],
    *,
    upstream: Upstream,
    watch: Progress,
    started: Started,
) -> Outcome:
    """Run what has not ended. The report is written whatever happens."""
    layout = target.layout
    with ExitStack() as stack:
        stack.enter_context(log.run_log(layout.logs(run.run_id), run.run_id))
        engine = _assembled(target, place, run, lives, upstream=upstream, watch=watch, stack=stack)
        started(run.run_id, engine)
        try:
            engine.run()
        finally:
            summary, reports = report(layout, run.run_id)
    return Outcome(summary=summary, reports=reports)


def _assembled(
    target: Target,
    place: Opened,
    run: RunRecord,
    lives: Sequence[Live],
    *,
    upstream: Upstream,
    watch: Progress,
    stack: ExitStack,
) -> Engine:
    settings, layout, repository = target.settings, target.layout, target.repository
    model = str(run.metadata["model"])
    clock = SystemClock()
    worktrees = GitWorktrees(repository, layout.worktrees(run.run_id), uid=sandbox_uid())
    stop = Event()
    ports = Ports(
        sandboxes=place.sandboxes,
        worktrees=worktrees,
        doors=stack.enter_context(
            Gateway(
                upstream,
                models={live.bundle.model or model for live in lives},
                records=Records(layout.records(run.run_id)),
                clock=clock,
            )
        ),
        agents=make_agents(target.profiles, settings.model),
        clock=clock,
        slots=make_slots(settings),
        stop=stop,
        keep_output=partial(keep_output, layout.logs(run.run_id)),
    )

    def work(job: Job) -> StepResult | None:
        return carry_out(job, ports, engine.emit)

    def stop_work() -> None:
        stop.set()
        place.sandboxes.cancel()

    engine = Engine(
        run.run_id,
        lives,
        status=run.status,
        store=place.store,
        workers=stack.enter_context(closing(ThreadWorkers(settings.run.parallel, work, stop_work))),
        results=GitResults(
            repository,
            worktrees,
            run_id=run.run_id,
            base=run.base_commit,
            started_at=datetime.fromisoformat(run.created_at),
        ),
        job_of=JobMaker(
            repository=repository,
            prompts=Prompts(templates_dir() / "prompts"),
            profiles=target.profiles,
            image=settings.images.python,
            model=model,
            author=settings.agent.author,
            infra_retries=settings.run.infra_retries,
        ),
        progress=Both(watch, LogWriter()),
        clock=clock,
        infra_retries=settings.run.infra_retries,
        grace_s=settings.run.grace_s,
    )
    return engine


def _metadata(target: Target, planned: PlannedRun, image: str) -> dict[str, object]:
    """What a resume and a report need to know of how the run was started."""
    settings = target.settings
    return {
        "base_branch": planned.branch,
        "plan": str(settings.run.plan),
        "parallel": settings.run.parallel,
        "image": image,
        "model": planned.model,
        "script": str(settings.model.script) if settings.model.script else None,
        "replaced": dict(planned.replaced),
    }
