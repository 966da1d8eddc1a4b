"""An ASGI application behind a listening socket, with uvicorn's protocol and an end that comes at once."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

_CLOSING_S = 5.0


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Answer what comes in; leaving the context cancels the requests that are on their way.

    `uvicorn.Server` is for a process of its own: it looks ten times a second whether it should end,
    and then sleeps again. Doors are opened and closed for every step.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    state = ServerState()

    def connection() -> asyncio.Protocol:
        protocol: asyncio.Protocol = config.http_protocol_class(
            config=config, server_state=state, app_state={}
        )  # type: ignore[call-arg]
        return protocol

    server = await asyncio.get_running_loop().create_server(connection, sock=listener)
    try:
        yield
    finally:
        server.close()
        await _cancel(state)


async def _cancel(state: ServerState) -> None:
    for task in state.tasks:
        task.cancel()
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=_CLOSING_S)
    for connection in list(state.connections):
        connection.transport.abort()
