"""Stand-ins for what is slow, paid or random: containers, the model's door, the agent, time."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.core.events import Event
from runner.core.model import AttemptKey, Commit, StepResult, Tree, WsId
from runner.errors import RepositoryError, RunnerError
from runner.ports import (
    AgentReport,
    AgentTask,
    Base,
    Call,
    Change,
    Command,
    End,
    NoBase,
    Output,
    Ran,
    SandboxSpec,
)
from runner.sandbox.layer import Ignored, read_changes, read_content
from runner.sandbox.overlay import Overlay

Play = Callable[[Path, Command], Ran]


def ran(
    stdout: str = "", *, stderr: str = "", exit_code: int = 0, end: End = End.EXITED, duration_s: float = 1.0
) -> Ran:
    """How a command ended, in one line."""
    return Ran(
        end=end,
        exit_code=exit_code,
        stdout=Output(stdout.encode("utf-8", "surrogateescape")),
        stderr=Output(stderr.encode("utf-8", "surrogateescape")),
        duration_s=duration_s,
    )


class FakeClock:
    """Time that stands still until it is ticked."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    def tick(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class FakeSandbox:
    """A copy of the checkout, in which a function of the test plays the command."""

    def __init__(self, overlay: Overlay, spec: SandboxSpec, sandboxes: "FakeSandboxes") -> None:
        self._overlay = overlay
        self._spec = spec
        self._sandboxes = sandboxes

    def run(self, command: Command) -> Ran:
        self._sandboxes.commands.append(command)
        if self._sandboxes.cancelled:
            return ran(end=End.CANCELLED, exit_code=137)
        return self._sandboxes.play(self._overlay.upper, command)

    def changes(self) -> Sequence[Change]:
        """What the real reader finds in the copy; as that holds everything, what it lacks was deleted."""
        limit = self._spec.limits.file_bytes
        found = read_changes(self._overlay, max_bytes=limit, ignored=self._sandboxes.ignored)
        known = {change.path for change in found}
        gone = [
            Change(path=path, kind="delete", existed=True)
            for path in _files(self._overlay.lower)
            if path not in known and not os.path.lexists(self._overlay.upper / path)
        ]
        return sorted([*found, *gone], key=lambda change: change.path)

    def content(self, change: Change) -> bytes:
        return read_content(self._overlay, change)


class FakeSandboxes:
    """See ports.Sandboxes. `specs` and `commands` tell what was asked for; `open_now` must end at 0."""

    def __init__(self, play: Play, *, ignored: Ignored = lambda _, paths: set()) -> None:
        self.play = play
        self.ignored = ignored
        self.specs: list[SandboxSpec] = []
        self.commands: list[Command] = []
        self.open_now = 0
        self.cancelled = False

    @contextmanager
    def open(self, spec: SandboxSpec) -> Iterator[FakeSandbox]:
        self.specs.append(spec)
        with tempfile.TemporaryDirectory(prefix="fake-sandbox-") as folder:
            overlay = Overlay(spec.worktree, Path(folder))
            pointer = spec.worktree / ".git"
            shutil.copytree(
                spec.worktree,
                overlay.upper,
                symlinks=True,
                ignore=lambda place, _: {".git"} if Path(place) == pointer.parent else set(),
            )
            self.open_now += 1
            try:
                yield FakeSandbox(overlay, spec, self)
            finally:
                self.open_now -= 1

    def cancel(self) -> None:
        self.cancelled = True


def _files(top: Path) -> Iterator[str]:
    for place, folders, names in os.walk(top):
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in (*names, *links):
            path = (Path(place) / name).relative_to(top).as_posix()
            if path != ".git":
                yield path


class FakeDoor:
    """See ports.Door: a door behind which these requests were seen."""

    def __init__(self, folder: Path, calls: Sequence[Call]) -> None:
        self.folder = folder
        self._calls = list(calls)

    def take_calls(self) -> Sequence[Call]:
        taken, self._calls = self._calls, []
        return taken


class FakeDoors:
    """See ports.Doors. Every door sees the same calls; `opened` tells for whom there was one."""

    def __init__(self, *calls: Call) -> None:
        self._calls = calls
        self.opened: list[AttemptKey] = []
        self.open_now = 0

    @contextmanager
    def open(self, key: AttemptKey) -> Iterator[FakeDoor]:
        self.opened.append(key)
        self.open_now += 1
        try:
            yield FakeDoor(Path("/doors") / key.ws_id, self._calls)
        finally:
            self.open_now -= 1


@dataclass
class ScriptedAgent:
    """See ports.Agent. What it does is the play of the sandbox; `tasks` tells what it was asked."""

    says: AgentReport = field(default_factory=AgentReport)
    name: str = "scripted"
    tasks: list[AgentTask] = field(default_factory=list)

    def command(self, task: AgentTask) -> Command:
        self.tasks.append(task)
        return Command(argv=("scripted-agent",), files={"prompt.txt": task.prompt})

    def report(self, ran: Ran) -> AgentReport:
        return self.says


class FakeSlots:
    """See ports.Slots. There is always a place, unless everything is to stop, or they are `broken`."""

    def __init__(self) -> None:
        self.held = 0
        self.broken: RunnerError | None = None
        self.on_hold: Callable[[], None] = lambda: None

    @contextmanager
    def hold(self, stop: threading.Event) -> Iterator[bool]:
        if self.broken is not None:
            raise self.broken
        self.on_hold()
        self.held += 1
        try:
            yield not stop.is_set()
        finally:
            self.held -= 1


class RecordingProgress:
    """See engine.Progress. `seen` holds events and results in the order they were told."""

    def __init__(self) -> None:
        self.seen: list[Event | StepResult] = []

    @property
    def events(self) -> list[Event]:
        return [one for one in self.seen if isinstance(one, Event)]

    @property
    def results(self) -> list[StepResult]:
        return [one for one in self.seen if isinstance(one, StepResult)]

    def event(self, event: Event) -> None:
        self.seen.append(event)

    def result(self, result: StepResult) -> None:
        self.seen.append(result)


class FakeResults:
    """See ports.Results. `bases`, `handed_back` and `kept` tell what was asked for.

    For the workstreams in `conflicts` there is no base; for those in `refused` the branch cannot be made.
    """

    def __init__(self) -> None:
        self.conflicts: dict[WsId, str] = {}
        self.refused: dict[WsId, str] = {}
        self.bases: dict[WsId, tuple[Commit, ...]] = {}
        self.handed_back: dict[str, Commit] = {}
        self.kept: dict[WsId, Commit | None] = {}

    def base_of(self, ws_id: WsId, candidates: Sequence[Commit]) -> Base | NoBase:
        self.bases[ws_id] = tuple(candidates)
        if ws_id in self.conflicts:
            return NoBase(self.conflicts[ws_id])
        return Base(Commit(f"base of {ws_id}"), Tree(f"base tree of {ws_id}"))

    def hand_back(self, ws_id: WsId, branch: str, candidate: Commit, *, old: Commit | None) -> None:
        if ws_id in self.refused:
            raise RepositoryError(self.refused[ws_id])
        self.handed_back[branch] = candidate

    def keep(self, ws_id: WsId, *, base: Commit | None, candidate: Commit | None) -> str:
        self.kept[ws_id] = candidate
        return f"/worktrees/{ws_id}" if base else ""
