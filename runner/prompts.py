"""The texts that an agent is asked with, rendered from the templates in a folder.

Everything that comes from the repository, a tool or an earlier attempt goes into fenced blocks that it
cannot close, and is cut to what a model can use; what was left out is said.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from runner.core.model import AcceptanceTest, Finding, Outcome, Severity, StepResult, WsId
from runner.errors import ConfigError

_FINDINGS = 40
_FINDINGS_LENGTH = 8_000
_DIFF_LENGTH = 12_000
_DOCUMENTS_LENGTH = 16_000  # of the change's texts together, and again of the project's
_TRIES = 6
_SEVERITIES = (Severity.ERROR, Severity.WARNING, Severity.INFO)  # the most important first


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a workstream is to achieve, and within which bounds."""

    ws_id: WsId
    change: str
    tasks: tuple[str, ...]
    files_scope: tuple[str, ...]
    files_create: tuple[str, ...] = ()
    acceptance_tests: tuple[AcceptanceTest, ...] = ()
    change_documents: tuple[Document, ...] = ()
    project_documents: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EditContext:
    assignment: Assignment
    history: tuple[StepResult, ...] = ()  # all attempts of the workstream so far


@dataclass(frozen=True, slots=True, kw_only=True)
class FixContext:
    assignment: Assignment
    findings: tuple[Finding, ...]
    diff: str  # from the base to the candidate
    history: tuple[StepResult, ...]  # all attempts of the workstream so far


class Prompts:
    """Renders `edit.txt.j2` and `fix.txt.j2` of a folder; both share `parts.txt.j2`."""

    def __init__(self, templates_dir: Path) -> None:
        # Prompts are no HTML, and what is put into them is escaped by the filters below.
        self._environment = Environment(
            loader=FileSystemLoader(templates_dir),
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(fence=fence, line=one_line)

    def render_edit(self, context: EditContext) -> str:
        """The prompt of an `edit` attempt. Raises ConfigError when the template is missing or wrong."""
        return self._render("edit.txt.j2", context.assignment, refused=_refused(context.history))

    def render_fix(self, context: FixContext) -> str:
        """The prompt of a `fix` attempt. Raises ConfigError when the template is missing or wrong."""
        groups, left_out = _grouped(context.findings)
        return self._render(
            "fix.txt.j2",
            context.assignment,
            refused=_refused(context.history),
            groups=groups,
            findings_left_out=left_out,
            diff=_shortened(context.diff, _DIFF_LENGTH),
            tries=_tries(context.history, context.findings),
        )

    def _render(self, template: str, assignment: Assignment, **more: object) -> str:
        try:
            return self._environment.get_template(template).render(
                task=assignment,
                change_documents=_fitting(assignment.change_documents),
                project_documents=_fitting(assignment.project_documents),
                **more,
            )
        except TemplateError as error:
            raise ConfigError(
                f"The prompt template {template} cannot be rendered",
                details=f"{type(error).__name__}: {error.message}",
                hint="Compare it with the template of that name that comes with runner.",
            ) from error


def fence(text: str) -> str:
    """The text as a fenced block whose end the text cannot contain."""
    text = _visible(text)
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}\n{text.rstrip()}\n{marks}"


def one_line(text: str) -> str:
    """The text where it must not break out of its line."""
    return " ".join(_visible(text).split())


def _visible(text: str) -> str:
    """Control, formatting and other invisible characters are shown as what they are not: readable."""
    return "".join(
        "\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char not in "\n\t" else char
        for char in text.replace("\r\n", "\n")
    )


# Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    tool: str
    path: str | None
    findings: tuple[Finding, ...]


def _grouped(findings: Sequence[Finding]) -> tuple[list[_Group], int]:
    """The most important findings by tool and file, and how many were left out."""
    by_weight = sorted(dict.fromkeys(findings), key=lambda finding: _SEVERITIES.index(finding.severity))
    kept = list(_within(by_weight))
    places = dict.fromkeys((finding.tool, finding.path) for finding in kept)
    groups = [
        _Group(
            tool=tool,
            path=path,
            findings=tuple(finding for finding in kept if (finding.tool, finding.path) == (tool, path)),
        )
        for tool, path in places
    ]
    return groups, len(by_weight) - len(kept)


def _within(findings: Iterable[Finding]) -> Iterable[Finding]:
    """As many as fit; the first always does."""
    length = 0
    for number, finding in enumerate(findings):
        length += len(finding.message) + len(finding.rule) + 20
        if number and (number >= _FINDINGS or length > _FINDINGS_LENGTH):
            return
        yield finding


# Earlier attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    result: StepResult
    remaining: int  # of its findings, those that are still there


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """An agent's attempt and the checks of what it made."""

    result: StepResult
    checks: list[_Check]


def _tries(history: Sequence[StepResult], findings: Sequence[Finding]) -> list[_Try]:
    """The last attempts of the agent that say something about the code, oldest first."""
    present = {finding.signature for finding in findings}
    tries: list[_Try] = []
    for result in history:
        if not _tells(result):
            continue
        if result.key.step.is_agent:
            tries.append(_Try(result=result, checks=[]))
        elif tries:
            remaining = sum(finding.signature in present for finding in result.findings)
            tries[-1].checks.append(_Check(result=result, remaining=remaining))
    return tries[-_TRIES:]


def _tells(result: StepResult) -> bool:
    return result.outcome not in (Outcome.INFRA, Outcome.API_ERROR, Outcome.RATE_LIMITED)


def _refused(history: Sequence[StepResult]) -> StepResult | None:
    """The agent's last attempt, when not all of it was accepted."""
    tries = [result for result in history if result.key.step.is_agent and _tells(result)]
    if not tries or (tries[-1].outcome is Outcome.OK and not tries[-1].refusals):
        return None
    return tries[-1]


# Lengths


def _fitting(documents: Iterable[Document]) -> list[Document]:
    """The documents, together no longer than a prompt can bear; the later ones are cut first."""
    room = _DOCUMENTS_LENGTH
    fitting = []
    for document in documents:
        fitting.append(Document(name=document.name, text=_shortened(document.text, room)))
        room -= min(room, len(document.text))
    return fitting


def _shortened(text: str, limit: int) -> str:
    """Head and tail of a text in whole lines, with a note of how many characters are missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    head = text[:half].rpartition("\n")[0]
    tail = text[len(text) - half :].partition("\n")[2]
    missing = len(text) - len(head) - len(tail)
    return f"{head}\n[... {missing} characters left out ...]\n{tail}".strip("\n")
