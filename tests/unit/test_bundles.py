import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.bundles import check_plan, load_plan, select
from runner.core.model import AcceptanceTest, BreakerLimits, Bundle, Limits, Severity, Timeouts, WsId
from runner.errors import ExitCode, PlanError, UsageError
from runner.resources import schema_dir
from tests.builders import plan
from tests.conftest import GIT_ENV

PLANS = Path(__file__).parents[1] / "data/plans"
SCHEMA = json.loads((schema_dir() / "workstream.schema.json").read_text())
MINIMAL = {"id": "ws-a", "openspec_change": "c", "files_scope": ["a"], "tasks": ["x"]}
SOUND = MINIMAL | {"acceptance_tests": ["true"]}


def lines(folder: Path) -> list[str]:
    return [str(problem) for problem in check_plan(folder)[1]]


def write(folder: Path, value: object) -> Path:
    folder.mkdir(exist_ok=True)
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    (folder / "plan.json").write_bytes(raw)
    return folder


@pytest.mark.parametrize("folder", sorted((PLANS / "bad").iterdir()), ids=lambda folder: folder.name)
def test_every_problem_of_a_bad_plan_is_reported(folder: Path) -> None:
    assert lines(folder) == (folder / "expected.txt").read_text().splitlines()
    assert check_plan(folder)[0] is None


@pytest.mark.parametrize("folder", sorted((PLANS / "good").iterdir()), ids=lambda folder: folder.name)
def test_a_good_plan_has_no_problems(folder: Path) -> None:
    assert lines(folder) == []


def test_every_field_reaches_the_bundle_in_our_own_words_and_units() -> None:
    [bundle] = load_plan(PLANS / "good/every-field")
    assert bundle == Bundle(
        id=WsId("ws-login-form"),
        change="add-login_2.0",
        files_scope=("src/login/", "src/wörter/*.py", "!src/login/legacy.py", "/README.md"),
        files_create=("docs/log in.md",),
        tasks=("Build the form.", "Explain it in docs/log in.md."),
        acceptance_tests=(
            AcceptanceTest(id="test-1", command="pytest -q tests/login"),
            AcceptanceTest(
                id="docs", command="test -s 'docs/log in.md'", description="The page exists.", timeout_s=30
            ),
        ),
        depends_on=(),
        tool="aider",
        tools=("ruff", "mypy"),
        gate="build",
        ccpm_issue="acme/site#12",
        model="openai/gpt-4o-mini",
        on_scope_violation="drop",
        limits={
            "memory_mb": 1024,
            "cpus": 1.5,
            "pids": 128,
            "output_bytes": 4 * 1024 * 1024,
            "file_bytes": 16 * 1024 * 1024,
        },
        timeouts={"edit_s": 60, "static_s": 30.5, "fix_s": 90, "runtime_s": 120},
        circuit_breaker={"max_attempts": 5, "max_error_repeats": 2, "oscillation_threshold": 3},
        metadata={"owner": "ann", "notes": ["a", 1, None]},
        source="every-field/login.json",
    )


def test_the_overrides_are_fields_of_what_they_override() -> None:
    [bundle] = load_plan(PLANS / "good/every-field")
    Limits(**bundle.limits)  # type: ignore[arg-type]
    Timeouts(**bundle.timeouts)
    BreakerLimits(**bundle.circuit_breaker)


def test_what_is_left_out_is_left_to_the_configuration(tmp_path: Path) -> None:
    [bundle] = load_plan(write(tmp_path, MINIMAL))
    assert bundle == Bundle(
        id=WsId("ws-a"),
        change="c",
        files_scope=("a",),
        tasks=("x",),
        source=f"{tmp_path.name}/plan.json",
    )


def test_files_are_read_by_name_and_arrays_in_order() -> None:
    found = load_plan(PLANS / "good/mixed-files")
    assert [(item.id, item.source) for item in found] == [
        ("ws-one", "mixed-files/a-one.json"),
        ("ws-three", "mixed-files/b-two.json"),
        ("ws-two", "mixed-files/b-two.json"),
    ]


def test_one_file_is_a_plan_too() -> None:
    [bundle] = load_plan(PLANS / "good/mixed-files/a-one.json")
    assert bundle.source == "a-one.json"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{"id": "\xff"}', "$: is not UTF-8 text: byte 8 cannot be decoded"),
        (b"", "line 1, column 1: is not JSON: Expecting value"),
        (b'{"id": 1,\n "b"}', "line 2, column 5: is not JSON: Expecting ':' delimiter"),
        (b"[]", "$: the plan has no workstreams"),
        (b"{} x", "line 1, column 4: is not JSON: Extra data"),
        (b"[NaN]", "$: is not JSON that can be used: Out of range float values are not JSON compliant"),
        (b"[1e999]", "$: is not JSON that can be used: Out of range float values are not JSON compliant"),
        (b"[" * 100_000, "$: is not JSON that can be used: maximum recursion depth exceeded"),
        (b'["\\ud800"]', "$: is not JSON that can be used: 'utf-8' codec can't encode character"),
        (b"[%s]" % (b"9" * 5000), "$: is not JSON that can be used: Exceeds the limit"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_so(tmp_path: Path, raw: bytes, problem: str) -> None:
    [line] = lines(write(tmp_path / "p", raw))
    assert line.startswith((f"p/plan.json: {problem}", f"p: {problem}"))


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert len(load_plan(write(tmp_path, b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode()))) == 1


def test_a_repeated_field_is_a_problem(tmp_path: Path) -> None:
    raw = json.dumps(SOUND)[:-1] + ', "tasks": ["y"]}'
    assert lines(write(tmp_path / "p", raw.encode())) == [
        "p/plan.json: $: the field 'tasks' stands twice in one object"
    ]


def test_a_name_that_is_no_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "p/folder.json").mkdir(parents=True)
    assert lines(write(tmp_path / "p", SOUND)) == ["p/folder.json: $: is not a file that can be read"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path / "p", SOUND)
    os.mkfifo(tmp_path / "p/pipe.json")
    assert lines(tmp_path / "p") == ["p/pipe.json: $: is not a file that can be read"]


@pytest.mark.parametrize(("make", "message"), [(True, "has no *.json files"), (False, "does not exist")])
def test_a_folder_without_a_plan_is_a_problem_with_a_hint(tmp_path: Path, make: bool, message: str) -> None:
    folder = tmp_path / "plan"
    if make:
        folder.mkdir()
    assert lines(folder) == [
        f"{folder}: $: the plan {message} (`runner init` makes an example; --plan names another folder or file)"
    ]


def test_a_file_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/\x1b[31m\u202e.json").write_text("")
    [problem] = check_plan(tmp_path / "p")[1]
    assert problem.file == "p/\\x1b[31m\\u202e.json"


def test_a_bad_plan_is_refused_with_every_error_and_no_warning() -> None:
    with pytest.raises(PlanError) as caught:
        load_plan(PLANS / "bad/no-real-tests")
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.brief == f"The plan in {PLANS / 'bad/no-real-tests'} cannot be run: 1 problem"
    assert caught.value.details == (
        "no-real-tests/plan.json: $[1].acceptance_tests[2]: the id 'test-2' is already taken by another test of "
        "this workstream"
    )
    assert caught.value.hint == "Nothing was started. `runner validate` checks the plan without running it."


def test_warnings_do_not_refuse_a_plan(tmp_path: Path) -> None:
    found, problems = check_plan(write(tmp_path, MINIMAL))
    assert found is not None
    assert [problem.severity for problem in problems] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("only", "left"),
    [
        (["ws-a"], ["ws-a"]),
        (["ws-d"], ["ws-a", "ws-b", "ws-d"]),
        (["ws-c", "ws-b"], ["ws-a", "ws-b", "ws-c"]),
    ],
)
def test_a_selection_brings_what_it_depends_on(only: list[str], left: list[str]) -> None:
    assert [bundle.id for bundle in select(plan("b<-a c<-a d<-b e<-d"), only)] == left


def test_an_unknown_selection_is_refused_with_the_closest_name() -> None:
    with pytest.raises(UsageError) as caught:
        select(plan("login logout"), ["ws-logn", "ws-login"])
    assert caught.value.brief == "The plan has no workstream ws-logn"
    assert caught.value.details == "It has ws-login, ws-logout."
    assert caught.value.hint == "did you mean 'ws-login'?"


def test_an_unknown_selection_names_some_of_what_a_large_plan_has() -> None:
    with pytest.raises(UsageError) as caught:
        select(plan(" ".join(f"n{n}" for n in range(25))), ["ws-logn"])
    assert caught.value.details.startswith("It has ws-n0, ws-n1, ")
    assert caught.value.details.endswith(", ws-n19 and 5 more.")


HOSTILE = st.text("ws-aA0._/~^:@{}\\?*[ \n\0é-", max_size=8)


@settings(deadline=None)
@given(ws_id=HOSTILE.map("ws-".__add__) | HOSTILE, change=HOSTILE)
def test_every_accepted_id_makes_a_branch_that_git_takes(
    tmp_path_factory: pytest.TempPathFactory, ws_id: str, change: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile"
    found, _ = check_plan(write(folder, MINIMAL | {"id": ws_id, "openspec_change": change}))
    for bundle in found or ():
        asked = ["git", "check-ref-format", "--branch", bundle.branch]
        assert subprocess.run(asked, env=GIT_ENV, capture_output=True).returncode == 0
        assert bundle.branch == f"ws/{change}/{ws_id}"
        assert bundle.branch.count("/") == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(changes=st.dictionaries(st.sampled_from(sorted(SCHEMA["properties"])), JSON, max_size=4))
def test_any_json_is_a_plan_or_has_problems(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    found, problems = check_plan(write(folder, [MINIMAL | changes]))
    assert (found is None) == any(problem.severity is Severity.ERROR for problem in problems)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def nested(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in (schema.get("properties", {}) | schema.get("$defs", {})).items():
        yield name, inner
        yield from nested(inner)
        yield from nested(inner.get("items", {}))


def test_every_field_of_the_schema_is_documented() -> None:
    assert [
        name for name, inner in nested(SCHEMA) if not (inner.get("title") and inner.get("description"))
    ] == []


def test_every_object_of_the_schema_but_metadata_is_closed() -> None:
    is_open = [
        name
        for name, inner in nested(SCHEMA)
        if "object" in inner.get("type", ()) and "properties" not in inner
    ]
    assert is_open == ["metadata"]
    assert all(
        inner.get("additionalProperties") is False for _, inner in nested(SCHEMA) if "properties" in inner
    )
