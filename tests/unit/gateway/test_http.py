"""The endpoint as it behaves over real connections, against a server that misbehaves on purpose."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from runner.errors import ConfigError, ModelError
from runner.gateway.chat import ChatRequest
from runner.gateway.http import HttpUpstream
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, StreamBrokenError
from tests.unit.gateway.stub import COMPLETION, KEY, chat, everything, served, whole

SECRET = "sk-very-secret"
Seen = tuple[str, str, dict[str, str], bytes]  # method, path, headers, body
Respond = Callable[[Request], Response | Awaitable[Response]]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def endpoint(respond: Respond, seen: list[Seen] | None = None) -> Starlette:
    """A model endpoint that answers every request with `respond(request)`."""

    async def handle(request: Request) -> Response:
        body = await request.body()
        if seen is not None:
            seen.append((request.method, request.url.path, dict(request.headers), body))
        reply = respond(request)
        return reply if isinstance(reply, Response) else await reply

    return Starlette(routes=[Route("/v1/{path:path}", handle, methods=["GET", "POST"])])


def completes(
    respond: Respond, request: ChatRequest | None = None, seen: list[Seen] | None = None, **options: Any
) -> Reply:
    with served(endpoint(respond, seen)) as base_url:
        return asyncio.run(_complete(HttpUpstream(base_url, SECRET, **options), request or chat()))


def answer_of(respond: Respond, seen: list[Seen] | None = None, **options: Any) -> Answer:
    return whole(completes(respond, seen=seen, **options))


async def _complete(upstream: HttpUpstream, request: ChatRequest) -> Reply:
    try:
        return await upstream.complete(KEY, request)
    finally:
        await upstream.aclose()


def message(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"]["message"])


def test_the_body_is_sent_with_the_key():
    seen: list[Seen] = []
    answer = answer_of(lambda _: Response(COMPLETION), seen=seen)
    assert answer == Answer(status=200, body=COMPLETION)
    ((method, path, headers, body),) = seen
    assert (method, path, body) == ("POST", "/v1/chat/completions", chat().body)
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["content-type"] == "application/json"


def test_without_a_key_none_is_sent():
    seen: list[Seen] = []
    with served(endpoint(lambda _: Response(COMPLETION), seen)) as base_url:
        asyncio.run(_complete(HttpUpstream(base_url), chat()))
    assert "authorization" not in seen[0][2]


@pytest.mark.parametrize("status", [400, 402, 404, 422, 500, 503, 529])
def test_an_error_keeps_its_status_message_and_code(status):
    body = json.dumps({"error": {"message": "too long", "code": "context_length_exceeded", "secret": 1}})
    answer = answer_of(lambda _: Response(body, status))
    assert answer.status == status
    assert json.loads(answer.body)["error"] == {
        "message": "too long",
        "type": "upstream_error",
        "code": "context_length_exceeded",
    }


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_told_without_the_endpoints_words(status):
    answer = answer_of(lambda _: Response(f'{{"error": {{"message": "bad key {SECRET}"}}}}', status))
    assert answer.status == status
    assert "refuses the key" in message(answer)
    assert SECRET not in answer.body.decode()


def test_a_key_in_an_error_is_blotted_out():
    answer = answer_of(lambda _: Response(f'{{"error": "no quota for {SECRET}"}}', 429))
    assert message(answer) == "no quota for ***"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("12", 12.0), ("0.5", 0.5), ("-1", None), ("nan", None), ("soon", None), (None, None)],
)
def test_retry_after_is_read(header, seconds):
    headers = {} if header is None else {"Retry-After": header}
    answer = answer_of(lambda _: Response("{}", 429, headers=headers))
    assert (answer.status, answer.retry_after_s) == (429, seconds)


@pytest.mark.parametrize("body", ["<html>hello</html>", "[]", "", "[" * 100_000])
def test_a_good_status_without_a_completion_is_a_bad_gateway(body):
    answer = answer_of(lambda _: Response(body))
    assert answer.status == 502


def test_redirects_are_not_followed():
    seen: list[Seen] = []
    answer = answer_of(lambda _: RedirectResponse("http://127.0.0.1:9/elsewhere"), seen=seen)
    assert (answer.status, len(seen)) == (502, 1)


def test_an_endless_answer_is_cut():
    async def forever() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0)

    answer = answer_of(lambda _: StreamingResponse(forever()), max_answer_bytes=5000)
    assert answer.status == 502
    assert "longer than 5000 bytes" in message(answer)


def test_an_answer_that_does_not_come_is_given_up():
    async def never() -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    reply = completes(lambda _: never(), timeout_s=0.2)
    assert isinstance(reply, NoAnswer)
    assert reply.timed_out
    assert "no answer within 0.2 s" in reply.reason


def test_an_answer_that_trickles_is_given_up_too():
    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    reply = completes(lambda _: StreamingResponse(trickle()), timeout_s=0.2)
    assert isinstance(reply, NoAnswer)
    assert reply.timed_out


def test_a_closed_port_is_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reply = asyncio.run(_complete(HttpUpstream(f"http://someone:word@127.0.0.1:{port}/v1", SECRET), chat()))
    assert isinstance(reply, NoAnswer)
    assert not reply.timed_out
    assert f"http://127.0.0.1:{port}/v1 cannot be reached" in reply.reason
    assert "word" not in reply.reason


def test_a_stream_comes_as_it_is():
    async def chunks() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b"data: [DONE]\n\n"

    reply = asyncio.run(_streamed(lambda _: StreamingResponse(chunks(), media_type="text/event-stream")))
    assert reply == b"data: 1\n\ndata: [DONE]\n\n"


def test_a_stream_that_breaks_is_told():
    async def chunks() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        raise ConnectionResetError

    with pytest.raises(StreamBrokenError, match="the connection was lost"):
        asyncio.run(_streamed(lambda _: StreamingResponse(chunks(), media_type="text/event-stream")))


def test_an_endless_stream_is_cut():
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"data: 1\n\n"
            await asyncio.sleep(0)

    with pytest.raises(StreamBrokenError, match="longer than 500 bytes"):
        asyncio.run(_streamed(lambda _: StreamingResponse(chunks(), media_type="text/event-stream"), 500))


async def _streamed(respond: Respond, max_answer_bytes: int = 10_000) -> bytes:
    with served(endpoint(respond)) as base_url:
        upstream = HttpUpstream(base_url, SECRET, max_answer_bytes=max_answer_bytes)
        try:
            reply = await upstream.complete(KEY, chat(stream=True))
            assert isinstance(reply, Stream)
            try:
                return await everything(reply.chunks)
            finally:
                await reply.close()
        finally:
            await upstream.aclose()


def test_an_endpoint_that_cannot_stream_is_taken_at_its_word():
    assert completes(lambda _: Response(COMPLETION), chat(stream=True)) == Answer(status=200, body=COMPLETION)


@pytest.mark.parametrize("status", [200, 404, 405, 429])
def test_preflight_lets_usable_endpoints_pass(status):
    seen: list[Seen] = []
    with served(endpoint(lambda _: Response("{}", status), seen)) as base_url:
        HttpUpstream(base_url, SECRET).preflight()
    ((method, path, headers, _),) = seen
    assert (method, path, headers["authorization"]) == ("GET", "/v1/models", f"Bearer {SECRET}")


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "RUNNER_MODEL__API_KEY"),
        (403, "RUNNER_MODEL__API_KEY_FILE"),
        (302, "RUNNER_MODEL__BASE_URL"),
        (500, "RUNNER_MODEL__BASE_URL"),
        (503, "RUNNER_MODEL__BASE_URL"),
    ],
)
def test_preflight_says_what_to_do_about_the_others(status, hint):
    with (
        served(endpoint(lambda _: Response(SECRET, status))) as base_url,
        pytest.raises(ModelError) as caught,
    ):
        HttpUpstream(base_url, SECRET).preflight()
    assert str(status) in caught.value.brief
    assert hint in caught.value.hint
    assert SECRET not in f"{caught.value.brief} {caught.value.details}"


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1/v1", "api.example/v1", "ftp://127.0.0.1/v1", ""])
def test_preflight_names_an_address_that_cannot_be_reached(base_url):
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        HttpUpstream(base_url, SECRET).preflight()
    assert caught.value.details


def test_what_is_no_url_is_a_mistake_of_configuration():
    with pytest.raises(ConfigError):
        HttpUpstream("http://model:port/v1")
