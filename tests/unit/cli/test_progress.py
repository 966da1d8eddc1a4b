import io
import sys

import pytest
from rich.console import Console

from runner.cli.progress import Lines, LiveTable, shown_progress
from runner.core.events import Event, EventType
from runner.core.model import AttemptKey, Commit, Outcome, RunId, StepName, StepResult, Tree, WsId
from tests.builders import plan


def moved(ws: str, new: str, reason: str = "") -> Event:
    payload = {"from": "pending", "to": new, "cause": "test", "reason": reason}
    return Event(type=EventType.STATE_TRANSITION, run_id=RunId("R"), ws_id=WsId(ws), payload=payload)


def started(ws: str, tool: str) -> Event:
    payload = {"step": "edit", "attempt": 1, "tool": tool}
    return Event(type=EventType.TOOL_STARTED, run_id=RunId("R"), ws_id=WsId(ws), payload=payload)


def result(ws: str, outcome: Outcome, message: str) -> StepResult:
    key = AttemptKey(RunId("R"), WsId(ws), StepName.EDIT, 1)
    return StepResult(key=key, outcome=outcome, message=message, candidate=Commit("c"), tree=Tree("t"))


def shown(table: LiveTable) -> str:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(table.render())
    return captured.get()


def test_each_line_begins_with_our_words_whatever_a_tool_prints(capsys: pytest.CaptureFixture[str]):
    lines = Lines(width=5)
    lines.result(result("ws-a", Outcome.FINDINGS, "::set-output name=x::y\n##vso[task.complete]\x1b[2J"))
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert "ws-a  | edit 1: findings: ::set-output" in printed[0]
    assert "\x1b" not in printed[0]


def test_lines_tell_starts_results_and_ends_only(capsys: pytest.CaptureFixture[str]):
    lines = Lines(width=4)
    for event in (moved("ws-a", "ready"), started("ws-a", "aider"), moved("ws-a", "failed", "a breaker")):
        lines.event(event)
    assert [line.split("| ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "edit 1: aider",
        "failed: a breaker",
    ]


def test_the_table_has_a_row_for_each_workstream_and_counts_them():
    table = LiveTable(plan("a b<-a").bundles, height=40)
    table.event(moved("ws-a", "editing"))
    table.event(started("ws-a", "aider"))
    text = shown(table)
    assert "edit 1: aider" in text
    assert "1 editing, 1 pending" in text


def test_the_table_keeps_why_a_workstream_ended():
    table = LiveTable(plan("a").bundles, height=40)
    table.event(moved("ws-a", "editing"))
    table.result(result("ws-a", Outcome.NO_CHANGE, "changed nothing"))
    table.event(moved("ws-a", "failed", "3 of 3 edit attempts are used up"))
    assert "3 of 3 edit attempts are used up" in shown(table)


def test_with_too_little_room_what_is_at_work_comes_before_what_is_done():
    table = LiveTable(plan(" ".join(f"n{number}" for number in range(9))).bundles, height=7)
    table.event(moved("ws-n0", "done"))
    table.event(moved("ws-n8", "editing"))
    text = shown(table)
    assert "ws-n8" in text
    assert "ws-n0" not in text
    assert "1 done" in text


def test_a_pipe_gets_lines_and_json_output_gets_silence(monkeypatch: pytest.MonkeyPatch):
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    with shown_progress(plan("a").bundles, quiet=False) as watch:
        assert isinstance(watch, Lines)
    with shown_progress(plan("a").bundles, quiet=True) as watch:
        watch.event(started("ws-a", "aider"))
    assert not printed.getvalue()


def retried() -> Event:
    payload = {"step": "edit", "attempt": 1, "message": "the engine lost it", "tries": 1, "again_in_sec": 2.0}
    return Event(type=EventType.TOOL_FAILED, run_id=RunId("R"), ws_id=WsId("ws-a"), payload=payload)


def test_a_step_that_is_tried_again_says_why_and_when(capsys: pytest.CaptureFixture[str]):
    Lines(4).event(retried())
    assert capsys.readouterr().err.endswith("ws-a | edit 1: the engine lost it; again in 2.0 s\n")
