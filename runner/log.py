"""The log of a run, one JSON object a line: `run.jsonl` has all of it, `{ws_id}.jsonl` a workstream's part.

A line is an event: a short constant message, and fields. Tools' output goes to files of its own.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from runner.clock import iso
from runner.core.model import AttemptKey, RunId

if TYPE_CHECKING:
    from loguru import Message

RUN_LOG = "run.jsonl"

_OWN_FIELDS = ("run_id", "ws_id", "step")  # columns of their own; everything else is context


def info(message: str, **fields: object) -> None:
    """Log what an operator would want to know tomorrow. `run_id` says whose log it belongs to."""
    logger.bind(**fields).info(message)


def warning(message: str, **fields: object) -> None:
    logger.bind(**fields).warning(message)


def error(message: str, **fields: object) -> None:
    logger.bind(**fields).error(message)


@contextmanager
def run_log(folder: Path, run_id: RunId) -> Iterator[None]:
    """While inside, what is logged for the run is appended to the files of its log folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(ValueError):
        logger.remove(0)  # the library's own sink: the terminal belongs to the progress display

    def write(message: "Message") -> None:
        line, ws_id = _line(message)
        for name in {RUN_LOG, workstream_log(ws_id) if ws_id else RUN_LOG}:
            with (folder / name).open("a", encoding="utf-8") as file:
                file.write(line)

    sink = logger.add(
        write, level="INFO", format="{message}", filter=lambda record: record["extra"].get("run_id") == run_id
    )
    try:
        yield
    finally:
        logger.remove(sink)


def workstream_log(ws_id: str) -> str:
    return f"{ws_id}.jsonl"


def output_file(key: AttemptKey, tool: str, serial: int) -> str:
    """Where the raw output of a tool goes, relative to the run's log folder."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", tool)
    return f"tool_outputs/{key.ws_id}_{key.step}_{key.attempt}_{name}_{serial:03}.log"


def _line(message: "Message") -> tuple[str, str | None]:
    record = message.record
    extra = record["extra"]
    context = {name: value for name, value in extra.items() if name not in _OWN_FIELDS}
    line = {
        "timestamp": iso(record["time"]),
        "level": record["level"].name,
        **{name: extra.get(name) for name in _OWN_FIELDS},
        "message": record["message"],
        "context": context,
    }
    return json.dumps(line, default=str) + "\n", extra.get("ws_id")
