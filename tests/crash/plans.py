"""The plans that are run again and again: small, and together they reach as much of the orchestrator as can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.crash.model import Answers, Files

CHANGE = "try"
WRONG = "WRONG"  # what the static check looks for


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A plan, the model's answers to it, and how it ends when nothing disturbs it."""

    name: str
    bundles: Sequence[Mapping[str, Any]]
    answers: Answers
    options: Sequence[str] = ()
    branches: Sequence[str] = ()  # that are there before
    exit_code: int
    states: Mapping[str, str]


def bundle(name: str, scope: str, test: str, **fields: Any) -> dict[str, Any]:
    values = {
        "id": f"ws-{name}",
        "openspec_change": CHANGE,
        "files_scope": [scope],
        "tasks": [f"Write what {name} needs."],
        "acceptance_tests": [test],
        "tools": [],
    }
    return values | fields


def left(prompt: str) -> Files:
    """A fault first, which a check finds; it is removed when it is shown."""
    return {"left.txt": "left\n" if "The faults to remove" in prompt else f"{WRONG}\n"}


def right(prompt: str) -> Files:
    """Too much first; what is left out the second time is what was refused."""
    wanted: Files = {
        "right/deep/new.txt": "right\n",
        "right/link": ["deep/new.txt"],
        "right/old/gone.txt": None,
    }
    return wanted if "stray.txt" in prompt else {**wanted, "stray.txt": "not asked for\n"}


def join(_prompt: str) -> Files:
    return {"join.txt": "left\nright\n"}


def bad(prompt: str) -> Files:
    return {"bad.txt": f"{WRONG} twice\n" if "The faults to remove" in prompt else f"{WRONG} once\n"}


GOOD = Sample(
    name="good",
    bundles=[
        bundle("left", "left.txt", "grep -q left left.txt", tools=["words"]),
        bundle("right", "right/**", "grep -q right right/link && test ! -e right/old/gone.txt"),
        bundle(
            "join",
            "join.txt",
            "cat left.txt right/deep/new.txt | cmp - join.txt",
            depends_on=["ws-left", "ws-right"],
        ),
    ],
    answers={"ws-left": left, "ws-right": right, "ws-join": join},
    exit_code=0,
    states={"ws-left": "done", "ws-right": "done", "ws-join": "done"},
)

FAILING = Sample(
    name="failing",
    bundles=[
        bundle("bad", "bad.txt", "true", tools=["words"], circuit_breaker={"max_attempts": 1}),
        bundle("after", "after.txt", "true", depends_on=["ws-bad"]),
        bundle("again", "again.txt", "grep -q again again.txt"),
    ],
    answers={"ws-bad": bad, "ws-again": lambda _prompt: {"again.txt": "again\n"}},
    options=["--replace"],
    branches=[f"ws/{CHANGE}/ws-again"],
    exit_code=1,
    states={"ws-bad": "failed", "ws-after": "blocked", "ws-again": "done"},
)

SAMPLES = {sample.name: sample for sample in (GOOD, FAILING)}
