import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.core.graph import dependants, longest_paths, reachable
from runner.core.model import WsId
from runner.core.schedule import Schedule
from tests.builders import plan
from tests.unit.core.test_graph import graphs


def schedule(text: str) -> Schedule:
    return Schedule(plan(text).graph)


def takes(schedule: Schedule) -> list[str]:
    return list(iter(schedule.take, None))


def test_only_what_waits_for_nothing_is_offered_first() -> None:
    assert takes(schedule("b<-a c<-a,b d")) == ["ws-a", "ws-d"]


def test_a_dependant_waits_for_all_it_depends_on() -> None:
    diamond = schedule("b<-a c<-a d<-b,c")
    assert takes(diamond) == ["ws-a"]
    diamond.done(WsId("ws-a"))
    assert takes(diamond) == ["ws-b", "ws-c"]
    diamond.done(WsId("ws-b"))
    assert takes(diamond) == []
    diamond.done(WsId("ws-c"))
    assert takes(diamond) == ["ws-d"]


def test_the_longest_chain_goes_first_then_plan_order() -> None:
    assert takes(schedule("x c a b<-a d<-b")) == ["ws-a", "ws-x", "ws-c"]


def test_given_priorities_go_before_the_longest_chain() -> None:
    graph = plan("a b<-a c").graph
    priorities = {WsId("ws-a"): 0, WsId("ws-b"): 0, WsId("ws-c"): 9}
    assert takes(Schedule(graph, priorities)) == ["ws-c", "ws-a"]


def test_newly_ready_tells_of_each_workstream_once() -> None:
    chain = schedule("b<-a c<-b")
    assert chain.newly_ready() == ["ws-a"]
    assert chain.newly_ready() == []
    chain.take()
    chain.done(WsId("ws-a"))
    assert chain.newly_ready() == ["ws-b"]


def test_an_end_without_result_blocks_everything_behind_it_once() -> None:
    plan_of_two = schedule("c<-a,b d<-c e<-b")
    takes(plan_of_two)
    assert plan_of_two.ended(WsId("ws-a")) == [("ws-c", "ws-a"), ("ws-d", "ws-a")]
    assert plan_of_two.ended(WsId("ws-b")) == [("ws-e", "ws-b")]
    assert plan_of_two.is_finished


def test_what_is_blocked_is_never_offered() -> None:
    joined = schedule("c<-a,b")
    takes(joined)
    joined.ended(WsId("ws-a"))
    joined.done(WsId("ws-b"))
    assert takes(joined) == []
    assert joined.newly_ready() == []


def test_a_resumed_run_tells_of_what_is_done_and_gets_the_rest() -> None:
    resumed = schedule("b<-a c<-b d")
    resumed.done(WsId("ws-a"))
    assert takes(resumed) == ["ws-b", "ws-d"]


@pytest.mark.parametrize("told", ["ws-a", "ws-c"])
def test_telling_of_what_came_out_already_is_refused(told: str) -> None:
    ended = schedule("b<-a c<-b")
    ended.ended(WsId("ws-a"))
    with pytest.raises(KeyError):
        ended.done(WsId(told))


@given(graph=graphs(acyclic=True), data=st.data())
def test_any_run_offers_exactly_what_is_ready_and_blocks_exactly_what_is_lost(
    graph: dict[WsId, list[WsId]], data: st.DataObject
) -> None:
    tested = Schedule(graph)
    lengths = longest_paths(graph)
    running: list[WsId] = []
    done: set[WsId] = set()
    lost: set[WsId] = set()
    while not tested.is_finished:
        ready = [ws for ws in graph if ws not in done | lost | set(running) and set(graph[ws]) <= done]
        taken = list(iter(tested.take, None))
        assert taken == sorted(ready, key=lambda ws: -lengths[ws])
        running += taken
        ws = running.pop(data.draw(st.integers(0, len(running) - 1)))
        if data.draw(st.booleans()):
            tested.done(ws)
            done.add(ws)
        else:
            behind = reachable(dependants(graph), [ws]) - lost
            assert {dependant for dependant, _ in tested.ended(ws)} == behind - {ws}
            lost |= behind
    assert done | lost == set(graph)
    assert not running
