"""What the tests put behind the door: a fake upstream, and a real HTTP server."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anyio.from_thread import start_blocking_portal
from starlette.applications import Starlette

from runner.core.model import AttemptKey, RunId, StepName, WsId
from runner.gateway.chat import ChatRequest
from runner.gateway.serving import serving
from runner.gateway.upstream import Answer, Reply

WS = WsId("add-parser")
KEY = AttemptKey(RunId("01JRUN"), WS, StepName.EDIT, 1)
MODEL = "house-model"
COMPLETION = json.dumps(
    {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }
).encode()


def chat(*, stream: bool = False, wants_usage: bool = False) -> ChatRequest:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": stream})
    return ChatRequest(model=MODEL, body=body.encode(), stream=stream, wants_usage=wants_usage)


class FakeUpstream:
    """Gives the replies in order, then the last again; `requests` tells what it was asked."""

    def __init__(self, *replies: Reply | Callable[[], Reply]) -> None:
        self._replies = list(replies) or [Answer(status=200, body=COMPLETION)]
        self.requests: list[ChatRequest] = []
        self.closed = False

    def preflight(self) -> None:
        pass

    async def complete(self, _key: AttemptKey, request: ChatRequest, /) -> Reply:
        self.requests.append(request)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        return reply() if callable(reply) else reply

    async def aclose(self) -> None:
        self.closed = True


class HangingUpstream(FakeUpstream):
    """Never answers; tells when it was asked, and whether it was told that nobody waits any more."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.cancelled = threading.Event()

    async def complete(self, _key: AttemptKey, request: ChatRequest, /) -> Reply:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        raise AssertionError


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """An HTTP server on a free port; its base URL."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(app, listener)),
    ):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


async def everything(chunks) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def whole(reply: Reply) -> Answer:
    assert isinstance(reply, Answer)
    return reply
