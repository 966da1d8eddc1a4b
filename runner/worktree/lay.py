"""Writing accepted changes into a checkout: by descriptors, so that no link in it is ever followed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from runner.ports import Change

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def lay(top: Path, changes: Sequence[Change], content: Mapping[str, bytes], *, uid: int | None) -> None:
    """Make a checkout hold the changes. Files belong to `uid` afterwards, when one is given."""
    for change in changes:
        if change.existed:
            _delete(top, PurePosixPath(change.path))
    for change in changes:
        if change.kind != "delete":
            _write(top, change, content[change.path], uid)


def _delete(top: Path, path: PurePosixPath) -> None:
    parents = path.parts[:-1]
    folder = _open_folders(top, parents)
    try:
        os.unlink(path.name, dir_fd=folder)
    finally:
        os.close(folder)
    for depth in range(len(parents), 0, -1):  # git knows no empty folders
        folder = _open_folders(top, parents[: depth - 1])
        try:
            os.rmdir(parents[depth - 1], dir_fd=folder)
        except OSError:
            return
        finally:
            os.close(folder)


def _write(top: Path, change: Change, data: bytes, uid: int | None) -> None:
    path = PurePosixPath(change.path)
    folder = _open_folders(top, path.parts[:-1], create=True, uid=uid)
    try:
        if change.mode == "120000":
            os.symlink(os.fsdecode(data), path.name, dir_fd=folder)
        else:
            mode = 0o755 if change.mode == "100755" else 0o644
            with open(os.open(path.name, _NEW_FILE, mode, dir_fd=folder), "wb") as file:  # noqa: PTH123 - by descriptor
                file.write(data)
                os.fchmod(file.fileno(), mode)
        if uid is not None:
            os.chown(path.name, uid, uid, dir_fd=folder, follow_symlinks=False)
    finally:
        os.close(folder)


def _open_folders(top: Path, parts: Sequence[str], *, create: bool = False, uid: int | None = None) -> int:
    folder = os.open(top, _FOLDER)
    for part in parts:
        try:
            if create:
                _make_folder(folder, part, uid)
            below = os.open(part, _FOLDER, dir_fd=folder)
        finally:
            os.close(folder)
        folder = below
    return folder


def _make_folder(parent: int, name: str, uid: int | None) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError:
        return
    if uid is not None:
        os.chown(name, uid, uid, dir_fd=parent, follow_symlinks=False)
