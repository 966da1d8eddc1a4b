"""The model doors of a run: unix sockets that are all served by one loop in one background thread."""

import itertools
import os
import socket
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from runner.clock import Clock
from runner.core.model import AttemptKey
from runner.errors import UnusableError
from runner.gateway.app import door_app
from runner.gateway.folder import socket_folder
from runner.gateway.recorded import Recorded
from runner.gateway.records import Records
from runner.gateway.serving import serving
from runner.gateway.upstream import Upstream
from runner.ports import Call


class UnixDoor:
    """A folder with the socket `model.sock`, and the calls that came through it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._calls: deque[Call] = deque()

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def socket(self) -> Path:
        return self._folder / "model.sock"

    def note(self, call: Call) -> None:
        self._calls.append(call)

    def take_calls(self) -> Sequence[Call]:
        """The calls since the last time this was asked. Any thread may ask."""
        taken = []
        while self._calls:
            taken.append(self._calls.popleft())
        return taken


class Gateway:
    """Doors to one upstream, for requests to some of its models, with the records of a run before it.
    Use it as a context manager.

    The sockets lie in the system's folder for temporary files because a socket's path may have no
    more than some 100 bytes. Each may be opened by any user, for a sandbox has its own; the folder
    around them may only be entered by ours.
    """

    def __init__(
        self, upstream: Upstream, *, models: Collection[str], records: Records, clock: Clock
    ) -> None:
        self._upstream = upstream
        self._models = models
        self._records = records
        self._clock = clock
        self._numbers = itertools.count(1)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = stack.enter_context(socket_folder())
            self._portal: BlockingPortal = stack.enter_context(start_blocking_portal(name="gateway"))
            stack.callback(self._portal.call, self._upstream.aclose)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def open(self, key: AttemptKey) -> Iterator[UnixDoor]:
        """Listen for an attempt. Closing cancels the requests that are on their way, and waits for their records."""
        with self._records.open(key) as records, self._new_folder() as folder:
            door = UnixDoor(folder)
            upstream = Recorded(self._upstream, records, self._clock)
            app = door_app(key, upstream, models=self._models, note=door.note)
            with (
                _listening(door.socket) as listener,
                self._portal.wrap_async_context_manager(serving(app, listener)),
            ):
                yield door

    @contextmanager
    def _new_folder(self) -> Iterator[Path]:
        folder = self._folder / f"d{next(self._numbers)}"
        folder.mkdir()
        folder.chmod(0o755)  # whatever the umask says
        try:
            yield folder
        finally:
            folder.rmdir()


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """A socket that takes connections at once: whoever comes early waits for the server."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(os.fspath(path))
        except OSError as error:
            raise UnusableError(
                "The model door cannot be opened.",
                details=f"{path}: {error}",
                hint="If the path is too long for a socket, set TMPDIR to a short one, such as /tmp.",
            ) from None
        try:
            path.chmod(0o666)
            listener.listen()
            yield listener
        finally:
            path.unlink()
