"""What a shared machine does to a run: it is stopped, its disk is full, locks are left, places are few."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import Running, Target, eventually
from tests.e2e.conftest import MakeTarget
from tests.e2e.plans import given

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LONGER_THAN_A_MINUTE_S = 65  # and than any timeout of a single request to the engine


def test_a_run_that_is_frozen_for_a_minute_goes_on(target: Target):
    run = target.start("run", *given(target, ["first"], delay_s=3))
    run.wait_for("ws-first | edit 1: aider")
    run.process.send_signal(signal.SIGSTOP)
    time.sleep(LONGER_THAN_A_MINUTE_S)
    ended = run.signal(signal.SIGCONT)
    assert ended.code == 0, ended.err
    assert target.attempts(target.summary()["run_id"], "ws-first") == ["edit ok", "static ok", "runtime ok"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a run, and little more."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("left_kb", [16, 200, 700])
def test_a_full_disk_stops_a_run_that_is_resumed_once_there_is_room(
    left_kb: int, target: Target, small_disk: Path
):
    env = {"RUNNER_PATHS__STATE": str(small_disk / "state"), "RUNNER_RUN__INFRA_RETRIES": "0"}
    hanging = target.start("run", *given(target, ["first"], delay_s=600), **env)
    hanging.wait_for("ws-first | edit 1: aider")
    ballast = small_disk / "ballast"
    fill(ballast, leave_bytes=left_kb * 1024)
    hanging.signal(signal.SIGKILL)
    given(target, ["first"])
    full = target.runner("resume", **env)
    assert "Traceback" not in full.err + full.out
    assert full.code in (0, 1, 4), full.err
    ballast.unlink()
    if full.code == 4:
        assert "disk is full" in full.err
        assert "runner resume" in full.err
        resumed = target.runner("resume", **env)
        assert resumed.code == 0, resumed.err
    shown = target.runner("show-run", "--json", **env).json
    [part] = shown["details"]
    assert part["status"] == ("failed" if full.code == 1 else "done")
    if full.code == 1:
        assert "could not be carried out" in part["reason"]
    target.repo.git("fsck", "--strict")


def fill(ballast: Path, *, leave_bytes: int) -> None:
    free = shutil.disk_usage(ballast.parent).free
    ballast.write_bytes(b"x" * max(0, free - leave_bytes))


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "packed-refs.lock", "config.lock"])
def test_a_lock_that_somebody_left_in_the_repository_is_no_obstacle(name: str, target: Target):
    (target.repo.path / ".git" / name).touch()
    ended = target.runner("run", *given(target, ["first"]))
    assert ended.code == 0, ended.err


def test_a_lock_on_the_branch_stops_the_run_with_its_reason_and_once_it_is_gone_the_run_goes_on(
    target: Target,
):
    lock = target.repo.path / ".git" / "refs" / "heads" / "ws" / "try" / "ws-first.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    stuck = target.runner("run", *given(target, ["first"]))
    run_id = target.summary()["run_id"]
    assert stuck.code == 4, stuck.err
    assert "ws-first.lock" in stuck.err
    assert f"runner resume {run_id}" in stuck.err
    lock.unlink()
    resumed = target.runner("resume")
    assert resumed.code == 0, resumed.err
    assert target.attempts(run_id, "ws-first") == ["edit ok", "static ok", "runtime ok"]


@pytest.fixture
def hanging(target: Target) -> Running:
    run = target.start("run", *given(target, ["first"], delay_s=600))
    run.wait_for("ws-first | edit 1: aider")
    assert eventually(lambda: len(target.containers(running=True)) == 1, within_s=30)
    return run


@pytest.mark.parametrize("what", ["worktree", "scratch", "bases", "git", "registration"])
def test_what_is_deleted_behind_the_back_of_a_cut_off_run_is_made_anew(
    what: str, target: Target, hanging: Running
):
    hanging.signal(signal.SIGKILL)
    assert eventually(lambda: not target.containers(running=True), within_s=10)
    places = {
        "worktree": target.state / "worktrees",
        "scratch": target.state / "scratch",
        "bases": target.state / "bases",
        "git": target.state / "git",
        "registration": target.repo.path / ".git" / "worktrees",
    }
    shutil.rmtree(places[what])
    given(target, ["first"])
    resumed = target.runner("resume")
    assert resumed.code == 0, resumed.err
    assert target.worktrees() == []
    assert target.leftovers() == []


def test_a_branch_that_appears_while_a_run_is_cut_off_is_not_touched(target: Target, hanging: Running):
    hanging.signal(signal.SIGKILL)
    target.repo.git("branch", "ws/try/ws-first")
    given(target, ["first"])
    resumed = target.runner("resume")
    assert resumed.code == 1, resumed.err
    assert "made or moved by someone else" in resumed.out
    assert target.repo.git("rev-parse", "ws/try/ws-first") == target.repo.git("rev-parse", "main")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda db: os.truncate(db, 5000), "The state database cannot be used"),
        (lambda db: db.write_bytes(b"no database at all" * 500), "The state database cannot be used"),
    ],
)
def test_a_damaged_database_is_refused_by_every_command(harm, told: str, target: Target):
    assert target.runner("run", *given(target, ["first"])).code == 0
    db = target.state / "state" / "pipeline_state.db"
    for beside in ("-wal", "-shm"):
        db.with_name(db.name + beside).unlink(missing_ok=True)
    harm(db)
    for command in (["run", *given(target, ["second"])], ["resume"], ["recover"], ["runs"], ["show-run"]):
        refused = target.runner(*command)
        assert refused.code == 4, (command, refused.err)
        assert refused.err.startswith(f"error: {told}"), command


def test_runs_of_different_repositories_share_the_places_of_the_machine(
    make_repository: MakeTarget, tmp_path: Path
):
    env = {"RUNNER_HOST__SANDBOXES": "1", "RUNNER_HOST__FOLDER": str(tmp_path / "places")}
    targets = [make_repository("one"), make_repository("other")]
    options = [given(target, ["first", "second"], delay_s=1) for target in targets]
    runs = [target.start("run", *given_, **env) for target, given_ in zip(targets, options, strict=True)]
    most = 0
    while any(run.process.poll() is None for run in runs):
        most = max(most, sum(len(target.containers(running=True)) for target in targets))
        time.sleep(0.1)
    for run in runs:
        ended = run.end()
        assert ended.code == 0, ended.err
    assert most == 1
