import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from runner.gateway.app import door_app
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, StreamBrokenError, Upstream
from runner.ports import Call
from tests.unit.gateway.stub import COMPLETION, KEY, MODEL, FakeUpstream

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


class Visit:
    """One request to a door: what came back, and what was noted."""

    def __init__(
        self, upstream: Upstream, method: str = "POST", path: str = "/v1/chat/completions", **request: Any
    ) -> None:
        self.calls: list[Call] = []
        app = door_app(KEY, upstream, models=[MODEL], note=self.calls.append, max_request_bytes=1000)
        self.response = asyncio.run(self._send(app, method, path, request))

    async def _send(self, app: Starlette, method: str, path: str, request: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
            return await client.request(method, path, **request)

    @property
    def error(self) -> str:
        return str(self.response.json()["error"]["message"])


def test_a_completion_passes_unchanged_and_is_noted():
    upstream = FakeUpstream()
    visit = Visit(upstream, json=BODY)
    assert (visit.response.status_code, visit.response.content) == (200, COMPLETION)
    assert visit.calls == [Call(status=200, tokens_in=7, tokens_out=2)]
    assert json.loads(upstream.requests[0].body) == BODY


def test_the_list_of_models_holds_what_is_allowed():
    upstream = FakeUpstream()
    visit = Visit(upstream, "GET", "/v1/models")
    assert [model["id"] for model in visit.response.json()["data"]] == [MODEL]
    assert (upstream.requests, visit.calls) == ([], [])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/embeddings", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("POST", "/v1/../v1/files", 404),
        ("GET", "/", 404),
        ("OPTIONS", "/v1/files", 404),
    ],
)
def test_everything_else_is_refused_as_an_error_of_the_protocol(method, path, status):
    upstream = FakeUpstream()
    visit = Visit(upstream, method, path, json=BODY)
    assert visit.response.status_code == status
    assert visit.error
    assert (upstream.requests, visit.calls) == ([], [])


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (403, {"json": BODY | {"model": "a-dearer-one"}}),
        (403, {"json": BODY | {"model": ""}}),
        (400, {"content": b"not json"}),
        (400, {"json": {"model": MODEL}}),
        (413, {"json": BODY | {"padding": "x" * 1000}}),
    ],
)
def test_a_refused_request_never_reaches_the_upstream_and_is_noted(status, request_):
    upstream = FakeUpstream()
    visit = Visit(upstream, **request_)
    assert visit.response.status_code == status
    assert upstream.requests == []
    assert visit.calls == [Call(status=status, error=visit.error)]


@pytest.mark.parametrize(
    ("reply", "status", "noted"),
    [
        (Answer(status=500, body=b'{"error": {"message": "oops"}}'), 500, Call(status=500, error="oops")),
        (Answer(status=401, body=b'{"error": {"message": "no"}}'), 401, Call(status=401, error="no")),
        (NoAnswer(reason="no route to 10.0.0.7"), 502, Call(status=0, error="no route to 10.0.0.7")),
        (NoAnswer(reason="slow 10.0.0.7", timed_out=True), 504, Call(status=504, error="slow 10.0.0.7")),
    ],
)
def test_failures_have_a_status_for_the_agent_and_a_reason_for_people(reply, status, noted):
    visit = Visit(FakeUpstream(reply), json=BODY)
    assert visit.response.status_code == status
    assert visit.calls == [noted]
    assert "10.0.0.7" not in visit.response.text


def test_retry_after_is_passed_on_in_whole_seconds():
    visit = Visit(FakeUpstream(Answer(status=429, body=b"{}", retry_after_s=61.2)), json=BODY)
    assert visit.response.headers["retry-after"] == "62"


def test_a_bug_is_noted_without_what_was_asked():
    def bug() -> Reply:
        raise ZeroDivisionError("the prompt, perhaps")

    visit = Visit(FakeUpstream(bug), json=BODY)
    assert visit.response.status_code == 500
    assert visit.calls == [Call(status=500, error=visit.error)]
    assert "ZeroDivisionError in bug" in visit.error
    assert "prompt" not in visit.error


class Closable:
    """A stream that tells whether it was closed."""

    def __init__(self, *chunks: bytes, broken: str = "") -> None:
        self._chunks = chunks
        self._broken = broken
        self.closed = False

    def reply(self) -> Stream:
        return Stream(chunks=self._events(), close=self._close)

    async def _events(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._broken:
            raise StreamBrokenError(self._broken)

    async def _close(self) -> None:
        self.closed = True


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("chunks", "noted"),
    [
        ((b"data: {}\n\n", USAGE, DONE), Call(status=200, tokens_in=3, tokens_out=4)),
        ((b"data: {}\n\n", DONE), Call(status=200)),
        ((USAGE[:20], USAGE[20:]), Call(status=200, tokens_in=3, tokens_out=4)),
    ],
)
def test_a_stream_passes_unchanged_and_is_noted_once(chunks, noted):
    stream = Closable(*chunks)
    visit = Visit(FakeUpstream(stream.reply()), json=BODY | {"stream": True})
    assert visit.response.content == b"".join(chunks)
    assert visit.response.headers["content-type"].startswith("text/event-stream")
    assert visit.calls == [noted]
    assert stream.closed


def test_a_broken_stream_ends_with_an_error_event():
    stream = Closable(b"data: {}\n\n", broken="the connection was lost")
    visit = Visit(FakeUpstream(stream.reply()), json=BODY | {"stream": True})
    last = visit.response.text.split("\n\n")[-2]
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "the connection was lost"
    assert visit.calls == [Call(status=200, error="the connection was lost")]
    assert stream.closed
