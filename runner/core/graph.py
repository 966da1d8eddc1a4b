"""Questions about who depends on whom.

A graph maps each node to the nodes it depends on, which are all in it. Only the first two questions
make sense of a graph with cycles.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter

from runner.core.model import WsId

Graph = Mapping[WsId, Sequence[WsId]]


def find_cycle(graph: Graph) -> tuple[WsId, ...] | None:
    """Some cycle, each node depending on the next, the first named again at the end."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return None


def topological_order(graph: Graph) -> list[WsId]:
    """Every node after those it depends on; the same for the same graph.

    Nodes on a cycle, and those behind one, are left out.
    """
    sorter = TopologicalSorter(graph)
    with suppress(CycleError):
        sorter.prepare()
    order: list[WsId] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        order.extend(ready)
        sorter.done(*ready)
    return order


def dependants(graph: Graph) -> dict[WsId, list[WsId]]:
    """The graph turned round: each node with those that depend on it directly."""
    turned: dict[WsId, list[WsId]] = {ws: [] for ws in graph}
    for ws, needs in graph.items():
        for need in needs:
            turned[need].append(ws)
    return turned


def reachable(graph: Graph, roots: Iterable[WsId]) -> set[WsId]:
    """The roots and all that they depend on, however far (with `dependants(graph)`: all that needs them)."""
    found = set(roots)
    waiting = list(found)
    while waiting:
        new = set(graph[waiting.pop()]) - found
        found |= new
        waiting.extend(new)
    return found


def longest_paths(graph: Graph) -> dict[WsId, int]:
    """For each node the number of nodes on the longest chain that waits for it, itself included."""
    lengths = dict.fromkeys(graph, 1)
    for ws in reversed(topological_order(graph)):
        for need in graph[ws]:
            lengths[need] = max(lengths[need], lengths[ws] + 1)
    return lengths


def levels(graph: Graph) -> list[list[WsId]]:
    """The nodes by depth, in plan order: those of one level depend on earlier levels only."""
    depth: dict[WsId, int] = {}
    for ws in topological_order(graph):
        depth[ws] = max((depth[need] + 1 for need in graph[ws]), default=0)
    rows: list[list[WsId]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for ws in graph:
        rows[depth[ws]].append(ws)
    return rows


def order_test(graph: Graph) -> Callable[[WsId, WsId], bool]:
    """A cheap test of whether one of two nodes depends, however indirectly, on the other.

    Each node's ancestors are the bits of one integer: 10,000 nodes take 12 MB and some milliseconds.
    """
    place = {ws: index for index, ws in enumerate(graph)}
    above = dict.fromkeys(graph, 0)
    for ws in topological_order(graph):
        for need in graph[ws]:
            above[ws] |= above[need] | 1 << place[need]

    def is_ordered(one: WsId, other: WsId) -> bool:
        return bool(above[one] >> place[other] & 1 or above[other] >> place[one] & 1)

    return is_ordered
