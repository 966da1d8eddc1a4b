"""One target repository with everything around it, in which orchestrators are started, killed and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from runner.core.records import RunRecord
from runner.core.transitions import RUN_ENDED
from runner.errors import ExitCode
from runner.store import queries
from runner.store.db import reading
from tests.conftest import GitRepo
from tests.crash import agent
from tests.crash.failpoints import Failpoint, Passed, read_trace
from tests.crash.model import NAME, Model, serving
from tests.crash.plans import Sample
from tests.e2e.command import Target

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0

PROFILES = {
    "aider": {
        "type": "ai",
        "parser": "aider",
        "command": "/usr/bin/python3",
        "args": ["-I", "-S", "-c", Path(agent.__file__).read_text()],
    },
    "words": {
        "type": "static_check",
        "command": "grep",
        "args": ["-n", "WRONG", "{files}"],
        "success_exit_codes": [1],  # nothing found
        "findings_exit_codes": [0],
    },
}


@dataclass
class World:
    folder: Path
    sample: Sample
    target: Target
    model: Model
    deaths: int = 0
    resumed: bool = False  # whether an orchestrator had to go on with a run that was cut off
    asked_in_vain: list[str] = field(default_factory=list)
    _asked_before: int = 0
    _known_before: set[str] = field(default_factory=set)

    @property
    def db(self) -> Path:
        return self.target.state / "state" / "pipeline_state.db"

    @property
    def output(self) -> str:
        """What all orchestrators printed."""
        return (self.folder / "log.txt").read_text()

    def run(self) -> RunRecord | None:
        """The latest run, once it is recorded."""
        if not self.db.exists() or not self.db.stat().st_size:
            return None
        with reading(self.db) as connection:
            known = queries.all_runs(connection)
        return known[0] if known else None

    def finish(self) -> None:
        """Do what a person would do until the run has come to its end. Raises AssertionError when it does not."""
        allowed = {self.sample.exit_code}
        if self.has_ended():
            allowed.add(ExitCode.USAGE)  # there is nothing to go on with
        code = self.end(self.start("runner", *self.next_arguments()))
        assert code in allowed, self.explain([f"exit code {code}"])

    def clean_up(self) -> None:
        """Remove what a person would remove now and then."""
        code = self.end(self.start("runner", "gc"))
        assert code == ExitCode.OK, self.explain([f"exit code {code}"])

    def has_ended(self) -> bool:
        run = self.run()
        return run is not None and run.status in RUN_ENDED

    def explain(self, problems: Sequence[str]) -> str:
        """What is wrong, with what the last orchestrator printed and where to look."""
        printed = [part for part in self.output.split("\n$ ") if not part.startswith("runner gc")]
        last = printed[-1].splitlines()[-15:]
        return "\n".join([*problems, f"everything is in {self.folder}; printed was:", *last])

    def watch(self, *, kill_at: Failpoint | None = None, nth: int = 1) -> tuple[int, list[Passed]]:
        """Run or resume, watched: the exit code, and the failpoints that it came by."""
        trace = self.folder / "trace.txt"
        kill = ["--kill", str(kill_at), "--nth", str(nth)] if kill_at else []
        arguments = ["--trace", str(trace), *kill, "--", *self.next_arguments()]
        code = self.end(self.start("tests.crash.orchestrator", *arguments))
        return code, read_trace(trace)

    def next_arguments(self) -> list[str]:
        """What a person would type now: resume the run that was cut off, or run, when there is none yet."""
        run = self.run()
        if run is None:
            return ["run", "--plan", str(self.folder / "plan.json"), "--parallel", "2", *self.sample.options]
        self.resumed = self.resumed or run.status not in RUN_ENDED
        return ["resume", run.run_id]

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """A module of Python in a process group of its own."""
        self._asked_before, self._known_before = len(self.model.asked), self._on_record()
        with (self.folder / "log.txt").open("a") as log:
            print("$", module, *arguments, file=log, flush=True)
            return subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                cwd=self.target.folder,
                env=self.target.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def end(self, process: subprocess.Popen[str], *, kill_after_s: float | None = None) -> int:
        """Wait for the end, or bring it about; the exit code. Raises AssertionError when it hangs."""
        try:
            code = process.wait(PATIENCE_S if kill_after_s is None else kill_after_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
            assert kill_after_s is not None, "it did not end"
        self.deaths += code == -signal.SIGKILL
        asked = self.model.asked[self._asked_before :]
        self.asked_in_vain += [question for question in asked if question in self._known_before]
        return code

    def _on_record(self) -> set[str]:
        """The questions to which there is an answer on disk."""
        kept = (json.loads(path.read_bytes()) for path in self.target.state.glob("records/*/*/*/*.json"))
        return {one["request"]["sha256"] for one in kept if "status" in one["reply"]}


@contextmanager
def new_world(sample: Sample) -> Iterator[World]:
    """A fresh target repository for a sample, and its model. Its folder stays when an error flies."""
    folder = Path(tempfile.mkdtemp(prefix="crash-", dir="/tmp"))  # short: sockets lie below it
    with serving(Model(sample.answers)) as model:
        yield World(folder, sample, _target(folder, sample, model), model)
    shutil.rmtree(folder)


def _target(folder: Path, sample: Sample, model: Model) -> Target:
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    repo = GitRepo(folder / "repo")
    repo.path.mkdir()
    repo.git("init", "-q", "-b", "main")
    repo.commit({"README.md": "# Notes\n", "right/old/gone.txt": "old\n", "right/kept.txt": "kept\n"}, "Base")
    for branch in sample.branches:
        repo.git("branch", branch)
    (folder / "plan.json").write_text(json.dumps(list(sample.bundles)))
    (folder / "profiles.json").write_text(json.dumps(PROFILES))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RUNNER_MODEL__BASE_URL": model.base_url,
        "RUNNER_MODEL__NAME": NAME,
        "RUNNER_PATHS__TOOL_PROFILES": str(folder / "profiles.json"),
        "RUNNER_HOST__FOLDER": str(folder / "host"),
        "RUNNER_LIMITS__MEMORY_MB": "256",
    }
    if "DOCKER_HOST" in os.environ:
        env["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
    return Target(repo, env)
