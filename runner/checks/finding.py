"""One finding of a tool, made from what the tool printed."""

import re
from dataclasses import dataclass

from runner.core.model import Finding, Severity
from runner.core.signature import signature
from runner.profiles import WORKSPACE

_MESSAGE_LIMIT = 2000
_TAIL_LINES = 15
_LINE_LIMIT = 4000  # keeps matching fast, whatever a tool prints
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a tool that failed left behind."""

    exit_code: int
    stdout: str
    stderr: str


def found(
    tool: str,
    rule: str,
    message: str,
    *,
    path: str | None = None,
    line: int | None = None,
    severity: Severity = Severity.ERROR,
    identity: str | None = None,
) -> Finding:
    """A finding with its signature, made of `identity` where that is less than the whole message."""
    message = _bounded(plain(message))
    rule = " ".join(plain(rule).split())
    place = _relative(plain(path)) if path else None
    told = _bounded(plain(identity)) if identity is not None else message
    # A rule that names the file (pytest's do) need not say it twice.
    in_file = f"{place}: {told}" if place and place not in rule else told
    return Finding(
        tool=tool,
        rule=rule,
        message=message,
        signature=signature(tool, rule, in_file),
        path=place,
        line=line if line and line > 0 else None,
        severity=severity,
    )


def plain(text: str) -> str:
    """Text without terminal control sequences, control characters and what UTF-8 cannot hold."""
    text = _ESCAPE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode("utf-8")


def lines(text: str) -> list[str]:
    """The lines of some output, plain, the longest cut."""
    return [line[:_LINE_LIMIT] for line in plain(text).split("\n")]


def last_lines(*streams: str) -> str:
    """The last lines of what a tool printed: the best that is known where nothing can be parsed."""
    tails = ([line for line in lines(stream) if line.strip()] for stream in streams)
    return "\n".join(line for tail in tails for line in tail[-_TAIL_LINES:]) or "it printed nothing"


def _relative(path: str) -> str:
    return path.removeprefix(f"{WORKSPACE}/").removeprefix("./")


def _bounded(message: str) -> str:
    """Head and tail, and how much is missing between them."""
    message = message.strip()
    if len(message) <= _MESSAGE_LIMIT:
        return message
    half = _MESSAGE_LIMIT // 2
    return f"{message[:half]}\n[... {len(message) - 2 * half} characters dropped ...]\n{message[-half:]}"
