import json

import pytest

from runner.checks.parsers import PARSERS
from runner.checks.verdict import judge_acceptance, judge_tool
from runner.core.model import AcceptanceTest, Outcome, ToolProfile
from runner.errors import ConfigError
from runner.ports import End, Output, Ran
from runner.profiles import load_profiles
from runner.resources import config_dir
from tests.unit.checks.recorded import printed, profile_cases

PROFILE = ToolProfile(id="lint", type="static_check", command="lint")
TEST = AcceptanceTest(id="unit", command="python -m pytest -q")


def ran(exit_code: int = 0, stdout: str = "", stderr: str = "", *, end: End = End.EXITED) -> Ran:
    out, err = (Output(head=text.encode("utf-8", "replace")) for text in (stdout, stderr))
    return Ran(end=end, exit_code=exit_code, stdout=out, stderr=err, duration_s=12.3)


def recorded(case: str, exit_code: int = 1) -> Ran:
    output = printed("pytest", case, exit_code=exit_code)
    return ran(exit_code, output.stdout, output.stderr)


# Tools


def test_success_has_no_findings_whatever_was_printed():
    assert judge_tool(PROFILE, ran(0, "a.py:1: error: looks bad")) == (Outcome.OK, ())


def test_findings_without_a_word_are_a_finding():
    outcome, (finding,) = judge_tool(PROFILE, ran(1))
    assert (outcome, finding.rule) == (Outcome.FINDINGS, "exit_1")


def test_findings_that_the_parser_misses_are_a_finding():
    profile = ToolProfile(id="mypy", type="static_check", command="mypy", parser="mypy")
    outcome, (finding,) = judge_tool(profile, ran(1, "something new"))
    assert (outcome, finding.rule, finding.message) == (
        Outcome.FINDINGS,
        "exit_1",
        "exited with 1:\nsomething new",
    )


def test_another_exit_code_means_that_the_tool_failed():
    outcome, (first, *_) = judge_tool(PROFILE, ran(2, "", "error: no such option"))
    assert (outcome, first.rule) == (Outcome.FINDINGS, "tool_failed")
    assert first.message == "lint itself failed with exit code 2:\nerror: no such option"


def test_a_tool_that_failed_keeps_what_it_found():
    profile = ToolProfile(id="ruff", type="static_check", command="ruff", parser="ruff")
    entry = {"code": "F401", "filename": "/workspace/a.py", "location": {"row": 1}, "message": "unused"}
    _, findings = judge_tool(profile, ran(2, json.dumps([entry])))
    assert [one.rule for one in findings] == ["tool_failed", "F401"]


@pytest.mark.parametrize("exit_code", [126, 127])
def test_a_tool_missing_from_the_image_says_nothing_about_the_code(exit_code):
    outcome, (finding,) = judge_tool(PROFILE, ran(exit_code, "", "exec: lint: not found"))
    assert outcome is Outcome.INFRA
    assert finding.message == f"the image cannot run 'lint' (exit code {exit_code})\nexec: lint: not found"


@pytest.mark.parametrize(
    ("end", "outcome", "message"),
    [
        (End.TIMEOUT, Outcome.TIMEOUT, "lint did not end in time and was killed after 12 s:\nat file 7"),
        (End.OOM, Outcome.OOM, "lint ran out of memory after 12 s:\nat file 7"),
        (
            End.OUTPUT_LIMIT,
            Outcome.OUTPUT_LIMIT,
            "lint printed more than it may and was killed after 12 s:\nat file 7",
        ),
        (End.CANCELLED, Outcome.INFRA, "lint was interrupted"),
    ],
)
def test_a_tool_that_was_stopped(end, outcome, message):
    told, (finding,) = judge_tool(PROFILE, ran(0, "at file 7", end=end))
    assert (told, finding.message) == (outcome, message)


def test_being_stopped_has_one_signature_whatever_was_printed():
    _, (one,) = judge_tool(PROFILE, ran(137, "at file 7", end=End.TIMEOUT))
    _, (other,) = judge_tool(PROFILE, ran(137, "at file eight", end=End.TIMEOUT))
    assert one.signature == other.signature == "lint::TIMEOUT::lint did not end in time and was killed"


def test_every_shipped_check_has_a_parser():
    profiles = load_profiles(config_dir() / "tool_profiles.json")
    checks = [profile for profile in profiles.values() if profile.type == "static_check"]
    assert checks
    assert {profile.parser for profile in checks} <= PARSERS.keys()


def test_an_unknown_parser_is_a_mistake_in_the_configuration():
    profile = ToolProfile(id="lint", type="static_check", command="lint", parser="lintx")
    with pytest.raises(ConfigError) as raised:
        judge_tool(profile, ran(1))
    assert (raised.value.brief, raised.value.hint) == (
        "There is no parser 'lintx' for the output of tools",
        "A tool profile's `parser` is one of: codespell, mypy, pytest, ruff, shellcheck, text, yamllint.",
    )


@pytest.mark.parametrize("case", list(profile_cases()), ids=str)
def test_recorded_runs_are_judged_by_the_shipped_profiles(case):
    profile = load_profiles(config_dir() / "tool_profiles.json")[case.tool]
    output = case.printed
    outcome, findings = judge_tool(profile, ran(output.exit_code, output.stdout, output.stderr))
    assert outcome is (Outcome.OK if case.name.startswith("good") else Outcome.FINDINGS)
    assert bool(findings) is not case.name.startswith("good")


# Acceptance tests


def test_exit_code_zero_is_success():
    assert judge_acceptance(TEST, ran(0, "FAILED? no")) == (Outcome.OK, ())


def test_failed_tests_of_pytest_are_the_findings():
    outcome, findings = judge_acceptance(TEST, recorded("bad"))
    assert outcome is Outcome.FINDINGS
    assert {one.tool for one in findings} == {"pytest"}
    assert len(findings) == 6


def test_no_tests_is_a_failure():
    outcome, (finding,) = judge_acceptance(TEST, recorded("no_tests", 5))
    assert (outcome, finding.rule) == (Outcome.FINDINGS, "no_tests")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (ran(1, "total: 3, expected 4"), "`python -m pytest -q` exited with 1:\ntotal: 3, expected 4"),
        (
            ran(127, "", "sh: 1: make: not found"),
            "`python -m pytest -q` exited with 127:\nsh: 1: make: not found",
        ),
        (ran(5), "`python -m pytest -q` exited with 5:\nit printed nothing"),
    ],
)
def test_any_other_command_is_told_by_its_last_lines(result, message):
    outcome, (finding,) = judge_acceptance(TEST, result)
    assert (outcome, finding.tool, finding.rule) == (Outcome.FINDINGS, "acceptance", "unit")
    assert finding.message == message


@pytest.mark.parametrize("case", ["usage", "conftest"])
def test_pytest_that_did_not_start_is_told_by_its_last_lines(case):
    outcome, (finding,) = judge_acceptance(TEST, recorded(case, 4))
    assert (outcome, finding.rule) == (Outcome.FINDINGS, "unit")
    assert finding.message.startswith("`python -m pytest -q` exited with 4:\n")


def test_a_test_that_hangs_is_named():
    outcome, (finding,) = judge_acceptance(TEST, ran(137, "tests/test_a.py .", end=End.TIMEOUT))
    assert outcome is Outcome.TIMEOUT
    assert finding.message == "unit did not end in time and was killed after 12 s:\ntests/test_a.py ."
    assert finding.signature == "acceptance::TIMEOUT::unit did not end in time and was killed"
