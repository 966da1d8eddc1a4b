"""The example of `runner demo`, as far as it goes without an engine: its repository, plans and answers."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.bundles import load_plan
from runner.core.graph import topological_order
from runner.core.model import Bundle, WsId
from runner.core.plan import Plan
from runner.core.scope import Scope
from runner.gateway.script import load_script
from runner.resources import resource

EXAMPLE = resource("templates/example")
FAILING = EXAMPLE / "failing"
PLANS = pytest.mark.parametrize("folder", [EXAMPLE, FAILING], ids=["weekly-report", "first-invoice"])
EDIT = re.compile(
    r"^([^\n]+)\n```\w+\n<<<<<<< SEARCH\n(.*?)=======\n(.*?)>>>>>>> REPLACE\n```$", re.MULTILINE | re.DOTALL
)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    target = tmp_path / "stint"
    shutil.copytree(EXAMPLE / "repo", target)
    links = json.loads((EXAMPLE / "links.json").read_text())
    for link, goal in links["symlinks"].items():
        (target / link).symlink_to(goal)
    for name in links["executables"]:
        (target / name).chmod(0o755)
    return target


def test_the_plan_is_a_diamond_with_two_more_that_build_on_it():
    assert plan_of(EXAMPLE).graph == {
        "ws-weeks": (),
        "ws-rounding": (),
        "ws-week-totals": ("ws-weeks",),
        "ws-missing-days": ("ws-weeks",),
        "ws-week-command": ("ws-week-totals", "ws-missing-days", "ws-rounding"),
        "ws-guest-guide": ("ws-week-command",),
        "ws-report-script": ("ws-week-command",),
    }


def test_the_failing_plan_has_a_chain_to_block():
    graph = plan_of(FAILING).graph

    assert graph[WsId("ws-invoice-lines")] == ("ws-money",)
    assert graph[WsId("ws-invoice-readme")] == ("ws-invoice-lines",)


@PLANS
def test_every_answer_belongs_to_a_workstream_of_its_plan(folder):
    assert {answer.workstream for answer in load_script(folder / "script.toml").answers} <= set(
        plan_of(folder).by_id
    )


def test_every_workstream_of_the_plan_has_an_answer():
    assert all(answers(EXAMPLE, bundle.id) for bundle in plan_of(EXAMPLE))


def test_one_answer_leaves_its_scope(repo):
    outside = [
        (bundle.id, number, path)
        for bundle in plan_of(EXAMPLE)
        for number, answer in enumerate(answers(EXAMPLE, bundle.id), start=1)
        for path in paths_outside(bundle, answer, repo)
    ]

    assert outside == [("ws-missing-days", 1, "tests/acceptance/weekly_report/test_missing_days.py")]


def test_the_repository_passes_its_own_tests(repo):
    assert passes(["python", "-m", "pytest", "-q"], repo)


@PLANS
def test_no_workstream_is_done_before_the_work(folder, repo):
    passing = [bundle.id for bundle in plan_of(folder) if accepted(bundle, repo)]

    assert passing == []


def test_the_last_answers_make_every_acceptance_test_pass(repo):
    plan = plan_of(EXAMPLE)
    for ws_id in topological_order(plan.graph):
        for answer in answers(EXAMPLE, ws_id):
            if not paths_outside(plan.by_id[ws_id], answer, repo):
                apply(answer, repo)

    assert passes(["python", "-m", "pytest", "-q", "tests/unit", "tests/acceptance/weekly_report"], repo)


def test_the_first_answer_of_weeks_forgets_the_last_day(repo):
    apply(answers(EXAMPLE, "ws-weeks")[0], repo)

    assert not accepted(plan_of(EXAMPLE).by_id[WsId("ws-weeks")], repo)


def test_the_first_answer_of_rounding_fails_ruff(repo):
    first, second = answers(EXAMPLE, "ws-rounding")
    ruff = ["python", "-m", "ruff", "check", "--no-cache", "src"]

    assert passes(ruff, repo)
    apply(first, repo)
    assert "F821" in run(ruff, repo).stdout
    apply(second, repo)
    assert passes(ruff, repo)


def test_the_answers_for_money_repeat_one_fault(repo):
    complaints = []
    for answer in answers(FAILING, "ws-money"):
        apply(answer, repo)
        done = run(["python", "-m", "mypy", "--no-error-summary", "src/stint/money.py"], repo)
        complaints.append(re.sub(r":\d+:", "", done.stdout))

    assert len(complaints) == 5
    assert set(complaints) == {
        'src/stint/money.py error: Incompatible return value type (got "float", expected "int")  [return-value]\n'
    }


def test_the_answers_for_tag_spelling_alternate_between_two_texts(repo):
    texts = []
    for answer in answers(FAILING, "ws-tag-spelling"):
        apply(answer, repo)
        texts.append((repo / "src/stint/totals.py").read_text())

    assert len(set(texts)) == 2
    assert all(text == later for text, later in zip(texts, texts[2:], strict=False))


def plan_of(folder: Path) -> Plan:
    return load_plan(folder / "workstreams")


def answers(folder: Path, ws_id: str) -> list[str]:
    script = load_script(folder / "script.toml")
    return [answer.content or "" for answer in script.answers if answer.workstream == ws_id]


def paths_outside(bundle: Bundle, answer: str, repo: Path) -> list[str]:
    scope = Scope(bundle.files_scope, bundle.files_create)
    paths = [path for path, _, _ in EDIT.findall(answer)]
    return [path for path in paths if scope.judge(path, existed_at_base=(repo / path).exists())]


def apply(answer: str, repo: Path) -> None:
    """Make the edits of an answer: each text to search stands in its file once, or the file is new."""
    edits = EDIT.findall(answer)
    assert edits
    for path, old, new in edits:
        file = repo / path
        text = file.read_text() if file.exists() else ""
        assert text.count(old) == 1, f"{path}: {old}"
        file.write_text(text.replace(old, new))


def accepted(bundle: Bundle, repo: Path) -> bool:
    return all(passes(shlex.split(test.command), repo) for test in bundle.acceptance_tests)


def passes(command: Sequence[str], repo: Path) -> bool:
    return run(command, repo).returncode == 0


def run(command: Sequence[str], repo: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that begins with `python` with our own interpreter."""
    assert command[0] == "python"
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer to load than the tests to run
    }
    return subprocess.run(
        [sys.executable, *command[1:]], cwd=repo, env=environment, capture_output=True, text=True
    )
