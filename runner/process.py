"""Commands on the host: argument lists only, always with a deadline, never through a shell."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runner.errors import UnusableError


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ran to its end."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its output without the last line break; undecodable bytes survive a round trip through os.fsencode."""
        return os.fsdecode(self.stdout).removesuffix("\n")


class CommandError(UnusableError):
    """A command of ours failed, was not found, or did not end in time."""

    def __init__(
        self, argv: Sequence[str], problem: str, *, returncode: int = -1, stderr: bytes = b""
    ) -> None:
        super().__init__(
            f"`{' '.join(argv[:3])}` {problem}", details=stderr.decode("utf-8", "replace").strip()
        )
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stderr = stderr


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: bytes = b"",
    check: bool = True,
) -> Completed:
    """Run a command and collect its output.

    With `check`, an exit code other than 0 raises CommandError; a program that cannot be started or a missed
    deadline always does. After a missed deadline the command's own children are gone, too.
    """
    with _started(argv, env=env, cwd=cwd, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            stdout, stderr = child.communicate(input, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise _late(argv, timeout_s, stderr=error.stderr or b"") from error
        finally:
            _kill(child)
    if check and child.returncode != 0:
        raise CommandError(
            argv, f"exited with {child.returncode}", returncode=child.returncode, stderr=stderr
        )
    return Completed(child.returncode, stdout, stderr)


def stream(
    argv: Sequence[str],
    *,
    timeout_s: float,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> int:
    """Run a long command, handing on each line of its output (both streams) as it comes; its exit code.

    Raises CommandError as `run` does.
    """
    with _started(argv, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT) as child:
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            _kill(child)

        deadline = threading.Timer(timeout_s, expire)
        deadline.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                on_line(line.decode("utf-8", "replace").rstrip())
            child.wait()
        finally:
            deadline.cancel()
            _kill(child)
    if expired.is_set():
        raise _late(argv, timeout_s)
    return child.returncode


def _started(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    stdin: int,
    stderr: int,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """The command, in a session of its own: so a ^C on our terminal reaches us and not it."""
    try:
        return subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        if cwd is not None and not cwd.is_dir():
            problem = f"could not be started: there is no folder {cwd}"
        elif isinstance(error, FileNotFoundError):
            problem = "was not found"
        else:
            problem = f"could not be started: {error.strerror}"
        raise CommandError(argv, problem) from error


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a command that has not ended, with the children that it started: they would keep its output open."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _late(argv: Sequence[str], timeout_s: float, *, stderr: bytes = b"") -> CommandError:
    return CommandError(argv, f"did not end within {timeout_s:g} s", stderr=stderr)
