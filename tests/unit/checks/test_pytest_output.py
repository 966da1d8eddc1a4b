import pytest

from runner.checks.pytest_output import looks_like_pytest
from runner.checks.pytest_output import pytest as parse_pytest
from tests.unit.checks.recorded import printed, short

BAD = [
    ("tests/test_bad.py::test_double", 11, "assert 4 == 5"),
    ("tests/test_bad.py::test_param[1]", 16, "assert 2 == 1"),
    ("tests/test_bad.py::test_param[2]", 16, "assert 4 == 2"),
    ("tests/test_bad.py::test_message", 20, "ValueError: first line"),
    ("tests/test_bad.py::TestGroup::test_in_class", 29, "AssertionError: assert 'a - b' == 'a - c'"),
    (
        "tests/test_bad.py::test_uses_fixture",
        7,
        "RuntimeError: no database at /tmp/pytest-of-root/pytest-3/db",
    ),
]


def parse(case: str, *, exit_code: int = 1):
    return parse_pytest("pytest", printed("pytest", case, exit_code=exit_code))


@pytest.mark.parametrize("case", ["bad", "color"])
def test_each_failed_test_is_a_finding_whose_rule_is_its_id(case):
    found = [(one.rule, one.message.partition("\n")[0]) for one in parse(case)]
    assert found == [(rule, message) for rule, _, message in BAD]


def test_lines_are_those_of_the_test_files():
    assert [one.line for one in parse("bad")] == [line for _, line, _ in BAD]


def test_the_tracebacks_explanation_is_kept():
    assert parse("bad")[0].message == "assert 4 == 5\n +  where 4 = double(2)"


def test_without_tracebacks_the_summary_is_what_is_known():
    findings = parse("no_traceback")
    assert [one.rule for one in findings] == [rule for rule, _, _ in BAD]
    assert findings[-1].message == "RuntimeError: no database at /tm..."


def test_signature_names_test_and_error():
    assert [one.signature for one in parse("bad")][:5:4] == [
        "pytest::tests/test_bad.py::test_double::assert <n> == <n>",
        "pytest::tests/test_bad.py::TestGroup::test_in_class::AssertionError: assert 'a - b' == 'a - c'",
    ]


def test_signature_does_not_depend_on_color():
    assert [one.signature for one in parse("bad")] == [one.signature for one in parse("color")]


def test_odd_parameters_and_captured_output_do_not_mislead():
    assert short(parse("odd")) == [
        "tests/sub/test_odd.py:15 tests/sub/test_odd.py::test_text[a - b] AssertionError: assert 'a - b' == ''",
        "tests/sub/test_odd.py:15 tests/sub/test_odd.py::test_text[c::d] AssertionError: assert 'c::d' == ''",
        "tests/sub/test_odd.py:15 tests/sub/test_odd.py::test_text[e [f] AssertionError: assert 'e [f' == ''",
        "tests/sub/test_odd.py:19 tests/sub/test_odd.py::test_late AssertionError: both fail",
        "tests/sub/test_odd.py:8 tests/sub/test_odd.py::test_late OSError: cannot close",
    ]


def test_a_failure_in_a_called_function_and_a_chained_one():
    nested, chained, strict = parse("nested")
    assert (nested.message, nested.line) == ("AssertionError: too small\nassert 1 > 3", 5)
    assert chained.signature == "pytest::tests/test_nested.py::test_both_raise::KeyError: 'inner'"
    assert strict.message == "[XPASS(strict)] not yet"


def test_a_module_that_cannot_be_imported():
    assert short(parse("collection", exit_code=2)) == [
        "tests/test_import_error.py:1 tests/test_import_error.py "
        "ModuleNotFoundError: No module named 'nothing_like_this'"
    ]


def test_no_tests_is_a_finding():
    (finding,) = parse("no_tests", exit_code=5)
    assert (finding.rule, finding.message) == ("no_tests", "no tests were collected: nothing has been shown")


def test_truncated_output_gives_the_failures_whose_lines_are_whole():
    assert [one.rule for one in parse("truncated")] == [rule for rule, _, _ in BAD[1:]]


@pytest.mark.parametrize("case", ["usage", "conftest"])
def test_a_run_that_did_not_start_has_no_failed_tests(case):
    assert parse(case, exit_code=4) == ()


@pytest.mark.parametrize("case", ["bad", "color", "odd", "collection", "no_tests", "truncated"])
def test_runs_of_pytest_are_recognised(case):
    assert looks_like_pytest(printed("pytest", case).stdout)


@pytest.mark.parametrize(
    "line",
    ["", "done in 3s", "2 failed", "5 tests failed in 0.1s", "Ran 1 test in 0.000s", "OK"],
)
def test_other_output_is_not_taken_for_pytest(line):
    assert not looks_like_pytest(f"something\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "1 passed in 0.00s",
        "===== 5 failed, 1 passed, 1 error in 0.02s =====",
        "no tests ran in 0.00s",
        "3 skipped, 1 warning in 75.10s (0:01:15)",
    ],
)
def test_last_lines_of_pytest(line):
    assert looks_like_pytest(f"something\n{line}\n\n")
