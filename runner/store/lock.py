"""One run at a time in a state folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import StoreError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the state folder's lock. Raises StoreError when another process holds it.

    The lock belongs to the open file, so it is gone with the process, however that ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                "Another run is at work in this repository",
                details=f"It holds {path}.",
                hint="Watch it with `runner logs --follow`, or wait for its end.",
            ) from error
        yield
