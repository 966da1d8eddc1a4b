"""Commands that start nothing: what they print, for people and for programs."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import GitRepo
from tests.e2e.command import Target
from tests.e2e.plans import given, workstream, write_plan

pytestmark = pytest.mark.e2e

Prepare = Callable[[GitRepo], object]


@pytest.mark.parametrize(
    ("prepare", "options", "told"),
    [
        (lambda repo: repo.git("checkout", "-q", "--detach"), [], "(detached)"),
        (lambda repo: (repo.path / "README.md").write_text("x\n"), ["--allow-dirty"], "(main)"),
        (lambda repo: (repo.path / "new.txt").write_text("x\n"), [], "(main)"),
    ],
    ids=["a detached HEAD", "changes with --allow-dirty", "untracked files"],
)
def test_what_would_be_run_is_shown(target: Target, prepare: Prepare, options: list[str], told: str):
    prepare(target.repo)
    at = target.repo.git("rev-parse", "HEAD")[:12]
    ended = target.runner("run", *given(target, ["a"]), "--dry-run", *options)
    assert (ended.code, ended.err) == (0, "")
    assert f"from {at} {told}\n" in ended.out
    assert target.runner("runs", "--json").json == []


def test_what_would_be_run_is_shown_for_programs(target: Target):
    shown = target.runner("run", *given(target, ["a", "b"]), "--dry-run", "--json").json
    assert shown["levels"] == [["ws-a", "ws-b"]]
    assert shown["branches"] == ["ws/try/ws-a", "ws/try/ws-b"]


def test_a_plan_is_checked_for_programs(target: Target):
    plan = write_plan(target, workstream("a"), workstream("b", depends_on=["ws-a", "ws-c"]))
    ended = target.runner("validate", "--plan", plan, "--json")
    assert ended.code == 2
    assert [problem["path"] for problem in ended.json["problems"]] == ["$[1].depends_on[1]"]


def test_the_machine_is_examined_for_programs(target: Target):
    ended = target.runner("doctor", "--json")
    verdicts = {check["name"]: check["ok"] for check in ended.json}
    assert ended.code == 4
    assert verdicts == {
        "git": True, "disk": True, "engine": True, "image": True, "sandbox": True, "model": False,
    }  # fmt: skip
    assert target.leftovers() == []


def test_the_version_is_told_before_anything_heavy_is_imported(target: Target):
    lists = "import sys, runner.__main__ as m; m.main(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", lists, "--version"], capture_output=True, text=True, check=True
    )
    version, modules = done.stdout.splitlines()
    assert version.startswith("runner 0.")
    heavy = {"typer", "click", "rich", "docker", "sqlalchemy", "pydantic", "httpx", "jinja2", "asyncio"}
    assert heavy.isdisjoint(modules.split())
