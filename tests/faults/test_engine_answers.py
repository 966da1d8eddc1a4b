"""An engine that refuses, hangs or loses its answer: SandboxError in time, and the step can be done again."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import docker
import pytest

from runner.errors import EngineError, SandboxError
from runner.ports import End
from tests.contract.conftest import DockerBench
from tests.faults.conftest import ENGINE_TIMEOUT_S, MakeBench, left, until_it_runs
from tests.faults.shim import Shim, Way

pytestmark = pytest.mark.docker

CREATE_VOLUME = "POST /v[0-9.]+/volumes/create"
CREATE = "POST /v[0-9.]+/containers/create"
ATTACH = "POST /v[0-9.]+/containers/[^/]+/attach"
START = "POST /v[0-9.]+/containers/[^/]+/start"
KILL = "POST /v[0-9.]+/containers/[^/]+/kill"
WAIT = "POST /v[0-9.]+/containers/[^/]+/wait"
INSPECT = "GET /v[0-9.]+/containers/[^/]+/json"
REMOVE = "DELETE /v[0-9.]+/containers/"
REMOVE_VOLUME = "DELETE /v[0-9.]+/volumes/"
STEP = [CREATE_VOLUME, CREATE, ATTACH, START, WAIT, INSPECT, REMOVE, REMOVE_VOLUME]


@pytest.fixture
def bench(make_bench: MakeBench, shim: Shim) -> DockerBench:
    bench = make_bench()
    bench.shell("true")  # from here on the client is connected
    return bench


def again_works_and_leaves_nothing(bench: DockerBench) -> None:
    """The same attempt, by the same names."""
    bench.serial -= 1
    ran = bench.shell("cat a.txt")
    assert (ran.end, ran.stdout.text()) == (End.EXITED, "one\n")
    assert left(bench) == ([], [])
    assert list(bench.sandboxes._scratch.iterdir()) == []


@pytest.mark.parametrize("request_", STEP)
@pytest.mark.parametrize("way", ["refuse", "drop_reply"])
def test_a_lost_request_or_answer_is_no_verdict(bench: DockerBench, shim: Shim, way: Way, request_: str):
    with shim.fault(way, request_), pytest.raises(SandboxError):
        bench.shell("true")
    again_works_and_leaves_nothing(bench)


@pytest.mark.parametrize("request_", [CREATE, WAIT, REMOVE])
def test_an_engine_that_hangs_is_given_up_in_time(bench: DockerBench, shim: Shim, request_: str):
    began = time.monotonic()
    with shim.fault("hang", request_), pytest.raises(SandboxError):
        bench.shell("true")
    assert time.monotonic() - began < 10 * ENGINE_TIMEOUT_S
    again_works_and_leaves_nothing(bench)


def test_an_engine_that_hangs_from_the_beginning_is_no_engine(make_bench: MakeBench, shim: Shim):
    with shim.fault("hang", ""), pytest.raises(EngineError, match="No container engine answers"):
        make_bench().shell("true")


@pytest.mark.parametrize("way", ["refuse", "hang"])
def test_a_kill_that_does_not_get_through_is_given_up_in_time(bench: DockerBench, shim: Shim, way: Way):
    with shim.fault(way, KILL), pytest.raises(SandboxError) as caught:
        bench.shell("sleep 600", timeout_s=1.0)
    assert caught.value.brief == "The engine does not end a container that was killed"
    again_works_and_leaves_nothing(bench)


def test_a_kill_whose_answer_is_lost_has_killed(bench: DockerBench, shim: Shim):
    with shim.fault("drop_reply", KILL):
        assert bench.shell("sleep 600", timeout_s=1.0).end is End.TIMEOUT
    again_works_and_leaves_nothing(bench)


def test_a_stream_that_is_cut_is_no_verdict_even_when_the_command_ends_well(bench: DockerBench, shim: Shim):
    with shim.fault("cut", ATTACH), pytest.raises(SandboxError):
        bench.shell("echo begun; sleep 1; echo done")
    again_works_and_leaves_nothing(bench)


def test_cancelling_returns_at_once_while_the_engine_hangs(bench: DockerBench, shim: Shim):
    with ThreadPoolExecutor() as pool:
        running = pool.submit(bench.shell, "sleep 600")
        until_it_runs(bench, "sleep 600")
        with shim.fault("hang", "kill|DELETE"):
            began = time.monotonic()
            bench.sandboxes.cancel()
            assert time.monotonic() - began < 1
            assert isinstance(running.exception(), SandboxError)
    assert len(bench.sandboxes.reap()) == 1
    assert left(bench) == ([], [])


def test_a_removal_that_somebody_else_began_is_waited_for(bench: DockerBench, shim: Shim):
    with shim.fault("conflict", REMOVE, times=3):
        assert bench.shell("true").end is End.EXITED
    assert left(bench) == ([], [])


def test_a_volume_without_its_container_makes_way(bench: DockerBench):
    with bench.sandboxes.open(bench.spec()), closing(docker.APIClient()) as client:
        [name], [volume] = left(bench)
        client.remove_container(name)
        assert left(bench) == ([], [volume])
        again_works_and_leaves_nothing(bench)


def test_reaping_while_another_does_too_is_no_fault(make_bench: MakeBench, shim: Shim):
    one, other = make_bench(), make_bench()
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(one.sandboxes.open(one.spec()))
        with ThreadPoolExecutor() as pool:
            reaped = list(pool.map(lambda bench: bench.sandboxes.reap(), [one, other]))
        assert left(one) == ([], [])
    assert {name for names in reaped for name in names} != set()
