"""Commands on the host: argument lists only, always with a deadline, never through a shell."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
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

    It gets a session of its own, so that a ^C on our terminal reaches us and not it. With `check`, an exit
    code other than 0 raises CommandError; a missing program or a missed deadline always does.
    """
    try:
        done = subprocess.run(
            argv,
            env=env,
            cwd=cwd,
            input=input,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise CommandError(argv, "was not found") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(argv, f"did not end within {timeout_s:g} s", stderr=error.stderr or b"") from error
    if check and done.returncode != 0:
        raise CommandError(
            argv, f"exited with {done.returncode}", returncode=done.returncode, stderr=done.stderr
        )
    return Completed(done.returncode, done.stdout, done.stderr)


def stream(
    argv: Sequence[str],
    *,
    timeout_s: float,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> int:
    """Run a long command, handing on each line of its output (both streams) as it comes; its exit code."""
    try:
        child = subprocess.Popen(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise CommandError(argv, "was not found") from error
    expired = threading.Event()

    def kill() -> None:
        expired.set()
        child.kill()

    deadline = threading.Timer(timeout_s, kill)
    deadline.start()
    with child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                on_line(line.decode("utf-8", "replace").rstrip())
        except BaseException:
            child.kill()
            raise
        finally:
            deadline.cancel()
    if expired.is_set():
        raise CommandError(argv, f"did not end within {timeout_s:g} s")
    return child.returncode
