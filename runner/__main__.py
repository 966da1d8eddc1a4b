"""The entry point. `--version` is answered before anything heavy is imported."""

import io
import sys

from runner import __version__


def main() -> None:
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(f"runner {__version__}")  # noqa: T201
        return
    import os
    from pathlib import Path

    from runner.cli.app import run_app

    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # it was closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open as long as we run
        elif isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that is not UTF-8 shows an escape, not a traceback
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run_app())


if __name__ == "__main__":
    main()
