"""What stands behind the model door: one OpenAI-compatible endpoint, or a stand-in for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from runner.core.model import AttemptKey
from runner.gateway.chat import ChatRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, good or bad; `body` is JSON."""

    status: int
    body: bytes
    retry_after_s: float | None = None
    recorded: bool = False  # received before, and served again


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A good answer as it is being written: server-sent events. Whoever holds it closes it.

    `chunks` raises StreamBrokenError when the rest of the answer is lost.
    """

    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]
    recorded: bool = False  # received before, and served again


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The upstream could not be reached, hung up, or took too long."""

    reason: str
    timed_out: bool = False


Reply = Answer | Stream | NoAnswer


class StreamBrokenError(Exception):
    """A streamed answer ended before its end; the text is for a person."""


class Upstream(Protocol):
    def preflight(self) -> None:
        """Ask whether requests can succeed at all. Blocks. Raises ModelError when they can't."""
        ...

    async def complete(self, key: AttemptKey, request: ChatRequest, /) -> Reply:
        """Send one request of an attempt, once. A failure is a reply, not an exception."""
        ...

    async def aclose(self) -> None:
        """Give back the connections."""
        ...
