"""Reading what a container left in its layer: without following links, without trusting names or types.

The container is gone when this runs, so nothing moves under us; but every name, link and type in the layer
was chosen by code that nobody has read.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from runner.ports import Change, ChangeKind
from runner.sandbox.overlay import OPAQUE, Overlay

Ignored = Callable[[Path, Sequence[str]], set[str]]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_changes(overlay: Overlay, *, max_bytes: int, ignored: Ignored) -> list[Change]:
    """The entries that a layer changes, sorted by path: no-ops and git-ignored new files are left out."""
    found = _Reader(overlay, max_bytes).changes()
    skip = ignored(overlay.lower, [change.path for change in found if not change.existed])
    return sorted((change for change in found if change.path not in skip), key=lambda change: change.path)


def read_content(overlay: Overlay, change: Change) -> bytes:
    """The bytes of a changed file, or the target of a changed link."""
    *parents, name = PurePosixPath(change.path).parts
    folder = os.open(overlay.upper, _FOLDER)
    try:
        for parent in parents:
            below = os.open(parent, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        if change.kind == "symlink":
            return os.fsencode(os.readlink(name, dir_fd=folder))
        with open(os.open(name, _FILE, dir_fd=folder), "rb") as file:  # noqa: PTH123 - by descriptor
            return file.read()
    finally:
        os.close(folder)


class _Reader:
    """One walk over a layer, beside the checkout below it."""

    def __init__(self, overlay: Overlay, max_bytes: int) -> None:
        self.overlay = overlay
        self.max_bytes = max_bytes

    def changes(self) -> list[Change]:
        top = os.open(self.overlay.upper, _FOLDER)
        try:
            return list(self._walk(top, ""))
        finally:
            os.close(top)

    def _walk(self, folder: int, prefix: str) -> Iterator[Change]:
        names = sorted(os.listdir(folder))
        if prefix and _is_opaque(folder):
            yield from self._deleted_children(prefix, kept=set(names))
        for name in names:
            path = f"{prefix}{name}"
            entry = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if path == ".git" and _is_mount_point(entry):
                continue
            if name.casefold() == ".git":
                yield self._special(path, entry, "a .git entry is never accepted")
            elif stat.S_ISDIR(entry.st_mode):
                yield from self._folder(folder, name, path)
            elif stat.S_ISCHR(entry.st_mode) and entry.st_rdev == 0:
                yield from self._deleted(path)
            else:
                yield from self._file(folder, name, path, entry)

    def _folder(self, parent: int, name: str, path: str) -> Iterator[Change]:
        below = self._lower(path)
        if below is not None and not stat.S_ISDIR(below.st_mode):
            yield Change(path=path, kind="delete", existed=True)
        folder = os.open(name, _FOLDER, dir_fd=parent)
        try:
            yield from self._walk(folder, f"{path}/")
        finally:
            os.close(folder)

    def _file(self, folder: int, name: str, path: str, entry: os.stat_result) -> Iterator[Change]:
        below = self._lower(path)
        if below is not None and stat.S_ISDIR(below.st_mode):
            yield from self._deleted(path)
            below = None
        if stat.S_ISLNK(entry.st_mode):
            yield from self._link(folder, name, path, below)
        elif not stat.S_ISREG(entry.st_mode):
            yield self._special(path, entry, f"a {_type_name(entry.st_mode)} is never accepted")
        elif entry.st_size > self.max_bytes:
            yield self._special(path, entry, f"larger than {self.max_bytes} bytes")
        else:
            yield from self._regular(folder, name, path, entry, below=below)

    def _link(self, folder: int, name: str, path: str, below: os.stat_result | None) -> Iterator[Change]:
        target = os.readlink(name, dir_fd=folder)
        if below is not None and stat.S_ISLNK(below.st_mode):
            same = os.fspath((self.overlay.lower / path).readlink()) == target
            if same:
                return
        refused = "a link out of the workspace is never accepted" if _escapes(path, target) else ""
        size = len(os.fsencode(target))
        existed = below is not None
        yield Change(path=path, kind="symlink", mode="120000", size=size, existed=existed, refused=refused)

    def _regular(
        self, folder: int, name: str, path: str, entry: os.stat_result, *, below: os.stat_result | None
    ) -> Iterator[Change]:
        mode = _git_mode(entry)
        kind: ChangeKind = "add" if below is None else "modify"
        if below is not None and stat.S_ISREG(below.st_mode):
            same_size = below.st_size == entry.st_size
            if same_size and _same_bytes(folder, name, self.overlay.lower / path):
                if mode == _git_mode(below):
                    return
                kind = "mode"
        yield Change(path=path, kind=kind, mode=mode, size=entry.st_size, existed=below is not None)

    def _deleted(self, path: str) -> Iterator[Change]:
        below = self._lower(path)
        if below is None:
            return
        if stat.S_ISDIR(below.st_mode):
            yield from self._deleted_children(f"{path}/", kept=set())
        else:
            yield Change(path=path, kind="delete", existed=True)

    def _deleted_children(self, prefix: str, *, kept: set[str]) -> Iterator[Change]:
        """What an opaque folder hides: everything that stood below and was not made anew."""
        below = self._lower(prefix.rstrip("/"))
        if below is not None and stat.S_ISDIR(below.st_mode):
            for entry in sorted((self.overlay.lower / prefix).iterdir()):
                if entry.name not in kept:
                    yield from self._deleted(f"{prefix}{entry.name}")

    def _special(self, path: str, entry: os.stat_result, why: str) -> Change:
        existed = self._lower(path) is not None
        return Change(path=path, kind="special", size=entry.st_size, existed=existed, refused=why)

    def _lower(self, path: str) -> os.stat_result | None:
        """What the checkout holds at a path; nothing, when a link or a file stands on the way there."""
        found: os.stat_result | None = None
        place = self.overlay.lower
        for part in PurePosixPath(path).parts:
            if found is not None and not stat.S_ISDIR(found.st_mode):
                return None
            place = place / part
            try:
                found = place.lstat()
            except FileNotFoundError:
                return None
        return found


def _is_mount_point(entry: os.stat_result) -> bool:
    """The engine may leave an empty file where it mounted over `.git`."""
    return stat.S_ISREG(entry.st_mode) and entry.st_size == 0


def _git_mode(entry: os.stat_result) -> str:
    return "100755" if entry.st_mode & stat.S_IXUSR else "100644"


def _is_opaque(folder: int) -> bool:
    try:
        return os.getxattr(folder, OPAQUE) == b"y"
    except OSError:
        return False


def _escapes(path: str, target: str) -> bool:
    """Whether a link leads out of the workspace, or into a .git, by its text alone."""
    if target.startswith("/"):
        return True
    depth = path.count("/")
    for part in target.split("/"):
        if part.casefold() == ".git":
            return True
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            return True
    return False


def _same_bytes(folder: int, name: str, below: Path) -> bool:
    with open(os.open(name, _FILE, dir_fd=folder), "rb") as new, below.open("rb") as old:  # noqa: PTH123 - by descriptor
        while True:
            block = new.read(1 << 20)
            if block != old.read(1 << 20):
                return False
            if not block:
                return True


def _type_name(mode: int) -> str:
    names = {
        stat.S_IFIFO: "FIFO",
        stat.S_IFSOCK: "socket",
        stat.S_IFBLK: "block device",
        stat.S_IFCHR: "character device",
    }
    return names.get(stat.S_IFMT(mode), "special file")
