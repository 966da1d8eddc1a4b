"""pytest's report on the terminal, read into findings: one a failed test, whose id is the rule."""

import re
import textwrap
from collections.abc import Iterator

from runner.checks.finding import Printed, found, lines
from runner.core.model import Finding

NO_TESTS_COLLECTED = 5  # pytest's exit code

# Where the list of failures begins; in a long output its heading may be among what was dropped.
_SUMMARY = re.compile(r"=+ short test summary info =+|\[\.\.\. \d+ bytes dropped \.\.\.\]")
_FAILED = re.compile(r"(?P<kind>FAILED|ERROR) (?P<test>\S[^\[]*?(?:\[.*?\])?)(?: - (?P<message>.*))?")
_SECTION = re.compile(r"_+ (?P<title>(?!_ ).+?) _+")  # not the `_ _ _` between the frames of a traceback
_END_OF_SECTIONS = re.compile(r"=+ .+ =+|-+ Captured .+ -+")
_ERROR_TITLE = re.compile(r"ERROR (?:at (?:setup|teardown) of|collecting) (?P<name>.+)")
_LAST_LINE = re.compile(
    r"=* ?(?:no tests ran|\d+ (?:passed|failed|errors?|skipped|deselected|xfailed|xpassed|warnings?)\b.*)"
    r" in \d[\d.]*s.*"
)


def looks_like_pytest(stdout: str) -> bool:
    """Whether the output ends the way a run of pytest does."""
    last = lines(stdout.rstrip())[-1]
    return bool(_LAST_LINE.fullmatch(last))


def pytest(tool: str, printed: Printed) -> tuple[Finding, ...]:
    """The failed tests, with what their tracebacks say where these were printed."""
    if printed.exit_code == NO_TESTS_COLLECTED:
        return (found(tool, "no_tests", "no tests were collected: nothing has been shown"),)
    report = lines(printed.stdout)
    starts = [number for number, line in enumerate(report) if _SUMMARY.fullmatch(line)]
    if not starts:
        return ()
    sections = _sections(report[: starts[-1]])
    summary = (_FAILED.fullmatch(line) for line in report[starts[-1] :])
    return tuple(_finding(tool, match, sections) for match in summary if match)


_Sections = dict[tuple[str, str], list[list[str]]]


def _finding(tool: str, match: re.Match[str], sections: _Sections) -> Finding:
    kind, test = match["kind"], match["test"]
    path, _, name = test.partition("::")
    titled = sections.get((kind, _title(name) or path), [])
    section = titled.pop(0) if titled else []
    summary = match["message"] or ""
    message = _error_lines(section) or summary or "failed"
    at = _line_in(path, section)
    return found(tool, test, message, path=path, line=at, identity=_in_full(summary, message))


def _in_full(summary: str, message: str) -> str:
    """The line of the message that the summary repeats, cut to the terminal's width."""
    told = [line.strip() for line in message.split("\n")]
    return next((line for line in told if line.startswith(summary.removesuffix("..."))), summary)


def _title(name: str) -> str:
    """How a test is headed in the report: `TestGroup::test_a[x::y]` as `TestGroup.test_a[x::y]`."""
    function, bracket, parameters = name.partition("[")
    return function.replace("::", ".") + bracket + parameters


def _sections(report: list[str]) -> _Sections:
    """The lines under each heading, by what the summary calls them; equal headings in order."""
    found_sections: _Sections = {}
    section: list[str] = []
    for line in report:
        if match := _SECTION.fullmatch(line):
            section = []
            found_sections.setdefault(_key(match["title"]), []).append(section)
        elif _END_OF_SECTIONS.fullmatch(line):
            section = []
        else:
            section.append(line)
    return found_sections


def _key(title: str) -> tuple[str, str]:
    match = _ERROR_TITLE.fullmatch(title)
    return ("ERROR", match["name"]) if match else ("FAILED", title)


def _error_lines(section: list[str]) -> str:
    """What pytest marks with E, without the mark."""
    marked = [line[1:] for line in section if line.startswith("E ")]
    return textwrap.dedent("\n".join(marked)).strip()


def _line_in(path: str, section: list[str]) -> int | None:
    """The innermost line of the test's own file."""
    numbers = list(_lines_of(path, section))
    return numbers[-1] if numbers else None


def _lines_of(path: str, section: list[str]) -> Iterator[int]:
    place = re.compile(rf"{re.escape(path)}:(\d{{1,9}}): .*")
    return (int(match[1]) for line in section if (match := place.fullmatch(line)))
