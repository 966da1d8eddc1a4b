"""A container engine of the tests' own, to be killed."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import docker


class PrivateEngine:
    """A dockerd with a place, a network namespace and names of its own: the machine's engine never sees it."""

    IMAGE = "runner/base:latest"

    def __init__(self) -> None:
        # Not below pytest's folder: pytest deletes old ones, whatever is mounted in them.
        self._folder = Path(tempfile.mkdtemp(prefix="runner-test-engine-"))
        self.address = f"unix://{self._folder / 'sock'}"
        self._dockerd: subprocess.Popen[bytes] | None = None

    def start(self, *, live_restore: bool = False) -> None:
        """Start it, and wait until it answers."""
        folder = self._folder
        for stale in ("pid", "exec/containerd/containerd.pid"):  # the number may be another's by now
            (folder / stale).unlink(missing_ok=True)
        # Without a network namespace of its own it would delete the bridge of the machine's engine.
        argv = [
            "unshare", "--net", "dockerd", "--host", self.address, "--pidfile", str(folder / "pid"),
            "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
            "--bridge=none", "--iptables=false", "--containerd-namespace=faults",
            "--containerd-plugins-namespace=faults-plugins", f"--live-restore={str(live_restore).lower()}",
        ]  # fmt: skip
        with (folder / "log").open("ab") as log:
            self._dockerd = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        self._until_it_answers()

    def kill(self) -> None:
        """Kill it as a crash does: its containers may go on."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """Leave nothing of it."""
        if self._dockerd is None:
            self.start()
        with closing(docker.APIClient(self.address)) as client:
            for container in client.containers(all=True):
                client.remove_container(container["Id"], force=True)
        self.stop()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{self._folder}/")]):
            subprocess.run(["umount", mount], check=True)
        shutil.rmtree(self._folder)

    def take_image(self, name: str) -> None:
        """Take an image over from the machine's engine."""
        load = ["docker", "--host", self.address, "load"]  # three times as fast as docker-py
        with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE) as saved:
            subprocess.run(load, stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)

    def _end(self, number: signal.Signals) -> None:
        assert self._dockerd is not None
        os.kill(self._dockerd.pid, number)
        self._dockerd.wait(timeout=60)
        self._dockerd = None

    def _until_it_answers(self) -> None:
        for _ in range(600):
            with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
                probe.connect(str(self._folder / "sock"))
                break
            time.sleep(0.1)
        with closing(docker.APIClient(self.address, timeout=60)) as client:
            client.ping()
