import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.model import Bundle, Severity, WsId
from runner.core.plan import (
    MOST_HINTS,
    MOST_OVERLAPS,
    Placed,
    Plan,
    did_you_mean,
    plan_problems,
    reads_as_prose,
)
from tests.builders import bundle, plan


def problems(*bundles: Bundle, also: dict[str, list[str]] | None = None) -> list[str]:
    """What is wrong, a line each; `also` are workstreams of which only the dependencies are known."""
    graph = {WsId(ws): [WsId(need) for need in needs] for ws, needs in (also or {}).items()}
    for item in bundles:
        graph.setdefault(item.id, list(item.depends_on))
    placed = [Placed(bundle=item, path=f"$[{index}]") for index, item in enumerate(bundles)]
    return [str(problem).removeprefix("workstreams/plan.json: ") for problem in plan_problems(placed, graph)]


def test_a_plan_is_looked_up_by_id_and_walked_in_order() -> None:
    diamond = plan("b<-a c<-a d<-b,c")
    assert [item.id for item in diamond] == ["ws-a", "ws-b", "ws-c", "ws-d"]
    assert len(diamond) == 4
    assert diamond.by_id[WsId("ws-c")].depends_on == ("ws-a",)
    assert diamond.graph == {
        "ws-a": (),
        "ws-b": ("ws-a",),
        "ws-c": ("ws-a",),
        "ws-d": ("ws-b", "ws-c"),
    }


def test_plans_with_the_same_bundles_are_equal() -> None:
    assert plan("b<-a") == Plan((bundle("a"), bundle("b", depends_on=(WsId("ws-a"),))))


def test_a_sound_plan_has_no_problems() -> None:
    assert problems(*plan("b<-a c<-a d<-b,c")) == []


def test_workstreams_that_depend_on_each_other_may_share_files() -> None:
    assert problems(*plan("b<-a c<-b", files_scope=("src/",))) == []


def test_order_holds_through_a_workstream_whose_bundle_is_not_well_formed() -> None:
    shared = ("src/shared.py",)
    first, last = bundle("a", files_scope=shared), bundle("c", files_scope=shared, depends_on=("ws-b",))
    assert problems(first, last, also={"ws-b": ["ws-a"]}) == []


def test_no_overlap_is_claimed_where_the_order_is_not_known() -> None:
    shared = ("src/shared.py",)
    one, other = bundle("a", files_scope=shared), bundle("c", files_scope=shared, depends_on=("ws-nowhere",))
    assert problems(one, other) == ["$[1].depends_on[0]: no workstream has the id 'ws-nowhere'"]


def test_an_overlap_behind_many_cycles_is_no_crash() -> None:
    pairs = " ".join(f"a{n}<-b{n} b{n}<-a{n}" for n in range(30))
    found = problems(*plan(pairs), bundle("x", files_scope=("y",)), bundle("z", files_scope=("y",)))
    assert sum("wait for each other" in line for line in found) == 10
    assert sum("may both change 'y'" in line for line in found) == 1


def test_a_bare_name_that_meets_another_scope_away_from_the_root_is_a_warning() -> None:
    assert problems(bundle("a", files_scope=("/src/",)), bundle("b", files_scope=("docs/",))) == [
        "$[0].files_scope[0]: warning: 'ws-a' ('/src/') and 'ws-b' ('docs/', in workstreams/plan.json) may both "
        "change 'src/docs/x', and neither depends on the other ('docs/' holds in every folder: write '/docs/' for "
        "the one at the root)"
    ]


def test_a_bare_name_that_meets_another_scope_at_the_root_is_an_error() -> None:
    assert problems(bundle("a", files_scope=("docs/",)), bundle("b", files_create=("docs/b.md",))) == [
        "$[1].files_create[0]: 'ws-b' ('docs/b.md') and 'ws-a' ('docs/', in workstreams/plan.json) may both "
        "change 'docs/b.md', and neither depends on the other (let one depend on the other, or narrow a scope)"
    ]


def test_errors_are_found_behind_any_number_of_warnings() -> None:
    floating = [bundle(f"f{n}", files_scope=(f"mod{n}/",)) for n in range(30)]
    clashing = [bundle(f"z{n}", files_scope=("/same.py",)) for n in range(2)]
    found = problems(*floating, *clashing)
    assert sum("warning" in line for line in found) == MOST_OVERLAPS
    assert sum("may both change 'same.py'" in line for line in found) == 1


def test_a_flood_of_overlaps_is_cut() -> None:
    same = [bundle(f"w{n}", files_scope=("/same.py",)) for n in range(40)]
    assert len(problems(*same)) == MOST_OVERLAPS


def test_a_flood_of_unknown_ids_is_told_in_full_and_hinted_at_in_part() -> None:
    lost = [
        bundle(f"w{n}", files_scope=(f"/{n}.py",), depends_on=(f"ws-w{n}x",)) for n in range(MOST_HINTS + 5)
    ]
    found = problems(*lost)
    assert len(found) == len(lost)
    assert sum("did you mean" in line for line in found) == MOST_HINTS


@pytest.mark.parametrize("slip", ["ws-item-4321x", "ws-itme-4321", "ws-item-431", "ws-item4321"])
def test_a_slip_is_recognised_among_thousands_of_ids(slip: str) -> None:
    assert did_you_mean(slip, [f"ws-item-{n}" for n in range(10_000)]).startswith("did you mean 'ws-item-")


def test_a_warning_says_that_it_is_one() -> None:
    untested = Placed(bundle=bundle("a", acceptance_tests=()), path="$")
    [problem] = plan_problems([untested], {WsId("ws-a"): []})
    assert problem.severity is Severity.WARNING
    assert str(problem) == (
        "workstreams/plan.json: $.acceptance_tests: warning: no acceptance tests: linters alone decide "
        "whether this is done"
    )


@pytest.mark.parametrize(
    "text",
    ["The page loads.", "All tests pass", "it must reject empty names", "it returns 200",
     "The well-formed input isn't refused!"],
)  # fmt: skip
def test_a_sentence_reads_as_prose(text: str) -> None:
    assert reads_as_prose(text)


@pytest.mark.parametrize(
    "text",
    ["pytest", "make test", "npm run build", "uv run pytest", "python -m pytest", "pytest tests/test_a.py",
     "test -s docs/a.md", "./check the build", "grep -q the README.md", "A=1 make all tests", "just a && just b",
     "! grep TODO src", "cargo test", "bash check.sh now", "[ -f x ]"],
)  # fmt: skip
def test_a_command_does_not(text: str) -> None:
    assert not reads_as_prose(text)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert reads_as_prose(text) in (True, False)
