"""One run at a time in a state folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from runner.errors import StoreError

# A command that only looks, or cleans up, holds it for a moment.
_PATIENT = Retrying(
    retry=retry_if_exception_type(BlockingIOError),
    wait=wait_fixed(0.05),
    stop=stop_after_delay(2),
    reraise=True,
)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the state folder's lock. Raises StoreError when another process keeps it for some seconds.

    The lock belongs to the open file, so it is gone with the process, however that ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            _PATIENT(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                "Another run is at work in this repository",
                details=f"It holds {path}.",
                hint="Watch it with `runner logs --follow`, or wait for its end.",
            ) from error
        yield
