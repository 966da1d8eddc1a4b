import os
from pathlib import Path

import pytest

from runner.sandbox.overlay import Overlay


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    return Overlay(tmp_path / "lower", tmp_path / "scratch" / "one")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain", "plain"),
        ("a b", "a b"),
        ("a,b", "a\\,b"),
        ("a:b", "a\\:b"),
        ("a\\b", "a\\\\b"),
        ("a\\,:b", "a\\\\\\,\\:b"),
    ],
)
def test_characters_at_which_the_kernel_splits_are_escaped(name, written):
    options = Overlay(Path("/l") / name, Path("/s") / name).driver_options()
    assert options == {
        "type": "overlay",
        "device": "overlay",
        "o": f"lowerdir=/l/{written},upperdir=/s/{written}/upper,workdir=/s/{written}/work,userxattr,volatile",
    }


def test_the_scratch_folders_belong_to_the_sandboxs_user(overlay: Overlay):
    uid = 4321 if os.getuid() == 0 else os.getuid()
    overlay.make(uid)
    assert (overlay.upper.stat().st_uid, overlay.upper.stat().st_mode & 0o777) == (uid, 0o755)
    assert overlay.work.is_dir()


def test_a_scratch_folder_is_never_used_twice(overlay: Overlay):
    overlay.make(os.getuid())
    with pytest.raises(FileExistsError):
        overlay.make(os.getuid())


def test_what_a_container_left_is_removed_whatever_it_is(overlay: Overlay, tmp_path: Path):
    """The kernel leaves an empty folder of mode 000 below `work`; a link must not lead the removal astray."""
    overlay.make(os.getuid())
    (tmp_path / "mine").write_text("mine")
    (overlay.upper / "link").symlink_to(tmp_path)
    (overlay.upper / "deep" / "er").mkdir(parents=True)
    (overlay.upper / "deep" / "er" / "file").write_text("x")
    os.mkfifo(overlay.upper / "fifo")
    (overlay.work / "work").mkdir(mode=0o000)
    overlay.remove()
    assert not overlay.scratch.exists()
    assert (tmp_path / "mine").read_text() == "mine"


def test_removing_twice_is_fine(overlay: Overlay):
    overlay.make(os.getuid())
    overlay.remove()
    overlay.remove()
