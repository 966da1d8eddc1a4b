"""Who ended a container: the command and our own limits give verdicts, everybody else gives SandboxError."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import docker
import pytest

from runner.core.model import Limits
from runner.errors import SandboxError
from runner.ports import Command, End
from tests.contract.conftest import DockerBench
from tests.faults.conftest import MakeBench, left, until_it_runs

pytestmark = pytest.mark.docker


@pytest.fixture
def bench(make_bench: MakeBench) -> DockerBench:
    return make_bench()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 125", 125),
        ("exit 137", 137),
        ("exit 143", 143),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("kill -SEGV $$", 139),
    ],
)
def test_a_command_may_end_in_any_way_by_itself(bench: DockerBench, script: str, code: int):
    ran = bench.shell(f"printf out; printf err >&2; {script}")
    assert (ran.end, ran.exit_code, ran.stdout.text(), ran.stderr.text()) == (End.EXITED, code, "out", "err")


@pytest.mark.parametrize("number", ["KILL", "TERM", "INT", "HUP", "SEGV"])
def test_a_command_cannot_end_its_supervisor_and_so_pass_for_lost(bench: DockerBench, number: str):
    ran = bench.shell(f"kill -{number} $PPID; kill -{number} 1; kill -{number} -1; echo on; exit 3")
    assert (ran.end, ran.exit_code, ran.stdout.text()) == (End.EXITED, 3, "on\n")


def test_the_supervisors_word_is_the_last_whatever_is_still_printing(bench: DockerBench):
    chatter = (
        "(setsid sh -c 'while :; do echo chatter >&2; done' &); (setsid sleep 600 &); sleep 0.2; exit 137"
    )
    ran = bench.shell(chatter, limits=Limits(memory_mb=256, pids=64, output_bytes=1 << 30))
    assert (ran.end, ran.exit_code) == (End.EXITED, 137)
    assert "supervisor" not in ran.stderr.text()


def test_an_error_stream_that_does_not_block_still_takes_the_supervisors_word(bench: DockerBench):
    script = "import os; os.set_blocking(2, False)\ntry:\n  while True: os.write(2, b'x' * 4096)\nexcept BlockingIOError: pass"
    ran = bench.shell(f'python3 -c "{script}"', limits=Limits(memory_mb=256, output_bytes=1 << 30))
    assert (ran.end, ran.exit_code) == (End.EXITED, 0)


def test_a_command_that_imitates_the_supervisor_hides_nothing(bench: DockerBench):
    ran = bench.shell("echo 'supervisor: ended 0' >&2; exit 4")
    assert (ran.exit_code, ran.stderr.text()) == (4, "supervisor: ended 0\n")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_container_that_is_ended_from_outside_is_no_verdict(bench: DockerBench, how: str):
    with end_from_outside(bench, how), pytest.raises(SandboxError) as caught:
        bench.shell("echo working >&2; sleep 60")
    assert caught.value.brief == "The container of ws-a/edit#1 was lost while its command ran"
    assert caught.value.details == "exit code 137, last words: working"
    assert left(bench) == ([], [])


def test_a_container_that_is_removed_from_outside_is_no_verdict(bench: DockerBench):
    with end_from_outside(bench, "remove"), pytest.raises(SandboxError):
        bench.shell("sleep 60")
    assert left(bench) == ([], [])


def test_a_supervisor_that_fails_is_no_verdict_about_the_command(bench: DockerBench):
    with pytest.raises(SandboxError) as caught, bench.sandboxes.open(bench.spec()) as sandbox:
        sandbox.run(Command(argv=["true"], files={"no/such/folder": "text"}))
    assert "exit code 1, last words: " in caught.value.details
    assert "FileNotFoundError" in caught.value.details


def test_an_end_of_ours_needs_no_word(bench: DockerBench):
    ran = bench.shell("printf err >&2; sleep 60", timeout_s=2.0)
    assert (ran.end, ran.exit_code, ran.stderr.text()) == (End.TIMEOUT, 137, "err")


@contextmanager
def end_from_outside(bench: DockerBench, how: str) -> Iterator[None]:
    """Ends the bench's container as soon as its command runs."""
    ways: dict[str, Callable[[docker.APIClient, str], object]] = {
        "kill": lambda client, name: client.kill(name),
        "stop": lambda client, name: client.stop(name),
        "remove": lambda client, name: client.remove_container(name, force=True),
    }

    def end() -> None:
        with closing(docker.APIClient()) as client:
            ways[how](client, until_it_runs(bench, "sleep"))

    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield
    finally:
        thread.join()
