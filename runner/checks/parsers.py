"""The parsers by the names that tool profiles use."""

from collections.abc import Callable, Mapping

from runner.checks.finding import Printed, found, last_lines
from runner.checks.linters import codespell, mypy, ruff, shellcheck, yamllint
from runner.checks.pytest_output import pytest
from runner.core.model import Finding
from runner.errors import ConfigError

# From a tool's name and what it printed. A parser never raises; it is asked only about a tool that failed.
Parser = Callable[[str, Printed], tuple[Finding, ...]]


def text(tool: str, printed: Printed) -> tuple[Finding, ...]:
    """One finding made of the exit code and the last lines: for tools without a parser of their own."""
    shown = last_lines(printed.stdout, printed.stderr)
    code = printed.exit_code
    return (found(tool, f"exit_{code}", f"exited with {code}:\n{shown}", identity=shown),)


PARSERS: Mapping[str, Parser] = {
    "codespell": codespell,
    "mypy": mypy,
    "pytest": pytest,
    "ruff": ruff,
    "shellcheck": shellcheck,
    "text": text,
    "yamllint": yamllint,
}


def parser_of(name: str) -> Parser:
    """The parser of that name. Raises ConfigError when there is none."""
    if name not in PARSERS:
        raise ConfigError(
            f"There is no parser {name!r} for the output of tools",
            hint=f"A tool profile's `parser` is one of: {', '.join(PARSERS)}.",
        )
    return PARSERS[name]
