"""One run, from its first row to its report."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ulid import ULID

from runner import log
from runner.agent.aider import Aider
from runner.clock import Clock, SystemClock
from runner.config import model_key
from runner.config.settings import Settings
from runner.core.events import Event
from runner.core.model import AttemptKey, Bundle, RunId, StepResult
from runner.core.summary import Summary, summarize
from runner.engine.jobs import JobMaker
from runner.engine.live import Live
from runner.engine.loop import Engine, Progress
from runner.engine.workers import ThreadWorkers
from runner.errors import ConfigError
from runner.gateway.http import HttpUpstream
from runner.gateway.retry import Retrying
from runner.gateway.script import load_script
from runner.gateway.scripted import ScriptedUpstream
from runner.gateway.server import Gateway
from runner.gateway.upstream import Upstream
from runner.git import ignored
from runner.images.lock import check_image, lock_path
from runner.job import Job, Ports, carry_out
from runner.ports import Ran
from runner.prompts import Prompts
from runner.recovery import abandon_interrupted
from runner.report.files import Reports, write_reports
from runner.resources import images_dir, templates_dir
from runner.sandbox.docker import DockerSandboxes, sandbox_uid
from runner.store import queries
from runner.store.db import reading
from runner.store.lock import locked
from runner.store.runs import Store, open_store
from runner.wiring.target import PlannedRun, Target
from runner.worktree.checkout import GitWorktrees
from runner.worktree.gitbase import git_base
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
    """Run a plan to its end. `started` gets the engine, to interrupt it. Raises RunnerError before any start."""
    settings = target.settings
    clock = SystemClock()
    image = check_image(settings.images.python, lock_path(images_dir()), verify=settings.images.verify)
    upstream = make_upstream(settings)
    upstream.preflight()
    run_id = RunId(str(ULID()))
    layout = target.layout
    with ExitStack() as stack:
        stack.enter_context(locked(layout.lock))
        store = stack.enter_context(open_store(layout.db, clock))
        sandboxes = _sandboxes(target, clock)
        stack.callback(sandboxes.close)
        _bury_the_dead(target, store, sandboxes)
        stack.enter_context(log.run_log(layout.logs(run_id), run_id))
        store.create_run(
            run_id, planned.plan, base_commit=planned.base, metadata=_metadata(target, planned, image)
        )
        gateway = stack.enter_context(Gateway(upstream, models=_models(target, planned)))
        worktrees = GitWorktrees(target.repository, layout.worktrees(run_id), uid=sandbox_uid())
        ports = Ports(
            sandboxes=sandboxes,
            worktrees=worktrees,
            doors=gateway,
            agents={"aider": lambda: _aider(settings)},
            clock=clock,
            keep_output=lambda *args: _keep_output(layout.logs(run_id), *args),
        )
        engine = _engine(
            target,
            planned,
            run_id,
            image=image,
            store=store,
            ports=ports,
            watch=watch,
            worktrees=worktrees,
            stack=stack,
        )
        started(run_id, engine)
        try:
            engine.run()
        finally:
            summary = load_summary(target, run_id)
            reports = write_reports(summary, layout)
    return Outcome(summary=summary, reports=reports, interrupted=engine.interrupted)


def load_summary(target: Target, run_id: RunId) -> Summary:
    with reading(target.layout.db) as connection:
        return summarize(
            queries.find_run(connection, run_id),
            queries.workstreams(connection, run_id),
            attempts=queries.attempts(connection, run_id),
            errors=queries.errors(connection, run_id),
            events=queries.events(connection, run_id),
        )


def make_upstream(settings: Settings) -> Upstream:
    """What answers at the model door: a script, or the configured endpoint. Raises ConfigError."""
    model = settings.model
    if model.script is not None:
        return ScriptedUpstream(load_script(model.script))
    if model.base_url is None:
        raise ConfigError("No model is configured", hint="Set RUNNER_MODEL__BASE_URL, or try: runner demo")
    key = model_key(settings)
    upstream = HttpUpstream(model.base_url, key.get_secret_value() if key else "", timeout_s=model.timeout_s)
    return Retrying(upstream, retries=model.retries)


def _engine(
    target: Target,
    planned: PlannedRun,
    run_id: RunId,
    *,
    image: str,
    store: Store,
    ports: Ports,
    watch: Progress,
    worktrees: GitWorktrees,
    stack: ExitStack,
) -> Engine:
    settings = target.settings
    results = GitResults(
        target.repository,
        worktrees,
        run_id=run_id,
        base=planned.base,
        started_at=ports.clock.now(),
        replaced=planned.replaced,
    )
    make_job = JobMaker(
        repository=target.repository,
        prompts=Prompts(templates_dir() / "prompts"),
        profiles=target.profiles,
        image=image,
        model=target.model,
        author=settings.agent.author,
        clock=ports.clock,
    )

    def work(job: Job) -> StepResult:
        return carry_out(job, ports, engine.emit)

    workers = ThreadWorkers(settings.run.parallel, work, ports.sandboxes.cancel)
    stack.callback(workers.close)
    engine = Engine(
        run_id,
        [_live(run_id, bundle, settings) for bundle in planned.plan],
        store=store,
        workers=workers,
        results=results,
        job_of=make_job,
        progress=_Both(watch, _LogWriter()),
        infra_retries=settings.run.infra_retries,
    )
    return engine


def _live(run_id: RunId, bundle: Bundle, settings: Settings) -> Live:
    """A workstream with the settings' limits, and its own where it names some."""
    return Live(
        run_id=run_id,
        bundle=bundle,
        limits=replace(settings.limits.to_model(), **bundle.limits),  # type: ignore[arg-type]
        timeouts=replace(settings.timeouts.to_model(), **bundle.timeouts),
        breaker=replace(settings.breaker.to_model(), **bundle.circuit_breaker),
    )


def _sandboxes(target: Target, clock: Clock) -> DockerSandboxes:
    plumbing = target.repository.plumbing
    return DockerSandboxes(
        owner=str(target.layout.root.resolve()),
        scratch=target.layout.scratch,
        git_base=lambda commit: git_base(plumbing, target.layout.bases, commit),
        ignored=lambda worktree, paths: ignored(plumbing, worktree, paths),
        clock=clock,
    )


def _bury_the_dead(target: Target, store: Store, sandboxes: DockerSandboxes) -> None:
    """We hold the lock, so whatever says it is running was killed."""
    sandboxes.reap()
    with reading(target.layout.db) as connection:
        dead = [
            (run, queries.workstreams(connection, run.run_id)) for run in queries.interrupted_runs(connection)
        ]
    for run, workstreams in dead:
        abandon_interrupted(store, run, workstreams)


def _models(target: Target, planned: PlannedRun) -> frozenset[str]:
    return frozenset(bundle.model or target.model for bundle in planned.plan)


def _metadata(target: Target, planned: PlannedRun, image: str) -> dict[str, object]:
    return {
        "base_branch": planned.branch,
        "plan": str(target.settings.run.plan),
        "parallel": target.settings.run.parallel,
        "image": image,
        "model": target.model,
    }


def _aider(settings: Settings) -> Aider:
    return Aider(
        max_input_tokens=settings.model.context_tokens,
        max_output_tokens=settings.model.max_output_tokens,
        temperature=settings.model.temperature,
        unlisted="allow",  # the scope gate judges what was changed, and tells the agent why it was refused
    )


def _keep_output(logs: Path, key: AttemptKey, tool: str, serial: int, ran: Ran) -> str:
    """Store a tool's raw output, bounded as it was read; its file's name, relative to the run's logs."""
    name = log.output_file(key, tool, serial)
    path = logs / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for title, output in (("stdout", ran.stdout), ("stderr", ran.stderr)):
            file.write(f"--- {title} ---\n".encode() + output.head)
            if output.dropped:
                file.write(f"\n[... {output.dropped} bytes dropped ...]\n".encode())
            file.write(output.tail + b"\n")
        file.write(f"--- {ran.end}, exit code {ran.exit_code}, {ran.duration_s:.2f} s ---\n".encode())
    return name


class _LogWriter:
    """Writes what happens into the run's log files."""

    def event(self, event: Event) -> None:
        fields = {name: value for name, value in event.payload.items() if name != "message"}
        if "message" in event.payload:
            fields["text"] = event.payload["message"]
        log.info(event.type, run_id=event.run_id, ws_id=event.ws_id, **fields)

    def result(self, result: StepResult) -> None:
        key = result.key
        log.info(
            f"{key.step} {result.outcome}",
            run_id=key.run_id,
            ws_id=key.ws_id,
            step=key.step,
            attempt=key.attempt,
            text=result.message,
            changed=list(result.changed),
            findings=len(result.findings),
            duration_sec=result.duration_s,
        )


class _Both:
    """Hands on to two who watch."""

    def __init__(self, first: Progress, second: Progress) -> None:
        self._watchers = (first, second)

    def event(self, event: Event) -> None:
        for watcher in self._watchers:
            watcher.event(event)

    def result(self, result: StepResult) -> None:
        for watcher in self._watchers:
            watcher.result(result)
