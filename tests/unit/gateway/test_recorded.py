import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.clock import SystemClock
from runner.core.model import AttemptKey
from runner.errors import UnusableError
from runner.gateway.chat import ChatRequest
from runner.gateway.exchange import Exchange, Streamed, from_json
from runner.gateway.recorded import Recorded
from runner.gateway.records import Records
from runner.gateway.script import Script
from runner.gateway.scripted import ScriptedUpstream
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, StreamBrokenError, Upstream
from tests.unit.gateway.stub import COMPLETION, KEY, MODEL, WS, FakeUpstream, HangingUpstream, chat

DONE = b"data: [DONE]\n\n"
GOOD = Answer(status=200, body=COMPLETION)
BUSY = Answer(status=429, body=b'{"error": {"message": "busy"}}', retry_after_s=7.5)


def streamed(*chunks: bytes, broken: str = "") -> Callable[[], Stream]:
    async def events() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if broken:
            raise StreamBrokenError(broken)

    async def close() -> None:
        pass

    return lambda: Stream(chunks=events(), close=close)


async def read(reply: Reply) -> tuple[object, ...]:
    """All that a reply says, in a form that can be compared."""
    if not isinstance(reply, Stream):
        return (replace(reply, recorded=False) if isinstance(reply, Answer) else reply,)
    seen: list[object] = []
    try:
        async for chunk in reply.chunks:
            seen.append(chunk)  # noqa: PERF401 - what came before a loss counts
    except StreamBrokenError as broken:
        seen.append(str(broken))
    finally:
        await reply.close()
    return tuple(seen)


def asked(
    folder: Path, upstream: Upstream, *requests: ChatRequest, key: AttemptKey = KEY
) -> list[tuple[object, ...]]:
    """What an attempt is answered to its requests, asked one after the other."""

    async def ask(recorded: Recorded) -> list[tuple[object, ...]]:
        return [await read(await recorded.complete(key, request)) for request in requests]

    with Records(folder).open(key) as records:
        return asyncio.run(ask(Recorded(upstream, records, SystemClock())))


def kept(folder: Path) -> list[Exchange]:
    return [from_json(path.read_bytes()) for path in sorted(folder.glob("*/*/*.json"))]


def never() -> Reply:
    raise AssertionError("the upstream was asked")


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        BUSY,
        streamed(b"data: {}\n\n", DONE),
        streamed(b"data: {}\n\n", b"data: 1\n\n"),
        streamed(b"da", b"ta: [DONE]\n\n"),
    ],
)
def test_what_was_received_is_served_to_the_byte_and_the_upstream_is_not_asked(reply, tmp_path: Path):
    first = asked(tmp_path, FakeUpstream(reply), chat(stream=True))
    assert asked(tmp_path, FakeUpstream(never), chat(stream=True)) == first


def test_what_is_served_says_so(tmp_path: Path):
    requests = [chat(), chat(stream=True)]
    asked(tmp_path, FakeUpstream(GOOD, streamed(DONE)), *requests)
    with Records(tmp_path).open(KEY) as records:
        recorded = Recorded(FakeUpstream(never), records, SystemClock())
        replies = [asyncio.run(recorded.complete(KEY, request)) for request in requests]
    assert [isinstance(reply, Answer | Stream) and reply.recorded for reply in replies] == [True, True]


def test_a_request_that_is_new_goes_to_the_upstream_and_is_recorded_after(tmp_path: Path):
    asked(tmp_path, FakeUpstream(GOOD), chat())
    other = replace(chat(), body=b'{"other": 1}')
    upstream = FakeUpstream(BUSY)
    assert asked(tmp_path, upstream, chat(), other) == [(GOOD,), (BUSY,)]
    assert [request.body for request in upstream.requests] == [other.body]
    assert asked(tmp_path, FakeUpstream(never), other, chat()) == [(BUSY,), (GOOD,)]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (NoAnswer(reason="no route"), "no route"),
        (streamed(b"data: {}\n\n", broken="the connection was lost"), "the connection was lost"),
    ],
)
def test_what_came_to_nothing_is_asked_again(reply, reason, tmp_path: Path):
    asked(tmp_path, FakeUpstream(reply), chat())
    assert [exchange.reply for exchange in kept(tmp_path)] == [NoAnswer(reason=reason)]
    assert asked(tmp_path, FakeUpstream(GOOD), chat()) == [(GOOD,)]
    assert [exchange.reply for exchange in kept(tmp_path)] == [GOOD]


def test_an_answer_that_nobody_waited_for_is_asked_again(tmp_path: Path):
    async def leave(recorded: Recorded) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(recorded.complete(KEY, chat()), 0.01)

    with Records(tmp_path).open(KEY) as records:
        asyncio.run(leave(Recorded(HangingUpstream(), records, SystemClock())))
    assert [exchange.reply for exchange in kept(tmp_path)] == [
        NoAnswer(reason="nobody waited for the answer")
    ]
    assert asked(tmp_path, FakeUpstream(GOOD), chat()) == [(GOOD,)]


def test_an_answer_that_was_received_is_recorded_even_when_the_agent_leaves_meanwhile(tmp_path: Path):
    busy = Exchange(request=b"other", asked_at=SystemClock().now(), duration_s=0.0, reply=GOOD)

    async def leave(recorded: Recorded) -> None:
        waiting = asyncio.create_task(recorded.complete(KEY, chat()))
        while not upstream.requests:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with Records(tmp_path).open(KEY) as records:

        def keep_the_writer_busy() -> Reply:
            for number in range(100, 150):
                records.keep(number, busy)
            return GOOD

        upstream = FakeUpstream(keep_the_writer_busy)
        asyncio.run(leave(Recorded(upstream, records, SystemClock())))
    assert asked(tmp_path, FakeUpstream(never), chat()) == [(GOOD,)]


def test_a_stream_that_is_left_half_way_is_asked_again(tmp_path: Path):
    async def leave(recorded: Recorded) -> None:
        reply = await recorded.complete(KEY, chat(stream=True))
        assert isinstance(reply, Stream)
        await anext(reply.chunks)
        await reply.close()

    with Records(tmp_path).open(KEY) as records:
        asyncio.run(leave(Recorded(FakeUpstream(streamed(b"data: {}\n\n", DONE)), records, SystemClock())))
    assert [exchange.reply for exchange in kept(tmp_path)] == [NoAnswer(reason="the agent hung up")]


@pytest.mark.parametrize("end", [(), (b"\n", b": bye\n\n")])
@pytest.mark.parametrize("broken", ["", "the connection was lost"])
def test_what_comes_after_the_last_event_does_not_count(end, broken, tmp_path: Path):
    upstream = FakeUpstream(streamed(b"data: {}\n\n", DONE, *end, broken=broken))
    assert asked(tmp_path, upstream, chat(stream=True)) == [(b"data: {}\n\n", DONE)]
    assert [exchange.reply for exchange in kept(tmp_path)] == [Streamed(chunks=(b"data: {}\n\n", DONE))]


def test_chunks_come_at_once_and_the_last_one_after_the_record(tmp_path: Path):
    """For each chunk that the agent gets: how many records there were by then."""

    async def watch(recorded: Recorded) -> list[int]:
        reply = await recorded.complete(KEY, chat(stream=True))
        assert isinstance(reply, Stream)
        return [len(kept(tmp_path)) async for _ in reply.chunks]

    with Records(tmp_path).open(KEY) as records:
        upstream = FakeUpstream(streamed(b"data: 1\n\n", b"data: 2\n\n", DONE))
        assert asyncio.run(watch(Recorded(upstream, records, SystemClock()))) == [0, 0, 1]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (GOOD, (NoAnswer(reason="the answer could not be recorded: No such file or directory"),)),
        (
            streamed(b"data: {}\n\n", DONE),
            (b"data: {}\n\n", "the answer could not be recorded: No such file or directory"),
        ),
    ],
)
def test_what_cannot_be_recorded_is_not_passed_on(reply, told, tmp_path: Path):
    def lose_the_folder() -> Reply:
        shutil.rmtree(tmp_path / WS)
        made: Reply = reply() if callable(reply) else reply
        return made

    seen: list[tuple[object, ...]] = []

    async def ask(recorded: Recorded) -> None:
        seen.append(await read(await recorded.complete(KEY, chat())))

    with pytest.raises(UnusableError, match="could not be recorded"), Records(tmp_path).open(KEY) as records:
        asyncio.run(ask(Recorded(FakeUpstream(lose_the_folder), records, SystemClock())))
    assert seen == [told]


def request_of(body: str) -> ChatRequest:
    return ChatRequest(model=MODEL, body=body.encode())


def test_a_script_goes_on_in_another_process_where_it_was_left(tmp_path: Path):
    answers: list[dict[str, object]] = [
        {"content": "one"},
        {"status": 503, "times": 2},
        {"drop": True},
        {"content": "two"},
    ]
    script = Script.model_validate({"answers": [{"workstream": WS} | answer for answer in answers]})
    first, second = [request_of(text) for text in "abcd"], [request_of("e")]
    fix = replace(KEY, attempt=2)
    with TemporaryDirectory() as undisturbed:
        upstream = ScriptedUpstream(script)
        expected = (
            asked(Path(undisturbed), upstream, *first),
            asked(Path(undisturbed), upstream, *second, key=fix),
        )
    for cut in range(5):
        folder = tmp_path / str(cut)
        asked(folder, ScriptedUpstream(script), *first[:cut])
        again = asked(folder, ScriptedUpstream(script), *first)
        assert (again, asked(folder, ScriptedUpstream(script), *second, key=fix)) == expected


@dataclass
class Oracle(FakeUpstream):
    """Answers a request by its number, after a while; `received` counts what it was asked for and gave whole."""

    told: Sequence[Reply | Callable[[], Reply]]
    pauses: Sequence[int]
    received: Counter[int] = field(default_factory=Counter)

    async def complete(self, _key: AttemptKey, request: ChatRequest, /) -> Reply:
        for _ in range(self.pauses[request.number - 1]):
            await asyncio.sleep(0)
        told = self.told[request.number - 1]
        if told in _WHOLE:
            self.received[request.number] += 1
        return told() if callable(told) else told


_STREAM = streamed(b"data: {}\n\n", b"data: \xff\n\n", DONE)
_WHOLE: Sequence[Reply | Callable[[], Reply]] = [GOOD, BUSY, _STREAM]
_LOST: Sequence[Reply | Callable[[], Reply]] = [
    NoAnswer(reason="gone"),
    streamed(b"data: {}\n\n", broken="lost"),
]


def life(
    folder: Path, upstream: Upstream, requests: Sequence[ChatRequest], *, at_once: bool
) -> list[tuple[object, ...]]:
    """One opening of the door: the requests come one by one, or all together."""
    if not at_once:
        return asked(folder, upstream, *requests)

    async def ask(recorded: Recorded) -> list[tuple[object, ...]]:
        async def one(request: ChatRequest) -> tuple[object, ...]:
            return await read(await recorded.complete(KEY, request))

        return await asyncio.gather(*(one(request) for request in requests))

    with Records(folder).open(KEY) as records:
        return asyncio.run(ask(Recorded(upstream, records, SystemClock())))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_however_often_an_attempt_is_done_again_each_answer_is_received_once(data: st.DataObject):
    told = data.draw(st.lists(st.sampled_from([*_WHOLE, *_LOST]), min_size=1, max_size=6))
    requests = [request_of(str(number)) for number in range(len(told))]
    pauses = data.draw(st.lists(st.integers(0, 5), min_size=len(told), max_size=len(told)))
    lives = data.draw(st.lists(st.tuples(st.integers(0, len(told)), st.booleans()), max_size=4))
    upstream = Oracle(told, pauses)
    with TemporaryDirectory() as undisturbed, TemporaryDirectory() as disturbed:
        expected = asked(Path(undisturbed), Oracle(told, pauses), *requests)
        for asks, at_once in [*lives, (len(told), False)]:
            seen = life(Path(disturbed), upstream, requests[:asks], at_once=at_once)
            assert seen == expected[:asks]
    assert upstream.received == Counter(number for number, one in enumerate(told, 1) if one in _WHOLE)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_requests_that_are_the_same_share_what_was_received(data: st.DataObject):
    told = [Answer(status=200, body=b"%d" % number) for number in range(8)]
    bodies = data.draw(st.lists(st.sampled_from("ab"), max_size=6))
    lives = data.draw(st.lists(st.permutations(bodies), max_size=3))
    upstream = Oracle(told, [0] * 8)
    with TemporaryDirectory() as folder:
        answers = [
            Counter(
                zip(
                    order,
                    life(Path(folder), upstream, [request_of(body) for body in order], at_once=True),
                    strict=True,
                )
            )
            for order in [bodies, *lives]
        ]
    assert all(again == answers[0] for again in answers)
    assert all(times == 1 for times in upstream.received.values())
