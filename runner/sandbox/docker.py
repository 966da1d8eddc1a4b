"""Sandboxes on a Docker engine of this machine."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import docker
import docker.errors
from docker.utils import kwargs_from_env

from runner.clock import Clock
from runner.core.model import Commit
from runner.errors import EngineError, SandboxError
from runner.ports import Change, Command, Ran, SandboxSpec
from runner.sandbox.container import ENGINE_FAULTS, Container, until_gone
from runner.sandbox.layer import Ignored, read_changes, read_content
from runner.sandbox.options import LABEL, Sealed, container_name
from runner.sandbox.overlay import Overlay, remove_scratch

SANDBOX_UID = 1000  # when we run as root; otherwise containers run as ourselves

# What the engine gets for one answer. A loaded one takes seconds; one that takes longer than this is taken for dead.
ENGINE_TIMEOUT_S = 60


def sandbox_uid() -> int:
    """The user that sandboxed commands run as: never root."""
    return os.getuid() or SANDBOX_UID


def connect(timeout_s: int = ENGINE_TIMEOUT_S) -> docker.APIClient:
    """A client for the engine that DOCKER_HOST names, or the local one. Raises EngineError when none answers."""
    try:
        client = docker.APIClient(**kwargs_from_env(), version="auto", timeout=timeout_s)
        client.ping()
    except ENGINE_FAULTS as error:
        raise EngineError(
            "No container engine answers",
            details=str(error),
            hint="Start Docker, or join the group that may use it. On Debian and Ubuntu, as root: images/engine.sh",
        ) from error
    return client


class DockerSandbox:
    """A container over a checkout, and the layer it leaves."""

    def __init__(self, container: Container, overlay: Overlay, *, max_bytes: int, ignored: Ignored) -> None:
        self._container = container
        self._overlay = overlay
        self._max_bytes = max_bytes
        self._ignored = ignored

    def run(self, command: Command) -> Ran:
        """See ports.Sandbox. Afterwards the container is gone, and nothing writes to the layer any more."""
        ran = self._container.run(command)
        self._container.remove()
        return ran

    def changes(self) -> Sequence[Change]:
        return read_changes(self._overlay, max_bytes=self._max_bytes, ignored=self._ignored)

    def content(self, change: Change) -> bytes:
        return read_content(self._overlay, change)


class DockerSandboxes:
    """See ports.Sandboxes."""

    def __init__(
        self,
        *,
        owner: str,
        scratch: Path,
        git_base: Callable[[Commit], Path],
        ignored: Ignored,
        clock: Clock,
        engine_timeout_s: int = ENGINE_TIMEOUT_S,
    ) -> None:
        self._owner = owner
        self._scratch = scratch
        self._git_base = git_base
        self._ignored = ignored
        self._clock = clock
        self._engine_timeout_s = engine_timeout_s
        self._clients: dict[int, docker.APIClient] = {}
        self._lock = threading.Lock()
        self._cancelled = threading.Event()

    @contextmanager
    def open(self, spec: SandboxSpec) -> Iterator[DockerSandbox]:
        name = container_name(spec)
        overlay = Overlay(spec.worktree, self._scratch / name)
        sealed = Sealed(
            name=name,
            volume=name,
            uid=sandbox_uid(),
            git_base=self._git_base(spec.base),
            owner=self._owner,
            spec=spec,
        )
        container = Container(self._client(), sealed, self._clock, self._cancelled)
        container.remove()
        with _cleared_away(container, overlay):
            _make_scratch(overlay)
            container.create(overlay.driver_options())
            yield DockerSandbox(container, overlay, max_bytes=spec.limits.file_bytes, ignored=self._ignored)

    def cancel(self) -> None:
        """See ports.Sandboxes. Returns at once, whatever the engine does: who waits for a container kills it."""
        self._cancelled.set()

    def reap(self) -> list[str]:
        """Remove what an earlier process of the same owner left: containers (their names), volumes, layers."""
        client = self._client()
        ours = {"label": f"{LABEL}.owner={self._owner}"}
        try:
            containers = client.containers(all=True, filters=ours)
            for found in containers:
                until_gone(partial(client.remove_container, found["Id"], force=True, v=True))
            volumes = client.volumes(filters=ours)["Volumes"] or []
            for volume in volumes:
                until_gone(partial(client.remove_volume, volume["Name"]))
            for layer in self._scratch.glob("*"):
                remove_scratch(layer)
        except ENGINE_FAULTS as error:
            raise EngineError(
                "Could not remove what a dead run left",
                details=str(error),
                hint="Docker before 24, with live-restore, keeps the volumes of containers that outlived it until it "
                "is restarted once more: moby issue 44422.",
            ) from error
        return [found["Names"][0].lstrip("/") for found in containers]

    def close(self) -> None:
        """Close the connections to the engine."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def _client(self) -> docker.APIClient:
        """One client for each thread: docker-py shares a connection's state between calls."""
        thread = threading.get_ident()
        with self._lock:
            known = self._clients.get(thread)
        if known is None:
            known = connect(self._engine_timeout_s)
            with self._lock:
                self._clients[thread] = known
        return known


@contextmanager
def _cleared_away(container: Container, overlay: Overlay) -> Iterator[None]:
    """Afterwards nothing is left. What went wrong first is what is raised: a removal often fails for the same reason."""
    try:
        yield
    except BaseException:
        with suppress(SandboxError, OSError):
            _clear_away(container, overlay)
        raise
    _clear_away(container, overlay)


def _clear_away(container: Container, overlay: Overlay) -> None:
    container.remove()
    overlay.remove()


def _make_scratch(overlay: Overlay) -> None:
    """A fresh scratch folder: a layer that was mounted once is never mounted again."""
    try:
        if overlay.scratch.exists():
            overlay.remove()
        overlay.make(sandbox_uid())
    except OSError as error:
        shutil.rmtree(overlay.scratch, ignore_errors=True)
        raise SandboxError("Could not make the scratch folder of a sandbox", details=str(error)) from error
