"""`runner gc` on the engine and in repositories that runs have left."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest

from runner.layout import StateLayout
from runner.store.lock import locked
from tests.e2e.command import Ended, Target
from tests.e2e.conftest import MakeTarget
from tests.e2e.plans import edit, workstream, write_plan, write_script

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

IMAGE = "runner/python:latest"


class Engine:
    """Makes what dead runs leave, and knows what is still there. What a test made goes with it."""

    def __init__(self) -> None:
        self.client = docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="auto")
        self.name = f"gc-{uuid4().hex[:12]}"
        self.made: list[str] = []

    def sandbox(self, owner: object, *, runs: bool = False) -> str:
        """A container and its volume, both with one name."""
        name = f"{self.name}-{len(self.made)}"
        labels = {} if owner is None else {"runner.owner": str(owner)}
        self.made.append(name)
        self.client.create_volume(name, labels=labels)
        self.client.create_container(
            IMAGE,
            ["sleep", "600"],
            name=name,
            labels=labels,
            volumes=["/workspace"],
            network_disabled=True,
            host_config=self.client.create_host_config(binds={name: {"bind": "/workspace", "mode": "rw"}}),
        )
        if runs:
            self.client.start(name)
        return name

    def there(self, name: str) -> tuple[bool, bool]:
        """Whether the container and the volume of a sandbox are there."""
        containers = self.client.containers(all=True, filters={"name": name})
        volumes = self.client.volumes(filters={"name": name})["Volumes"] or []
        return bool(containers), bool(volumes)

    def clear(self) -> None:
        for name in self.made:
            container, volume = self.there(name)
            if container:
                self.client.remove_container(name, force=True)
            if volume:
                self.client.remove_volume(name)
        self.client.close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.clear()


def items(ended: Ended, *names: str) -> list[dict[str, Any]]:
    """What was told of these things; others on the same engine are none of the test's business."""
    assert ended.code == 0, ended.out + ended.err
    return [item for item in ended.json["items"] if item["name"] in names]


GONE, THERE = (False, False), (True, True)


def test_what_a_dead_run_left_goes_as_the_trial_said(target: Target, engine: Engine):
    with locked(StateLayout(target.state).lock):
        pass
    name = engine.sandbox(target.state)
    layer = target.state / "scratch" / name / "upper"
    layer.mkdir(parents=True)
    (layer / "file").write_text("x" * 9000)
    named = (name, f"scratch/{name}")
    trial = items(target.runner("gc", "--dry-run", "--json"), *named)
    assert engine.there(name) == THERE
    assert layer.exists()
    done = items(target.runner("gc", "--json"), *named)
    assert trial == done
    assert [(item["kind"], item["bytes"] >= 9000) for item in done] == [
        ("container", False),
        ("volume", False),
        ("scratch", True),
    ]
    assert engine.there(name) == GONE
    assert not layer.exists()
    assert items(target.runner("gc", "--json"), *named) == []


def test_while_a_run_is_at_work_its_things_stay(target: Target, engine: Engine):
    name = engine.sandbox(target.state)
    with locked(StateLayout(target.state).lock):
        here = items(target.runner("gc", "--json"), str(target.state))
        elsewhere = items(target.runner("gc", "--repo", target.repo.path, "--json"), str(target.state))
    assert [item["reason"] for item in here] == ["a run is at work there"]
    assert here == elsewhere
    assert engine.there(name) == THERE


def test_what_is_left_of_other_repositories_goes_unless_somebody_works_there(
    target: Target, make_repository: MakeTarget, engine: Engine
):
    resting, working, deleted = (make_repository(name) for name in ("resting", "working", "deleted"))
    with locked(StateLayout(resting.state).lock):
        pass
    names = [engine.sandbox(one.state) for one in (resting, working, deleted)]
    running = engine.sandbox(deleted.state, runs=True)
    shutil.rmtree(deleted.repo.path)
    with locked(StateLayout(working.state).lock):
        items(target.runner("gc", "--json"))
    assert [engine.there(name) for name in names] == [GONE, THERE, GONE]
    assert engine.there(running) == THERE


def test_outside_of_a_repository_the_engine_is_cleaned_up(
    make_target: MakeTarget, engine: Engine, tmp_path: Path
):
    name = engine.sandbox(tmp_path / "deleted" / ".runner")
    items(make_target("nowhere").runner("gc", "--json"))
    assert engine.there(name) == GONE


def test_what_does_not_bear_our_label_is_never_touched(target: Target, engine: Engine):
    strangers = [engine.sandbox(None), engine.sandbox("test-of-somebody")]
    target.runner("gc", "--older-than", "0")
    assert [engine.there(name) for name in strangers] == [THERE, THERE]


def test_work_in_a_kept_worktree_is_saved_and_comes_back(target: Target):
    plan = write_plan(target, workstream("a", circuit_breaker={"max_attempts": 1}))
    wrong = {"workstream": "ws-a", "content": edit("a.txt", "not yet\n"), "times": 4}
    ended = target.runner("run", "--plan", plan, "--script", write_script(target, wrong))
    assert ended.code == 1, ended.err
    [worktree] = target.worktrees()
    (Path(worktree) / "a.txt").write_text("finished by hand\n")
    [saved] = [
        item for item in target.runner("gc", "--older-than", "0", "--json").json["items"] if item["saved"]
    ]
    assert saved["saved"].endswith("/ws-a-worktree")
    assert target.worktrees() == []
    assert len(target.runner("salvage", "--json").json) == 2  # the last candidate too
    restored = target.runner("salvage", "restore", "ws-a-worktree")
    assert (restored.code, restored.err) == (0, "")
    assert target.repo.git("show", "salvage/ws-a-worktree:a.txt") == "finished by hand"
    assert target.runner("show-run").code == 0
