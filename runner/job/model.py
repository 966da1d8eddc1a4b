"""What a job is: the attempt, what to do in it, and the ports to do it with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from runner.clock import Clock
from runner.core.model import (
    AcceptanceTest,
    AttemptKey,
    Commit,
    Limits,
    ScopePolicy,
    ToolProfile,
    Tree,
)
from runner.core.scope import Scope
from runner.ports import Agent, Doors, Ran, Sandboxes, Slots, Worktrees


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentWork:
    """Let an agent change the candidate."""

    agent: str
    prompt: str
    model: str
    scope: Scope
    on_violation: ScopePolicy
    message: str  # of the commit, when the change is accepted
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticWork:
    """Let linters look at the files that the workstream changed."""

    profiles: Mapping[str, ToolProfile]
    scope: Scope
    tools: tuple[str, ...] | None  # None: chosen by the changed files


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeWork:
    """Run the acceptance tests."""

    tests: tuple[AcceptanceTest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    key: AttemptKey
    base: Commit
    candidate: Commit
    tree: Tree
    image: str
    limits: Limits
    timeout_s: float
    started_at: datetime
    infra_retries: int  # how often it is done again when the machine was at fault
    work: AgentWork | StaticWork | RuntimeWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    sandboxes: Sandboxes
    worktrees: Worktrees
    doors: Doors
    agents: Mapping[str, Agent]
    clock: Clock
    slots: Slots
    stop: Event  # set when everything is to end now
    keep_output: Callable[[AttemptKey, str, int, Ran], str]  # stores raw output; where, for the record
