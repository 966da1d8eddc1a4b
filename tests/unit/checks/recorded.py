"""What real tools printed, and findings in one line, for the tests of the parsers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.checks.finding import Printed
from runner.core.model import Finding

_DATA = Path(__file__).parents[2] / "data"


def printed(tool: str, case: str, *, exit_code: int = 1) -> Printed:
    """The recorded stdout `{case}.txt` and stderr `{case}.stderr.txt` of a tool."""
    folder = _DATA / "outputs" / tool
    assert (folder / f"{case}.txt").exists() or (folder / f"{case}.stderr.txt").exists()
    return _printed(folder, case, exit_code)


def short(findings: tuple[Finding, ...]) -> list[str]:
    """`path:line rule message`, of the message the first line."""
    return [f"{one.path}:{one.line} {one.rule} {one.message.partition(chr(10))[0]}" for one in findings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run of a tool with the arguments that its profile gives it."""

    tool: str
    name: str
    printed: Printed

    def __str__(self) -> str:
        return f"{self.tool}-{self.name}"


def profile_cases() -> Iterator[Case]:
    """The runs recorded with the shipped tool profiles."""
    for index in sorted(_DATA.glob("tools/*/cases.json")):
        for case in json.loads(index.read_text())["cases"]:
            output = _printed(index.parent, case["case"], case["exit_code"])
            yield Case(tool=index.parent.name, name=case["case"], printed=output)


def _printed(folder: Path, case: str, exit_code: int) -> Printed:
    return Printed(
        exit_code=exit_code,
        stdout=_text(folder / f"{case}.txt"),
        stderr=_text(folder / f"{case}.stderr.txt"),
    )


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
