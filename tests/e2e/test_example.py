"""The example of `runner demo`, as a newcomer runs it: everything a run promises, on one real run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.bundles import load_plan
from runner.core.model import RunId, RunStatus, WsId, WsStatus
from runner.core.plan import Plan
from runner.core.transitions import check_run, check_workstream
from runner.resources import resource
from tests.e2e.command import Ended, Target
from tests.e2e.conftest import MakeTarget

pytestmark = pytest.mark.e2e

AUTHOR = "Aider via runner <noreply@runner.invalid>"

# What each workstream's branch changes against its base.
CHANGED = {
    "ws-weeks": {"src/stint/periods.py"},
    "ws-rounding": {"src/stint/durations.py", "tests/unit/test_rounding.py"},
    "ws-week-totals": {"src/stint/totals.py", "src/stint/weekly.py"},
    "ws-missing-days": {"src/stint/gaps.py", "src/stint/settings.py"},
    "ws-week-command": {"src/stint/cli.py", "src/stint/week_view.py"},
    "ws-guest-guide": {"docs/für Gäste/Übersicht der Woche.md", "mkdocs.yml"},
    "ws-report-script": {"scripts/report.sh"},
}
STRAIGHT = ["edit ok", "static ok", "runtime ok"]
ATTEMPTS = dict.fromkeys(CHANGED, STRAIGHT) | {
    "ws-weeks": ["edit ok", "static ok", "runtime findings", "fix ok", "static ok", "runtime ok"],
    "ws-rounding": ["edit ok", "static findings", "fix ok", "static ok", "runtime ok"],
    "ws-missing-days": ["edit scope_violation", *STRAIGHT],
}
EVERY_WORKSTREAM = pytest.mark.parametrize("ws_id", CHANGED)


@dataclass(frozen=True)
class Example:
    target: Target
    ended: Ended
    summary: dict[str, Any]
    plan: Plan

    @property
    def run_id(self) -> str:
        return str(self.summary["run_id"])

    def branch(self, ws_id: str) -> str:
        return self.plan.by_id[WsId(ws_id)].branch

    def git(self, *args: str) -> str:
        return self.target.repo.git(*args)


@pytest.fixture(scope="module")
def example(make_target: MakeTarget) -> Example:
    target = make_target("example")
    ended = target.runner("demo", "--into", target.repo.path)
    plan = load_plan(resource("templates/example/workstreams"))
    return Example(target, ended, target.summary(), plan)


def test_it_ends_well_and_says_what_was_made_and_what_to_try_next(example: Example):
    assert example.ended.code == 0, example.ended.err
    assert "7 of 7 workstreams done" in example.ended.out
    assert "ws/weekly-report/ws-week-command" in example.ended.out
    assert f"To try next:\n  cd {example.target.repo.path}\n" in example.ended.out


def test_every_workstream_is_done(example: Example):
    assert example.summary["status"] == "completed"
    assert {ws_id: part["status"] for ws_id, part in example.summary["details"].items()} == dict.fromkeys(
        CHANGED, "done"
    )


@EVERY_WORKSTREAM
def test_the_attempts_are_those_that_the_script_leads_to(example: Example, ws_id: str):
    assert example.target.attempts(example.run_id, ws_id) == ATTEMPTS[ws_id]


@pytest.fixture(scope="module")
def checkouts(example: Example, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Each branch, checked out as its owner would."""
    folder = tmp_path_factory.mktemp("checkouts")
    places = {ws_id: folder / ws_id for ws_id in CHANGED}
    for ws_id, place in places.items():
        example.git("worktree", "add", "-q", "--detach", str(place), example.branch(ws_id))
    yield places
    for place in places.values():
        example.git("worktree", "remove", "--force", str(place))


@EVERY_WORKSTREAM
def test_a_branch_that_is_checked_out_by_hand_passes_its_acceptance_tests(
    example: Example, checkouts: dict[str, Path], ws_id: str
):
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # they take longer to load than the tests to run
    }
    for test in example.plan.by_id[WsId(ws_id)].acceptance_tests:
        done = subprocess.run(
            ["/bin/sh", "-c", test.command], cwd=checkouts[ws_id], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


@EVERY_WORKSTREAM
def test_a_branch_changes_only_files_of_its_scope(example: Example, ws_id: str):
    part = example.summary["details"][ws_id]
    changed = example.git("diff", "-z", "--name-only", part["base_commit"], example.branch(ws_id))
    assert set(filter(None, changed.split("\0"))) == CHANGED[ws_id]


@EVERY_WORKSTREAM
def test_modes_and_symlinks_stay_as_they_were(example: Example, ws_id: str):
    before, after = modes(example, "main"), modes(example, example.branch(ws_id))
    assert {path: after[path] for path in before} == before
    assert set(after.values()) == {"100644", "100755", "120000"}
    assert {after[path] for path in after.keys() - before.keys()} <= {"100644"}


def test_an_executable_that_was_edited_is_still_one(example: Example, checkouts: dict[str, Path]):
    script = checkouts["ws-report-script"] / "scripts" / "report.sh"
    assert script.read_text() != (example.target.repo.path / "scripts" / "report.sh").read_text()
    assert os.access(script, os.X_OK)


def test_line_ends_that_the_attributes_ask_for_are_kept(checkouts: dict[str, Path]):
    checkout = checkouts["ws-guest-guide"]
    assert b"\r\n" in (checkout / "scripts" / "report.bat").read_bytes()
    assert b"\r\n" in (checkout / "tests" / "data" / "may.csv").read_bytes()
    assert b"\r\n" not in (checkout / "docs" / "für Gäste" / "Übersicht der Woche.md").read_bytes()


@EVERY_WORKSTREAM
def test_each_accepted_change_is_one_commit_that_tells_where_it_comes_from(example: Example, ws_id: str):
    accepted = [word for word in ATTEMPTS[ws_id] if word in ("edit ok", "fix ok")]
    base = example.summary["details"][ws_id]["base_commit"]
    commits = example.git("rev-list", "--reverse", f"{base}..{example.branch(ws_id)}").splitlines()
    assert len(commits) == len(accepted)
    for commit, word in zip(commits, accepted, strict=True):
        step = word.split()[0]
        attempt = "2" if ws_id == "ws-missing-days" else "1"
        assert example.git("log", "-1", "--format=%an <%ae>", commit) == AUTHOR
        assert example.git("log", "-1", "--format=%(trailers:only,unfold)", commit).split("\n") == [
            f"Run-Id: {example.run_id}",
            f"Workstream: {ws_id}",
            f"Step: {step}",
            f"Attempt: {attempt}",
            "Model: scripted",
            "",
        ]


def test_a_workstream_starts_from_the_results_of_its_dependencies(example: Example):
    base = example.summary["details"]["ws-week-command"]["base_commit"]
    for dependency in ("ws-week-totals", "ws-missing-days", "ws-rounding"):
        example.git("merge-base", "--is-ancestor", example.branch(dependency), base)
    assert example.summary["details"]["ws-guest-guide"]["base_commit"] == example.git(
        "rev-parse", example.branch("ws-week-command")
    )


def test_the_target_is_as_clean_as_before(example: Example):
    assert example.git("status", "--porcelain", "--untracked-files=all") == ""
    assert example.git("rev-list", "--count", "main") == "1"
    assert example.git("symbolic-ref", "--short", "HEAD") == "main"


def test_nothing_but_the_branches_is_left(example: Example):
    target = example.target
    assert target.leftovers() == []
    assert target.refs() == ["refs/heads/main", *sorted(f"refs/heads/{example.branch(w)}" for w in CHANGED)]
    assert [place for place in target.worktrees() if ".runner" in place] == []
    assert list((target.state / "worktrees").iterdir()) == []


def test_every_state_was_reached_by_a_legal_move(example: Example):
    run, parts = RunStatus.PENDING, dict.fromkeys(CHANGED, WsStatus.PENDING)
    for event in example.target.events():
        if event["type"] != "state_transition":
            continue
        ws_id, old, new = event["ws_id"], event["payload"]["from"], event["payload"]["to"]
        if ws_id is None:
            assert old == run
            check_run(RunId(example.run_id), run, RunStatus(new), "test")
            run = RunStatus(new)
        else:
            assert old == parts[ws_id]
            check_workstream(WsId(ws_id), parts[ws_id], WsStatus(new), "test")
            parts[ws_id] = WsStatus(new)
    assert run is RunStatus.COMPLETED
    assert set(parts.values()) == {WsStatus.DONE}


def test_the_refused_edit_is_an_event_that_names_the_path(example: Example):
    [event] = [event for event in example.target.events() if event["type"] == "scope_violation"]
    assert event["ws_id"] == "ws-missing-days"
    assert [path["path"] for path in event["payload"]["paths"]] == [
        "tests/acceptance/weekly_report/test_missing_days.py"
    ]


def test_the_logs_have_the_documented_form(example: Example):
    lines = example.target.log(example.run_id, "run.jsonl")
    assert lines
    columns = ["timestamp", "level", "run_id", "ws_id", "step", "message", "context"]
    assert all(list(line) == columns for line in lines)
    for ws_id in CHANGED:
        own = [line for line in lines if line["ws_id"] == ws_id]
        assert example.target.log(example.run_id, f"{ws_id}.jsonl") == own


def test_what_every_tool_printed_is_kept(example: Example):
    logs = example.target.state / "logs" / example.run_id
    told = {
        event["payload"]["output"] for event in example.target.events() if event["type"] == "tool_finished"
    }
    kept = {path.relative_to(logs).as_posix() for path in (logs / "tool_outputs").iterdir()}
    assert told == kept
    assert "F821" in (logs / "tool_outputs" / "ws-rounding_static_1_ruff_001.log").read_text()


def test_reports_are_written_for_programs_and_for_people(example: Example):
    reports = example.target.state / "reports"
    written = (reports / f"{example.run_id}_summary.json").read_text()
    assert written == (example.target.state / "logs" / example.run_id / "summary.json").read_text()
    assert written == example.target.runner("show-run", "--json").out
    for_people = (reports / f"{example.run_id}_summary.md").read_text()
    assert for_people.startswith(f"# Run {example.run_id}: completed\n")
    assert all(f"`{example.branch(ws_id)}` at `" in for_people for ws_id in CHANGED)


def test_a_run_can_be_listed_and_looked_at_for_programs(example: Example):
    target = example.target
    [run] = target.runner("runs", "--json").json
    assert (run["run_id"], run["status"], run["workstreams"]) == (example.run_id, "completed", {"done": 7})
    errors = {
        error["signature"].split("::")[0]: error["workstreams"]
        for error in target.runner("show-errors", "--json").json
    }
    assert errors == {"ruff": ["ws-rounding"], "pytest": ["ws-weeks"], "edit": ["ws-missing-days"]}
    assert len(target.runner("show-events", "--json", "--limit", "3").json) == 3
    lines = target.runner("logs", "--ws", "ws-weeks", "--json").out
    assert lines == (target.state / "logs" / example.run_id / "ws-weeks.jsonl").read_text()


def test_a_run_can_be_looked_at_by_people(example: Example):
    target = example.target
    assert "fix ok attempt=1 text=changed 1 file(s)" in target.runner("logs", "--ws", "ws-weeks").out
    assert (
        "\tws-missing-days\tscope_violation\t"
        in target.runner("show-events", "--type", "scope_violation").out
    )
    assert "\tLINT_ERROR\tws-rounding\t" in target.runner("show-errors").out
    assert target.runner("show-run", example.run_id[-6:]).out.startswith(f"Run {example.run_id}: completed\n")
    assert f"{example.run_id}\tcompleted\t7/7\t" in target.runner("runs").out


def test_the_same_plan_cannot_be_run_over_its_branches(example: Example):
    script = resource("templates/example/script.toml")
    refused = example.target.runner("run", "--script", script)
    assert refused.code == 2
    assert refused.err.startswith("error: 7 branch(es) of the plan exist already\n")


def test_the_example_is_not_laid_over_a_folder_that_exists(example: Example):
    refused = example.target.runner("demo", "--into", example.target.repo.path)
    assert (refused.code, refused.err) == (
        2,
        f"error: {example.target.repo.path} exists already\nhint: Name a folder that does not exist.\n",
    )


def modes(example: Example, commit: str) -> dict[str, str]:
    listed = example.git("ls-tree", "-r", "-z", commit).split("\0")
    return {entry.split("\t", 1)[1]: entry.split(" ", 1)[0] for entry in filter(None, listed)}
