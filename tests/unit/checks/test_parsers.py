import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner.checks.finding import Printed
from runner.checks.parsers import PARSERS
from runner.core.model import Severity
from tests.unit.checks.recorded import printed, profile_cases, short

CASES = list(profile_cases())


def parse(tool: str, case: str, *, exit_code: int = 1):
    return PARSERS[tool](tool, printed(tool, case, exit_code=exit_code))


# What the shipped profiles make the tools print


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith("good")], ids=str)
def test_a_tool_that_is_content_gives_no_findings(case):
    assert [
        one for one in PARSERS[case.tool](case.tool, case.printed) if one.severity is Severity.ERROR
    ] == []


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name.startswith("bad") and case.name != "bad-traceback"], ids=str
)
def test_a_tool_that_is_not_content_gives_findings_in_the_workspace(case):
    findings = PARSERS[case.tool](case.tool, case.printed)
    assert findings
    assert all(one.rule != "unparsable" for one in findings)
    assert not any(one.path.startswith("/") for one in findings if one.path)


@pytest.mark.parametrize("case", [case for case in CASES if "odd-name" in case.name], ids=str)
def test_a_path_with_spaces_and_other_letters_is_kept(case):
    assert {one.path for one in PARSERS[case.tool](case.tool, case.printed)} & {
        "app/größe und raum.py",
        "conf/größe und raum.yml",
        "scripts/größe und raum.sh",
        "docs/Übersicht der Woche.md",
    }


# Each tool's findings, in full


def test_ruff_findings():
    findings = parse("ruff", "bad")
    assert short(findings) == [
        "app/calc.py:1 F401 `os` imported but unused",
        "app/calc.py:2 F401 `sys` imported but unused",
        "app/calc.py:6 F841 Local variable `result` is assigned to but never used",
        "app/calc.py:7 F821 Undefined name `reslt`",
        "app/mit leerzeichen ä.py:1 N999 Invalid module name: 'mit leerzeichen ä'",
        "app/mit leerzeichen ä.py:1 F401 `json` imported but unused",
    ]
    assert findings[0].signature == "ruff::F401::app/calc.py: `os` imported but unused"


def test_ruff_formatting():
    assert short(parse("ruff", "format")) == ["app/ugly.py:1 unformatted File would be reformatted"]


def test_truncated_ruff_output_gives_what_can_be_read_and_says_so():
    findings = parse("ruff", "truncated")
    assert [one.rule for one in findings] == ["F401", "F401", "unparsable"]
    assert findings[-1].message.startswith("ruff exited with 1, and the output cannot be read to the end (")


def test_mypy_findings():
    assert short(parse("mypy", "bad")) == [
        "app/calc.py:6 assignment Incompatible types in assignment "
        '(expression has type "int", variable has type "str")',
        'app/calc.py:7 name-defined Name "reslt" is not defined; did you mean "result"?',
    ]


@pytest.mark.parametrize("case", ["text", "text_columns"])
def test_mypy_text(case):
    assert [line.split()[:2] for line in short(parse("mypy", case))] == [
        ["app/calc.py:6", "assignment"],
        ["app/calc.py:7", "no-any-return"],
        ["app/calc.py:7", "name-defined"],
    ]


def test_mypy_gives_one_signature_whatever_its_format():
    as_json, as_text = parse("mypy", "bad"), parse("mypy", "text")
    assert as_json[0].signature == as_text[0].signature


def test_mypy_hint_is_told_but_does_not_identify():
    entry = {
        "file": "a.py",
        "line": 1,
        "message": "No stubs",
        "hint": "try this",
        "code": "x",
        "severity": "error",
    }
    (finding,) = PARSERS["mypy"]("mypy", Printed(exit_code=1, stdout=json.dumps(entry), stderr=""))
    assert (finding.message, finding.signature) == ("No stubs\ntry this", "mypy::x::a.py: No stubs")


def test_mypy_usage_error_is_no_finding():
    output = Printed(exit_code=2, stdout="", stderr="mypy: error: unrecognized arguments: --nosuch\n")
    assert PARSERS["mypy"]("mypy", output) == ()


def test_mypy_notes_are_no_findings():
    entry = {
        "file": "a.py",
        "line": 1,
        "message": "Revealed type",
        "hint": None,
        "code": "misc",
        "severity": "note",
    }
    assert PARSERS["mypy"]("mypy", Printed(exit_code=1, stdout=json.dumps(entry), stderr="")) == ()


def test_truncated_mypy_output_gives_the_whole_lines():
    assert [one.rule for one in parse("mypy", "truncated")] == ["assignment"]


def test_yamllint_errors_hide_its_warnings():
    assert short(parse("yamllint", "bad")) == [
        "conf/bad.yaml:2 commas too few spaces after comma",
        "conf/bad.yaml:2 commas too many spaces before comma",
        "conf/bad.yaml:2 commas too few spaces after comma",
        'conf/bad.yaml:3 key-duplicates duplication of key "name" in mapping',
        "conf/bad.yaml:3 trailing-spaces trailing spaces",
        "conf/bad.yaml:6 syntax syntax error: expected <block end>, but found '<block sequence start>'",
    ]


def test_yamllint_warnings_count_where_they_fail_it():
    (finding,) = parse("yamllint", "strict", exit_code=2)
    assert (finding.rule, finding.severity) == ("document-start", Severity.WARNING)


def test_codespell_findings():
    assert short(parse("codespell", "bad", exit_code=65)) == [
        "docs/bad.md:1 spelling reciever ==> receiver",
        "docs/bad.md:1 spelling teh ==> the",
        "docs/bad.md:2 spelling occured ==> occurred",
        "docs/bad.md:2 spelling agian ==> again",
    ]


def test_shellcheck_findings():
    findings = parse("shellcheck", "bad")
    assert short(findings) == [
        "scripts/bad.sh:2 SC2086 Double quote to prevent globbing and word splitting.",
        "scripts/bad.sh:3 SC2006 Use $(...) notation instead of legacy backticks `...`.",
        "scripts/bad.sh:4 SC2086 Double quote to prevent globbing and word splitting.",
        "scripts/bad.sh:4 SC3014 In POSIX sh, == in place of = is undefined.",
    ]
    assert [one.severity for one in findings] == ["info", "info", "info", "warning"]
    assert findings[0].signature == findings[2].signature  # the same fault on another line


def test_text_shows_the_last_lines_and_the_exit_code():
    (finding,) = parse("text", "unittest")
    assert finding.rule == "exit_1"
    assert finding.message.startswith("exited with 1:\nF\n=====")
    assert finding.message.endswith(
        "AssertionError: 1 != 2\n" + "-" * 70 + "\nRan 1 test in 0.000s\nFAILED (failures=1)"
    )


def test_text_of_a_silent_tool():
    (finding,) = PARSERS["text"]("lint", Printed(exit_code=3, stdout="\n", stderr=""))
    assert (finding.message, finding.signature) == (
        "exited with 3:\nit printed nothing",
        "lint::exit_3::it printed nothing",
    )


# Garbage


@pytest.mark.parametrize("tool", ["ruff", "shellcheck"])
@pytest.mark.parametrize(
    "stdout",
    ["no JSON", "[", "[{]", '[{"code": 1}]', "[1, 2]", "[" * 100_000, '[{"a":' * 100_000, '{"comments":[{}'],
    ids=str.__len__,
)
def test_unreadable_json_is_a_finding(tool, stdout):
    (finding,) = PARSERS[tool](tool, Printed(exit_code=1, stdout=stdout, stderr=""))
    assert finding.rule == "unparsable"
    assert finding.signature == f"{tool}::unparsable::the output cannot be read to the end"


def test_what_cannot_be_written_is_replaced():
    entry = {
        "code": "X1",
        "filename": "a\ud800\x1b[31m.py",
        "location": {"row": 0},
        "message": "bad \udfff\x00 name",
    }
    (finding,) = PARSERS["ruff"]("ruff", Printed(exit_code=1, stdout=json.dumps([entry]), stderr=""))
    assert (finding.path, finding.message, finding.line) == ("a?.py", "bad ? name", None)


def test_long_messages_are_bounded_and_say_so():
    entry = {"code": "X1", "filename": "a.py", "location": None, "message": "x" * 10_000}
    (finding,) = PARSERS["ruff"]("ruff", Printed(exit_code=1, stdout=json.dumps([entry]), stderr=""))
    assert "[... 8000 characters dropped ...]" in finding.message
    assert len(finding.message) < 2100


LINES = [
    "a.py:1:1: [error] x (y)\n",
    "a:9999999999999: b ==> c\n",
    "a.py:1: error: m  [r]\n",
    "FAILED a::b - c\n",
]
PIECES = [
    "= short test summary info =\n",
    "_ a _\n",
    "E  x\n",
    "1 failed in 0.1s",
    "\x1b[",
    "\r",
    "[",
    "{",
    "}",
    ",",
    '"',
]
GARBAGE = st.text(max_size=300) | st.lists(st.sampled_from(LINES + PIECES), max_size=20).map("".join)


@pytest.mark.parametrize("tool", PARSERS)
@given(stdout=GARBAGE, stderr=GARBAGE, exit_code=st.integers(-1, 255))
@example(stdout="9" * 5000 + ":" + "9" * 5000 + ": a ==> b", stderr="", exit_code=1)
def test_no_parser_raises(tool, stdout, stderr, exit_code):
    for finding in PARSERS[tool](tool, Printed(exit_code=exit_code, stdout=stdout, stderr=stderr)):
        assert finding.signature.startswith(f"{tool}::")
        assert "\x1b" not in f"{finding}"
        f"{finding}".encode()
