"""The parts of a run that settings decide on, and what stands between two parts."""

from dataclasses import replace
from pathlib import Path

from runner import log
from runner.clock import Clock
from runner.config import model_key
from runner.config.settings import Settings
from runner.core.events import Event
from runner.core.model import AttemptKey, Bundle, Commit, RunId, StepResult
from runner.engine.journal import Progress
from runner.engine.live import Live
from runner.gateway.http import HttpUpstream
from runner.gateway.retry import Retrying
from runner.gateway.script import load_script
from runner.gateway.scripted import ScriptedUpstream
from runner.gateway.upstream import Upstream
from runner.git import ignored
from runner.ports import Ran
from runner.sandbox.docker import DockerSandboxes
from runner.slots import Slots, default_folder, default_limit
from runner.wiring.target import Target, configured_model
from runner.worktree.gitbase import git_base


def make_upstream(settings: Settings) -> Upstream:
    """What answers at the model door: a script, or the configured endpoint. Raises ConfigError."""
    configured_model(settings)
    model = settings.model
    if model.script is not None:
        return ScriptedUpstream(load_script(model.script))
    assert model.base_url is not None
    key = model_key(settings)
    upstream = HttpUpstream(model.base_url, key.get_secret_value() if key else "", timeout_s=model.timeout_s)
    return Retrying(upstream, retries=model.retries)


def make_sandboxes(target: Target, clock: Clock) -> DockerSandboxes:
    plumbing = target.repository.plumbing
    return DockerSandboxes(
        owner=str(target.layout.root.resolve()),
        scratch=target.layout.scratch,
        git_base=lambda commit: git_base(plumbing, target.layout.bases, commit),
        ignored=lambda worktree, paths: ignored(plumbing, worktree, paths),
        clock=clock,
    )


def make_slots(settings: Settings) -> Slots:
    """The places for sandboxes that all runs of this machine share."""
    host = settings.host
    limit = host.sandboxes or default_limit(settings.limits.memory_mb)
    return Slots(host.folder or default_folder(), limit)


def live_of(run_id: RunId, bundle: Bundle, settings: Settings, *, replaces: Commit | None) -> Live:
    """A workstream with the settings' limits, and its own where it names some."""
    return Live(
        run_id=run_id,
        bundle=bundle,
        replaces=replaces,
        limits=replace(settings.limits.to_model(), **bundle.limits),  # type: ignore[arg-type]
        timeouts=replace(settings.timeouts.to_model(), **bundle.timeouts),
        breaker=replace(settings.breaker.to_model(), **bundle.circuit_breaker),
    )


def keep_output(logs: Path, key: AttemptKey, tool: str, serial: int, ran: Ran) -> str:
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


class LogWriter:
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


class Both:
    """Hands on to two who watch."""

    def __init__(self, first: Progress, second: Progress) -> None:
        self._watchers = (first, second)

    def event(self, event: Event) -> None:
        for watcher in self._watchers:
            watcher.event(event)

    def result(self, result: StepResult) -> None:
        for watcher in self._watchers:
            watcher.result(result)
