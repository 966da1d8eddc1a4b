"""What the README names is there: commands, flags, settings, exit codes, files, tests, recipes, examples."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer.main
from markdown_it import MarkdownIt
from markdown_it.token import Token

from runner.bundles import check_plan
from runner.cli.app import app
from runner.config import leaves
from runner.config.settings import Settings
from runner.core.model import Outcome
from runner.errors import ExitCode
from runner.gateway.script import load_script
from runner.profiles import load_profiles

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
PAGE = MarkdownIt().enable("table").parse(TEXT)
SCHEMA: dict[str, Any] = json.loads((ROOT / "schema" / "workstream.schema.json").read_text())

SETTINGS = dict(leaves(Settings()))
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
RECIPES = set(
    re.findall(r"^@?([a-z][a-z0-9-]*)(?: [^:=\n]*)?:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE)
)


def inline(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()


def spans(tokens: list[Token]) -> list[str]:
    return [token.content for token in inline(tokens) if token.type == "code_inline"]


def blocks(language: str) -> list[str]:
    return [token.content for token in PAGE if token.type == "fence" and token.info == language]


def tables() -> dict[str, list[list[Token]]]:
    """The rows of each table, by the name of its first column."""
    found: dict[str, list[list[Token]]] = {}
    rows: list[list[Token]] = []
    for token in PAGE:
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level > 2 and rows:
            rows[-1].append(token)
        elif token.type == "table_close":
            found[rows[0][0].content] = rows[1:]
            rows = []
    return found


def command_lines() -> list[list[str]]:
    """Everything that is shown to be typed, in words."""
    indented = [token.content for token in PAGE if token.type == "code_block"]
    typed = [line for block in (*blocks("sh"), *indented) for line in block.splitlines()]
    lines = [shlex.split(line, comments=True) for line in typed]
    return [line for line in (*lines, *(span.split() for span in spans(PAGE))) if line]


def flags(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts} | {"--help", "-h"}


def flags_in(words: list[str]) -> set[str]:
    return {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}


def shown(value: object) -> str:
    """As `runner config` prints it."""
    if value is None:
        return "unset"
    return str(value).lower() if isinstance(value, bool) else str(value)


CALLS = [line[1:] for line in command_lines() if line[0] == "runner" and len(line) > 1]
RECIPE_CALLS = [line[1:] for line in command_lines() if line[0] in ("just", "./justw") and len(line) > 1]


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_every_command_and_its_flags_exist(words: list[str]) -> None:
    assert words[0] in COMMANDS
    assert flags_in(words) <= flags(COMMANDS[words[0]])


def test_every_command_of_the_tool_is_named() -> None:
    assert {words[0] for words in CALLS} == set(COMMANDS)


def test_every_flag_that_stands_alone_is_one_of_ours() -> None:
    alone = {span.split()[0] for span in spans(PAGE) if span.startswith("--")}
    assert alone
    assert alone <= set().union(*map(flags, COMMANDS.values()))


@pytest.mark.parametrize("words", RECIPE_CALLS, ids=" ".join)
def test_every_recipe_exists_and_passes_its_flags_on(words: list[str]) -> None:
    assert words[0] in RECIPES
    if flags_in(words):
        assert flags_in(words) <= flags(COMMANDS[words[0]])


def test_the_settings_have_the_defaults_of_the_table() -> None:
    told = {
        setting.content.strip("`"): default.content.strip("`") for setting, default, _ in tables()["setting"]
    }
    assert told == {name: shown(SETTINGS[name]) for name in told if name in SETTINGS}


def test_every_setting_that_is_named_exists() -> None:
    sections = {name.partition(".")[0] for name in SETTINGS}
    named = {span for span in spans(PAGE) if span.count(".") == 1 and span.partition(".")[0] in sections}
    from_environment = set(re.findall(r"RUNNER_([A-Z]+)__([A-Z_]+)", TEXT))
    assert named
    assert from_environment
    assert named | {f"{section}.{name}".lower() for section, name in from_environment} <= set(SETTINGS)


def test_the_exit_codes_are_those_of_the_code() -> None:
    assert [int(code.content) for code, _ in tables()["exit code"]] == sorted(ExitCode)


def test_every_end_of_an_attempt_is_named() -> None:
    assert set(spans(PAGE)) >= set(Outcome)


def test_every_field_of_a_bundle_is_in_the_table_the_required_ones_first() -> None:
    fields = [name for first, _ in tables()["field"] for name in spans([first])]
    assert set(fields) == SCHEMA["properties"].keys() - {"$schema"}
    assert set(fields[: len(SCHEMA["required"])]) == set(SCHEMA["required"])


@pytest.mark.parametrize("field", ["circuit_breaker", "limits", "timeouts"])
def test_every_part_of_a_field_is_named(field: str) -> None:
    (meaning,) = [meaning for first, meaning in tables()["field"] if first.content == f"`{field}`"]
    assert set(spans([meaning])) == set(SCHEMA["properties"][field]["properties"])


def test_the_bundle_is_a_plan_without_problems(tmp_path: Path) -> None:
    (bundle,) = [block for block in blocks("json") if "openspec_change" in block]
    (tmp_path / "bundle.json").write_text(bundle)
    plan, problems = check_plan(tmp_path)
    assert (plan is not None, problems) == (True, [])


def test_the_script_of_answers_can_be_read(tmp_path: Path) -> None:
    (script,) = blocks("toml")
    (tmp_path / "script.toml").write_text(script)
    assert len(load_script(tmp_path / "script.toml").answers) == 2


def test_the_tool_profile_can_be_read(tmp_path: Path) -> None:
    (profile,) = [block for block in blocks("json") if "openspec_change" not in block]
    (tmp_path / "profiles.json").write_text(profile)
    assert load_profiles(tmp_path / "profiles.json")


def test_the_layers_are_those_that_are_held() -> None:
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (diagram,) = [block for block in blocks("text") if block.startswith("__main__\n")]
    drawn = [re.split(r" {3,}", line)[0] for line in diagram.splitlines()]
    assert drawn == [layer.replace("runner.", "") for layer in contract["layers"]]


def test_every_link_leads_somewhere() -> None:
    targets = [str(token.attrs.get("href") or token.attrs.get("src") or "") for token in inline(PAGE)]
    headings = [inside.content for opening, inside in pairwise(PAGE) if opening.type == "heading_open"]
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    local = {target for target in targets if target and not target.startswith("https://")}
    assert {target for target in local if target.startswith("#")} <= anchors
    assert [target for target in local if not target.startswith("#") and not (ROOT / target).is_file()] == []


def test_every_file_and_every_test_that_is_named_exists() -> None:
    made_by_a_run = (ROOT / ".gitignore").read_text().splitlines()
    files = [
        span for span in spans(PAGE) if re.match(r"(\.ci|config|images|runner|schema|templates|tests)/", span)
    ]
    missing = [
        file
        for file in (span.partition("::")[0] for span in files)
        if not (ROOT / file).exists() and file not in (*made_by_a_run, "runner/python:latest")
    ]
    assert files
    assert missing == []


def test_every_promise_names_tests_that_exist() -> None:
    for promise, proof in tables()["what holds"]:
        file = ""
        assert spans([proof]), promise.content
        for cited in spans([proof]):
            before, _, test = cited.partition("::")
            file = before or file
            assert f"def {test}(" in (ROOT / file).read_text() if test else (ROOT / file).is_file(), cited


def test_the_picture_can_be_drawn_and_loads_nothing() -> None:
    picture = (ROOT / "docs" / "screen.svg").read_text()
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert re.findall(r"https?://[^\"]+", picture) == ["http://www.w3.org/2000/svg"]


def test_no_path_of_a_machine_is_shown() -> None:
    assert re.findall(r"/(?:home|root|tmp|work|Users)/", TEXT) == []
