"""The private git directory of a sandbox: the objects of one commit, read-only, and a template to work in."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.core.model import Commit
from runner.git import Git
from runner.ports import GIT_BASE, GIT_DIR, WORKSPACE

_CONFIG = f"""[core]
\trepositoryformatversion = 1
\tbare = false
\tworktree = {WORKSPACE}
\thooksPath = /dev/null
[user]
\tname = agent
\temail = agent@sandbox.invalid
[gc]
\tauto = 0
"""


def git_base(plumbing: Git, cache: Path, commit: Commit) -> Path:
    """The folder to mount at GIT_BASE for sandboxes that start from a commit; made once and kept.

    `objects/` holds the commit without its history, `template/` becomes the sandbox's git directory, and
    `gitfile` is mounted over the workspace's `.git`, so that git finds its way without the environment too.
    """
    folder = cache / commit
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    half_made = Path(tempfile.mkdtemp(prefix=f"{commit[:12]}-", dir=cache))
    try:
        _fill(half_made, plumbing, commit)
        half_made.rename(folder)
    except OSError:
        if not folder.exists():  # another worker may have made it meanwhile
            raise
        shutil.rmtree(half_made, ignore_errors=True)
    return folder


def clear_half_made(cache: Path) -> None:
    """Remove what a killed process left; nobody else may be at work here."""
    for folder in cache.glob("*-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, plumbing: Git, commit: Commit) -> None:
    objects = folder / "objects"
    (objects / "pack").mkdir(parents=True)
    listed = plumbing.call("rev-list", "--objects", "--no-walk", commit)
    with _borrowing(objects, plumbing) as here:
        plumbing.call("pack-objects", "-q", str(objects / "pack" / "pack"), input=listed.stdout, env=here)
    (folder / "gitfile").write_text(f"gitdir: {GIT_DIR}\n")
    template = folder / "template"
    for name in ("refs/heads", "objects/info", "info"):
        (template / name).mkdir(parents=True)
    (template / "HEAD").write_text("ref: refs/heads/work\n")
    (template / "refs" / "heads" / "work").write_text(f"{commit}\n")
    (template / "objects" / "info" / "alternates").write_text(f"{GIT_BASE}/objects\n")
    (template / "shallow").write_text(f"{commit}\n")
    (template / "config").write_text(_CONFIG + _object_format(commit))
    plumbing.call("read-tree", commit, env={"GIT_INDEX_FILE": str(template / "index")})
    _make_readable(folder)


@contextmanager
def _borrowing(objects: Path, plumbing: Git) -> Iterator[dict[str, str]]:
    """An environment in which git works in this object folder and reads the target's as well.

    Else it would write beside the target's objects and rename, which no two file systems allow.
    """
    info = objects / "info"
    info.mkdir()
    (info / "alternates").write_bytes(os.fsencode(plumbing.env["GIT_OBJECT_DIRECTORY"]) + b"\n")
    yield {"GIT_OBJECT_DIRECTORY": str(objects)}
    shutil.rmtree(info)


def _object_format(commit: Commit) -> str:
    return "[extensions]\n\tobjectFormat = sha256\n" if len(commit) == 64 else ""


def _make_readable(folder: Path) -> None:
    """The sandbox's user is another than ours; what leads here is closed to other users of the host."""
    for place, _, names in os.walk(folder):
        Path(place).chmod(0o755)
        for name in names:
            (Path(place) / name).chmod(0o644)
