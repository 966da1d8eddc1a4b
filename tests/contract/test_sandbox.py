"""What every kind of sandbox promises, be it a container or the fake of the unit tests.

test_docker.py has what only a container can show.
"""

import os
from datetime import UTC, datetime

from runner.ports import Command, CommitInfo, End, Sandbox
from tests.contract.conftest import Bench

INFO = CommitInfo(
    message="Change\n", author="Tool <tool@example.invalid>", date=datetime(2026, 1, 2, tzinfo=UTC)
)


def test_a_command_sees_the_candidate_and_its_output_and_exit_code_come_back(any_bench: Bench):
    ran = any_bench.shell("cat a.txt; echo oops >&2; exit 3")
    assert (ran.end, ran.exit_code, ran.stdout.text(), ran.stderr.text()) == (
        End.EXITED,
        3,
        "one\n",
        "oops\n",
    )


def test_what_a_command_changes_is_found_and_the_checkout_is_untouched(any_bench: Bench):
    script = (
        "rm a.txt; echo 'B = 2' > src/b.py; mkdir -p 'new dir'; echo x > 'new dir/ü.txt'; ln -s b.py src/l;"
        "printf x > t && mv t 'renamed'; chmod 755 src/b.py; touch src"
    )
    assert any_bench.left_by(script) == [
        ("a.txt", "delete"),
        ("new dir/ü.txt", "add"),
        ("renamed", "add"),
        ("src/b.py", "modify"),
        ("src/l", "symlink"),
    ]
    assert (any_bench.worktree.path / "a.txt").read_text() == "one\n"


def test_a_removed_and_remade_folder_deletes_what_it_does_not_hold(any_bench: Bench):
    script = "rm -r src; mkdir src; echo new > src/n.py"
    assert any_bench.left_by(script) == [("src/b.py", "delete"), ("src/n.py", "add")]


def test_each_sandbox_starts_from_the_candidate_again(any_bench: Bench):
    any_bench.shell("echo changed > a.txt; echo x > left")
    assert any_bench.shell("cat a.txt; ls").stdout.text() == "one\na.txt\nsrc\n"


def test_a_missing_command_is_a_result_not_an_error(any_bench: Bench):
    with any_bench.sandboxes.open(any_bench.spec()) as sandbox:
        ran = sandbox.run(Command(argv=["no-such-tool"]))
    assert ran.exit_code == 127
    assert "no-such-tool" in ran.stderr.text()


def test_git_ignored_leftovers_are_left_out(any_bench: Bench):
    (any_bench.worktree.path / ".gitignore").write_text("*.pyc\n/build/\n")
    script = "touch x.pyc src/y.pyc z.txt; mkdir build; touch build/o"
    assert any_bench.left_by(script) == [("z.txt", "add")]


def test_accepted_content_is_what_the_command_wrote(any_bench: Bench):
    content: dict[str, bytes] = {}

    def read(sandbox: Sandbox) -> None:
        content.update({change.path: sandbox.content(change) for change in sandbox.changes()})

    any_bench.shell("printf 'a\\r\\n\\000b' > bin; ln -s bin link", read)
    assert content == {"bin": b"a\r\n\0b", "link": b"bin"}


def test_undecodable_output_is_replaced(any_bench: Bench):
    assert any_bench.shell("printf '\\377\\376ok\\n'").stdout.text() == "\ufffd\ufffdok\n"


def test_files_and_folders_may_take_each_others_places(any_bench: Bench):
    script = "rm -r src; echo x > src; rm a.txt; mkdir a.txt; echo y > a.txt/new.txt"
    assert any_bench.left_by(script) == [
        ("a.txt", "delete"),
        ("a.txt/new.txt", "add"),
        ("src", "add"),
        ("src/b.py", "delete"),
    ]


def test_a_mode_alone_is_a_change_and_a_renaming_is_two(any_bench: Bench):
    assert any_bench.left_by("chmod 755 a.txt; mv src/b.py src/c.py") == [
        ("a.txt", "mode"),
        ("src/b.py", "delete"),
        ("src/c.py", "add"),
    ]


def test_what_was_written_again_without_a_difference_is_no_change(any_bench: Bench):
    script = "cp a.txt x; mv x a.txt; touch src/b.py; rm -r src; mkdir src; echo 'B = 1' > src/b.py"
    assert any_bench.left_by(script) == []


def test_what_can_never_be_accepted_is_refused_with_the_reason(any_bench: Bench):
    refused: dict[str, str] = {}

    def read(sandbox: Sandbox) -> None:
        refused.update({change.path: change.refused for change in sandbox.changes()})

    script = (
        "mkfifo pipe; ln -s /etc/passwd leak; ln -s ../../x src/up; mkdir src/.git; touch src/.git/config"
    )
    any_bench.shell(script, read)
    assert refused == {
        "leak": "a link out of the workspace is never accepted",
        "pipe": "a FIFO is never accepted",
        "src/.git": "a .git entry is never accepted",
        "src/up": "a link out of the workspace is never accepted",
    }


def test_names_that_are_not_utf8_come_back(any_bench: Bench):
    (path, kind), *others = any_bench.left_by("touch \"$(printf '\\377 x')\"")
    assert (os.fsencode(path), kind, others) == (b"\xff x", "add", [])


def test_what_is_accepted_is_committed_and_the_next_sandbox_starts_from_it(any_bench: Bench):
    worktree, base = any_bench.worktree, any_bench.worktree.candidate
    any_bench.shell(
        "echo two > a.txt; rm -r src; echo n > new; chmod 755 new; ln -s new link",
        lambda sandbox: worktree.accept(sandbox, sandbox.changes(), INFO),
    )
    assert worktree.changed(base) == ["a.txt", "link", "new"]
    assert any_bench.shell("cat a.txt; ls").stdout.text() == "two\na.txt\nlink\nnew\n"
    assert any_bench.left_by("true") == []


def test_after_a_cancellation_nothing_starts(any_bench: Bench):
    any_bench.sandboxes.cancel()
    ran = any_bench.shell("echo started")
    assert (ran.end, ran.stdout.text()) == (End.CANCELLED, "")
