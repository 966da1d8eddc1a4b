"""The entry point. `--version` is answered before anything heavy is imported."""

import sys

from runner import __version__


def main() -> None:
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(f"runner {__version__}")  # noqa: T201
        return
    from runner.cli.app import run_app

    sys.exit(run_app())


if __name__ == "__main__":
    main()
