"""The sandbox that a person opens by hand is sealed as those of a run are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.core.model import AttemptKey, Commit, Limits, RunId, StepName, WsId
from runner.ports import WORKSPACE, SandboxSpec
from runner.sandbox.docker import SANDBOX_UID
from runner.sandbox.options import ENVIRONMENT, Sealed, create_arguments, host_arguments

SERVICE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "compose.yaml").read_text())[
    "services"
]["sandbox"]

SEALED = Sealed(
    name="any",
    volume="any",
    uid=SANDBOX_UID,
    git_base=Path("/any"),
    owner="any",
    spec=SandboxSpec(
        key=AttemptKey(RunId("any"), WsId("ws-any"), StepName.STATIC, 1),
        serial=1,
        worktree=Path("/any"),
        base=Commit("any"),
        image="runner/python:latest",
        limits=Limits(),
        timeout_s=1.0,
    ),
)

SAME = (
    *("network_mode", "cap_drop", "security_opt", "read_only", "privileged", "init"),
    *("pids_limit", "oom_score_adj", "cpu_shares"),
)
IN_OTHER_WORDS: dict[str, Callable[[], object]] = {
    "ipc_mode": lambda: SERVICE["ipc"],
    "mem_limit": lambda: mebibytes(SERVICE["mem_limit"]),
    "memswap_limit": lambda: mebibytes(SERVICE["memswap_limit"]),
    "nano_cpus": lambda: int(SERVICE["cpus"] * 1_000_000_000),
    "shm_size": lambda: mebibytes(SERVICE["shm_size"]),
    "tmpfs": lambda: dict(mount.split(":", 1) for mount in SERVICE["tmpfs"]),
    "ulimits": lambda: {name: (limit["soft"], limit["hard"]) for name, limit in SERVICE["ulimits"].items()},
    "log_config": lambda: SERVICE["logging"]["driver"],
    "restart_policy": lambda: SERVICE["restart"],
}
# `docker compose run --rm` removes the container itself; what is mounted has a test of its own.
ELSEWHERE = {"auto_remove", "mounts"}


def mebibytes(size: str) -> int:
    return int(size.removesuffix("m")) * 1024 * 1024


def host() -> dict[str, Any]:
    """The options of a run, in plain values."""
    options = host_arguments(SEALED)
    return options | {
        "ulimits": {limit.name: (limit.soft, limit.hard) for limit in options["ulimits"]},
        "log_config": options["log_config"].type,
        "restart_policy": options["restart_policy"]["Name"],
    }


def test_every_seal_of_a_run_is_compared() -> None:
    assert set(host()) == {*SAME, *IN_OTHER_WORDS, *ELSEWHERE}


@pytest.mark.parametrize("option", SAME)
def test_a_seal_is_the_same(option: str) -> None:
    assert SERVICE[option] == host()[option]


@pytest.mark.parametrize("option", IN_OTHER_WORDS)
def test_a_seal_in_other_words_is_the_same(option: str) -> None:
    assert IN_OTHER_WORDS[option]() == host()[option]


def test_the_container_is_the_same() -> None:
    of_a_run = create_arguments(SEALED)
    assert SERVICE["image"] == of_a_run["image"]
    assert SERVICE["user"] == of_a_run["user"]
    assert SERVICE["hostname"] == of_a_run["hostname"]
    assert SERVICE["stop_signal"] == of_a_run["stop_signal"]
    assert SERVICE["healthcheck"] == {"disable": True}


def test_the_environment_is_that_of_a_command_without_the_git_directory_of_a_step() -> None:
    not_here = {"GIT_DIR", "GIT_WORK_TREE"}
    assert SERVICE["environment"] == {name: ENVIRONMENT[name] for name in ENVIRONMENT.keys() - not_here}


def test_one_folder_is_mounted_and_read_only() -> None:
    (mount,) = SERVICE["volumes"]
    assert (mount["type"], mount["target"], mount["read_only"]) == ("bind", WORKSPACE, True)


def test_nothing_opens_what_the_seals_close() -> None:
    known = {"image", "pull_policy", "command", "stdin_open", "tty", "hostname", "user", "working_dir"}
    known |= {"environment", "volumes", "stop_signal", "healthcheck", *SAME}
    known |= {
        "ipc",
        "mem_limit",
        "memswap_limit",
        "cpus",
        "shm_size",
        "tmpfs",
        "ulimits",
        "logging",
        "restart",
    }
    assert set(SERVICE) == known
