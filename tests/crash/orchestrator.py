"""`runner` as it is, watched: python -m tests.crash.orchestrator --trace FILE [--kill FAILPOINT --nth N] -- ARGUMENTS"""

import argparse
import sys
from pathlib import Path

from runner.__main__ import main
from tests.crash.failpoints import Failpoint, Watch


def watched() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--kill", type=Failpoint.parse)
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("arguments", nargs="+")
    options = parser.parse_args()
    Watch(options.trace, options.kill, options.nth).install()
    sys.argv[1:] = options.arguments
    main()


if __name__ == "__main__":
    watched()
