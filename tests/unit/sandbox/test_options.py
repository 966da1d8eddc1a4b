"""What seals a container, claim by claim; tests/contract shows that the engine does as it is told."""

from pathlib import Path
from typing import Any

import pytest

from runner.core.model import AttemptKey, Commit, Limits, RunId, StepName, WsId
from runner.ports import SandboxSpec
from runner.sandbox.options import (
    DOOR_FOLDER,
    ENVIRONMENT,
    Sealed,
    container_name,
    create_arguments,
    host_arguments,
    labels,
)

LIMITS = Limits(memory_mb=100, cpus=1.5, pids=10, file_bytes=1000)


def spec(door: Path | None = None) -> SandboxSpec:
    return SandboxSpec(
        key=AttemptKey(RunId("01JRUN"), WsId("ws-a"), StepName.FIX, 2),
        serial=3,
        worktree=Path("/state/worktrees/ws-a"),
        base=Commit("b" * 40),
        image="runner/python:1",
        limits=LIMITS,
        timeout_s=60,
        door=door,
    )


def sealed(door: Path | None = None) -> Sealed:
    return Sealed(
        name="n", volume="v", uid=1234, git_base=Path("/state/bases/b"), owner="/state", spec=spec(door)
    )


def mounts(door: Path | None = None) -> dict[str, Any]:
    return {mount["Target"]: mount for mount in host_arguments(sealed(door))["mounts"]}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("network_mode", "none"),
        ("cap_drop", ["ALL"]),
        ("security_opt", ["no-new-privileges:true"]),
        ("read_only", True),
        ("privileged", False),
        ("ipc_mode", "private"),
        ("init", False),  # the supervisor is the first process itself
        ("mem_limit", 100 << 20),
        ("memswap_limit", 100 << 20),  # memory and swap together: no swap
        ("nano_cpus", 1_500_000_000),
        ("pids_limit", 10),
        ("oom_score_adj", 500),  # before anything of the host's
        ("restart_policy", {"Name": "no"}),
        ("auto_remove", False),  # how it ended is asked for first
    ],
)
def test_a_container_is_sealed(option, value):
    assert host_arguments(sealed())[option] == value


def test_nothing_that_would_open_a_container_is_asked_for():
    opening = {
        "cap_add", "devices", "pid_mode", "userns_mode", "binds", "volumes_from", "extra_hosts", "dns",
        "port_bindings", "group_add", "sysctls", "device_requests", "links", "cgroup_parent", "uts_mode",
    }  # fmt: skip
    assert opening.isdisjoint(host_arguments(sealed()))


def test_sizes_are_limited():
    limits = {limit.name: (limit.soft, limit.hard) for limit in host_arguments(sealed())["ulimits"]}
    assert limits["fsize"] == (1000, 1000)
    assert limits["core"] == (0, 0)
    assert limits["nofile"] == (1024, 4096)


def test_output_is_not_stored_by_the_engine_too():
    assert host_arguments(sealed())["log_config"].type == "none"


def test_a_container_runs_as_an_ordinary_user_whose_stdin_is_held_open():
    made = create_arguments(sealed())
    assert made["user"] == "1234:1234"
    assert (made["stdin_open"], made["tty"], made["environment"]) == (True, False, {})
    assert made["stop_signal"] == "SIGKILL"


def test_only_the_workspace_is_writable_and_only_through_its_layer():
    found = mounts()
    assert set(found) == {"/workspace", "/workspace/.git", "/opt/git-base"}
    assert [target for target, mount in found.items() if not mount["ReadOnly"]] == ["/workspace"]
    assert (found["/workspace"]["Type"], found["/workspace"]["Source"]) == ("volume", "v")
    assert found["/workspace"]["VolumeOptions"] == {"NoCopy": True}
    assert found["/workspace/.git"]["Source"] == "/state/bases/b/gitfile"


def test_the_model_door_is_there_only_when_it_is_given():
    assert DOOR_FOLDER not in mounts()
    door = mounts(Path("/tmp/d1"))[DOOR_FOLDER]
    assert (door["Source"], door["ReadOnly"], door["Type"]) == ("/tmp/d1", True, "bind")


def test_temporary_folders_are_bounded_and_cannot_raise_privileges():
    folders = host_arguments(sealed())["tmpfs"]
    assert set(folders) == {"/tmp", "/run/runner", "/home/agent"}
    for options in folders.values():
        assert {"nosuid", "nodev"} <= set(options.split(","))
        assert "size=" in options
        assert "nr_inodes=" in options
    assert "uid=1234" in folders["/run/runner"]


def test_names_tell_attempts_and_their_sandboxes_apart():
    assert container_name(spec()) == "runner-01jrun-ws-a-fix-2-3"


def test_labels_say_whose_a_container_is():
    assert labels(spec(), "/state") == create_arguments(sealed())["labels"]
    assert labels(spec(), "/state") == {
        "runner.owner": "/state",
        "runner.run": "01JRUN",
        "runner.workstream": "ws-a",
        "runner.step": "fix",
        "runner.attempt": "2",
    }


def test_a_commands_environment_has_no_key_and_no_proxy():
    assert not [name for name in ENVIRONMENT if "KEY" in name or "PROXY" in name.upper()]
    assert ENVIRONMENT["GIT_DIR"] == "/run/runner/git"
