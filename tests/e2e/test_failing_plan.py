"""The other ends: breakers trip, what depends on a failed workstream is blocked, and nothing is lost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GitRepo
from tests.e2e.command import Ended, Target
from tests.e2e.conftest import MakeTarget

pytestmark = pytest.mark.e2e

FAILED = pytest.mark.parametrize("ws_id", ["ws-money", "ws-tag-spelling"])


@dataclass(frozen=True)
class Failing:
    target: Target
    ended: Ended
    summary: dict[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.summary["run_id"])

    def part(self, ws_id: str) -> dict[str, Any]:
        part: dict[str, Any] = self.summary["details"][ws_id]
        return part

    def payloads(self, kind: str) -> dict[str, dict[str, Any]]:
        return {event["ws_id"]: event["payload"] for event in self.target.events() if event["type"] == kind}

    def worktree(self, ws_id: str) -> Path:
        return self.target.state / "worktrees" / self.run_id / ws_id


@pytest.fixture(scope="module")
def failing(make_target: MakeTarget) -> Failing:
    target = make_target("failing")
    ended = target.runner("demo", "--failing", "--into", target.repo.path)
    return Failing(target, ended, target.summary())


def test_a_run_with_failures_exits_with_1(failing: Failing):
    assert failing.ended.code == 1, failing.ended.err
    assert failing.summary["status"] == "partial"
    assert {ws_id: part["status"] for ws_id, part in failing.summary["details"].items()} == {
        "ws-money": "failed",
        "ws-tag-spelling": "failed",
        "ws-invoice-lines": "blocked",
        "ws-invoice-readme": "blocked",
        "ws-empty-log": "done",
    }


def test_a_fault_that_comes_back_trips_a_breaker_that_says_its_numbers(failing: Failing):
    told = failing.payloads("circuit_breaker_tripped")["ws-money"]
    assert (told["breaker"], told["count"], told["limit"]) == ("error_repeats", 3, 3)
    assert told["checks"] == ["static attempt 1", "static attempt 2", "static attempt 3"]
    assert told["message"] == failing.part("ws-money")["reason"]


def test_going_back_and_forth_trips_a_breaker_that_names_the_tree(failing: Failing):
    told = failing.payloads("circuit_breaker_tripped")["ws-tag-spelling"]
    assert (told["breaker"], told["count"], told["limit"]) == ("oscillation", 2, 2)
    assert told["attempts"] == ["edit attempt 1", "fix attempt 2"]
    commit = failing.part("ws-tag-spelling")["commit"]
    assert told["tree"] == failing.target.repo.git("rev-parse", f"{commit}^{{tree}}")


def test_dependants_are_blocked_and_never_start(failing: Failing):
    blocked = failing.payloads("dependency_blocked")
    assert {ws_id: told["dependency"] for ws_id, told in blocked.items()} == {
        "ws-invoice-lines": "ws-money",
        "ws-invoice-readme": "ws-money",
    }
    started = failing.payloads("tool_started")
    assert started.keys() == {"ws-money", "ws-tag-spelling", "ws-empty-log"}


def test_the_report_and_the_screen_say_why(failing: Failing):
    report = (failing.target.state / "reports" / f"{failing.run_id}_summary.md").read_text()
    for text in (report, failing.ended.out):
        assert "return-value in src/stint/money.py was found by 3 checks (3 allowed)" in text
        assert "fix attempt 2 gives the tree of edit attempt 1" in text
        assert text.count("it depends on ws-money, which is failed") == 2
        assert str(failing.worktree("ws-money")) in text


@FAILED
def test_a_failed_worktree_is_kept_as_its_last_candidate(failing: Failing, ws_id: str):
    worktree = failing.worktree(ws_id)
    git = GitRepo(worktree).git
    assert git("rev-parse", "HEAD") == failing.part(ws_id)["commit"]
    assert git("status", "--porcelain") == ""


@FAILED
def test_a_failed_candidate_is_saved_under_a_reference(failing: Failing, ws_id: str):
    saved = f"refs/runner/salvage/{failing.run_id}/{ws_id}"
    assert failing.target.repo.git("rev-parse", saved) == failing.part(ws_id)["commit"]


def test_only_the_result_that_was_verified_is_on_a_branch(failing: Failing):
    heads = [ref for ref in failing.target.refs() if ref.startswith("refs/heads/")]
    assert heads == ["refs/heads/main", "refs/heads/ws/first-invoice/ws-empty-log"]
    assert failing.target.repo.git("status", "--porcelain", "--untracked-files=all") == ""


def test_nothing_runs_on_and_only_what_is_worth_a_look_is_left(failing: Failing):
    assert failing.target.leftovers() == []
    kept = [str(failing.worktree(ws_id)) for ws_id in ("ws-money", "ws-tag-spelling")]
    assert failing.target.worktrees() == kept


def test_the_errors_can_be_asked_for(failing: Failing):
    errors = failing.target.runner("show-errors", "--ws", "ws-money", "--json").json
    assert [(error["code"], error["count"]) for error in errors] == [("LINT_ERROR", 3)]
