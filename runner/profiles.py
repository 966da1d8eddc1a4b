"""Tool profiles: how each tool is run inside a sandbox."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from runner.core.model import ToolProfile
from runner.errors import ConfigError
from runner.resources import schema_dir

WORKSPACE = "/workspace"  # where every sandbox has the candidate

_FILES = "{files}"
_PLACES = ("{cwd}", "{repo_root}", "{worktree_path}")  # one and the same here
_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")


def load_profiles(*paths: Path) -> dict[str, ToolProfile]:
    """The profiles of some files; of the same name the last counts. Raises ConfigError with every problem."""
    schema = json.loads((schema_dir() / "tool_profiles.schema.json").read_bytes())
    validator = Draft202012Validator(schema)
    loaded: dict[str, ToolProfile] = {}
    problems: list[str] = []
    for path in paths:
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {error}")
            continue
        found = list(_problems(data, validator))
        problems += [f"{path}: {problem}" for problem in found]
        if not found:
            loaded |= {name: _profile(name, fields) for name, fields in _entries(data)}
    if problems:
        raise ConfigError(
            "The tool profiles cannot be used",
            details="\n".join(problems),
            hint="`schema/tool_profiles.schema.json` of the installation describes every field.",
        )
    return loaded


def matching(profile: ToolProfile, files: Sequence[str]) -> tuple[str, ...]:
    """Those of the files that the tool looks at."""
    return tuple(name for name in files if not profile.extensions or name.endswith(profile.extensions))


def default_checks(profiles: Mapping[str, ToolProfile], files: Sequence[str]) -> tuple[str, ...]:
    """The names of the static checks that run unasked on some files."""
    return tuple(
        name
        for name, profile in profiles.items()
        if profile.type == "static_check" and profile.default and matching(profile, files)
    )


def expand(profile: ToolProfile, files: Sequence[str]) -> list[str]:
    """The tool's command line. A tool that takes files may read everything when it gets none: don't run it then."""
    argv = [profile.command]
    for arg in profile.args:
        argv += [_not_an_option(name) for name in files] if arg == _FILES else [arg]
    return argv


def _not_an_option(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name


def _problems(data: Any, validator: Draft202012Validator) -> Iterator[str]:
    errors = sorted(validator.iter_errors(data), key=lambda error: error.json_path)
    for error in errors:
        yield from _explain(error)
    if not errors:
        for name, fields in _entries(data):
            yield from (f"{name}: {problem}" for problem in _contradictions(fields))


def _explain(error: ValidationError) -> Iterator[str]:
    where = error.json_path.removeprefix("$").removeprefix(".")
    if error.validator != "additionalProperties":
        yield f"{where}: {error.message}" if where else error.message
        return
    if not where:
        yield f"a profile's name is of lower-case letters, digits and . _ - ({error.message})"
        return
    schema: Any = error.schema
    fields: Any = error.instance
    for field in sorted(fields.keys() - schema["properties"].keys()):
        close = difflib.get_close_matches(field, schema["properties"], n=1)
        yield f"{where}: there is no field {field}" + (f"; did you mean {close[0]}?" if close else "")


def _entries(data: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each profile's name and fields, whichever way the fields are spelled."""
    for name, fields in data.items():
        if name != "$schema":
            yield name, {field.replace("-", "_"): value for field, value in fields.items()}


def _contradictions(fields: Mapping[str, Any]) -> Iterator[str]:
    """What a schema cannot say."""
    args = fields.get("args", [])
    for text in [fields["command"], *args, *fields.get("env", {}).values()]:
        for name in sorted(set(_PLACEHOLDER.findall(text)) - {_FILES, *_PLACES}):
            yield f"there is no placeholder {name}; known are {_FILES} {' '.join(_PLACES)}"
    for text in [fields["command"], *fields.get("env", {}).values(), *(arg for arg in args if arg != _FILES)]:
        if _FILES in text:
            yield f"{_FILES} has to be an argument of its own; it stands in {text!r}"
    if (_files(fields) != "none") != (_FILES in args):
        yield f"files is {_files(fields)!r}, but {'an' if _FILES in args else 'no'} argument is {_FILES}"


def _files(fields: Mapping[str, Any]) -> Any:
    return fields.get("files", "changed" if _FILES in fields.get("args", ()) else "none")


def _profile(name: str, fields: Mapping[str, Any]) -> ToolProfile:
    return ToolProfile(
        id=name,
        type=fields["type"].replace("-", "_"),
        command=_placed(fields["command"]),
        args=tuple(_placed(arg) for arg in fields.get("args", ())),
        env={key: _placed(value) for key, value in fields.get("env", {}).items()},
        timeout_s=fields.get("timeout_sec"),
        success_exit_codes=tuple(fields.get("success_exit_codes", (0,))),
        findings_exit_codes=tuple(fields.get("findings_exit_codes", (1,))),
        parser=fields.get("parser", "text"),
        files=_files(fields),
        extensions=tuple(fields.get("extensions", ())),
        default=fields.get("default", False),
    )


def _placed(text: str) -> str:
    for place in _PLACES:
        text = text.replace(place, WORKSPACE)
    return text
