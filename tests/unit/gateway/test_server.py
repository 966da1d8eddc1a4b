"""Doors as sandboxes meet them: sockets in a folder, served from a background thread."""

import asyncio
import shutil
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from runner.clock import SystemClock
from runner.core.model import AttemptKey, WsId
from runner.errors import UnusableError
from runner.gateway.records import Records
from runner.gateway.script import Script
from runner.gateway.scripted import ScriptedUpstream
from runner.gateway.server import Gateway
from runner.gateway.upstream import Reply, Stream, Upstream
from runner.ports import Call, Door, Doors, total
from tests.unit.gateway.stub import KEY, MODEL, WS, FakeUpstream, HangingUpstream

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


GatewayTo = Callable[[Upstream], Gateway]


@pytest.fixture
def gateway_to(tmp_path: Path) -> GatewayTo:
    """A gateway to an upstream, with the records of an empty run."""
    records = Records(tmp_path / "records")
    return lambda upstream: Gateway(upstream, models=[MODEL], records=records, clock=SystemClock())


def of(name: str) -> AttemptKey:
    """The first attempt of a workstream."""
    return replace(KEY, ws_id=WsId(name))


@contextmanager
def visitor(door: Door, timeout: float = 10.0) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(door.folder / "model.sock"), verify=False)
    with httpx.Client(transport=transport, base_url="http://door/v1", timeout=timeout) as client:
        yield client


def ask(door: Door, **more: object) -> httpx.Response:
    with visitor(door) as client:
        return client.post("/chat/completions", json=BODY | more)


def test_a_door_answers_as_soon_as_it_is_open(gateway_to):
    with gateway_to(FakeUpstream()) as gateway, gateway.open(KEY) as door:
        assert ask(door).json()["choices"][0]["message"]["content"] == "hello"
        assert door.take_calls() == [Call(status=200, tokens_in=7, tokens_out=2)]
        assert door.take_calls() == []


def test_other_users_reach_a_socket_only_through_a_mount(gateway_to):
    with gateway_to(FakeUpstream()) as gateway, gateway.open(KEY) as door:
        modes = [
            stat.S_IMODE(path.stat().st_mode)
            for path in (door.folder.parent, door.folder, door.folder / "model.sock")
        ]
        assert modes == [0o700, 0o755, 0o666]


def test_a_door_knows_who_calls(gateway_to):
    plan = {"answers": [{"workstream": name, "content": f"for {name}"} for name in ("a", "b")]}
    upstream = ScriptedUpstream(Script.model_validate(plan))
    with (
        gateway_to(upstream) as gateway,
        gateway.open(of("b")) as second,
        gateway.open(of("a")) as first,
    ):
        assert "for a" in ask(first).text
        assert "for b" in ask(second).text
        assert [len(first.take_calls()), len(second.take_calls())] == [1, 1]


def test_many_doors_answer_at_once(gateway_to):
    with gateway_to(FakeUpstream()) as gateway:

        def visit(number: int) -> tuple[list[int], int]:
            with gateway.open(of(f"ws-{number}")) as door:
                return [ask(door).status_code for _ in range(3)], len(door.take_calls())

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(visit, range(16))) == [([200] * 3, 3)] * 16


def test_a_streamed_answer_is_streamed(gateway_to):
    plan = {"answers": [{"workstream": WS, "content": "x" * 90}]}
    upstream = ScriptedUpstream(Script.model_validate(plan))
    with gateway_to(upstream) as gateway, gateway.open(KEY) as door:
        text = ask(door, stream=True, stream_options={"include_usage": True}).text
        assert text.endswith("data: [DONE]\n\n")
        assert [(call.status, call.tokens_out) for call in door.take_calls()] == [(200, 22)]


def test_a_huge_request_is_refused_while_it_is_being_sent(gateway_to):
    with gateway_to(FakeUpstream()) as gateway, gateway.open(KEY) as door:
        assert ask(door, padding="x" * 9_000_000).status_code == 413


def test_closing_a_door_ends_its_requests_and_takes_the_socket_away(gateway_to):
    upstream = HangingUpstream()
    with (
        ThreadPoolExecutor(1) as pool,
        gateway_to(upstream) as gateway,
        gateway.open(KEY) as other,
    ):
        with gateway.open(KEY) as door:
            waiting = pool.submit(ask, door)
            assert upstream.asked.wait(10)
        assert waiting.result(10).status_code == 500
        assert upstream.cancelled.is_set()
        assert door.take_calls() == [Call(status=0, error="the door was closed")]
        assert not door.folder.exists()
        assert other.folder.exists()


def test_a_request_ends_with_the_agent_that_made_it(gateway_to):
    upstream = HangingUpstream()
    with gateway_to(upstream) as gateway, gateway.open(KEY) as door:
        with visitor(door, timeout=0.2) as client, pytest.raises(httpx.ReadTimeout):
            client.post("/chat/completions", json=BODY)
        assert upstream.cancelled.wait(10)
        with visitor(door) as client:
            client.get("/models")
    assert door.take_calls() == [Call(status=0, error="the agent hung up")]


@pytest.mark.parametrize("stream", [False, True])
def test_an_attempt_that_is_done_again_gets_the_same_for_nothing_and_counts_the_same(stream, gateway_to):
    plan = {"answers": [{"workstream": WS, "content": "x" * 90}]}
    upstream = ScriptedUpstream(Script.model_validate(plan))
    asked = {"stream": stream, "stream_options": {"include_usage": True}}
    with gateway_to(upstream) as gateway, gateway.open(KEY) as door:
        first, calls = ask(door, **asked), door.take_calls()
    with gateway_to(FakeUpstream(never)) as gateway, gateway.open(KEY) as door:
        again, calls_again = ask(door, **asked), door.take_calls()
    assert again.content == first.content
    assert [call.recorded for call in (*calls, *calls_again)] == [False, True]
    assert total(calls_again) == total(calls)
    assert total(calls).tokens_out == 22


def never() -> Reply:
    raise AssertionError("the upstream was asked")


def test_closing_a_door_waits_until_it_is_written_down_what_came_of_its_requests(gateway_to, tmp_path):
    upstream = HangingUpstream()
    with (
        ThreadPoolExecutor(1) as pool,
        gateway_to(upstream) as gateway,
    ):
        with gateway.open(KEY) as door:
            waiting = pool.submit(ask, door)
            assert upstream.asked.wait(10)
        (record,) = tmp_path.glob("records/*/*/*.json")
        assert "nobody waited for the answer" in record.read_text()
        waiting.result(10)


def test_an_answer_that_cannot_be_recorded_is_kept_from_the_agent_and_told_by_the_door(gateway_to, tmp_path):
    statuses = []

    def visit(gateway: Gateway) -> None:
        with gateway.open(KEY) as door:
            shutil.rmtree(tmp_path / "records")
            statuses.append(ask(door).status_code)

    with gateway_to(FakeUpstream()) as gateway, pytest.raises(UnusableError, match="could not be recorded"):
        visit(gateway)
    assert statuses == [502]


def test_leaving_a_stream_early_closes_it(gateway_to):
    closed = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"data: " + b"x" * 10_000 + b"\n\n"
            await asyncio.sleep(0)

    async def close() -> None:
        closed.set()

    upstream = FakeUpstream(lambda: Stream(chunks=endless(), close=close))
    with gateway_to(upstream) as gateway, gateway.open(KEY) as door:
        with (
            visitor(door) as client,
            client.stream("POST", "/chat/completions", json=BODY | {"stream": True}),
        ):
            pass
        assert closed.wait(10)
        assert door.take_calls() == [Call(status=200, error="the agent hung up")]


def test_leaving_the_gateway_leaves_nothing_behind(gateway_to):
    before = threading.active_count()
    upstream = FakeUpstream()
    with gateway_to(upstream) as gateway:
        with gateway.open(KEY) as door:
            ask(door)
        folder = door.folder.parent
    assert not folder.exists()
    assert threading.active_count() == before
    assert upstream.closed


def test_a_door_is_closed_when_its_user_fails(gateway_to):
    with gateway_to(FakeUpstream()) as gateway:
        with pytest.raises(KeyboardInterrupt), gateway.open(KEY) as door:
            raise KeyboardInterrupt
        assert not door.folder.exists()


def test_a_gateway_serves_as_the_port_that_jobs_know(gateway_to):
    with gateway_to(FakeUpstream()) as gateway:
        doors: Doors = gateway
        with doors.open(KEY) as door:
            assert door.take_calls() == []
