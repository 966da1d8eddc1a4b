"""`runner logs`"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.history import (
    JsonOption,
    RepoOption,
    RunArgument,
    RunOption,
    WsOption,
    find_layout,
    wanted_run,
)
from runner.report.text import plain

POLL_S = 0.2

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")]


def logs(
    run: RunArgument = None,
    *,
    run_option: RunOption = None,
    ws: WsOption = None,
    follow: FollowOption = False,
    repo: RepoOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the log of a run, or of one workstream."""
    from runner.core.transitions import RUN_ENDED
    from runner.log import RUN_LOG, workstream_log
    from runner.store import queries
    from runner.store.db import reading

    layout = find_layout(repo)
    with reading(layout.db) as connection:
        run_id = queries.find_run(connection, wanted_run(run, run_option)).run_id
        ws_id = queries.find_workstream(connection, run_id, ws).ws_id if ws else None

    def ended() -> bool:
        if not follow:
            return True
        with reading(layout.db) as connection:
            return queries.find_run(connection, run_id).status in RUN_ENDED

    path = layout.logs(run_id) / (workstream_log(ws_id) if ws_id else RUN_LOG)
    for line in lines_until(path, ended=ended, wait=lambda: time.sleep(POLL_S)):
        print(line if as_json else readable(line), flush=follow)


def lines_until(path: Path, *, ended: Callable[[], bool], wait: Callable[[], None]) -> Iterator[str]:
    """The whole lines of a growing file, those included that are there when `ended` first says so."""
    position = 0
    while True:
        is_last_look = ended()  # asked before looking, so that nothing written before the end is missed
        whole = _whole_lines(path, position)
        position += len(whole)
        yield from whole.decode("utf-8", "replace").split("\n")[:-1]
        if is_last_look:
            return
        wait()


def readable(line: str) -> str:
    """A line of the log for a person; one that is not whole, as after a crash, as it is."""
    try:
        event = json.loads(line)
        where = "/".join(part for part in (event["ws_id"], event["step"]) if part)
        context = [f"{name}={value}" for name, value in event["context"].items()]
        words = [event["timestamp"], event["level"], where, event["message"], *context]
    except (ValueError, KeyError, TypeError, AttributeError):
        return plain(line)
    return plain(" ".join(word for word in words if word))


def _whole_lines(path: Path, position: int) -> bytes:
    """What stands after `position`, up to the last line break; nothing while there is no file yet."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            return b"".join(line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return b""
