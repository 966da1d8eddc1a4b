"""What the models answered in a run, on disk: a folder for each attempt, and in it a file for each request.

    {ws_id}/{step}-{attempt}/{number}-{beginning of the request's sha256}.json

Numbers count the requests of a workstream that went to the upstream. A file has this name only once all of it is
safely on the disk, so a record is whole or is not there. What has another name is no record and is left alone, save
for our own unfinished files. A record that cannot be read was damaged later: that is an error, because to ask again
would cost again and could lead elsewhere.
"""

import itertools
import os
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.core.model import AttemptKey
from runner.errors import UnusableError
from runner.gateway.exchange import Exchange, Received, from_json, sha256_of, to_json
from runner.gateway.upstream import NoAnswer

_NAME = re.compile(r"(\d{4,})-[0-9a-f]{12}\.json")
_UNFINISHED = ".part"


class Records:
    """The records of one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, key: AttemptKey) -> Iterator["AttemptRecords"]:
        """The records of an attempt, to be served and added to. Leaving waits for what is being written.

        Raises UnusableError when a record cannot be read, and on leaving when one could not be written.
        """
        folder = self._folder / key.ws_id / f"{key.step}-{key.attempt}"
        _make(folder)
        others = _numbered(path for path in folder.parent.glob("*/*") if path.parent != folder)
        last = max((number for number, _ in others), default=0)
        with ThreadPoolExecutor(1, thread_name_prefix="records") as writer:
            attempt = AttemptRecords(folder, writer, first_number=last + 1)
            yield attempt
        if attempt.fault is not None:
            raise UnusableError(
                "An answer of the model could not be recorded.",
                details=f"{folder}: {attempt.fault.strerror or attempt.fault}",
                hint="Is the disk full? What was not recorded was not passed on, and is asked for again.",
            )


class AttemptRecords:
    """Serves each answer that was there at the beginning once. `fault`: why one could not be written.

    What came to nothing before is forgotten at the beginning: it is asked again, under the number it had.
    """

    def __init__(self, folder: Path, writer: ThreadPoolExecutor, *, first_number: int) -> None:
        for leftover in folder.glob(f"*{_UNFINISHED}"):
            leftover.unlink()
        self._folder = folder
        self._writer = writer
        self._waiting: defaultdict[str, deque[Received]] = defaultdict(deque)
        self.fault: OSError | None = None
        taken = set()
        for number, path in _numbered(folder.iterdir()):
            exchange = _read(path)
            if isinstance(exchange.reply, NoAnswer):
                path.unlink()
            else:
                self._waiting[exchange.sha256].append(exchange.reply)
                taken.add(number)
        self._numbers = (number for number in itertools.count(first_number) if number not in taken)

    def take(self, request: bytes) -> Received | None:
        """The first answer to such a request that was not taken yet; None when there is none."""
        waiting = self._waiting[sha256_of(request)]
        return waiting.popleft() if waiting else None

    def next_number(self) -> int:
        """The number of a request that goes to the upstream."""
        return next(self._numbers)

    def keep(self, number: int, exchange: Exchange) -> Future[None]:
        """Write a record, in a thread of our own: once the future is done, a crash cannot undo it.

        It is written even when nobody waits for the future. That may hold an OSError.
        """
        return self._writer.submit(self._write, number, exchange)

    def _write(self, number: int, exchange: Exchange) -> None:
        path = self._folder / f"{number:04}-{exchange.sha256[:12]}.json"
        try:
            _write_whole(path, to_json(exchange))
        except OSError as error:
            self.fault = self.fault or error
            raise


def _numbered(paths: Iterable[Path]) -> list[tuple[int, Path]]:
    """Those that are records, by their numbers."""
    found = ((_NAME.fullmatch(path.name), path) for path in paths)
    return sorted((int(match[1]), path) for match, path in found if match)


def _read(path: Path) -> Exchange:
    try:
        return from_json(path.read_bytes())
    except (ValueError, OSError) as error:
        raise UnusableError(
            "The record of a model's answer cannot be read.",
            details=f"{path}: {error}",
            hint="Move the file elsewhere to have the model asked again.",
        ) from error


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + _UNFINISHED)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _make(folder: Path) -> None:
    """Make a folder that only we can look into, and those above it that are not there."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)  # the first attempts of two workstreams come at once
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Have the disk hold what is in a folder by name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
