"""One run, from its first row to its report."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from ulid import ULID

from runner import log
from runner.agent.registry import make_agents
from runner.clock import SystemClock
from runner.core.model import RunId, StepResult
from runner.core.summary import Summary
from runner.engine.jobs import JobMaker
from runner.engine.loop import Engine, Progress
from runner.engine.workers import ThreadWorkers
from runner.gateway.server import Gateway
from runner.images.lock import check_image, lock_path
from runner.job.carry_out import carry_out
from runner.job.model import Job, Ports
from runner.prompts import Prompts
from runner.recovery import abandon_interrupted
from runner.report.files import Reports, write_reports
from runner.resources import images_dir, templates_dir
from runner.sandbox.docker import DockerSandboxes, sandbox_uid
from runner.store import queries
from runner.store.db import reading
from runner.store.lock import locked
from runner.store.runs import Store, open_store
from runner.wiring.parts import (
    Both,
    LogWriter,
    keep_output,
    live_of,
    make_sandboxes,
    make_upstream,
)
from runner.wiring.target import PlannedRun, Target
from runner.worktree.checkout import GitWorktrees
from runner.worktree.results import GitResults


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    summary: Summary
    reports: Reports
    interrupted: bool


def run_plan(
    target: Target, planned: PlannedRun, *, watch: Progress, started: Callable[[RunId, Engine], None]
) -> Outcome:
    """Run a plan to its end. `started` gets the engine, to interrupt it.

    Raises RunnerError when the run cannot start; afterwards what goes wrong is the end of a workstream.
    """
    settings, layout, repository = target.settings, target.layout, target.repository
    image = check_image(settings.images.python, lock_path(images_dir()), verify=settings.images.verify)
    upstream = make_upstream(settings)
    upstream.preflight()
    clock = SystemClock()
    run_id = RunId(str(ULID()))
    with ExitStack() as stack:
        stack.enter_context(locked(layout.lock))
        store = stack.enter_context(open_store(layout.db, clock))
        sandboxes = stack.enter_context(closing(make_sandboxes(target, clock)))
        _bury_the_dead(target, store, sandboxes)
        stack.enter_context(log.run_log(layout.logs(run_id), run_id))
        doors = stack.enter_context(Gateway(upstream, models=_models(planned)))
        store.create_run(
            run_id, planned.plan, base_commit=planned.base, metadata=_metadata(target, planned, image)
        )
        worktrees = GitWorktrees(repository, layout.worktrees(run_id), uid=sandbox_uid())
        ports = Ports(
            sandboxes=sandboxes,
            worktrees=worktrees,
            doors=doors,
            agents=make_agents(target.profiles, settings.model),
            clock=clock,
            keep_output=partial(keep_output, layout.logs(run_id)),
        )

        def work(job: Job) -> StepResult:
            return carry_out(job, ports, engine.emit)

        engine = Engine(
            run_id,
            [live_of(run_id, bundle, settings) for bundle in planned.plan],
            store=store,
            workers=stack.enter_context(
                closing(ThreadWorkers(settings.run.parallel, work, sandboxes.cancel))
            ),
            results=GitResults(
                repository,
                worktrees,
                run_id=run_id,
                base=planned.base,
                started_at=clock.now(),
                replaced=planned.replaced,
            ),
            job_of=JobMaker(
                repository=repository,
                prompts=Prompts(templates_dir() / "prompts"),
                profiles=target.profiles,
                image=image,
                model=planned.model,
                author=settings.agent.author,
                clock=clock,
            ),
            progress=Both(watch, LogWriter()),
            infra_retries=settings.run.infra_retries,
        )
        started(run_id, engine)
        try:
            engine.run()
        finally:
            with reading(layout.db) as connection:
                summary = queries.summary(connection, queries.find_run(connection, run_id))
            reports = write_reports(summary, layout)
    return Outcome(summary=summary, reports=reports, interrupted=engine.interrupted)


def _bury_the_dead(target: Target, store: Store, sandboxes: DockerSandboxes) -> None:
    """We hold the lock, so whatever says it is running was killed."""
    sandboxes.reap()
    with reading(target.layout.db) as connection:
        dead = [
            (run, queries.workstreams(connection, run.run_id)) for run in queries.interrupted_runs(connection)
        ]
    for run, workstreams in dead:
        abandon_interrupted(store, run, workstreams)


def _models(planned: PlannedRun) -> frozenset[str]:
    return frozenset(bundle.model or planned.model for bundle in planned.plan)


def _metadata(target: Target, planned: PlannedRun, image: str) -> dict[str, object]:
    return {
        "base_branch": planned.branch,
        "plan": str(target.settings.run.plan),
        "parallel": target.settings.run.parallel,
        "image": image,
        "model": planned.model,
    }
