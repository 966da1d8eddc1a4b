"""One step attempt, carried out: values in, values out, events on the way. Decides nothing.

A job knows neither the database nor the machine it runs on; what it needs of the world are its ports.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from runner.checks.verdict import judge_acceptance, judge_tool
from runner.clock import Clock
from runner.core.events import Event, EventType
from runner.core.model import (
    AcceptanceTest,
    AttemptKey,
    Commit,
    Finding,
    Limits,
    Outcome,
    Refusal,
    ScopePolicy,
    StepResult,
    ToolProfile,
    Tree,
    Usage,
)
from runner.core.scope import Scope
from runner.errors import RunnerError
from runner.ports import (
    Agent,
    AgentReport,
    AgentTask,
    Call,
    Change,
    Command,
    CommitInfo,
    Door,
    Doors,
    Emit,
    End,
    Ran,
    Sandbox,
    Sandboxes,
    SandboxSpec,
    Worktree,
    Worktrees,
    total,
)
from runner.profiles import default_checks, expand, matching


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
    work: AgentWork | StaticWork | RuntimeWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    sandboxes: Sandboxes
    worktrees: Worktrees
    doors: Doors
    agents: Mapping[str, Agent]
    clock: Clock
    keep_output: Callable[[AttemptKey, str, int, Ran], str]  # stores raw output; where, for the record


def carry_out(job: Job, ports: Ports, emit: Emit) -> StepResult:
    """Carry out one attempt. What the engine or the disk breaks is the outcome `infra`, not an exception."""
    began = ports.clock.monotonic()
    attempt = _Attempt(job, ports, emit)
    try:
        result = attempt.run()
    except RunnerError as error:
        message = f"{error.brief}: {error.details}" if error.details else error.brief
        result = attempt.result(Outcome.INFRA, message)
    except OSError as error:  # above all a full disk
        result = attempt.result(Outcome.INFRA, str(error))
    return replace(result, duration_s=round(ports.clock.monotonic() - began, 3))


class _Attempt:
    """What accumulates while one job runs."""

    def __init__(self, job: Job, ports: Ports, emit: Emit) -> None:
        self.job = job
        self.ports = ports
        self.emit = emit
        self.deadline = ports.clock.monotonic() + job.timeout_s
        self.outputs: list[str] = []
        self.usage = Usage()

    def run(self) -> StepResult:
        worktree = self.ports.worktrees.checkout(self.job.key.ws_id, self.job.candidate)
        match self.job.work:
            case AgentWork() as work:
                return self._agent(work, worktree)
            case StaticWork() as work:
                return self._static(work, worktree)
            case RuntimeWork() as work:
                return self._runtime(work, worktree)

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

    # Agent steps

    def _agent(self, work: AgentWork, worktree: Worktree) -> StepResult:
        agent = self.ports.agents[work.agent]
        command = agent.command(self._task(work, worktree))
        with self.ports.doors.open(self.job.key.ws_id) as door, self._sandbox(worktree, 1, door) as sandbox:
            try:
                ran = self._run(sandbox, agent.name, 1, command)
            finally:  # what was asked was paid for, even when the sandbox is lost
                calls = door.take_calls()
                self.usage = total(calls)
            ended = _bad_end(ran) or _model_failure(calls)
            changes = [] if ran.end is not End.EXITED else sandbox.changes()
            if not changes or ran.end is not End.EXITED:
                outcome, message = ended or _no_change(ran, agent.report(ran))
                return self.result(outcome, message)
            return self._judge(work, worktree, sandbox, changes)

    def _task(self, work: AgentWork, worktree: Worktree) -> AgentTask:
        named = work.scope.plain_files(worktree.files(self.job.candidate))
        made = worktree.changed(self.job.base)  # by earlier attempts, perhaps under a name nobody listed
        return AgentTask(
            step=self.job.key.step,
            prompt=work.prompt,
            files=tuple(dict.fromkeys([*named, *made])),
            model=work.model,
            timeout_s=self.job.timeout_s,
        )

    def _judge(
        self, work: AgentWork, worktree: Worktree, sandbox: Sandbox, changes: Sequence[Change]
    ) -> StepResult:
        refusals = self._refusals(work.scope, worktree, changes)
        refused = {refusal.path for refusal in refusals}
        kept = [change for change in changes if change.path not in refused]
        if refusals:
            self._tell(
                EventType.SCOPE_VIOLATION,
                paths=[
                    {"path": one.path, "kind": one.kind, "reason": one.reason, "size": one.size}
                    for one in refusals
                ],
                policy=work.on_violation,
            )
        if refusals and (work.on_violation == "fail" or not kept):
            named = ", ".join(sorted(refused)[:3]) + (" …" if len(refused) > 3 else "")
            message = f"changed {len(refused)} path(s) outside its scope: {named}; nothing was accepted"
            return self.result(Outcome.SCOPE_VIOLATION, message, refusals=refusals)
        info = CommitInfo(message=work.message, author=work.author, date=self.job.started_at)
        candidate = worktree.accept(sandbox, kept, info)
        changed = [change.path for change in kept]
        dropped = f"; {len(refused)} path(s) outside the scope were dropped" if refusals else ""
        message = f"changed {len(changed)} file(s){dropped}"
        return self.result(Outcome.OK, message, refusals=refusals, changed=changed, candidate=candidate)

    def _refusals(self, scope: Scope, worktree: Worktree, changes: Sequence[Change]) -> list[Refusal]:
        at_base = frozenset(worktree.files(self.job.base))
        judged = (
            (
                change,
                change.refused
                or scope.judge(change.path, existed_at_base=change.path in at_base, kind=change.kind),
            )
            for change in changes
        )
        return [
            Refusal(path=change.path, kind=change.kind, reason=reason, size=change.size)
            for change, reason in judged
            if reason
        ]

    # Check steps

    def _static(self, work: StaticWork, worktree: Worktree) -> StepResult:
        changed = worktree.changed(self.job.base)
        names = work.tools if work.tools is not None else default_checks(work.profiles, changed)
        verdicts: list[tuple[Outcome, tuple[Finding, ...]]] = []
        for name in names:
            profile = work.profiles[name]
            files = matching(profile, self._files(profile, work.scope, worktree, changed))
            if profile.files != "none" and not files:
                continue
            command = Command(argv=expand(profile, files), env=profile.env)
            ran = self._check(worktree, name, len(verdicts) + 1, command, profile.timeout_s)
            verdicts.append(judge_tool(profile, ran))
        return self._verdict(verdicts, what="checks", changed=changed)

    def _files(
        self, profile: ToolProfile, scope: Scope, worktree: Worktree, changed: Sequence[str]
    ) -> Sequence[str]:
        """The files that a profile selects, before their extensions are looked at."""
        match profile.files:
            case "none":
                return ()
            case "changed":
                return changed
            case "scope":
                present = worktree.files(self.job.candidate)
                return [path for path in present if scope.judge(path, existed_at_base=False) is None]

    def _runtime(self, work: RuntimeWork, worktree: Worktree) -> StepResult:
        verdicts: list[tuple[Outcome, tuple[Finding, ...]]] = []
        for number, test in enumerate(work.tests, start=1):
            command = Command(argv=["/bin/sh", "-c", test.command])
            ran = self._check(worktree, test.id, number, command, test.timeout_s)
            verdicts.append(judge_acceptance(test, ran))
        return self._verdict(verdicts, what="acceptance tests", changed=worktree.changed(self.job.base))

    def _check(
        self, worktree: Worktree, name: str, serial: int, command: Command, timeout_s: float | None
    ) -> Ran:
        """Each check has a clean room of its own: what one leaves behind, the next never sees."""
        with self._sandbox(worktree, serial, None, timeout_s) as sandbox:
            return self._run(sandbox, name, serial, command)

    def _verdict(
        self, verdicts: Sequence[tuple[Outcome, tuple[Finding, ...]]], *, what: str, changed: Sequence[str]
    ) -> StepResult:
        not_judged = [finding for outcome, found in verdicts for finding in found if outcome is Outcome.INFRA]
        if not_judged:  # nothing is said about the code, so there is nothing to fix or to count
            message = "; ".join(f"{one.tool}: {one.message.splitlines()[0]}" for one in not_judged)
            return self.result(Outcome.INFRA, message, changed=changed)
        findings = [finding for _, found in verdicts for finding in found]
        bad = [outcome for outcome, _ in verdicts if outcome is not Outcome.OK]
        if not bad:
            message = f"{len(verdicts)} {what} passed" if verdicts else f"there are no {what} to run"
            return self.result(Outcome.OK, message, changed=changed)
        outcome = Outcome.FINDINGS if Outcome.FINDINGS in bad else bad[0]
        message = f"{len(bad)} of {len(verdicts)} {what} failed with {len(findings)} finding(s)"
        return self.result(outcome, message, findings=findings, changed=changed)

    # Every step

    @contextmanager
    def _sandbox(
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
        return max(0.1, self.deadline - self.ports.clock.monotonic())

    def _run(self, sandbox: Sandbox, tool: str, serial: int, command: Command) -> Ran:
        self._tell(EventType.TOOL_STARTED, tool=tool)
        ran = sandbox.run(command)
        output = self.ports.keep_output(self.job.key, tool, serial, ran)
        self.outputs.append(output)
        self._tell(
            _EVENT_OF_END.get(ran.end, EventType.TOOL_FAILED),
            tool=tool,
            end=ran.end,
            exit_code=ran.exit_code,
            duration_sec=round(ran.duration_s, 3),
            output=output,
        )
        return ran

    def _tell(self, kind: EventType, **payload: object) -> None:
        key = self.job.key
        told = {"step": key.step, "attempt": key.attempt, **payload}
        self.emit(Event(type=kind, run_id=key.run_id, ws_id=key.ws_id, payload=told))


_EVENT_OF_END = {End.EXITED: EventType.TOOL_FINISHED, End.TIMEOUT: EventType.TOOL_TIMEOUT}

_BAD_ENDS = {
    End.TIMEOUT: (Outcome.TIMEOUT, "did not end in time and was killed"),
    End.OOM: (Outcome.OOM, "ran out of memory"),
    End.OUTPUT_LIMIT: (Outcome.OUTPUT_LIMIT, "printed more than it may and was killed"),
    End.CANCELLED: (Outcome.INFRA, "was interrupted"),
}


def _bad_end(ran: Ran) -> tuple[Outcome, str] | None:
    found = _BAD_ENDS.get(ran.end)
    return (found[0], f"the agent {found[1]} after {ran.duration_s:.0f} s") if found else None


def _model_failure(calls: Sequence[Call]) -> tuple[Outcome, str] | None:
    """What the gateway saw, when no request was answered."""
    if not calls or any(call.status == 200 for call in calls):
        return None
    last = calls[-1]
    outcome = Outcome.RATE_LIMITED if last.status == 429 else Outcome.API_ERROR
    status = f"HTTP {last.status}" if last.status else "no answer"
    return outcome, f"the model's endpoint failed ({status}): {last.error}".rstrip(": ")


def _no_change(ran: Ran, report: AgentReport) -> tuple[Outcome, str]:
    """The model answered, and yet nothing changed."""
    if ran.exit_code != 0:
        last = ran.stderr.text().strip().rsplit("\n", 1)[-1]
        return Outcome.INFRA, f"the agent exited with {ran.exit_code}: {last[:200]}".rstrip(": ")
    if report.truncated:
        return Outcome.REFUSED, "the model's answer hit its length limit and was not usable as an edit"
    if report.malformed:
        return Outcome.REFUSED, f"{report.malformed} answer(s) of the model were not usable as edits"
    if report.errors:
        return Outcome.REFUSED, f"the agent made no change: {report.errors[-1][:200]}"
    return Outcome.NO_CHANGE, "the agent changed nothing"
