import asyncio
from collections.abc import AsyncIterator

import pytest

from runner.gateway.retry import Retrying
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, Upstream
from tests.unit.gateway.stub import COMPLETION, KEY, FakeUpstream, chat, everything

GOOD = Answer(status=200, body=COMPLETION)
DROPPED = NoAnswer(reason="dropped")


def failing(status: int, retry_after_s: float | None = None) -> Answer:
    return Answer(status=status, body=b"{}", retry_after_s=retry_after_s)


def complete(upstream: Upstream, **options: int) -> tuple[Reply, list[float]]:
    """The reply to one request, and the pauses that were made for it."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    patient = Retrying(upstream, sleep=sleep, **options)
    return asyncio.run(patient.complete(KEY, chat())), pauses


@pytest.mark.parametrize(
    ("replies", "requests", "pauses"),
    [
        ([GOOD], 1, []),
        ([failing(500), GOOD], 2, [0.5]),
        ([DROPPED, failing(503), failing(502), GOOD], 4, [0.5, 1.0, 2.0]),
        ([failing(429, 7.0), GOOD], 2, [7.0]),
        ([failing(429), GOOD], 2, [0.5]),
        ([failing(529), GOOD], 2, [0.5]),
    ],
)
def test_a_passing_failure_is_survived(replies, requests, pauses):
    upstream = FakeUpstream(*replies)
    assert complete(upstream) == (GOOD, pauses)
    assert len(upstream.requests) == requests


@pytest.mark.parametrize("reply", [failing(500), failing(429, 1.0), DROPPED])
def test_patience_ends_with_the_last_failure_as_the_reply(reply):
    upstream = FakeUpstream(reply)
    assert complete(upstream, retries=3)[0] == reply
    assert len(upstream.requests) == 4


@pytest.mark.parametrize(
    "reply",
    [
        failing(400),
        failing(401),
        failing(402),
        failing(403),
        failing(404),
        failing(413),
        failing(429, 61.0),  # longer than anyone wants to wait
        NoAnswer(reason="slow", timed_out=True),  # has had its time
    ],
)
def test_what_does_not_pass_is_not_asked_again(reply):
    upstream = FakeUpstream(reply)
    assert complete(upstream) == (reply, [])
    assert len(upstream.requests) == 1


def test_pauses_are_bounded():
    _, pauses = complete(FakeUpstream(DROPPED), retries=9)
    assert max(pauses) == 8.0


def test_a_stream_is_passed_on():
    async def close() -> None:
        pass

    async def chunks() -> AsyncIterator[bytes]:
        yield b"data: [DONE]\n\n"

    upstream = FakeUpstream(Stream(chunks=chunks(), close=close))
    reply, _ = complete(upstream)
    assert isinstance(reply, Stream)
    assert asyncio.run(everything(reply.chunks)) == b"data: [DONE]\n\n"


def test_a_bug_is_not_asked_again():
    def bug() -> Reply:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        complete(FakeUpstream(bug))
