"""What a sandbox's container is created with. Everything that seals it stands in this one module."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from runner.ports import GIT_BASE, GIT_DIR, WORKSPACE, SandboxSpec

DOOR_FOLDER = "/run/door"
HOME = "/home/agent"

SUPERVISOR = ["/usr/bin/python3", "-I", "-S", "/opt/runner/supervisor.py"]

LABEL = "runner"  # prefix of every label of ours

ENVIRONMENT = {
    "PATH": "/opt/tools/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "GIT_DIR": GIT_DIR,
    "GIT_WORK_TREE": WORKSPACE,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """The parts of a container that differ between sandboxes."""

    name: str
    volume: str
    uid: int
    git_base: Path
    owner: str  # the state folder that this sandbox belongs to
    spec: SandboxSpec


def container_name(spec: SandboxSpec) -> str:
    """Deterministic, so that a container can be asked for after a crash."""
    key = spec.key
    return f"runner-{key.run_id}-{key.ws_id}-{key.step}-{key.attempt}-{spec.serial}".lower()


def labels(spec: SandboxSpec, owner: str) -> dict[str, str]:
    """What tells our containers and volumes from others, and from those of other state folders."""
    key = spec.key
    return {
        f"{LABEL}.owner": owner,
        f"{LABEL}.run": key.run_id,
        f"{LABEL}.workstream": key.ws_id,
        f"{LABEL}.step": key.step,
        f"{LABEL}.attempt": str(key.attempt),
    }


def create_arguments(sealed: Sealed) -> dict[str, Any]:
    """Arguments for docker-py's `create_container`, except `host_config`."""
    return {
        "image": sealed.spec.image,
        "command": SUPERVISOR,
        "name": sealed.name,
        "hostname": "sandbox",
        "user": f"{sealed.uid}:{sealed.uid}",
        "working_dir": "/",
        "environment": {},
        "labels": labels(sealed.spec, sealed.owner),
        "stdin_open": True,
        "tty": False,
        "healthcheck": {"test": ["NONE"]},
        "stop_signal": "SIGKILL",
    }


def host_arguments(sealed: Sealed) -> dict[str, Any]:
    """Arguments for docker-py's `create_host_config`: no network, no capability, no writable root."""
    limits = sealed.spec.limits
    memory = limits.memory_mb * 1024 * 1024
    return {
        "mounts": _mounts(sealed),
        "tmpfs": _tmpfs(sealed.uid),
        "network_mode": "none",
        "ipc_mode": "private",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "read_only": True,
        "privileged": False,
        "init": False,  # the supervisor is the first process: nothing inside can end it, so who did was outside
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": int(limits.cpus * 1_000_000_000),
        "cpu_shares": 512,
        "pids_limit": limits.pids,
        "oom_score_adj": 500,
        "shm_size": 64 * 1024 * 1024,
        "ulimits": [
            Ulimit(name="nofile", soft=1024, hard=4096),
            Ulimit(name="nproc", soft=limits.pids * 4, hard=limits.pids * 4),
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=limits.file_bytes, hard=limits.file_bytes),
        ],
        # What the command prints reaches us through the attached stream; the engine need not store it too.
        "log_config": LogConfig(type=LogConfig.types.NONE),
        "restart_policy": {"Name": "no"},
        "auto_remove": False,
    }


def _mounts(sealed: Sealed) -> list[Mount]:
    base = sealed.git_base
    mounts = [
        # Without no_copy the engine mounts the volume once at creation, and a volatile overlay only mounts once.
        Mount(WORKSPACE, sealed.volume, type="volume", no_copy=True),
        Mount(f"{WORKSPACE}/.git", str(base / "gitfile"), type="bind", read_only=True),
        Mount(GIT_BASE, str(base), type="bind", read_only=True),
    ]
    if sealed.spec.door is not None:
        mounts.append(Mount(DOOR_FOLDER, str(sealed.spec.door), type="bind", read_only=True))
    return mounts


def _tmpfs(uid: int) -> Mapping[str, str]:
    own = f"uid={uid},gid={uid},mode=0700"
    return {
        "/tmp": "rw,exec,nosuid,nodev,size=256m,nr_inodes=50k,mode=1777",  # noqa: S108 - the container's own
        "/run/runner": f"rw,noexec,nosuid,nodev,size=256m,nr_inodes=50k,{own}",
        HOME: f"rw,noexec,nosuid,nodev,size=64m,nr_inodes=10k,{own}",
    }
