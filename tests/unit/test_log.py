import json
import re
from pathlib import Path

import pytest

from runner import log
from runner.core.model import AttemptKey, RunId, StepName, WsId

RUN = RunId("01JAAA")


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_has_the_fields_of_the_format(tmp_path):
    with log.run_log(tmp_path, RUN):
        log.info("attempt finished", run_id=RUN, ws_id="ws-1", step=StepName.EDIT, outcome="ok", attempt=2)
    (line,) = lines(tmp_path / "run.jsonl")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(line.pop("timestamp")))
    assert line == {
        "level": "INFO",
        "run_id": RUN,
        "ws_id": "ws-1",
        "step": "edit",
        "message": "attempt finished",
        "context": {"outcome": "ok", "attempt": 2},
    }


def test_a_workstreams_lines_are_in_its_own_file_too(tmp_path):
    with log.run_log(tmp_path, RUN):
        log.info("run started", run_id=RUN)
        log.warning("one", run_id=RUN, ws_id="ws-1")
        log.error("two", run_id=RUN, ws_id="ws-2")
    assert [line["message"] for line in lines(tmp_path / "run.jsonl")] == ["run started", "one", "two"]
    assert [line["message"] for line in lines(tmp_path / "ws-1.jsonl")] == ["one"]
    assert [line["level"] for line in lines(tmp_path / "ws-2.jsonl")] == ["ERROR"]


def test_a_workstream_called_run_does_not_double_the_runs_log(tmp_path):
    with log.run_log(tmp_path, RUN):
        log.info("one", run_id=RUN, ws_id="run")
    assert len(lines(tmp_path / "run.jsonl")) == 1


def test_runs_side_by_side_do_not_mix(tmp_path):
    with log.run_log(tmp_path / "a", RunId("A")), log.run_log(tmp_path / "b", RunId("B")):
        log.info("of a", run_id="A")
        log.info("of b", run_id="B")
        log.info("of nobody")
    assert [line["message"] for line in lines(tmp_path / "a" / "run.jsonl")] == ["of a"]
    assert [line["message"] for line in lines(tmp_path / "b" / "run.jsonl")] == ["of b"]


def test_a_resumed_run_goes_on_in_the_same_file_and_nothing_is_written_between(tmp_path):
    for number in (1, 2):
        with log.run_log(tmp_path, RUN):
            log.info("in", run_id=RUN, number=number)
        log.info("between", run_id=RUN)
    assert [line["context"] for line in lines(tmp_path / "run.jsonl")] == [{"number": 1}, {"number": 2}]


def test_the_log_ends_when_the_run_raises(tmp_path):
    with pytest.raises(ZeroDivisionError), log.run_log(tmp_path, RUN):
        raise ZeroDivisionError
    log.info("after", run_id=RUN)
    assert not (tmp_path / "run.jsonl").exists()


def test_nothing_is_written_to_the_terminal(tmp_path, capfd):
    with log.run_log(tmp_path, RUN):
        log.info("quiet", run_id=RUN)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["{not} a {format}", "<red>", "a\nb\x1b\u202e", "\udcff", "%s"])
def test_any_text_stays_one_line_and_comes_back(tmp_path, text):
    with log.run_log(tmp_path, RUN):
        log.info(text, run_id=RUN, value=text)
    (line,) = lines(tmp_path / "run.jsonl")
    assert (line["message"], line["context"]) == (text, {"value": text})
    assert (tmp_path / "run.jsonl").read_text().isascii()


def test_a_value_that_json_does_not_know_is_written_as_its_text(tmp_path):
    with log.run_log(tmp_path, RUN):
        log.info("made", run_id=RUN, path=Path("a/b"))
    assert lines(tmp_path / "run.jsonl")[0]["context"] == {"path": "a/b"}


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("ruff", "tool_outputs/ws-1_fix_2_ruff_007.log"),
        ("../a b/é", "tool_outputs/ws-1_fix_2_.._a_b___007.log"),
    ],
)
def test_a_tools_output_has_a_file_of_its_own_inside_the_folder(tool, name):
    assert log.output_file(AttemptKey(RUN, WsId("ws-1"), StepName.FIX, 2), tool, 7) == name
