"""Plans as people write them: JSON files in a folder, read and checked as a whole."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from runner.core.graph import reachable
from runner.core.model import AcceptanceTest, Bundle, Severity, WsId
from runner.core.plan import Placed, Plan, Problem, did_you_mean, plan_problems
from runner.errors import PlanError, UsageError
from runner.resources import schema_dir

_LISTED = 20  # workstreams named in an error


def load_plan(folder: Path) -> Plan:
    """The plan of a folder (or of one file). Raises PlanError with every error of every file."""
    plan, problems = check_plan(folder)
    if plan is None:
        errors = [str(problem) for problem in problems if problem.severity is Severity.ERROR]
        raise PlanError(
            f"The plan in {folder} cannot be run: {len(errors)} {'problem' if len(errors) == 1 else 'problems'}",
            details="\n".join(errors),
            hint="Nothing was started. `runner validate` checks the plan without running it.",
        )
    return plan


def check_plan(folder: Path) -> tuple[Plan | None, list[Problem]]:
    """The plan, unless there are errors, and every problem found, in the order of the files."""
    entries, problems = _read_all(folder)
    placed: list[Placed] = []
    for entry in entries:
        faults = list(_shape_problems(entry))
        problems += faults
        if not faults:
            placed.append(Placed(bundle=_bundle(entry), path=entry.path))
    problems += plan_problems(placed, _graph(entries))
    problems.sort(key=_place)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return None, problems
    return Plan(tuple(item.bundle for item in placed)), problems


def select(plan: Plan, only: Sequence[str]) -> Plan:
    """The named workstreams and everything they depend on. Raises UsageError for an unknown id."""
    if unknown := [name for name in only if name not in plan.by_id]:
        more = f" and {len(plan) - _LISTED} more" if len(plan) > _LISTED else ""
        raise UsageError(
            f"The plan has no workstream {', '.join(unknown)}",
            details=f"It has {', '.join(islice(plan.by_id, _LISTED))}{more}.",
            hint=" ".join(filter(None, (did_you_mean(name, list(plan.by_id)) for name in unknown))),
        )
    wanted = reachable(plan.graph, (WsId(name) for name in only))
    return Plan(tuple(bundle for bundle in plan if bundle.id in wanted))


def _place(problem: Problem) -> tuple[str, list[int | str]]:
    """Sorts as a reader goes through the files; numbers count as numbers."""
    parts = re.split(r"(\d+)", problem.path)
    return problem.file, [int(part) if part.isdecimal() else part for part in parts]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One bundle as it was written."""

    file: str
    path: str
    value: Any


def _read_all(folder: Path) -> tuple[list[_Entry], list[Problem]]:
    files = [folder] if folder.is_file() else sorted(folder.glob("[!.]*.json"))
    place = folder.resolve().name
    if not files:
        missing = "has no *.json files" if folder.is_dir() else "does not exist"
        hint = "`runner init` makes an example; --plan names another folder or file"
        return [], [Problem(file=str(folder), message=f"the plan {missing}", hint=hint)]
    entries: list[_Entry] = []
    problems: list[Problem] = []
    for file in files:
        name = _printable(file.name if folder.is_file() else f"{place}/{file.name}")
        read = _read(file, name)
        if isinstance(read, Problem):
            problems.append(read)
        else:
            entries += read.entries
            problems += read.problems
    if not entries and not problems:
        problems.append(Problem(file=place, message="the plan has no workstreams"))
    return entries, problems


@dataclass(frozen=True, slots=True)
class _File:
    entries: list[_Entry]
    problems: list[Problem]


def _read(file: Path, name: str) -> _File | Problem:
    if not file.is_file():
        return Problem(file=name, message="is not a file that can be read")  # a pipe would be waited for
    try:
        text = file.read_bytes().decode("utf-8-sig")
        value, repeated = _parse(text)
    except OSError as error:
        return Problem(file=name, message=f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        return Problem(file=name, message=f"is not UTF-8 text: byte {error.start} cannot be decoded")
    except json.JSONDecodeError as error:
        return Problem(file=name, message=f"is not JSON: {error.msg}", line=error.lineno, column=error.colno)
    except (ValueError, RecursionError) as error:
        return Problem(file=name, message=f"is not JSON that can be used: {error}")
    problems = [
        Problem(file=name, message=f"the field {key!r} stands twice in one object") for key in repeated
    ]
    if isinstance(value, list):
        return _File([_Entry(file=name, path=f"$[{n}]", value=v) for n, v in enumerate(value)], problems)
    return _File([_Entry(file=name, path="$", value=value)], problems)


def _parse(text: str) -> tuple[object, list[str]]:
    """The value and the field names that an object repeats. Raises ValueError, also for what JSON has no word for."""
    repeated: list[str] = []

    def build(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(value := dict(pairs)) < len(pairs):
            repeated.extend(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        return value

    value = json.loads(text, object_pairs_hook=build)
    # Refuses what Python's reader lets pass and nothing later can store: NaN, 1e999, lone surrogates.
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return value, repeated


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)


@cache
def _validator() -> Draft202012Validator:
    # One for all bundles: making it costs as much as using it on thousands.
    return Draft202012Validator(json.loads((schema_dir() / "workstream.schema.json").read_text("utf-8")))


def _shape_problems(entry: _Entry) -> Iterator[Problem]:
    for error in _validator().iter_errors(entry.value):
        for message, hint in _explain(error):
            path = entry.path + error.json_path[1:]
            yield Problem(file=entry.file, path=path, message=message, hint=hint)


def _explain(error: ValidationError) -> Iterator[tuple[str, str]]:
    """What was expected, and a hint."""
    instance: Any = error.instance
    found = _short(instance)
    rule: Any = error.validator_value  # jsonschema's types do not know which keyword it is
    schema: Any = error.schema
    match error.validator:
        case "additionalProperties":
            known = list(schema["properties"])
            for name in instance:
                if name not in known:
                    yield f"unknown field {_short(name)}", did_you_mean(name, known)
        case "required":
            yield f"{error.message.partition(' is ')[0]} is missing", ""
        case "type":
            names = " or ".join(_TYPES[name] for name in ([rule] if isinstance(rule, str) else rule))
            yield f"expected {names}, found {found}", ""
        case "enum":
            yield f"expected {' or '.join(map(_short, rule))}, found {found}", ""
        case "minItems":
            yield "expected at least one entry, found none", ""
        case "uniqueItems":
            yield f"expected every entry once, found {found}", ""
        case "minimum" | "maximum" | "exclusiveMinimum":
            yield f"expected a number {_BOUNDS[error.validator]} {rule}, found {found}", ""
        case _:
            yield f"{found} is not allowed", schema["description"].removesuffix(".")


_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
}
_BOUNDS = {"minimum": "from", "maximum": "up to", "exclusiveMinimum": "above"}


def _short(value: object) -> str:
    text = _printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _graph(entries: Iterable[_Entry]) -> dict[WsId, list[WsId]]:
    """Who depends on whom, as far as it can be read, also of bundles that are not well-formed."""
    graph: dict[WsId, list[WsId]] = {}
    for entry in entries:
        if isinstance(entry.value, dict) and isinstance(ws_id := entry.value.get("id"), str):
            needs = entry.value.get("depends_on")
            listed = needs if isinstance(needs, list) else []
            graph.setdefault(WsId(ws_id), [WsId(need) for need in listed if isinstance(need, str)])
    return graph


def _bundle(entry: _Entry) -> Bundle:
    """A bundle that fits the schema, in the product's own words and units."""
    value: Mapping[str, Any] = entry.value
    breaker, limits, timeouts = (value.get(key, {}) for key in ("circuit_breaker", "limits", "timeouts"))
    return Bundle(
        id=WsId(value["id"]),
        change=value["openspec_change"],
        files_scope=tuple(value["files_scope"]),
        files_create=tuple(value.get("files_create", ())),
        tasks=tuple(value["tasks"]),
        acceptance_tests=tuple(
            _acceptance_test(test, number) for number, test in enumerate(value.get("acceptance_tests", ()), 1)
        ),
        depends_on=tuple(WsId(need) for need in value.get("depends_on", ())),
        tool=value.get("tool", "aider"),
        tools=tuple(value["tools"]) if "tools" in value else None,
        gate=value.get("gate"),
        ccpm_issue=value.get("ccpm_issue"),
        model=value.get("model"),
        on_scope_violation=value.get("on_scope_violation", "fail"),
        limits=dict(_limit(name, number) for name, number in limits.items()),
        timeouts={name.replace("_sec", "_s"): float(seconds) for name, seconds in timeouts.items()},
        circuit_breaker={name: int(number) for name, number in breaker.items()},
        metadata=value.get("metadata", {}),
        source=entry.file,
    )


def _acceptance_test(test: str | Mapping[str, Any], number: int) -> AcceptanceTest:
    given: Mapping[str, Any] = {"command": test} if isinstance(test, str) else test
    return AcceptanceTest(
        id=given.get("id", f"test-{number}"),
        command=given["command"],
        description=given.get("description", ""),
        timeout_s=given.get("timeout_sec"),
    )


def _limit(name: str, number: float) -> tuple[str, float]:
    """A field of core.model.Limits: sizes in bytes where they are written in MiB."""
    if name in ("output_mb", "file_mb"):
        return name.replace("_mb", "_bytes"), int(number) * 1024 * 1024
    return name, float(number) if name == "cpus" else int(number)
