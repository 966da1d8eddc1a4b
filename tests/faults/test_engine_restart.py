"""The engine is killed and started again while a command runs: no verdict, no hang, and the step can be done again."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from runner.errors import SandboxError
from runner.ports import End, Ran
from tests.contract.conftest import DockerBench
from tests.faults.conftest import MakeBench, left, until_it_runs
from tests.faults.engine import PrivateEngine

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(120),
    # docker-py forgets its socket when nobody answers.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_an_engine_that_is_killed_and_comes_back(make_bench: MakeBench, private_engine: PrivateEngine):
    bench = make_bench()
    with running(bench, private_engine) as command:
        private_engine.kill()
        assert isinstance(command.exception(), SandboxError)
        private_engine.start()
    again_works_and_leaves_nothing(bench, private_engine)


def test_an_engine_that_is_killed_and_comes_back_to_living_containers(
    make_bench: MakeBench, private_engine: PrivateEngine
):
    """Docker before 24 miscounts the uses of such a container's volume (moby 44422) until its next restart."""
    private_engine.stop()
    private_engine.start(live_restore=True)
    bench = make_bench()
    with running(bench, private_engine) as command:
        private_engine.kill()
        assert isinstance(command.exception(), SandboxError)
        private_engine.start(live_restore=True)
    try:
        again_works_and_leaves_nothing(bench, private_engine)
    except SandboxError as error:
        assert "volume has active mounts" in error.details  # noqa: PT017 - newer engines raise nothing
        private_engine.stop()
        private_engine.start(live_restore=True)
        again_works_and_leaves_nothing(bench, private_engine)


def test_an_engine_that_is_stopped_in_order(make_bench: MakeBench, private_engine: PrivateEngine):
    bench = make_bench()
    with running(bench, private_engine) as command:
        private_engine.stop()
        assert isinstance(command.exception(), SandboxError)
        private_engine.start()
    again_works_and_leaves_nothing(bench, private_engine)


@contextmanager
def running(bench: DockerBench, engine: PrivateEngine) -> Iterator[Future[Ran]]:
    with ThreadPoolExecutor() as pool:
        command = pool.submit(bench.shell, "sleep 600 & sleep 500", image=PrivateEngine.IMAGE)
        until_it_runs(bench, "sleep 600", engine.address)
        yield command


def again_works_and_leaves_nothing(bench: DockerBench, engine: PrivateEngine) -> None:
    """The same attempt, by the same names, and then the reaping of a new start."""
    bench.serial -= 1
    ran = bench.shell("cat a.txt; echo x > a.txt", image=PrivateEngine.IMAGE)
    assert (ran.end, ran.stdout.text()) == (End.EXITED, "one\n")
    assert left(bench, engine.address) == ([], [])
    assert bench.sandboxes.reap() == []
    assert list(bench.sandboxes._scratch.iterdir()) == []
    assert (bench.worktree.path / "a.txt").read_text() == "one\n"
