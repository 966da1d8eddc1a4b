"""Layers are laid by hand as the kernel would leave them; tests/contract has the kernel do it."""

import os
import socket
import stat
from pathlib import Path

import pytest

from runner.ports import Change
from runner.sandbox.layer import read_changes, read_content
from runner.sandbox.overlay import OPAQUE, Overlay


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    lower = tmp_path / "lower"
    (lower / "src" / "deep").mkdir(parents=True)
    (lower / "a.txt").write_text("one\n")
    (lower / "src" / "b.py").write_text("B = 1\n")
    (lower / "src" / "deep" / "c.py").write_text("C = 1\n")
    (lower / "link").symlink_to("a.txt")
    overlay = Overlay(lower, tmp_path / "scratch")
    overlay.upper.mkdir(parents=True)
    return overlay


def changes(overlay: Overlay, *, max_bytes: int = 1000, ignore: tuple[str, ...] = ()) -> list[Change]:
    return read_changes(
        overlay, max_bytes=max_bytes, ignored=lambda _, paths: {p for p in paths if p in ignore}
    )


def kinds(overlay: Overlay) -> list[tuple[str, str]]:
    return [(change.path, change.kind) for change in changes(overlay)]


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def test_an_untouched_layer_changes_nothing(overlay):
    assert changes(overlay) == []


def test_a_new_file_is_an_addition_with_its_mode(overlay):
    (overlay.upper / "new.sh").write_text("#!/bin/sh\n")
    (overlay.upper / "new.sh").chmod(0o4755)
    assert changes(overlay) == [Change(path="new.sh", kind="add", mode="100755", size=10)]


def test_a_copied_up_file_with_the_same_bytes_is_no_change(overlay):
    (overlay.upper / "a.txt").write_text("one\n")
    assert changes(overlay) == []


def test_other_bytes_of_the_same_length_are_a_modification(overlay):
    (overlay.upper / "a.txt").write_text("two\n")
    assert changes(overlay) == [Change(path="a.txt", kind="modify", mode="100644", size=4, existed=True)]


def test_a_changed_executable_bit_is_a_mode_change(overlay):
    (overlay.upper / "a.txt").write_text("one\n")
    (overlay.upper / "a.txt").chmod(0o755)
    assert changes(overlay) == [Change(path="a.txt", kind="mode", mode="100755", size=4, existed=True)]


def test_a_whiteout_deletes_a_file(overlay):
    whiteout(overlay.upper / "a.txt")
    assert kinds(overlay) == [("a.txt", "delete")]


def test_a_whiteout_of_a_folder_deletes_every_file_below(overlay):
    whiteout(overlay.upper / "src")
    assert kinds(overlay) == [("src/b.py", "delete"), ("src/deep/c.py", "delete")]


def test_an_opaque_folder_deletes_what_was_not_made_anew(overlay):
    (overlay.upper / "src").mkdir()
    os.setxattr(overlay.upper / "src", OPAQUE, b"y")
    (overlay.upper / "src" / "b.py").write_text("B = 2\n")
    assert kinds(overlay) == [("src/b.py", "modify"), ("src/deep/c.py", "delete")]


def test_a_file_in_a_folders_place_deletes_the_files_below_it(overlay):
    (overlay.upper / "src").write_text("now a file\n")
    assert kinds(overlay) == [("src", "add"), ("src/b.py", "delete"), ("src/deep/c.py", "delete")]


def test_a_folder_in_a_links_place_deletes_the_link_and_never_looks_through_it(overlay):
    (overlay.lower / "etc").symlink_to("/etc")
    (overlay.upper / "etc").mkdir()
    (overlay.upper / "etc" / "hostname").write_bytes(Path("/etc/hostname").read_bytes())
    assert kinds(overlay) == [("etc", "delete"), ("etc/hostname", "add")]


def test_a_git_ignored_new_file_is_left_out_but_a_tracked_one_is_not(overlay):
    (overlay.upper / "cache").write_text("x")
    (overlay.upper / "a.txt").write_text("two\n")
    assert [change.path for change in changes(overlay, ignore=("cache", "a.txt"))] == ["a.txt"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "src/../../x", ".git/config"])
def test_a_link_that_leads_out_of_the_workspace_is_refused(overlay, target):
    (overlay.upper / "leak").symlink_to(target)
    (change,) = changes(overlay)
    assert change.kind == "symlink"
    assert change.refused


@pytest.mark.parametrize("target", ["a.txt", "src/b.py", "./src/../a.txt", "nowhere"])
def test_a_link_inside_the_workspace_is_a_change_like_others(overlay, target):
    (overlay.upper / "new-link").symlink_to(target)
    (change,) = changes(overlay)
    assert (change.mode, change.refused) == ("120000", "")
    assert read_content(overlay, change) == target.encode()


def test_an_unchanged_link_is_no_change(overlay):
    (overlay.upper / "link").symlink_to("a.txt")
    assert changes(overlay) == []


def test_special_files_are_refused_without_being_opened(overlay):
    os.mkfifo(overlay.upper / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(overlay.upper / "socket"))
    assert [(c.path, c.kind, c.refused) for c in changes(overlay)] == [
        ("fifo", "special", "a FIFO is never accepted"),
        ("socket", "special", "a socket is never accepted"),
    ]


@pytest.mark.parametrize("name", [".git", ".GIT", "src/.git"])
def test_a_git_entry_is_refused_at_any_depth(overlay, name):
    target = overlay.upper / name
    target.mkdir(parents=True)
    (target / "config").write_text("[core]\n")
    assert [(c.path, c.kind) for c in changes(overlay)] == [(name, "special")]


def test_the_empty_mount_point_over_dot_git_is_not_the_agents(overlay):
    (overlay.upper / ".git").touch()
    assert changes(overlay) == []


def test_a_file_over_the_size_limit_is_refused_by_its_claimed_size(overlay):
    with (overlay.upper / "huge").open("wb") as file:
        file.truncate(8 << 30)  # sparse: takes no room, and must not be read
    (change,) = changes(overlay)
    assert (change.kind, change.size) == ("special", 8 << 30)


def test_content_is_never_read_through_a_link(overlay, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (overlay.upper / "folder").symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        read_content(overlay, Change(path="folder/secret", kind="add", mode="100644"))


def test_names_that_are_not_utf8_survive(overlay):
    name = os.fsencode(str(overlay.upper)) + b"/\xff\xfe.txt"
    Path(os.fsdecode(name)).write_text("x")
    (change,) = changes(overlay)
    assert os.fsencode(change.path) == b"\xff\xfe.txt"
