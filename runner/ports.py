"""The borders of a job: what it needs of the world, so that tests and a fleet can stand in for it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from runner.core.events import Event
from runner.core.model import AttemptKey, Commit, Limits, StepName, Tree, Usage, WsId

# Where a sandbox has things: part of the contract, as commands and git directories name these places.
WORKSPACE = "/workspace"
GIT_BASE = "/opt/git-base"  # read-only: the objects of the base commit
GIT_DIR = "/run/runner/git"  # a git directory of the sandbox's own, thrown away with it
JOB_FOLDER = "/run/runner/job"

Emit = Callable[[Event], None]

ChangeKind = Literal["add", "modify", "delete", "mode", "symlink", "special"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry that a sandbox's layer changes. `path` is relative and uses `/`."""

    path: str
    kind: ChangeKind
    mode: str = ""  # git's: 100644, 100755 or 120000; empty for a deletion
    size: int = 0
    existed: bool = False  # whether the candidate had a file there
    refused: str = ""  # why an entry of this kind can never be accepted


@dataclass(frozen=True, slots=True)
class Output:
    """A bounded copy of what a command printed: the first and the last bytes."""

    head: bytes = b""
    tail: bytes = b""
    dropped: int = 0  # bytes between the two

    def text(self) -> str:
        """Decoded with replacement characters; what was dropped is said in its place."""
        if not self.dropped:
            return (self.head + self.tail).decode("utf-8", "replace")
        note = f"\n[... {self.dropped} bytes dropped ...]\n"
        return self.head.decode("utf-8", "replace") + note + self.tail.decode("utf-8", "replace")


class End(StrEnum):
    """How the command of a sandbox ended."""

    EXITED = "exited"
    TIMEOUT = "timeout"
    OOM = "oom"
    OUTPUT_LIMIT = "output_limit"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run in a sandbox; its working directory is the workspace."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # name -> text, laid in JOB_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a sandboxed command did."""

    end: End
    exit_code: int
    stdout: Output
    stderr: Output
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """One sandbox: the attempt it serves, what it looks at, and what it may use."""

    key: AttemptKey
    serial: int  # the how-manieth sandbox of the attempt, 1-based
    worktree: Path  # the lower directory: exactly the candidate
    base: Commit  # HEAD of the private git directory
    image: str
    limits: Limits
    timeout_s: float
    door: Path | None = None  # folder with the model door's socket; None: no way out at all


class Sandbox(Protocol):
    """A container that has not started yet, and the layer it will leave behind."""

    def run(self, command: Command) -> Ran:
        """Run the container's one command to its end. Blocks.

        A command that fails, hangs or floods is a result. Raises SandboxError when the engine lost
        the container, so that nothing can be said about the command.
        """
        ...

    def changes(self) -> Sequence[Change]:
        """What the finished command changed, sorted by path; git-ignored leftovers are not among it."""
        ...

    def content(self, change: Change) -> bytes:
        """The bytes of a file, or a link's target, as the layer holds it (never following links)."""
        ...


class Sandboxes(Protocol):
    def open(self, spec: SandboxSpec) -> AbstractContextManager[Sandbox]:
        """Make a sandbox; leaving the context removes the container and its layer."""
        ...

    def cancel(self) -> None:
        """Kill what runs and what is opened later; `run` then returns `End.CANCELLED`."""
        ...


class Slots(Protocol):
    def hold(self, stop: threading.Event) -> AbstractContextManager[bool]:
        """Wait for one of the places that this machine has for sandboxes, and hold it until the context is left.

        False: `stop` was set before there was one.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One model request as the gateway saw it."""

    status: int  # HTTP status passed to the agent; 0 when the upstream could not be reached
    error: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    recorded: bool = (
        False  # served from the record: paid for when it was first asked, counted as if it were now
    )


class Door(Protocol):
    """An attempt's model door."""

    @property
    def folder(self) -> Path:
        """The folder with `model.sock`, to be mounted into agent sandboxes."""
        ...

    def take_calls(self) -> Sequence[Call]:
        """The calls since the last time this was asked."""
        ...


class Doors(Protocol):
    def open(self, key: AttemptKey) -> AbstractContextManager[Door]:
        """Listen for an attempt; leaving the context closes the socket.

        An attempt that is done again gets the answers that it received before. Raises UnusableError when these
        cannot be read, and on leaving when an answer could not be recorded.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """What an agent is asked to do."""

    step: StepName
    prompt: str
    files: tuple[str, ...]  # the files it may edit, present or to be created
    model: str
    timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """What an agent's own output tells: a hint for messages, never proof."""

    errors: tuple[str, ...] = ()
    malformed: int = 0  # answers that were not usable as edits
    truncated: int = 0  # answers that hit the model's length limit


class Agent(Protocol):
    """An AI coding tool: how it is started, and how its output is read."""

    @property
    def name(self) -> str: ...

    def command(self, task: AgentTask) -> Command: ...

    def report(self, ran: Ran) -> AgentReport: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """What a commit bears besides its tree; the same values give the same hash."""

    message: str
    author: str  # Name <address>
    date: datetime


class Worktree(Protocol):
    """A workstream's checkout: the lower directory of its sandboxes. Containers never write here."""

    @property
    def path(self) -> Path: ...

    @property
    def candidate(self) -> Commit:
        """The commit whose tree the checkout holds."""
        ...

    def changed(self, base: Commit) -> Sequence[str]:
        """Files that differ between a base and the candidate; deleted ones are left out."""
        ...

    def files(self, commit: Commit) -> Sequence[str]:
        """Every file of a commit."""
        ...

    def accept(self, sandbox: Sandbox, changes: Sequence[Change], info: CommitInfo) -> tuple[Commit, Tree]:
        """Commit the changes onto the candidate and lay them into the checkout; the new candidate.

        The committed paths are compared with `changes` afterwards: a difference raises GitError.
        """
        ...


class Worktrees(Protocol):
    def checkout(self, ws_id: WsId, candidate: Commit) -> Worktree:
        """The checkout of a workstream, holding exactly the candidate; made when it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Base:
    """Where a workstream starts from."""

    commit: Commit
    tree: Tree


@dataclass(frozen=True, slots=True)
class NoBase:
    """Why a workstream has nothing to start from."""

    reason: str


class Results(Protocol):
    """The target repository as the loop sees it: where work starts, and where it is handed back.

    Everything may be asked for again after a crash: the same arguments lead to the same commits.
    """

    def base_of(self, ws_id: WsId, candidates: Sequence[Commit]) -> Base | NoBase:
        """The base of a workstream whose dependencies ended with these candidates (none: the run's base)."""
        ...

    def hand_back(self, ws_id: WsId, branch: str, candidate: Commit, *, old: Commit | None) -> None:
        """Move a branch from `old` (None: that does not exist) to a verified candidate; remove the checkout.

        What is done already is left as it is. Raises RepositoryError when the branch is elsewhere.
        """
        ...

    def keep(self, ws_id: WsId, *, base: Commit | None, candidate: Commit | None) -> str:
        """Save what a workstream without a result has; the checkout a person may look into, or nothing."""
        ...


def total(calls: Sequence[Call]) -> Usage:
    """The usage of some calls."""
    return Usage(
        requests=len(calls),
        tokens_in=sum(call.tokens_in for call in calls),
        tokens_out=sum(call.tokens_out for call in calls),
    )
