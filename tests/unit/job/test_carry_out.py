"""How an attempt ends, decided by evidence: real git and checks; only the container, the door and the agent are played."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.core.events import Event, EventType
from runner.core.model import (
    AcceptanceTest,
    AttemptKey,
    Commit,
    Limits,
    Outcome,
    RunId,
    ScopePolicy,
    StepName,
    StepResult,
    ToolProfile,
    Usage,
    WsId,
)
from runner.core.scope import Scope
from runner.errors import SandboxError, UnusableError
from runner.git import Repository, open_repository
from runner.job.carry_out import carry_out
from runner.job.model import AgentWork, Job, Ports, RuntimeWork, StaticWork
from runner.ports import AgentReport, Call, Command, End, Ran, SandboxSpec
from runner.worktree.checkout import GitWorktrees
from tests.conftest import GIT_ENV, GitRepo
from tests.fakes import FakeClock, FakeDoors, FakeSandbox, FakeSandboxes, FakeSlots, Play, ScriptedAgent, ran

WS = WsId("ws-a")
ANSWERED = Call(status=200, tokens_in=100, tokens_out=20)
MESSAGE = "ws-a: Do a thing\n\nRun-Id: 01JRUN\nWorkstream: ws-a\nStep: edit\nAttempt: 1\nModel: m\n"


class ImpatientEvent(threading.Event):
    """Waits for nobody, and tells how long it should have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


@dataclass
class Desk:
    """Where one attempt is carried out, and what it left."""

    repository: Repository
    state: Path
    clock: FakeClock = field(default_factory=FakeClock)
    agent: ScriptedAgent = field(default_factory=ScriptedAgent)
    doors: FakeDoors = field(default_factory=lambda: FakeDoors(ANSWERED))
    events: list[Event] = field(default_factory=list)
    outputs: dict[str, Ran] = field(default_factory=dict)
    sandboxes: FakeSandboxes = field(default_factory=lambda: FakeSandboxes(nothing))
    slots: FakeSlots = field(default_factory=FakeSlots)
    stop: ImpatientEvent = field(default_factory=ImpatientEvent)
    infra_retries: int = 0

    @property
    def base(self) -> Commit:
        return self.repository.head()

    def edit(self, play: Play, *, policy: ScopePolicy = "fail", scope: Scope | None = None) -> StepResult:
        work = AgentWork(
            agent="scripted",
            prompt="Do a thing.",
            model="m",
            scope=scope or Scope(("src/",), ("new.txt",)),
            on_violation=policy,
            message=MESSAGE,
            author="Tool <tool@example.invalid>",
        )
        return self.carry_out(StepName.EDIT, work, play)

    def static(
        self, play: Play, *profiles: ToolProfile, candidate: Commit | None = None, choose: bool = False
    ) -> StepResult:
        tools = None if choose else tuple(profile.id for profile in profiles)
        work = StaticWork(
            profiles={profile.id: profile for profile in profiles}, scope=Scope(("src/",), ()), tools=tools
        )
        return self.carry_out(StepName.STATIC, work, play, candidate=candidate)

    def runtime(self, play: Play, *tests: AcceptanceTest) -> StepResult:
        return self.carry_out(StepName.RUNTIME, RuntimeWork(tests=tests), play)

    def carry_out(
        self,
        step: StepName,
        work: AgentWork | StaticWork | RuntimeWork,
        play: Play,
        *,
        candidate: Commit | None = None,
    ) -> StepResult:
        self.sandboxes.play = play
        result = carry_out(self.job(step, work, candidate), self.ports(), self.events.append)
        assert (self.sandboxes.open_now, self.doors.open_now, self.slots.held) == (0, 0, 0)
        assert result is not None
        return result

    def job(
        self, step: StepName, work: AgentWork | StaticWork | RuntimeWork, candidate: Commit | None = None
    ) -> Job:
        commit = candidate or self.base
        return Job(
            key=AttemptKey(RunId("01JRUN"), WS, step, 1),
            base=self.base,
            candidate=commit,
            tree=self.repository.tree(commit),
            image="image",
            limits=Limits(memory_mb=100),
            timeout_s=60,
            started_at=datetime(2026, 1, 2, tzinfo=UTC),
            infra_retries=self.infra_retries,
            work=work,
        )

    def ports(self) -> Ports:
        return Ports(
            sandboxes=self.sandboxes,
            worktrees=GitWorktrees(self.repository, self.state / "worktrees", uid=None),
            doors=self.doors,
            agents={"scripted": self.agent},
            clock=self.clock,
            slots=self.slots,
            stop=self.stop,
            keep_output=self._keep_output,
        )

    def told(self) -> list[EventType]:
        return [event.type for event in self.events]

    def _keep_output(self, key: AttemptKey, tool: str, serial: int, output: Ran) -> str:
        name = f"{key.step}_{tool}_{serial}"
        self.outputs[name] = output
        return name


@pytest.fixture
def desk(git_repo: GitRepo, tmp_path: Path) -> Desk:
    repository = open_repository(git_repo.path, plumbing_dir=tmp_path / "plumbing", env=GIT_ENV)
    return Desk(repository, tmp_path)


def nothing(workspace: Path, command: Command) -> Ran:
    return ran()


def writes(*paths: str, **ending: object) -> Play:
    """A command that writes `two` into files and ends so."""

    def play(workspace: Path, command: Command) -> Ran:
        for path in paths:
            (workspace / path).parent.mkdir(parents=True, exist_ok=True)
            (workspace / path).write_text("two\n")
        return ran(**ending)  # type: ignore[arg-type]

    return play


def ends(**ending: object) -> Play:
    return writes(**ending)


def unchanged(desk: Desk, result: StepResult) -> bool:
    return (result.candidate, result.tree) == (desk.base, desk.repository.tree(desk.base))


# Agent steps


def test_a_change_inside_the_scope_is_committed_as_it_was_asked_for(desk: Desk, git_repo: GitRepo):
    result = desk.edit(writes("src/b.py", "new.txt"))
    assert (result.outcome, result.message) == (Outcome.OK, "changed 2 file(s)")
    assert result.changed == ("new.txt", "src/b.py")
    who, when, parent, *message = git_repo.git(
        "show", "-s", "--format=%an <%ae>, %cn%n%aI%n%P%n%B", result.candidate
    ).splitlines()
    assert (who, when) == ("Tool <tool@example.invalid>, runner", "2026-01-02T00:00:00+00:00")
    assert (parent, message) == (desk.base, MESSAGE.splitlines())
    assert git_repo.git("show", f"{result.candidate}:src/b.py") == "two"
    assert git_repo.git("rev-parse", f"{result.candidate}^{{tree}}") == result.tree


def test_the_same_attempt_done_again_gives_the_same_commit(desk: Desk):
    assert desk.edit(writes("new.txt")).candidate == desk.edit(writes("new.txt")).candidate


def test_the_agent_is_asked_with_the_prompt_and_the_files_it_may_edit(desk: Desk):
    desk.edit(nothing)
    (task,) = desk.agent.tasks
    assert (task.step, task.prompt, task.model, task.timeout_s) == (StepName.EDIT, "Do a thing.", "m", 60)
    assert task.files == ("new.txt", "src/b.py")
    assert desk.sandboxes.commands[0].files == {"prompt.txt": "Do a thing."}


def test_only_agents_get_a_door(desk: Desk):
    desk.edit(nothing)
    desk.static(ends(), ToolProfile(id="lint", type="static_check", command="lint"))
    desk.runtime(ends(), AcceptanceTest(id="t", command="true"))
    assert [key.ws_id for key in desk.doors.opened] == [WS]
    assert [spec.door for spec in desk.sandboxes.specs] == [Path("/doors/ws-a"), None, None]


def test_a_sandbox_is_made_of_what_the_job_says(desk: Desk):
    desk.edit(nothing)
    (spec,) = desk.sandboxes.specs
    assert (spec.key.step, spec.serial, spec.base, spec.image) == (StepName.EDIT, 1, desk.base, "image")
    assert (spec.limits.memory_mb, spec.timeout_s) == (100, 60)
    assert (spec.worktree / "a.txt").read_text() == "one\n"


@pytest.mark.parametrize(
    ("play", "calls", "says", "outcome", "message"),
    [
        (ends(), [ANSWERED], AgentReport(), Outcome.NO_CHANGE, "the agent changed nothing"),
        (
            ends(),
            [Call(status=500, error="overloaded"), Call(status=500, error="overloaded")],
            AgentReport(errors=("gave up",)),
            Outcome.API_ERROR,
            "the model's endpoint failed (HTTP 500): overloaded",
        ),
        (
            ends(exit_code=1, stderr="gave up"),
            [Call(status=0, error="connection refused")],
            AgentReport(),
            Outcome.API_ERROR,
            "the model's endpoint failed (no answer): connection refused",
        ),
        (
            ends(),
            [Call(status=429)],
            AgentReport(),
            Outcome.RATE_LIMITED,
            "the model's endpoint failed (HTTP 429)",
        ),
        (
            ends(),
            [Call(status=429), Call(status=500, error="oops")],
            AgentReport(),
            Outcome.API_ERROR,
            "the model's endpoint failed (HTTP 500): oops",
        ),
        (
            ends(),
            [Call(status=500), ANSWERED],
            AgentReport(),
            Outcome.NO_CHANGE,
            "the agent changed nothing",
        ),
        (
            ends(),
            [ANSWERED],
            AgentReport(malformed=3, errors=("no match",)),
            Outcome.REFUSED,
            "3 answer(s) of the model were not usable as edits",
        ),
        (
            ends(),
            [ANSWERED],
            AgentReport(truncated=1, malformed=1),
            Outcome.REFUSED,
            "the model's answer hit its length limit and was not usable as an edit",
        ),
        (
            ends(),
            [ANSWERED],
            AgentReport(errors=("first", "the answer was empty")),
            Outcome.REFUSED,
            "the agent made no change: the answer was empty",
        ),
        (
            ends(exit_code=3, stderr="Traceback\nImportError: no\n"),
            [ANSWERED],
            AgentReport(errors=("broke off",)),
            Outcome.REFUSED,
            "the agent exited with 3: ImportError: no",
        ),
        (ends(exit_code=3), [], AgentReport(), Outcome.INFRA, "the agent exited with 3"),
        (
            ends(end=End.TIMEOUT, exit_code=137, duration_s=60.4),
            [ANSWERED],
            AgentReport(),
            Outcome.TIMEOUT,
            "the agent did not end in time and was killed after 60 s",
        ),
        (
            ends(end=End.OOM, exit_code=137, duration_s=2),
            [Call(status=500)],
            AgentReport(),
            Outcome.OOM,
            "the agent ran out of memory after 2 s",
        ),
        (
            ends(end=End.OUTPUT_LIMIT, exit_code=137, duration_s=2),
            [],
            AgentReport(),
            Outcome.OUTPUT_LIMIT,
            "the agent printed more than it may and was killed after 2 s",
        ),
        (
            ends(end=End.CANCELLED, exit_code=137, duration_s=2),
            [],
            AgentReport(),
            Outcome.INFRA,
            "the agent was interrupted after 2 s",
        ),
    ],
)
def test_an_agent_without_a_change_ends_by_what_is_known_of_it(
    play: Play, calls: Sequence[Call], says: AgentReport, outcome: Outcome, message: str, desk: Desk
):
    desk.doors, desk.agent.says = FakeDoors(*calls), says
    result = desk.edit(play)
    assert (result.outcome, result.message) == (outcome, message)
    assert unchanged(desk, result)


@pytest.mark.parametrize("end", [End.TIMEOUT, End.OOM, End.OUTPUT_LIMIT, End.CANCELLED])
def test_what_an_agent_that_was_killed_wrote_is_not_accepted(end: End, desk: Desk):
    assert unchanged(desk, desk.edit(writes("src/b.py", end=end)))


def test_a_change_counts_whatever_exit_code_the_agent_ends_with(desk: Desk):
    assert desk.edit(writes("src/b.py", exit_code=1)).outcome is Outcome.OK


def test_usage_is_what_the_gateway_saw(desk: Desk):
    desk.doors = FakeDoors(ANSWERED, Call(status=500), ANSWERED)
    assert desk.edit(nothing).usage == Usage(requests=3, tokens_in=200, tokens_out=40)


def test_a_change_outside_the_scope_leaves_nothing_of_the_attempt(desk: Desk):
    result = desk.edit(writes("src/b.py", "a.txt", "other/x"))
    assert (result.outcome, result.changed) == (Outcome.SCOPE_VIOLATION, ())
    assert result.message == "changed 2 path(s) outside its scope: a.txt, other/x; nothing was accepted"
    assert [(one.path, one.kind, one.reason) for one in result.refusals] == [
        ("a.txt", "modify", "is outside files_scope and files_create"),
        ("other/x", "add", "is outside files_scope and files_create"),
    ]
    assert unchanged(desk, result)


def test_a_scope_violation_is_told_with_paths_kinds_and_sizes(desk: Desk):
    desk.edit(writes("other/x"))
    (event,) = [one for one in desk.events if one.type is EventType.SCOPE_VIOLATION]
    reason = "is outside files_scope and files_create"
    assert event.payload == {
        "step": StepName.EDIT,
        "attempt": 1,
        "policy": "fail",
        "paths": [{"path": "other/x", "kind": "add", "reason": reason, "size": 4}],
    }


def test_many_refused_paths_are_shortened_in_the_message_only(desk: Desk):
    result = desk.edit(writes("p1", "p2", "p3", "p4"))
    assert result.message == "changed 4 path(s) outside its scope: p1, p2, p3 …; nothing was accepted"
    assert len(result.refusals) == 4


def test_policy_drop_keeps_what_is_inside_the_scope(desk: Desk):
    result = desk.edit(writes("src/b.py", "a.txt"), policy="drop")
    assert (result.outcome, result.changed) == (Outcome.OK, ("src/b.py",))
    assert result.message == "changed 1 file(s); 1 path(s) outside the scope were dropped"
    assert [one.path for one in result.refusals] == ["a.txt"]
    assert EventType.SCOPE_VIOLATION in desk.told()
    assert desk.repository.changed(desk.base, result.candidate) == ["src/b.py"]


def test_policy_drop_with_nothing_inside_the_scope_is_a_violation(desk: Desk):
    result = desk.edit(writes("a.txt"), policy="drop")
    assert result.outcome is Outcome.SCOPE_VIOLATION
    assert unchanged(desk, result)


def test_a_file_that_may_only_be_created_may_not_be_changed(desk: Desk):
    result = desk.edit(writes("a.txt"), scope=Scope(("src/",), ("a.txt",)))
    assert [one.reason for one in result.refusals] == [
        "is in files_create only, and it existed before: it may not be changed (modify)"
    ]


def test_a_file_that_an_earlier_attempt_created_may_be_changed_again(desk: Desk, git_repo: GitRepo):
    """What counts as existing is what was there at the base."""
    created = desk.edit(writes("new.txt")).candidate
    work = AgentWork(
        agent="scripted",
        prompt="Fix it.",
        model="m",
        scope=Scope(("src/",), ("new.txt",)),
        on_violation="fail",
        message=MESSAGE,
        author="Tool <tool@example.invalid>",
    )

    def play(workspace: Path, command: Command) -> Ran:
        (workspace / "new.txt").write_text("three\n")
        return ran()

    result = desk.carry_out(StepName.FIX, work, play, candidate=created)
    assert result.outcome is Outcome.OK
    assert git_repo.git("rev-parse", f"{result.candidate}^") == created


def test_an_entry_of_a_refused_kind_is_a_violation_even_in_scope(desk: Desk):
    def play(workspace: Path, command: Command) -> Ran:
        (workspace / "src" / "leak").symlink_to("/etc/passwd")
        return ran()

    result = desk.edit(play)
    assert result.outcome is Outcome.SCOPE_VIOLATION
    assert [(one.path, one.reason) for one in result.refusals] == [
        ("src/leak", "a link out of the workspace is never accepted")
    ]


def test_a_deletion_needs_the_scope_too(desk: Desk):
    def play(workspace: Path, command: Command) -> Ran:
        (workspace / "a.txt").unlink()
        (workspace / "src" / "b.py").unlink()
        return ran()

    result = desk.edit(play)
    assert [(one.path, one.kind) for one in result.refusals] == [("a.txt", "delete")]


# Check steps

LINT = ToolProfile(id="lint", type="static_check", command="lint", args=("{files}",), files="changed")
PY = replace(LINT, id="py", command="py", extensions=(".py",), default=True)
MD = replace(LINT, id="md", command="md", extensions=(".md",), default=True)


def by_program(**plays: Play) -> Play:
    """Each program of a sandbox plays its own part."""
    return lambda workspace, command: plays[command.argv[0]](workspace, command)


def candidate(desk: Desk, *paths: str) -> Commit:
    return desk.edit(writes(*paths), scope=Scope(("*",))).candidate


def test_every_check_has_a_sandbox_of_its_own(desk: Desk):
    def leaves(workspace: Path, command: Command) -> Ran:
        assert sorted(one.name for one in workspace.iterdir()) == ["a.txt", "src"]
        (workspace / "left").write_text("x")
        (workspace / "a.txt").write_text("changed")
        return ran("fine")

    one, two = (ToolProfile(id=name, type="static_check", command=name) for name in ("one", "two"))
    result = desk.static(leaves, one, two)
    assert (result.outcome, result.message) == (Outcome.OK, "2 checks passed")
    assert [(spec.serial, spec.key.step) for spec in desk.sandboxes.specs] == [(1, "static"), (2, "static")]
    assert result.outputs == ("static_one_1", "static_two_2")
    assert desk.outputs["static_two_2"].stdout.text() == "fine"
    assert unchanged(desk, result)


def test_checks_get_the_changed_files_they_look_at_and_their_environment(desk: Desk):
    commit = candidate(desk, "src/n.py", "-odd.py", "x.md")
    profile = replace(PY, env={"A": "1"}, args=("check", "{files}"))
    result = desk.static(ends(), profile, candidate=commit)
    command = desk.sandboxes.commands[-1]
    assert (command.argv, command.env) == (["py", "check", "./-odd.py", "src/n.py"], {"A": "1"})
    assert result.changed == ("-odd.py", "src/n.py", "x.md")


def test_a_check_without_a_file_to_look_at_does_not_run(desk: Desk):
    result = desk.static(ends(), PY, MD, candidate=candidate(desk, "x.md"))
    assert [command.argv[0] for command in desk.sandboxes.commands[1:]] == ["md"]
    assert result.message == "1 check passed"


def test_checks_are_chosen_by_the_changed_files_when_the_plan_names_none(desk: Desk):
    unasked = replace(PY, id="slow", command="slow", default=False)
    desk.static(ends(), PY, MD, unasked, candidate=candidate(desk, "src/n.py"), choose=True)
    assert [command.argv[0] for command in desk.sandboxes.commands[1:]] == ["py"]


@pytest.mark.parametrize(
    ("carry", "message"),
    [
        (lambda desk: desk.static(ends()), "there are no checks to run"),
        (lambda desk: desk.runtime(ends()), "there are no acceptance tests to run"),
    ],
)
def test_a_step_without_checks_is_ok_and_says_so(carry, message: str, desk: Desk):
    result = carry(desk)
    assert (result.outcome, result.message, desk.sandboxes.specs) == (Outcome.OK, message, [])


def test_findings_of_all_tools_come_together(desk: Desk):
    commit = candidate(desk, "src/n.py", "x.md")
    play = by_program(py=ends(exit_code=1, stdout="src/n.py: bad"), md=ends(exit_code=1, stdout="x.md: bad"))
    result = desk.static(play, PY, MD, candidate=commit)
    assert (result.outcome, result.message) == (Outcome.FINDINGS, "2 of 2 checks failed with 2 findings")
    assert [(one.tool, one.rule) for one in result.findings] == [("py", "exit_1"), ("md", "exit_1")]
    assert result.candidate == commit


def test_findings_weigh_more_than_a_check_that_was_stopped(desk: Desk):
    commit = candidate(desk, "src/n.py", "x.md")
    play = by_program(py=ends(end=End.TIMEOUT), md=ends(exit_code=1, stdout="bad"))
    result = desk.static(play, PY, MD, candidate=commit)
    assert (result.outcome, len(result.findings)) == (Outcome.FINDINGS, 2)


@pytest.mark.parametrize(
    ("end", "outcome", "finding"),
    [
        (End.TIMEOUT, Outcome.TIMEOUT, "TIMEOUT"),
        (End.OOM, Outcome.OOM, "OOM"),
        (End.OUTPUT_LIMIT, Outcome.OUTPUT_LIMIT, "OUTPUT_LIMIT"),
    ],
)
def test_a_check_that_was_stopped_says_how(end: End, outcome: Outcome, finding: str, desk: Desk):
    result = desk.runtime(ends(end=end), AcceptanceTest(id="t", command="sleep 600"))
    assert (result.outcome, [one.rule for one in result.findings]) == (outcome, [finding])


def test_a_tool_that_the_image_lacks_is_named_and_says_nothing_about_the_code(desk: Desk):
    commit = candidate(desk, "src/n.py", "x.md")
    play = by_program(py=ends(exit_code=127, stderr="py: not found"), md=ends(exit_code=1, stdout="bad"))
    result = desk.static(play, PY, MD, candidate=commit)
    assert result.outcome is Outcome.INFRA
    assert result.message == "py: the image cannot run 'py' (exit code 127)"
    assert result.findings == ()
    assert len(result.outputs) == 2


def test_a_check_that_was_interrupted_says_nothing_about_the_code(desk: Desk):
    desk.sandboxes.cancel()
    result = desk.runtime(ends(), AcceptanceTest(id="t", command="true"))
    assert (result.outcome, result.findings) == (Outcome.INFRA, ())
    assert result.message == "acceptance: t was interrupted"


def test_acceptance_tests_are_run_by_a_shell_one_after_the_other(desk: Desk):
    tests = [AcceptanceTest(id="one", command="make test"), AcceptanceTest(id="two", command="a && b")]
    result = desk.runtime(ends(), *tests)
    assert (result.outcome, result.message) == (Outcome.OK, "2 acceptance tests passed")
    assert [command.argv for command in desk.sandboxes.commands] == [
        ["/bin/sh", "-c", "make test"],
        ["/bin/sh", "-c", "a && b"],
    ]


def test_an_acceptance_test_that_fails_is_a_finding(desk: Desk):
    tests = [AcceptanceTest(id="one", command="false"), AcceptanceTest(id="two", command="true")]
    play = ends(exit_code=1, stdout="expected 3, got 4")
    result = desk.runtime(
        lambda workspace, command: play(workspace, command) if "false" in command.argv[2] else ran(), *tests
    )
    assert (result.outcome, result.message) == (
        Outcome.FINDINGS,
        "1 of 2 acceptance tests failed with 1 finding",
    )
    assert "expected 3, got 4" in result.findings[0].message


def test_a_check_has_its_own_deadline_and_never_more_than_is_left_of_the_attempt(desk: Desk):
    def takes(workspace: Path, command: Command) -> Ran:
        desk.clock.tick(25)
        return ran()

    tests = [AcceptanceTest(id=f"t{n}", command="true", timeout_s=s) for n, s in enumerate((30, None, 30, 5))]
    result = desk.runtime(takes, *tests)
    assert [spec.timeout_s for spec in desk.sandboxes.specs] == [30, 35, 10, 0.1]
    assert result.duration_s == 100


# Every step


def test_events_tell_what_ran_and_how_it_ended(desk: Desk):
    desk.runtime(ends(exit_code=1, duration_s=1.23456), AcceptanceTest(id="t", command="false"))
    started, finished = desk.events
    key = {"step": StepName.RUNTIME, "attempt": 1, "tool": "t"}
    assert (started.type, started.run_id, started.ws_id) == (EventType.TOOL_STARTED, "01JRUN", WS)
    assert started.payload == key
    assert (finished.type, finished.payload) == (
        EventType.TOOL_FINISHED,
        {**key, "end": End.EXITED, "exit_code": 1, "duration_sec": 1.235, "output": "runtime_t_1"},
    )


@pytest.mark.parametrize(
    ("end", "event"),
    [
        (End.TIMEOUT, EventType.TOOL_TIMEOUT),
        (End.OOM, EventType.TOOL_FAILED),
        (End.OUTPUT_LIMIT, EventType.TOOL_FAILED),
        (End.CANCELLED, EventType.TOOL_FAILED),
    ],
)
def test_a_command_that_was_stopped_has_an_event_of_its_own(end: End, event: EventType, desk: Desk):
    desk.edit(ends(end=end))
    assert desk.told() == [EventType.TOOL_STARTED, event]


def raising(error: Exception) -> Play:
    def play(workspace: Path, command: Command) -> Ran:
        raise error

    return play


LOST = SandboxError("The engine could not run the sandbox", details="it went away")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LOST, "The engine could not run the sandbox: it went away"),
        (SandboxError("The engine is gone"), "The engine is gone"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
)
def test_what_the_world_breaks_is_an_outcome(error: Exception, message: str, desk: Desk):
    for result in (
        desk.edit(raising(error)),
        desk.runtime(raising(error), AcceptanceTest(id="t", command="true")),
    ):
        assert (result.outcome, result.message) == (Outcome.INFRA, message)
        assert unchanged(desk, result)


def test_a_bug_of_ours_flies(desk: Desk):
    with pytest.raises(ZeroDivisionError):
        desk.edit(raising(ZeroDivisionError()))


def test_what_was_paid_for_is_known_even_when_the_sandbox_is_lost(desk: Desk):
    assert desk.edit(raising(LOST)).usage == Usage(requests=1, tokens_in=100, tokens_out=20)


def test_what_ran_before_the_world_broke_keeps_its_output(desk: Desk):
    def play(workspace: Path, command: Command) -> Ran:
        if len(desk.sandboxes.commands) == 2:
            raise LOST
        return ran()

    tests = [AcceptanceTest(id="one", command="true"), AcceptanceTest(id="two", command="true")]
    assert desk.runtime(play, *tests).outputs == ("runtime_one_1",)


def test_a_sandbox_that_cannot_be_opened_is_an_outcome(desk: Desk):
    class Broken(FakeSandboxes):
        @contextmanager
        def open(self, spec: SandboxSpec) -> Iterator[FakeSandbox]:
            raise LOST
            yield

    desk.sandboxes = Broken(nothing)
    assert desk.edit(nothing).outcome is Outcome.INFRA


# When the machine is at fault


def lost(times: int, then: Play) -> Play:
    """The engine loses the container so many times."""
    left = iter([0] * times)

    def play(workspace: Path, command: Command) -> Ran:
        if next(left, None) is not None:
            raise SandboxError("The engine lost it")
        return then(workspace, command)

    return play


def test_what_the_machine_broke_is_done_again_after_growing_pauses(desk: Desk):
    desk.infra_retries = 3
    result = desk.edit(lost(3, writes("new.txt")))
    assert (result.outcome, result.changed) == (Outcome.OK, ("new.txt",))
    assert desk.stop.waits == [1, 2, 4]
    told = [event.payload for event in desk.events if event.type is EventType.TOOL_FAILED]
    assert [(one["tries"], one["again_in_sec"], one["message"]) for one in told] == [
        (1, 1, "The engine lost it"), (2, 2, "The engine lost it"), (3, 4, "The engine lost it"),
    ]  # fmt: skip


def test_what_the_machine_keeps_breaking_is_infra_and_says_how_often_it_was_tried(desk: Desk):
    desk.infra_retries = 2
    result = desk.edit(lost(3, nothing))
    assert (result.outcome, result.message) == (Outcome.INFRA, "The engine lost it (tried 3 times)")


def test_what_the_code_did_is_not_done_again(desk: Desk):
    desk.infra_retries = 3
    desk.runtime(ends(exit_code=1), AcceptanceTest(id="t", command="false"))
    assert (len(desk.sandboxes.commands), desk.stop.waits) == (1, [])


def stopped(desk: Desk, play: Play) -> StepResult | None:
    work = RuntimeWork(tests=(AcceptanceTest(id="t", command="true"),))
    desk.sandboxes.play = play
    return carry_out(desk.job(StepName.RUNTIME, work), desk.ports(), desk.events.append)


def test_what_was_stopped_says_nothing(desk: Desk):
    def stop(workspace: Path, command: Command) -> Ran:
        desk.stop.set()
        return ran(end=End.CANCELLED, exit_code=137)

    desk.infra_retries = 3
    assert stopped(desk, stop) is None
    assert desk.stop.waits == []


def test_what_ended_in_the_moment_it_was_stopped_counts(desk: Desk):
    def stop(workspace: Path, command: Command) -> Ran:
        desk.stop.set()
        return ran()

    result = stopped(desk, stop)
    assert result is not None
    assert result.outcome is Outcome.OK


def test_a_stop_ends_the_pause_before_the_next_try(desk: Desk):
    def stop(workspace: Path, command: Command) -> Ran:
        desk.stop.set()
        raise SandboxError("The engine lost it")

    desk.infra_retries = 3
    assert stopped(desk, stop) is None


def test_places_that_cannot_be_asked_for_are_the_machines_fault(desk: Desk):
    desk.slots.broken = UnusableError("The folder is gone")
    desk.infra_retries = 1
    result = desk.edit(nothing)
    assert (result.outcome, result.message) == (Outcome.INFRA, "The folder is gone (tried 2 times)")


def test_a_place_is_not_kept_through_a_pause(desk: Desk):
    held: list[int] = []
    wait = desk.stop.wait

    def look(timeout: float | None = None) -> bool:
        held.append(desk.slots.held)
        return wait(timeout)

    desk.stop.wait = look  # type: ignore[method-assign]
    desk.infra_retries = 1
    desk.edit(lost(1, nothing))
    assert held == [0]


def test_the_wait_for_a_place_is_not_taken_from_the_time_of_the_attempt(desk: Desk):
    desk.slots.on_hold = lambda: desk.clock.tick(1000)
    result = desk.edit(nothing)
    assert (desk.sandboxes.specs[0].timeout_s, result.duration_s) == (60, 0)


def test_without_a_place_on_the_machine_nothing_is_begun(desk: Desk):
    desk.stop.set()
    assert stopped(desk, nothing) is None
    assert (desk.sandboxes.specs, desk.events) == ([], [])
