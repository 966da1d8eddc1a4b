"""The command line as a user has it: a process of its own, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from tests.conftest import GitRepo

PATIENCE_S = 240  # a run that takes longer has gone wrong


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Target:
    """A target repository, and `runner` called in it (or where it will be) with a clean environment."""

    repo: GitRepo
    env: Mapping[str, str]

    @property
    def state(self) -> Path:
        return self.repo.path / ".runner"

    @property
    def folder(self) -> Path:
        return self.repo.path if self.repo.path.exists() else self.repo.path.parent

    def runner(self, *args: str | Path, **env: str) -> Ended:
        done = subprocess.run(
            [sys.executable, "-m", "runner", *map(str, args)],
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str | Path, **env: str) -> "Running":
        return Running(
            subprocess.Popen(
                [sys.executable, "-m", "runner", *map(str, args)],
                cwd=self.folder,
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    def summary(self, run_id: str = "") -> dict[str, Any]:
        """What `show-run` tells of a run, by default the latest, with its workstreams by id."""
        shown: dict[str, Any] = self.runner("show-run", *filter(None, [run_id]), "--json").json
        return shown | {"details": {part["ws_id"]: part for part in shown["details"]}}

    def events(self, run_id: str = "") -> list[dict[str, Any]]:
        shown = self.runner("show-events", *filter(None, [run_id]), "--limit", "0", "--json")
        events: list[dict[str, Any]] = shown.json
        return events

    def log(self, run_id: str, name: str) -> list[dict[str, Any]]:
        text = (self.state / "logs" / run_id / name).read_text()
        return [json.loads(line) for line in text.splitlines()]

    def attempts(self, run_id: str, ws_id: str) -> list[str]:
        """How each attempt of a workstream ended, in order: `edit ok`, `static findings`."""
        lines = self.log(run_id, f"{ws_id}.jsonl")
        return [line["message"] for line in lines if "changed" in line["context"]]

    def refs(self) -> list[str]:
        return self.repo.git("for-each-ref", "--format=%(refname)").splitlines()

    def worktrees(self) -> list[str]:
        listed = self.repo.git("worktree", "list", "--porcelain").splitlines()
        return [line.removeprefix("worktree ") for line in listed if line.startswith("worktree ")][1:]

    def containers(self, *, running: bool = False) -> list[str]:
        return _labelled(self.state, lambda engine, ours: engine.containers(all=not running, filters=ours))

    def volumes(self) -> list[str]:
        return _labelled(self.state, lambda engine, ours: engine.volumes(filters=ours)["Volumes"] or [])

    def leftovers(self) -> list[str]:
        """What must never be there once nothing runs."""
        scratch = self.state / "scratch"
        layers = [entry.name for entry in scratch.iterdir()] if scratch.exists() else []
        temporary = [entry.name for entry in Path(self.env["TMPDIR"]).iterdir()]
        return [*self.containers(), *self.volumes(), *layers, *temporary]


def _labelled(
    state: Path, ask: Callable[[docker.APIClient, dict[str, str]], Sequence[Mapping[str, Any]]]
) -> list[str]:
    engine = docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="auto")
    try:
        found = ask(engine, {"label": f"runner.owner={state.resolve()}"})
    finally:
        engine.close()
    return [one["Names"][0] if "Names" in one else one["Name"] for one in found]


@dataclass
class Running:
    """A `runner` that was started and not waited for. Its output is read as it comes."""

    process: subprocess.Popen[str]
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str) -> None:
        """Return once a line on standard error holds the text."""
        with self._came:
            self._came.wait_for(lambda: self._ended or self._has(text), timeout=PATIENCE_S)
        assert self._has(text), f"{text!r} did not come: {''.join(self.seen)}"

    def signal(self, number: signal.Signals) -> Ended:
        self.process.send_signal(number)
        return self.end()

    def end(self) -> Ended:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            out = stdout.read()
        code = self.process.wait(PATIENCE_S)
        self._reader.join()
        return Ended(code, out, "".join(self.seen))

    @property
    def _ended(self) -> bool:
        return not self._reader.is_alive()

    def _has(self, text: str) -> bool:
        return any(text in line for line in self.seen)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            for line in stderr:
                with self._came:
                    self.seen.append(line)
                    self._came.notify_all()
        with self._came:
            self._came.notify_all()


def eventually(claim: Callable[[], bool], *, within_s: float) -> bool:
    """Whether a claim about another process comes true in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if claim():
            return True
        time.sleep(0.2)
    return claim()
