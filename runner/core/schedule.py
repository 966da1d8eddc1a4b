"""What is ready to run. It owns the order and starts nothing."""

from collections.abc import Mapping
from heapq import heappop, heappush

from runner.core.graph import Graph, dependants, longest_paths
from runner.core.model import WsId


class Schedule:
    """A run's plan as it empties: `take` what may start, tell how it came out with `done` or `ended`.

    Among the ready the highest priority goes first (by default: the longest chain that waits for it), then
    plan order. A resumed run tells of what came out earlier before it takes anything. Telling of a workstream
    twice, or of a blocked one, raises KeyError.
    """

    def __init__(self, graph: Graph, priorities: Mapping[WsId, int] | None = None) -> None:
        priorities = longest_paths(graph) if priorities is None else priorities
        self._dependants = dependants(graph)
        self._missing = {ws: len(set(needs)) for ws, needs in graph.items()}
        self._rank = {ws: (-priorities[ws], place) for place, ws in enumerate(graph)}
        self._open = set(graph)  # of which nobody has told yet
        self._waiting = set(graph)  # not taken, and not told of
        self._ready: list[tuple[tuple[int, int], WsId]] = []
        self._news: list[WsId] = []
        for ws in graph:
            self._offer(ws)

    @property
    def is_finished(self) -> bool:
        """Whether every workstream came out or is blocked."""
        return not self._open

    def newly_ready(self) -> list[WsId]:
        """Those that became ready since this was last asked and are not taken yet."""
        news, self._news = self._news, []
        return [ws for ws in news if ws in self._waiting]

    def take(self) -> WsId | None:
        """The next workstream that may start, or None while none may. It is offered once."""
        while self._ready:
            _, ws = heappop(self._ready)
            if ws in self._waiting:
                self._waiting.remove(ws)
                return ws
        return None

    def taken(self, ws: WsId) -> None:
        """A workstream is at work since before: it is not offered."""
        self._waiting.discard(ws)

    def done(self, ws: WsId) -> None:
        """A workstream has its result: those that waited only for it become ready."""
        self._settle(ws)
        for dependant in dict.fromkeys(self._dependants[ws]):
            self._missing[dependant] -= 1
            self._offer(dependant)

    def ended(self, ws: WsId) -> list[tuple[WsId, WsId]]:
        """A workstream ended without a result: all that needs it and is newly blocked, each with `ws`."""
        self._settle(ws)
        lost = [ws]
        for node in lost:  # grows as it is walked; what is blocked already is not walked again
            for dependant in self._dependants[node]:
                if dependant in self._waiting:
                    self._settle(dependant)
                    lost.append(dependant)
        return [(dependant, ws) for dependant in lost[1:]]

    def _offer(self, ws: WsId) -> None:
        if not self._missing[ws] and ws in self._waiting:
            heappush(self._ready, (self._rank[ws], ws))
            self._news.append(ws)

    def _settle(self, ws: WsId) -> None:
        self._open.remove(ws)
        self._waiting.discard(ws)
