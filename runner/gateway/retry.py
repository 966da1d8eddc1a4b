"""Patience with an upstream: what is worth asking again, and when."""

from collections.abc import Awaitable, Callable

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_exponential

from runner.core.model import AttemptKey
from runner.gateway.chat import ChatRequest
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, Upstream

_PASSING = frozenset({408, 409, 429, 500, 502, 503, 504, 529})


class Retrying:
    """An upstream that is asked again when it fails in a way that passes.

    A timed-out request is not repeated: it has had its time, and may have been paid for.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        retries: int = 4,
        longest_pause_s: float = 60.0,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._upstream = upstream
        self._retries = retries
        self._longest_pause_s = longest_pause_s
        self._sleep = sleep
        self._backoff = wait_exponential(multiplier=0.5, max=8.0)

    def preflight(self) -> None:
        self._upstream.preflight()

    async def complete(self, key: AttemptKey, request: ChatRequest) -> Reply:
        patient = AsyncRetrying(
            retry=retry_if_result(self._is_passing),
            stop=stop_after_attempt(self._retries + 1),
            wait=self._pause_s,
            sleep=self._sleep,
            retry_error_callback=_reply,
        )
        return await patient(self._upstream.complete, key, request)

    async def aclose(self) -> None:
        await self._upstream.aclose()

    def _is_passing(self, reply: Reply) -> bool:
        match reply:
            case NoAnswer(timed_out=timed_out):
                return not timed_out
            case Answer(status=status, retry_after_s=pause_s):
                return status in _PASSING and (pause_s or 0.0) <= self._longest_pause_s
            case Stream():
                return False

    def _pause_s(self, state: RetryCallState) -> float:
        match _reply(state):
            case Answer(retry_after_s=float(pause_s)):
                return pause_s
            case _:
                return self._backoff(state)


def _reply(state: RetryCallState) -> Reply:
    """The last reply; there always is one, because upstreams do not raise."""
    if state.outcome is None:
        raise RuntimeError("asked for the reply of a request that was not sent")
    reply: Reply = state.outcome.result()
    return reply
