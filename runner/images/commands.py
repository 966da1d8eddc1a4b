"""The long commands of a build."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from runner.errors import ImageError
from runner.process import stream

Say = Callable[[str], None]  # hears one line

_SHOWN_LINES = 25


def perform(
    argv: Sequence[str],
    *,
    failure: str,
    hint: str,
    timeout_s: float,
    env: Mapping[str, str],
    log: Say,
) -> None:
    """Run a command, handing its output to `log`. Raises ImageError with the output's end when it fails."""
    end: deque[str] = deque(maxlen=_SHOWN_LINES)

    def on_line(line: str) -> None:
        end.append(line)
        log(line)

    if stream(argv, timeout_s=timeout_s, env=env, on_line=on_line) != 0:
        raise ImageError(failure, details="\n".join(end), hint=hint)
