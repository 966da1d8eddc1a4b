"""Aider, driven by the worker program that lies in the images."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.ports import JOB_FOLDER, AgentReport, AgentTask, Command, End, Ran

_DOOR = "http://127.0.0.1:8088/v1"  # where a sandbox finds its model door
_TASK = "task.json"
_RESULT = "\nrunner-result: "
_LONGEST_ERROR = 500
_MOST_ERRORS = 10

_ENV = {
    "OPENAI_API_BASE": _DOOR,
    "OPENAI_API_KEY": "none",  # a word must be there; the key is added behind the door
    "NO_PROXY": "127.0.0.1",
    # Nothing of this is reachable, and trying costs seconds.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_OFFLINE": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "LC_ALL": "C.UTF-8",
    "COLUMNS": "160",
}


class _Result(BaseModel):
    """The worker's last line."""

    model_config = ConfigDict(strict=True)

    errors: list[str]
    refused: list[str]
    malformed: int = Field(ge=0, le=1000)
    truncated: int = Field(ge=0, le=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aider:
    """How Aider is started: the same for every task."""

    argv: tuple[str, ...] = ("/opt/aider/bin/python", "-I", "/opt/runner/aider_worker.py")
    env: Mapping[str, str] = field(default_factory=dict)  # besides what the worker needs
    edit_format: str = "diff"
    max_input_tokens: int = 128_000
    max_output_tokens: int = 8_192
    temperature: float | None = 0.0  # None: as the model likes it, for those that refuse to be told
    max_reflections: int = 2  # how often the model is told that its answer was no usable edit
    unlisted: Literal["refuse", "allow"] = (
        "refuse"  # edits to other files: never made, or left to the scope gate
    )

    @property
    def name(self) -> str:
        return "aider"

    def command(self, task: AgentTask) -> Command:
        job = {
            "prompt": task.prompt,
            "files": task.files,
            "model": task.model,
            "timeout_s": task.timeout_s,
            "edit_format": self.edit_format,
            "max_input_tokens": self.max_input_tokens,
            "max_output_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "max_reflections": self.max_reflections,
            "unlisted": self.unlisted,
        }
        return Command(
            argv=(*self.argv, f"{JOB_FOLDER}/{_TASK}"),
            env={**_ENV, **self.env},
            files={_TASK: json.dumps(job)},
        )

    def report(self, ran: Ran) -> AgentReport:
        """What the worker's last line tells. Any text may stand there: it came out of a sandbox."""
        if ran.end is not End.EXITED:
            return AgentReport(errors=(f"aider was ended early ({ran.end})",))
        if ran.exit_code != 0:
            return AgentReport(errors=(f"aider broke off with exit code {ran.exit_code}{_last_words(ran)}",))
        _, found, line = ran.stdout.text().rpartition(_RESULT)
        try:
            result = _Result.model_validate_json(line if found else "")
        except ValidationError:
            return AgentReport(errors=("aider ended without a result",))
        refused = (
            f"an edit of {path} was refused: it is not among the files to edit" for path in result.refused
        )
        return AgentReport(
            errors=_brief([*result.errors, *refused]), malformed=result.malformed, truncated=result.truncated
        )


def _last_words(ran: Ran) -> str:
    words = _line(ran.stderr.text().rstrip().rpartition("\n")[2])
    return f": {words}" if words else ""


def _line(text: str) -> str:
    """Fit for one line of a message: printable, single-spaced and of bounded length."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:_LONGEST_ERROR]


def _brief(errors: list[str]) -> tuple[str, ...]:
    """Each error once, and not too many."""
    return tuple(dict.fromkeys(_line(error) for error in errors))[:_MOST_ERRORS]
