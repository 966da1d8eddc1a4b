from collections.abc import Sequence
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.core.graph import Graph, Order, reachable, topological_order
from runner.core.model import WsId
from runner.core.overlap import candidates, overlap, overlaps
from runner.core.pattern import fault
from runner.core.scope import Scope
from tests.counting import function_calls
from tests.unit.core.test_graph import graphs
from tests.unit.core.test_scope import patterns


@pytest.mark.parametrize(
    ("one", "other", "example"),
    [
        ("src/a.py", "src/a.py", "src/a.py"),
        ("src/a.py", "src/b.py", None),
        ("src/", "src/a.py", "src/a.py"),
        ("src", "src/a.py", "src/a.py"),
        ("src/", "src", "src/x"),
        ("src/", "srcs/a.py", None),
        ("src/*.py", "src/a.py", "src/a.py"),
        ("src/*.py", "src/sub/a.py", None),
        ("src/**/*.py", "src/a/b/c.py", "src/a/b/c.py"),
        ("src/**", "src/", "src/x"),
        ("src/**", "src", "src/x"),
        ("test_*.py", "*_a.py", "test_a.py"),
        ("a*c", "ab?c", "abxc"),
        ("[a-c]", "[c-e]", "c"),
        ("[!a-y]", "?", "z"),
        ("[!a]", "a", "a/x"),
        ("/[!a]", "/a", None),
        ("conftest.py", "tests/", "tests/conftest.py"),
        ("/conftest.py", "tests/", None),
        ("/README.md", "/setup.py", None),
        ("a.py", "b.py", None),
        ("README.md", "src/a.py", None),
        ("README.md", "src/", "src/README.md"),
        ("Makefile", "README.md", None),
        ("*.py", "*.md", None),
        ("v1.2", "v1.2/a.py", "v1.2/a.py"),
        ("!src/", "src/a.py", "src/a.py"),
        ("a/.*.py", "a/?.py", "a/..py"),
        (".*/a.py", "?/a.py", None),
        (".*/a.py", "??/a.py", ".x/a.py"),
        (r"a\*.py", "a*.py", "a*.py"),
        ("e\u0301.py", "é.py", "é.py"),
        ("**", "a/b", "a/b"),
    ],
)
def test_two_patterns_meet_where_gitignore_syntax_lets_them(
    one: str, other: str, example: str | None
) -> None:
    for found in (overlap(one, other), overlap(other, one)):
        assert (found is None) == (example is None)
    assert example is None or all(is_in(example, pattern) for pattern in (one.lstrip("!"), other))


def is_in(path: str, *patterns: str) -> bool:
    return Scope(patterns).judge(path, existed_at_base=True) is None


@pytest.mark.parametrize(
    ("one", "other", "example"),
    [("src/api/", "src/**/*.py", "src/api/x.py"), ("docs/*.md", "docs/guide.md", "docs/guide.md")],
)
def test_the_example_is_one_that_a_person_would_give(one: str, other: str, example: str) -> None:
    assert overlap(one, other) == example


PIECES = st.sampled_from(["a", "b", "ab", "*", "?", "a*", "*b", "?b", "*a*", "[ab]", "[!a]", "**"])
NAMES = ["a", "b", "aa", "ab", "ba", "bb", "aab", "abb"]
PATHS = ["/".join(names) for depth in (1, 2, 3, 4) for names in product(NAMES, repeat=depth)]


@settings(deadline=None)
@given(one=patterns(PIECES), other=patterns(PIECES))
def test_an_overlap_is_found_exactly_where_some_path_is_in_both(one: str, other: str) -> None:
    found = overlap(one, other)
    if found is not None:
        assert is_in(found, one)
        assert is_in(found, other)
    else:
        left, right = Scope((one,)), Scope((other,))
        assert not [
            path
            for path in PATHS
            if left.judge(path, existed_at_base=True) is None
            and right.judge(path, existed_at_base=True) is None
        ]


@settings(deadline=None)
@given(*[st.text("ab.*?[]!-^/\\ é~0", min_size=1, max_size=9)] * 2)
def test_an_example_is_in_both_scopes_whatever_the_patterns(one: str, other: str) -> None:
    one, other = (text if fault(text) is None and text[0] != "!" else "a*/" for text in (one, other))
    found = overlap(one, other)
    assert found is None or (is_in(found, one) and is_in(found, other))


def clashes(
    scopes: Sequence[tuple[WsId, Sequence[str]]], graph: Graph | None = None
) -> list[tuple[str, ...]]:
    order = Order(graph or {ws: [] for ws, _ in scopes})
    return [
        (clash.first, clash.first_pattern, clash.second, clash.second_pattern, clash.example)
        for clash in overlaps(scopes, order)
    ]


A, B, C = WsId("ws-a"), WsId("ws-b"), WsId("ws-c")


def test_an_overlap_names_both_sides_and_an_example() -> None:
    assert clashes([(A, ["docs/", "src/"]), (B, ["lib/x.py", "src/b.py"])]) == [
        (A, "src/", B, "src/b.py", "src/b.py")
    ]


def test_ordered_workstreams_may_share_files() -> None:
    scopes = [(A, ["src/"]), (B, ["src/a.py"]), (C, ["src/"])]
    assert clashes(scopes, {A: [], B: [A], C: [B]}) == []
    assert clashes(scopes, {A: [], B: [A], C: [A]}) == [(C, "src/", B, "src/a.py", "src/a.py")]


def test_a_workstream_does_not_clash_with_itself() -> None:
    assert clashes([(A, ["src/", "src/a.py", "src/"])]) == []


def test_what_is_taken_out_again_does_not_count() -> None:
    assert clashes([(A, ["/src/", "!docs/"]), (B, ["/docs/"])]) == []


PARTS = st.sampled_from(["a", "b", "b.py", "b*", "*.py", "**", "a.py", "a*.py", "?b.py", "[ab].py", r"\*.py"])


@settings(deadline=None)
@given(graph=graphs(acyclic=True), data=st.data())
def test_the_index_finds_all_that_comparing_every_pair_finds(
    graph: dict[WsId, list[WsId]], data: st.DataObject
) -> None:
    scopes = [(ws, data.draw(st.lists(patterns(PARTS), max_size=3))) for ws in topological_order(graph)]
    above = {ws: reachable(graph, [ws]) for ws in graph}
    expected = {
        frozenset((one, other))
        for (one, left), (other, right) in combinations(scopes, 2)
        if one not in above[other]
        and other not in above[one]
        and any(overlap(p, q) for p in left for q in right)
    }
    found = [frozenset((clash.first, clash.second)) for clash in overlaps(scopes, Order(graph))]
    assert set(found) == expected


@settings(deadline=None)
@given(st.lists(patterns(PARTS), unique=True, max_size=6))
def test_patterns_that_meet_are_candidates_and_no_pair_is_one_twice(given: list[str]) -> None:
    found = [frozenset(pair) for pair in candidates(given)]
    meeting = {frozenset((one, other)) for one in given for other in given if overlap(one, other)}
    assert meeting <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "scope",
    [
        ["src/mod_{}_/"],
        ["src/mod_{}_/*.py", "tests/test_mod_{}_*.py", "docs/{}_.md"],
        ["mod_{}.py"],
        ["/mod_{}_", "src/**/mod_{}.py"],
        ["tests/**/test_{}_*.py", "src/mod_{}_/"],
        ["**/*_{}.sql", "*_{}.py"],
    ],
)
def test_two_thousand_disjoint_scopes_are_never_compared_pair_by_pair(scope: list[str]) -> None:
    given = [pattern.format(n) for n in range(2000) for pattern in scope]
    assert all(one == other for one, other in candidates(given))


def test_what_two_thousand_share_in_turn_is_asked_for_each_of_them_once() -> None:
    names = [WsId(f"ws-{n}") for n in range(2000)]
    row = {ws: names[max(0, place - 1) : place] for place, ws in enumerate(names)}
    fork = row | {names[-1]: [names[-3]]}
    shared = [(ws, ["CHANGELOG.md"]) for ws in names]
    assert function_calls(lambda: list(overlaps(shared, Order(row)))) < 100 * len(names)
    assert function_calls(lambda: list(overlaps(shared, Order(fork)))) < 100 * len(names)
    assert [clash[::2] for clash in clashes(shared, fork)] == [(names[-2], names[-1], "CHANGELOG.md")]
