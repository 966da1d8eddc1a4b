"""Plans and scripts of a few lines."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.command import Target


def workstream(name: str, **fields: Any) -> dict[str, Any]:
    """A workstream that is to write a note of its own, `NAME.txt`, and is judged by that only."""
    values = {
        "id": f"ws-{name}",
        "openspec_change": "try",
        "files_scope": [f"{name}.txt"],
        "tasks": [f"Write {name}.txt."],
        "acceptance_tests": [f"grep -q done {name}.txt"],
        "tools": [],
    }
    return values | fields


def edit(path: str, new: str, old: str = "") -> str:
    """An answer of the model that replaces a text in a file; without `old` it makes the file."""
    return f"\n{path}\n```\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n```\n"


def note(name: str, **fields: Any) -> dict[str, Any]:
    """The answer that does what `workstream(name)` asks for."""
    return answer(name, content=edit(f"{name}.txt", "done\n"), **fields)


def answer(name: str, **fields: Any) -> dict[str, Any]:
    return {"workstream": f"ws-{name}", **fields}


def write_plan(target: Target, *workstreams: Mapping[str, Any], name: str = "plan.json") -> Path:
    """Beside the repository, which stays clean."""
    path = target.repo.path.parent / name
    path.write_text(json.dumps(workstreams))
    return path


def write_script(target: Target, *answers: Mapping[str, Any], name: str = "script.toml") -> Path:
    path = target.repo.path.parent / name
    path.write_text("\n".join(map(_table, answers)))
    return path


def _table(fields: Mapping[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]  # TOML's words for these too
    return "\n".join(["[[answers]]", *lines, ""])


def given(target: Target, names: Sequence[str], **fields: Any) -> list[str | Path]:
    """The options for a run of workstreams of which each writes its note."""
    plan = write_plan(target, *(workstream(name) for name in names))
    script = write_script(target, *(note(name, **fields) for name in names))
    return ["--plan", plan, "--script", script]
