"""The few things the gateway reads of the chat-completions protocol, and the errors it speaks."""

import json
from dataclasses import dataclass
from typing import NamedTuple

from runner.core.model import Usage

_LONGEST_MESSAGE = 1000
_LONGEST_EVENT = 1024 * 1024  # a longer line holds no usage that anyone would send


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request that was looked at. `body` is what was understood, written anew.

    The agent's own bytes are not forwarded: with a key given twice, the upstream might read another
    model than the one that was allowed.
    """

    model: str
    body: bytes
    stream: bool = False
    wants_usage: bool = False  # in the last event of a stream
    number: int = 1  # the how-manieth request of its workstream; one that comes again keeps its number


def parse_request(raw: bytes) -> ChatRequest:
    """Raises ValueError, with a sentence for the agent, when this is no request for a completion."""
    try:
        data = json.loads(raw)
        body = json.dumps(data, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    match data:
        case {"model": str(model), "messages": list()}:
            options = data.get("stream_options")
            return ChatRequest(
                model=model,
                body=body,
                stream=data.get("stream") is True,
                wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
            )
        case _:
            raise ValueError("the body must be an object with a `model` and `messages`")


def usage_of(payload: object) -> Usage:
    """What an answer, or one event of a stream, says it cost; zeros when it says nothing."""
    match payload:
        case {"usage": {"prompt_tokens": int(sent), "completion_tokens": int(received)}}:
            return Usage(requests=1, tokens_in=max(0, sent), tokens_out=max(0, received))
        case _:
            return Usage(requests=1)


def read_usage(body: bytes) -> Usage:
    """What the body of an answer says it cost; zeros when it is no JSON."""
    try:
        return usage_of(json.loads(body))
    except (ValueError, RecursionError):
        return Usage(requests=1)


class EventReader:
    """Looks at server-sent events on their way through."""

    def __init__(self) -> None:
        self.usage = Usage(requests=1)
        self.done = False  # the model said that this was all
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest if len(rest) <= _LONGEST_EVENT else b""
        for line in lines:
            self._read(line.strip())

    def _read(self, line: bytes) -> None:
        if line == b"data: [DONE]":
            self.done = True
        elif line.startswith(b"data:") and b'"usage"' in line:
            try:
                usage = usage_of(json.loads(line[len(b"data:") :]))
            except (ValueError, RecursionError):
                return
            if usage.tokens_in or usage.tokens_out:
                self.usage = usage


def error_body(message: str, kind: str = "gateway_error", code: str | None = None) -> bytes:
    """An error in the form that clients of this protocol expect."""
    return json.dumps({"error": {"message": message, "type": kind, "code": code}}).encode()


class UpstreamError(NamedTuple):
    message: str
    code: str | None  # the machine-readable word by which clients tell, say, a full context window


def read_error(body: bytes) -> UpstreamError:
    """What an error's body says, in brief; the beginning of it when it has no known form."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    match data:
        case {"error": {"message": str(message), **more}}:
            code = more.get("code")
            return UpstreamError(message[:_LONGEST_MESSAGE], code if isinstance(code, str) else None)
        case {"error": str(message)} | {"message": str(message)}:
            return UpstreamError(message[:_LONGEST_MESSAGE], None)
        case _:
            return UpstreamError(body[:_LONGEST_MESSAGE].decode("utf-8", "replace").strip(), None)
