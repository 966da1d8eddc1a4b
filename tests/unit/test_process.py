import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.errors import ExitCode
from runner.process import CommandError, Completed, run, stream

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
HANGS = "sleep 600 & wait"  # a shell and a child of its own


def sh(script: str, *, timeout_s: float = 60, check: bool = True, input: bytes = b"") -> Completed:
    return run(["sh", "-c", script], timeout_s=timeout_s, env=ENV, check=check, input=input)


def test_output_and_exit_code_come_back_apart():
    assert sh("echo out; echo err >&2; exit 3", check=False) == Completed(3, b"out\n", b"err\n")


def test_a_command_reads_its_input_and_nothing_of_ours():
    assert sh("cat", input=b"given \xff").stdout == b"given \xff"
    assert sh("cat").stdout == b""


def test_more_output_and_input_than_a_pipe_holds_passes_through():
    data = os.urandom(1 << 20)
    assert sh("cat; head -c 1000000 /dev/zero >&2", input=data).stdout == data


def test_arguments_reach_the_program_as_they_are(tmp_path: Path):
    done = run(["printf", "%s|", "a b", "$HOME", "*", "ü", "\udcff"], timeout_s=60, env=ENV, cwd=tmp_path)
    assert done.stdout == "a b|$HOME|*|ü|".encode() + b"\xff|"


def test_only_the_given_environment_and_folder_hold(tmp_path: Path):
    done = run(["sh", "-c", "pwd; env"], timeout_s=60, env={**ENV, "A": "1"}, cwd=tmp_path)
    folder, *names = done.text.splitlines()
    assert folder == str(tmp_path)
    assert {name.split("=")[0] for name in names} == {"PATH", "A", "PWD"}


def test_text_survives_undecodable_bytes():
    text = sh("printf 'a\\377\\n\\n'").text
    assert text == "a\udcff\n"
    assert os.fsencode(text) == b"a\xff\n"


def test_a_failure_names_the_command_its_exit_code_and_what_it_said():
    with pytest.raises(CommandError) as caught:
        sh("echo ' why \xff ' >&2; exit 7")
    error = caught.value
    assert (error.brief, error.details, error.returncode) == ("`sh -c echo ' why \xff ' >&2; exit 7` exited with 7", "why \xff", 7)  # fmt: skip
    assert error.exit_code is ExitCode.ENVIRONMENT


def test_undecodable_words_of_a_failure_are_replaced():
    with pytest.raises(CommandError) as caught:
        sh("printf '\\377oops' >&2; exit 1")
    assert (caught.value.details, caught.value.stderr) == ("\ufffdoops", b"\xffoops")


@pytest.mark.parametrize("start", [run, lambda argv, **rest: stream(argv, on_line=print, **rest)])
def test_a_missing_program_is_an_error_of_the_environment(start):
    with pytest.raises(CommandError, match="`no-such-program` was not found"):
        start(["no-such-program"], timeout_s=60)


@pytest.mark.parametrize("start", [run, lambda argv, **rest: stream(argv, on_line=print, **rest)])
def test_a_file_that_is_no_program_says_why_it_cannot_be_started(start, tmp_path: Path):
    (tmp_path / "data").write_text("")
    with pytest.raises(CommandError) as caught:
        start([str(tmp_path / "data")], timeout_s=60)
    assert caught.value.brief == f"`{tmp_path / 'data'}` could not be started: Permission denied"


def test_a_missing_folder_is_not_blamed_on_the_program(tmp_path: Path):
    with pytest.raises(CommandError) as caught:
        run(["true"], timeout_s=60, cwd=tmp_path / "gone")
    assert caught.value.brief == f"`true` could not be started: there is no folder {tmp_path / 'gone'}"


@contextmanager
def watched(tmp_path: Path) -> Iterator[Callable[[], bool]]:
    """Tells whether every process that has the fifo `alive` open is gone, waiting for it a little."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def all_gone() -> bool:
        readable, _, _ = select.select([reader], [], [], 10)
        return bool(readable) and os.read(reader, 1) == b""

    try:
        yield all_gone
    finally:
        os.close(reader)


def test_a_missed_deadline_kills_the_command_and_its_children(tmp_path: Path):
    with watched(tmp_path) as all_gone:
        with pytest.raises(CommandError) as caught:
            sh(f"exec 9> {tmp_path}/alive; echo said >&2; {HANGS}", timeout_s=1)
        assert all_gone()
    assert caught.value.brief.endswith("did not end within 1 s")
    assert caught.value.details == "said"


def test_a_streams_missed_deadline_kills_the_command_and_its_children(tmp_path: Path):
    lines: list[str] = []
    argv = ["sh", "-c", f"exec 9> {tmp_path}/alive; echo said; {HANGS}"]
    with watched(tmp_path) as all_gone:
        with pytest.raises(CommandError, match="did not end within 1 s"):
            stream(argv, timeout_s=1, on_line=lines.append)
        assert all_gone()
    assert lines == ["said"]


def test_a_stream_whose_command_closes_its_output_still_has_a_deadline():
    with pytest.raises(CommandError, match="did not end within 1 s"):
        stream(["sh", "-c", "exec >&- 2>&-; sleep 600"], timeout_s=1, on_line=print)


def test_a_stream_hands_on_both_streams_line_by_line():
    lines: list[str] = []
    code = stream(
        ["sh", "-c", "echo one; echo two >&2; printf 'three \\377'; exit 4"],
        timeout_s=60,
        on_line=lines.append,
        env=ENV,
    )
    assert (code, lines) == (4, ["one", "two", "three \ufffd"])


def test_a_stream_is_killed_when_its_reader_gives_up(tmp_path: Path):
    def give_up(line: str) -> None:
        raise KeyError(line)

    argv = ["sh", "-c", f"exec 9> {tmp_path}/alive; echo said; {HANGS}"]
    with watched(tmp_path) as all_gone:
        with pytest.raises(KeyError, match="said"):
            stream(argv, timeout_s=600, on_line=give_up)
        assert all_gone()
