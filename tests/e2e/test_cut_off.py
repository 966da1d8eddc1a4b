"""Runs that are cut off: by ^C, and by a SIGKILL that nobody can prepare for. And what can be done about them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.e2e.command import Ended, Target, eventually
from tests.e2e.conftest import MakeTarget
from tests.e2e.plans import given

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

AT_WORK = "ws-second | edit 1: aider"


@dataclass(frozen=True)
class CutOff:
    target: Target
    refused: Ended  # a second run, started meanwhile
    meanwhile: list[dict[str, Any]]  # what `runner runs` listed while the run was at work
    ended: Ended  # the run itself
    leftovers: list[str]
    running: list[str]  # containers, some seconds later
    another: Ended  # a run that was started afterwards
    recover: Ended
    recover_json: Ended
    resumed: Ended
    followed: Ended  # `runner logs --follow`, started while the run was at work

    @property
    def run_id(self) -> str:
        return str(self.meanwhile[0]["run_id"])

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.target.events(self.run_id) if event["type"] == kind]


def cut_off(target: Target, signals: Sequence[signal.Signals], *, grace_s: float) -> CutOff:
    """A run whose model does not answer is cut off; then its model does, and it is resumed."""
    patience = {"RUNNER_RUN__GRACE_S": str(grace_s)}
    hanging = target.start("run", *given(target, ["first", "second"], delay_s=600), **patience)
    hanging.wait_for(AT_WORK)
    assert eventually(lambda: len(target.containers(running=True)) == 2, within_s=30)
    meanwhile = target.runner("runs", "--json").json
    following = target.start("logs", "--follow")
    refused = target.runner("run", *given(target, ["third"]))
    for number in signals[:-1]:
        hanging.process.send_signal(number)
        hanging.wait_for("Nothing new is started")
    ended = hanging.signal(signals[-1])
    leftovers = target.leftovers()
    eventually(lambda: not target.containers(running=True), within_s=10)
    running = target.containers(running=True)
    another = target.runner("run", *given(target, ["third"]))
    recover, recover_json = target.runner("recover"), target.runner("recover", "--json")
    given(target, ["first", "second"])
    resumed = target.runner("resume")
    return CutOff(
        target=target,
        refused=refused,
        meanwhile=meanwhile,
        ended=ended,
        leftovers=leftovers,
        running=running,
        another=another,
        recover=recover,
        recover_json=recover_json,
        resumed=resumed,
        followed=following.end(),
    )


@pytest.fixture(scope="module")
def cut_off_by(make_repository: MakeTarget) -> Callable[[str], CutOff]:
    """By these signals: with a single ^C there is little grace, with a second one very much."""

    @cache
    def make(names: str) -> CutOff:
        signals = [signal.Signals[f"SIG{name}"] for name in names.split()]
        return cut_off(
            make_repository(names.replace(" ", "-")), signals, grace_s=1 if names == "INT" else 500
        )

    return make


@pytest.fixture(params=["INT", "TERM TERM"])
def interrupted(request: pytest.FixtureRequest, cut_off_by: Callable[[str], CutOff]) -> CutOff:
    return cut_off_by(request.param)


@pytest.fixture
def killed(cut_off_by: Callable[[str], CutOff]) -> CutOff:
    return cut_off_by("KILL")


@pytest.fixture(params=["INT", "TERM TERM", "KILL"])
def cut(request: pytest.FixtureRequest, cut_off_by: Callable[[str], CutOff]) -> CutOff:
    return cut_off_by(request.param)


def test_a_second_run_in_the_same_repository_is_refused(interrupted: CutOff):
    assert (interrupted.refused.code, interrupted.refused.out) == (4, "")
    assert interrupted.refused.err == (
        "error: Another run is at work in this repository\n"
        f"  It holds {interrupted.target.state}/state/lock.\n"
        "hint: Watch it with `runner logs --follow`, or wait for its end.\n"
    )


def test_a_run_that_is_at_work_can_be_looked_at(interrupted: CutOff):
    [run] = interrupted.meanwhile
    assert (run["status"], run["workstreams"]) == ("running", {"editing": 2})


def test_an_interrupted_run_exits_with_130_says_how_to_go_on_and_leaves_nothing_running(interrupted: CutOff):
    assert interrupted.ended.code == 130, interrupted.ended.err
    assert "Traceback" not in interrupted.ended.err
    assert interrupted.ended.err.endswith(f"Stopped, and saved. Go on: runner resume {interrupted.run_id}\n")
    assert interrupted.leftovers == []


def test_an_interrupted_run_is_still_running_for_the_record(interrupted: CutOff):
    assert f"Run {interrupted.run_id}: running" in interrupted.ended.out
    assert (interrupted.target.state / "reports" / f"{interrupted.run_id}_summary.md").exists()
    [told] = interrupted.events("run_interrupted")
    assert told["payload"] == {"workstreams": ["ws-first", "ws-second"]}


def test_after_a_cut_off_run_another_is_refused_and_points_at_resume(cut: CutOff):
    assert (cut.another.code, cut.another.out) == (2, "")
    assert cut.another.err.startswith("error: A run in this repository was cut off, and is not done\n")
    assert (
        f"hint: Go on with it: runner resume {cut.run_id}. Or give it up: runner abandon" in cut.another.err
    )


def test_what_was_going_on_is_shown(cut: CutOff):
    assert cut.recover.code == 0, cut.recover.err
    killed = cut.ended.code == -signal.SIGKILL
    told = "was killed" if killed else "was stopped by its user"
    assert cut.recover.out.startswith(f"Run {cut.run_id} {told}")
    assert "ws-first: edit attempt 1, begun at" in cut.recover.out
    [listed] = cut.recover_json.json
    assert listed["killed"] == killed
    assert listed["workstreams"] == {"ws-first": "editing", "ws-second": "editing"}


def test_a_cut_off_run_that_is_resumed_comes_to_its_end(cut: CutOff):
    assert cut.resumed.code == 0, cut.resumed.err
    assert [run["run_id"] for run in cut.target.runner("runs", "--json").json] == [cut.run_id]
    assert cut.target.repo.git("cat-file", "-p", "ws/try/ws-first:first.txt") == "done"
    assert cut.target.attempts(cut.run_id, "ws-first") == ["edit ok", "static ok", "runtime ok"]
    [resume] = cut.events("resume_initiated")
    assert resume["payload"] == {"attempts": ["ws-first/edit#1", "ws-second/edit#1"]}
    assert cut.target.leftovers() == []
    assert cut.target.worktrees() == []


def test_a_log_that_is_followed_goes_on_over_the_cut_to_the_end_of_its_run(interrupted: CutOff):
    assert interrupted.followed.code == 0, interrupted.followed.err
    assert "ws-second/edit tool_started attempt=1 tool=aider\n" in interrupted.followed.out


def test_sandboxes_die_with_an_orchestrator_that_is_killed(killed: CutOff):
    assert killed.ended.code == -signal.SIGKILL
    assert len([name for name in killed.leftovers if "-ws-first-edit-1" in name]) > 0
    assert killed.running == []


def test_a_crash_is_on_the_audit_trail_with_what_it_hit(killed: CutOff):
    [crash] = killed.events("crash_detected")
    assert crash["payload"]["workstreams"] == ["ws-first", "ws-second"]
    assert crash["payload"]["attempts"] == ["ws-first/edit#1", "ws-second/edit#1"]


# Nobody looks any more


def test_a_run_whose_terminal_is_closed_gets_its_grace_and_is_saved(target: Target):
    ours, terminal = os.openpty()
    command = [sys.executable, "-m", "runner", "run", *map(str, given(target, ["first"], delay_s=600))]
    run = subprocess.Popen(
        ["setsid", "--ctty", *command],
        cwd=target.folder,
        env={**target.env, "RUNNER_RUN__GRACE_S": "1"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    assert eventually(lambda: len(target.containers(running=True)) == 1, within_s=60)
    os.close(ours)
    assert run.wait(60) == 130
    assert "was stopped by its user" in target.runner("recover").out
    assert target.leftovers() == []


def test_a_run_that_nobody_reads_ends_as_any_other(target: Target):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "runner", "run", *map(str, given(target, ["first"]))]
    done = subprocess.run(command, cwd=target.folder, env=target.env, stdout=write, stderr=write, timeout=240)
    os.close(write)
    assert done.returncode == 0
    assert target.summary()["status"] == "completed"


# Giving up, and taking back


@pytest.fixture
def half_done(target: Target) -> Target:
    """A run of which one workstream is done, and one was cut off while its fix hung."""
    options = given(target, ["first", "second"])
    script = target.repo.path.parent / "script.toml"
    script.write_text(
        script.read_text().replace('workstream = "ws-second"', 'workstream = "ws-second"\ndelay_s = 600')
    )
    run = target.start("run", *options)
    run.wait_for("ws-first  | done")
    run.signal(signal.SIGKILL)
    return target


def test_a_run_that_is_abandoned_keeps_what_is_done_and_makes_way(half_done: Target):
    given_up = half_done.runner("abandon")
    assert given_up.code == 0, given_up.err
    assert "refs/heads/ws/try/ws-first" in half_done.refs()
    shown = half_done.summary()
    assert {ws_id: part["status"] for ws_id, part in shown["details"].items()} == {
        "ws-first": "done",
        "ws-second": "abandoned",
    }
    assert shown["status"] == "abandoned"
    assert half_done.worktrees() == []
    assert half_done.containers() == []
    assert half_done.runner("run", *given(half_done, ["third"])).code == 0


def test_a_run_that_is_rolled_back_leaves_its_branches_as_they_were(half_done: Target):
    made = half_done.repo.git("rev-parse", "ws/try/ws-first")
    undone = half_done.runner("rollback")
    assert undone.code == 0, undone.err
    assert "  ws/try/ws-first is removed\n" in undone.out
    run_id = half_done.summary()["run_id"]
    assert [ref for ref in half_done.refs() if ref != "refs/heads/main"] == [
        f"refs/runner/salvage/{run_id}/ws-first"
    ]
    assert half_done.repo.git("rev-parse", f"refs/runner/salvage/{run_id}/ws-first") == made
    assert half_done.summary()["status"] == "abandoned"
    assert half_done.worktrees() == []


def test_a_run_that_is_half_rolled_back_cannot_be_resumed_but_rolled_back_again(half_done: Target):
    run_id = half_done.summary()["run_id"]
    lock = half_done.repo.path / ".git" / "refs" / "heads" / "ws" / "try" / "ws-first.lock"
    lock.touch()
    assert half_done.runner("rollback").code == 4
    assert half_done.runner("resume", run_id).code == 2
    lock.unlink()
    assert half_done.runner("rollback").code == 0
    assert "refs/heads/ws/try/ws-first" not in half_done.refs()
    assert half_done.worktrees() == []


def test_rolling_back_leaves_a_branch_alone_that_somebody_moved(half_done: Target):
    half_done.repo.git("branch", "-f", "ws/try/ws-first", "main")
    undone = half_done.runner("rollback")
    assert undone.code == 1, undone.err
    assert "  ws/try/ws-first was moved or removed by someone else since: left as it is\n" in undone.out
    assert half_done.repo.git("rev-parse", "ws/try/ws-first") == half_done.repo.git("rev-parse", "main")


def test_what_has_ended_cannot_be_resumed(target: Target):
    assert target.runner("run", *given(target, ["first"])).code == 0
    for command in (["resume"], ["abandon"]):
        refused = target.runner(*command)
        assert (refused.code, refused.err) == (
            2,
            "error: No run was cut off here\nhint: Start one: runner run\n",
        )
    assert target.runner("recover").out == "No run was cut off. There is nothing to recover.\n"
