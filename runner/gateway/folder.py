"""Where the sockets of a process lie. Nobody else can enter, and what a killed process left is removed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "runner-door-"


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A folder among the system's temporary files, locked by us for as long as we live.

    Before it is made, folders of ours that nobody holds are removed. One that was made in this moment and is not
    locked yet may be among them; so whoever makes one looks whether it is still there once it is locked.
    """
    for abandoned in abandoned_folders():
        remove_abandoned(abandoned)
    folder, descriptor = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        os.close(descriptor)  # last: until it is gone, nobody else removes it


def _made() -> tuple[Path, int]:
    """A new folder, and what holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        descriptor = _locked(folder)
        if descriptor is not None:
            return folder, descriptor


def abandoned_folders() -> list[Path]:
    """Folders of ours that nobody holds: their processes were killed."""
    return [folder for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*") if _is_abandoned(folder)]


def remove_abandoned(folder: Path) -> None:
    """Remove such a folder, unless somebody holds it now."""
    descriptor = _locked(folder)
    if descriptor is not None:
        shutil.rmtree(folder, ignore_errors=True)  # the next one tries again
        os.close(descriptor)


def _is_abandoned(folder: Path) -> bool:
    descriptor = _locked(folder)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _locked(folder: Path) -> int | None:
    """Hold a folder of ours; None when another process does, or when it is not ours, or gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        opened = os.fstat(descriptor)
        if opened.st_uid == os.getuid() and os.path.samestat(opened, folder.lstat()):
            return descriptor
    os.close(descriptor)
    return None
