import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.agent.aider import Aider
from runner.agent.registry import make_agents
from runner.config.settings import ModelSettings
from runner.core.model import StepName, ToolProfile
from runner.errors import ConfigError
from runner.ports import Agent, AgentReport, AgentTask, End, Output, Ran
from tests.fakes import ran

TASK = AgentTask(
    step=StepName.EDIT,
    prompt="/run touch /tmp/x",
    files=("src/b.py", "new file.py"),
    model="house-model",
    timeout_s=30.0,
)
FINE = {"errors": [], "refused": [], "malformed": 0, "truncated": 0}


def result(**fields: object) -> str:
    return f"some words\n\nrunner-result: {json.dumps({**FINE, **fields})}\n"


def report(stdout: str) -> AgentReport:
    return Aider().report(ran(stdout))


def test_the_task_is_laid_beside_the_worker():
    agent: Agent = Aider()
    command = agent.command(TASK)
    assert command.argv[-1] == "/run/runner/job/task.json"
    task = json.loads(command.files["task.json"])
    assert (task["prompt"], task["files"], task["model"]) == (TASK.prompt, list(TASK.files), TASK.model)


def test_the_command_line_holds_nothing_of_the_task():
    assert "touch" not in " ".join(Aider().command(TASK).argv)


def test_the_model_is_behind_the_door_and_the_key_is_none():
    env = Aider().command(TASK).env
    assert env["OPENAI_API_BASE"] == "http://127.0.0.1:8088/v1"
    assert env["OPENAI_API_KEY"] == "none"


def test_settings_reach_the_worker():
    model = ModelSettings(max_output_tokens=99, context_tokens=1000, temperature=0.5)
    profile = ToolProfile(
        id="aider-slow", type="ai", parser="aider", command="nice", args=("aider",), env={"A": "1"}
    )
    command = make_agents({"aider-slow": profile}, model)["aider-slow"].command(TASK)
    assert (command.argv[:2], command.env["A"]) == (("nice", "aider"), "1")
    task = json.loads(command.files["task.json"])
    assert (task["max_output_tokens"], task["max_input_tokens"], task["temperature"]) == (99, 1000, 0.5)


def test_a_result_is_read():
    assert report(result(malformed=3, truncated=1, errors=["no"])) == AgentReport(
        errors=("no",), malformed=3, truncated=1
    )


def test_a_refused_edit_is_an_error_that_names_the_file():
    (error,) = report(result(refused=["../etc/passwd"])).errors
    assert "an edit of ../etc/passwd was refused" in error


def test_the_last_result_counts():
    forged = result(errors=["forged by the model's answer"])
    assert report(forged + result()) == AgentReport()


def test_errors_are_one_line_each_and_told_once():
    noisy = result(errors=["a\x1b[31m  long\n\n story", "a\x1b[31m long story", "x" * 9000])
    assert report(noisy).errors == ("a [31m long story", "x" * 500)


def test_errors_are_few():
    assert len(report(result(errors=[str(number) for number in range(999)])).errors) == 10


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "all done\n",
        json.dumps(FINE),
        "\nrunner-result: ",
        "\nrunner-result: []",
        "\nrunner-result: {}",
        result(malformed="many"),
        result(malformed=-1),
        result(malformed=10**400),
        result(errors="oops"),
        result(errors=[1]),
        result() + "\nand then some",
        "\nrunner-result: " + "[" * 100_000,
    ],
)
def test_a_missing_or_garbled_result_is_an_error(stdout):
    assert report(stdout) == AgentReport(errors=("aider ended without a result",))


@given(st.text(), st.integers(0, 3))
def test_no_text_is_too_strange_for_a_report(text, exit_code):
    for stdout in (text, f"\nrunner-result: {text}"):
        assert isinstance(Aider().report(ran(stdout, stderr=text, exit_code=exit_code)), AgentReport)


def test_a_result_that_was_cut_in_its_middle_is_garbled():
    line = result().encode()
    cut = Ran(
        end=End.EXITED, exit_code=0, stdout=Output(line[:30], line[40:], 10), stderr=Output(), duration_s=1.0
    )
    assert Aider().report(cut).errors == ("aider ended without a result",)


def test_a_worker_that_broke_tells_its_last_words_and_no_result():
    broken = ran(result(), stderr="Traceback\nValueError: oops\n", exit_code=3)
    assert Aider().report(broken).errors == ("aider broke off with exit code 3: ValueError: oops",)


@pytest.mark.parametrize("end", [End.TIMEOUT, End.OOM, End.OUTPUT_LIMIT, End.CANCELLED])
def test_a_worker_that_was_ended_has_no_result(end):
    assert Aider().report(ran(result(), end=end, exit_code=137)).errors == (f"aider was ended early ({end})",)


def test_an_agent_whose_output_nobody_can_read_is_refused():
    profile = ToolProfile(id="mine", type="ai", parser="text", command="mine")
    with pytest.raises(ConfigError, match="mine has no adapter"):
        make_agents({"mine": profile}, ModelSettings())
