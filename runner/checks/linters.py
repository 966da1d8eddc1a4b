"""What linters print, read into findings. Nothing here raises on garbage."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from runner.checks.finding import Printed, found, last_lines, lines
from runner.core.model import Finding, Severity

_SEVERITIES = {
    "error": Severity.ERROR,
    "warning": Severity.WARNING,
    "info": Severity.INFO,
    "style": Severity.INFO,
}

_MYPY_LINE = re.compile(
    r"(?P<path>.+?):(?:(?P<line>\d{1,9}):(?:\d+:)*)? (?P<level>error|warning): "
    r"(?P<message>.*?)(?:  \[(?P<rule>[\w-]+)\])?"
)
_YAMLLINT_LINE = re.compile(
    r"(?P<path>.+?):(?P<line>\d{1,9}):\d+: \[(?P<level>error|warning)\] (?P<message>.*?)(?: \((?P<rule>[\w-]+)\))?"
)
_CODESPELL_LINE = re.compile(r"(?P<path>.+?):(?P<line>\d{1,9}): (?P<message>.+ ==> .+)")


class _Position(BaseModel):
    row: int


class _Ruff(BaseModel):
    code: str | None
    filename: str
    location: _Position | None
    message: str
    severity: str = "error"


class _Mypy(BaseModel):
    file: str
    line: int
    message: str
    hint: str | None = None
    code: str | None = None
    severity: str


class _Shellcheck(BaseModel):
    file: str
    line: int
    level: str
    code: int
    message: str


def ruff(tool: str, printed: Printed) -> tuple[Finding, ...]:
    """`ruff check` and `ruff format --check` with `--output-format json`."""
    return _from_json(tool, printed, _ruff)


def shellcheck(tool: str, printed: Printed) -> tuple[Finding, ...]:
    """`shellcheck --format json1`."""
    return _from_json(tool, printed, _shellcheck)


def mypy(tool: str, printed: Printed) -> tuple[Finding, ...]:
    """mypy's JSON lines, and its text; notes belong to an error and are no findings."""
    # What keeps mypy from checking at all stands in stderr.
    told = [*lines(printed.stdout), *lines(printed.stderr)]
    read = (_mypy_json(tool, line) if line.startswith("{") else _mypy_text(tool, line) for line in told)
    return tuple(finding for finding in read if finding)


def yamllint(tool: str, printed: Printed) -> tuple[Finding, ...]:
    """`yamllint --format parsable`; warnings only where they are what failed it (`--strict`)."""
    findings = tuple(
        found(
            tool,
            match["rule"] or "yamllint",
            match["message"],
            path=match["path"],
            line=int(match["line"]),
            severity=_SEVERITIES[match["level"]],
        )
        for match in _matches(_YAMLLINT_LINE, printed.stdout)
    )
    errors = tuple(finding for finding in findings if finding.severity is Severity.ERROR)
    return errors if printed.exit_code == 1 else findings


def codespell(tool: str, printed: Printed) -> tuple[Finding, ...]:
    """codespell's own lines: `path:line: worng ==> wrong`."""
    return tuple(
        found(tool, "spelling", match["message"], path=match["path"], line=int(match["line"]))
        for match in _matches(_CODESPELL_LINE, printed.stdout)
    )


def _from_json(tool: str, printed: Printed, read: Callable[[str, Any], Finding]) -> tuple[Finding, ...]:
    """As many findings as can be read, and one more that says so when there is a rest."""
    findings: list[Finding] = []
    try:
        for entry in _entries(printed.stdout):
            findings.append(read(tool, entry))  # noqa: PERF401 - keeps what came before the error
    except (ValueError, RecursionError) as error:
        findings += _unparsable(tool, printed, error)
    return tuple(findings)


def _entries(text: str) -> Iterator[Any]:
    """The entries of the first array, as far as it goes. Raises ValueError where it is cut, or no JSON at all."""
    decoder = json.JSONDecoder()
    if "[" not in text:
        raise ValueError("no JSON array")
    at = _next_entry(text, text.index("[") + 1)
    while not text.startswith("]", at):
        entry, end = decoder.raw_decode(text, at)
        yield entry
        at = _next_entry(text, end)


def _next_entry(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def _unparsable(tool: str, printed: Printed, error: Exception) -> tuple[Finding, ...]:
    """Says that there is more than could be read; a tool that printed nothing said nothing unreadable."""
    if not printed.stdout.strip():
        return ()
    why = "an unexpected entry" if isinstance(error, ValidationError) else str(error)
    told = "the output cannot be read to the end"
    shown = last_lines(printed.stderr if printed.stderr.strip() else printed.stdout)
    message = f"{tool} exited with {printed.exit_code}, and {told} ({why}):\n{shown}"
    return (found(tool, "unparsable", message, identity=told),)


def _ruff(tool: str, entry: Any) -> Finding:
    item = _Ruff.model_validate(entry)
    return found(
        tool,
        item.code or "invalid-syntax",
        item.message,
        path=item.filename,
        line=item.location.row if item.location else None,
        severity=_SEVERITIES.get(item.severity, Severity.ERROR),
    )


def _shellcheck(tool: str, entry: Any) -> Finding:
    item = _Shellcheck.model_validate(entry)
    severity = _SEVERITIES.get(item.level, Severity.ERROR)
    return found(tool, f"SC{item.code}", item.message, path=item.file, line=item.line, severity=severity)


def _mypy_json(tool: str, line: str) -> Finding | None:
    try:
        item = _Mypy.model_validate_json(line)
    except ValidationError:
        return None  # a line that was cut
    if item.severity == "note":
        return None
    message = f"{item.message}\n{item.hint}" if item.hint else item.message
    return found(tool, item.code or "error", message, path=item.file, line=item.line, identity=item.message)


def _mypy_text(tool: str, line: str) -> Finding | None:
    match = _MYPY_LINE.fullmatch(line)
    if not match or match["path"] == "mypy":  # `mypy: error:` is about its own command line
        return None
    at = int(match["line"]) if match["line"] else None
    return found(tool, match["rule"] or "error", match["message"], path=match["path"], line=at)


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    return (match for line in lines(text) if (match := pattern.fullmatch(line)))
