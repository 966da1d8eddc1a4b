"""Every end is typed: one plan in which each workstream meets something else, run once."""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command import Ended, Target
from tests.e2e.conftest import MakeTarget
from tests.e2e.plans import answer, edit, note, workstream, write_plan, write_script

pytestmark = pytest.mark.e2e

ONE_CHANCE = {"max_attempts": 1, "max_error_repeats": 1}
ODD = 'Ordner mit Ä/zwei  Wörter \'n "mehr".txt'  # spaces, quotes, letters beyond ASCII
SLEEPER = '{"sleeper": {"type": "static_check", "command": "sleep", "args": ["600"], "timeout_sec": 2}}'


@dataclass(frozen=True)
class Ends:
    target: Target
    ended: Ended
    summary: dict[str, Any]

    def part(self, name: str) -> dict[str, Any]:
        part: dict[str, Any] = self.summary["details"][f"ws-{name}"]
        return part

    def attempts(self, name: str) -> list[str]:
        return self.target.attempts(self.summary["run_id"], f"ws-{name}")

    def finding(self, name: str) -> dict[str, Any]:
        [finding] = self.part(name)["last_attempt"]["findings"]
        assert isinstance(finding, dict)
        return finding

    def tool_events(self, name: str) -> list[str]:
        events = [event["type"] for event in self.target.events() if event["ws_id"] == f"ws-{name}"]
        return [kind for kind in events if kind.startswith("tool_") and kind != "tool_started"]


@pytest.fixture(scope="module")
def ends(make_repository: MakeTarget) -> Ends:
    target = make_repository("ends")
    _lay_odd_files(target)
    profiles = target.repo.path.parent / "profiles.json"
    profiles.write_text(SLEEPER)
    names = ("down", "idle", "hang", "lint", "flood", "bytes")
    special: dict[str, dict[str, Any]] = {
        "hang": {"acceptance_tests": ["echo waiting; sleep 600"], "timeouts": {"runtime_sec": 3}},
        "lint": {"tools": ["sleeper"]},
        "flood": {"acceptance_tests": ["echo first; head -c 1000000000 /dev/zero"]},
        "bytes": {"acceptance_tests": [r"printf 'caf\351 \377\376 \033[31mred\033[0m\n'; exit 3"]},
    }
    odd = workstream(
        "odd", files_scope=["Ordner mit Ä/"], acceptance_tests=[f"grep -q two {shlex.quote(ODD)}"]
    )
    plan = [
        odd,
        *(workstream(name, circuit_breaker=ONE_CHANCE, **special.get(name, {})) for name in names),
    ]
    script = [
        answer("odd", content=edit(ODD, "two\n", "one\n")),
        answer("down", status=500, times=99),
        answer("idle", content="I would rather talk about it first."),
        *(note(name) for name in names[2:]),
    ]
    ended = target.runner(
        "run", "--json", "--parallel", "4",
        "--plan", write_plan(target, *plan), "--script", write_script(target, *script),
        RUNNER_RUN__INFRA_RETRIES="1", RUNNER_PATHS__TOOL_PROFILES=str(profiles),
    )  # fmt: skip
    return Ends(target, ended, target.summary())


def test_the_run_ends_and_nothing_of_it_runs_on(ends: Ends):
    assert ends.ended.code == 1, ends.ended.err
    assert ends.target.leftovers() == []
    assert ends.target.repo.git("status", "--porcelain") == ""


def test_with_json_the_summary_is_all_that_is_printed(ends: Ends):
    assert ends.ended.json["run_id"] == ends.summary["run_id"]
    assert ends.ended.json["workstreams"] == ends.summary["workstreams"]
    assert ends.ended.err == f"Run {ends.summary['run_id']}\n"


def test_a_model_that_fails_again_and_again_ends_the_workstream_after_few_retries(ends: Ends):
    assert ends.attempts("down") == ["edit api_error", "edit api_error"]
    assert ends.part("down")["reason"] == (
        "edit could not be carried out, 2 times in a row (retries allowed: 1); at last api_error: "
        "the model's endpoint failed (HTTP 500): the script answers HTTP 500"
    )


def test_an_agent_that_changes_nothing_is_not_a_success(ends: Ends):
    assert ends.attempts("idle") == ["edit no_change"]
    assert ends.part("idle")["status"] == "failed"
    assert "1 of 1 edit attempts are used up" in ends.part("idle")["reason"]


def test_an_acceptance_test_that_hangs_is_killed_at_its_deadline(ends: Ends):
    assert ends.attempts("hang") == ["edit ok", "static ok", "runtime timeout"]
    assert ends.tool_events("hang") == ["tool_finished", "tool_timeout"]
    assert ends.finding("hang")["message"].splitlines()[-1] == "waiting"
    assert ends.part("hang")["last_attempt"]["outcome"] == "timeout"


def test_a_linter_that_hangs_is_killed_at_its_deadline(ends: Ends):
    assert ends.attempts("lint") == ["edit ok", "static timeout"]
    assert ends.finding("lint")["tool"] == "sleeper"


def test_a_gigabyte_of_output_is_cut_off_and_little_of_it_is_kept(ends: Ends):
    assert ends.attempts("flood") == ["edit ok", "static ok", "runtime output_limit"]
    assert ends.tool_events("flood") == ["tool_finished", "tool_failed"]
    [output] = ends.part("flood")["last_attempt"]["outputs"]
    kept = (ends.target.state / "logs" / ends.summary["run_id"] / output).read_bytes()
    assert kept.startswith(b"--- stdout ---\nfirst\n")
    assert b" bytes dropped ...]" in kept
    assert len(kept) < 6_000_000
    assert len(ends.ended.out) < 200_000


def test_bytes_that_are_no_text_are_replaced_where_a_person_reads(ends: Ends):
    assert ends.attempts("bytes") == ["edit ok", "static ok", "runtime findings"]
    assert "caf\ufffd \ufffd\ufffd" in ends.finding("bytes")["message"]
    report = ends.target.state / "reports" / f"{ends.summary['run_id']}_summary.md"
    assert "caf\ufffd \ufffd\ufffd red\n" in report.read_text()
    assert "\x1b" not in report.read_text() + ends.target.runner("show-run").out


def test_odd_names_line_ends_modes_and_links_survive(ends: Ends):
    assert ends.attempts("odd") == ["edit ok", "static ok", "runtime ok"]
    target, branch = ends.target.repo, "ws/try/ws-odd"
    assert target.git("diff", "-z", "--name-only", "main", branch) == f"{ODD}\0"
    assert blob(target.path, f"{branch}:{ODD}") == b"two\r\nzwei\r\n"
    before, after = (target.git("ls-tree", "-r", commit).splitlines() for commit in ("main", branch))
    assert [line.split()[0] for line in after] == [line.split()[0] for line in before]
    assert sorted(line.split()[0] for line in after) == ["100644", "100644", "100755", "120000"]


def test_those_that_did_not_get_there_are_all_given_up_for_a_reason(ends: Ends):
    parts = ends.summary["details"].values()
    assert {part["ws_id"] for part in parts if part["status"] == "done"} == {"ws-odd"}
    assert all(part["reason"] for part in parts if part["status"] == "failed")
    kept = {Path(place).name for place in ends.target.worktrees()}
    assert kept == {"ws-down", "ws-idle", "ws-hang", "ws-lint", "ws-flood", "ws-bytes"}


def blob(repo: Path, name: str) -> bytes:
    return subprocess.run(["git", "cat-file", "blob", name], cwd=repo, capture_output=True, check=True).stdout


def _lay_odd_files(target: Target) -> None:
    """A file with line ends of its own, which is executable, and a link to it."""
    path = target.repo.path / ODD
    path.parent.mkdir()
    path.write_bytes(b"one\r\nzwei\r\n")
    path.chmod(0o755)
    (path.parent / "link").symlink_to(path.name)
    target.repo.commit({".gitattributes": "* text=auto\nOrdner*/** -text\n"}, "Odd files")
