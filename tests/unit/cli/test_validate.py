import json
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from runner.cli.validate import validate
from runner.errors import ExitCode
from tests.conftest import GitRepo
from tests.unit.test_bundles import PLANS

DIAMOND = [
    {
        "id": f"ws-{name}",
        "openspec_change": "c",
        "files_scope": [f"src/{name}.py"],
        "tasks": ["x"],
        "acceptance_tests": ["true"],
        "depends_on": [f"ws-{need}" for need in needs],
    }
    for name, needs in {"base": "", "l": ["base"], "right": ["base"], "top": ["l", "right"]}.items()
]


def invoke(*args: str | Path) -> Result:
    app = typer.Typer()
    app.command()(validate)
    return CliRunner().invoke(app, [str(arg) for arg in args])


def diamond(folder: Path) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(DIAMOND))
    return path


def test_a_good_plan_is_shown_as_the_order_it_will_run_in(tmp_path: Path) -> None:
    result = invoke("--plan", diamond(tmp_path))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ws-base",
        "  ws-l      after ws-base",
        "  ws-right  after ws-base",
        "    ws-top    after ws-l, ws-right",
        "4 workstreams, 4 dependencies, critical path 3: ok",
    ]


def test_every_problem_is_a_line_and_the_exit_code_is_two() -> None:
    folder = PLANS / "bad/every-kind"
    result = invoke("--plan", folder)
    assert result.exit_code == ExitCode.USAGE
    expected = (folder / "expected.txt").read_text().splitlines()
    assert result.stdout.splitlines() == [*expected, "7 errors"]


def test_warnings_are_shown_and_counted_beside_the_verdict(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(DIAMOND[0] | {"acceptance_tests": []}))
    result = invoke("--plan", path)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "plan.json: $.acceptance_tests: warning: no acceptance tests: linters alone decide whether this is done",
        "ws-base",
        "1 workstream, 0 dependencies, critical path 1: ok, 1 warning",
    ]


def test_of_a_large_plan_the_beginning_is_shown(tmp_path: Path) -> None:
    row = [DIAMOND[0] | {"id": f"ws-{n}", "depends_on": [f"ws-{n - 1}"] if n else []} for n in range(103)]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(row))
    shown = invoke("--plan", path).stdout.splitlines()
    assert shown[99].split() == ["ws-99", "after", "ws-98"]
    assert shown[100:] == [
        "... and 3 more (--json has them all)",
        "103 workstreams, 102 dependencies, critical path 103: ok",
    ]


def test_json_has_the_workstreams_and_the_levels(tmp_path: Path) -> None:
    told = json.loads(invoke("--plan", diamond(tmp_path), "--json").stdout)
    assert told["ok"] is True
    assert told["problems"] == []
    assert told["levels"] == [["ws-base"], ["ws-l", "ws-right"], ["ws-top"]]
    assert told["workstreams"][3] == {
        "id": "ws-top",
        "branch": "ws/c/ws-top",
        "depends_on": ["ws-l", "ws-right"],
        "tasks": 1,
        "acceptance_tests": 1,
        "file": "plan.json",
    }


def test_json_has_the_problems_of_a_bad_plan() -> None:
    result = invoke("--plan", PLANS / "bad/broken-json", "--json")
    assert result.exit_code == ExitCode.USAGE
    assert json.loads(result.stdout) == {
        "ok": False,
        "problems": [
            {
                "file": "broken-json/plan.json",
                "path": "$",
                "line": 2,
                "column": 13,
                "severity": "error",
                "message": "is not JSON: Expecting value",
                "hint": "",
            }
        ],
        "workstreams": [],
        "levels": [],
    }


def test_the_plan_of_the_settings_is_the_default(git_repo: GitRepo) -> None:
    (git_repo.path / "workstreams").mkdir()
    diamond(git_repo.path / "workstreams")
    result = invoke("--repo", git_repo.path / "src")
    assert result.stdout.splitlines()[-1] == "4 workstreams, 4 dependencies, critical path 3: ok"
