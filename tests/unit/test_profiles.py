import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.core.model import ToolProfile
from runner.errors import ConfigError
from runner.profiles import default_checks, expand, load_profiles, matching
from runner.resources import resource

SHIPPED = load_profiles(resource("config/tool_profiles.json"))
RECORDED = Path(__file__).parents[1] / "data/tools"


def write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def load(tmp_path: Path, **fields: Any) -> ToolProfile:
    data = {"tool": {"type": "utility", "command": "tool", **fields}}
    return load_profiles(write(tmp_path / "p.json", data))["tool"]


def problems_of(*paths: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_profiles(*paths)
    return caught.value.details.splitlines()


def test_the_schema_is_a_schema() -> None:
    schema = json.loads(resource("schema/tool_profiles.schema.json").read_text())
    Draft202012Validator.check_schema(schema)


def test_the_shipped_profiles_are_those_promised() -> None:
    assert {name: profile.type for name, profile in SHIPPED.items()} == {
        "aider": "ai",
        "ruff": "static_check",
        "mypy": "static_check",
        "yamllint": "static_check",
        "shellcheck": "static_check",
        "codespell": "static_check",
        "pytest": "test",
        "echo": "utility",
    }


def test_what_is_not_said_has_the_default(tmp_path: Path) -> None:
    assert load(tmp_path) == ToolProfile(id="tool", type="utility", command="tool")


def test_every_field_is_read(tmp_path: Path) -> None:
    profile = load(
        tmp_path,
        type="static_check",
        args=["-x", "{files}"],
        env={"A": "b"},
        timeout_sec=7.5,
        success_exit_codes=[0, 5],
        findings_exit_codes=[1, 2],
        parser="sarif",
        files="scope",
        extensions=[".c", ".h"],
        default=True,
        description="Looks.",
        working_dir="{repo_root}",
        capture_output=True,
        aim_tool_id="tool",
        aim_capabilities=["looking"],
    )
    assert profile == ToolProfile(
        id="tool",
        type="static_check",
        command="tool",
        args=("-x", "{files}"),
        env={"A": "b"},
        timeout_s=7.5,
        success_exit_codes=(0, 5),
        findings_exit_codes=(1, 2),
        parser="sarif",
        files="scope",
        extensions=(".c", ".h"),
        default=True,
    )


def test_names_with_hyphens_mean_the_same(tmp_path: Path) -> None:
    snake = {"timeout_sec": 9, "success_exit_codes": [3], "findings_exit_codes": [4], "working_dir": "{cwd}"}
    kebab = {name.replace("_", "-"): value for name, value in snake.items()}
    assert load(tmp_path, type="static-check", **kebab) == load(tmp_path, type="static_check", **snake)


def test_a_later_file_replaces_by_name_and_adds(tmp_path: Path) -> None:
    first = write(tmp_path / "1.json", {name: {"type": "test", "command": "old"} for name in ("a", "b")})
    second = write(tmp_path / "2.json", {name: {"type": "test", "command": "new"} for name in ("b", "c")})
    commands = {name: profile.command for name, profile in load_profiles(first, second).items()}
    assert commands == {"a": "old", "b": "new", "c": "new"}


def test_every_problem_of_every_file_is_told_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text('{"a": }')
    second = write(
        tmp_path / "2.json",
        {
            "a": {"type": "linter", "command": "", "timeout_secs": 3, "zzz": 1},
            "b": {"args": ["x", 3]},
            "Bad Name": {},
        },
    )
    third = write(
        tmp_path / "3.json",
        {
            "c": {
                "type": "test",
                "command": "c",
                "args": ["--in={files}", "{model_name}"],
                "env": {"X": "{home}"},
            },
            "d": {"type": "test", "command": "d", "files": "changed"},
            "e": {"type": "test", "command": "e", "files": "none", "args": ["{files}"]},
        },
    )
    missing = tmp_path / "4.json"
    known = "known are {files} {cwd} {repo_root} {worktree_path}"
    assert problems_of(tmp_path / "1.json", second, third, missing) == [
        f"{tmp_path}/1.json: Expecting value: line 1 column 7 (char 6)",
        f"{tmp_path}/2.json: a profile's name is of lower-case letters, digits and . _ - "
        "('Bad Name' does not match any of the regexes: '^[a-z0-9][a-z0-9._-]*$')",
        f"{tmp_path}/2.json: a: there is no field timeout_secs; did you mean timeout_sec?",
        f"{tmp_path}/2.json: a: there is no field zzz",
        f"{tmp_path}/2.json: a.command: '' should be non-empty",
        f"{tmp_path}/2.json: a.type: 'linter' is not one of ['ai', 'static_check', 'static-check', 'test', 'utility']",
        f"{tmp_path}/2.json: b: 'type' is a required property",
        f"{tmp_path}/2.json: b: 'command' is a required property",
        f"{tmp_path}/2.json: b.args[1]: 3 is not of type 'string'",
        f"{tmp_path}/3.json: c: there is no placeholder {{model_name}}; {known}",
        f"{tmp_path}/3.json: c: there is no placeholder {{home}}; {known}",
        f"{tmp_path}/3.json: c: {{files}} has to be an argument of its own; it stands in '--in={{files}}'",
        f"{tmp_path}/3.json: d: files is 'changed', but no argument is {{files}}",
        f"{tmp_path}/3.json: e: files is 'none', but an argument is {{files}}",
        f"{tmp_path}/4.json: [Errno 2] No such file or directory: '{missing}'",
    ]


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_a_file_that_holds_no_object_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(text)
    (problem,) = problems_of(tmp_path / "p.json")
    assert problem.endswith("is not of type 'object'")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout_sec", 0),
        ("success_exit_codes", [256]),
        ("findings-exit-codes", [-1]),
        ("working-dir", "/etc"),
        ("capture-output", False),
        ("extensions", ["py"]),
        ("env", {"A=B": "c"}),
        ("env", {"A": 1}),
    ],
)
def test_an_illegal_value_is_refused(field: str, value: object, tmp_path: Path) -> None:
    data = {"tool": {"type": "test", "command": "x", field: value}}
    (problem,) = problems_of(write(tmp_path / "p.json", data))
    assert problem.startswith((f"{tmp_path}/p.json: tool.", f"{tmp_path}/p.json: tool["))


def test_places_become_the_workspace_and_files_become_arguments(tmp_path: Path) -> None:
    profile = load(
        tmp_path,
        command="{repo_root}/bin/tool",
        args=["--root={cwd}", "{files}", "--end"],
        env={"PYTHONPATH": "{worktree_path}/src"},
    )
    assert expand(profile, ["a.py", "b c.py"]) == [
        "/workspace/bin/tool",
        "--root=/workspace",
        "a.py",
        "b c.py",
        "--end",
    ]
    assert profile.env == {"PYTHONPATH": "/workspace/src"}
    assert profile.files == "changed"


@given(st.lists(st.text(alphabet="-{}cwdfiles /ü.", min_size=1)))
def test_a_file_name_is_one_argument_and_never_an_option(names: list[str]) -> None:
    profile = ToolProfile(id="tool", type="test", command="tool", args=("{files}",), files="changed")
    arguments = expand(profile, names)[1:]
    assert [argument.removeprefix("./") for argument in arguments] == [n.removeprefix("./") for n in names]
    assert not any(argument.startswith("-") for argument in arguments)


@pytest.mark.parametrize(
    ("files", "checks"),
    [
        (["a.py"], ("ruff",)),
        (["a.pyi", "src/b.py"], ("ruff",)),
        (["deploy.sh", ".github/ci.yml", "x.yaml"], ("yamllint", "shellcheck")),
        (["README.md", "apy", "sh"], ()),
        ([], ()),
    ],
)
def test_checks_are_chosen_by_the_languages_of_the_files(files: list[str], checks: tuple[str, ...]) -> None:
    assert default_checks(SHIPPED, files) == checks


def test_a_tool_without_extensions_looks_at_every_file() -> None:
    assert matching(SHIPPED["codespell"], ["a.py", "LICENSE"]) == ("a.py", "LICENSE")
    assert matching(SHIPPED["ruff"], ["a.py", "LICENSE"]) == ("a.py",)


def recorded_cases() -> list[Any]:
    return [
        pytest.param(SHIPPED[path.parent.name], path.parent, case, id=f"{path.parent.name}-{case['case']}")
        for path in sorted(RECORDED.glob("*/cases.json"))
        for case in json.loads(path.read_text())["cases"]
    ]


@pytest.mark.parametrize(("profile", "folder", "case"), recorded_cases())
def test_recorded_outputs_are_of_the_shipped_command(
    profile: ToolProfile, folder: Path, case: dict[str, Any]
) -> None:
    files = case["argv"][len(profile.args) :]
    assert case["argv"] == expand(profile, files)


@pytest.mark.parametrize(("profile", "folder", "case"), recorded_cases())
def test_exit_codes_tell_what_really_happened(
    profile: ToolProfile, folder: Path, case: dict[str, Any]
) -> None:
    code = case["exit_code"]
    match case["case"].split("-")[0]:
        case "good":
            assert code in profile.success_exit_codes
        case "bad":
            assert code in profile.findings_exit_codes
        case kind:
            assert kind == "crash"
            silent = not (folder / f"{case['case']}.txt").read_bytes()  # mypy has one code for both
            assert silent or code not in {*profile.success_exit_codes, *profile.findings_exit_codes}
