"""Doors as sandboxes meet them: sockets in a folder, served from a background thread."""

import asyncio
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from runner.core.model import WsId
from runner.gateway.script import Script
from runner.gateway.scripted import ScriptedUpstream
from runner.gateway.server import Gateway
from runner.gateway.upstream import Stream
from runner.ports import Call, Door, Doors
from tests.unit.gateway.stub import MODEL, WS, FakeUpstream, HangingUpstream

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


@contextmanager
def visitor(door: Door, timeout: float = 10.0) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(door.folder / "model.sock"), verify=False)
    with httpx.Client(transport=transport, base_url="http://door/v1", timeout=timeout) as client:
        yield client


def ask(door: Door, **more: object) -> httpx.Response:
    with visitor(door) as client:
        return client.post("/chat/completions", json=BODY | more)


def test_a_door_answers_as_soon_as_it_is_open():
    with Gateway(FakeUpstream(), models=[MODEL]) as gateway, gateway.open(WS) as door:
        assert ask(door).json()["choices"][0]["message"]["content"] == "hello"
        assert door.take_calls() == [Call(status=200, tokens_in=7, tokens_out=2)]
        assert door.take_calls() == []


def test_other_users_reach_a_socket_only_through_a_mount():
    with Gateway(FakeUpstream(), models=[MODEL]) as gateway, gateway.open(WS) as door:
        modes = [
            stat.S_IMODE(path.stat().st_mode)
            for path in (door.folder.parent, door.folder, door.folder / "model.sock")
        ]
        assert modes == [0o700, 0o755, 0o666]


def test_a_door_knows_who_calls():
    plan = {"answers": [{"workstream": name, "content": f"for {name}"} for name in ("a", "b")]}
    upstream = ScriptedUpstream(Script.model_validate(plan))
    with (
        Gateway(upstream, models=[MODEL]) as gateway,
        gateway.open(WsId("b")) as second,
        gateway.open(WsId("a")) as first,
    ):
        assert "for a" in ask(first).text
        assert "for b" in ask(second).text
        assert [len(first.take_calls()), len(second.take_calls())] == [1, 1]


def test_many_doors_answer_at_once():
    with Gateway(FakeUpstream(), models=[MODEL]) as gateway:

        def visit(number: int) -> tuple[list[int], int]:
            with gateway.open(WsId(f"ws-{number}")) as door:
                return [ask(door).status_code for _ in range(3)], len(door.take_calls())

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(visit, range(16))) == [([200] * 3, 3)] * 16


def test_a_streamed_answer_is_streamed():
    plan = {"answers": [{"workstream": WS, "content": "x" * 90}]}
    upstream = ScriptedUpstream(Script.model_validate(plan))
    with Gateway(upstream, models=[MODEL]) as gateway, gateway.open(WS) as door:
        text = ask(door, stream=True, stream_options={"include_usage": True}).text
        assert text.endswith("data: [DONE]\n\n")
        assert [(call.status, call.tokens_out) for call in door.take_calls()] == [(200, 22)]


def test_a_huge_request_is_refused_while_it_is_being_sent():
    with Gateway(FakeUpstream(), models=[MODEL]) as gateway, gateway.open(WS) as door:
        assert ask(door, padding="x" * 9_000_000).status_code == 413


def test_closing_a_door_ends_its_requests_and_takes_the_socket_away():
    upstream = HangingUpstream()
    with (
        ThreadPoolExecutor(1) as pool,
        Gateway(upstream, models=[MODEL]) as gateway,
        gateway.open(WS) as other,
    ):
        with gateway.open(WS) as door:
            waiting = pool.submit(ask, door)
            assert upstream.asked.wait(10)
        assert waiting.result(10).status_code == 500
        assert upstream.cancelled.is_set()
        assert door.take_calls() == [Call(status=0, error="the door was closed")]
        assert not door.folder.exists()
        assert other.folder.exists()


def test_a_request_ends_with_the_agent_that_made_it():
    upstream = HangingUpstream()
    with Gateway(upstream, models=[MODEL]) as gateway, gateway.open(WS) as door:
        with visitor(door, timeout=0.2) as client, pytest.raises(httpx.ReadTimeout):
            client.post("/chat/completions", json=BODY)
        assert upstream.cancelled.wait(10)
        with visitor(door) as client:
            client.get("/models")
    assert door.take_calls() == [Call(status=0, error="the agent hung up")]


def test_leaving_a_stream_early_closes_it():
    closed = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"data: " + b"x" * 10_000 + b"\n\n"
            await asyncio.sleep(0)

    async def close() -> None:
        closed.set()

    upstream = FakeUpstream(lambda: Stream(chunks=endless(), close=close))
    with Gateway(upstream, models=[MODEL]) as gateway, gateway.open(WS) as door:
        with (
            visitor(door) as client,
            client.stream("POST", "/chat/completions", json=BODY | {"stream": True}),
        ):
            pass
        assert closed.wait(10)
        assert door.take_calls() == [Call(status=200, error="the agent hung up")]


def test_leaving_the_gateway_leaves_nothing_behind():
    before = threading.active_count()
    upstream = FakeUpstream()
    with Gateway(upstream, models=[MODEL]) as gateway:
        with gateway.open(WS) as door:
            ask(door)
        folder = door.folder.parent
    assert not folder.exists()
    assert threading.active_count() == before
    assert upstream.closed


def test_a_door_is_closed_when_its_user_fails():
    with Gateway(FakeUpstream(), models=[MODEL]) as gateway:
        with pytest.raises(KeyboardInterrupt), gateway.open(WS) as door:
            raise KeyboardInterrupt
        assert not door.folder.exists()


def test_a_gateway_serves_as_the_port_that_jobs_know():
    with Gateway(FakeUpstream(), models=[MODEL]) as gateway:
        doors: Doors = gateway
        with doors.open(WS) as door:
            assert door.take_calls() == []
