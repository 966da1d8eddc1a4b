"""Runs that are cut off: by ^C, and by a SIGKILL that nobody can prepare for."""

import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.command import Ended, Target, eventually
from tests.e2e.conftest import MakeTarget
from tests.e2e.plans import given

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

AT_WORK = "ws-second | edit 1: aider"
BOTH = {"ws-first": "abandoned", "ws-second": "abandoned"}


@dataclass(frozen=True)
class CutOff:
    target: Target
    refused: Ended  # a second run, started meanwhile
    meanwhile: list[dict[str, Any]]  # what `runner runs` listed while the run was at work
    ended: Ended  # the run itself
    leftovers: list[str]
    running: list[str]  # containers, some seconds later
    again: Ended  # the run that was started afterwards
    followed: Ended  # `runner logs --follow`, started while the run was at work

    @property
    def runs(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.target.runner("runs", "--json").json
        return listed

    def statuses(self, run_id: str) -> dict[str, str]:
        details = self.target.summary(run_id)["details"]
        return {ws_id: part["status"] for ws_id, part in details.items()}


def cut_off(target: Target, number: signal.Signals) -> CutOff:
    """A run whose model does not answer is cut off; then one whose model does is started."""
    hanging = target.start("run", *given(target, ["first", "second"], delay_s=600))
    hanging.wait_for(AT_WORK)
    assert eventually(lambda: len(target.containers(running=True)) == 2, within_s=30)
    meanwhile = target.runner("runs", "--json").json
    following = target.start("logs", "--follow")
    refused = target.runner("run", *given(target, ["third"]))
    ended = hanging.signal(number)
    leftovers = target.leftovers()
    eventually(lambda: not target.containers(running=True), within_s=10)
    running = target.containers(running=True)
    again = target.runner("run", *given(target, ["first"]))
    return CutOff(target, refused, meanwhile, ended, leftovers, running, again, following.end())


@pytest.fixture(scope="module")
def interrupted(make_repository: MakeTarget) -> CutOff:
    return cut_off(make_repository("interrupted"), signal.SIGINT)


@pytest.fixture(scope="module")
def killed(make_repository: MakeTarget) -> CutOff:
    return cut_off(make_repository("killed"), signal.SIGKILL)


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


def test_a_log_that_is_followed_ends_with_its_run(interrupted: CutOff):
    assert interrupted.followed.code == 0, interrupted.followed.err
    assert "ws-second/edit tool_started attempt=1 tool=aider\n" in interrupted.followed.out
    assert interrupted.followed.out.count("state_transition") >= 4


def test_an_interrupted_run_exits_with_130_and_leaves_nothing_running(interrupted: CutOff):
    assert interrupted.ended.code == 130, interrupted.ended.err
    assert "Traceback" not in interrupted.ended.err
    assert interrupted.leftovers == []


def test_an_interrupted_run_is_recorded_as_abandoned(interrupted: CutOff):
    _, first = interrupted.runs
    assert first["status"] == "abandoned"
    assert interrupted.statuses(first["run_id"]) == BOTH
    assert f"Run {first['run_id']}: abandoned" in interrupted.ended.out
    assert (interrupted.target.state / "reports" / f"{first['run_id']}_summary.md").exists()


def test_the_run_after_an_interrupted_one_works(interrupted: CutOff):
    assert interrupted.again.code == 0, interrupted.again.err
    assert interrupted.target.leftovers() == []


def test_sandboxes_die_with_an_orchestrator_that_is_killed(killed: CutOff):
    assert killed.ended.code == -signal.SIGKILL
    assert len([name for name in killed.leftovers if "-ws-first-edit-1" in name]) > 0
    assert killed.running == []


def test_the_next_run_finds_the_dead_one_and_gives_it_up(killed: CutOff):
    _, first = killed.runs
    assert first["status"] == "abandoned"
    assert killed.statuses(first["run_id"]) == BOTH
    [crash] = [event for event in killed.target.events(first["run_id"]) if event["type"] == "crash_detected"]
    assert crash["payload"] == {"workstreams": ["ws-first", "ws-second"]}


def test_the_next_run_removes_what_the_dead_one_left_and_works(killed: CutOff):
    assert killed.again.code == 0, killed.again.err
    assert killed.target.repo.git("cat-file", "-p", "ws/try/ws-first:first.txt") == "done"
    assert (killed.target.containers(), killed.target.volumes()) == ([], [])
    assert list((killed.target.state / "scratch").iterdir()) == []
