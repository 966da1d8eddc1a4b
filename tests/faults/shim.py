"""A socket between a client and the engine that does what a broken engine does, to the requests that it is told."""

import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

# refuse: closes without an answer, and the engine never hears of the request.
# hang: never answers, and the engine never hears of the request.
# drop_reply: the engine does it, and the connection is closed in place of its answer.
# cut: the connection is closed in the middle of a longer answer, after its first output.
# conflict: answers that somebody else has asked for it already, and the engine never hears of the request.
Way = Literal["refuse", "hang", "drop_reply", "cut", "conflict"]

_CONFLICT = (
    b"HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
    b'{"message":"removal already in progress"}'
)

MACHINES_ENGINE = "unix:///var/run/docker.sock"


@dataclass
class Fault:
    """What happens to the requests whose `METHOD /path` a pattern is found in."""

    way: Way
    pattern: str
    times: int
    hits: list[str] = field(default_factory=list)


class Shim:
    """Passes everything on, until there is a fault."""

    def __init__(self, path: Path, engine: str = MACHINES_ENGINE) -> None:
        self.address = f"unix://{path}"
        self._engine = engine.removeprefix("unix://")
        self._fault: Fault | None = None
        self._open: list[socket.socket] = []
        self._closing = threading.Event()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def fault(self, way: Way, pattern: str, times: int = sys.maxsize) -> Iterator[Fault]:
        """The fault happens while the context is open. It must have happened, or the test shows nothing."""
        self._fault = Fault(way, pattern, times)
        yield self._fault
        assert self._fault.hits, f"no request was like {pattern}"
        self._fault = None

    def close(self) -> None:
        self._closing.set()
        for connection in (self._server, *self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            self._open += [client, engine]
            threading.Thread(target=_Connection(self, client, engine).carry, daemon=True).start()

    def struck(self, request: str) -> Way | None:
        fault = self._fault
        if fault is None or len(fault.hits) == fault.times or not re.search(fault.pattern, request):
            return None
        fault.hits.append(request)
        return fault.way

    def reach(self, engine: socket.socket) -> None:
        engine.connect(self._engine)

    def wait(self) -> None:
        self._closing.wait()


class _Connection:
    """One connection of a client: requests one after the other, the last of which may become a stream."""

    def __init__(self, shim: Shim, client: socket.socket, engine: socket.socket) -> None:
        self._shim = shim
        self._client = client
        self._engine = engine
        self._way: Way | None = None

    def carry(self) -> None:
        with suppress(OSError):
            self._shim.reach(self._engine)
            threading.Thread(target=self._answers, daemon=True).start()
            self._requests()
        self._end()

    def _requests(self) -> None:
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                if not (data := self._client.recv(1 << 16)):
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            self._way = self._shim.struck(head.split(b" HTTP/")[0].decode())
            if self._way == "refuse":
                return
            if self._way == "hang":
                self._shim.wait()
                return
            if self._way == "conflict":
                self._client.sendall(_CONFLICT)
                continue
            self._engine.sendall(head + b"\r\n\r\n")
            if b"Upgrade: tcp" in head:
                self._stream(buffer)
                return
            buffer = self._body(head, buffer)

    def _body(self, head: bytes, buffer: bytes) -> bytes:
        """Pass the request's body on; what came after it."""
        found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        left = int(found[1]) if found else 0
        while left:
            buffer = buffer or self._client.recv(1 << 16)
            body, buffer = buffer[:left], buffer[left:]
            self._engine.sendall(body)
            left -= len(body)
        return buffer

    def _stream(self, data: bytes) -> None:
        self._engine.sendall(data)
        while data := self._client.recv(1 << 16):
            self._engine.sendall(data)

    def _answers(self) -> None:
        with suppress(OSError):
            answers = 0
            while data := self._engine.recv(1 << 16):
                if self._way == "drop_reply":
                    break
                self._client.sendall(data)
                answers += 1
                if self._way == "cut" and answers > 1:
                    break
        self._end()

    def _end(self) -> None:
        for connection in (self._client, self._engine):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
