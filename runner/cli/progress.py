"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runner.core.events import Event, EventType
from runner.core.model import Bundle, Outcome, StepResult, WsId, WsStatus
from runner.core.transitions import ENDED
from runner.engine.journal import Progress
from runner.report.text import plain

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {
    WsStatus.DONE: "green",
    WsStatus.FAILED: "red",
    WsStatus.BLOCKED: "yellow",
    WsStatus.ABANDONED: "yellow",
    WsStatus.PENDING: "dim",
    WsStatus.READY: "dim",
}

_URGENCY = {WsStatus.FAILED: 1, WsStatus.BLOCKED: 2, WsStatus.READY: 3, WsStatus.PENDING: 4, WsStatus.DONE: 5}
_FRAME_LINES = 5  # of the table's head and foot


@contextmanager
def shown_progress(bundles: Sequence[Bundle], *, quiet: bool) -> Iterator[Progress]:
    """Whoever watches a run: nobody, lines on standard error, or a table that stays up to date."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        table = LiveTable(bundles, height=console.height)
        with Live(get_renderable=table.render, console=console, refresh_per_second=5):
            yield table
    else:
        yield Lines(max((len(bundle.id) for bundle in bundles), default=0))


class Silent:
    def event(self, event: Event) -> None:
        """Nothing."""

    def result(self, result: StepResult) -> None:
        """Nothing."""


class Lines:
    """One line for each thing that happens. The workstream's name stands before any text of a tool, so no
    line can begin with what a CI server would take for a command."""

    def __init__(self, width: int) -> None:
        self._width = width

    def event(self, event: Event) -> None:
        told = event.payload
        match event.type:
            case EventType.STATE_TRANSITION if told["to"] in ENDED:
                reason = f": {told['reason']}" if told.get("reason") else ""
                self._line(event.ws_id, f"{told['to']}{reason}")
            case EventType.TOOL_STARTED:
                self._line(event.ws_id, f"{told['step']} {told['attempt']}: {told['tool']}")
            case EventType.TOOL_FAILED if "again_in_sec" in told:
                self._line(event.ws_id, _again(told))
            case _:
                return

    def result(self, result: StepResult) -> None:
        self._line(result.key.ws_id, _sentence(result))

    def _line(self, ws_id: WsId | None, text: str) -> None:
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        print(plain(f"{clock} {ws_id or '':<{self._width}} | {text}"), file=sys.stderr, flush=True)


@dataclass(slots=True)
class _Row:
    status: WsStatus = WsStatus.PENDING
    doing: str = ""
    since: float | None = None
    seconds: float = 0.0  # of an ended workstream


class LiveTable:
    """A row for each workstream. Rendered from another thread than the one that reports."""

    def __init__(self, bundles: Sequence[Bundle], *, height: int) -> None:
        self._rows = {bundle.id: _Row() for bundle in bundles}
        self._room = max(1, height - _FRAME_LINES)

    def event(self, event: Event) -> None:
        if event.ws_id is None:
            return
        row, told = self._rows[event.ws_id], event.payload
        match event.type:
            case EventType.STATE_TRANSITION:
                row.status = WsStatus(str(told["to"]))
                if row.status is WsStatus.EDITING:
                    row.since = time.monotonic()
                if row.status in ENDED:
                    row.seconds = time.monotonic() - row.since if row.since else 0.0
                    row.since = None
                    row.doing = str(told.get("reason") or row.doing)
            case EventType.TOOL_STARTED:
                row.doing = f"{told['step']} {told['attempt']}: {told['tool']} …"
            case EventType.TOOL_FAILED if "again_in_sec" in told:
                row.doing = _again(told)
            case _:
                return

    def result(self, result: StepResult) -> None:
        row = self._rows[result.key.ws_id]
        if row.status not in ENDED or row.status is WsStatus.DONE:
            row.doing = _sentence(result)

    def render(self) -> "Table":
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
        for name, options in (
            ("WORKSTREAM", {"no_wrap": True}),
            ("STATE", {"no_wrap": True}),
            ("TIME", {"justify": "right", "no_wrap": True}),
            ("WHAT", {"no_wrap": True, "overflow": "ellipsis", "ratio": 1}),
        ):
            table.add_column(name, **options)
        for ws_id, row in self._shown():
            spent = time.monotonic() - row.since if row.since else row.seconds
            table.add_row(
                Text(ws_id),
                Text(row.status, style=_STYLES.get(row.status, "cyan")),
                Text(f"{spent:.0f} s" if spent else ""),
                Text(plain(row.doing)),
            )
        counts = Counter(row.status for row in self._rows.values())
        table.caption = ", ".join(f"{count} {status}" for status, count in counts.items())
        table.caption_justify = "left"
        return table

    def _shown(self) -> list[tuple[WsId, _Row]]:
        """As many rows as there is room for: what is at work, then what went wrong, then the rest."""
        rows = list(self._rows.items())
        if len(rows) <= self._room:
            return rows
        return sorted(rows, key=lambda item: _URGENCY.get(item[1].status, 0))[: self._room]


def _sentence(result: StepResult) -> str:
    key = result.key
    verdict = "" if result.outcome is Outcome.OK else f"{result.outcome}: "
    return f"{key.step} {key.attempt}: {verdict}{result.message}"


def _again(told: Mapping[str, object]) -> str:
    """The machine was at fault, and the step will be tried again."""
    return f"{told['step']} {told['attempt']}: {told['message']}; again in {told['again_in_sec']} s"
