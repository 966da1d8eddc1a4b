"""An upstream that is asked once for each answer: what it said is recorded before it is passed on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from dataclasses import replace

import anyio

from runner.clock import Clock
from runner.core.model import AttemptKey
from runner.gateway.chat import ChatRequest, EventReader
from runner.gateway.exchange import Exchange, Received, Streamed
from runner.gateway.records import AttemptRecords
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, StreamBrokenError, Upstream

_NOT_RECORDED = "the answer could not be recorded"


class Recorded:
    """The upstream of one attempt. When the attempt is done again, its requests get the answers they got before.

    Every whole answer is kept, bad ones too, so that the attempt takes the same way. That a request came to nothing
    is written down as well, but it is asked anew. An answer that cannot be recorded is not passed on.
    """

    def __init__(self, upstream: Upstream, records: AttemptRecords, clock: Clock) -> None:
        self._upstream = upstream
        self._records = records
        self._clock = clock

    def preflight(self) -> None:
        self._upstream.preflight()

    async def complete(self, key: AttemptKey, request: ChatRequest) -> Reply:
        match self._records.take(request.body):
            case Answer() as answer:
                return replace(answer, recorded=True)
            case Streamed(chunks=chunks):
                return Stream(chunks=_each(chunks), close=_nothing, recorded=True)
            case None:
                return await self._asked(key, request)

    async def aclose(self) -> None:
        await self._upstream.aclose()

    async def _asked(self, key: AttemptKey, request: ChatRequest) -> Reply:
        numbered = replace(request, number=self._records.next_number())
        asking = _Asking(numbered, self._records, self._clock)
        try:
            reply = await self._upstream.complete(key, numbered)
        except anyio.get_cancelled_exc_class():
            asking.end(NoAnswer(reason="nobody waited for the answer"))
            raise
        if isinstance(reply, Stream):
            followed = _FollowedStream(reply, asking)
            return Stream(chunks=followed.chunks(), close=followed.close)
        try:
            await _done(asking.end(reply))
        except OSError as error:
            return NoAnswer(reason=f"{_NOT_RECORDED}: {error.strerror}")
        return reply


class _Asking:
    """A request that is on its way, until it is known what came of it."""

    def __init__(self, request: ChatRequest, records: AttemptRecords, clock: Clock) -> None:
        self._request = request
        self._records = records
        self._clock = clock
        self._asked_at = clock.now()
        self._began = clock.monotonic()

    def end(self, reply: Received | NoAnswer) -> Future[None]:
        exchange = Exchange(
            request=self._request.body,
            asked_at=self._asked_at,
            duration_s=self._clock.monotonic() - self._began,
            reply=reply,
        )
        return self._records.keep(self._request.number, exchange)


class _FollowedStream:
    """Passes chunks on as they come; the one with which the answer is whole waits for the record."""

    def __init__(self, stream: Stream, asking: _Asking) -> None:
        self._stream = stream
        self._asking = asking
        self._ended = False
        self._recorded = False

    async def chunks(self) -> AsyncIterator[bytes]:
        seen: list[bytes] = []
        events = EventReader()
        try:
            async for chunk in self._stream.chunks:
                if events.done:
                    continue  # nothing that counts: it is read so that the connection can be used again
                events.feed(chunk)
                seen.append(chunk)
                if events.done:
                    await self._keep(seen)
                yield chunk
        except StreamBrokenError as broken:
            if self._recorded:
                return  # all that counts had come
            if not self._ended:
                self._end(NoAnswer(reason=str(broken)))
            raise
        if not self._recorded:  # an endpoint that does not say when it is done: it is when it stops
            await self._keep(seen)

    async def close(self) -> None:
        if not self._ended:
            self._end(NoAnswer(reason="the agent hung up"))
        await self._stream.close()

    async def _keep(self, seen: Sequence[bytes]) -> None:
        try:
            await _done(self._end(Streamed(chunks=tuple(seen))))
        except OSError as error:
            raise StreamBrokenError(f"{_NOT_RECORDED}: {error.strerror}") from None
        self._recorded = True

    def _end(self, reply: Streamed | NoAnswer) -> Future[None]:
        self._ended = True
        return self._asking.end(reply)


async def _done(future: Future[None]) -> None:
    """Wait for a record. Shielded, so that a record is written even when the agent goes meanwhile."""
    await asyncio.shield(asyncio.wrap_future(future))


async def _each(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def _nothing() -> None:
    pass
