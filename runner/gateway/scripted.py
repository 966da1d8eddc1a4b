"""A model that answers from a script: for the demo, and for tests."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from runner.core.model import AttemptKey
from runner.gateway.chat import ChatRequest, error_body
from runner.gateway.script import Script, ScriptedAnswer, ScriptedUsage
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, StreamBrokenError

_CHUNK_CHARS = 40
_DROPPED = "the script drops the connection"


class ScriptedUpstream:
    """A workstream's request gets the answer of its number in the script.

    Nothing is remembered here, so a run that goes on in another process goes on in the script as well.
    """

    def __init__(self, script: Script, *, sleep: Callable[[float], Awaitable[None]] = anyio.sleep) -> None:
        self._delay_s = script.delay_s
        self._sleep = sleep
        self._answers: defaultdict[str, list[ScriptedAnswer]] = defaultdict(list)
        for answer in script.answers:
            self._answers[answer.workstream].extend([answer] * answer.times)

    def preflight(self) -> None:
        """A script that could be loaded can be used."""

    async def complete(self, key: AttemptKey, request: ChatRequest) -> Reply:
        name, answers = f"{key.ws_id}-{request.number}", self._answers[key.ws_id]
        if request.number > len(answers):
            missing = f"the script has no answer {request.number} for {key.ws_id}"
            return Answer(status=404, body=error_body(missing))
        answer = answers[request.number - 1]
        await self._sleep(self._delay_s if answer.delay_s is None else answer.delay_s)
        return _reply(answer, request, name)

    async def aclose(self) -> None:
        """There is nothing to give back."""


def _reply(answer: ScriptedAnswer, request: ChatRequest, name: str) -> Reply:
    if answer.status is not None:
        body = error_body(f"the script answers HTTP {answer.status}", "scripted_error")
        return Answer(status=answer.status, body=body, retry_after_s=answer.retry_after_s)
    if request.stream and answer.content is not None:
        return Stream(chunks=_events(answer, request, name), close=_nothing)
    if answer.drop:
        return NoAnswer(reason=_DROPPED)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.content},
        "finish_reason": answer.finish_reason,
    }
    usage = _usage(answer, request)
    return Answer(
        status=200, body=_completion("chat.completion", name, request, choices=[choice], usage=usage)
    )


async def _events(answer: ScriptedAnswer, request: ChatRequest, name: str) -> AsyncIterator[bytes]:
    text = answer.content or ""
    end = len(text) // 2 if answer.drop else len(text)
    for start in range(0, end, _CHUNK_CHARS):
        delta = {"role": "assistant", "content": text[start : min(end, start + _CHUNK_CHARS)]}
        yield _event(name, request, choices=[{"index": 0, "delta": delta, "finish_reason": None}])
    if answer.drop:
        raise StreamBrokenError(_DROPPED)
    yield _event(name, request, choices=[{"index": 0, "delta": {}, "finish_reason": answer.finish_reason}])
    if request.wants_usage:
        yield _event(name, request, choices=[], usage=_usage(answer, request))
    yield b"data: [DONE]\n\n"


def _event(name: str, request: ChatRequest, **fields: object) -> bytes:
    return b"data: " + _completion("chat.completion.chunk", name, request, **fields) + b"\n\n"


def _completion(kind: str, name: str, request: ChatRequest, **fields: object) -> bytes:
    return json.dumps(
        {"id": f"chatcmpl-{name}", "object": kind, "created": 0, "model": request.model, **fields}
    ).encode()


def _usage(answer: ScriptedAnswer, request: ChatRequest) -> dict[str, int]:
    usage = answer.usage or ScriptedUsage(
        prompt_tokens=len(request.body) // 4, completion_tokens=len(answer.content or "") // 4
    )
    return usage.model_dump() | {"total_tokens": usage.prompt_tokens + usage.completion_tokens}


async def _nothing() -> None:
    pass
