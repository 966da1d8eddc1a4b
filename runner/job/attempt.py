"""What every kind of step needs while it is carried out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from runner.core.events import Event, EventType
from runner.core.model import Commit, Finding, Outcome, Refusal, StepResult, Tree, Usage
from runner.job.model import Job, Ports
from runner.ports import Command, Door, Emit, End, Ran, Sandbox, SandboxSpec, Worktree

_EVENT_OF_END = {End.EXITED: EventType.TOOL_FINISHED, End.TIMEOUT: EventType.TOOL_TIMEOUT}


class Attempt:
    """What accumulates while one job runs."""

    def __init__(self, job: Job, ports: Ports, emit: Emit) -> None:
        self.job = job
        self.ports = ports
        self.emit = emit
        self.began = ports.clock.monotonic()
        self.outputs: list[str] = []
        self.usage = Usage()

    def begin(self) -> None:
        """Its time begins now: waiting for a place does not count."""
        self.began = self.ports.clock.monotonic()

    def duration_s(self) -> float:
        return round(self.ports.clock.monotonic() - self.began, 3)

    def result(
        self,
        outcome: Outcome,
        message: str,
        *,
        findings: Sequence[Finding] = (),
        refusals: Sequence[Refusal] = (),
        changed: Sequence[str] = (),
        candidate: tuple[Commit, Tree] | None = None,
    ) -> StepResult:
        commit, tree = candidate or (self.job.candidate, self.job.tree)
        return StepResult(
            key=self.job.key,
            outcome=outcome,
            message=message,
            candidate=commit,
            tree=tree,
            changed=tuple(changed),
            findings=tuple(findings),
            refusals=tuple(refusals),
            usage=self.usage,
            outputs=tuple(self.outputs),
        )

    @contextmanager
    def sandbox(
        self, worktree: Worktree, serial: int, door: Door | None, timeout_s: float | None = None
    ) -> Iterator[Sandbox]:
        spec = SandboxSpec(
            key=self.job.key,
            serial=serial,
            worktree=worktree.path,
            base=self.job.base,
            image=self.job.image,
            limits=self.job.limits,
            timeout_s=min(timeout_s or self.job.timeout_s, self._time_left()),
            door=door.folder if door else None,
        )
        with self.ports.sandboxes.open(spec) as sandbox:
            yield sandbox

    def _time_left(self) -> float:
        """Of the attempt, for its next command; when there is none, just enough to be told so by a timeout."""
        return max(0.1, self.began + self.job.timeout_s - self.ports.clock.monotonic())

    def run(self, sandbox: Sandbox, tool: str, serial: int, command: Command) -> Ran:
        self.tell(EventType.TOOL_STARTED, tool=tool)
        ran = sandbox.run(command)
        output = self.ports.keep_output(self.job.key, tool, serial, ran)
        self.outputs.append(output)
        self.tell(
            _EVENT_OF_END.get(ran.end, EventType.TOOL_FAILED),
            tool=tool,
            end=ran.end,
            exit_code=ran.exit_code,
            duration_sec=round(ran.duration_s, 3),
            output=output,
        )
        return ran

    def tell(self, kind: EventType, **payload: object) -> None:
        key = self.job.key
        told = {"step": key.step, "attempt": key.attempt, **payload}
        self.emit(Event(type=kind, run_id=key.run_id, ws_id=key.ws_id, payload=told))
