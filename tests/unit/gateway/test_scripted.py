import asyncio
import json
from dataclasses import replace

import pytest

from runner.core.model import WsId
from runner.gateway.chat import ChatRequest
from runner.gateway.script import Script
from runner.gateway.scripted import ScriptedUpstream
from runner.gateway.upstream import NoAnswer, Reply, Stream, StreamBrokenError
from tests.unit.gateway.stub import KEY, WS, chat, everything, whole


def script(*answers: dict[str, object], **more: object) -> Script:
    return Script.model_validate({"answers": [{"workstream": WS} | answer for answer in answers], **more})


def ask(
    upstream: ScriptedUpstream, number: int = 1, *, request: ChatRequest | None = None, ws_id: WsId = WS
) -> Reply:
    numbered = replace(request or chat(), number=number)
    return asyncio.run(upstream.complete(replace(KEY, ws_id=ws_id), numbered))


def said(reply: Reply) -> str:
    return str(json.loads(whole(reply).body)["choices"][0]["message"]["content"])


def test_a_request_gets_the_answer_of_its_number_among_its_workstreams():
    other = WsId("other")
    upstream = ScriptedUpstream(
        script({"content": "one"}, {"content": "uno", "workstream": other}, {"content": "two"})
    )
    assert [said(ask(upstream, 2)), said(ask(upstream, ws_id=other)), said(ask(upstream, 1))] == [
        "two",
        "uno",
        "one",
    ]


def test_a_used_up_script_says_which_answer_is_missing():
    reply = whole(ask(ScriptedUpstream(script({"content": "one"}, {"status": 500})), 3))
    assert reply.status == 404
    assert json.loads(reply.body)["error"]["message"] == "the script has no answer 3 for add-parser"


def test_an_answer_can_be_given_several_times():
    upstream = ScriptedUpstream(
        script({"status": 503, "retry_after_s": 2, "times": 2}, {"content": "at last"})
    )
    first, second = whole(ask(upstream, 1)), whole(ask(upstream, 2))
    assert (first.status, first.retry_after_s, second.status) == (503, 2.0, 503)
    assert said(ask(upstream, 3)) == "at last"


def test_usage_is_what_the_script_says_or_a_quarter_of_the_characters():
    told = ask(
        ScriptedUpstream(script({"content": "x", "usage": {"prompt_tokens": 5, "completion_tokens": 6}}))
    )
    guessed = ask(ScriptedUpstream(script({"content": "x" * 40})))
    assert json.loads(whole(told).body)["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 6,
        "total_tokens": 11,
    }
    assert json.loads(whole(guessed).body)["usage"]["completion_tokens"] == 10


def test_delays_are_the_answers_or_else_the_files():
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    upstream = ScriptedUpstream(
        script({"content": "a"}, {"content": "b", "delay_s": 2}, {"content": "c", "delay_s": 0}, delay_s=1),
        sleep=sleep,
    )
    for number in (1, 2, 3):
        ask(upstream, number)
    assert slept == [1, 2, 0]


def test_a_dropped_connection_is_no_answer():
    assert isinstance(ask(ScriptedUpstream(script({"drop": True}))), NoAnswer)
    assert isinstance(ask(ScriptedUpstream(script({"drop": True, "content": "half"}))), NoAnswer)


def events(reply: Reply) -> list[str]:
    assert isinstance(reply, Stream)
    lines = asyncio.run(everything(reply.chunks)).decode().split("\n\n")
    return [line.removeprefix("data: ") for line in lines if line]


def test_a_stream_says_the_same_in_pieces():
    text = "0123456789" * 9
    *parts, usage, done = events(
        ask(ScriptedUpstream(script({"content": text})), request=chat(stream=True, wants_usage=True))
    )
    choices = [json.loads(part)["choices"][0] for part in parts]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == text
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "stop"]
    assert json.loads(usage)["usage"]["completion_tokens"] == 22
    assert done == "[DONE]"


def test_a_stream_tells_its_usage_only_when_asked():
    told = events(ask(ScriptedUpstream(script({"content": "hi"})), request=chat(stream=True)))
    assert not any("usage" in event for event in told)


def test_a_stream_can_break_half_way():
    reply = ask(ScriptedUpstream(script({"content": "x" * 100, "drop": True})), request=chat(stream=True))
    assert isinstance(reply, Stream)
    seen = bytearray()

    async def read() -> None:
        async for chunk in reply.chunks:
            seen.extend(chunk)

    with pytest.raises(StreamBrokenError):
        asyncio.run(read())
    assert seen.count(b"x" * 40) == 1
    assert seen.count(b"x" * 10 + b'"') == 2
