"""The HTTP face of one attempt's model door: what an agent may ask, and nothing else."""

import math
import traceback
from collections.abc import Callable, Collection

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runner.core.model import AttemptKey
from runner.gateway.chat import ChatRequest, error_body, parse_request, read_error, read_usage
from runner.gateway.relay import RelayedStream
from runner.gateway.upstream import Answer, NoAnswer, Reply, Stream, Upstream
from runner.ports import Call

Note = Callable[[Call], None]

MAX_REQUEST_BYTES = 8 * 1024 * 1024
_HUNG_UP = "the agent hung up"


def door_app(
    key: AttemptKey,
    upstream: Upstream,
    *,
    models: Collection[str],
    note: Note,
    max_request_bytes: int = MAX_REQUEST_BYTES,
) -> Starlette:
    """Chat completions with one of `models`, and their list. Every request for a completion is noted."""
    door = _Door(key, upstream, models=models, note=note, max_request_bytes=max_request_bytes)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", door.complete, methods=["POST"]),
            Route("/v1/models", door.list_models, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _refuse, Exception: door.confess},
    )
    app.router.redirect_slashes = False
    return app


class _Door:
    def __init__(
        self,
        key: AttemptKey,
        upstream: Upstream,
        *,
        models: Collection[str],
        note: Note,
        max_request_bytes: int,
    ) -> None:
        self._key = key
        self._upstream = upstream
        self._models = models
        self._note = note
        self._max_request_bytes = max_request_bytes

    async def list_models(self, _request: Request) -> Response:
        # Answered here: what the upstream has besides is not the agent's business.
        models = [{"id": name, "object": "model", "created": 0, "owned_by": ""} for name in self._models]
        return JSONResponse({"object": "list", "data": models})

    async def complete(self, request: Request) -> Response:
        try:
            chat = self._allowed(parse_request(await self._body(request)))
            reply = await self._asked(request, chat)
        except ValueError as error:
            return self._refused(400, str(error))
        except HTTPException as refusal:
            return self._refused(refusal.status_code, refusal.detail)
        except ClientDisconnect:
            return self._refused(0, _HUNG_UP)
        except anyio.get_cancelled_exc_class():
            self._note(Call(status=0, error="the door was closed"))
            raise
        return self._response(reply)

    async def confess(self, _request: Request, error: Exception) -> Response:
        """A bug of ours: told by place and type, since the text might quote what was asked."""
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return self._refused(500, f"a fault of the gateway: {type(error).__name__} in {frame.name}")

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_request_bytes:
                raise HTTPException(413, f"the request is longer than {self._max_request_bytes} bytes")
        return bytes(body)

    def _allowed(self, chat: ChatRequest) -> ChatRequest:
        if chat.model not in self._models:
            raise HTTPException(403, f"this door leads to {', '.join(sorted(self._models))} only")
        return chat

    async def _asked(self, request: Request, chat: ChatRequest) -> Reply:
        """The upstream's reply; the request ends with the agent, so that nobody pays for a dead one."""
        reply: Reply | None = None
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                await _left(request)
                group.cancel_scope.cancel()

            group.start_soon(watch)
            reply = await self._upstream.complete(self._key, chat)
            group.cancel_scope.cancel()
        if reply is None:
            raise ClientDisconnect
        return reply

    def _response(self, reply: Reply) -> Response:
        match reply:
            case Stream():
                return RelayedStream(reply, self._note)
            case NoAnswer(reason=reason, timed_out=timed_out):
                self._note(Call(status=504 if timed_out else 0, error=reason))
                # Why is for people: the agent need not learn the upstream's address.
                return _error(504 if timed_out else 502, error_body("the model's endpoint gave no answer"))
            case Answer(status=200, body=body, recorded=recorded):
                usage = read_usage(body)
                self._note(
                    Call(
                        status=200, tokens_in=usage.tokens_in, tokens_out=usage.tokens_out, recorded=recorded
                    )
                )
                return Response(body, media_type="application/json")
            case Answer(status=status, body=body, retry_after_s=pause_s, recorded=recorded):
                self._note(Call(status=status, error=read_error(body).message, recorded=recorded))
                return _error(status, body, pause_s)

    def _refused(self, status: int, message: str) -> Response:
        self._note(Call(status=status, error=message))
        return _error(status or 499, error_body(message))


async def _left(request: Request) -> None:
    """Returns when the agent has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _refuse(_request: Request, error: Exception) -> Response:
    """What the router refuses: unknown paths and methods. Not a call to a model, so not noted."""
    if not isinstance(error, HTTPException):
        raise error
    return _error(error.status_code, error_body(error.detail))


def _error(status: int, body: bytes, retry_after_s: float | None = None) -> Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(math.ceil(retry_after_s))}
    return Response(body, status, headers=headers, media_type="application/json")
