"""Places for sandboxes, shared by all runs on the machine: first come, first served.

Whoever wants a place takes the next numbered ticket: a file in a folder that everybody shares, on which it
keeps a lock. A ticket has a place when fewer live tickets than the limit have a lower number; so there is
nothing to hand over, and what a killed process held is free at once, for its locks are gone with it. The lock
of the folder itself makes drawing a number and locking its file one act.

None of the lock packages does this: filelock and portalocker (whose semaphore tries its files in random order)
know no queue, and a posix_ipc semaphore stays taken when its holder is killed.
"""

import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path

from runner.errors import UnusableError

_PAUSE_S = 0.05  # between two looks at the queue; a sandbox lives for seconds
_SHARE_OF_MEMORY = 0.8  # the rest is for the runs themselves and whatever else the machine does
_SYSTEM_LOCKS = Path("/run/lock")


class Slots:
    """The places of one machine, as one run sees them; for any number of threads at once."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Makes the folder where it is missing (not its parents). Raises UnusableError when it cannot be used.

        Runs may have different limits: each counts all who came before it, and together they never hold more
        places than the highest limit.
        """
        self._folder = folder
        self._limit = limit
        with self._explained(), ExitStack() as undo:
            _opened(folder, undo)

    @contextmanager
    def hold(self, stop: threading.Event) -> Iterator[bool]:
        """Wait for a place. True: it is held until the context is left. False: `stop` was set before.

        Raises UnusableError when the folder cannot be used any more. Who holds a place must not wait for
        another: with a limit of 1 it would wait for itself.
        """
        with ExitStack() as undo:
            with self._explained():
                held = self._wait(stop, undo)
            if not held:
                undo.close()
            yield held

    def _wait(self, stop: threading.Event, undo: ExitStack) -> bool:
        folder = _opened(self._folder, undo)
        # Not a lock that blocks: whoever has it may be stopped by a signal, and we could not be.
        if not _until(lambda: _locks(folder, fcntl.LOCK_EX), stop):
            return False
        ticket = _draw_ticket(folder, undo)
        fcntl.flock(folder, fcntl.LOCK_UN)
        return _until(lambda: self._is_turn(folder, ticket), stop)

    def _is_turn(self, folder: int, ticket: int) -> bool:
        earlier = (number for number in sorted(_tickets(folder)) if number < ticket)
        live = (number for number in earlier if _is_live(folder, number))
        return len(list(islice(live, self._limit))) < self._limit

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnusableError(
                f"The folder in which the runs of this machine meet cannot be used: {self._folder}",
                details=error.strerror or str(error),
                hint="Set host.folder to a folder that everybody who starts runs here may write to "
                "(made by `mkdir -m 1777 FOLDER`).",
            ) from error


def default_limit(memory_mb: int) -> int:
    """How many sandboxes of that much memory (MiB) this machine bears at a time; at least 1.

    Two for each core that this process may use, because an agent mostly waits for its model; fewer where
    they would need more than 80 % of the memory.
    """
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(2 * cores, int(_SHARE_OF_MEMORY * memory / (memory_mb * 1024 * 1024))))


def default_folder() -> Path:
    """The folder in which the runs of all users meet; the same for each of them, root included.

    So it depends neither on what the asking user may write to, nor on TMPDIR.
    """
    with suppress(OSError):
        if _SYSTEM_LOCKS.stat().st_mode & stat.S_IWOTH:
            return _SYSTEM_LOCKS / "runner"
    return Path("/tmp/runner-slots")  # noqa: S108 - checked by _opened


def _opened(path: Path, undo: ExitStack) -> int:
    """The folder's descriptor, until `undo`. A folder that somebody else could have prepared is refused."""
    with suppress(FileExistsError):
        _make_for_all(path)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    undo.callback(os.close, folder)
    info = os.fstat(folder)
    if info.st_uid not in (0, os.geteuid()) and not info.st_mode & stat.S_ISVTX:
        raise PermissionError(None, "It belongs to another user, and has no sticky bit.")
    if not os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
        raise PermissionError(None, "It may not be read and written by this user.")
    return folder


def _make_for_all(path: Path) -> None:
    """A folder to which all may add tickets, while none may remove another's; in one act, which a kill cannot halve."""
    ours = os.umask(0)
    try:
        path.mkdir(0o1777)
    finally:
        os.umask(ours)


def _until(ready: Callable[[], bool], stop: threading.Event) -> bool:
    """Whether it got ready before `stop` was set."""
    while not stop.is_set():
        if ready():
            return True
        stop.wait(_PAUSE_S)
    return False


def _tickets(folder: int) -> list[int]:
    return [int(name) for name in os.listdir(folder) if name.isdecimal()]


def _draw_ticket(folder: int, undo: ExitStack) -> int:
    """A locked ticket behind all others, until `undo`. The folder must be locked."""
    number = max(_tickets(folder), default=0) + 1
    file = os.open(str(number), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    undo.callback(os.close, file)
    undo.callback(_remove, folder, number)
    os.fchmod(file, 0o644)  # whatever our umask: the others must be able to see that it is locked
    fcntl.flock(file, fcntl.LOCK_EX)
    return number


def _is_live(folder: int, number: int) -> bool:
    """Whether somebody is behind a ticket. The ticket of a dead process is removed.

    Only to be asked with a later ticket in hand: nobody draws this number again as long as that is there.
    """
    # Without O_CREAT, which fs.protected_regular forbids for files of others; a pipe must not make us wait.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.open(str(number), flags, dir_fd=folder)
    except (FileNotFoundError, PermissionError):  # given back, or its owner died before it could be read
        return False
    try:
        # Shared, so that two who look do not take each other for the owner.
        if not _locks(file, fcntl.LOCK_SH):
            return True
        _remove(folder, number)
        return False
    finally:
        os.close(file)


def _locks(file: int, kind: int) -> bool:
    """Take a lock unless somebody else's is in the way."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(folder: int, number: int) -> None:
    """What cannot be removed (a dead ticket of another user) does no harm: it is not locked."""
    with suppress(OSError):
        os.unlink(str(number), dir_fd=folder)
