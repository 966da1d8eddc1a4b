"""What a container prints, taken off the engine's stream within bounds."""

import struct
from collections import deque
from collections.abc import Iterator

from runner.ports import Output

STDOUT = 1
STDERR = 2
_HEADER = struct.Struct(">BxxxL")  # the engine's frame: stream, three zero bytes, length


class Frames:
    """Cuts the attached stream into (stream, bytes), however the bytes arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = STDOUT
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        self._buffer += data
        while self._buffer:
            if self._left == 0:
                if len(self._buffer) < _HEADER.size:
                    return
                self._stream, self._left = _HEADER.unpack_from(self._buffer)
                del self._buffer[: _HEADER.size]
                continue
            chunk = bytes(self._buffer[: self._left])
            del self._buffer[: len(chunk)]
            self._left -= len(chunk)
            yield self._stream, chunk


def without_ending(output: Output, ending: bytes) -> Output | None:
    """The output without these last bytes; None when it ends otherwise. They are fewer than what is kept."""
    if output.dropped:
        head, rest = output.head, output.tail
    else:
        head, rest = b"", output.head + output.tail
    return Output(head, rest[: -len(ending)], output.dropped) if rest.endswith(ending) else None


class Bounded:
    """Keeps the first and the last bytes of a stream of any length."""

    def __init__(self, keep: int) -> None:
        self._half = keep // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        rest = data[room:] if room > 0 else data
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
        while (
            self._tail_size - len(self._tail[0] if self._tail else b"") >= self._half and len(self._tail) > 1
        ):
            self._tail_size -= len(self._tail.popleft())

    def output(self) -> Output:
        tail = b"".join(self._tail)[-self._half :]
        return Output(bytes(self._head), tail, self.total - len(self._head) - len(tail))
