"""A run under a person's eyes: shown while it goes on, stopped by ^C, and what it came to."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO, cast

from runner.core.model import Bundle, RunId, RunStatus
from runner.errors import ExitCode, RunnerError, machine_faults
from runner.layout import StateLayout
from runner.report.text import plain

if TYPE_CHECKING:
    from types import FrameType

    from runner.engine.journal import Progress
    from runner.engine.loop import Engine
    from runner.wiring.run import Outcome, Started

_NOBODY_READS = (errno.EPIPE, errno.EIO)  # the other end of the pipe has gone; the terminal is closed

_EXIT_CODES = {RunStatus.COMPLETED: ExitCode.OK, RunStatus.RUNNING: ExitCode.INTERRUPTED}


def watched(
    bundles: Sequence[Bundle],
    layout: StateLayout,
    run: "Callable[[Progress, Started], Outcome]",
    *,
    as_json: bool,
) -> ExitCode:
    """Carry out a run and show how it goes and ends, for as long as somebody reads it.

    Raises RunnerError, which then says how to go on.
    """
    from runner.cli.progress import shown_progress

    with _lasting_output():
        with shown_progress(bundles, quiet=as_json) as watch, _signals() as brake:
            try:
                with machine_faults():
                    outcome = run(watch, brake)
            except RunnerError as error:
                if brake.run_id is not None:
                    then = f"Then go on with the run: runner resume {brake.run_id}"
                    error.hint = f"{error.hint} {then}".strip()
                raise
        _show(outcome, layout, as_json=as_json)
        sys.stdout.flush()
    return _EXIT_CODES.get(outcome.summary.status, ExitCode.NOT_ALL_DONE)


class _Lasting:
    """An output that a run does not depend on: once nobody reads it any more, it leads nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._readers_may_go():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._readers_may_go():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _readers_may_go(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
                os.dup2(nowhere.fileno(), self._stream.fileno())


@contextmanager
def _lasting_output() -> Iterator[None]:
    out, err = (cast("TextIO", _Lasting(stream)) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        yield


class _Brake:
    """Passes ^C, SIGTERM and the loss of the terminal to the engine once there is one."""

    def __init__(self) -> None:
        self.run_id: RunId | None = None
        self._engine: Engine | None = None
        self._asked = False

    def __call__(self, run_id: RunId, engine: "Engine") -> None:
        self.run_id, self._engine = run_id, engine
        print(f"Run {run_id}", file=sys.stderr)

    def pull(self, number: int, frame: "FrameType | None") -> None:
        del number, frame
        if self._engine is None:
            raise KeyboardInterrupt
        self._engine.stop()
        if self._asked:
            print("Stopping the containers now ...", file=sys.stderr)
        else:
            print(
                "Nothing new is started; steps at work get a short time to end. Again: stop them now.",
                file=sys.stderr,
            )
        self._asked = True


@contextmanager
def _signals() -> Iterator[_Brake]:
    brake = _Brake()
    wanted = [signal.SIGINT, signal.SIGTERM]
    if (
        signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    ):  # else `nohup` has started us: the terminal may go
        wanted.append(signal.SIGHUP)
    kept = {number: signal.signal(number, brake.pull) for number in wanted}
    try:
        yield brake
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _show(outcome: "Outcome", layout: StateLayout, *, as_json: bool) -> None:
    from runner.cli.show_run import show_summary
    from runner.report.summary_json import to_json

    if as_json:
        print(to_json(outcome.summary), end="")
    else:
        show_summary(outcome.summary, layout)
        print(f"\nReport: {plain(str(outcome.reports.markdown))}")
    if outcome.summary.status is RunStatus.RUNNING:
        print(f"\nStopped, and saved. Go on: runner resume {outcome.summary.run_id}", file=sys.stderr)
