"""A streamed answer on its way to the agent."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from runner.gateway.chat import EventReader, error_body
from runner.gateway.upstream import Stream, StreamBrokenError
from runner.ports import Call


@dataclass(slots=True)
class _Settlement:
    """Notes a call once: at the latest when the agent is gone."""

    note: Callable[[Call], None]
    recorded: bool
    events: EventReader = field(default_factory=EventReader)
    settled: bool = False

    def settle(self, error: str = "") -> None:
        if not self.settled:
            self.settled = True
            usage = self.events.usage
            self.note(
                Call(
                    status=200,
                    error=error,
                    tokens_in=usage.tokens_in,
                    tokens_out=usage.tokens_out,
                    recorded=self.recorded,
                )
            )


class RelayedStream(StreamingResponse):
    """Passes events through unchanged. A loss half-way is told by an error event, or the agent would
    take the part for the whole.
    """

    def __init__(self, stream: Stream, note: Callable[[Call], None]) -> None:
        self._stream = stream
        self._settlement = _Settlement(note, stream.recorded)
        super().__init__(_relayed(stream, self._settlement), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._settlement.settle("the agent hung up")
            with anyio.CancelScope(shield=True):
                await self._stream.close()


async def _relayed(stream: Stream, settlement: _Settlement) -> AsyncIterator[bytes]:
    try:
        async for chunk in stream.chunks:
            settlement.events.feed(chunk)
            if settlement.events.done:
                # Before the agent can know: it may be gone, and asked about, in the next moment.
                settlement.settle()
            yield chunk
        settlement.settle()
    except StreamBrokenError as broken:
        settlement.settle(str(broken))
        yield b"data: " + error_body(str(broken)) + b"\n\n"
