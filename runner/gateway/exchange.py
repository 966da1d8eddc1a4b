"""One request of an attempt and what came of it, and the form in which that is kept: a JSON object.

    {"version": 1,
     "asked_at": "2026-11-23T10:00:00.000Z", "duration_s": 1.5,
     "request": {"sha256": "...", "body": "{...}"},
     "reply": {"status": 200, "body": "{...}", "retry_after_s": null},
     "usage": {"tokens_in": 7, "tokens_out": 2}}

Instead of a `body`, a streamed answer has its `chunks` in order, and a request that came to nothing says why it
is `lost`. Bodies and chunks are text; a byte that is no UTF-8 is a lone surrogate, so none is changed. What a key
or a header of authentication would be in is never part of it.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from runner.clock import iso
from runner.core.model import Usage
from runner.gateway.chat import EventReader, read_usage
from runner.gateway.upstream import Answer, NoAnswer

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """A good answer that came as server-sent events, from the first to the last."""

    chunks: tuple[bytes, ...]


Received = Answer | Streamed


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """NoAnswer: what was asked is known, but no whole answer came."""

    request: bytes
    asked_at: datetime
    duration_s: float
    reply: Received | NoAnswer

    @property
    def sha256(self) -> str:
        return sha256_of(self.request)

    @property
    def usage(self) -> Usage:
        match self.reply:
            case Answer(body=body):
                return read_usage(body)
            case Streamed(chunks=chunks):
                events = EventReader()
                events.feed(b"".join(chunks))
                return events.usage
            case NoAnswer():
                return Usage(requests=1)


def sha256_of(body: bytes) -> str:
    """By which two requests are the same."""
    return hashlib.sha256(body).hexdigest()


def to_json(exchange: Exchange) -> bytes:
    usage = exchange.usage
    value = {
        "version": _VERSION,
        "asked_at": iso(exchange.asked_at),
        "duration_s": round(exchange.duration_s, 3),
        "request": {"sha256": exchange.sha256, "body": _text(exchange.request)},
        "reply": _reply_fields(exchange.reply),
        "usage": {"tokens_in": usage.tokens_in, "tokens_out": usage.tokens_out},
    }
    return json.dumps(value, indent=1).encode() + b"\n"


def from_json(raw: bytes) -> Exchange:
    """Raises ValueError, with a reason for a person, when this is not a whole exchange."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    match value:
        case {
            "version": 1,
            "asked_at": str(asked_at),
            "duration_s": float(duration_s),
            "request": {"sha256": str(sha256), "body": str(body)},
            "reply": reply,
        }:
            exchange = Exchange(
                request=_bytes(body),
                asked_at=datetime.fromisoformat(asked_at),
                duration_s=duration_s,
                reply=_reply(reply),
            )
            if exchange.sha256 != sha256:
                raise ValueError("its request is not the one that was recorded")
            return exchange
        case {"version": version} if version != _VERSION:
            raise ValueError(f"it has version {version}; this runner reads version {_VERSION}")
        case _:
            raise ValueError("it is not an exchange with a model")


def _reply_fields(reply: Received | NoAnswer) -> dict[str, object]:
    match reply:
        case Answer(status=status, body=body, retry_after_s=pause_s):
            return {"status": status, "body": _text(body), "retry_after_s": pause_s}
        case Streamed(chunks=chunks):
            return {"status": 200, "chunks": [_text(chunk) for chunk in chunks]}
        case NoAnswer(reason=reason, timed_out=timed_out):
            return {"lost": reason, "timed_out": timed_out}


def _reply(fields: object) -> Received | NoAnswer:
    match fields:
        case {"status": int(status), "body": str(body), "retry_after_s": (float() | None) as pause_s}:
            return Answer(status=status, body=_bytes(body), retry_after_s=pause_s)
        case {"status": 200, "chunks": list(chunks)}:
            return Streamed(chunks=tuple(_bytes(chunk) for chunk in chunks))
        case {"lost": str(reason), "timed_out": bool(timed_out)}:
            return NoAnswer(reason=reason, timed_out=timed_out)
        case _:
            raise ValueError("it holds no answer")


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("a part of its answer is not text")  # noqa: TRY004 - the file is wrong, not a call
    return text.encode("utf-8", "surrogateescape")
