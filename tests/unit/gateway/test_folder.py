"""Folders for sockets: ours while we live, gone soon after."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runner.gateway.folder import socket_folder

HOLDER = """
import sys
from runner.gateway.folder import socket_folder
with socket_folder() as folder:
    (folder / "d1").mkdir()
    (folder / "d1" / "model.sock").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary files of these tests' own: other runs on this machine are left alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


class Holder:
    """Another runner, which has a folder."""

    def __enter__(self) -> "Holder":
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.folder = Path(self.process.stdout.readline().strip())
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def test_nobody_else_can_enter_and_leaving_removes_it(temporary: Path):
    with socket_folder() as folder:
        assert folder.parent == temporary
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(temporary: Path):
    with Holder() as holder:
        holder.kill()
        assert (holder.folder / "d1" / "model.sock").exists()
        with socket_folder() as folder:
            assert list(temporary.iterdir()) == [folder]


def test_what_a_living_process_holds_stays():
    with Holder() as holder:
        with socket_folder():
            pass
        assert (holder.folder / "d1" / "model.sock").exists()


def test_what_is_not_ours_stays(temporary: Path):
    """By its name, by what it is, or by its owner."""
    target = temporary / "target"
    target.mkdir()
    (temporary / "runner-other").mkdir()
    (temporary / "runner-door-link").symlink_to(target)
    (temporary / "runner-door-file").touch()
    before = {*temporary.iterdir()}
    with socket_folder():
        pass
    assert {*temporary.iterdir()} == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_what_another_user_left_stays(temporary: Path):
    theirs = temporary / "runner-door-theirs"
    theirs.mkdir()
    os.chown(theirs, 4242, 4242)
    with socket_folder():
        pass
    assert theirs.exists()


def test_one_that_is_being_removed_by_another_is_not_used(temporary: Path, monkeypatch: pytest.MonkeyPatch):
    """The other runner finds it between its making and its locking."""
    make = tempfile.mkdtemp
    held: list[int] = []

    def caught(**options: str) -> str:
        folder = make(**options)
        if not held:
            held.append(os.open(folder, os.O_RDONLY))
            fcntl.flock(held[0], fcntl.LOCK_EX)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", caught)
    with socket_folder() as folder:
        assert not os.path.samestat(folder.stat(), os.fstat(held[0]))
    os.close(held[0])


def test_one_that_was_removed_before_it_was_locked_is_not_used(monkeypatch: pytest.MonkeyPatch):
    lock = fcntl.flock
    removed: list[Path] = []

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            removed[0].rmdir()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with socket_folder() as folder:
        assert folder.is_dir()
        assert folder not in removed


def test_many_that_start_at_once_leave_each_other_alone(temporary: Path):
    def live(_: int) -> bool:
        with socket_folder() as folder:
            (folder / "model.sock").touch()
            return (folder / "model.sock").exists()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(live, range(200)))
    assert list(temporary.iterdir()) == []
