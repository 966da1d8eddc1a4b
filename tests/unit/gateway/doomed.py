"""A gateway in a process that is killed: python -m tests.unit.gateway.doomed RECORDS NTH_MOMENT

It prints the folder of a door, and waits. Moments are counted from then on.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

from runner.clock import SystemClock
from runner.gateway.records import Records
from runner.gateway.script import Script
from runner.gateway.scripted import ScriptedUpstream
from runner.gateway.server import Gateway
from tests.unit.gateway.stub import KEY, MODEL, WS

CONTENT = "It is done. " * 20


def die_at(nth: int, folder: Path) -> None:
    """Moments are before each opening and renaming of a file in the folder, and before and after each flush."""
    moments = count(1)

    def pass_by() -> None:
        if next(moments) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, args: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename") and str(args[0]).startswith(str(folder)):
            pass_by()

    flush = os.fsync

    def flushed(fd: Any) -> None:
        pass_by()
        flush(fd)
        pass_by()

    os.fsync = flushed
    sys.addaudithook(hear)


def main(folder: Path, nth: int) -> None:
    upstream = ScriptedUpstream(Script.model_validate({"answers": [{"workstream": WS, "content": CONTENT}]}))
    records = Records(folder)
    with (
        Gateway(upstream, models=[MODEL], records=records, clock=SystemClock()) as gateway,
        gateway.open(KEY) as door,
    ):
        sys.stdout.write(f"{door.folder}\n")
        sys.stdout.flush()
        die_at(nth, folder)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
