"""The values that everything else speaks in. No behaviour beyond what a value says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NewType

RunId = NewType("RunId", str)
WsId = NewType("WsId", str)
Commit = NewType("Commit", str)  # a commit's hash, in full
Tree = NewType("Tree", str)  # a git tree's hash, in full


class RunStatus(StrEnum):
    PENDING = "pending"  # recorded, nothing started
    RUNNING = "running"
    COMPLETED = "completed"  # every workstream done
    PARTIAL = "partial"  # some done, some not
    FAILED = "failed"  # none done, or a critical fault
    ABANDONED = "abandoned"  # given up by the user, or found dead


class WsStatus(StrEnum):
    PENDING = "pending"  # waits for its dependencies
    READY = "ready"  # may start
    EDITING = "editing"  # the agent works on the tasks
    STATIC_CHECK = "static_check"  # linters look at the candidate
    FIXING = "fixing"  # the agent works on findings
    RUNTIME_CHECK = "runtime_check"  # the acceptance tests run
    DONE = "done"  # verified, and on its branch
    FAILED = "failed"  # a breaker tripped, or a step could not be carried out
    BLOCKED = "blocked"  # a dependency ended without a result
    ABANDONED = "abandoned"


class StepName(StrEnum):
    EDIT = "edit"
    STATIC = "static"
    FIX = "fix"
    RUNTIME = "runtime"

    @property
    def is_agent(self) -> bool:
        """Whether a model writes in this step (the others only look)."""
        return self in (StepName.EDIT, StepName.FIX)


class Outcome(StrEnum):
    """How an attempt ended: a closed set, so that every end is typed."""

    OK = "ok"
    FINDINGS = "findings"  # a check found faults
    NO_CHANGE = "no_change"  # the agent left the candidate as it was
    SCOPE_VIOLATION = "scope_violation"  # a change outside the scope, or of a refused kind
    REFUSED = "refused"  # the model declined, or its answer was not usable as an edit
    API_ERROR = "api_error"  # the model's endpoint failed
    RATE_LIMITED = "rate_limited"
    BUDGET = "budget"
    TIMEOUT = "timeout"
    OOM = "oom"
    OUTPUT_LIMIT = "output_limit"
    INFRA = "infra"  # the engine, the disk or we ourselves: says nothing about the code


class AttemptStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    SUCCESS = "success"
    FAILURE = "failure"


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One diagnostic of a check. `path` is relative to the workspace; `signature` is core.signature's."""

    tool: str
    rule: str
    message: str
    signature: str
    path: str | None = None
    line: int | None = None
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceTest:
    """A command that decides whether the workstream is done; run by a shell inside a sandbox."""

    id: str
    command: str
    description: str = ""
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one sandbox may use."""

    memory_mb: int = 2048
    cpus: float = 2.0
    pids: int = 512
    output_bytes: int = 64 * 1024 * 1024  # of stdout and stderr together; more ends the step
    file_bytes: int = 512 * 1024 * 1024  # the largest single file


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Wall time of one attempt of each step, in seconds."""

    edit_s: float = 900.0
    static_s: float = 300.0
    fix_s: float = 900.0
    runtime_s: float = 900.0

    def of(self, step: StepName) -> float:
        match step:
            case StepName.EDIT:
                return self.edit_s
            case StepName.STATIC:
                return self.static_s
            case StepName.FIX:
                return self.fix_s
            case StepName.RUNTIME:
                return self.runtime_s


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When a workstream is given up."""

    max_attempts: int = 3  # of each agent step: so many edits, so many fixes
    max_error_repeats: int = 3  # checks in which the same signature may be found
    oscillation_threshold: int = 2  # times the same tree may be proposed


ScopePolicy = Literal["fail", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One workstream as the plan describes it. Overrides hold only what the bundle names."""

    id: WsId
    change: str  # `openspec_change`: the change this belongs to, part of the branch name
    files_scope: tuple[str, ...]
    files_create: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    acceptance_tests: tuple[AcceptanceTest, ...] = ()
    depends_on: tuple[WsId, ...] = ()
    tool: str = "aider"
    tools: tuple[str, ...] | None = None  # static checks by profile; None: chosen by the languages in scope
    gate: str | int | None = None
    ccpm_issue: str | int | None = None
    model: str | None = None
    on_scope_violation: ScopePolicy = "fail"
    limits: Mapping[str, float] = field(default_factory=dict)
    timeouts: Mapping[str, float] = field(default_factory=dict)
    circuit_breaker: Mapping[str, int] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    source: str = ""  # the file it was read from, for messages

    @property
    def branch(self) -> str:
        """The branch that a verified result is handed back on."""
        return f"ws/{self.change}/{self.id}"


ProfileType = Literal["ai", "static_check", "test", "utility"]
FileSelection = Literal["none", "changed", "scope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolProfile:
    """How a tool is run inside a sandbox. `args` may hold placeholders; `{files}` expands to many."""

    id: str
    type: ProfileType
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    success_exit_codes: tuple[int, ...] = (0,)
    findings_exit_codes: tuple[int, ...] = (1,)  # other codes: the tool itself failed
    parser: str = "text"
    files: FileSelection = "none"
    extensions: tuple[str, ...] = ()  # of the files it looks at; none: every file
    default: bool = False  # a static check that runs unasked where there are files for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the model was asked for, as the gateway saw it."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True, order=True)
class AttemptKey:
    """Names one attempt everywhere: in labels, rows, logs and commit trailers."""

    run_id: RunId
    ws_id: WsId
    step: StepName
    attempt: int  # 1-based, counted per step

    def __str__(self) -> str:
        return f"{self.ws_id}/{self.step}#{self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A path that an agent touched and that was not accepted."""

    path: str
    kind: str  # add, modify, delete, mode, symlink, special
    reason: str
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """How one attempt ended, and everything that is decided or shown because of it."""

    key: AttemptKey
    outcome: Outcome
    message: str  # one sentence for a person
    candidate: Commit  # what the workstream proposes now (unchanged unless an agent step ended ok)
    tree: Tree
    changed: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    findings_left_out: int = 0  # how many more there were (runner.core.records.kept)
    refusals: tuple[Refusal, ...] = ()
    usage: Usage = Usage()
    outputs: tuple[str, ...] = ()  # files with the tools' raw output, relative to the run's log folder
    duration_s: float = 0.0
