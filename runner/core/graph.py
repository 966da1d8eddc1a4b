"""Questions about who depends on whom.

A graph maps each node to the nodes it depends on, which are all in it. Only the first two questions
make sense of a graph with cycles.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class Order:
    """Which nodes of a graph without cycles depend, however indirectly, on which.

    Sets of nodes are integers with a bit for each node, in the graph's order: what would be 50 million questions
    among 10,000 nodes is 10,000 operations on integers, which take 12 MB together.
    """

    def __init__(self, graph: Graph) -> None:
        self._nodes = list(graph)
        self._place = {ws: place for place, ws in enumerate(graph)}
        above, below = dict.fromkeys(graph, 0), dict.fromkeys(graph, 0)
        order = topological_order(graph)
        for ws in order:
            for need in graph[ws]:
                above[ws] |= above[need] | self.bit(need)
        for ws in reversed(order):
            for need in graph[ws]:
                below[need] |= below[ws] | self.bit(ws)
        self._related = {ws: above[ws] | below[ws] | self.bit(ws) for ws in graph}

    def bit(self, ws: WsId) -> int:
        """The set of one node."""
        return 1 << self._place[ws]

    def unordered(self, ones: int, others: int) -> Iterator[tuple[WsId, WsId]]:
        """Pairs, one of each set, of which neither depends on the other; of a set with itself each pair once."""
        if ones.bit_count() > others.bit_count():
            yield from ((one, other) for other, one in self.unordered(others, ones))
            return
        rest = others
        for one in self._members(ones):
            if ones == others:
                rest ^= self.bit(one)
            for other in self._members(rest & ~self._related[one]):
                yield one, other

    def _members(self, some: int) -> Iterator[WsId]:
        while some:
            lowest = some & -some
            yield self._nodes[lowest.bit_length() - 1]
            some ^= lowest
