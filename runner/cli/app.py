"""The command line: its commands, and the one place where errors become text and exit codes."""

import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from runner import __version__
from runner.cli.abandon import abandon
from runner.cli.build_images import build_images
from runner.cli.config import config
from runner.cli.demo import demo
from runner.cli.doctor import doctor
from runner.cli.gc import gc
from runner.cli.init import init
from runner.cli.logs import logs
from runner.cli.recover import recover
from runner.cli.resume import resume
from runner.cli.rollback import rollback
from runner.cli.run import run
from runner.cli.runs import runs
from runner.cli.salvage import salvage
from runner.cli.show_errors import show_errors
from runner.cli.show_events import show_events
from runner.cli.show_run import show_run
from runner.cli.validate import validate
from runner.errors import ExitCode, RunnerError, machine_faults
from runner.report.text import plain

_BEFORE = "Before a run"
_RUN = "Running"
_AFTER = "Looking at runs"
_RECOVER = "After a run was cut off"
_CLEAN = "Cleaning up"

_COMMANDS: dict[str, tuple[str, Callable[..., None]]] = {
    "demo": (_BEFORE, demo),
    "init": (_BEFORE, init),
    "doctor": (_BEFORE, doctor),
    "build-images": (_BEFORE, build_images),
    "config": (_BEFORE, config),
    "validate": (_BEFORE, validate),
    "run": (_RUN, run),
    "recover": (_RECOVER, recover),
    "resume": (_RECOVER, resume),
    "abandon": (_RECOVER, abandon),
    "rollback": (_RECOVER, rollback),
    "runs": (_AFTER, runs),
    "show-run": (_AFTER, show_run),
    "show-errors": (_AFTER, show_errors),
    "show-events": (_AFTER, show_events),
    "logs": (_AFTER, logs),
    "gc": (_CLEAN, gc),
}

_EPILOG = (
    "Exit codes: 0 all done; 1 the run ended with failed or blocked workstreams; 2 wrong usage, plan or settings; "
    "3 a bug of the runner; 4 the environment is not usable; 130 interrupted."
)

app = typer.Typer(
    name="runner",
    help="Run AI coding work unattended and safely: each task in a sealed container, verified commits out.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, (_panel, _function) in _COMMANDS.items():
    app.command(_name, rich_help_panel=_panel)(_function)
app.add_typer(salvage, name="salvage", rich_help_panel=_CLEAN)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"runner {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version


def run_app(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. Nothing but a bug of ours is ever shown with a traceback's path."""
    try:
        with machine_faults():
            app(
                list(sys.argv[1:] if arguments is None else arguments),
                prog_name="runner",
                standalone_mode=True,
            )
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.OK
    except RunnerError as error:
        _show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        sys.stdout = None
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the top: it says so, keeps the traceback, and exits with 3
        return _show_bug(error)
    return ExitCode.OK


def _show_error(error: RunnerError) -> None:
    _say(f"error: {error.brief}")
    for line in error.details.splitlines():
        _say(f"  {line}")
    if error.hint:
        _say(f"hint: {error.hint}")


def _show_bug(error: Exception) -> int:
    with tempfile.NamedTemporaryFile("w", prefix="runner-bug-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    _say(f"error: a bug of the runner, not of your plan: {type(error).__name__}: {error}")
    _say(f"hint: {Path(file.name)} holds what is needed to report it.")
    return ExitCode.BUG


def _say(line: str) -> None:
    print(plain(line), file=sys.stderr)
