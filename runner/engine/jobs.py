"""Making a job of a decision: the prompt, the checks, the limits of one attempt."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from runner.core.model import AttemptKey, Bundle, Commit, Finding, Outcome, StepName, ToolProfile
from runner.core.scope import Scope
from runner.engine.live import Live
from runner.git import Repository
from runner.job.model import AgentWork, Job, RuntimeWork, StaticWork
from runner.prompts import Assignment, Document, EditContext, FixContext, Prompts

_CHANGE_FILES = ("proposal.md", "design.md", "tasks.md")
_CONTEXT_FOLDER = ".claude/context/"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMaker:
    """Makes the job of an attempt. Everything an agent is told comes from the base commit, the plan and findings."""

    repository: Repository
    prompts: Prompts
    profiles: Mapping[str, ToolProfile]
    image: str
    model: str
    author: str
    infra_retries: int

    def __call__(self, live: Live, key: AttemptKey, started_at: datetime) -> Job:
        if live.base is None or live.candidate is None or live.tree is None:
            raise AssertionError(f"{key} was asked for before its workstream had a base")
        return Job(
            key=key,
            base=live.base,
            candidate=live.candidate,
            tree=live.tree,
            image=self.image,
            limits=live.limits,
            timeout_s=live.timeouts.of(key.step),
            started_at=started_at,
            infra_retries=self.infra_retries,
            work=self._work(live, key, live.base, live.candidate),
        )

    def _work(
        self, live: Live, key: AttemptKey, base: Commit, candidate: Commit
    ) -> AgentWork | StaticWork | RuntimeWork:
        match key.step:
            case StepName.EDIT:
                context = EditContext(assignment=self._assignment(live, base), history=tuple(live.history))
                return self._agent_work(live, key, self.prompts.render_edit(context))
            case StepName.FIX:
                return self._agent_work(live, key, self._fix_prompt(live, base, candidate))
            case StepName.STATIC:
                return StaticWork(profiles=self.profiles, scope=_scope(live.bundle), tools=live.bundle.tools)
            case StepName.RUNTIME:
                return RuntimeWork(tests=live.bundle.acceptance_tests)

    def _agent_work(self, live: Live, key: AttemptKey, prompt: str) -> AgentWork:
        bundle = live.bundle
        model = bundle.model or self.model
        return AgentWork(
            agent=bundle.tool,
            prompt=prompt,
            model=model,
            scope=_scope(bundle),
            on_violation=bundle.on_scope_violation,
            message=_message(live, key, model),
            author=self.author,
        )

    def _fix_prompt(self, live: Live, base: Commit, candidate: Commit) -> str:
        return self.prompts.render_fix(
            FixContext(
                assignment=self._assignment(live, base),
                findings=_open_findings(live),
                diff=self.repository.diff(base, candidate),
                history=tuple(live.history),
            )
        )

    def _assignment(self, live: Live, base: Commit) -> Assignment:
        bundle = live.bundle
        change = f"openspec/changes/{bundle.change}/"
        context = [name for name in self.repository.files(base) if name.startswith(_CONTEXT_FOLDER)]
        return Assignment(
            ws_id=bundle.id,
            change=bundle.change,
            tasks=bundle.tasks,
            files_scope=bundle.files_scope,
            files_create=bundle.files_create,
            acceptance_tests=bundle.acceptance_tests,
            change_documents=self._documents(base, [change + name for name in _CHANGE_FILES]),
            project_documents=self._documents(base, [name for name in context if name.endswith(".md")]),
        )

    def _documents(self, base: Commit, names: list[str]) -> tuple[Document, ...]:
        texts = ((name, self.repository.read(base, name)) for name in names)
        return tuple(Document(name=name, text=text) for name, text in texts if text is not None)


def _scope(bundle: Bundle) -> Scope:
    return Scope(bundle.files_scope, bundle.files_create)


def _open_findings(live: Live) -> tuple[Finding, ...]:
    """What the last check of the candidate found."""
    checks = (result for result in reversed(live.history) if not result.key.step.is_agent)
    return next((result.findings for result in checks if result.outcome is not Outcome.INFRA), ())


def _message(live: Live, key: AttemptKey, model: str) -> str:
    what = live.bundle.tasks[0].splitlines()[0] if live.bundle.tasks else "tasks of the plan"
    subject = (
        f"{live.bundle.id}: {what}" if key.step is StepName.EDIT else f"{live.bundle.id}: fix the findings"
    )
    trailers = {
        "Run-Id": key.run_id,
        "Workstream": key.ws_id,
        "Step": key.step,
        "Attempt": str(key.attempt),
        "Model": model,
    }
    lines = "\n".join(f"{name}: {value}" for name, value in trailers.items())
    return f"{_shortened(subject)}\n\n{lines}\n"


def _shortened(subject: str) -> str:
    return subject if len(subject) <= 72 else f"{subject[:71].rstrip()}…"
