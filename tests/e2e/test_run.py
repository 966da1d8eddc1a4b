"""Runs of one workstream: with a model behind HTTP, and over a branch and changes that are there."""

import json
from dataclasses import dataclass

import docker
import pytest

from tests.e2e.command import Ended, Target
from tests.e2e.conftest import MakeTarget
from tests.e2e.plans import edit, given, workstream, write_plan
from tests.e2e.upstream import Upstream, serving

pytestmark = pytest.mark.e2e

KEY = "sk-canary-0123456789"


@dataclass(frozen=True)
class Keyed:
    """A run whose model wants a key."""

    target: Target
    upstream: Upstream
    ended: Ended
    containers: list[str]  # as the engine saw them while the model was asked


@pytest.fixture(scope="module")
def keyed(make_repository: MakeTarget) -> Keyed:
    target = make_repository("keyed")
    containers: list[str] = []
    upstream = Upstream(
        content=edit("a.txt", "done\n"), on_request=lambda: containers.append(inspected(target))
    )
    with serving(upstream):
        ended = target.runner(
            "run", "--plan", write_plan(target, workstream("a")),
            RUNNER_MODEL__BASE_URL=upstream.base_url, RUNNER_MODEL__NAME="house-model", RUNNER_MODEL__API_KEY=KEY,
        )  # fmt: skip
    return Keyed(target, upstream, ended, containers)


def test_a_model_behind_http_is_asked_with_the_key(keyed: Keyed):
    assert keyed.ended.code == 0, keyed.ended.err
    assert keyed.upstream.paths == ["/v1/models", "/v1/chat/completions"]
    assert set(keyed.upstream.keys) == {f"Bearer {KEY}"}
    [part] = keyed.target.summary()["details"].values()
    assert part["usage"] == {"requests": 1, "tokens_in": 7, "tokens_out": 2}


def test_the_key_is_written_nowhere(keyed: Keyed):
    place = keyed.target.repo.path.parent
    holding = [path for path in place.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert holding == []
    assert KEY not in keyed.ended.out + keyed.ended.err


def test_the_key_never_comes_near_a_container(keyed: Keyed):
    [container] = keyed.containers
    assert "/opt/runner/supervisor.py" in container
    assert "OPENAI_API_KEY=none\n" in container
    assert KEY not in container


def test_the_key_is_masked_where_settings_are_shown(keyed: Keyed):
    shown = keyed.target.runner("config", "--json", RUNNER_MODEL__API_KEY=KEY)
    assert shown.json["model.api_key"]["value"] == "********"
    assert KEY not in shown.out


def test_a_branch_is_replaced_and_saved_and_changes_of_the_user_are_left_alone(make_repository: MakeTarget):
    target = make_repository("replaced")
    old = target.repo.git("rev-parse", "HEAD")
    target.repo.git("branch", "ws/try/ws-a")
    readme = target.repo.path / "README.md"
    readme.write_text("half done\n")

    ended = target.runner("run", *given(target, ["a"]), "--replace", "--allow-dirty")

    assert ended.code == 0, ended.err
    run_id = target.summary()["run_id"]
    assert target.repo.git("rev-parse", f"refs/runner/salvage/{run_id}/ws-a-replaced") == old
    assert target.repo.git("diff", "--name-only", "main", "ws/try/ws-a") == "a.txt"
    assert readme.read_text() == "half done\n"
    assert target.repo.git("status", "--porcelain") == " M README.md"


def inspected(target: Target) -> str:
    """All that the engine tells of the containers at work, and the environment of all that runs in them."""
    engine = docker.from_env()
    told = []
    for container in engine.containers.list(filters={"label": [f"runner.owner={target.state}"]}):
        environments = container.exec_run(["/bin/sh", "-c", "cat /proc/[0-9]*/environ"]).output
        assert isinstance(environments, bytes)
        told.append(json.dumps(container.attrs) + environments.decode().replace("\0", "\n"))
    engine.close()
    return "".join(told)
