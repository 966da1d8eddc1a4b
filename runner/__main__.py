"""The entry point. `--version` is answered before anything heavy is imported."""

import io
import sys

from runner import __version__


def main() -> None:
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(f"runner {__version__}")  # noqa: T201
        return
    from runner.cli.app import run_app

    for stream in (sys.stdout, sys.stderr):  # a terminal that is not UTF-8 shows an escape, not a traceback
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run_app())


if __name__ == "__main__":
    main()
