from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from runner.core import graph as g
from runner.core.graph import Graph
from runner.core.model import WsId
from tests.builders import plan


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> dict[WsId, list[WsId]]:
    size = draw(st.integers(0, 8))
    graph: dict[WsId, list[WsId]] = {}
    for node in range(size):
        earlier = st.integers(0, (node if acyclic else size) - 1)
        needs = draw(st.lists(earlier, unique=True, max_size=4)) if node or not acyclic else []
        graph[WsId(f"ws-{node}")] = [WsId(f"ws-{need}") for need in needs]
    names = draw(st.permutations(list(graph)))
    return {name: graph[name] for name in names}


def above(graph: Graph, node: WsId) -> set[WsId]:
    found: set[WsId] = set()
    for _ in graph:
        found |= {need for ws in (node, *found) for need in graph[ws]}
    return found


def test_a_cycle_is_named_from_its_first_node_back_to_it() -> None:
    cyclic = {WsId("a"): [WsId("b")], WsId("b"): [WsId("c")], WsId("c"): [WsId("a")], WsId("d"): [WsId("a")]}
    cycle = g.find_cycle(cyclic)
    assert cycle is not None
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"a", "b", "c"}
    assert all(need in cyclic[ws] for ws, need in pairwise(cycle))


def test_a_diamond_has_no_cycle() -> None:
    assert g.find_cycle(plan("b<-a c<-a d<-b,c").graph) is None


@given(graphs(acyclic=False))
def test_a_cycle_is_found_exactly_where_something_comes_before_itself(graph: Graph) -> None:
    cycle = g.find_cycle(graph)
    assert (cycle is not None) == any(ws in above(graph, ws) for ws in graph)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(need in graph[ws] for ws, need in pairwise(cycle))


@given(graphs(acyclic=False))
def test_the_order_has_every_node_that_no_cycle_comes_before(graph: Graph) -> None:
    order = g.topological_order(graph)
    on_cycle = {ws for ws in graph if ws in above(graph, ws)}
    assert sorted(order) == sorted(ws for ws in graph if not ({ws} | above(graph, ws)) & on_cycle)
    assert all(order.index(need) < order.index(ws) for ws in order for need in graph[ws])


@given(graphs(acyclic=True), st.data())
def test_unordered_pairs_are_those_of_which_neither_comes_before_the_other(
    graph: dict[WsId, list[WsId]], data: st.DataObject
) -> None:
    order = g.Order(graph)
    some = st.sets(st.sampled_from(list(graph) or [WsId("none")])).filter(lambda ids: ids <= set(graph))
    ones, others = data.draw(some), data.draw(some)
    expected = [
        {one, other}
        for one, other in product(ones, others)
        if one != other and one not in above(graph, other) and other not in above(graph, one)
    ]
    found = list(order.unordered(bits(order, ones), bits(order, others)))
    assert all(one in ones and other in others for one, other in found)
    assert all({one, other} in expected for one, other in found)
    assert all(set(pair) in map(set, found) for pair in expected)
    if ones == others:
        assert 2 * len(found) == len(expected)


def bits(order: g.Order, some: set[WsId]) -> int:
    return sum(order.bit(ws) for ws in some)


@given(graphs(acyclic=True))
def test_reachable_is_the_roots_and_all_that_comes_before_them(graph: Graph) -> None:
    for ws in graph:
        assert g.reachable(graph, [ws]) == {ws} | above(graph, ws)
        assert g.reachable(g.dependants(graph), [ws]) == {ws} | {
            other for other in graph if ws in above(graph, other)
        }


def test_the_longest_path_counts_the_nodes_that_wait_in_a_row() -> None:
    lengths = g.longest_paths(plan("b<-a c<-b d<-a e").graph)
    assert lengths == {"ws-a": 3, "ws-b": 2, "ws-c": 1, "ws-d": 1, "ws-e": 1}


def test_a_level_depends_on_earlier_levels_and_keeps_plan_order() -> None:
    assert g.levels(plan("z b<-z a<-z d<-a,b c").graph) == [
        ["ws-z", "ws-c"],
        ["ws-b", "ws-a"],
        ["ws-d"],
    ]
    assert g.levels({}) == []


def test_ten_thousand_nodes_in_a_row_are_no_deeper_than_the_stack() -> None:
    nodes = [WsId(f"ws-{number}") for number in range(10_000)]
    chain: Graph = {ws: nodes[max(0, place - 3) : place] for place, ws in enumerate(nodes)}
    assert g.find_cycle(chain) is None
    assert g.topological_order(chain) == nodes
    assert g.longest_paths(chain)[nodes[0]] == 10_000
    order = g.Order(chain)
    assert not list(order.unordered(bits(order, {nodes[0]}), bits(order, {nodes[-1]})))
    assert len(g.levels(chain)) == 10_000
